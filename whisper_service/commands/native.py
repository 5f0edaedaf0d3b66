"""`make native`: build the engine for this machine's processor, and try it.

The service does the same in the background when it starts. What is built is kept only if it gets
the same words in less time; whatever happens, there is an engine that works.
"""

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whisper_service.commands import native_gpu, native_trial
from whisper_service.config import Config
from whisper_service.errors import CommandError
from whisper_service.models import catalog, fetch
from whisper_service.models.part_file import say
from whisper_service.whisper.native import build, library

BUILD_FOLDER = "build-"


def run(
    settings: Config,
    level: str | None = None,
    gpu: str | None = None,
    *,
    background: bool = False,
) -> None:
    """Build the library for this processor, unless there is one; it is kept if it is better.

    One for a level of x86-64, which is for images, is not tried: it may be for another machine.
    With `gpu`, a kind of GPU, its backend is built, too. Raises CommandError, with the reason, when
    the prebuilt engine stays, or the GPU is not used.
    """
    if background:
        _give_way()
    if reason := library.why_not():
        raise CommandError(f"The engine cannot be built here: {reason}")
    name = level or library.processor()
    if level and level not in library.LEVELS:
        raise CommandError(f"--level must be one of {', '.join(library.LEVELS)}")
    if gpu:
        native_gpu.check(gpu)
    with _locked() as folder:
        if library.find_for(name):
            say("The engine is already built for this processor")
        elif level:
            library.place(build.build(folder, level, say), name)
            say(f"Built for {level}")
        else:
            model = _smallest_model(settings.models.path, background=background)
            made = build.build(folder, "native", say)
            factor = _try(made, name, model)
            library.place(made, name)
            say(f"Built for this processor, the engine is {factor:.2f} times as fast")
    if gpu:
        with _locked() as folder:
            native_gpu.run(gpu, folder, _smallest_model(settings.models.path, background=False))


def _try(made: Path, name: str, model: Path) -> float:
    try:
        return native_trial.gain(model, made)
    except native_trial.NoBetterError as error:
        library.rejection(name).write_text(f"{error}\n")
        raise


def _smallest_model(folder: Path, *, background: bool) -> Path:
    """Return the model to try the library with; in the background none is downloaded for that."""
    folder.mkdir(parents=True, exist_ok=True)
    if not background:
        fetch.fetch_starter(folder)
    models = catalog.available(folder)
    if not models:
        raise CommandError("There is no model yet to try it with")
    return min(models, key=lambda model: model.size).path


@contextmanager
def _locked() -> Iterator[Path]:
    """Yield an empty folder in the cache, and remove it, while no other process builds.

    What a killed build left is removed first. Raises CommandError without access to the cache.
    """
    cache = library.cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = os.open(cache / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CommandError(f"{cache} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in cache.glob(f"{BUILD_FOLDER}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=BUILD_FOLDER, dir=cache) as folder:
            yield Path(folder)
    except BlockingIOError:
        raise CommandError("Another process is building the engine") from None
    finally:
        os.close(lock)


def _give_way() -> None:
    """Take only what others leave of the processor and memory, and end when the input ends."""
    os.nice(19)
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        Path("/proc/self/oom_score_adj").write_text("1000")
    threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.killpg(0, signal.SIGKILL)
