"""`make transcribe`: what is said in recordings, written beside them, without a server."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from whisper_service.commands.local import results
from whisper_service.commands.local.report import Report
from whisper_service.commands.local.results import ResultFiles
from whisper_service.commands.local.run import Ended, LocalRun, started
from whisper_service.config import Config
from whisper_service.errors import CommandError, NotFound
from whisper_service.jobs import orders
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.models import catalog
from whisper_service.models.catalog import ModelFile
from whisper_service.transcripts.cues import Layout
from whisper_service.transcripts.formats import file_content
from whisper_service.whisper.options import Options

# Ctrl-C, `kill`, and a terminal that is closed.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# The files for the results of each recording, by their formats.
Assigned = Mapping[Path, Mapping[str, Path]]


def run(
    settings: Config,
    files: Sequence[Path],
    formats: str,
    model: str | None,
    language: str,
    *,
    force: bool,
) -> None:
    """Transcribe recordings with all engines, and write the results beside them.

    Prints a line for each. Raises SystemExit with 1 if any failed, CommandError or ServiceError for
    a format, a model or a language that is not there, and for a full disk.
    """
    logging.getLogger("whisper_service").setLevel(logging.ERROR)  # what fails gets a line anyway
    names = results.parse_formats(formats)
    request = TranscriptionRequest(_find(settings, model), language, ("verbose_json",), Options())
    orders.check_language(request)
    with Report() as report:
        assigned = _assign(files, ResultFiles(files, names, force=force), report)
        if assigned:
            with _interruptible(), started(settings, request, list(assigned)) as running:
                _watch(running, assigned, report, force=force)
    if report.has_failed:
        sys.exit(1)


def _find(settings: Config, name: str | None) -> ModelFile:
    folder = settings.models.path
    preferred = catalog.choose(folder, settings.models.default)
    try:
        return catalog.find(folder, name) if name else preferred
    except NotFound as error:
        known = ", ".join(each.name for each in catalog.available(folder))
        raise CommandError(f"{error}. There is {known}; make model NAME=... gets others") from error


def _assign(files: Sequence[Path], result_files: ResultFiles, report: Report) -> Assigned:
    """Return what can be transcribed. A file that is named twice is transcribed once."""
    assigned = {}
    by_identity: dict[Path, Path] = {}
    for path in files:
        by_identity.setdefault(results.identity(path), path)
    for path in by_identity.values():
        try:
            assigned[path] = result_files.assign(path)
        except CommandError as error:
            report.failed(path, str(error))
    return assigned


def _watch(running: LocalRun, assigned: Assigned, report: Report, *, force: bool) -> None:
    """Write each result when it is there, until all have ended."""
    try:
        while not running.is_done:
            for ended in running.poll():
                _keep(ended, assigned[ended.path], report, force=force)
            report.show(*running.progress())
    finally:
        _handle(signal.SIG_IGN)  # so that what has to be removed is removed


def _keep(ended: Ended, targets: Mapping[str, Path], report: Report, *, force: bool) -> None:
    if ended.transcript is None:
        report.failed(ended.path, ended.error)
        return
    written = []
    for name, target in targets.items():
        content = file_content(name, ended.transcript, Layout())
        try:
            results.write(content, target, force=force)
        except CommandError as error:
            report.failed(ended.path, str(error))
        else:
            written.append(target)
    if written:
        report.written(written, ended.transcript, ended.took)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first of SIGNALS, but for those that are ignored already."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _handle(_interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _handle(signal.SIG_IGN)  # so that what has to be removed is removed
    raise KeyboardInterrupt


def _handle(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
