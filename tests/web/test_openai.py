"""OpenAI's own client, given nothing but an address and a key, on a running service."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
import srt
import webvtt

from tests.support.database import rows
from tests.support.live import Client, LiveServer, start_server
from tests.support.paths import DATA
from tests.support.speech import WORDS, word_error_rate

JFK = DATA / "jfk.wav"
SHORT = DATA / "austen-0880.wav"
ALIASES = "whisper-1= gpt-4o-transcribe= tiny=ggml-tiny.en large=ggml-large-v3"
MODEL = {
    "WHISPER_SERVICE_MODELS_DEFAULT": "ggml-tiny.en",
    "WHISPER_SERVICE_MODELS_ALIASES": ALIASES,
}


@pytest.fixture(scope="module")
def server(tiny_en_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    live = start_server(tmp_path_factory.mktemp("openai"), tiny_en_model.parent, **MODEL)
    yield live
    assert live.stop() == 0


@pytest.fixture
def user(server: LiveServer, request: pytest.FixtureRequest) -> Client:
    return Client(server, f"user-{abs(hash(request.node.name)) % 10**9}")


@pytest.fixture
def client(server: LiveServer, user: Client) -> openai.OpenAI:
    key = user.headers["Authorization"].removeprefix("Bearer ")
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key)


def transcribe(client: openai.OpenAI, path: Path, **fields: Any) -> Any:
    with path.open("rb") as file:
        return client.audio.transcriptions.create(file=file, model="whisper-1", **fields)


def wer(name: str, heard: str) -> float:
    return word_error_rate({name: WORDS[name]}, {name: heard})


def test_a_recording_is_transcribed_in_every_format(client: openai.OpenAI, user: Client) -> None:
    assert wer(JFK.name, transcribe(client, JFK).text) <= 0.1
    assert wer(JFK.name, transcribe(client, JFK, response_format="text")) <= 0.1
    cues = list(srt.parse(transcribe(client, JFK, response_format="srt")))
    assert wer(JFK.name, " ".join(cue.content for cue in cues)) <= 0.1
    captions = webvtt.from_string(transcribe(client, JFK, response_format="vtt")).captions
    assert wer(JFK.name, " ".join(line.text for line in captions)) <= 0.1
    verbose = transcribe(client, JFK, response_format="verbose_json")
    assert wer(JFK.name, verbose.text) <= 0.1
    assert (verbose.language, verbose.duration, verbose.words) == ("english", 11.0, None)
    assert " ".join(each.text for each in verbose.segments) == verbose.text
    assert user.call("GET", "/user")["token_balance"] == 1000 - 5 * 11


def test_words_and_segments_have_times(client: openai.OpenAI) -> None:
    def ask(*kinds: Any, **more: Any) -> Any:
        more |= {"timestamp_granularities": list(kinds)} if kinds else {}
        return transcribe(client, JFK, response_format="verbose_json", **more)

    words = ask("word")
    assert words.segments is None
    assert " ".join(word.word for word in words.words) == words.text
    assert [word.start for word in words.words] == sorted(word.start for word in words.words)
    without_brackets = ask(extra_body={"timestamp_granularities": "word"})
    assert without_brackets.words == words.words
    both = ask("word", "segment")
    assert len(both.words) == len(words.words)
    assert both.segments[-1].end <= 11.0


def test_its_options_are_taken_and_unknown_ones_left(client: openai.OpenAI) -> None:
    answer = transcribe(
        client,
        JFK,
        language="en",
        prompt="Kennedy, Americans",
        temperature=0.2,
        chunking_strategy="auto",
        extra_body={"something": "new"},
    )
    assert wer(JFK.name, answer.text) <= 0.1


def test_models_are_listed(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert names == {"ggml-tiny.en", "whisper-1", "gpt-4o-transcribe", "tiny"}
    assert client.models.retrieve("whisper-1").object == "model"
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("gpt-17")
    assert error.value.code == "model_not_found"


@pytest.mark.filterwarnings("ignore:deprecated")
def test_errors_are_openais(client: openai.OpenAI, server: LiveServer, tmp_path: Path) -> None:
    stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="0" * 32)
    with pytest.raises(openai.AuthenticationError) as refused:
        transcribe(stranger, JFK)
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    (tmp_path / "text.mp3").write_text("this is no sound")
    with pytest.raises(openai.BadRequestError, match="Unsupported content type"):
        transcribe(client, tmp_path / "text.mp3")
    with pytest.raises(openai.BadRequestError, match="response_format must be one of"):
        transcribe(client, JFK, response_format="pdf")
    with pytest.raises(openai.BadRequestError, match="Invalid language: xx"):
        transcribe(client, JFK, language="xx")
    with pytest.raises(openai.BadRequestError, match="cannot translate"), JFK.open("rb") as file:
        client.audio.translations.create(file=file, model="whisper-1")
    with pytest.raises(openai.NotFoundError, match="Model not found: ggml-large-v3"):
        client.models.retrieve("large")
    with pytest.raises(openai.NotFoundError) as missing, JFK.open("rb") as file:
        client.audio.transcriptions.create(file=file, model="gpt-17")
    assert missing.value.body == {
        "message": "Model not found: gpt-17",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }


def test_who_has_too_few_tokens_is_told_so_once(tiny_en_model: Path, tmp_path: Path) -> None:
    poor = {"WHISPER_SERVICE_BILLING_INITIAL_TOKEN_BALANCE": "5"}
    server = start_server(tmp_path, tiny_en_model.parent, **MODEL, **poor)
    user = Client(server, "poor")
    key = user.headers["Authorization"].removeprefix("Bearer ")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=key)
    with pytest.raises(openai.RateLimitError, match="Required: 11, Available: 5") as error:
        transcribe(client, JFK)
    assert error.value.code == "insufficient_quota"
    assert user.call("GET", "/user")["token_balance"] == 5
    assert server.stop() == 0
    assert rows(tmp_path, "SELECT count(*) FROM transcription") == [(1,)]


def test_a_retry_joins_and_does_not_pay_again(
    client: openai.OpenAI, user: Client, server: LiveServer
) -> None:
    again = {"X-Stainless-Retry-Count": "1"}
    start = threading.Barrier(2)

    def ask(**fields: Any) -> str:
        start.wait(10)
        return transcribe(client, JFK, **fields).text

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(ask), pool.submit(ask, extra_headers=again)
        assert first.result(60) == second.result(60)
    assert transcribe(client, JFK, extra_headers=again).text == first.result()
    assert user.call("GET", "/user")["token_balance"] in {1000 - 11, 1000 - 22}
    balance = user.call("GET", "/user")["token_balance"]
    assert transcribe(client, JFK, extra_headers=again).text == first.result()
    assert user.call("GET", "/user")["token_balance"] == balance
    assert json.loads(transcribe(client, JFK).model_dump_json())["text"] == first.result()
    assert user.call("GET", "/user")["token_balance"] == balance - 11
