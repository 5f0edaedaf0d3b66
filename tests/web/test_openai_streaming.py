"""OpenAI's clients get the text while it is made, and free what they used when they leave."""

import asyncio
import http.client
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.audio import TranscriptionTextDeltaEvent, TranscriptionTextDoneEvent
from urllib3.filepost import encode_multipart_formdata

from tests.support.database import rows
from tests.support.ffmpeg import run_ffmpeg
from tests.support.harness import serving
from tests.support.live import Client, LiveServer, start_server
from tests.support.paths import DATA, ROOT
from tests.support.speech import WORDS, word_error_rate
from tests.support.waiting import until

JFK = DATA / "jfk.wav"
MODEL = {"WHISPER_SERVICE_MODELS_DEFAULT": "ggml-tiny.en"}
NODE = ROOT / "tests" / "node"
in_node = pytest.mark.skipif(
    not (shutil.which("node") and (NODE / "node_modules").is_dir()),
    reason="needs node, and npm ci --prefix tests/node",
)


@pytest.fixture(scope="module")
def server(tiny_en_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    live = start_server(tmp_path_factory.mktemp("openai"), tiny_en_model.parent, **MODEL)
    yield live
    assert live.stop() == 0


@pytest.fixture
def user(server: LiveServer, request: pytest.FixtureRequest) -> Client:
    return Client(server, f"user-{abs(hash(request.node.name)) % 10**9}")


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """44 seconds, which are three chunks."""
    path = tmp_path_factory.mktemp("recordings") / "minute.wav"
    run_ffmpeg("-stream_loop", "3", "-i", JFK, path)
    return path


def key_of(user: Client) -> str:
    return user.headers["Authorization"].removeprefix("Bearer ")


def client_of(user: Client) -> openai.OpenAI:
    return openai.OpenAI(base_url=user.url.replace("/api/v1", "/v1"), api_key=key_of(user))


def stream(user: Client, path: Path, **fields: Any) -> Any:
    fields = {"model": "gpt-4o-transcribe", **fields}
    with path.open("rb") as file:
        return client_of(user).audio.transcriptions.create(file=file, stream=True, **fields)


def check(events: list[Any]) -> TranscriptionTextDoneEvent:
    """Check the events of a whole stream, and return the last one."""
    *deltas, done = events
    assert deltas
    assert all(isinstance(delta, TranscriptionTextDeltaEvent) for delta in deltas)
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert "".join(delta.delta for delta in deltas) == done.text
    assert done.usage
    assert done.usage.type == "tokens"
    assert done.usage.input_tokens + done.usage.output_tokens == done.usage.total_tokens
    return done


def test_the_deltas_are_the_text(user: Client) -> None:
    done = check(list(stream(user, JFK)))
    assert word_error_rate({"jfk": WORDS[JFK.name]}, {"jfk": done.text}) <= 0.1
    assert done.logprobs is None
    assert check(list(stream(user, JFK, extra_headers={"X-Stainless-Retry-Count": "1"}))) == done
    assert user.call("GET", "/user")["token_balance"] == 1000 - 11


def test_the_asynchronous_client_streams_too(user: Client) -> None:
    async def run() -> list[Any]:
        url, key = user.url.replace("/api/v1", "/v1"), key_of(user)
        async with openai.AsyncOpenAI(base_url=url, api_key=key) as client:
            with JFK.open("rb") as file:
                events = await client.audio.transcriptions.create(
                    file=file, model="whisper-1", stream=True
                )
            return [event async for event in events]

    assert "country" in check(asyncio.run(run())).text


def test_log_probabilities_are_those_of_the_text(user: Client) -> None:
    *deltas, done = stream(user, JFK, include=["logprobs"])
    tokens = [token for delta in deltas for token in delta.logprobs]
    assert [token.to_dict() for token in tokens] == [token.to_dict() for token in done.logprobs]
    assert "".join(token.token for token in tokens).strip() == done.text
    assert b"".join(bytes(token.bytes) for token in tokens).decode().strip() == done.text
    assert all(-20 < token.logprob <= 0 for token in tokens)
    with JFK.open("rb") as file:
        whole = client_of(user).audio.transcriptions.create(
            file=file, model="whisper-1", include=["logprobs"], response_format="json"
        )
    assert [each.logprob for each in whole.logprobs] == [each.logprob for each in tokens]


def test_text_comes_while_it_is_made(stub_models: Path, tmp_path: Path, minute: Path) -> None:
    slow = {"FAKE_SECONDS": "0.5", "WHISPER_SERVICE_WORKER_JOBS": "1"}
    with serving(tmp_path, stub_models, **slow, **MODEL) as server:
        events = list(stream(Client(server, "ann"), minute))
        assert [event.delta for event in events[:-1]] == ["Hello world."] + 2 * [" Hello world."]
        check(events)


def test_what_cannot_be_done_is_refused(user: Client) -> None:
    for fields, message in (
        ({"response_format": "diarized_json"}, "Speakers are not distinguished"),
        ({"known_speaker_names": ["ann"]}, "known_speaker_names.* is not supported"),
        ({"include": ["emotions"]}, "include must be logprobs"),
        ({"include": ["logprobs"], "response_format": "vtt"}, "include needs response_format json"),
        ({"languages": ["xx"]}, "Invalid language: xx"),
        ({"extra_body": {"stream": "perhaps"}}, "stream must be true or false"),
    ):
        with pytest.raises(openai.BadRequestError, match=message), JFK.open("rb") as file:
            client_of(user).audio.transcriptions.create(file=file, model="whisper-1", **fields)


def test_keywords_and_languages_are_taken(user: Client, server: LiveServer) -> None:
    with JFK.open("rb") as file:
        client_of(user).audio.transcriptions.create(
            file=file,
            model="whisper-1",
            keywords=["Kennedy", "Washington"],
            prompt="An address.",
            languages=["English", "en"],
            chunking_strategy={"type": "server_vad", "threshold": 0.5},
        )
    assert [each["language"] for each in listed(user)] == ["en"]
    (prompt,) = [
        json.loads(options)["prompt"]
        for (options,) in rows(server.storage, "SELECT options FROM transcription")
        if "Kennedy" in options
    ]
    assert prompt == "Kennedy, Washington An address."


def test_a_failure_before_the_first_words_has_its_status(stub_models: Path, tmp_path: Path) -> None:
    poor = {"WHISPER_SERVICE_BILLING_INITIAL_TOKEN_BALANCE": "5"}
    with serving(tmp_path, stub_models, **poor, **MODEL) as server:
        with pytest.raises(openai.RateLimitError, match="Required: 11, Available: 5"):
            stream(Client(server, "ann"), JFK)


def test_a_later_failure_is_the_last_event(stub_models: Path, tmp_path: Path, minute: Path) -> None:
    slow = {"FAKE_SECONDS": "0.5", "WHISPER_SERVICE_WORKER_JOBS": "1"}
    with serving(tmp_path, stub_models, **slow, **MODEL) as server:
        user = Client(server, "ann")
        events = stream(user, minute)
        assert next(events).delta == "Hello world."
        (running,) = listed(user)
        user.call("DELETE", f"/transcribe/{running['uuid']}")
        with pytest.raises(openai.APIError, match="The transcription was deleted"):
            list(events)


def leave_at_first_words(user: Client, path: Path) -> None:
    """Ask for a whole answer, and hang up once a part of it is made."""
    fields = {"model": "whisper-1", "file": (path.name, path.read_bytes())}
    body, content_type = encode_multipart_formdata(fields)
    connection = http.client.HTTPConnection(user.url.split("/")[2])
    headers = {**user.headers, "Content-Type": content_type}
    connection.request("POST", "/v1/audio/transcriptions", body, headers)
    until(lambda: any(each.get("progress") for each in listed(user)))
    connection.close()


def listed(user: Client) -> Any:
    return user.call("GET", "/transcribe")["transcriptions"]


@pytest.mark.parametrize("how", ["streamed", "at once"])
def test_who_leaves_frees_the_engine_for_others(
    stub_models: Path, tmp_path: Path, minute: Path, how: str
) -> None:
    slow = {"FAKE_SECONDS": "2", "WHISPER_SERVICE_WORKER_JOBS": "1"}
    with serving(tmp_path, stub_models, **slow, **MODEL) as server:
        user = Client(server, "ann")
        if how == "streamed":
            with stream(user, minute) as events:
                next(events)
        else:
            leave_at_first_words(user, minute)
        until(lambda: listed(user)[0]["status"] == "failed")
        (left,) = listed(user)
        assert left["error"] == "The client closed the connection"
        assert 1000 - 44 < user.call("GET", "/user")["token_balance"] < 1000
        retried = stream(user, minute, extra_headers={"X-Stainless-Retry-Count": "1"})
        assert check(list(retried)).text == "Hello world. Hello world. Hello world."
        assert user.call("GET", "/user")["token_balance"] == 1000 - 44
        assert len(listed(user)) == 1


def run_node(script: str, user: Client, path: Path) -> Any:
    url = user.url.removesuffix("/api/v1")
    done = subprocess.run(
        ["node", NODE / script, url, key_of(user), path],
        cwd=NODE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@in_node
def test_openais_client_in_javascript(user: Client) -> None:
    shown = run_node("openai-stream.mjs", user, JFK)
    *deltas, done = shown["events"]
    assert "".join(delta["delta"] for delta in deltas) == done["text"] == shown["whole"]["text"]
    assert {delta["type"] for delta in deltas} == {"transcript.text.delta"}
    assert len(done["logprobs"]) == done["usage"]["output_tokens"]
    assert shown["whole"]["language"] == "english"


@in_node
def test_the_ai_sdk(user: Client) -> None:
    shown = run_node("ai-transcribe.mjs", user, JFK)
    for answer in shown.values():
        assert "country" in answer["text"]
        assert (answer["language"], answer["durationInSeconds"]) == ("en", 11)
        assert answer["segments"][-1]["endSecond"] <= 11
    words = shown["words"]["segments"]
    assert len(words) == len(shown["words"]["text"].split())
    assert len(shown["plain"]["segments"]) < len(words)
