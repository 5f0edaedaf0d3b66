"""Faults in the worker."""

from collections.abc import Callable

from whisper_service import billing
from whisper_service.files.storage import IncomingFile
from whisper_service.jobs import outcomes, runner


def set_limit(seconds: float) -> None:
    runner.TASK_SECONDS, runner.TASK_SECONDS_PER_SECOND = seconds, 0


def forget_refunds() -> None:
    billing.refund = lambda *_, **__: None


def never_give_up() -> None:
    outcomes.MAX_ATTEMPTS = 10**9


def keep_refused_uploads() -> None:
    IncomingFile.discard = IncomingFile.close


FAULTS: dict[str, Callable[[], None]] = {
    "refund forgotten": forget_refunds,
    "tried for ever": never_give_up,
    "refused uploads kept": keep_refused_uploads,
}
