"""Finished transcripts as JSON text: cached, and the large ones rendered one at a time.

Anybody who knows a uuid may ask, as often as they like and in many layouts.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from whisper_service.errors import TooManyRequests
from whisper_service.tables import Transcription
from whisper_service.transcripts.cues import Layout
from whisper_service.transcripts.formats import FORMATS
from whisper_service.transcripts.transcript import Transcript
from whisper_service.web.limits import ConcurrencyLimit

# Rendering takes 50 ms for as much stored JSON as this, and a second for 12 hours of speech with
# the times of its words (8 MB).
LARGE_BYTES = 256 * 1024
CACHE_BYTES = 32 * 1024**2
BUSY = "The server is rendering other long transcripts. Try again in a second"


@dataclass(frozen=True)
class View:
    """How a finished transcription is to be rendered: `format` None is the one of its order."""

    format: str | None
    layout: Layout

    def format_of(self, row: Transcription) -> str:
        return self.format or row.format


class ResultKey(NamedTuple):
    """What a rendered result is the result of. The id of a transcript is never given again."""

    transcript_id: int
    format: str
    layout: Layout


@dataclass(frozen=True)
class Rendered:
    """`data` is JSON in UTF-8, `language` the code of what was spoken."""

    language: str
    data: bytes

    @property
    def text(self) -> str:
        text: str = json.loads(self.data)["text"]
        return text


def result_key(row: Transcription, view: View) -> ResultKey:
    """Return the key of a completed transcription's result. JSON has no lines to lay out."""
    name = view.format_of(row)
    layout = Layout() if FORMATS[name].is_json else view.layout
    assert row.transcript_id is not None
    return ResultKey(row.transcript_id, name, layout)


class Renderer:
    """Renders stored transcripts, and keeps the results that were asked for last."""

    def __init__(self, capacity: int = CACHE_BYTES) -> None:
        self._capacity = capacity
        self._size = 0
        self._results: OrderedDict[ResultKey, Rendered] = OrderedDict()
        self._lock = threading.Lock()
        self._places = ConcurrencyLimit(total=2, per_key=1)
        # Rendering holds the interpreter's lock, so that two at once would take as long as one
        # after the other, and the same result would be rendered twice.
        self._small_turn = threading.Lock()
        self._large_turn = threading.Lock()

    def cached(self, key: ResultKey) -> Rendered | None:
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def render(
        self, stored: Mapping[ResultKey, str], network: str | None
    ) -> dict[ResultKey, Rendered]:
        """Render stored transcripts, or take the results from the cache.

        `network` is where the request came from; None for one that holds a place for waiting, and
        so is one of a few. Raises TooManyRequests when there is much to render, and others do so.
        """
        size = sum(len(data) for key, data in stored.items() if self.cached(key) is None)
        parse = lru_cache(maxsize=1)(Transcript.from_json)  # formats of one transcript are in a row
        results = {}
        with ExitStack() as stack:
            if size > LARGE_BYTES and network is not None:
                stack.enter_context(self._places.place(network, TooManyRequests(BUSY, 1)))
            stack.enter_context(self._large_turn if size > LARGE_BYTES else self._small_turn)
            for key, data in stored.items():
                results[key] = self.cached(key) or self._keep(key, _rendered(key, parse(data)))
        return results

    def _keep(self, key: ResultKey, result: Rendered) -> Rendered:
        with self._lock:
            if key in self._results or len(result.data) > self._capacity:
                return result
            self._results[key] = result
            self._size += len(result.data)
            while self._size > self._capacity:
                _, oldest = self._results.popitem(last=False)
                self._size -= len(oldest.data)
        return result


def _rendered(key: ResultKey, transcript: Transcript) -> Rendered:
    data = FORMATS[key.format].render(transcript, key.layout)
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Rendered(transcript.language, text.encode())
