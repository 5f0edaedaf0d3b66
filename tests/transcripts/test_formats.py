import srt
import webvtt

from tests.support.engine import segment
from whisper_service.transcripts import formats
from whisper_service.transcripts.cues import Layout
from whisper_service.transcripts.transcript import Transcript, tidy

PARTS = [
    segment(0.0, 3.5, "First segment text."),
    segment(3.5, 8.2, "Second segment text."),
]
TRANSCRIPT = Transcript("First segment text. Second segment text.", "en", 8.25, PARTS)
PLAIN = Layout()
NOTHING = Transcript("", "en", 8.25, [])


def test_srt_is_the_references_example() -> None:
    assert formats.srt(TRANSCRIPT, PLAIN) == {
        "text": "1\n00:00:00,000 --> 00:00:03,500\nFirst segment text.\n\n"
        "2\n00:00:03,500 --> 00:00:08,200\nSecond segment text."
    }


def test_vtt_is_the_references_example() -> None:
    assert formats.vtt(TRANSCRIPT, PLAIN) == {
        "text": "WEBVTT\n\n00:00:00.000 --> 00:00:03.500\nFirst segment text.\n\n"
        "00:00:03.500 --> 00:00:08.200\nSecond segment text."
    }


def test_verbose_json_has_the_references_fields_and_openais() -> None:
    answer = formats.verbose_json(TRANSCRIPT, PLAIN)
    assert answer["text"] == "First segment text. Second segment text."
    assert answer["language"] == "en"
    assert answer["duration"] == 8.25
    assert answer["segments"][1] == {
        "id": 1,
        "start": 3.5,
        "end": 8.2,
        "text": "Second segment text.",
        "language": "en",
        "tokens": [1, 2],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 1.0,
    }


def test_nothing_heard_is_valid_in_every_format() -> None:
    assert formats.srt(NOTHING, PLAIN) == {"text": ""}
    assert formats.vtt(NOTHING, PLAIN) == {"text": "WEBVTT"}
    assert formats.verbose_json(NOTHING, PLAIN)["segments"] == []


def test_hours_and_markup_survive_other_parsers() -> None:
    words = "a --> b & <i>c</i>"
    transcript = Transcript(words, "en", 40_000.0, [segment(36_000.25, 39_999.999, words)])
    (cue,) = srt.parse(formats.srt(transcript, PLAIN)["text"])
    assert cue.content == "a -> b & <i>c</i>"
    assert cue.end.total_seconds() == 39_999.999
    (caption,) = webvtt.from_string(formats.vtt(transcript, PLAIN)["text"])
    assert caption.raw_text == "a --&gt; b &amp; &lt;i&gt;c&lt;/i&gt;"
    assert caption.start == "10:00:00.250"


def test_a_stored_transcript_comes_back_the_same() -> None:
    assert Transcript.from_json(TRANSCRIPT.to_json()) == TRANSCRIPT


def test_tidy_keeps_order_and_the_end_of_the_recording() -> None:
    rough = [
        segment(0.0, 2.0, "  one\n"),
        segment(1.5, 3.0, "two"),
        segment(3.0, 3.0, "and"),
        segment(3.0, 4.0, "  "),
        segment(3.2, 9.0, "three"),
        segment(9.0, 9.5, "four"),
    ]
    tidied = tidy(rough, 5.0005)
    assert [(item.start, item.end, item.text) for item in tidied] == [
        (0.0, 2.0, "one"),
        (2.0, 3.0, "two and"),
        (3.2, 5.0, "three four"),
    ]
