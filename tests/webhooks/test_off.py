"""Without `[webhooks] enabled` nothing of it is there."""

import subprocess
import sys

import requests

from tests.support.live import LiveServer
from tests.support.paths import ROOT

LOADED = """
import sys
from whisper_service.commands import serve
from whisper_service.config import Config
from whisper_service.server import server
assert server._optional_rooms(Config()) == []
print([name for name in sys.modules if "webhooks" in name])
"""


def test_switched_off_nothing_is_imported() -> None:
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_switched_off_there_are_no_routes(live_server: LiveServer) -> None:
    for path in ("/webhook", "/webhooks", f"/webhook/{'0' * 32}"):
        assert requests.get(f"{live_server.url}/api/v1{path}", timeout=10).status_code == 404


def test_it_can_be_removed_as_a_whole() -> None:
    """Nothing imports it, and only its routes import what serves them."""
    package = ROOT / "whisper_service"
    for path in package.rglob("*.py"):
        text = path.read_text()
        inside = path.parent == package / "webhooks"
        assert inside or "whisper_service.webhooks" not in text, path
        if inside and path.name not in {"routes.py", "__init__.py"}:
            assert "flask" not in text, path
            assert "whisper_service.web " not in text, path
            assert "whisper_service.web." not in text, path
