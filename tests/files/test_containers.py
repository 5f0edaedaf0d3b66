"""Recordings in every container that is served, made by the real ffmpeg from real speech.

Each is uploaded and converted; the copy that comes back has the right codecs, and the real engine
hears the words.
"""

import subprocess
from pathlib import Path

import pytest

from tests.support.containers import (
    AUDIO,
    H264,
    HERE,
    HEVC,
    LONGER,
    MORE_AUDIO,
    MORE_VIDEOS,
    PICTURE,
    REPRESENTATIVES,
    SECONDS,
    SPEECH,
    VIDEO,
    VIDEOS,
    VP8,
)
from tests.support.conversions import (
    atoms,
    check,
    make,
    packets,
    pictures,
    run_ffmpeg,
    starts,
)
from tests.support.harness import in_part
from tests.support.hearing import hear
from tests.support.service import Service
from tests.support.speech import WORDS, word_error_rate
from whisper_service.files import ffmpeg, media
from whisper_service.whisper.engine import Engine

pytestmark = pytest.mark.usefixtures("nothing_hangs")


@pytest.mark.parametrize("name", in_part(REPRESENTATIVES, [*AUDIO, *VIDEOS]))
def test_the_words_are_recognized(
    service: Service, engine: Engine, tiny_en_model: Path, tmp_path: Path, name: str
) -> None:
    how, taken_for = (AUDIO | VIDEOS)[name]
    source = make(tmp_path / name, f"{HERE if name in AUDIO else VIDEO} {how}")
    uploaded = check(service, source, taken_for)
    text = hear(engine, tiny_en_model, uploaded.speech).text
    assert word_error_rate({name: WORDS[SPEECH.name]}, {name: text}) <= 0.2, text


@pytest.mark.parametrize("name", in_part(REPRESENTATIVES, [*MORE_AUDIO, *MORE_VIDEOS]))
def test_other_formats_are_converted(service: Service, tmp_path: Path, name: str) -> None:
    how, taken_for = (MORE_AUDIO | MORE_VIDEOS)[name]
    source = make(tmp_path / name, f"{HERE if name in MORE_AUDIO else VIDEO} {how}")
    check(service, source, taken_for)


def test_a_misleading_name_does_not_matter(service: Service, tmp_path: Path) -> None:
    talk = make(tmp_path / "talk.mp3", HERE)
    film = make(tmp_path / "film.mp4", f"{VIDEO} {H264} -c:a aac")
    silent = make(tmp_path / "silent.mp4", f"{PICTURE} {H264}")
    ann = service.register()
    answers = ann.send(
        ("paper.mp3", b"%PDF-1.7\n" + b"1 0 obj <<>> endobj\n" * 500),
        ("page.mp4", b"<!doctype html><video src=film.mp4></video>" * 100),
        ("talk.bin", talk.read_bytes()),
        ("film.pdf", film.read_bytes()),
        ("silent.mp3", silent.read_bytes()),
    )
    assert [answer["status"].get("error") for answer in answers] == [
        "unsupported_content_type",
        "unsupported_content_type",
        None,
        None,
        "no_audio_stream",
    ]
    service.work()
    files = {file["filename"]: file for file in ann.get("/file")["files"]}
    assert (files["talk.bin"]["status"], files["talk.bin"]["content_type"]) == (
        "ready",
        "audio/mpeg",
    )
    assert (files["film.pdf"]["status"], files["film.pdf"]["content_type"]) == (
        "ready",
        "video/mp4",
    )


@pytest.mark.parametrize(
    "name", in_part({"talk.mka"}, ["talk.mp3", "talk.mka", "talk.m4a", "talk.wav"])
)
def test_mp3_is_copied(service: Service, tmp_path: Path, name: str) -> None:
    how = "-f mp4" if name == "talk.m4a" else ""
    source = make(tmp_path / name, f"{HERE} -c:a libmp3lame -b:a 40k {how}")
    uploaded = check(service, source, f"{media.probe(source).content_type} mp3")
    assert packets(source, "a:0") == packets(uploaded.path, "a:0")


@pytest.mark.parametrize("ending", in_part({"mkv", "ts"}, ["mp4", "mov", "mkv", "flv", "ts"]))
def test_h264_and_aac_are_copied_into_an_mp4_that_starts_at_once(
    service: Service, tmp_path: Path, ending: str
) -> None:
    source = make(tmp_path / f"film.{ending}", f"{VIDEO} {H264} -bf 2 -c:a aac")
    uploaded = check(service, source, f"{media.probe(source).content_type} aac h264")
    # A transport stream frames each packet on its own, which its MP4 does once.
    bare = ["-bsf:a", "aac_adtstoasc"] if ending == "ts" else []
    assert packets(source, "a:0", *bare) == packets(uploaded.path, "a:0")
    assert pictures(source) == pictures(uploaded.path)
    if ending != "ts":
        assert packets(source, "v:0") == packets(uploaded.path, "v:0")
    assert atoms(uploaded.path).index(b"moov") < atoms(uploaded.path).index(b"mdat")


