"""What the limits on ffmpeg leave room for, and what they end."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.ffmpeg import convert, run_ffmpeg
from tests.support.harness import in_part
from tests.support.paths import DATA
from tests.support.service import Service
from whisper_service.files import ffmpeg, media, transcoding

JFK = DATA / "jfk.wav"
FILM = "-f lavfi -i testsrc2=size={size}:rate=24:duration=1 -i {sound} -map 0:v -map 1:a -t 1"
HEVC = "-c:v libx265 -preset ultrafast -x265-params log-level=error:ref=4 -c:a flac"
CODECS = {
    "hevc-10": f"{HEVC} -pix_fmt yuv420p10le",
    "h264": "-c:v libx264 -preset ultrafast -bf 2 -refs 4 -c:a flac",
    "hevc": HEVC,
    "vp9": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -row-mt 1 -c:a libopus",
    "av1": "-c:v libsvtav1 -preset 12 -c:a libopus",
    "prores": "-c:v prores -c:a pcm_s16le -f mov",
}


@pytest.fixture
def less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit ffmpeg to three quarters of its memory, with as many threads as on many cores."""
    monkeypatch.setattr(
        media,
        "PROBE_LIMITS",
        replace(media.PROBE_LIMITS, memory=media.PROBE_LIMITS.memory * 3 // 4),
    )
    for name in ("EXTRACT_MEMORY", "COPY_MEMORY", "ENCODE_AUDIO_MEMORY", "ENCODE_VIDEO_MEMORY"):
        monkeypatch.setattr(transcoding, name, getattr(transcoding, name) * 3 // 4)
    monkeypatch.setattr(ffmpeg, "THREADS", "4")


@pytest.mark.usefixtures("less_memory")
@pytest.mark.parametrize("size", in_part({"1920x1080"}, ["3840x2160", "1920x1080"]))
@pytest.mark.parametrize("codec", in_part({"hevc-10"}, CODECS))
def test_a_large_film_has_room(tmp_path: Path, codec: str, size: str) -> None:
    source = tmp_path / "film.mkv"
    run_ffmpeg(*FILM.format(size=size, sound=JFK).split(), *CODECS[codec].split(), source)
    kind, samples = convert(source, tmp_path)
    assert kind.kind == "video"
    assert samples == pytest.approx(16_000, abs=800)
    assert media.probe(tmp_path / "converted").video_codec == "h264"


def with_pause(folder: Path, seconds: int) -> Path:
    """Make a recording of two seconds with a pause between them that is no sound, but time."""
    source = folder / "pause.mka"
    pause = f"asetpts='PTS+gte(T,1)*{seconds}/TB'"
    run_ffmpeg(
        "-f", "lavfi", "-i", "sine=r=48000:d=2", "-af", pause, "-ac", 2, "-c:a", "flac", source
    )
    return source


def test_a_long_pause_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = with_pause(tmp_path, 3600)
    kind = media.probe(source)
    monkeypatch.setattr(transcoding, "EXTRACT_MEMORY", 512 * 1024**2)
    samples = transcoding.extract(source, kind, tmp_path / "speech", 2 * 3600, lambda: True)
    assert samples == pytest.approx(3602 * 16_000, abs=800)


def test_a_pause_that_memory_does_not_hold_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no recording in which all that comes after it is too early."""
    source = with_pause(tmp_path, 3600)
    kind = media.probe(source)
    monkeypatch.setattr(transcoding, "EXTRACT_MEMORY", 256 * 1024**2)
    with pytest.raises(ffmpeg.MediaError, match="The recording has a pause that is too long"):
        transcoding.extract(source, kind, tmp_path / "speech", 2 * 3600, lambda: True)


def test_too_little_memory_is_an_error_and_nothing_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcoding, "EXTRACT_MEMORY", 64 * 1024**2)
    with pytest.raises(ffmpeg.MediaError, match="could not be decoded"):
        convert(JFK, tmp_path)


def films(folder: Path) -> list[Path]:
    film = folder / "film.mkv"
    size = FILM.format(size="160x120", sound=JFK)
    run_ffmpeg(*size.split(), "-c:v", "mpeg4", "-c:a", "flac", film)
    return [JFK, film]


def test_a_conversion_that_grows_ends_and_leaves_nothing(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_GROWTH", "GROWTH_BYTES", "SOUND_BYTES"):
        monkeypatch.setattr(transcoding, name, 0)
    ann = service.register()
    for source in films(tmp_path):
        ann.upload(source)
    while service.convert_once():
        pass
    for row in ann.get("/file")["files"]:
        assert row["status"] == "failed"
        assert row["error"] == "The recording becomes too large when it is converted"
    assert not list(service.storage.temporary_folder.iterdir())


def test_a_wav_that_grows_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else were to bound it: the film's sound on its way to the WAV is bounded as well."""
    monkeypatch.setattr(transcoding, "_limits", lambda *_: media.PROBE_LIMITS)
    for source in films(tmp_path):
        kind = media.probe(source)
        with pytest.raises(ffmpeg.MediaError, match="too large"):
            transcoding.extract(source, kind, tmp_path / "speech", 60, lambda: True)
        assert not (tmp_path / "speech.timed").exists()


def test_quiet_minutes_of_few_bytes_are_no_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A telephone's recorder makes a hundredth of the MP3's bytes."""
    monkeypatch.setattr(transcoding, "GROWTH_BYTES", 0)
    source = tmp_path / "quiet.opus"
    silence = "-f lavfi -i anullsrc=r=8000:cl=mono:d=60 -c:a libopus -b:a 500 -frame_duration 60"
    run_ffmpeg(*silence.split(), source)
    convert(source, tmp_path, seconds=70)
    copy = (tmp_path / "converted").stat().st_size
    assert copy > 2 * transcoding.MAX_GROWTH * source.stat().st_size
    assert copy < 70 * transcoding.SOUND_BYTES


def test_a_recording_of_just_the_longest_length_has_room(tmp_path: Path) -> None:
    """However small the packets that its sound comes in, and with what each of them adds."""
    source = tmp_path / "film.mkv"
    film = "-f lavfi -i color=size=16x16:rate=1:duration=20 -f lavfi -i sine=duration=20:r=48000"
    packets = "-c:v mpeg4 -c:a flac -frame_size 120"  # 2.5 ms
    run_ffmpeg(*film.split(), *packets.split(), source)
    kind = media.probe(source)
    samples = transcoding.extract(source, kind, tmp_path / "speech", 20, lambda: True)
    assert samples == pytest.approx(20 * 16_000, abs=1600)
