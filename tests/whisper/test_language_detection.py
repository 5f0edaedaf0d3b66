"""Speech that does not fit the language of its chunk is decoded in its own."""

from dataclasses import replace

from tests.support.engine import segment
from whisper_service.transcripts.transcript import Segment, Word
from whisper_service.whisper.language_detection import in_their_languages, likeliest

FITS = replace(segment(0, 5, " Hello", "en"), avg_logprob=-0.2)
DOUBT = [
    replace(segment(5, 8, " Good tack.", "en"), avg_logprob=-1.1),
    replace(segment(8, 9, " I'll.", "en"), avg_logprob=-0.9),
]
WORDS = [Word("Guten", 0.5, 1), Word("Tag", 1, 3)]
GERMAN = replace(segment(0, 3.5, " Guten Tag", "de"), avg_logprob=-0.3, words=WORDS)


def mended(segments: list[Segment], language: str, other: Segment) -> tuple[list[Segment], list]:
    asked = []

    def detect(start: float, end: float) -> str:
        asked.append((start, end))
        return language

    def decode_in(code: str, start: float, end: float) -> list[Segment]:
        asked.append((code, start, end))
        return [other]

    return in_their_languages(segments, detect, decode_in), asked


def test_a_doubtful_stretch_is_decoded_in_its_language() -> None:
    (hello, tag), asked = mended([FITS, *DOUBT], "de", GERMAN)
    assert asked == [(5, 9), ("de", 5, 9)]
    assert hello == FITS
    assert (tag.text, tag.language, tag.start, tag.end) == (" Guten Tag", "de", 5, 8.5)
    assert tag.words == [Word("Guten", 5.5, 6), Word("Tag", 6, 8)]


def test_it_stays_if_it_is_likelier_in_the_first_language() -> None:
    worse = replace(GERMAN, avg_logprob=-1.5)
    assert mended([FITS, *DOUBT], "de", worse)[0] == [FITS, *DOUBT]


def test_it_stays_if_its_language_is_the_same() -> None:
    assert mended([FITS, *DOUBT], "en", GERMAN) == ([FITS, *DOUBT], [(5, 9)])


def test_what_fits_or_is_short_is_not_decoded_again() -> None:
    short = replace(DOUBT[0], end=6)
    assert mended([FITS, short, FITS], "de", GERMAN) == ([FITS, short, FITS], [])


def test_the_likeliest_language_is_one_of_the_possible_ones() -> None:
    found = {"en": 0.6, "de": 0.3, "fr": 0.1}
    assert likeliest(found, "") == "en"
    assert likeliest(found, "fr de") == "de"
    assert likeliest(found, "yue") == "yue"  # which older models do not know
