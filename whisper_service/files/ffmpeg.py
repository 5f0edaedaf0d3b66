"""ffmpeg: what a file is, and its conversion. The only room that knows the program.

The input is passed as a descriptor, so that no playlist or container can make ffmpeg open
another file or a connection, and only demuxers and decoders on a list may touch it.
"""

import errno
import logging
import os
import re
import selectors
import subprocess
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg

from whisper_service import sandbox
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.files import lengths
from whisper_service.files.lengths import ClaimedLength
from whisper_service.files.media_types import (
    AUDIO_DECODERS,
    CONTAINERS,
    PICTURE_DECODERS,
    PICTURE_DEMUXERS,
    VIDEO_DECODERS,
)
from whisper_service.sandbox import LIBRARIES, Access, Limits

logger = logging.getLogger(__name__)

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SAMPLE_RATE = 16_000
MIN_SAMPLES = SAMPLE_RATE // 10
PROBE_SECONDS = 60
CONVERT_SECONDS = 6 * 3600
CORES = os.cpu_count() or 1
LOOK_UP_SECONDS = 0.5
MAX_WORDS = 256 * 1024
GIB = 1024**3
LOOK = Limits(cpu=PROBE_SECONDS, memory=GIB, file=0)
DRAW = Limits(cpu=PROBE_SECONDS, memory=GIB, file=1024**2)
# A film in 4K takes, with four threads, 0.3 GiB to look at it, for its sound, which decodes no
# pictures, and to copy its H.264; 1.6 to encode it (HEVC with 10 bits; others take less). By
# reckoning, the lists of packets of twelve hours add 0.3. A pause between two packets is silence
# in memory, in a buffer that doubles: 4.5 hours fit in a WAV and, in stereo, 1.5 in an MP3.
EXTRACT_MEMORY = 5 * GIB // 4
COPY_MEMORY = GIB
ENCODE_AUDIO_MEMORY = 2 * GIB
ENCODE_VIDEO_MEMORY = 3 * GIB
# A copy for download, its sound apart, that has this many times its original's size and so many
# bytes more, is an attack, or useless.
MAX_GROWTH, GROWTH_BYTES = 10, 256 * 1024**2
SOUND_BYTES = 24_000  # in a second of a copy: 192 kbit/s
# ffmpeg's exit codes for a disk that is full: the error's number, negative, in a byte.
NO_ROOM = {256 - number: number for number in (errno.ENOSPC, errno.EDQUOT)}
TOO_LARGE = 256 - errno.EFBIG  # the same for a file that would be larger than it may be
ALL_DECODERS = f"{AUDIO_DECODERS},{VIDEO_DECODERS}"
# Every thread keeps a picture of its own: with one for each of many cores, a film in 4K would
# want more memory than it may have.
THREADS = str(min(4, CORES))
MAX_PIXELS = str(8192 * 4320)  # 8K; a damaged header may claim any size
# Otherwise each thread reserves 64 MiB of what may be mapped, whether it uses them or not.
ENVIRON = {"MALLOC_ARENA_MAX": "1"}
QUIET = ["-hide_banner", "-nostdin", "-nostats", "-filter_threads", THREADS]
# Silence for what is missing before the sound and in the middle of it. No other output may be
# written in such a run: ffmpeg's threads would come to wait for each other, and for ever. The
# sound has its final form before, for what is missing is held in memory.
FROM_ZERO = "aresample=async=1:first_pts=0"
WAV_FORM = "aformat=sample_fmts=s16:sample_rates=16000:channel_layouts=mono"
MP3_FORM = "aformat=sample_fmts=s16p:sample_rates=44100:channel_layouts=mono|stereo"
WAV = "-map 0:a:0 -ac 1 -ar 16000 -c:a pcm_s16le -fflags +bitexact -f wav".split()
WAV += ["-af", f"{WAV_FORM},{FROM_ZERO}"]
# What ffmpeg says, and goes on, when memory doesn't suffice for that: all later times are wrong.
UNFILLED = "Failed to compensate for timestamp delta"
# The sound of a video with the times that only a run with its pictures knows, still with gaps.
TIMED = "-map 0:a:0 -ac 1 -ar 16000 -c:a pcm_s16le -f matroska".split()
PICTURES = "-map 0:V:0 -c:v copy -f null -".split()
# Encoding for downloads gives way to transcribing: a tenth of a busy core is left to it.
ENCODE_NICENESS = 15
# How far to look for streams that start late, where the beginning of the file doesn't tell.
LOOK_AHEAD = "-analyzeduration 120M -probesize 100M".split()

