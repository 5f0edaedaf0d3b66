"""Recordings in every container that is served, made by the real ffmpeg from real speech.

Each is uploaded and converted; the copy that comes back has the right codecs, and the real engine
hears the words.
"""

import re
import subprocess
import wave
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

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
    VP9,
)
from tests.support.harness import in_part
from tests.support.hearing import hear
from tests.support.service import Service
from tests.support.speech import WORDS, word_error_rate
from whisper_service.config import Config
from whisper_service.files import ffmpeg, media, transcoding
from whisper_service.whisper.engine import Engine

ONSET = 0.278  # of the first word
MP3 = media.Media("audio/mpeg", "mp3", None)
MP4 = media.Media("video/mp4", "aac", "h264")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


@pytest.fixture
def settings(settings: Config) -> Config:
    return replace(settings, storage=replace(settings.storage, max_upload_bytes=16 * 1024**2))


@pytest.fixture(autouse=True)
def nothing_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcoding, "CONVERT_SECONDS", 20)


def run_ffmpeg(*arguments: str | Path) -> str:
    command = [ffmpeg.FFMPEG, "-loglevel", "error", "-y", *map(str, arguments)]
    return subprocess.run(
        command, check=True, timeout=60, text=True, stdout=subprocess.PIPE
    ).stdout.strip()


def make(path: Path, arguments: str) -> Path:
    run_ffmpeg(*arguments.split(), path)
    return path


@dataclass
class Uploaded:
    """An upload whose conversion has been tried, on disk as a download returns it."""

    row: dict[str, Any]
    path: Path
    speech: Path

    @property
    def samples(self) -> NDArray[np.float64]:
        return read(self.speech)


def upload(service: Service, source: Path) -> Uploaded:
    """Upload and convert as users and the worker do, and download the result."""
    ann = service.register()
    (answer,) = ann.upload(source)
    assert answer["status"] == {"existed": False, "uploaded": True}, answer
    before = ann.get("/file")["files"][0]
    assert (before["status"], before["content_type"]) == (
        "converting",
        media.probe(source).content_type,
    )
    assert service.convert_once()
    row = ann.get("/file")["files"][0]
    response = service.anyone.call("GET", f"/file/{row['uuid']}")
    assert response.content_type == row["content_type"]
    assert len(response.data) == row["size_bytes"]
    name = re.search(r'filename="?([^";]+)', response.headers["Content-Disposition"])
    assert name
    assert Path(name[1]).suffix in {".mp3", ".mp4"} or row["status"] == "failed"
    folder = source.parent / "download"
    folder.mkdir(exist_ok=True)
    path = folder / name[1]
    path.write_bytes(response.data)
    return Uploaded(row, path, service.storage.speech(row["uuid"]))


def check(service: Service, source: Path, taken_for: str) -> Uploaded:
    """Check what an upload is taken for, and that its copy is what such a file becomes."""
    content_type, audio, video = [*taken_for.split(), None][:3]
    assert content_type
    assert audio
    assert media.probe(source) == media.Media(content_type, audio, video)
    uploaded = upload(service, source)
    assert uploaded.row["status"] == "ready"
    wanted = MP4 if video else MP3
    assert media.probe(uploaded.path) == wanted
    assert uploaded.row["content_type"] == wanted.content_type
    assert uploaded.path.suffix == (".mp4" if video else ".mp3")
    assert uploaded.path.stem == source.stem
    # Encoders add up to a tenth of a second before the sound, and some after it.
    assert uploaded.row["duration_seconds"] == pytest.approx(SECONDS, abs=0.3)
    assert onset(uploaded.samples) == pytest.approx(ONSET, abs=0.25)
    assert onset(sound(uploaded.path)) == pytest.approx(onset(uploaded.samples), abs=0.05)
    return uploaded


def read(wav: Path) -> NDArray[np.float64]:
    with wave.open(str(wav)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)


def sound(path: Path) -> NDArray[np.float64]:
    """Decode as a player does: each sample when its timestamp says."""
    wav = path.with_suffix(".decoded.wav")
    timed = "-map 0:a:0 -ac 1 -ar 16000 -af aresample=async=1:first_pts=0"
    run_ffmpeg("-i", path, *timed.split(), wav)
    return read(wav)


def bursts(samples: NDArray[np.float64]) -> list[float]:
    """Return the seconds at which sound starts: first, and after each second or more of silence."""
    level = np.convolve(np.abs(samples), np.ones(160) / 160, "same")
    loud = np.flatnonzero(level > level.max() * 0.1) / 16_000
    return [float(loud[0]), *map(float, loud[1:][np.diff(loud) > 1])]


def onset(samples: NDArray[np.float64]) -> float:
    return bursts(samples)[0]


