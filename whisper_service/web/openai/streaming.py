"""A transcript as it is made, in OpenAI's server-sent events (WHATWG HTML, section 9.2)."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from flask import Response, request

from whisper_service.errors import ServiceError, Unavailable
from whisper_service.jobs import orders
from whisper_service.transcripts.transcript import Segment, Transcript
from whisper_service.web import speech, waiting
from whisper_service.web.errors import render_error
from whisper_service.web.openai.answers import logprobs
from whisper_service.web.services import Services, services

HEARTBEAT = b":\n\n"
# What Whisper's encoder makes of a second.
AUDIO_TOKENS_PER_SECOND = 50


def respond(uuid: str, *, with_logprobs: bool) -> Response:
    """Stream a transcription that was joined, which is left at the end of the response.

    Raises the error of one that fails before anything is sent.
    """
    running = services()
    events = _events(running, uuid, waiting.disconnect_check(), _Deltas(with_logprobs))
    leave = partial(speech.leave, running, uuid)
    try:
        first = next(events, HEARTBEAT)
    except BaseException:
        leave()
        raise
    stream = _until_error(chain([first], events), request.path)
    response = Response(stream, mimetype="text/event-stream")
    response.call_on_close(leave)
    response.headers["Cache-Control"] = "no-store"
    return response


class _Deltas:
    """The text so far, in events with what is new."""

    def __init__(self, with_logprobs: bool) -> None:  # noqa: FBT001
        self.chunks = 0
        self._with_logprobs = with_logprobs
        self._sent = ""
        self._held = ""  # white space, which may be the last
        self._tokens = 0

    def add(self, chunks: Sequence[Sequence[Segment]]) -> Iterator[bytes]:
        """Yield an event for the chunks that follow those before, if they have text."""
        self.chunks += len(chunks)
        segments = [segment for chunk in chunks for segment in chunk]
        text = self._held + "".join(segment.text for segment in segments)
        text = text if self._sent else text.lstrip()
        delta = text.rstrip()
        self._held = text[len(delta) :]
        yield from self._event(delta, logprobs(segments))

    def finish(self, transcript: Transcript) -> Iterator[bytes]:
        """Yield the rest of the text, and the end. Raises Unavailable if it became another text."""
        if not transcript.text.startswith(self._sent):
            raise Unavailable("The transcription was made anew. Please repeat the request")
        tokens = logprobs(transcript.segments)
        yield from self._event(transcript.text[len(self._sent) :], tokens[self._tokens :])
        done = {"text": transcript.text, "usage": _usage(transcript)}
        yield _render("transcript.text.done", done | self._optional(tokens))

    def _event(self, delta: str, tokens: list[dict[str, Any]]) -> Iterator[bytes]:
        if delta:
            self._sent += delta
            self._tokens += len(tokens)
            yield _render("transcript.text.delta", {"delta": delta} | self._optional(tokens))

    def _optional(self, tokens: list[dict[str, Any]]) -> dict[str, Any]:
        return {"logprobs": tokens} if self._with_logprobs else {}


def _events(
    running: Services, uuid: str, is_gone: Callable[[], bool], deltas: _Deltas
) -> Iterator[bytes]:
    """Yield events, and a heartbeat now and then. Raises what `speech.follow` raises."""
    sent = time.monotonic()
    for row in speech.follow(running, uuid, is_gone):
        if transcript := orders.transcript_of(row):
            yield from deltas.finish(transcript)
            return
        heard = running.worker.runner.scheduler.heard(str(row.claim), deltas.chunks)
        events = list(deltas.add(heard))
        if not events and time.monotonic() - sent > waiting.HEARTBEAT_SECONDS:
            events = [HEARTBEAT]
        if events:
            yield from events
            sent = time.monotonic()


def _until_error(events: Iterator[bytes], path: str) -> Iterator[bytes]:
    """Yield events; an error, which comes too late for a status, is the last one."""
    try:
        yield from events
    except ServiceError as error:
        _, body = render_error(path, error)
        yield b"data: %s\n\n" % body.encode()


def _render(kind: str, fields: dict[str, Any]) -> bytes:
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return b"data: %s\n\n" % data.encode()


def _usage(transcript: Transcript) -> dict[str, Any]:
    """Return the tokens of the audio and of the text, which are not what the service charges."""
    audio = math.ceil(transcript.duration * AUDIO_TOKENS_PER_SECOND)
    text = sum(len(segment.tokens) for segment in transcript.segments)
    return {
        "type": "tokens",
        "input_tokens": audio,
        "output_tokens": text,
        "total_tokens": audio + text,
        "input_token_details": {"audio_tokens": audio, "text_tokens": 0},
    }