# Lines of other texts, metadata included, are indented further.
_INPUT = re.compile(r"Input #0, (?P<demuxer>\S+), from 'fd:':")
_STREAM = re.compile(r"  Stream #0:\d+\S*: (?P<kind>Audio|Video): (?P<codec>\w+)(?P<rest>.*)")
_DURATION = re.compile(r"  Duration: (\d+):(\d\d):(\d\d)\.(\d\d),")
_ESTIMATE = re.compile(r"\[in#0/\S+ @ \S+\] Estimating duration from bitrate")


class UnsupportedMedia(ServiceError):
    """A file that is not audio or video of a kind that is served."""


class NoAudioStream(ServiceError):
    """A video without sound."""


class MediaError(ServiceError):
    """A file whose sound cannot be decoded."""


class TooLong(MediaError):
    """A recording that lasts longer than it may."""


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


def probe(path: Path) -> Media:
    """Tell what a file is, having decoded the first of its sound.

    Raises UnsupportedMedia or NoAudioStream.
    """
    decode = ["-map", "0:a:0", "-t", "0.2", "-c:a", "pcm_s16le", "-f", "null", "-"]
    command = ["-loglevel", "info", *_input(",".join(CONTAINERS), AUDIO_DECODERS), *decode]
    code, words = _run(path, command, LOOK, PROBE_SECONDS)
    demuxer, streams = None, []
    # Split at line feeds alone: other line ends may stand in a title.
    lines = words.partition("\nStream mapping:")[0].split("\n")
    for line in lines:
        if found := _INPUT.match(line):
            demuxer = found["demuxer"]
        elif found := _STREAM.match(line):
            streams.append(found)
    if demuxer not in CONTAINERS or not streams:
        raise UnsupportedMedia("Unsupported content type")
    codecs = {
        kind: [
            stream["codec"]
            for stream in streams
            if stream["kind"] == kind and "(attached pic)" not in stream["rest"]
        ]
        for kind in ("Audio", "Video")
    }
    if not codecs["Audio"]:
        raise NoAudioStream("The file has no audio stream")
    if code != 0:
        raise UnsupportedMedia("Unsupported content type")
    video = codecs["Video"][0] if codecs["Video"] else None
    content_type = CONTAINERS[demuxer][video is not None]
    return Media(content_type, codecs["Audio"][0], video, _claimed_length(lines))


def _claimed_length(lines: list[str]) -> ClaimedLength:
    claim = next(filter(None, map(_DURATION.match, lines)), None)
    if claim is None:
        return ClaimedLength()
    hours, minutes, seconds, hundredths = map(int, claim.groups())
    whole = 3600 * hours + 60 * minutes + seconds + (hundredths > 0)
    return ClaimedLength(whole, is_estimate=any(map(_ESTIMATE.match, lines)))


