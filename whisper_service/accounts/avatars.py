"""Avatars: small square pictures, encoded anew."""

from pathlib import Path

from whisper_service import ids
from whisper_service.errors import InvalidRequest
from whisper_service.files import ffmpeg
from whisper_service.files.ffmpeg import MediaError
from whisper_service.files.media_types import PICTURE_DECODERS, PICTURE_DEMUXERS
from whisper_service.files.storage import Storage
from whisper_service.sandbox import Limits

SECONDS = 60
MAX_PIXELS = 25_000_000
AVATAR_LIMITS = Limits(cpu=SECONDS, memory=1024**3, file=1024**2)


def store(picture: Path, storage: Storage) -> str:
    """Store an avatar made of a picture, and return its uuid. Raises InvalidRequest."""
    uuid = ids.uuid7()
    made = storage.temporary()
    try:
        encode(picture, made)
        storage.place(made, storage.avatar(uuid))
    except MediaError as error:
        raise InvalidRequest("Invalid avatar image") from error
    finally:
        made.unlink(missing_ok=True)
    return uuid


def remove(uuid: str | None, storage: Storage) -> None:
    if uuid:
        storage.avatar(uuid).unlink(missing_ok=True)


def encode(source: Path, target: Path) -> None:
    """Encode the center of a PNG, JPEG, WebP or GIF as a square PNG of 256 pixels.

    Raises MediaError for anything else, and for more than MAX_PIXELS.
    """
    picture = ffmpeg.input_arguments(PICTURE_DEMUXERS, PICTURE_DECODERS, MAX_PIXELS)
    # Cropped first, for a picture of 1 x 10,000 would be scaled to 655 million pixels.
    # Side data is EXIF, including where a photo was taken, which would be written again.
    square = "sidedata=mode=delete,crop=min(iw\\,ih):min(iw\\,ih),scale=256:256"
    output = ["-frames:v", "1", "-vf", square, "-map_metadata", "-1", "-c:v", "png"]
    output += ["-f", "image2", "-update", "1", "-y", f"file:{target}"]
    arguments = ["-loglevel", "error", *picture, *output]
    code, _ = ffmpeg.run(source, arguments, AVATAR_LIMITS, SECONDS, output=target)
    if code != 0 or target.stat().st_size == 0:
        raise MediaError("Invalid avatar image")
