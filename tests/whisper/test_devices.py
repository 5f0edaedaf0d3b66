"""Which GPUs are used, and what an engine's process is told about one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.library_cache import empty_cache
from tests.support.paths import ROOT
from whisper_service.config import EngineSettings
from whisper_service.errors import ServiceError
from whisper_service.whisper import devices
from whisper_service.whisper.devices import Device
from whisper_service.whisper.native import library

GIB = 1024**3
FAST = Device("vulkan", 0, "A fast one", 8 * GIB, 9.5, 27)
SLOW = Device("vulkan", 1, "A slow one", GIB, 0.4, 17)
NAME = "native-0123"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_cache(tmp_path, monkeypatch, NAME)


def placed(name: str) -> Path:
    made = library.cache_folder() / "made.so"
    made.write_text(name)
    return library.place(made, name)


@pytest.fixture
def backend() -> Path:
    """A backend with two devices, and an engine that can use it."""
    placed(NAME)
    path = placed("vulkan")
    devices.keep(path, [FAST, SLOW])
    return path


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("gpu", "found"), [("auto", [FAST]), ("0", [FAST]), ("1", [SLOW]), ("2", []), ("off", [])]
)
def test_a_faster_one_is_used_or_the_one_that_is_set(gpu: str, found: list[Device]) -> None:
    assert devices.find(EngineSettings(gpu=gpu)) == found
    assert devices.find(EngineSettings(gpu=gpu, native="off")) == []


def test_without_a_backend_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    placed(NAME)
    assert devices.find(EngineSettings()) == []
    assert caplog.text == ""


def test_one_of_another_version_is_said_to_be(
    backend: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend.rename(backend.with_name(backend.name.replace(library._version("vulkan"), "0" * 12)))
    assert devices.find(EngineSettings()) == []
    assert "waits for `make native GPU=vulkan`" in caplog.text


@pytest.mark.usefixtures("backend")
def test_a_number_that_is_not_there_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert devices.find(EngineSettings(gpu="7")) == []
    assert "There is no GPU with number 7" in caplog.text


def test_without_an_engine_for_the_processor_there_is_none(backend: Path) -> None:
    for path in library.cache_folder().glob(f"*{NAME}*"):
        path.unlink()
    assert devices.find(EngineSettings()) == []
    assert backend.exists()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"kind": "vulkan"}]', None])
def test_what_cannot_be_read_is_none(backend: Path, content: str | None) -> None:
    path = backend.with_suffix(".json")
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert devices.find(EngineSettings()) == []


def test_cuda_comes_before_vulkan(backend: Path) -> None:
    other = Device("cuda", 0, "The same", 8 * GIB, 20.0, 27)
    devices.keep(placed("cuda"), [other])
    assert devices.find(EngineSettings()) == [other]
    assert backend.exists()


def test_an_engine_is_told_all_that_it_needs(backend: Path) -> None:
    told = devices.environment(SLOW)
    assert told == {
        "WHISPER_LIBRARY": str(library.find()),
        "WHISPER_GPU_LIBRARY": str(backend),
        "WHISPER_GPU_DEVICE": "1",
        "WHISPER_ENCODER_TYPE": "f16",
        "WHISPER_DECODER_TYPE": "f16",
    }
    backend.write_text("altered")
    with pytest.raises(ServiceError, match="The engine for the GPU is gone"):
        devices.environment(SLOW)


def test_nothing_of_it_is_imported_by_a_service() -> None:
    code = "import sys; from whisper_service.commands import serve; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert "whisper_service.whisper.devices" in loaded
    for name in ("whisper.ggml_devices", "whisper.native.vulkan", "commands.native_gpu"):
        assert f"whisper_service.{name}" not in loaded
