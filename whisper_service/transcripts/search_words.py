"""The words by which transcripts are searched, and how a search is written for SQLite's FTS5.

A word is a run of letters, digits and marks, without regard to case and accents. Scripts that put
no spaces between words have one word for each character; several in a row are a phrase. Every word
that is indexed or searched for begins with its owner, so that an index is shared by all users and
a search costs nothing for what others have.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

from playhouse.fts_parser import parse

# Thai, Lao, Myanmar, Khmer; kana, Han, Hangul and their extensions.
_APART = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u303a"
    "\u3040-\u30ff\u3100-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff"
    "\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff"
)
_LAST_MARK = 0x1FFFF  # but for variation selectors, which no word needs
_ASCII_WORD = re.compile("[a-z0-9]+")
_PARENTHESES = str.maketrans("()", "  ")
_PHRASE = re.compile(r'"([^"]*)"(\*?)')


class FoundWord(NamedTuple):
    """A word of a text, as it is compared, and where it is in the text."""

    folded: str
    start: int
    end: int


@dataclass(frozen=True)
class Phrase:
    """Words that follow each other; the last is the beginning of a word if it `is_prefix`."""

    words: tuple[str, ...]
    is_prefix: bool


def find_words(text: str) -> Iterator[FoundWord]:
    for match in _word().finditer(text):
        if folded := _fold(match[0]):
            yield FoundWord(folded, match.start(), match.end())


def indexed(owner: int, text: str) -> str:
    """Return a text as it is indexed for a user."""
    if text.isascii():  # a tenth of the time
        words: Iterable[str] = _ASCII_WORD.findall(text.lower())
    else:
        words = (word.folded for word in find_words(text))
    return " ".join(f"u{owner}x{word}" for word in words)


def query(owner: int, search: str) -> str:
    """Translate what somebody types into a search box into a query of FTS5.

    It finds texts of the owner alone. Anything that can be typed is valid.
    """

    def own(match: re.Match[str]) -> str:
        return f'"{indexed(owner, match[1])}"{match[2]}'

    return _PHRASE.sub(own, _parse(search))


def phrases(search: str) -> list[Phrase]:
    """Return the phrases of a search, for `matches`."""
    found = (
        Phrase(tuple(word.folded for word in find_words(match[1])), bool(match[2]))
        for match in _PHRASE.finditer(_parse(search))
    )
    return [phrase for phrase in found if phrase.words]


def matches(text: str, searched: Sequence[Phrase]) -> list[tuple[int, int]]:
    """Return where the phrases are in a text, in order and without overlaps."""
    words = list(find_words(text))
    ranges = sorted(
        (words[at].start, words[at + len(phrase.words) - 1].end)
        for phrase in searched
        for at in range(len(words) - len(phrase.words) + 1)
        if _fits(phrase, words[at : at + len(phrase.words)])
    )
    apart: list[tuple[int, int]] = []
    for start, end in ranges:
        if apart and start <= apart[-1][1]:
            apart[-1] = apart[-1][0], max(end, apart[-1][1])
        else:
            apart.append((start, end))
    return apart


def _parse(search: str) -> str:
    """Return a query of quoted phrases. Parentheses are left out: nested ones can be too deep."""
    return str(parse(search.translate(_PARENTHESES)))


def _fits(phrase: Phrase, words: Sequence[FoundWord]) -> bool:
    *before, last = (word.folded for word in words)
    *wanted, end = phrase.words
    return before == wanted and (last.startswith(end) if phrase.is_prefix else last == end)


@cache
def _word() -> re.Pattern[str]:
    """Return the pattern of a word. Marks are part of words, although Python takes none for one."""
    codes = map(chr, range(_LAST_MARK))
    marks = "".join(code for code in codes if unicodedata.category(code).startswith("M"))
    return re.compile(rf"[{_APART}]|(?:[^\W_{_APART}]|[{marks}])+")


@lru_cache(maxsize=50_000)
def _fold(word: str) -> str:
    """Return a word without case and accents, and in one form of each character."""
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", plain)
