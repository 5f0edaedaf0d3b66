"""The real ffmpeg on real recordings."""

import subprocess
import wave
from pathlib import Path

import pytest

from tests.support.ffmpeg import convert, quiet_flac, run_ffmpeg
from tests.support.paths import DATA
from whisper_service.errors import Cancelled
from whisper_service.files import ffmpeg, media, transcoding

JFK = DATA / "jfk.wav"


def test_audio_becomes_mp3_and_wav(tmp_path: Path) -> None:
    kind, samples = convert(JFK, tmp_path)
    assert kind == media.Media("audio/wav", "pcm_s16le", None)
    assert samples == 176_000
    copy = media.probe(tmp_path / "converted")
    assert copy == media.Media("audio/mpeg", "mp3float", None) or copy.audio_codec == "mp3"
    with wave.open(str(tmp_path / "speech.wav")) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (16_000, 1, 2)
        assert wav.getnframes() == samples
    # 192 kbit/s for 11 s
    assert 250_000 < (tmp_path / "converted").stat().st_size < 280_000


def test_mp3_is_copied_not_encoded_again(tmp_path: Path) -> None:
    source = tmp_path / "talk.mp3"
    run_ffmpeg("-i", JFK, "-b:a", "32k", source)
    convert(source, tmp_path)
    assert (tmp_path / "converted").stat().st_size < 60_000


def test_the_type_is_found_from_the_bytes_not_the_name(tmp_path: Path) -> None:
    pdf = tmp_path / "paper.mp3"
    pdf.write_bytes(b"%PDF-1.7\n" + b"1 0 obj <<>> endobj\n" * 500)
    with pytest.raises(media.UnsupportedMedia):
        media.probe(pdf)
    run_ffmpeg("-i", JFK, tmp_path / "talk.mp3")
    renamed = (tmp_path / "talk.mp3").rename(tmp_path / "talk.txt")
    assert media.probe(renamed).content_type == "audio/mpeg"


@pytest.mark.parametrize("content", [b"\0" * 5000, b"hello", b"<svg/>", bytes(range(256)) * 40])
def test_other_than_media_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(media.UnsupportedMedia):
        media.probe(path)


def test_a_playlist_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(JFK.read_bytes())
    for name, text in (
        ("list.wav", "ffconcat version 1.0\nfile secret.wav\n"),
        ("list.m3u8", f"#EXTM3U\n#EXTINF:10,\nfile://{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n"),
    ):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(media.UnsupportedMedia):
            media.probe(path)


def test_a_silent_video_has_no_audio_stream(tmp_path: Path) -> None:
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=d=1:s=64x64", tmp_path / "silent.mp4")
    with pytest.raises(media.NoAudioStream):
        media.probe(tmp_path / "silent.mp4")


def test_a_cover_picture_does_not_make_a_video(tmp_path: Path) -> None:
    cover, source = tmp_path / "cover.png", tmp_path / "song.mp3"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", cover)
    run_ffmpeg(
        "-i", JFK, "-i", cover, "-map", "0", "-map", "1", "-disposition:v", "attached_pic", source
    )
    assert media.probe(source).kind == "audio"
    assert convert(source, tmp_path)[1] == 176_000


def test_a_title_cannot_pose_as_a_stream(tmp_path: Path) -> None:
    source = tmp_path / "song.mp3"
    for end in ("\n", "\r", "\u2028"):
        title = f"title=x{end}  Stream #0:7: Video: h264"
        run_ffmpeg("-i", JFK, "-metadata", title, source)
        assert media.probe(source).kind == "audio"


def test_the_length_is_that_of_the_sound_not_of_the_header(tmp_path: Path) -> None:
    lying = bytearray(JFK.read_bytes())
    position = lying.index(b"data") + 4
    lying[position : position + 4] = (2**31).to_bytes(4, "little")
    source = tmp_path / "lying.wav"
    source.write_bytes(lying)
    assert convert(source, tmp_path)[1] == 176_000


def test_a_recording_over_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ffmpeg.MediaError, match="longer than 5 seconds"):
        convert(JFK, tmp_path, seconds=5)


def test_a_blink_of_sound_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "blink.wav"
    run_ffmpeg("-i", JFK, "-t", "0.05", source)
    with pytest.raises(ffmpeg.MediaError, match="less than a tenth"):
        convert(source, tmp_path)


def test_a_conversion_that_nobody_wants_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "POLL_INTERVAL", 0.01)
    source = quiet_flac(tmp_path / "long.flac", 3 * 3600)
    kind = media.probe(source)
    with pytest.raises(Cancelled):
        transcoding.extract(source, kind, tmp_path / "s", 4 * 3600, lambda: False)
    with pytest.raises(Cancelled):
        transcoding.encode(source, kind, tmp_path / "c", 4 * 3600, lambda: False)
    listed = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False)
    assert listed.stdout == b""
