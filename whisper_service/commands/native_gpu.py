"""`make native GPU=...`: build the backend for a kind of GPU, and try each device that it finds."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from whisper_service.audio import SAMPLE_RATE
from whisper_service.commands.demo import RECORDING
from whisper_service.commands.native_trial import RECORDINGS, NoBetterError, hear, samples_of
from whisper_service.errors import CommandError, ServiceError
from whisper_service.files.quota import BYTES_PER_SAMPLE
from whisper_service.models.part_file import say
from whisper_service.whisper import devices
from whisper_service.whisper.devices import Device
from whisper_service.whisper.engine import Engine, EngineCrashed
from whisper_service.whisper.ggml_devices import Found
from whisper_service.whisper.native import build, cuda, library, vulkan
from whisper_service.whisper.native.build import ROOT

BACKENDS: dict[str, ModuleType] = {"vulkan": vulkan, "cuda": cuda}
# The chunks that are tried, in seconds: the usual ones, and what fits Whisper's window.
CHUNKS = (17, 27)
SPEECH = [RECORDING.with_name(f"{name}.wav") for name in ("jfk", "austen-0870", "austen-0890")]
SPEECH += RECORDINGS[1:]


def check(kind: str) -> None:
    """Raise CommandError for an unknown kind, or if something to build with is missing."""
    if kind not in BACKENDS:
        raise CommandError(f"GPU must be one of {', '.join(BACKENDS)}")
    BACKENDS[kind].check()


def run(kind: str, folder: Path, model: Path) -> None:
    """Build the backend in an empty folder, and keep it if a device gets the same words with it.

    Raises CommandError, with the reason, when it cannot be used.
    """
    engine = library.find()
    if engine is None:
        raise CommandError("A GPU takes the engine that is built for the processor")
    made = library.find_for(kind)
    if made is None:
        workshop = build.prepare(folder, say)
        say(f"Compiling the backend for {kind}; this takes some minutes")
        made = BACKENDS[kind].build(workshop)
    found = list(_tried(model, engine, made, kind))
    if not found:
        devices.forget(made)
        raise NoBetterError(f"No GPU works with {kind}")
    if made.parent == folder:
        made = library.place(made, kind)
    devices.keep(made, found)


def _tried(model: Path, engine: Path, backend: Path, kind: str) -> Iterator[Device]:
    for number, found in enumerate(_listed(engine, backend)):
        say(f"Trying {found.name}")
        try:
            speed, chunk = _measure(model, engine, devices.variables(engine, backend, number))
        except (EngineCrashed, ServiceError, NoBetterError) as error:
            say(f"{found.name} is not used: {error}")
            continue
        usage = "" if speed > 1 else f"; it is used if [engine] gpu = {number}"
        say(f"{found.name} is {speed:.2f} times as fast as the processor{usage}")
        yield Device(kind, number, found.name, found.memory, round(speed, 2), chunk)


def _listed(engine: Path, backend: Path) -> list[Found]:
    """Return the devices that an engine's process would find. Raises CommandError."""
    environ = {**os.environ, **devices.variables(engine, backend, 0)}
    command = [sys.executable, "-m", "whisper_service.whisper.ggml_devices"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").splitlines() or ["no reason given"]
        raise CommandError(f"The backend for the GPU fails: {lines[-1][:200]}")
    return [Found(*each) for each in json.loads(done.stdout)]


def _measure(model: Path, engine: Path, environment: dict[str, str]) -> tuple[float, int]:
    """Return how many times as fast as the processor a GPU is, and with which chunks.

    Raises NoBetterError if it gets other words.
    """
    here, there = Engine(lambda: {"WHISPER_LIBRARY": str(engine)}), Engine(lambda: environment)
    try:
        for samples in map(samples_of, RECORDINGS):  # it compiles its programs meanwhile
            if hear(here, model, samples) != hear(there, model, samples):
                raise NoBetterError("it gets other words")
        usual = _seconds_per_second(here, model, CHUNKS[0])
        best, chunk = min((_seconds_per_second(there, model, chunk), chunk) for chunk in CHUNKS)
        return usual / best, chunk
    finally:
        here.close()
        there.close()


def _seconds_per_second(engine: Engine, model: Path, chunk: int) -> float:
    # Nothing is repeated, which would be taken for an error and decoded again.
    samples = b"".join(map(samples_of, SPEECH))[: BYTES_PER_SAMPLE * SAMPLE_RATE * chunk]
    started = time.monotonic()
    hear(engine, model, samples)
    return (time.monotonic() - started) / chunk
