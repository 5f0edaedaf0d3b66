"""Sound and pictures that start late, pause or start anew keep their times in both copies."""

from pathlib import Path

import pytest

from tests.support.containers import H264, HERE, HEVC, LONGER, SECONDS, VIDEO, VP8, VP9
from tests.support.conversions import ONSET, bursts, make, onset, sound, starts, upload
from tests.support.harness import in_part
from tests.support.hearing import hear
from tests.support.service import Service
from whisper_service.whisper.engine import Engine

pytestmark = pytest.mark.usefixtures("nothing_hangs")

TIMED = {
    "copied.mp4": f"{H264} -c:a aac",
    "copied.mkv": f"{H264} -c:a aac",
    "copied.ts": f"{H264} -c:a aac",
    "copied.flv": f"{H264} -c:a aac",
    "encoded.mp4": f"{HEVC} -c:a mp3",
    "encoded.mkv": f"{VP8} -c:a libopus",
    "encoded.mov": "-c:v mjpeg -c:a pcm_s16le",
    "encoded.webm": f"{VP9} -c:a libopus",
    "half.mkv": f"{H264} -c:a flac",
    "other-half.mkv": "-c:v mpeg4 -c:a aac",
}


@pytest.mark.parametrize("name", in_part({"copied.mp4", "encoded.mkv", "half.mkv"}, TIMED))
def test_sound_that_starts_late_stays_late(service: Service, tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, f"{LONGER} -itsoffset 4 {HERE} -map 0:v -map 1:a {TIMED[name]}")
    uploaded = upload(service, source)
    assert onset(uploaded.samples) == pytest.approx(4 + ONSET, abs=0.1)
    assert onset(sound(uploaded.path)) == pytest.approx(4 + ONSET, abs=0.1)
    begun = starts(uploaded.path)
    assert begun["video"] == pytest.approx(0, abs=0.1)
    # The silence with which MP3 and AAC begin counts as sound.
    assert begun["audio"] == pytest.approx(4, abs=0.15)


@pytest.mark.parametrize(
    "name", in_part({"copied.ts"}, ["copied.mp4", "copied.ts", "encoded.mkv", "half.mkv"])
)
def test_pictures_that_start_late_stay_late(service: Service, tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, f"-itsoffset 4 {LONGER} {HERE} -map 0:v -map 1:a {TIMED[name]}")
    uploaded = upload(service, source)
    assert onset(uploaded.samples) == pytest.approx(ONSET, abs=0.1)
    assert onset(sound(uploaded.path)) == pytest.approx(ONSET, abs=0.1)
    begun = starts(uploaded.path)
    assert begun["video"] == pytest.approx(4, abs=0.1)
    assert begun["audio"] == pytest.approx(0, abs=0.1)


FAR = {
    "far.ts": f"{H264} -c:a aac",
    "far.mpeg": "-r 25 -c:v mpeg2video -c:a mp2",
    "far.ogv": "-c:v libtheora -c:a libvorbis",
    "far.mp4": f"{H264} -c:a aac",
    "far.flv": f"{H264} -c:a aac",
}


@pytest.mark.parametrize("name", in_part({"far.ts"}, FAR))
def test_sound_may_start_very_late(service: Service, tmp_path: Path, name: str) -> None:
    """Later than ten seconds, which transport streams take for a break in their clock."""
    film = LONGER.replace("duration=8", "duration=30").replace("160x120", "64x48")
    source = make(tmp_path / name, f"{film} -itsoffset 22 {HERE} -map 0:v -map 1:a {FAR[name]}")
    uploaded = upload(service, source)
    assert onset(uploaded.samples) == pytest.approx(22 + ONSET, abs=0.1)
    assert onset(sound(uploaded.path)) == pytest.approx(22 + ONSET, abs=0.1)


def test_pictures_may_start_very_late(service: Service, tmp_path: Path) -> None:
    streams = f"-itsoffset 60 {LONGER} {HERE} -map 0:v -map 1:a {H264} -c:a aac"
    uploaded = upload(service, make(tmp_path / "film.mp4", streams))
    assert onset(uploaded.samples) == pytest.approx(ONSET, abs=0.1)
    assert starts(uploaded.path)["video"] == pytest.approx(60, abs=0.1)


