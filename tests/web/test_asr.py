"""Clients of whisper-asr-webservice on a running service, Bazarr first."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import srt
import webvtt

from tests.support.bazarr import Bazarr, samples_of
from tests.support.database import rows
from tests.support.live import Client, LiveServer, start_server
from tests.support.paths import DATA
from tests.support.speech import WORDS, word_error_rate

JFK = DATA / "jfk.wav"
SAMPLES = samples_of(JFK)
MODEL = {"WHISPER_SERVICE_MODELS_DEFAULT": "ggml-tiny.en"}
SILENCE = bytes(2 * 3 * 16_000)
ENGLISH_ONLY = "Model ggml-tiny.en knows English only"


@pytest.fixture(scope="module")
def server(tiny_en_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    live = start_server(tmp_path_factory.mktemp("asr"), tiny_en_model.parent, **MODEL)
    yield live
    assert live.stop() == 0


@pytest.fixture
def user(server: LiveServer, request: pytest.FixtureRequest) -> Client:
    return Client(server, f"user-{abs(hash(request.node.name)) % 10**9}")


@pytest.fixture
def key(user: Client) -> str:
    return str(user.headers["Authorization"].removeprefix("Bearer "))


@pytest.fixture
def bazarr(server: LiveServer, key: str) -> Bazarr:
    return Bazarr(f"{server.url}/key/{key}/")


def asr(server: LiveServer, user: Client, **query: Any) -> requests.Response:
    """Send a recording with its header, as most clients do."""
    with JFK.open("rb") as file:
        answer = requests.post(
            f"{server.url}/asr",
            params=query,
            files={"audio_file": file},
            headers=user.headers,
            timeout=60,
        )
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer


def wer(heard: str) -> float:
    return word_error_rate({JFK.name: WORDS[JFK.name]}, {JFK.name: heard})


def balance(user: Client) -> int:
    return int(user.call("GET", "/user")["token_balance"])


def test_bazarr_gets_subtitles(bazarr: Bazarr, user: Client) -> None:
    assert bazarr.detect(SAMPLES) == ("en", "english")
    assert balance(user) == 1000  # a detection costs nothing
    subtitles = bazarr.subtitles(SAMPLES, "en")
    assert subtitles
    cues = list(srt.parse(subtitles.decode()))
    assert wer(" ".join(cue.content for cue in cues)) <= 0.1
    assert balance(user) == 1000 - 11
    # Both requests brought the same file, which is one of the user's.
    (file,) = user.call("GET", "/file")["files"]
    assert (file["filename"], file["duration_seconds"]) == ("audio_file", 11.0)
    user.call("DELETE", f"/file/{file['uuid']}")


def test_what_bazarr_repeats_after_a_timeout_is_not_paid_twice(
    bazarr: Bazarr, user: Client
) -> None:
    assert bazarr.subtitles(SAMPLES, "en") == bazarr.subtitles(SAMPLES, "en")
    assert balance(user) == 1000 - 11


def test_a_recording_is_called_like_its_video(bazarr: Bazarr, user: Client) -> None:
    bazarr.video = "/tv/A Show/Season 1/A Show – S01E02.mkv"
    bazarr.detect(SAMPLES)
    assert user.call("GET", "/file")["files"][0]["filename"] == "A Show – S01E02.mkv"


def test_bazarr_keeps_no_subtitles_where_there_are_none(bazarr: Bazarr) -> None:
    assert bazarr.detect(SILENCE) is None
    assert bazarr.post("/detect-language", SILENCE, encode="false").json() == {
        "detected_language": "unknown",
        "language_code": "und",
        "confidence": 0.0,
    }
    answer = bazarr.post("/asr", SILENCE, encode="false", output="srt", language="en")
    assert (answer.status_code, answer.content) == (200, b"")
    assert bazarr.subtitles(SILENCE, "en") is None


@pytest.mark.parametrize(
    ("query", "sound", "error"),
    [
        ({"language": "xx"}, SAMPLES, "Invalid language: xx"),
        ({"language": "de"}, SAMPLES, f"{ENGLISH_ONLY}, not de"),
        ({"task": "translate"}, SAMPLES, f"{ENGLISH_ONLY} and cannot translate"),
        ({"task": "sing"}, SAMPLES, "task must be one of: transcribe, translate"),
        ({"output": "pdf"}, SAMPLES, "output must be one of: txt, vtt, srt, tsv, json"),
        ({"encode": "perhaps"}, SAMPLES, "encode must be true or false"),
        ({"word_timestamps": "2"}, SAMPLES, "word_timestamps must be true or false"),
        ({"initial_prompt": "\0"}, SAMPLES, "initial_prompt must be valid text"),
        ({}, b"", "The file is empty"),
        ({}, b"\1", "Samples have two bytes each, but their number of bytes is odd"),
        ({"encode": "true"}, SAMPLES, "Unsupported content type"),
    ],
)  # fmt: skip
def test_bazarr_takes_no_error_for_subtitles(
    bazarr: Bazarr, query: dict[str, str], sound: bytes, error: str
) -> None:
    query = {"output": "srt", "encode": "false", **query}
    answer = bazarr.post("/asr", sound, **query)
    assert (answer.status_code, answer.text) == (400, error)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    bazarr.post = lambda *_, **__: answer  # type: ignore[method-assign]
    assert bazarr.subtitles(sound, "en") is None
    assert bazarr.detect(sound) is None


def test_a_recording_that_is_too_short_is_an_error(bazarr: Bazarr) -> None:
    for path in ("/asr", "/detect-language"):
        answer = bazarr.post(path, SAMPLES[:1000], encode="false")
        assert answer.status_code == 400
        assert "less than a tenth of a second" in answer.text


def test_a_form_without_a_recording_is_refused(server: LiveServer, user: Client) -> None:
    for path in ("/asr", "/detect-language"):
        answer = requests.post(
            f"{server.url}{path}",
            files={"file": JFK.read_bytes()},
            headers=user.headers,
            timeout=60,
        )
        assert (answer.status_code, answer.text) == (400, "Missing audio_file")
    assert user.call("GET", "/file")["files"] == []


def test_every_output(server: LiveServer, user: Client) -> None:
    txt = asr(server, user)
    assert txt.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert wer(txt.text) <= 0.1
    cues = list(srt.parse(asr(server, user, output="srt").text))
    assert wer(" ".join(cue.content for cue in cues)) <= 0.1
    captions = webvtt.from_string(asr(server, user, output="vtt").text).captions
    assert wer(" ".join(line.text for line in captions)) <= 0.1
    head, *lines = asr(server, user, output="tsv").text.splitlines()
    assert head == "start\tend\ttext"
    assert wer(" ".join(line.split("\t")[2] for line in lines)) <= 0.1
    answer = asr(server, user, output="json").json()
    assert answer.keys() == {"text", "segments", "language"}
    assert (answer["language"], wer(answer["text"]) <= 0.1) == ("en", True)
    assert " ".join(each["text"] for each in answer["segments"]) == answer["text"]
    assert answer["segments"][0].keys() >= {
        *("id", "seek", "start", "end", "text", "tokens", "temperature"),
        *("avg_logprob", "compression_ratio", "no_speech_prob"),
    }
    assert balance(user) == 1000 - 11  # they are the same transcript


def test_options_are_taken_and_unknown_ones_left(server: LiveServer, user: Client) -> None:
    options = {"initial_prompt": "Kennedy", "vad_filter": "true", "encode": "true", "new": "1"}
    timed = asr(server, user, output="json", word_timestamps="true", language="English", **options)
    words = [word for each in timed.json()["segments"] for word in each["words"]]
    assert " ".join(word["word"] for word in words) == timed.json()["text"]
    assert [word["start"] for word in words] == sorted(word["start"] for word in words)
    (row,) = rows(
        server.storage, "SELECT options, language FROM transcription ORDER BY id DESC LIMIT 1"
    )
    assert json.loads(row[0]) == {"prompt": "Kennedy", "word_timestamps": True}
    assert row[1] == "en"


def test_a_language_is_detected_in_any_media(server: LiveServer, user: Client) -> None:
    with JFK.open("rb") as file:
        answer = requests.post(
            f"{server.url}/detect-language",
            files={"audio_file": file},
            headers=user.headers,
            timeout=60,
        )
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json() == {
        "detected_language": "english",
        "language_code": "en",
        "confidence": 1.0,
    }
