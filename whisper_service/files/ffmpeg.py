"""Running the bundled ffmpeg in the sandbox.

The input is passed as a descriptor, so that no playlist or container can make ffmpeg open
another file or a connection, and only listed demuxers and decoders may touch it.
"""

import logging
import os
import selectors
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg

from whisper_service import sandbox
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.sandbox import LIBRARIES, Access, Limits

logger = logging.getLogger(__name__)

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
CORES = os.cpu_count() or 1
POLL_INTERVAL = 0.5  # seconds
MAX_STDERR = 256 * 1024  # bytes kept
# Every thread keeps a picture of its own: with one for each of many cores, a film in 4K would
# need more memory than it may have.
THREADS = str(min(4, CORES))
MAX_PIXELS = 8192 * 4320  # 8K; a damaged header may claim any size
# Otherwise each thread reserves 64 MiB of address space, whether it uses them or not.
ENVIRON = {"MALLOC_ARENA_MAX": "1"}
QUIET = ["-hide_banner", "-nostdin", "-nostats", "-filter_threads", THREADS]
# How far to look for streams that start late, where the beginning of the file doesn't list them.
LOOK_AHEAD = "-analyzeduration 120M -probesize 100M".split()


class MediaError(ServiceError):
    """A file that cannot be decoded or converted."""


def input_arguments(demuxers: str, decoders: str, max_pixels: int = MAX_PIXELS) -> list[str]:
    """Return the arguments that open the input with these demuxers and decoders only."""
    guard = ["-protocol_whitelist", "fd", "-format_whitelist", demuxers, "-max_streams", "64"]
    limits = ["-threads", THREADS, "-max_pixels", str(max_pixels)]
    return [*LOOK_AHEAD, *guard, *limits, "-codec_whitelist", decoders, "-i", "fd:"]


def run(
    path: Path,
    arguments: list[str],
    limits: Limits,
    seconds: float,
    is_wanted: Callable[[], bool] = lambda: True,
    output: Path | None = None,
) -> tuple[int, str]:
    """Run ffmpeg on a file; return its exit code and the last MAX_STDERR bytes of its stderr.

    `output` is the only file that it may open or write. Raises Cancelled once `is_wanted`, called
    twice a second, returns False, and MediaError after `seconds`. The process has ended in any
    case.
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
        stderr = _read_stderr(process, time.monotonic() + seconds, is_wanted)
        code = process.wait()
        if code < 0:
            logger.warning("ffmpeg was ended by signal %d: %s", -code, stderr[-500:])
        return code, stderr
    finally:
        process.kill()
        process.wait()


def _read_stderr(
    process: "subprocess.Popen[bytes]", deadline: float, is_wanted: Callable[[], bool]
) -> str:
    """Read stderr until it is closed; keep its end."""
    assert process.stderr
    stderr = b""
    with process.stderr, selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while True:
            if selector.select(POLL_INTERVAL):
                chunk = os.read(process.stderr.fileno(), 65_536)
                if not chunk:
                    return stderr.decode(errors="replace")
                stderr = (stderr + chunk)[-MAX_STDERR:]
            if not is_wanted():
                raise Cancelled
            if time.monotonic() > deadline:
                raise MediaError("The file took too long to convert")