def extract(
    source: Path, media: Media, speech: Path, max_seconds: int, wanted: Callable[[], bool]
) -> int:
    """Make the WAV that Whisper hears (16 kHz, mono, s16le), and return its number of samples.

    It starts where the recording starts, be its sound late.

    Raises TooLong for what lasts longer than `max_seconds`, or than its container and its size
    suggest, MediaError for what cannot be decoded, Cancelled once `wanted`, asked twice a second,
    says no.
    """
    if media.length.is_far_beyond(max_seconds):
        raise TooLong(f"The recording is longer than {max_seconds} seconds")
    longest = media.length.longest(source.stat().st_size, max_seconds)
    limit = _limit(longest)
    # Twice the WAV's bytes: Matroska adds some to each packet, and a packet may hold few samples.
    work = lengths.conversion_seconds(longest, pictures=False)
    limits = _limits(EXTRACT_MEMORY, 4 * (longest + 2) * SAMPLE_RATE, work)
    wav = [*WAV, *limit]
    if media.video_codec:
        timed = speech.with_name(f"{speech.name}.timed")
        try:
            _make(source, timed, ALL_DECODERS, [*PICTURES, *TIMED, *limit], limits, wanted)
            _make(timed, speech, "pcm_s16le", ["-copyts", *wav], limits, wanted)
        finally:
            timed.unlink(missing_ok=True)
    else:
        _make(source, speech, AUDIO_DECODERS, wav, limits, wanted)
    samples = count_samples(speech)
    if samples < MIN_SAMPLES:
        raise MediaError("The file holds less than a tenth of a second of sound")
    if samples > max_seconds * SAMPLE_RATE:
        raise TooLong(f"The recording is longer than {max_seconds} seconds")
    if samples > longest * SAMPLE_RATE:
        raise TooLong("The recording is much longer than its file claims")
    return samples


def encode(
    source: Path, media: Media, converted: Path, max_seconds: int, wanted: Callable[[], bool]
) -> None:
    """Make the copy that is downloaded, when nothing more urgent wants the processor.

    Audio becomes MP3 (192 kbit/s, 44.1 kHz), video becomes MP4 (H.264, AAC 192 kbit/s); a stream
    that already is what it should become is copied. Raises as `extract` does.
    """
    decoders = ALL_DECODERS if media.video_codec else AUDIO_DECODERS
    streams = _mp4(media) if media.video_codec else _mp3(media)
    grown = MAX_GROWTH * source.stat().st_size + GROWTH_BYTES
    longest = media.length.longest(source.stat().st_size, max_seconds)
    work = lengths.conversion_seconds(longest, pictures=media.video_codec is not None)
    size = grown + SOUND_BYTES * longest
    limits = _limits(_memory_to_encode(media), size, work, ENCODE_NICENESS)
    _make(source, converted, decoders, [*streams, *_limit(max_seconds)], limits, wanted)


def make_avatar(source: Path, target: Path) -> None:
    """Decode a PNG, JPEG, WebP or GIF and write its middle anew, as a square PNG of 256 pixels.

    Raises MediaError for anything else, and for more than 25 million pixels.
    """
    picture = ["-max_pixels", "25000000", *_input(PICTURE_DEMUXERS, PICTURE_DECODERS)]
    # Cropped first, for a picture of 1 x 10,000 would be scaled to 655 million pixels.
    # Side data is EXIF, with where a photo was taken, which would be written again.
    square = "sidedata=mode=delete,crop=min(iw\\,ih):min(iw\\,ih),scale=256:256"
    output = ["-frames:v", "1", "-vf", square, "-map_metadata", "-1", "-c:v", "png"]
    output += ["-f", "image2", "-update", "1", "-y", f"file:{target}"]
    arguments = ["-loglevel", "error", *picture, *output]
    code, _ = _run(source, arguments, DRAW, PROBE_SECONDS, output=target)
    if code != 0 or target.stat().st_size == 0:
        raise MediaError("Invalid avatar image")


def count_samples(wav: Path) -> int:
    with wave.open(str(wav), "rb") as file:
        return file.getnframes()


def _limit(max_seconds: int) -> list[str]:
    return ["-t", str(max_seconds + 1), "-map_metadata", "-1", "-map_chapters", "-1", "-y"]


def _make(
    source: Path,
    target: Path,
    decoders: str,
    outputs: list[str],
    limits: Limits,
    wanted: Callable[[], bool],
) -> None:
    reading = ["-loglevel", "error", *_input(",".join(CONTAINERS), decoders)]
    command = [*reading, *outputs, f"file:{target}"]
    seconds = (limits.cpu or 0) // CORES
    code, words = _run(source, command, limits, seconds, wanted, target)
    if code in NO_ROOM:
        raise OSError(NO_ROOM[code], "ffmpeg found no room on the disk")
    if code == TOO_LARGE:
        raise MediaError("The recording becomes too large when it is converted")
    if code != 0:
        logger.warning("ffmpeg ended with %d: %s", code, words[-500:])
        raise MediaError("The recording could not be decoded")
    if UNFILLED in words:
        raise MediaError("The recording has a pause that is too long")