def test_the_cues_of_late_sound_are_late(
    service: Service, engine: Engine, tiny_en_model: Path, tmp_path: Path
) -> None:
    source = make(
        tmp_path / "film.mp4", f"{LONGER} -itsoffset 4 {HERE} -map 0:v -map 1:a {H264} -c:a aac"
    )
    transcript = hear(engine, tiny_en_model, upload(service, source).speech)
    assert transcript.segments[0].start == pytest.approx(4, abs=0.6)
    assert 6 < transcript.segments[-1].end <= transcript.duration


# Sound without its packets from 1.5 s on, until 4 s later.
GAP = r"-af asetpts=if(gt(T\,1.5)\,PTS+4/TB\,PTS)"


@pytest.mark.parametrize(
    "name", in_part({"half.mkv"}, ["copied.mkv", "encoded.mkv", "half.mkv", "other-half.mkv"])
)
def test_a_gap_in_the_sound_of_a_film_stays(service: Service, tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, f"{LONGER} {HERE} -map 0:v -map 1:a {TIMED[name]} {GAP}")
    uploaded = upload(service, source)
    assert bursts(uploaded.samples) == pytest.approx([ONSET, 5.5], abs=0.15)
    assert bursts(sound(uploaded.path)) == pytest.approx([ONSET, 5.5], abs=0.15)
    assert uploaded.row["duration_seconds"] == pytest.approx(SECONDS + 4, abs=0.15)


def test_a_gap_in_a_recording_is_silence_in_its_mp3(service: Service, tmp_path: Path) -> None:
    source = make(tmp_path / "talk.mka", f"{HERE} -c:a libopus {GAP}")
    uploaded = upload(service, source)
    assert bursts(uploaded.samples) == pytest.approx([ONSET, 5.5], abs=0.15)
    assert bursts(sound(uploaded.path)) == pytest.approx([ONSET, 5.5], abs=0.15)


@pytest.mark.parametrize(("later", "second"), [(0, SECONDS), (8, 8)])
def test_joined_transport_streams_go_on(
    service: Service, tmp_path: Path, later: float, second: float
) -> None:
    """One that starts anew follows the first; one that goes on after a pause keeps it."""
    parts = [
        make(tmp_path / f"{offset}.ts", f"{VIDEO} {H264} -c:a aac -output_ts_offset {offset}")
        for offset in (0, later)
    ]
    source = tmp_path / "film.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    uploaded = upload(service, source)
    expected = [ONSET, second + ONSET]
    assert bursts(sound(uploaded.path)) == pytest.approx(bursts(uploaded.samples), abs=0.1)
    assert bursts(uploaded.samples)[0] == pytest.approx(expected[0], abs=0.15)
    assert uploaded.row["duration_seconds"] == pytest.approx(second + SECONDS, abs=0.3)


# Late or interrupted sound with which ffmpeg would never end, had it to make both copies at once.
@pytest.mark.parametrize(
    ("late", "fps", "codecs", "gap"),
    [
        (1, 10, "-c:v mpeg4 -c:a flac", 0),
        pytest.param(4, 10, "-c:v mpeg4 -c:a aac", 0, marks=pytest.mark.torture),
        pytest.param(0, 10, "-c:v mpeg4 -c:a flac", 30, marks=pytest.mark.torture),
        pytest.param(1, 1, "-c:v mpeg4 -c:a flac", 200, marks=pytest.mark.torture),
        (0.3, 10, "-c:v mjpeg -c:a libvorbis", 25),
    ],
)
def test_a_conversion_ends(
    service: Service, tmp_path: Path, late: float, fps: int, codecs: str, gap: int
) -> None:
    film = f"{LONGER} -itsoffset {late} {HERE} -map 0:v -map 1:a".replace("rate=10", f"rate={fps}")
    pause = GAP.replace("4/TB", f"{gap}/TB") if gap else ""
    source = make(tmp_path / "film.mkv", f"{film} {codecs} {pause}")
    uploaded = upload(service, source)
    assert uploaded.row["status"] == "ready"
    assert uploaded.row["duration_seconds"] == pytest.approx(late + SECONDS + gap, abs=0.2)
