"""Rendering of transcripts as JSON: cached, and one large transcript at a time.

Anybody who knows a uuid may request it as often as they like, in many layouts.
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
from whisper_service.transcripts.formats import FORMATS, encode
from whisper_service.transcripts.transcript import Transcript
from whisper_service.web.limits import ConcurrencyLimit

# Rendering this much stored JSON takes 50 ms. The 8 MB of 12 hours of speech with word timestamps
# take a second.
LARGE_BYTES = 256 * 1024
CACHE_BYTES = 32 * 1024**2
BUSY = "The server is rendering other long transcripts. Try again in a second"


@dataclass(frozen=True)
class View:
    """How to render a completed transcription; a `format` of None is the one it was made for.

    `original` leaves out what was corrected.
    """

    format: str | None
    layout: Layout
    original: bool = False

    def format_of(self, row: Transcription) -> str:
        return self.format or row.format


class ResultKey(NamedTuple):
    """What a result was rendered from. The id of a transcript is never reused.

    `correction` is the transcription that has it, and its revision.
    """

    transcript_id: int
    correction: tuple[int, int] | None
    format: str
    layout: Layout


@dataclass(frozen=True)
class Rendered:
    """`data` is JSON in UTF-8, `language` the code of the spoken language, if any was."""

    language: str | None
    data: bytes

    @property
    def text(self) -> str:
        text: str = json.loads(self.data)["text"]
        return text


def result_key(row: Transcription, view: View) -> ResultKey:
    """Return the key of a completed transcription's result. JSON formats have no layout."""
    name = view.format_of(row)
    layout = Layout() if FORMATS[name].is_json else view.layout
    assert row.transcript_id is not None
    is_corrected = row.revision > 0 and not view.original
    correction = (row.id, row.revision) if is_corrected else None
    return ResultKey(row.transcript_id, correction, name, layout)


class Renderer:
    """Renders stored transcripts and caches the most recently used results."""

    def __init__(self, capacity: int = CACHE_BYTES) -> None:
        self._capacity = capacity
        self._size = 0
        self._results: OrderedDict[ResultKey, Rendered] = OrderedDict()
        self._lock = threading.Lock()
        self._places = ConcurrencyLimit(total=2, per_key=1)
        # Rendering holds the interpreter's lock: two at once would take as long as one after the
        # other, and could render the same result twice.
        self._small_lock = threading.Lock()
        self._large_lock = threading.Lock()

    def cached(self, key: ResultKey) -> Rendered | None:
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
            return self._results.get(key)

    def render(
        self, stored: Mapping[ResultKey, str], network: str | None
    ) -> dict[ResultKey, Rendered]:
        """Render stored transcripts, or take the results from the cache.

        `network` is that of the client; None for a waiting request, as the number of those is
        limited. Raises TooManyRequests if the transcripts are large and others are being rendered.
        """
        size = sum(len(data) for key, data in stored.items() if self.cached(key) is None)
        parse = lru_cache(maxsize=1)(Transcript.from_json)  # a transcript's formats come together
        results = {}
        with ExitStack() as stack:
            if size > LARGE_BYTES and network is not None:
                stack.enter_context(self._places.place(network, TooManyRequests(BUSY, 1)))
            stack.enter_context(self._large_lock if size > LARGE_BYTES else self._small_lock)
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
    return Rendered(transcript.language, encode(data))
