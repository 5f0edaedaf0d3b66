"""Converting a recording: to the WAV that Whisper transcribes, and to the copy for downloads."""

import errno
import logging
import os
import wave
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from whisper_service.audio import SAMPLE_RATE
from whisper_service.files import ffmpeg, lengths
from whisper_service.files.ffmpeg import CORES, MediaError
from whisper_service.files.media import Media
from whisper_service.files.media_types import AUDIO_DECODERS, CONTAINERS, VIDEO_DECODERS
from whisper_service.sandbox import Limits

logger = logging.getLogger(__name__)

MIN_SAMPLES = SAMPLE_RATE // 10
CONVERT_SECONDS = 6 * 3600
GIB = 1024**3
# Measured with a film in 4K and four threads: 0.3 GiB to extract its sound, which decodes no
# pictures, or to copy its H.264; 1.6 to encode it (HEVC with 10 bits; others take less). The
# lists of packets of twelve hours add an estimated 0.3. A pause between two packets is silence
# in memory, in a buffer that doubles: 4.5 hours fit in a WAV and, in stereo, 1.5 in an MP3.
EXTRACT_MEMORY = 5 * GIB // 4
COPY_MEMORY = GIB
ENCODE_AUDIO_MEMORY = 2 * GIB
ENCODE_VIDEO_MEMORY = 3 * GIB
# A copy for downloads that, apart from its sound, is this many times as large as its original and
# this many bytes more, is an attack, or useless.
MAX_GROWTH, GROWTH_BYTES = 10, 256 * 1024**2
SOUND_BYTES = 24_000  # in a second of a copy: 192 kbit/s
# ffmpeg's exit codes for a full disk: the error's number, negative, in a byte.
NO_ROOM = {256 - number: number for number in (errno.ENOSPC, errno.EDQUOT)}
TOO_LARGE = 256 - errno.EFBIG  # the same for a file beyond its size limit
ALL_DECODERS = f"{AUDIO_DECODERS},{VIDEO_DECODERS}"
# Silence for what is missing before the sound and in the middle of it. Such a run may have no
# other output: ffmpeg's threads would deadlock. The format is set before it, for the silence is
# held in memory.
FROM_ZERO = "aresample=async=1:first_pts=0"
WAV_FORMAT = f"aformat=sample_fmts=s16:sample_rates={SAMPLE_RATE}:channel_layouts=mono"
MP3_FORMAT = "aformat=sample_fmts=s16p:sample_rates=44100:channel_layouts=mono|stereo"
WAV = f"-map 0:a:0 -ac 1 -ar {SAMPLE_RATE} -c:a pcm_s16le -fflags +bitexact -f wav".split()
WAV += ["-af", f"{WAV_FORMAT},{FROM_ZERO}"]
# ffmpeg's message when memory doesn't suffice for that. It continues, but all later times are
# wrong.
UNFILLED = "Failed to compensate for timestamp delta"
# The sound of a video with the times that only a run with its pictures knows, still with gaps.
TIMED = f"-map 0:a:0 -ac 1 -ar {SAMPLE_RATE} -c:a pcm_s16le -f matroska".split()
PICTURES = "-map 0:V:0 -c:v copy -f null -".split()
# Encoding for downloads gives way to transcribing: a tenth of a busy core is left to it.
ENCODE_NICENESS = 15


class TooLong(MediaError):
    """A recording that is longer than allowed."""


def extract(
    source: Path, media: Media, speech: Path, max_seconds: int, is_wanted: Callable[[], bool]
) -> int:
    """Make the WAV that is transcribed (16 kHz, mono, s16le), and return its number of samples.

    It starts where the recording starts, even if its audio starts late.

    Raises TooLong for a recording longer than `max_seconds`, or than its container and its size
    suggest, MediaError if it cannot be decoded, Cancelled once `is_wanted` returns False, OSError
    on a full disk.
    """
    if media.length.is_far_beyond(max_seconds):
        raise TooLong(f"The recording is longer than {max_seconds} seconds")
    longest = media.length.longest(source.stat().st_size, max_seconds)
    _make_wav(source, media, speech, longest, is_wanted)
    samples = count_samples(speech)
    if samples < MIN_SAMPLES:
        raise MediaError("The file holds less than a tenth of a second of sound")
    if samples > max_seconds * SAMPLE_RATE:
        raise TooLong(f"The recording is longer than {max_seconds} seconds")
    if samples > longest * SAMPLE_RATE:
        raise TooLong("The recording is much longer than its file claims")
    return samples