def test_of_a_film_only_what_has_to_is_encoded(service: Service, tmp_path: Path) -> None:
    source = make(tmp_path / "film.mkv", f"{VIDEO} {H264} -c:a libopus")
    uploaded = check(service, source, "video/x-matroska opus h264")
    assert packets(source, "v:0") == packets(uploaded.path, "v:0")


def test_of_a_film_only_the_pictures_are_encoded(service: Service, tmp_path: Path) -> None:
    source = make(tmp_path / "film.mp4", f"{VIDEO} {HEVC} -c:a aac")
    uploaded = check(service, source, "video/mp4 aac hevc")
    assert packets(source, "a:0") == packets(uploaded.path, "a:0")
    assert atoms(uploaded.path).index(b"moov") < atoms(uploaded.path).index(b"mdat")


def test_h264_of_more_than_eight_bits_is_still_copied(service: Service, tmp_path: Path) -> None:
    source = make(tmp_path / "film.mp4", f"{VIDEO} {H264} -pix_fmt yuv422p10le -c:a aac")
    assert packets(source, "v:0") == packets(
        check(service, source, "video/mp4 aac h264").path, "v:0"
    )


def test_odd_sides_are_made_even(service: Service, tmp_path: Path) -> None:
    odd = VIDEO.replace("testsrc2=size=160x120", "testsrc=size=161x121")
    source = make(tmp_path / "film.mkv", f"{odd} -c:v ffv1 -pix_fmt bgr0 -c:a flac")
    uploaded = check(service, source, "video/x-matroska flac ffv1")
    frame = tmp_path / "frame.ppm"
    run_ffmpeg("-i", uploaded.path, "-frames:v", "1", frame)
    assert frame.read_bytes().split()[1:3] == [b"160", b"120"]


def test_of_several_sounds_the_first_is_heard(service: Service, tmp_path: Path) -> None:
    tone = f"-f lavfi -i sine=duration={SECONDS}"
    streams = f"{PICTURE} {HERE} {tone} -map 0:v -map 1:a -map 2:a {H264} -c:a aac"
    check(service, make(tmp_path / "film.mkv", streams), "video/x-matroska aac h264")


def test_subtitles_fonts_and_titles_are_left_behind(service: Service, tmp_path: Path) -> None:
    subtitles, font = tmp_path / "words.srt", tmp_path / "font.ttf"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:02,000\nhe might even\n")
    font.write_bytes(b"\0\1\0\0" + bytes(500))
    more = f"-map 2:s -attach {font} -metadata:s:t mimetype=font/ttf -metadata title=secret"
    source = make(
        tmp_path / "film.mkv",
        f"{PICTURE} {HERE} -i {subtitles} -map 0:v -map 1:a {more} {H264} -c:a aac -c:s srt",
    )
    uploaded = check(service, source, "video/x-matroska aac h264")
    assert b"secret" in source.read_bytes()
    assert b"secret" not in uploaded.path.read_bytes()
    assert list(starts(uploaded.path)) == ["video", "audio"]


@pytest.mark.parametrize("ending", in_part({"mp3", "m4a"}, ["mp3", "m4a", "flac", "aiff"]))
def test_a_cover_and_a_title_are_left_behind(service: Service, tmp_path: Path, ending: str) -> None:
    cover = make(tmp_path / "cover.png", f"{PICTURE} -frames:v 1")
    song = f"{HERE} -i {cover} -map 0 -map 1 -c:v copy -disposition:v attached_pic"
    more = "-metadata title=secret -write_id3v2 1" if ending == "aiff" else "-metadata title=secret"
    source = make(tmp_path / f"song.{ending}", f"{song} {more}")
    kind = media.probe(source)
    uploaded = check(service, source, f"{kind.content_type} {kind.audio_codec}")
    assert list(starts(uploaded.path)) == ["audio"]
    assert b"secret" not in uploaded.path.read_bytes()


def live(path: Path, arguments: str) -> Path:
    """Make what a browser records: it cannot go back and write how long it has become."""
    command = [ffmpeg.FFMPEG, "-loglevel", "error", *arguments.split(), "-f", "webm", "-live", "1"]
    with path.open("wb") as file:
        subprocess.run([*command, "pipe:1"], stdout=file, check=True, timeout=60)
    return path


def test_a_live_recording_without_a_length_is_converted(service: Service, tmp_path: Path) -> None:
    film = live(tmp_path / "film.webm", f"{VIDEO} {VP8} -c:a libopus")
    uploaded = check(service, film, "video/x-matroska opus vp8")
    assert uploaded.row["duration_seconds"] == pytest.approx(SECONDS, abs=0.1)


def test_a_large_film_is_recognised_at_once(tmp_path: Path) -> None:
    """Its kind shows at its beginning, however late its sound."""
    small = make(tmp_path / "film.ts", f"{LONGER} -itsoffset 7 {HERE} -map 0:v -map 1:a {H264}")
    source = tmp_path / "large.ts"
    with source.open("wb") as file:
        for _ in range(400):
            file.write(small.read_bytes())
    assert source.stat().st_size > 50 * 1024**2
    assert media.probe(source).kind == "video"