def _limits(memory: int, file: int, seconds: int, niceness: int = 0) -> Limits:
    return Limits(niceness, min(seconds, CONVERT_SECONDS) * CORES, memory, file)


def _memory_to_encode(media: Media) -> int:
    if not media.video_codec:
        return ENCODE_AUDIO_MEMORY
    return COPY_MEMORY if media.video_codec == "h264" else ENCODE_VIDEO_MEMORY


def _mp3(media: Media) -> list[str]:
    encode = ["-c:a", "libmp3lame", "-b:a", "192k", "-ar", "44100"]
    encode += ["-af", f"{MP3_FORM},{FROM_ZERO}"]
    codec = ["-c:a", "copy"] if media.audio_codec == "mp3" else encode
    return ["-map", "0:a:0", *codec, "-f", "mp3"]


def _mp4(media: Media) -> list[str]:
    # H.264 wants even sides and, for players everywhere, 4:2:0.
    encode = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -vf scale=trunc(iw/2)*2:trunc(ih/2)*2"
    encode_video = [*encode.split(), "-threads:v", THREADS]
    video = ["-c:v", "copy"] if media.video_codec == "h264" else encode_video
    # The encoder knows no more than eight channels.
    layouts = "aformat=channel_layouts=mono|stereo|5.1"
    encode_audio = ["-c:a", "aac", "-b:a", "192k", "-af", layouts]
    audio = ["-c:a", "copy"] if media.audio_codec == "aac" else encode_audio
    fast_start = ["-movflags", "+faststart"]
    return ["-map", "0:V:0", "-map", "0:a:0", *video, *audio, *fast_start, "-f", "mp4"]


def _input(demuxers: str, decoders: str) -> list[str]:
    guard = ["-protocol_whitelist", "fd", "-format_whitelist", demuxers, "-max_streams", "64"]
    few = ["-threads", THREADS, "-max_pixels", MAX_PIXELS]
    return [*LOOK_AHEAD, *guard, *few, "-codec_whitelist", decoders, "-i", "fd:"]


def _run(
    path: Path,
    arguments: list[str],
    limits: Limits,
    seconds: float,
    wanted: Callable[[], bool] = lambda: True,
    output: Path | None = None,
) -> tuple[int, str]:
    """Run ffmpeg over a file; return its exit code and the end of what it said.

    `output` is the only file that it may write, and open at all. Raises Cancelled, or MediaError
    after `seconds`. The process is gone in any case.
    """
    if output:
        output.touch(mode=0o600)
    access = Access((Path(FFMPEG), *LIBRARIES), (output,) if output else ())
    with path.open("rb") as source:
        process = subprocess.Popen(
            [*sandbox.command(limits, access), FFMPEG, *QUIET, *arguments],
            stdin=source,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ENVIRON,
            cwd="/",
            process_group=0,
        )
    try:
        words = _listen(process, time.monotonic() + seconds, wanted)
        code = process.wait()
        if code < 0:
            logger.warning("ffmpeg was ended by signal %d: %s", -code, words[-500:])
        return code, words
    finally:
        process.kill()
        process.wait()


def _listen(process: "subprocess.Popen[bytes]", deadline: float, wanted: Callable[[], bool]) -> str:
    """Read what a process says until it closes its mouth; keep the last of it."""
    assert process.stderr
    words = b""
    with process.stderr, selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while True:
            if selector.select(LOOK_UP_SECONDS):
                chunk = os.read(process.stderr.fileno(), 65_536)
                if not chunk:
                    return words.decode(errors="replace")
                words = (words + chunk)[-MAX_WORDS:]
            if not wanted():
                raise Cancelled
            if time.monotonic() > deadline:
                raise MediaError("The file took too long to convert")
