"""Words made of Whisper's tokens, and segments that are split between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from whisper_service.whisper.binding import binding

# Languages written without spaces, in which a word is a token.
UNSPACED = {"ja", "lo", "my", "th", "yue", "zh"}


@dataclass(frozen=True)
class TimedText:
    """A word or a segment: UTF-8 with its tokens, and from when to when it is spoken, in seconds.

    The text of a word may be a part of a letter. `words` are those of a segment.
    """

    text: bytes
    start: float
    end: float
    tokens: list[Any]
    words: Sequence["TimedText"] = ()


def join_tokens(context: Any, tokens: Sequence[Any], *, unspaced: bool) -> list[TimedText]:  # noqa: ANN401
    """Join tokens into words, which begin with a space in scripts that have any."""
    words: list[TimedText] = []
    for token in tokens:
        text = binding.whisper_token_to_bytes(context, token.id)
        begins = text.startswith(b" ") or (unspaced and words and _is_whole(words[-1].text))
        if words and not begins:
            before = words.pop()
            word = TimedText(
                before.text + text, before.start, token.t1 / 100, [*before.tokens, token]
            )
        else:
            word = TimedText(text, token.t0 / 100, token.t1 / 100, [token])
        words.append(word)
    return words


def split(segment: TimedText, breaks: Sequence[float]) -> list[TimedText]:
    """Split a segment where a pause was left out of it, between the words nearest to that."""
    parts = []
    start, words = segment.start, list(segment.words)
    for moment in breaks:
        if not start < moment < segment.end:
            continue
        count = _words_before(moment, words, start, segment.end)
        if count:
            parts.append(_part(words[:count], start, moment))
        start, words = moment, words[count:]
    if not parts:
        return [replace(segment, start=start)]
    return [*parts, _part(words, start, segment.end)] if words else parts


def _words_before(moment: float, words: Sequence[TimedText], start: float, end: float) -> int:
    """Return how many of the words are spoken before a moment."""
    ends = [start, *(word.end for word in words)]
    starts = [*(word.start for word in words), end]
    return min(
        range(len(words) + 1), key=lambda count: abs(ends[count] + starts[count] - 2 * moment)
    )


def _part(words: Sequence[TimedText], start: float, end: float) -> TimedText:
    text = b"".join(word.text for word in words)
    tokens = [token for word in words for token in word.tokens]
    return TimedText(text, start, end, tokens, words)


def _is_whole(text: bytes) -> bool:
    return "\ufffd" not in text.decode(errors="replace")
