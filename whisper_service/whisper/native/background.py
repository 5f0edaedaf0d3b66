"""Building the library while the service runs, in a process of its own that gives way to all."""

import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from whisper_service.whisper.native import library
from whisper_service.whisper.native.build import ROOT

COMMAND = [sys.executable, str(ROOT / "app.py"), "native", "--background"]

logger = logging.getLogger(__name__)


class BackgroundBuild:
    """Runs `app.py native`, if there is need for it, from `start` to `stop`.

    `models` is the folder with the models to try it with.
    """

    def __init__(self, models: Path) -> None:
        self._models = models
        self._process: subprocess.Popen[str] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="native build", daemon=True)
        self._lock = threading.Lock()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the build with all its processes. What it has made so far is lost."""
        with self._lock:
            self._stopped.set()
            if self._process and self._process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._build()
        except OSError as error:
            logger.warning("No engine was built, the prebuilt one stays: %s", error.strerror)

    def _build(self) -> None:
        if not is_needed():
            return
        with self._lock:
            if self._stopped.is_set():
                return
            self._process = self._launch()
        logger.info("Building an engine for this processor; the prebuilt one works meanwhile")
        with self._process as process:
            assert process.stdout
            lines = process.stdout.read().splitlines()
        for line in lines:
            if "is left out" in line:
                logger.warning("%s", line)
        if self._stopped.is_set():
            return
        code = process.returncode
        said = lines[-1].removeprefix("error: ") if lines else f"ended with {code}"
        if code:
            logger.warning("No engine was built, the prebuilt one stays: %s", said)
        else:
            logger.info("%s", said)

    def _launch(self) -> "subprocess.Popen[str]":
        # Its input ends when the service does, however that happens, and it ends with its input.
        return subprocess.Popen(
            COMMAND,
            cwd=ROOT,
            env={**os.environ, "WHISPER_SERVICE_MODELS_PATH": str(self._models)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )


def is_needed() -> bool:
    """Return whether a library should be built; say once in the log why not, where it cannot be."""
    if reason := library.why_not():
        logger.info("The prebuilt engine is used: %s", reason)
        return False
    name = library.processor()
    return library.find_for(name) is None and not library.rejection(name).exists()
