import http.server
import json
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

VOCABULARY = 51864


def ctranslate2_file(variables, aliases=()):
    """Lay out a CTranslate2 Whisper model, format version 6."""

    def string(text):
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    parts = [struct.pack("<I", 6), string("WhisperSpec"), struct.pack("<2I", 3, len(variables))]
    for name, values in variables.items():
        dims = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        kind = {"float16": 4, "int8": 1}[values.dtype.name]
        parts += [string(name), dims, struct.pack("<BI", kind, values.nbytes), values.tobytes()]
    parts.append(struct.pack("<I", len(aliases)))
    parts += [string(alias) + string(name) for alias, name in aliases]
    return b"".join(parts)


def variables(state=64):
    """Name the variables of a Whisper with one layer on each side, filled with random numbers."""
    random = np.random.default_rng(7)
    shapes = {
        "decoder/embeddings/weight": (VOCABULARY, state),
        "decoder/position_encodings/encodings": (448, state),
        "encoder/position_encodings/encodings": (1500, state),
        "encoder/conv1/weight": (state, 80, 3),
        "encoder/conv1/bias": (state,),
        "encoder/conv2/weight": (state, state, 3),
        "encoder/conv2/bias": (state,),
    }
    linears = {"self_attention": (3, 1), "ffn": (4, 1)}
    for side in ("encoder", "decoder"):
        norms = [f"{side}/layer_norm"]
        blocks = linears if side == "encoder" else linears | {"attention": (1, 2, 1)}
        for block, outs in blocks.items():
            norms.append(f"{side}/layer_0/{block}/layer_norm")
            for number, out in enumerate(outs):
                linear = f"{side}/layer_0/{block}/linear_{number}"
                into = 4 * state if (block, number) == ("ffn", 1) else state
                shapes |= {
                    f"{linear}/weight": (out * state, into),
                    f"{linear}/bias": (out * state,),
                }
        shapes |= {f"{norm}/{part}": (state,) for norm in norms for part in ("gamma", "beta")}
    named = {name: random.random(shape).astype("<f2") for name, shape in shapes.items()}
    return named | {"decoder/pre_norm": np.array(1, "i1")}


@pytest.fixture(scope="session")
def small_model() -> bytes:
    return ctranslate2_file(
        variables(), [("decoder/projection/weight", "decoder/embeddings/weight")]
    )


@pytest.fixture(scope="session")
def tokenizer() -> bytes:
    words = {str(number): number for number in range(50256)}
    added = [{"id": 50256, "content": "<|endoftext|>"}, {"id": 50257, "content": "<|special|>"}]
    return json.dumps({"model": {"vocab": words}, "added_tokens": added}).encode()


@dataclass
class Hub:
    """A small model hub. Its answers break off after so many bytes each as `cuts` tells."""

    url: str = ""
    content: bytes = b""
    cuts: list[int] = field(default_factory=list)
    knows_ranges: bool = True
    status: int = 0
    length: int | None = 0
    asked: list[str | None] = field(default_factory=list)

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers["Range"]
        self.asked.append(wanted)
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and self.knows_ranges else 0
        beyond = 416 if start >= max(1, len(self.content)) else 0
        handler.send_response(self.status or beyond or (206 if start else 200))
        body = self.content[start:]
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/*")
        if self.length is not None:
            handler.send_header("Content-Length", str(self.length or len(body)))
        handler.end_headers()
        with suppress(ConnectionError):  # the other side may have had enough
            handler.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@pytest.fixture
def model_hub():
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            hub.answer(self)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_port}/"
        yield hub
        server.shutdown()
        thread.join()


@pytest.fixture
def models_folder(tmp_path: Path) -> Path:
    return tmp_path / "models"