def encode(
    source: Path, media: Media, converted: Path, max_seconds: int, is_wanted: Callable[[], bool]
) -> None:
    """Make the copy for downloads, at low priority.

    Audio becomes MP3 (192 kbit/s, 44.1 kHz), video becomes MP4 (H.264, AAC 192 kbit/s); a stream
    that has this codec already is copied. Raises what `extract` raises, except TooLong.
    """
    decoders = ALL_DECODERS if media.video_codec else AUDIO_DECODERS
    streams = _mp4_output(media) if media.video_codec else _mp3_output(media)
    grown = MAX_GROWTH * source.stat().st_size + GROWTH_BYTES
    longest = media.length.longest(source.stat().st_size, max_seconds)
    seconds = lengths.conversion_seconds(longest, pictures=media.video_codec is not None)
    size = grown + SOUND_BYTES * longest
    limits = _limits(_memory_to_encode(media), size, seconds, ENCODE_NICENESS)
    outputs = [*streams, *_length_limit(max_seconds)]
    _convert(source, converted, decoders, outputs, limits, is_wanted)


def count_samples(wav: Path) -> int:
    with wave.open(str(wav), "rb") as file:
        return file.getnframes()


def _make_wav(
    source: Path, media: Media, speech: Path, longest: int, is_wanted: Callable[[], bool]
) -> None:
    limit = _length_limit(longest)
    # Twice the WAV's bytes: Matroska adds some to each packet, and a packet may hold few samples.
    seconds = lengths.conversion_seconds(longest, pictures=False)
    limits = _limits(EXTRACT_MEMORY, 4 * (longest + 2) * SAMPLE_RATE, seconds)
    wav = [*WAV, *limit]
    if not media.video_codec:
        _convert(source, speech, AUDIO_DECODERS, wav, limits, is_wanted)
        return
    timed = speech.with_name(f"{speech.name}.timed")
    try:
        outputs = [*PICTURES, *TIMED, *limit]
        _convert(source, timed, ALL_DECODERS, outputs, limits, is_wanted)
        _convert(timed, speech, "pcm_s16le", ["-copyts", *wav], limits, is_wanted)
    finally:
        timed.unlink(missing_ok=True)


def _convert(
    source: Path,
    target: Path,
    decoders: str,
    outputs: list[str],
    limits: Limits,
    is_wanted: Callable[[], bool],
) -> None:
    arguments = ffmpeg.input_arguments(",".join(CONTAINERS), decoders)
    command = ["-loglevel", "error", *arguments, *outputs, f"file:{target}"]
    seconds = (limits.cpu or 0) // CORES
    try:
        _check(*ffmpeg.run(source, command, limits, seconds, is_wanted, target))
    except BaseException:
        # Deleting alone gives the room back late: the sandbox's rule for the file keeps it for as
        # long as the kernel takes to forget the process.
        with suppress(FileNotFoundError):
            os.truncate(target, 0)
        raise


def _check(code: int, stderr: str) -> None:
    if code in NO_ROOM:
        raise OSError(NO_ROOM[code], "ffmpeg found no room on the disk")
    if code == TOO_LARGE:
        raise MediaError("The recording becomes too large when it is converted")
    if code != 0:
        logger.warning("ffmpeg ended with %d: %s", code, stderr[-500:])
        raise MediaError("The recording could not be decoded")
    if UNFILLED in stderr:
        raise MediaError("The recording has a pause that is too long")


def _length_limit(max_seconds: int) -> list[str]:
    return ["-t", str(max_seconds + 1), "-map_metadata", "-1", "-map_chapters", "-1", "-y"]


def _limits(memory: int, file: int, seconds: int, niceness: int = 0) -> Limits:
    return Limits(niceness, min(seconds, CONVERT_SECONDS) * CORES, memory, file)


def _memory_to_encode(media: Media) -> int:
    if not media.video_codec:
        return ENCODE_AUDIO_MEMORY
    return COPY_MEMORY if media.video_codec == "h264" else ENCODE_VIDEO_MEMORY


def _mp3_output(media: Media) -> list[str]:
    encode = ["-c:a", "libmp3lame", "-b:a", "192k", "-ar", "44100"]
    encode += ["-af", f"{MP3_FORMAT},{FROM_ZERO}"]
    codec = ["-c:a", "copy"] if media.audio_codec == "mp3" else encode
    return ["-map", "0:a:0", *codec, "-f", "mp3"]


def _mp4_output(media: Media) -> list[str]:
    # H.264 needs even sides and, for players everywhere, 4:2:0.
    encode = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -vf scale=trunc(iw/2)*2:trunc(ih/2)*2"
    encode_video = [*encode.split(), "-threads:v", ffmpeg.THREADS]
    video = ["-c:v", "copy"] if media.video_codec == "h264" else encode_video
    # The encoder supports at most eight channels.
    layouts = "aformat=channel_layouts=mono|stereo|5.1"
    encode_audio = ["-c:a", "aac", "-b:a", "192k", "-af", layouts]
    audio = ["-c:a", "copy"] if media.audio_codec == "aac" else encode_audio
    fast_start = ["-movflags", "+faststart"]
    return ["-map", "0:V:0", "-map", "0:a:0", *video, *audio, *fast_start, "-f", "mp4"]
