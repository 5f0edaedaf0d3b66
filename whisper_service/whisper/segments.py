"""What whisper.cpp has decoded, as segments: plain values that `Segment.from_dict` takes."""

import zlib
from typing import Any

from whisper_service.whisper.binding import binding
from whisper_service.whisper.protocol import Transcribe
from whisper_service.whisper.words import UNSPACED, TimedText, join_tokens, split


def needs_words(decode: Transcribe) -> bool:
    """Return whether the times of words are needed: by the user, or where a pause was left out."""
    return decode.options.word_timestamps or any(each > 0 for each in decode.breaks)


def read_segments(
    context: Any,  # noqa: ANN401
    temperature: float,
    decode: Transcribe,
) -> tuple[float, list[dict[str, Any]]]:
    """Return the segments, after the compression ratio of all of their text."""
    count = binding.whisper_full_n_segments(context)
    raw = [binding.whisper_full_get_segment_text(context, number) for number in range(count)]
    ratio = round(_compression_ratio(b"".join(raw)), 4)
    segments = []
    for number, text in enumerate(raw):
        start = binding.whisper_full_get_segment_t0(context, number) / 100
        end = binding.whisper_full_get_segment_t1(context, number) / 100
        tokens = _text_tokens(context, number)
        words = []
        if needs_words(decode):
            words = join_tokens(context, tokens, unspaced=decode.language in UNSPACED)
        whole = TimedText(text, start, end, tokens, words)
        segments += [
            {
                **_segment(part, decode),
                "temperature": temperature,
                "compression_ratio": ratio,
                "logprobs": _logprobs(context, part.tokens) if decode.options.logprobs else [],
            }
            for part in split(whole, decode.breaks)
        ]
    return ratio, segments


def _text_tokens(context: Any, number: int) -> list[Any]:  # noqa: ANN401
    """Return the tokens of a segment that are text.

    Identifiers from the end of text upwards are control tokens and timestamps.
    """
    tokens = (
        binding.whisper_full_get_token_data(context, number, position)
        for position in range(binding.whisper_full_n_tokens(context, number))
    )
    return [token for token in tokens if token.id < binding.whisper_token_eot(context)]


def _segment(part: TimedText, decode: Transcribe) -> dict[str, Any]:
    tokens = part.tokens
    segment = {
        "start": part.start,
        "end": part.end,
        "text": part.text.decode(errors="replace"),
        "tokens": [token.id for token in tokens],
        "avg_logprob": round(sum(token.plog for token in tokens) / max(1, len(tokens)), 4),
    }
    if decode.options.word_timestamps:
        segment["words"] = [
            {"text": text, "start": word.start, "end": word.end}
            for word in part.words
            if (text := word.text.decode(errors="replace").strip())
        ]
    return segment


def _logprobs(context: Any, tokens: list[Any]) -> list[dict[str, Any]]:  # noqa: ANN401
    return [
        {
            "bytes": list(binding.whisper_token_to_bytes(context, token.id)),
            "logprob": round(token.plog, 4),
        }
        for token in tokens
    ]


def _compression_ratio(text: bytes) -> float:
    return len(text) / len(zlib.compress(text)) if text else 0.0
