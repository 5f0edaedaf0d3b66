"""The command line, as a person types it."""

import socket
from pathlib import Path

import pytest
import requests

from tests.support.commands import failure, run
from tests.support.live import LiveServer, start_server
from tests.support.service import PASSWORD


def test_create_admin_makes_one_that_can_log_in(stub_models: Path, tmp_path: Path) -> None:
    storage = {"WHISPER_SERVICE_STORAGE_PATH": str(tmp_path)}
    done = run("create-admin", "root", typed=f"{PASSWORD}\n", **storage)
    assert (done.returncode, done.stdout) == (0, "The administrator root was created.\n")
    server = start_server(tmp_path, stub_models)
    body = {"username": "root", "password": PASSWORD}
    answer = requests.post(f"{server.url}/api/v1/user/login", json=body, timeout=10).json()
    assert answer["is_admin"] is True
    assert server.stop() == 0


def test_create_admin_promotes_nobody_unasked(live_server: LiveServer) -> None:
    url = f"{live_server.url}/api/v1/user"
    body = {"username": "climber", "password": PASSWORD}
    session = requests.post(f"{url}/register", json=body, timeout=10).json()["session_id"]
    storage = {"WHISPER_SERVICE_STORAGE_PATH": str(live_server.storage)}
    line = failure("create-admin", "Climber", typed=f"{PASSWORD}\n", **storage)
    assert line.startswith("error: The account climber exists")
    assert "use --promote" in line
    headers = {"Authorization": f"Basic {session}"}
    assert requests.get(url, headers=headers, timeout=10).json()["is_admin"] is False


def test_create_admin_promotes_while_the_service_runs(live_server: LiveServer) -> None:
    url = f"{live_server.url}/api/v1/user"
    body = {"username": "riser", "password": PASSWORD}
    session = requests.post(f"{url}/register", json=body, timeout=10).json()["session_id"]
    basic = {"Authorization": f"Basic {session}"}
    key = requests.post(f"{url}/token", json={"name": "k"}, headers=basic, timeout=10).json()
    bearer = {"Authorization": f"Bearer {key['token']}"}
    assert requests.get(url, headers=bearer, timeout=10).ok
    storage = {"WHISPER_SERVICE_STORAGE_PATH": str(live_server.storage)}
    done = run("create-admin", "Riser", "--promote", **storage)
    said = "riser is now an administrator; its sessions and API keys were revoked.\n"
    assert (done.returncode, done.stdout) == (0, said)
    for headers in (basic, bearer):
        assert requests.get(url, headers=headers, timeout=10).status_code == 401
    assert requests.post(f"{url}/login", json=body, timeout=10).json()["is_admin"] is True


def test_only_an_account_that_exists_is_promoted(tmp_path: Path) -> None:
    storage = {"WHISPER_SERVICE_STORAGE_PATH": str(tmp_path)}
    line = failure("create-admin", "root", "--promote", typed=f"{PASSWORD}\n", **storage)
    assert line == "error: There is no account root"


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [
        ("x", PASSWORD, "error: Invalid username. Must be 3-20 characters"),
        ("root", "short", "error: Password must be at least 12 characters long"),
    ],
)
def test_create_admin_has_the_same_rules(
    tmp_path: Path, name: str, password: str, message: str
) -> None:
    storage = {"WHISPER_SERVICE_STORAGE_PATH": str(tmp_path)}
    assert failure("create-admin", name, typed=password, **storage).startswith(message)


def test_a_wrong_setting_stops_the_start(tmp_path: Path) -> None:
    assert failure(WHISPER_SERVICE_SERVER_PORT="x").startswith("error: server.port must be")
    missing = str(tmp_path / "none.toml")
    assert failure("--config", missing).startswith("error: Cannot read the configuration")


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = failure(WHISPER_SERVICE_SERVER_PORT=port, WHISPER_SERVICE_STORAGE_PATH=str(tmp_path))
    assert line.startswith(f"error: Cannot listen on 127.0.0.1:{port}")


def test_a_second_service_on_the_same_storage_is_refused(live_server: LiveServer) -> None:
    line = failure(
        WHISPER_SERVICE_SERVER_PORT="0", WHISPER_SERVICE_STORAGE_PATH=str(live_server.storage)
    )
    assert line.startswith("error: Another service is running")


def test_the_demo_prints_each_step_and_the_subtitles(tiny_en_model: Path) -> None:
    done = run("demo", WHISPER_SERVICE_MODELS_PATH=str(tiny_en_model.parent))
    assert done.returncode == 0, done.stderr
    for step in ("/user/register", "/user/token", "/file", "/transcribe"):
        assert "POST http://127.0.0.1:" in done.stdout
        assert step in done.stdout
    assert " --> 00:00:" in done.stdout
    assert "country" in done.stdout


def test_the_demo_refuses_what_it_cannot_use(stub_models: Path, tmp_path: Path) -> None:
    models = {"WHISPER_SERVICE_MODELS_PATH": str(stub_models)}
    line = run("demo", str(tmp_path / "none.mp3"), **models).stderr.splitlines()[-1]
    assert line.startswith("error: There is no file")
    text = tmp_path / "text.mp3"
    text.write_text("hello")
    line = run("demo", str(text), **models).stderr.splitlines()[-1]
    assert line == "error: text.mp3: Unsupported content type"
