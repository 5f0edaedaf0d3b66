"""Recordings that are cut or damaged: what can be decoded is kept, or a message says why not."""

from pathlib import Path

import pytest

from tests.support.containers import H264, HERE, LONGER, VIDEO, VP8
from tests.support.conversions import ONSET, make, onset, upload
from tests.support.harness import in_part
from tests.support.service import Service
from whisper_service.files import media

pytestmark = pytest.mark.usefixtures("nothing_hangs")

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
    [
        ("mpeg4", 1),
        ("libx264", 100),
        pytest.param("mpeg4", 100, marks=pytest.mark.torture),
        pytest.param("libx264", 1, marks=pytest.mark.torture),
        pytest.param("libx265", 1, marks=pytest.mark.torture),
    ],
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