def starts(path: Path) -> dict[str, float]:
    """Return the seconds at which the streams of a file start, as ffmpeg prints them."""
    command = [ffmpeg.FFMPEG, "-hide_banner", "-i", str(path)]
    said = subprocess.run(command, capture_output=True, check=False, text=True).stderr
    lines = re.findall(r"Stream #0:\d\S*: (Video|Audio)(.*)", said)
    found = [(kind.lower(), re.search(r"start ([\d.]+)", rest)) for kind, rest in lines]
    return {kind: float(start[1]) if start else 0.0 for kind, start in found}


def packets(path: Path, stream: str, *options: str) -> str:
    """Return a hash of a stream's packets, which are not decoded."""
    return run_ffmpeg("-i", path, "-map", f"0:{stream}", "-c", "copy", *options, "-f", "md5", "-")


def pictures(path: Path) -> str:
    return run_ffmpeg("-i", path, "-map", "0:V:0", "-fps_mode", "passthrough", "-f", "md5", "-")


def atoms(path: Path) -> list[bytes]:
    """List the parts of an MP4, in order."""
    data, position, names = path.read_bytes(), 0, []
    while position < len(data):
        names.append(data[position + 4 : position + 8])
        position += int.from_bytes(data[position : position + 4], "big")
    return names


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
        (4, 10, "-c:v mpeg4 -c:a aac", 0),
        (0, 10, "-c:v mpeg4 -c:a flac", 30),
        (1, 1, "-c:v mpeg4 -c:a flac", 200),
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


BROKEN = {
    "film.mp4": f"{VIDEO} {H264} -c:a aac -movflags +faststart",
    "film.webm": f"{VIDEO} {VP8} -c:a libopus",
    "film.ts": f"{VIDEO} {H264} -g 5 -c:a aac",
    "film.avi": f"{VIDEO} -c:v mpeg4 -c:a mp3",
    "talk.mp3": f"{HERE} -b:a 64k",
    "talk.wav": HERE,
    "talk.flac": HERE,
    "talk.ogg": f"{HERE} -c:a libvorbis",
}


@pytest.mark.parametrize("name", in_part({"film.mp4", "film.ts", "talk.mp3"}, BROKEN))
def test_of_half_a_file_that_half_is_kept(service: Service, tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, BROKEN[name])
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    uploaded = upload(service, source)
    assert uploaded.row["status"] == "ready"
    assert 0.9 < uploaded.row["duration_seconds"] < 2.5
    assert onset(uploaded.samples) == pytest.approx(ONSET, abs=0.25)


@pytest.mark.parametrize("name", ["film.ts", "talk.mp3", "talk.aac"])
def test_a_recording_may_begin_anywhere(service: Service, tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, BROKEN.get(name, HERE))
    data = source.read_bytes()
    source.write_bytes(data[len(data) // 3 + 7 :])
    uploaded = upload(service, source)
    assert uploaded.row["status"] == "ready"
    assert 1 < uploaded.row["duration_seconds"] < 2.5


def test_an_mp4_that_was_never_finished_is_refused(service: Service, tmp_path: Path) -> None:
    whole = make(tmp_path / "film.mp4", f"{VIDEO} {H264} -c:a aac").read_bytes()
    assert whole.index(b"mdat") < whole.index(b"moov")
    (answer,) = service.register().send(("film.mp4", whole[: len(whole) // 2]))
    assert answer["status"]["error"] == "unsupported_content_type"


@pytest.mark.parametrize(
    ("codec", "amount"),
    [("mpeg4", 1), ("mpeg4", 100), ("libx264", 1), ("libx264", 100), ("libx265", 1)],
)
def test_broken_pictures_are_converted_or_fail_with_a_message(
    service: Service, tmp_path: Path, codec: str, amount: int
) -> None:
    how = f"-c:v {codec} -c:a libopus -bsf:v noise=amount={amount}"
    uploaded = upload(service, make(tmp_path / "film.mkv", f"{VIDEO} {how}"))
    if uploaded.row["status"] == "failed":
        assert uploaded.row["error"] == "The recording could not be decoded"
    else:
        assert uploaded.row["status"] == "ready"
        assert media.probe(uploaded.path).audio_codec == "aac"


def test_a_file_cut_before_its_sound_fails_with_a_message(service: Service, tmp_path: Path) -> None:
    late = f"{LONGER} -itsoffset 4 {HERE} -map 0:v -map 1:a {H264} -c:a aac -movflags +faststart"
    source = make(tmp_path / "film.mp4", late)
    source.write_bytes(source.read_bytes()[:20_000])
    uploaded = upload(service, source)
    assert uploaded.row["status"] == "failed"
    assert uploaded.row["error"] == "The recording could not be decoded"


def test_a_large_film_is_recognised_at_once(tmp_path: Path) -> None:
    """Its kind shows at its beginning, however late its sound."""
    small = make(tmp_path / "film.ts", f"{LONGER} -itsoffset 7 {HERE} -map 0:v -map 1:a {H264}")
    source = tmp_path / "large.ts"
    with source.open("wb") as file:
        for _ in range(400):
            file.write(small.read_bytes())
    assert source.stat().st_size > 50 * 1024**2
    assert media.probe(source).kind == "video"
