"""What is finished, in any format, in lines, and as a file; and what else can be ordered."""

import pytest

from tests.support.engine import FakeEngine
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service.tables import LedgerEntry
from whisper_service.whisper.options import Options


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register()


def order(ann: Api, **fields: object) -> list[str]:
    (file,) = ann.upload(DATA / "austen-0880.wav")
    body = {"uuid": file["uuid"], "model": "ggml-tiny.en", **fields}
    return [item["uuid"] for item in ann.post("/transcribe", body)["transcriptions"]]


@pytest.fixture
def done(service: Service, ann: Api) -> str:
    (uuid,) = order(ann, format="srt")
    service.work()
    return uuid


def test_what_is_finished_is_seen_in_any_format_for_free(service: Service, done: str) -> None:
    spent = LedgerEntry.select().count()
    for name, begins in {
        "verbose_json": "Hello world.",
        "json": "Hello world.",
        "txt": "Hello\nworld.",
        "srt": "1\n00:00:00,000",
        "vtt": "WEBVTT",
        "tsv": "start\tend\ttext\n0\t",
        "lrc": "[00:00.00]Hello",
    }.items():
        answer = service.anyone.get(f"/transcribe/{done}?format={name}")
        assert answer["format"] == name
        assert answer["data"]["text"].startswith(begins)
    assert len(service.engine.calls) == 1
    assert LedgerEntry.select().count() == spent


def test_a_download_is_the_text_alone(service: Service, done: str) -> None:
    response = service.anyone.call("GET", f"/transcribe/{done}?format=vtt&download=1")
    assert response.content_type == "text/vtt; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{done}.vtt"'
    assert response.text.startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert response.text.endswith("world.\n")
    response = service.anyone.call("GET", f"/transcribe/{done}?format=verbose_json&download=1")
    assert response.json["segments"][0]["text"] == "Hello"


def test_lines_are_broken_as_asked(service: Service, done: str) -> None:
    answer = service.anyone.get(f"/transcribe/{done}?max_line_width=3&max_line_count=1")
    cues = answer["data"]["text"].split("\n\n")
    assert [cue.split("\n")[2] for cue in cues] == ["Hel", "lo", "wor", "ld."]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("format=pdf", "Invalid format: pdf. Must be one of: verbose_json, srt, vtt, json, txt"),
        ("max_line_width=0", "max_line_width must be an integer between 1 and 1000"),
        ("max_line_width=x", "max_line_width must be an integer between 1 and 1000"),
        ("max_line_count=2", "max_line_count needs max_line_width"),
        ("download=perhaps", "download must be true or false"),
    ],
)
def test_an_invalid_view_is_refused(service: Service, done: str, query: str, message: str) -> None:
    assert service.anyone.error("GET", f"/transcribe/{done}?{query}", 400).startswith(message)


def test_there_is_no_file_of_what_is_not_finished(service: Service, ann: Api) -> None:
    (uuid,) = order(ann)
    message = service.anyone.error("GET", f"/transcribe/{uuid}?download=1", 409)
    assert message == "The transcription is pending"


def test_options_reach_the_engine_and_are_transcripts_of_their_own(
    service: Service, ann: Api
) -> None:
    asked: list[Options | None] = []

    class Engine(FakeEngine):
        def ask(self, model, request, *arguments, **more):
            asked.append(getattr(request, "options", None))
            return super().ask(model, request, *arguments, **more)

    fields = {"prompt": "Dashwood", "word_timestamps": True, "temperature": 0.4}
    order(ann, **fields)
    order(ann)
    order(ann, prompt="Dashwood", temperature=0.4, word_timestamps=True, translate=False)
    service.convert_once()
    engine = Engine()
    service.transcribe(engine)
    assert len(engine.calls) == 2
    assert Options(**fields) in asked
    assert Options() in asked


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"translate": True}, "Model ggml-tiny.en knows English only and cannot translate"),
        ({"translate": "yes"}, "translate must be true or false"),
        ({"word_timestamps": 1}, "word_timestamps must be true or false"),
        ({"prompt": 5}, "prompt must be a string"),
        ({"prompt": "x" * 4001}, "prompt must be at most 4000 characters"),
        ({"temperature": 1.5}, "temperature must be at most 1"),
        ({"temperature": "hot"}, "temperature must be a number"),
        ({"format": "txt"}, "Invalid format: txt. Must be one of: verbose_json, srt, vtt"),
    ],
)
def test_invalid_options_are_refused(ann: Api, fields: dict[str, object], message: str) -> None:
    (file,) = ann.upload(DATA / "austen-0880.wav")
    body = {"uuid": file["uuid"], "model": "ggml-tiny.en", **fields}
    assert ann.error("POST", "/transcribe", 400, body) == message


def test_the_same_options_have_the_same_text() -> None:
    options = Options(prompt="a", temperature=0.5)
    assert Options.from_text(options.to_text()) == options
    assert Options().to_text() == ""
    assert Options.from_text("") == Options()
