"""A backend for GPUs is built, tried, and kept if a device gets the same words with it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.live import Client, LiveServer, launch
from tests.support.paths import DATA, ROOT
from tests.support.processes import children
from tests.support.waiting import until
from whisper_service.commands import native, native_gpu
from whisper_service.commands.native_trial import NoBetterError
from whisper_service.config import Config, EngineSettings
from whisper_service.errors import CommandError
from whisper_service.transcripts.transcript import Segment
from whisper_service.whisper import devices
from whisper_service.whisper.engine import Engine, EngineCrashed
from whisper_service.whisper.ggml_devices import Found
from whisper_service.whisper.native import build, cuda, library, vulkan
from whisper_service.whisper.options import Options
from whisper_service.whisper.protocol import Transcribe, Transcribed

GIB = 1024**3
CARD, OTHER = Found("A card", GIB), Found("Another", 2 * GIB)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with an engine for this processor, and whatever a backend takes to be built."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = library.cache_folder()
    cache.mkdir()
    made = tmp_path / "engine.so"
    made.write_bytes(b"an engine")
    library.place(made, library.processor())
    monkeypatch.setattr(vulkan, "check", lambda: None)
    monkeypatch.setattr(build, "prepare", lambda folder, _say: folder)
    monkeypatch.setattr(vulkan, "build", make)
    return cache


def make(folder: Path) -> Path:
    made = folder / "backend.so"
    made.write_bytes(b"a backend")
    return made


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> list[Found]:
    """The devices that are found with a backend."""
    found = [CARD, OTHER]
    monkeypatch.setattr(native_gpu, "_listed", lambda _engine, _backend: found)
    return found


def run(settings: Config) -> None:
    native.run(settings, gpu="vulkan")


@pytest.fixture
def settings(settings: Config, tiny_en_model: Path) -> Config:
    return replace(settings, models=replace(settings.models, path=tiny_en_model.parent))


@pytest.mark.usefixtures("there")
def test_what_was_measured_is_kept_with_it(
    settings: Config,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = iter([(7.5, 27), (0.5, 17)])
    monkeypatch.setattr(native_gpu, "_measure", lambda *_: next(answers))
    run(settings)
    said = capsys.readouterr().err
    assert "A card is 7.50 times as fast as the processor\n" in said
    assert (
        "Another is 0.50 times as fast as the processor; it is used if [engine] gpu = 1\n" in said
    )
    (device,) = devices.find(EngineSettings())
    assert (device.name, device.memory, device.speed, device.chunk_seconds) == (
        "A card",
        GIB,
        7.5,
        27,
    )
    (other,) = devices.find(EngineSettings(gpu="1"))
    assert other.name == "Another"
    assert {path.suffix for path in cache.iterdir()} == {"", ".so", ".json"}


@pytest.mark.parametrize("error", [NoBetterError("it gets other words"), EngineCrashed("ended")])
def test_a_device_that_fails_is_not_used(
    settings: Config,
    cache: Path,
    there: list[Found],
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> tuple[float, int]:
        raise error

    monkeypatch.setattr(native_gpu, "_measure", fail)
    del there[1]
    with pytest.raises(CommandError, match="^No GPU works with vulkan$"):
        run(settings)
    assert f"A card is not used: {error}" in capsys.readouterr().err
    assert devices.find(EngineSettings()) == []
    assert library.find_for("vulkan") is None
    assert library.find()


def test_a_card_that_was_taken_out_is_not_used_any_more(
    settings: Config, cache: Path, there: list[Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_gpu, "_measure", lambda *_: (7.5, 27))
    run(settings)
    assert len(devices.find(EngineSettings())) == 2
    there.clear()
    with pytest.raises(CommandError, match="^No GPU works with vulkan$"):
        run(settings)
    assert devices.find(EngineSettings()) == []


def test_without_a_device_nothing_is_kept(
    settings: Config, cache: Path, there: list[Found]
) -> None:
    there.clear()
    with pytest.raises(CommandError, match="^No GPU works with vulkan$"):
        run(settings)
    assert library.find_for("vulkan") is None


def test_a_backend_that_cannot_be_loaded_says_so(settings: Config, cache: Path) -> None:
    with pytest.raises(CommandError, match="^The backend for the GPU fails: "):
        run(settings)
    assert library.find_for("vulkan") is None


def test_what_is_missing_is_named(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(vulkan, "HEADERS", tmp_path)
    monkeypatch.setattr(vulkan, "LOADERS", ())
    message = "apt install glslc libvulkan-dev spirv-headers"
    with pytest.raises(CommandError, match=message):
        native.run(settings, gpu="vulkan")
    with pytest.raises(CommandError, match="takes nvcc: apt install nvidia-cuda-toolkit"):
        native.run(settings, gpu="cuda")
    with pytest.raises(CommandError, match="^GPU must be one of vulkan, cuda$"):
        native.run(settings, gpu="abacus")
    assert set(native_gpu.BACKENDS.values()) == {vulkan, cuda}


# What follows builds the backend and runs it with Mesa's driver for processors.
TESTED = bool(os.environ.get("TEST_GPU"))
needs_vulkan = pytest.mark.skipif(not TESTED, reason="takes many minutes; run by `make test-gpu`")
CACHE = ROOT / "tests" / "cache"
ENVIRON = {
    "GGML_VK_VISIBLE_DEVICES": "0",  # else it is taken for no GPU
    "GGML_VK_DISABLE_F16": "1",  # which it would compute much slower
    "XDG_CACHE_HOME": str(CACHE),
}
FOLDER = CACHE / "whisper-service"
SECONDS = 1800


@pytest.fixture(scope="module")
def backend(tiny_en_model: Path) -> Path:
    """The backend, built once and tried each time; it is said to be fast, so that it is used."""
    models = {"WHISPER_SERVICE_MODELS_PATH": str(tiny_en_model.parent)}
    command = [sys.executable, str(ROOT / "app.py"), "native", "--gpu", "vulkan"]
    CACHE.mkdir(exist_ok=True)
    environ = {**os.environ, **ENVIRON, **models}
    done = subprocess.run(command, env=environ, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    assert "times as fast as the processor; it is used if [engine] gpu = 0" in done.stderr
    (path,) = FOLDER.glob(f"{library.stem('vulkan')}-*.so")
    devices.keep(path, [replace(device, speed=1000) for device in devices.read(path)])
    return path


@contextmanager
def serving(folder: Path, models: Path, **environ: str) -> Iterator[tuple[LiveServer, str]]:
    """Run a service that uses the GPU; yield it with its greeting. Its log is in the folder."""
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("w") as log:
        process = launch(
            folder / "storage",
            models,
            stderr=log,
            WHISPER_SERVICE_ENGINE_NATIVE="auto",
            WHISPER_SERVICE_WORKER_JOBS="1",
            **ENVIRON,
            **environ,
        )
        assert process.stdout
        with process.stdout:
            greeting = "".join(process.stdout.readline() for _ in range(4))
        url = greeting.splitlines()[0].rsplit(" ", 1)[1]
        try:
            yield LiveServer(process, url, folder), greeting
        finally:
            process.terminate()
            process.wait(60)


def on_the_gpu(server: LiveServer) -> list[int]:
    """Return the processes of engines that use the GPU."""
    return [
        pid
        for pid in children(server.process.pid, "engine_process")
        if b"WHISPER_GPU_LIBRARY" in Path(f"/proc/{pid}/environ").read_bytes()
    ]


def transcribed(server: LiveServer, *, kills: bool = False) -> str:
    """Return what is said in a recording that the GPU begins with."""
    user = Client(server, "ann")
    (order,) = user.transcribe(user.upload(DATA / "jfk.wav"))
    until(lambda: on_the_gpu(server))
    if kills:
        (pid,) = on_the_gpu(server)
        os.kill(pid, 9)
    until(lambda: user.wait(order, "processing", "completed")["status"] == "completed", SECONDS)
    return user.wait(order)["data"]["text"]


def words(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ")


SAID = (
    "and so my fellow americans ask not what your country can do for you "
    "ask what you can do for your country"
)


@needs_vulkan
def test_a_service_transcribes_with_it(backend: Path, tiny_en_model: Path, tmp_path: Path) -> None:
    with serving(tmp_path, tiny_en_model.parent) as (server, greeting):
        assert "Engines  1 here, llvmpipe" in greeting
        assert words(transcribed(server)) == SAID
        assert on_the_gpu(server)
    assert "goes on without" not in (tmp_path / "log").read_text()


@needs_vulkan
def test_a_device_that_is_lost_costs_nothing(
    backend: Path, tiny_en_model: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, tiny_en_model.parent) as (server, _):
        assert words(transcribed(server, kills=True)) == SAID
    log = (tmp_path / "log").read_text()
    assert "goes on without llvmpipe" in log
    assert "The engine ended with -9" in log


@needs_vulkan
def test_without_memory_there_the_processor_goes_on(
    backend: Path, tiny_en_model: Path, tmp_path: Path
) -> None:
    # Enough for the largest tensor, and less than all of them.
    refused = {"GGML_VK_FORCE_MAX_BUFFER_SIZE": str(50 * 2**20)}
    with serving(tmp_path, tiny_en_model.parent, **refused) as (server, _):
        assert words(transcribed(server)) == SAID
    assert "goes on without llvmpipe" in (tmp_path / "log").read_text()


@needs_vulkan
def test_a_device_that_is_not_there_is_an_error(
    backend: Path, tiny_en_model: Path, tmp_path: Path
) -> None:
    (device,) = devices.read(backend)
    devices.keep(backend, [replace(device, number=1)])
    try:
        with serving(tmp_path, tiny_en_model.parent) as (server, _):
            assert words(transcribed(server)) == SAID
    finally:
        devices.keep(backend, [device])
    assert "There is no GPU with number 1" in (tmp_path / "log").read_text()


@needs_vulkan
def test_times_words_and_options_are_as_on_the_processor(
    backend: Path, tiny_en_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    (device,) = devices.read(backend)
    here = heard({"WHISPER_LIBRARY": str(library.find())}, tiny_en_model)
    there = heard(devices.environment(device), tiny_en_model)
    assert [segment.text for segment in here] == [segment.text for segment in there]
    for one, other in zip(here, there, strict=True):
        assert one.start == pytest.approx(other.start, abs=0.1)
        assert one.end == pytest.approx(other.end, abs=0.1)
        assert one.avg_logprob == pytest.approx(other.avg_logprob, abs=0.05)
        assert [word.text for word in one.words] == [word.text for word in other.words]
        for mine, its in zip(one.words, other.words, strict=True):
            assert mine.start == pytest.approx(its.start, abs=0.1)


def heard(environment: dict[str, str], model: Path) -> list[Segment]:
    engine = Engine(lambda: environment)
    samples = (DATA / "jfk.wav").read_bytes()[44:]
    options = Options(word_timestamps=True, prompt="A speech.")
    try:
        answer = engine.ask(
            model, Transcribe(samples, [], "en", None, 2, 2, options), SECONDS, lambda: True
        )
    finally:
        engine.close()
    assert isinstance(answer, Transcribed)
    return answer.segments
