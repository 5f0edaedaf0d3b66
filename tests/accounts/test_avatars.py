"""Pictures become avatars, whatever they hold besides."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests.support.paths import DATA, ROOT
from whisper_service.accounts import avatars
from whisper_service.files import ffmpeg

RED, BLUE = (254, 0, 0), (0, 0, 254)
HALVES = (
    "color=red:size=64x32:rate=10:duration=0.5,format=rgb24,"
    "drawbox=x=0:y=16:w=64:h=16:color=blue:t=fill"
)
# How ffmpeg makes a picture whose upper half is red and whose lower half is blue.
PICTURES = {
    "plain.png": "",
    "deep.png": "-pix_fmt rgb48be",
    "palette.png": "-vf split[a][b];[a]palettegen[p];[b][p]paletteuse -pix_fmt pal8",
    "alpha.png": "-pix_fmt rgba",
    "grey-alpha.png": "-pix_fmt ya8",
    "photo.jpg": "-q:v 2 -pix_fmt yuvj444p",
    "picture.webp": "-c:v libwebp -lossless 1",
    "lossy.webp": "-c:v libwebp -quality 90",
    "moving.gif": "-loop 0",
}


def make(folder: Path, name: str, how: str = "") -> Path:
    path = folder / name
    frames = "5" if path.suffix == ".gif" else "1"
    command = [
        ffmpeg.FFMPEG,
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        HALVES,
        "-frames:v",
        frames,
    ]
    subprocess.run([*command, *how.split(), path], check=True, timeout=60)
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    """Write a red PNG of any size, in little memory."""
    row, packer = b"\0" + b"\xfe\0\0" * width, zlib.compressobj(1)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *more, chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pixels(picture: Path) -> list[tuple[int, ...]]:
    """Decode an avatar, and give the colours of its top, bottom, left and right, in this order."""
    command = [ffmpeg.FFMPEG, "-loglevel", "error", "-i", str(picture), "-pix_fmt", "rgb24"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-"], check=True, capture_output=True).stdout
    assert len(raw) == 256 * 256 * 3
    places = [(128, 20), (128, 236), (20, 128), (236, 128)]
    return [tuple(raw[(y * 256 + x) * 3 :][:3]) for x, y in places]


def chunks(picture: Path) -> list[bytes]:
    data, position, kinds = picture.read_bytes(), 8, []
    while position < len(data):
        kinds.append(data[position + 4 : position + 8])
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return kinds


def make_avatar(source: Path) -> Path:
    target = source.with_name("avatar")
    avatars.encode(source, target)
    assert target.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", target.read_bytes()[16:24]) == (256, 256)
    return target


def refuse(source: Path) -> None:
    target = source.with_name("avatar")
    with pytest.raises(ffmpeg.MediaError, match="Invalid avatar image"):
        avatars.encode(source, target)
    assert not target.stat().st_size


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_becomes_a_square(tmp_path: Path, name: str) -> None:
    source = make(tmp_path, name, PICTURES[name])
    top, bottom, *_ = pixels(make_avatar(source.rename(tmp_path / "nameless")))
    if name != "grey-alpha.png":
        assert top == pytest.approx(RED, abs=12)
        assert bottom == pytest.approx(BLUE, abs=12)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 10_000), (10_000, 1), (3, 2)])
def test_a_picture_of_any_shape_becomes_a_square(tmp_path: Path, width: int, height: int) -> None:
    source = tmp_path / "picture.png"
    source.write_bytes(png(width, height))
    assert pixels(make_avatar(source)) == [RED] * 4


def exif() -> bytes:
    """Return EXIF data of a photo taken at a secret place, with the camera on its side."""
    place = b"secret place"
    described = struct.pack(">HHII", 0x010E, 2, len(place), 38)
    turned = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    return b"MM\0*\0\0\0\x08\0\x02" + described + turned + bytes(4) + place


def with_segment(jpeg: bytes, marker: bytes, data: bytes) -> bytes:
    return jpeg[:2] + marker + struct.pack(">H", 2 + len(data)) + data + jpeg[2:]


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    photo = make(tmp_path, "photo.jpg", PICTURES["photo.jpg"])
    photo.write_bytes(with_segment(photo.read_bytes(), b"\xff\xe1", b"Exif\0\0" + exif()))
    # What is stored at the top is to be seen at the right.
    _, _, left, right = pixels(make_avatar(photo))
    assert left == pytest.approx(BLUE, abs=12)
    assert right == pytest.approx(RED, abs=12)


def test_nothing_but_the_picture_is_kept(tmp_path: Path) -> None:
    photo = make(tmp_path, "photo.jpg").read_bytes()
    polyglot = photo + b"<script>alert('secret')</script>"
    text = chunk(b"tEXt", b"Comment\0secret place")
    sources = {
        "exif.jpg": with_segment(polyglot, b"\xff\xe1", b"Exif\0\0" + exif()),
        "comment.jpg": with_segment(polyglot, b"\xff\xfe", b"secret place"),
        "text.png": png(50, 50, text) + b"secret",
        "exif.png": png(50, 50, chunk(b"eXIf", exif())),
    }
    for name, content in sources.items():
        source = tmp_path / name
        source.write_bytes(content)
        avatar = make_avatar(source)
        assert b"secret" in content
        assert b"secret" not in avatar.read_bytes()
        assert set(chunks(avatar)) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}, name


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9"/></svg>',
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        b"<!doctype html><img src=x onerror=alert(1)>",
        b"GIF89a<script>alert(1)</script>",
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        b"\xff\xd8\xff\xe0" + bytes(500),
        b"RIFF\x24\0\0\0WEBPVP8 " + bytes(500),
        b"ffconcat version 1.0\nfile /etc/hostname\n",
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "picture.png"
    source.write_bytes(content)
    refuse(source)


def test_recordings_and_other_pictures_are_refused(tmp_path: Path) -> None:
    talk = tmp_path / "talk.png"
    talk.write_bytes((DATA / "jfk.wav").read_bytes())
    refuse(talk)
    for name in ("film.mp4", "picture.bmp", "picture.tiff"):
        refuse(make(tmp_path, name))


@pytest.mark.parametrize("name", PICTURES)
def test_half_a_picture_is_taken_or_refused(tmp_path: Path, name: str) -> None:
    source = make(tmp_path, name, PICTURES[name])
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    try:
        make_avatar(source)
    except ffmpeg.MediaError:
        refuse(source)


def test_the_limit_of_25_million_pixels_holds(tmp_path: Path) -> None:
    source = tmp_path / "large.png"
    source.write_bytes(png(4900, 4900))
    make_avatar(source).unlink()
    source.write_bytes(png(5100, 5100))
    refuse(source)


def test_a_huge_picture_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    source = tmp_path / "bomb.png"
    source.write_bytes(png(15_000, 15_000))
    assert source.stat().st_size < 8 * 1024**2
    refuse(source)
    # In a process of its own, for the system only tells the most that any child has taken.
    program = (
        "import pathlib, resource, sys; from whisper_service.accounts import avatars\n"
        "try: avatars.encode(*map(pathlib.Path, sys.argv[1:]))\n"
        "except avatars.MediaError: print('refused')\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    command = [sys.executable, "-c", program, source, tmp_path / "avatar"]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    refused, megabytes = said.split()
    assert refused == "refused"
    assert float(megabytes) < 150
