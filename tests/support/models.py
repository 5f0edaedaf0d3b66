"""Small model files."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from whisper_service.models import architecture, ggml


def tensors_of(path, header):
    """Read the data of every tensor of a float16 file, in PyTorch's shapes."""
    content, found = path.read_bytes(), {}
    for name, tensor in architecture.expected_tensors(header).items():
        head = struct.pack("<3i", len(tensor.dims), len(name), tensor.kind)
        head += struct.pack(f"<{len(tensor.dims)}i", *tensor.dims) + name.encode()
        start = content.index(head) + len(head)
        dtype = {architecture.F32: "<f4", architecture.F16: "<f2"}[tensor.kind]
        values = np.frombuffer(content[start : start + tensor.size], dtype)
        found[name] = values.reshape(tensor.dims[::-1])
    return found


LARGE_V3 = architecture.Header(51866, 1500, 1280, 20, 32, 448, 1280, 20, 32, 128, 1)
TINY = architecture.Header(51865, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 1)
TINY_EN = replace(TINY, n_vocab=51864)


def write_sparse(path: Path, header: architecture.Header) -> list[int]:
    """Write a model with holes for its data; returns where each tensor's header begins."""
    places = []
    with path.open("wb") as file:
        ggml.write_header(file, header)
        file.write(struct.pack("<2i", header.n_mels, ggml.MEL_FFT_BINS))
        file.seek(header.n_mels * ggml.MEL_FFT_BINS * 4, 1)
        file.write(struct.pack("<i", 50257) + struct.pack("<i3s", 3, b"abc") * 50257)
        for name, tensor in architecture.expected_tensors(header).items():
            places.append(file.tell())
            ggml.write_tensor(file, name, tensor)
            file.seek(tensor.size, 1)
        file.truncate(file.tell())
    return places


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
