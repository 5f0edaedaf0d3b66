import http.server
import json
import threading
from pathlib import Path

import pytest

from tests.support.hub import Hub
from tests.support.models import ctranslate2_file, variables


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
