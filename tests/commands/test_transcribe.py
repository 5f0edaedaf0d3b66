"""Transcribing without a server: results beside the recordings."""

import errno
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.commands import failure, run
from tests.support.disk import MIB, as_mounter, small_disk
from tests.support.engine import FakeEngine
from tests.support.ffmpeg import quiet_flac, run_ffmpeg
from tests.support.live import Client, LiveServer
from tests.support.paths import DATA, ROOT
from tests.support.processes import children, processes_of
from tests.support.waiting import until
from whisper_service import config
from whisper_service.commands import transcribe
from whisper_service.commands.local import extraction
from whisper_service.commands.local.run import RESERVE_BYTES
from whisper_service.config import Config
from whisper_service.errors import CommandError, ServiceError
from whisper_service.files import quota, transcoding
from whisper_service.jobs import worker
from whisper_service.transcripts.formats import FORMATS

LINE = r"{}  0:{} of audio in \d+ s"
IN_A_TERMINAL = """
import os, pty, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # which is ignored in the background of a shell
size = 'stty rows 24 cols 90; exec "$@"'
sys.exit(os.waitstatus_to_exitcode(pty.spawn(["sh", "-c", size, "sh", *sys.argv[1:]])))
"""


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    """Give other tests their log lines back."""
    logger = logging.getLogger("whisper_service")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two recordings."""
    (tmp_path / "talks").mkdir()
    shutil.copy(DATA / "jfk.wav", tmp_path / "talks" / "talk.wav")
    shutil.copy(DATA / "austen-0880.wav", tmp_path / "talks" / "book.wav")
    return tmp_path / "talks"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of which none may stay."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


@pytest.fixture
def models(tiny_en_model: Path, temporary: Path) -> dict[str, str]:
    """The environment of a command with a real model and the prebuilt engine."""
    return {
        "WHISPER_SERVICE_MODELS_PATH": str(tiny_en_model.parent),
        "WHISPER_SERVICE_ENGINE_NATIVE": "off",
        "TMPDIR": str(temporary),
    }


Local = Callable[..., int]


@pytest.fixture
def local(settings: Config, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    """Run the command in this process, with a fake engine; return its exit code."""

    def transcribe_files(
        *files: Path,
        formats: str = "srt",
        force: bool = False,
        engine: FakeEngine | None = None,
    ) -> int:
        monkeypatch.setattr(worker, "Engine", lambda _environment: engine or FakeEngine())
        one = replace(settings, worker=config.WorkerSettings(jobs=1))
        try:
            transcribe.run(one, files, formats, None, "auto", force=force)
        except SystemExit as end:
            return int(str(end.code))
        return 0

    yield transcribe_files
    assert list(temporary.iterdir()) == []


def download(client: Client, uuid: str, name: str) -> bytes:
    wanted = {"format": name, "download": "1"}
    answer = requests.get(f"{client.url}/transcribe/{uuid}", params=wanted, timeout=10)
    assert answer.ok
    return answer.content


def test_results_are_what_the_service_answers(
    live_server: LiveServer, models: dict[str, str], folder: Path
) -> None:
    names = ["-talk.wav", "a\nfilm.mp4"]
    (folder / "talk.wav").rename(folder / names[0])
    picture = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=5")
    run_ffmpeg(*picture, "-i", folder / "book.wav", "-shortest", folder / names[1])
    (folder / "notes.mp3").write_text("no sound")
    wanted = ["--format", "srt, vtt txt verbose_json", "--model", "ggml-tiny.en"]
    mask = os.umask(0o022)
    try:
        done = run("transcribe", *wanted, "--", *names, "notes.mp3", cwd=folder, **models)
    finally:
        os.umask(mask)
    assert done.stderr == "error: notes.mp3: Unsupported content type\n"
    assert done.returncode == 1
    talk, film = sorted(done.stdout.splitlines())
    assert re.fullmatch(LINE.format("-talk.srt, -talk.vtt, -talk.txt, -talk.json", "11"), talk)
    assert re.fullmatch(LINE.format(r"a\\nfilm.srt, a\\nfilm.vtt, .*", "03"), film)
    assert (folder / "-talk.srt").stat().st_mode & 0o777 == 0o644
    assert len(list(folder.iterdir())) == 4 + len(names) * 4
    client = Client(live_server, "compares")
    for name in names:
        (uuid,) = client.transcribe(client.upload(folder / name))
        client.wait(uuid)
        for kind in ("srt", "vtt", "txt", "verbose_json"):
            result = (folder / name).with_suffix(FORMATS[kind].ending)
            assert result.read_bytes() == download(client, uuid, kind)


def test_ctrl_c_in_a_terminal_ends_all_of_it(
    models: dict[str, str], folder: Path, temporary: Path
) -> None:
    inputs = ["-stream_loop", "6", "-i", DATA / "jfk.wav"]
    run_ffmpeg(*inputs, folder / "long.flac")
    command = [sys.executable, str(ROOT / "app.py"), "transcribe", "long.flac"]
    terminal = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, *command],
        cwd=folder,
        env={**os.environ, **models, "WHISPER_SERVICE_WORKER_JOBS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert terminal.stdin
    assert terminal.stdout
    printed = b""
    while b" left" not in printed:  # a part is transcribed
        chunk = terminal.stdout.read1()
        assert chunk, printed
        printed += chunk
    (process,) = children(terminal.pid, "app.py")
    engines = children(process, "engine_process")
    assert engines
    assert set(engines) <= set(processes_of(temporary))
    terminal.stdin.write(b"\x03")
    terminal.stdin.flush()
    with terminal.stdout, terminal.stdin:
        printed += terminal.stdout.read()
    assert terminal.wait(30) == 130
    assert re.search(rb"[1-9]\d? % .*\d:\d\d of 1:17, about [1-9].* left", printed)
    assert b"error" not in printed
    assert b"Traceback" not in printed
    assert processes_of(temporary) == []
    assert list(temporary.iterdir()) == []
    assert not (folder / "long.srt").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_leave_nothing_either(
    number: int, models: dict[str, str], folder: Path, temporary: Path
) -> None:
    command = [sys.executable, str(ROOT / "app.py"), "transcribe", str(folder / "talk.wav")]
    signal.signal(number, signal.SIG_DFL)  # nohup would have it ignored, by children as well
    process = subprocess.Popen(command, env={**os.environ, **models})
    until(lambda: list(temporary.glob("*/files/*")))
    for _ in range(3):
        process.send_signal(number)
    assert process.wait(30) == 130
    assert processes_of(temporary) == []
    assert list(temporary.iterdir()) == []


def test_engines_here_do_it_whatever_the_service_uses(models: dict[str, str], folder: Path) -> None:
    command = [sys.executable, str(ROOT / "app.py"), "transcribe", str(folder / "book.wav")]
    cluster = {"WHISPER_SERVICE_CLUSTER_SCHEDULER": "tls://example.org:8786"}
    done = subprocess.run(command, env={**os.environ, **models, **cluster}, timeout=60, check=False)
    assert done.returncode == 0
    assert "young man" in (folder / "book.srt").read_text().replace("\n", " ")


def test_an_existing_result_is_replaced_only_with_force(
    local: Local, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk, result = folder / "talk.wav", folder / "talk.srt"
    result.write_text("corrected by hand")
    engine = FakeEngine()
    assert local(talk, engine=engine) == 1
    expected = f"error: {talk}: talk.srt exists already; --force (make: FORCE=1) replaces it\n"
    assert capsys.readouterr() == ("", expected)
    assert engine.calls == []
    assert result.read_text() == "corrected by hand"
    assert local(talk, force=True) == 0
    assert "Hello" in result.read_text()
    assert re.fullmatch(LINE.format(re.escape(str(result)), "11"), capsys.readouterr().out.strip())


def test_what_appears_meanwhile_is_not_replaced(
    local: Local, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = folder / "talk.srt"
    engine = FakeEngine(lambda: result.write_text("of another run"))
    assert local(folder / "talk.wav", formats="srt txt", engine=engine) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"error: {folder}/talk.wav: talk.srt exists already")
    assert out.startswith(f"{folder}/talk.txt  0:11")
    assert result.read_text() == "of another run"
    assert (folder / "talk.txt").read_text() == "Hello\nworld.\n"
    assert {path.name for path in folder.iterdir()} == {
        "talk.wav",
        "book.wav",
        "talk.srt",
        "talk.txt",
    }


def test_the_same_name_twice(
    local: Local, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folder / "book.wav", folder / "talk.mp4")
    talk, again, other = folder / "talk.wav", folder / "x" / ".." / "talk.wav", folder / "talk.mp4"
    (folder / "x").mkdir()
    engine = FakeEngine()
    assert local(talk, again, other, folder / "book.wav", engine=engine) == 1
    out, err = capsys.readouterr()
    assert err == f"error: {other}: talk.srt is the result of talk.wav: rename one of the two\n"
    assert len(out.splitlines()) == len(engine.calls) == 2


def test_each_that_cannot_be_transcribed_has_a_line(
    local: Local, folder: Path, capsys: pytest.CaptureFixture[str], settings: Config
) -> None:
    (folder / "empty.mp3").touch()
    os.mkfifo(folder / "pipe.mp3")
    (folder / "text.mp3").write_text("hello")
    shutil.copy(folder / "talk.wav", folder / "own.srt")
    shutil.copy(folder / "talk.wav", folder / "taken.wav")
    (folder / "taken.srt").mkdir()
    shutil.copy(folder / "talk.wav", folder / f"{'x' * 252}.ts")
    run_ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1", folder / "silent.mp4")
    quiet_flac(folder / "endless.flac", 60, claimed_seconds=10**6)
    quiet_flac(folder / "quiet.flac", 5)
    reasons = {
        "none.mp3": "No such file or directory",
        ".": "It is a folder",
        "empty.mp3": "The file is empty",
        "pipe.mp3": "It is not a file",
        "own.srt": "The result own.srt would replace a recording",
        "taken.wav": "taken.srt is a folder",
        f"{'x' * 252}.ts": f"{'x' * 252}.srt cannot be written: File name too long",
        "text.mp3": "Unsupported content type",
        "silent.mp4": "The file has no audio stream",
        "endless.flac": "The recording is longer than 43200 seconds",
    }
    files = [folder / name for name in (*reasons, "quiet.flac", "talk.wav")]
    engine = FakeEngine()
    assert local(*files, force=True, engine=engine) == 1
    out, err = capsys.readouterr()
    expected = {f"error: {folder / name}: {reason}" for name, reason in reasons.items()}
    assert set(err.splitlines()) == expected
    assert len(out.splitlines()) == 2
    assert (folder / "own.srt").read_bytes() == (folder / "talk.wav").read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_permissions(local: Local, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "book.wav").chmod(0)
    folder.chmod(0o500)
    try:
        assert local(folder / "talk.wav", folder / "book.wav") == 1
    finally:
        folder.chmod(0o700)
    no_folder = "talk.srt cannot be written: no permission for its folder"
    assert capsys.readouterr().err.splitlines() == [
        f"error: {folder}/talk.wav: {no_folder}",
        f"error: {folder}/book.wav: Permission denied",
    ]


def test_without_speech(local: Local, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = FakeEngine()
    engine.speech = 0
    assert local(folder / "talk.wav", engine=engine) == 0
    assert capsys.readouterr().out.endswith(" s, without speech\n")
    assert (folder / "talk.srt").read_bytes() == b"\n"


def test_a_failing_engine_fails_one_recording(
    local: Local, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = iter([ServiceError("The model file is truncated")])

    def act() -> None:
        for error in errors:
            raise error

    assert local(folder / "talk.wav", folder / "book.wav", engine=FakeEngine(act)) == 1
    out, err = capsys.readouterr()
    # Whichever is extracted first.
    failed, other = ("talk", "book") if "talk.wav" in err else ("book", "talk")
    assert err == f"error: {folder}/{failed}.wav: The model file is truncated\n"
    assert out.startswith(f"{folder}/{other}.srt")


def test_extraction_goes_on_while_engines_transcribe(
    local: Local, folder: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "AHEAD_RECORDINGS", 2)
    files = [folder / f"{number}.wav" for number in range(5)]
    for path in files:
        shutil.copy(folder / "book.wav", path)
    made: list[int] = []

    def act() -> None:
        left = len(files) - len(made)
        until(lambda: len(list(temporary.glob("*/files/*/speech.wav"))) == min(2, left))
        made.append(left)

    assert local(*files, engine=FakeEngine(act)) == 0
    assert made == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("is_expected", [True, False])
def test_what_does_not_fit_on_the_disk_fails_alone(
    *,
    is_expected: bool,
    local: Local,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    as_mounter(request)
    quiet_flac(folder / "long.flac", 3600)
    if not is_expected:
        monkeypatch.setattr(quota, "wav_bytes", lambda _samples: 0)
    with small_disk(tmp_path / "disk", 96 * MIB) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        assert local(folder / "long.flac", folder / "talk.wav") == 1
        out, err = capsys.readouterr()
        full = f"The disk of {disk} is full; TMPDIR=/another/folder takes another one"
        assert err == f"error: {folder}/long.flac: {full}\n"
        assert out.startswith(f"{folder}/talk.srt")
        assert list(disk.iterdir()) == []


def test_one_that_fills_the_disk_takes_no_other_with_it(
    local: Local,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    as_mounter(request)
    quiet_flac(folder / "long.flac", 3500)
    monkeypatch.setattr(quota, "wav_bytes", lambda _samples: 0)
    extract, begun, tried = transcoding.extract, threading.Event(), threading.Event()

    def together(source: Path, *arguments: Any) -> int:
        """Let the short one find no room, for the long one leaves none until then."""
        if source.name == "long.flac":
            begun.wait(10)
            try:
                return extract(source, *arguments)
            finally:
                tried.wait(10)
        begun.set()
        if not tried.is_set():
            until(lambda: shutil.disk_usage(disk).free < RESERVE_BYTES)
            tried.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        return extract(source, *arguments)

    monkeypatch.setattr(transcoding, "extract", together)
    with small_disk(tmp_path / "disk", 96 * MIB) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        assert local(folder / "long.flac", folder / "talk.wav") == 1
        out, err = capsys.readouterr()
        assert len(err.splitlines()) == 1
        assert err.startswith(f"error: {folder}/long.flac: The disk of {disk} is full")
        assert out.startswith(f"{folder}/talk.srt")
        assert list(disk.iterdir()) == []


def test_a_disk_that_is_filled_by_others_ends_it(
    local: Local,
    folder: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    as_mounter(request)
    with small_disk(tmp_path / "disk", 96 * MIB) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        full = threading.Event()

        def act() -> None:
            if not full.is_set():
                with suppress(OSError), (disk / "other").open("wb", buffering=0) as file:
                    while file.write(bytes(65_536)):
                        pass
                full.set()

        with pytest.raises(ServiceError, match=f"^The disk of {disk} is full"):
            local(folder / "talk.wav", engine=FakeEngine(act))
        assert [path.name for path in disk.iterdir()] == ["other"]


@pytest.mark.parametrize(
    ("formats", "model", "language", "message"),
    [
        ("srt doc", None, "auto", f"Invalid format: doc. Must be one of: {', '.join(FORMATS)}"),
        (" ", None, "auto", "At least one format must be specified"),
        (
            "json verbose_json",
            None,
            "auto",
            "json and verbose_json have the same file name: choose one of them",
        ),
        ("srt", None, "xx", "Invalid language: xx"),
        ("srt", None, "de", "Model ggml-tiny.en knows English only, not de"),
        (
            "srt",
            "base",
            "auto",
            "Model not found: base. There is ggml-tiny.en; make model NAME=... gets others",
        ),
    ],
)
def test_settings_that_are_not_there(
    settings: Config, formats: str, model: str | None, language: str, message: str
) -> None:
    with pytest.raises((CommandError, ServiceError), match=f"^{re.escape(message)}$"):
        transcribe.run(settings, [DATA / "jfk.wav"], formats, model, language, force=False)


def test_without_a_model(tmp_path: Path) -> None:
    models = {"WHISPER_SERVICE_MODELS_PATH": str(tmp_path)}
    line = failure("transcribe", str(DATA / "jfk.wav"), **models)
    assert line == "error: There is no model yet; run make model NAME=ggml-base"


def test_make_passes_on_what_is_given_and_nothing_of_the_environment() -> None:
    # Without what a `make test` passes on to every make below it.
    outer = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environ = {**outer, "LANGUAGE": "en_US:en", "FORCE": "1", "MODEL": "x"}
    make = ["make", "-n", "-o", ".venv/run", "transcribe", "FILE='my talk.mp3' -film.mp4"]
    made = subprocess.check_output(make, cwd=ROOT, env=environ, text=True)
    assert shlex.split(made.replace("\\\n", ""))[-6:] == [
        ".venv/bin/python",
        "app.py",
        "transcribe",
        "--",
        "my talk.mp3",
        "-film.mp4",
    ]
    given = ["FORMAT=srt vtt", "MODEL=ggml-base", "LANGUAGE=de", "FORCE=1"]
    made = subprocess.check_output([*make, *given], cwd=ROOT, env=outer, text=True)
    words = "transcribe --format 'srt vtt' --model ggml-base --language de --force --"
    assert shlex.split(words) == shlex.split(made.replace("\\\n", ""))[-11:-2]
