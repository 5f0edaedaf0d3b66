"""How long recordings are taken to be at most: the honest are longer than none of it."""

from pathlib import Path

import pytest

from tests.support.ffmpeg import quiet_flac, run_ffmpeg
from tests.support.harness import in_part
from tests.support.paths import DATA
from whisper_service.audio import SAMPLE_RATE
from whisper_service.files import ffmpeg, lengths, media, transcoding
from whisper_service.files.lengths import ClaimedLength

MAX_SECONDS = 12 * 3600
HOURS = 3 * 3600
TALK = f"-stream_loop 4 -i {DATA / 'jfk.wav'}"  # 55 s
NOISE = "-f lavfi -i anoisesrc=d=2:r=16000:a=0.5"
QUIET = "-f lavfi -i anullsrc=r=16000:cl=mono:d=150"
QUIET_LATER = f"{NOISE} {QUIET} -filter_complex [0][1]concat=v=0:a=1"
OPUS = "-c:a libopus -b:a 6k"
DTX = f"{OPUS} -dtx 1 -application voip -frame_duration 60"
# Name -> how it is made, how many of it are joined, the length that is claimed, the real one.
HONEST: dict[str, tuple[str, int, ClaimedLength | None, int]] = {
    "vbr.mp3": (f"{TALK} -q:a 5 -write_xing 0", 1, ClaimedLength(51, is_estimate=True), 55),
    "later.mp3": (f"{QUIET_LATER} -q:a 0 -write_xing 0", 1, None, 152),
    "joined.mp3": (f"{TALK} -q:a 5", 3, None, 165),
    "later.aac": (f"{QUIET_LATER} -b:a 96k", 1, None, 152),
    "talk.opus": (f"{TALK} {OPUS}", 1, ClaimedLength(56), 55),
    "chained.opus": (f"{TALK} {OPUS}", 4, ClaimedLength(56), 220),
    "stream.webm": (f"{TALK} {OPUS} -live 1", 1, ClaimedLength(), 55),
    "muted.webm": (f"{QUIET} {DTX} -live 1", 1, ClaimedLength(), 150),
    "talk.ts": (f"{TALK} -c:a aac -b:a 24k", 1, ClaimedLength(55), 55),
    "joined.ts": (f"{TALK} -c:a aac -b:a 24k", 4, ClaimedLength(55), 220),
    "talk.wav": (TALK, 1, ClaimedLength(55), 55),
}
VARIED = {"vbr.mp3", "later.aac", "chained.opus", "muted.webm", "joined.ts", "talk.wav"}


@pytest.mark.parametrize("name", in_part(VARIED, HONEST))
def test_an_honest_recording_is_taken_whole(tmp_path: Path, name: str) -> None:
    how, times, claimed, seconds = HONEST[name]
    source = tmp_path / name
    run_ffmpeg(*how.split(), source)
    source.write_bytes(source.read_bytes() * times)
    kind = media.probe(source)
    assert claimed in {None, kind.length}, kind.length
    samples = transcoding.extract(source, kind, tmp_path / "wav", MAX_SECONDS, lambda: True)
    assert samples / SAMPLE_RATE == pytest.approx(seconds, rel=0.02)


def test_a_wav_from_a_pipe_is_as_long_as_its_bytes(tmp_path: Path) -> None:
    content = bytearray((DATA / "jfk.wav").read_bytes())
    position = content.index(b"data") + 4
    content[position : position + 4] = b"\xff" * 4
    source = tmp_path / "piped.wav"
    source.write_bytes(content)
    assert media.probe(source).length == ClaimedLength(11, is_estimate=True)


def test_a_title_cannot_pose_as_a_length(tmp_path: Path) -> None:
    source = tmp_path / "song.flac"
    estimate = "[in#0/flac @ 0x0] Estimating duration from bitrate"
    lines = ["x", "  Duration: 99:00:00.00, start", estimate]
    for end in ("\n", "\r", "\u2028"):
        run_ffmpeg("-i", DATA / "jfk.wav", "-metadata", f"title={end.join(lines)}", source)
        assert media.probe(source).length == ClaimedLength(11)


def test_what_is_much_longer_than_it_claims_ends_early(tmp_path: Path) -> None:
    source = quiet_flac(tmp_path / "quiet.flac", HOURS, claimed_seconds=5)
    kind = media.probe(source)
    with pytest.raises(ffmpeg.MediaError, match="much longer than its file claims"):
        transcoding.extract(source, kind, tmp_path / "wav", MAX_SECONDS, lambda: True)
    assert (tmp_path / "wav").stat().st_size < 80 * 2 * SAMPLE_RATE


def test_the_copy_of_what_is_much_longer_than_it_claims_ends_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcoding, "GROWTH_BYTES", 0)
    source = quiet_flac(tmp_path / "quiet.flac", HOURS, claimed_seconds=5)
    kind = media.probe(source)
    with pytest.raises(ffmpeg.MediaError, match="too large"):
        transcoding.encode(source, kind, tmp_path / "copy", MAX_SECONDS, lambda: True)
    assert (tmp_path / "copy").stat().st_size < 80 * transcoding.SOUND_BYTES


def test_what_claims_far_too_much_is_refused_before_any_work(tmp_path: Path) -> None:
    source = quiet_flac(tmp_path / "quiet.flac", HOURS)
    kind = media.probe(source)
    assert kind.length == ClaimedLength(HOURS)
    with pytest.raises(ffmpeg.MediaError, match="^The recording is longer than 3600 seconds$"):
        transcoding.extract(source, kind, tmp_path / "wav", 3600, lambda: True)
    assert not (tmp_path / "wav").exists()


def test_a_run_has_as_much_time_as_its_recording_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lengths, "START_SECONDS", -1)
    monkeypatch.setattr(lengths, "SOUND_FACTOR", 0)
    monkeypatch.setattr(ffmpeg, "POLL_INTERVAL", 0.01)
    source = quiet_flac(tmp_path / "quiet.flac", HOURS)
    kind = media.probe(source)
    with pytest.raises(ffmpeg.MediaError, match="took too long"):
        transcoding.extract(source, kind, tmp_path / "wav", MAX_SECONDS, lambda: True)


@pytest.mark.parametrize(
    ("claimed", "size", "longest"),
    [
        (ClaimedLength(100), 0, 260),
        (ClaimedLength(100), 500_000, 1000),
        (ClaimedLength(100, is_estimate=True), 500_000, 10_000),
        (ClaimedLength(), 1000, 60),
        (ClaimedLength(), 500_000, 10_000),
        (ClaimedLength(0), 10, 60),
        (ClaimedLength(40_000), 10, MAX_SECONDS),
        (ClaimedLength(), 10**10, MAX_SECONDS),
    ],
)
def test_how_long_a_recording_can_be(claimed: ClaimedLength, size: int, longest: int) -> None:
    assert claimed.longest(size, MAX_SECONDS) == longest


def test_a_length_that_is_only_an_estimate_is_never_refused() -> None:
    assert ClaimedLength(10**6).is_far_beyond(MAX_SECONDS)
    assert not ClaimedLength(10**6, is_estimate=True).is_far_beyond(MAX_SECONDS)
    assert not ClaimedLength(MAX_SECONDS + 1).is_far_beyond(MAX_SECONDS)
    assert not ClaimedLength().is_far_beyond(MAX_SECONDS)
