"""What an uploaded file is, found out by decoding its beginning."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from whisper_service.errors import ServiceError
from whisper_service.files import ffmpeg
from whisper_service.files.lengths import ClaimedLength
from whisper_service.files.media_types import AUDIO_DECODERS, CONTAINERS
from whisper_service.sandbox import Limits

PROBE_SECONDS = 60
PROBE_LIMITS = Limits(cpu=PROBE_SECONDS, memory=1024**3, file=0)

# Lines of other texts, metadata included, are indented further.
_INPUT = re.compile(r"Input #0, (?P<demuxer>\S+), from 'fd:':")
_STREAM = re.compile(r"  Stream #0:\d+\S*: (?P<kind>Audio|Video): (?P<codec>\w+)(?P<rest>.*)")
_DURATION = re.compile(r"  Duration: (\d+):(\d\d):(\d\d)\.(\d\d),")
_ESTIMATE = re.compile(r"\[in#0/\S+ @ \S+\] Estimating duration from bitrate")


class UnsupportedMedia(ServiceError):
    """A file that is not audio or video of a supported kind."""


class NoAudioStream(ServiceError):
    """A video without sound."""


@dataclass(frozen=True)
class Media:
    """What a file is, by its bytes. The codecs are those of its first streams."""

    content_type: str
    audio_codec: str
    video_codec: str | None
    length: ClaimedLength = field(default=ClaimedLength(), compare=False)

    @property
    def kind(self) -> str:
        return "video" if self.video_codec else "audio"


def probe(path: Path, is_wanted: Callable[[], bool] = lambda: True) -> Media:
    """Return what a file is, after decoding the first 0.2 seconds of its sound.

    Raises UnsupportedMedia, NoAudioStream, MediaError after PROBE_SECONDS, or Cancelled once
    `is_wanted` returns False.
    """
    decode = ["-map", "0:a:0", "-t", "0.2", "-c:a", "pcm_s16le", "-f", "null", "-"]
    source = ffmpeg.input_arguments(",".join(CONTAINERS), AUDIO_DECODERS)
    command = ["-loglevel", "info", *source, *decode]
    code, stderr = ffmpeg.run(path, command, PROBE_LIMITS, PROBE_SECONDS, is_wanted)
    # Split at line feeds alone: other line ends may stand in a title.
    lines = stderr.partition("\nStream mapping:")[0].split("\n")
    demuxer = next((found["demuxer"] for line in lines if (found := _INPUT.match(line))), None)
    streams = [found for line in lines if (found := _STREAM.match(line))]
    if demuxer not in CONTAINERS or not streams:
        raise UnsupportedMedia("Unsupported content type")
    audio, video = _first_codec(streams, "Audio"), _first_codec(streams, "Video")
    if audio is None:
        raise NoAudioStream("The file has no audio stream")
    if code != 0:
        raise UnsupportedMedia("Unsupported content type")
    content_type = CONTAINERS[demuxer][video is not None]
    return Media(content_type, audio, video, _claimed_length(lines))


def _first_codec(streams: list[re.Match[str]], kind: str) -> str | None:
    codecs = (
        stream["codec"]
        for stream in streams
        if stream["kind"] == kind and "(attached pic)" not in stream["rest"]
    )
    return next(codecs, None)


def _claimed_length(lines: list[str]) -> ClaimedLength:
    claim = next(filter(None, map(_DURATION.match, lines)), None)
    if claim is None:
        return ClaimedLength()
    hours, minutes, seconds, hundredths = map(int, claim.groups())
    whole = 3600 * hours + 60 * minutes + seconds + (hundredths > 0)
    return ClaimedLength(whole, is_estimate=any(map(_ESTIMATE.match, lines)))
