"""The words of the recordings in tests/data, and how well a transcript matches them."""

import re

import jiwer

WORDS = {
    "jfk.wav": "And so my fellow Americans, ask not what your country can do for you, "
    "ask what you can do for your country.",
    "austen-0870.wav": "and mister john dashwood had then leisure to consider how much there "
    "might be prudently in his power to do for them",
    "austen-0880.wav": "he was not an ill disposed young man",
    "austen-0890.wav": "unless to be rather cold hearted and rather selfish is to be ill disposed",
    "austen-0920.wav": "had he married a more amiable woman he might have been made still more "
    "respectable than he was",
    "austen-0930.wav": "he might even have been made amiable himself",
}


def normalise(text: str) -> str:
    """Make two spellings of the same words equal: case, punctuation, hyphens, a title."""
    words = re.sub(r"[^a-z' ]", " ", text.lower()).split()
    return " ".join("mister" if word == "mr" else word for word in words)


def word_error_rate(said: dict[str, str], heard: dict[str, str]) -> float:
    """Return the share of wrong words over all recordings."""
    names = sorted(said)
    return jiwer.wer(
        [normalise(said[name]) for name in names], [normalise(heard[name]) for name in names]
    )
