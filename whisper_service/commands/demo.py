"""`make demo`: a walk through the API, with a temporary server and storage folder."""

import logging
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from whisper_service import config
from whisper_service.config import Config
from whisper_service.errors import CommandError
from whisper_service.models import catalog
from whisper_service.server.server import Server

# John F. Kennedy's inaugural address, 1961: 11 seconds in the public domain, from pywhispercpp.
RECORDING = Path(__file__).with_name("jfk.wav")
POLL_SECONDS = 0.5


def run(settings: Config, recording: Path | None) -> None:
    """Register, upload a recording and transcribe it, printing each request and the subtitles.

    Raises CommandError for a recording that does not exist or cannot be transcribed.
    """
    logging.getLogger("whisper_service").setLevel(
        logging.WARNING
    )  # the requests are printed instead
    recording = recording or RECORDING
    if not recording.is_file():
        raise CommandError(f"There is no file {recording}")
    with tempfile.TemporaryDirectory() as folder:
        own = replace(
            settings,
            server=config.ServerSettings(port=0),
            storage=replace(settings.storage, path=Path(folder)),
            billing=config.BillingSettings(initial_token_balance=10**6),
        )
        with Server(own) as server:
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                model = catalog.choose(settings.models.path, settings.models.default)
                _transcribe(f"{server.url}/api/v1", model.name, recording)
            finally:
                server.stop()
                thread.join()


def _transcribe(url: str, model: str, recording: Path) -> None:
    account = {"username": "demo", "password": "Correct-Horse-9"}
    session = _request("POST", f"{url}/user/register", json=account)["session_id"]
    basic = {"Authorization": f"Basic {session}"}
    key = _request("POST", f"{url}/user/token", headers=basic, json={"name": "demo"})["token"]
    bearer = {"Authorization": f"Bearer {key}"}
    with recording.open("rb") as file:
        answer = _request("POST", f"{url}/file", headers=bearer, files={"file": file})
    uploaded = answer["files"][0]
    if "uuid" not in uploaded:
        raise CommandError(f"{recording.name}: {uploaded['message']}")
    wanted = {"uuid": uploaded["uuid"], "model": model, "format": "srt"}
    queued = _request("POST", f"{url}/transcribe", headers=bearer, json=wanted)
    uuid = queued["transcriptions"][0]["uuid"]
    print(f"\n{_wait(f'{url}/transcribe/{uuid}')}")


def _wait(url: str) -> str:
    """Poll a transcription until it ends, showing its progress; return its subtitles."""
    started = time.monotonic()
    status = ""
    with tqdm(total=100, bar_format="    {bar:40} {n:.0f} %{desc}", leave=False) as bar:
        while True:
            answer = requests.get(url, timeout=10).json()
            if answer["status"] != status:
                status = answer["status"]
                bar.write(f"GET {url}\n    {status} after {time.monotonic() - started:.1f} s")
            if status == "completed":
                return str(answer["data"]["text"])
            if status == "failed":
                raise CommandError(answer["error"])
            _show(bar, answer)
            time.sleep(POLL_SECONDS)


def _show(bar: "tqdm[Any]", answer: dict[str, Any]) -> None:
    eta = answer["eta_seconds"]
    bar.set_description_str(f", about {eta} s left" if eta else "", refresh=False)
    bar.update(answer.get("progress", 0) - bar.n)


def _request(method: str, url: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
    response = requests.request(method, url, timeout=600, **arguments)
    print(f"{method} {url}\n    {response.status_code} {response.text.strip()}")
    if not response.ok:
        raise CommandError(f"The service answered {response.status_code}")
    return response.json()
