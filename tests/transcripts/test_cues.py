"""Cues in lines that can be read, and when they are shown."""

from dataclasses import replace

import pytest

from tests.support.engine import segment
from whisper_service.transcripts import formats
from whisper_service.transcripts.cues import Layout, cues
from whisper_service.transcripts.transcript import Segment, Transcript, Word

LONG = "ask not what your country can do for you, ask what you can do for your country."


def of(*segments: Segment) -> Transcript:
    return Transcript(" ".join(each.text for each in segments), "en", 60.0, list(segments))


def test_without_a_width_a_segment_is_a_cue() -> None:
    (cue,) = cues(of(segment(1.0, 9.0, LONG)), Layout())
    assert (cue.start, cue.end, cue.lines) == (1.0, 9.0, [LONG])


@pytest.mark.parametrize("width", [8, 20, 42, 79, 80, 200])
def test_lines_keep_the_width_and_every_word(width: int) -> None:
    (cue,) = cues(of(segment(1.0, 9.0, LONG)), Layout(width))
    assert all(len(line) <= width for line in cue.lines)
    assert " ".join(cue.lines) == LONG
    assert len(cue.lines) >= len(LONG) / (width + 1)


def test_more_lines_than_a_cue_has_make_more_cues_one_after_the_other() -> None:
    made = cues(of(segment(1.0, 9.0, LONG), segment(9.5, 10.0, "Yes.")), Layout(20, 2))
    assert [len(cue.lines) for cue in made] == [2, 2, 1, 1]
    assert " ".join(line for cue in made for line in cue.lines) == f"{LONG} Yes."
    times = [time for cue in made for time in (cue.start, cue.end)]
    assert times == sorted(times)
    assert (made[0].start, made[2].end, made[3].start) == (1.0, 9.0, 9.5)
    assert all(cue.end - cue.start > 0.5 for cue in made[:2])


def test_a_break_is_timed_by_its_word() -> None:
    words = [Word("one", 1.0, 1.2), Word("two", 4.0, 4.2), Word("three", 8.0, 8.5)]
    (first, second) = cues(
        of(replace(segment(1.0, 9.0, "one two three"), words=words)), Layout(7, 1)
    )
    assert (first.lines, first.start, first.end) == (["one two"], 1.0, 8.0)
    assert (second.lines, second.start, second.end) == (["three"], 8.0, 9.0)


def test_a_word_longer_than_a_line_is_cut() -> None:
    text = "そして、私の同胞アメリカ人の皆さん"
    made = cues(of(segment(0.0, 5.0, text)), Layout(5, 1))
    assert "".join(line for cue in made for line in cue.lines) == text
    assert all(len(cue.lines[0]) <= 5 for cue in made)
    assert [cue.start for cue in made] == sorted({cue.start for cue in made})


TRANSCRIPT = of(segment(0.0, 3.5, "First one."), segment(63.5, 3723.256, "Second <b>one</b>."))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("json", "First one. Second <b>one</b>."),
        ("txt", "First one.\nSecond <b>one</b>."),
        ("tsv", "start\tend\ttext\n0\t3500\tFirst one.\n63500\t3723256\tSecond <b>one</b>."),
        ("lrc", "[00:00.00]First one.\n[01:03.50]Second <b>one</b>."),
    ],
)
def test_txt_tsv_and_lrc_are_rendered(name: str, text: str) -> None:
    assert formats.FORMATS[name].render(TRANSCRIPT, Layout()) == {"text": text}


def test_words_are_in_verbose_json_when_they_were_asked_for() -> None:
    words = [Word("First", 0.1, 0.5), Word("one.", 0.6, 3.5)]
    answer = formats.verbose_json(
        of(replace(segment(0.0, 3.5, "First one."), words=words)), Layout()
    )
    assert answer["words"] == [
        {"word": "First", "start": 0.1, "end": 0.5},
        {"word": "one.", "start": 0.6, "end": 3.5},
    ]
    assert "words" not in formats.verbose_json(TRANSCRIPT, Layout())
