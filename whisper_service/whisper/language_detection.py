"""The language that is spoken in a chunk, or in each part of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from whisper_service.errors import ServiceError
from whisper_service.transcripts.transcript import Segment, Word
from whisper_service.whisper.binding import binding, logits

# Segments with a lower mean log-probability may be in another language. In what was measured, those
# that were had -0.9 to -1.3, the others -0.02 to -0.55.
DOUBTFUL = -0.6
# What is shorter does not tell its language.
SHORTEST_SECONDS = 1.5


def in_their_languages(
    segments: Sequence[Segment],
    detect: Callable[[float, float], str],
    decode_in: Callable[[str, float, float], list[Segment]],
) -> list[Segment]:
    """Decode doubtful stretches again in the language that is detected in each of them.

    `detect(start, end)` and `decode_in(language, start, end)` take seconds of the chunk; the times
    of the decoded segments count from `start`. The likelier segments are kept.
    """
    result: list[Segment] = []
    for is_doubtful, group in groupby(segments, lambda each: each.avg_logprob < DOUBTFUL):
        stretch = list(group)
        start, end = stretch[0].start, stretch[-1].end
        if is_doubtful and end - start >= SHORTEST_SECONDS:
            language = detect(start, end)
            if language != stretch[0].language:
                other = [_moved(each, start) for each in decode_in(language, start, end)]
                stretch = likelier(stretch, other)
        result += stretch
    return result


def likelier(one: list[Segment], other: list[Segment]) -> list[Segment]:
    """Return those of two transcripts whose tokens have the higher mean log-probability."""
    return max(one, other, key=_log_probability)


def _log_probability(segments: Sequence[Segment]) -> float:
    tokens = sum(len(segment.tokens) for segment in segments)
    total = sum(segment.avg_logprob * len(segment.tokens) for segment in segments)
    return total / tokens if tokens else -math.inf


def _moved(segment: Segment, seconds: float) -> Segment:
    words = [Word(word.text, word.start + seconds, word.end + seconds) for word in segment.words]
    start, end = segment.start + seconds, segment.end + seconds
    return replace(segment, start=start, end=end, words=words)


def probabilities(context: Any, threads: int) -> dict[str, float]:  # noqa: ANN401
    """Return the probability of each language in the chunk that was encoded last.

    That takes one step of the decoder (openai/whisper's `detect_language`).
    """
    start = binding.whisper_token_sot(context)
    if binding.whisper_decode(context, start, 1, 0, threads) != 0:
        raise ServiceError("The recording could not be transcribed")
    found = logits(context)
    scores = {
        binding.whisper_lang_str(number): found[binding.whisper_token_lang(context, number)]
        for number in range(_languages(context))
    }
    highest = max(scores.values())
    weights = {language: math.exp(score - highest) for language, score in scores.items()}
    total = sum(weights.values())
    return {language: weight / total for language, weight in weights.items()}


def likeliest(found: Mapping[str, float], among: str) -> str:
    """Return the most probable language of those that `Options.languages` allows."""
    return max(among.split() or found, key=lambda code: found.get(code, 0.0))


def _languages(context: Any) -> int:  # noqa: ANN401
    """Return how many languages a model knows: those between its tokens for the start and tasks."""
    first, after = binding.whisper_token_lang(context, 0), binding.whisper_token_translate(context)
    count: int = after - first
    return count
