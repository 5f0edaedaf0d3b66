"""What has taken over ffmpeg or the engine gets no further: real programs try, from inside."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import intruder
from tests.support.hearing import hear
from tests.support.paths import DATA, ROOT
from whisper_service import sandbox
from whisper_service.accounts import avatars
from whisper_service.errors import ServiceError
from whisper_service.files import ffmpeg
from whisper_service.whisper import engine
from whisper_service.whisper.engine import Engine
from whisper_service.whisper.protocol import FindSpeech

pytestmark = pytest.mark.skipif(bool(sandbox.missing()), reason="this kernel confines nobody")
JFK = DATA / "jfk.wav"
REFUSED = {"EACCES", "EPERM"}


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[list[str]]:
    """The files of a storage folder, which must stay as they are."""
    files = [tmp_path / "storage" / name for name in ("service.db", "recording")]
    files[0].parent.mkdir()
    for file in files:
        file.write_bytes(b"secret")
    before = [(file.stat().st_mode, file.stat().st_mtime_ns) for file in files]
    yield [str(file) for file in files]
    assert [(file.stat().st_mode, file.stat().st_mtime_ns) for file in files] == before
    assert all(file.read_bytes() == b"secret" for file in files)
    assert sorted(files[0].parent.iterdir()) == sorted(files)


def run_as_ffmpeg(
    monkeypatch: pytest.MonkeyPatch, code: str, *arguments: str, output: Path | None = None
) -> tuple[int, str]:
    """Run Python code in ffmpeg's place, with what it is made of among the libraries."""
    libraries = (*sandbox.LIBRARIES, Path(sys.base_prefix))
    monkeypatch.setattr(ffmpeg, "FFMPEG", str(Path(sys.executable).resolve()))
    monkeypatch.setattr(ffmpeg, "LIBRARIES", libraries)
    monkeypatch.setattr(ffmpeg, "QUIET", ["-I", "-S"])
    return ffmpeg.run(JFK, ["-c", code, *arguments], avatars.AVATAR_LIMITS, 30, output=output)


def test_ffmpeg_cannot_leave_the_sandbox(
    storage: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, answer = run_as_ffmpeg(monkeypatch, Path(intruder.__file__).read_text(), *storage)
    assert code == 0, answer
    outcomes = json.loads(answer)
    assert outcomes.keys() == intruder.attempts(storage).keys()
    assert {name: end for name, end in outcomes.items() if end not in REFUSED} == {}


USE = """
import os, sys
assert sys.stdin.buffer.read(4) == b"RIFF"
for _ in range(2):
    with open(sys.argv[1], "w+b") as file:
        file.write(b"written")
        file.seek(0)
        assert file.read() == b"written"
try:
    os.unlink(sys.argv[1])
except PermissionError:
    sys.exit(7)
"""


def test_ffmpeg_reads_its_input_and_writes_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    assert run_as_ffmpeg(monkeypatch, USE, str(output), output=output) == (7, "")
    assert output.read_bytes() == b"written"
    assert output.stat().st_mode & 0o777 == 0o600


TAKEN_OVER = """
import json, sys
from tests.support import intruder
from whisper_service.whisper import engine_process, ggml_devices
from whisper_service.errors import ServiceError

def take_over(model, _gpu):
    assert model.read_bytes()[:4] == b"lmgg"
    outcomes = intruder.try_all({files!r})
    raise ServiceError(json.dumps([outcomes, intruder.try_all_in_a_thread({files!r})]))

ggml_devices.choose = lambda: 0
engine_process.load = take_over
engine_process.main()
"""


@pytest.mark.parametrize("environment", [{}, {"WHISPER_GPU_LIBRARY": __file__}])
def test_the_engine_cannot_leave_the_sandbox(
    storage: list[str],
    tiny_en_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
) -> None:
    code = TAKEN_OVER.format(files=storage)
    monkeypatch.setattr(engine, "PROGRAM", [sys.executable, "-c", code])
    with pytest.raises(ServiceError) as error:
        Engine(lambda: environment).ask(tiny_en_model, FindSpeech(b""), 30, lambda: True)
    for outcomes in json.loads(str(error.value)):
        assert outcomes.keys() == intruder.attempts(storage).keys()
        assert {name: end for name, end in outcomes.items() if end not in REFUSED} == {}


OLD_KERNEL = """
import sys
from pathlib import Path
from tests.support import old_kernel
from tests.support.hearing import hear
from whisper_service import config, logs
from whisper_service.files import media
from whisper_service.server.server import Server
from whisper_service.whisper.engine import Engine

storage, model, recording = map(Path, sys.argv[1:])
old_kernel.pretend()
logs.set_up()
settings = config.Config(
    server=config.ServerSettings(port=0),
    storage=config.StorageSettings(path=storage),
    models=config.ModelsSettings(path=model.parent),
)
with Server(settings):
    for _ in range(2):
        assert media.probe(recording).kind == "audio"
    engine = Engine()
    print(hear(engine, model, recording).text)
    engine.close()
"""


def test_without_the_kernels_help_all_works_and_one_line_says_so(
    tmp_path: Path, tiny_en_model: Path
) -> None:
    program = [sys.executable, "-c", OLD_KERNEL]
    files = [tmp_path / "storage", tiny_en_model, DATA / "austen-0880.wav"]
    ended = subprocess.run(
        [*program, *map(str, files)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "young man" in ended.stdout
    (line,) = [line for line in ended.stderr.splitlines() if "Landlock" in line]
    assert "seccomp" in line


def test_the_engine_hears_in_the_sandbox(tiny_en_model: Path) -> None:
    """Its threads are made after the sandbox is closed."""
    made = Engine()
    try:
        assert "country" in hear(made, tiny_en_model, JFK).text
        assert made._child
        status = Path(f"/proc/{made._child._process.pid}/status").read_text()
    finally:
        made.close()
    lines = dict(line.split(":", 1) for line in status.splitlines())
    assert lines["NoNewPrivs"].strip() == "1"
    assert lines["Seccomp"].strip() == "2"
    assert int(lines["Threads"]) > 2
