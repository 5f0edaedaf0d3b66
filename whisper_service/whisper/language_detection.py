"""The language that is spoken in a chunk."""

import math
from typing import Any

from whisper_service.errors import ServiceError
from whisper_service.whisper.binding import binding, logits


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


def _languages(context: Any) -> int:  # noqa: ANN401
    """Return how many languages a model knows: those between its tokens for the start and tasks."""
    first, after = binding.whisper_token_lang(context, 0), binding.whisper_token_translate(context)
    count: int = after - first
    return count
