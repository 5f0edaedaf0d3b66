"""Faults in uploads, in jobs, and at shutdown."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peewee import fn

from whisper_service import billing, db, sandbox
from whisper_service.files import media, transcoding
from whisper_service.files.storage import Storage
from whisper_service.jobs import outcomes, queue
from whisper_service.server.server import Server


def charge_apart() -> None:
    charge = billing.charge

    def apart(*arguments: Any) -> None:
        charge(*arguments)
        db.database.commit()
        time.sleep(0.3)
        db.database.begin("IMMEDIATE")

    billing.charge = apart


def place_later() -> None:
    """Place an upload a second later, and have its readers wait for it."""
    place, probe = Storage.place, media.probe

    def later(storage: Storage, source: Path, target: Path) -> None:
        if target.name != "original":
            place(storage, source, target)
            return
        aside = storage.temporary()
        source.rename(aside)
        threading.Timer(1, place, (storage, aside, target)).start()

    def patient(path: Path) -> media.Media:
        deadline = time.monotonic() + 1.5
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return probe(path)

    Storage.place, media.probe = later, patient


def sweep_nothing() -> None:
    Storage.sweep = lambda *_: None


def leave_children() -> None:
    sandbox.command = lambda *_: []


def answer_nothing_more() -> None:
    Server._drain = lambda _: None


def burn_attempts() -> None:
    outcomes.put_back = lambda job: outcomes.retry(job.claim)


def forget_interrupted() -> None:
    outcomes.requeue_interrupted = lambda: None


def claim_at_random() -> None:
    claimable = queue._claimable
    queue._claimable = lambda: claimable().order_by(fn.RANDOM())


def leak_descriptors() -> None:
    complete = outcomes.complete

    def leaking(*arguments: Any) -> None:
        os.dup(0)
        complete(*arguments)

    outcomes.complete = leaking


def leave_temporary() -> None:
    """Leave a temporary file for each recording."""
    encode = transcoding.encode

    def leaving(source: Path, kind: media.Media, converted: Path, *more: Any) -> None:
        converted.with_suffix(".left").touch()
        encode(source, kind, converted, *more)

    transcoding.encode = leaving


FAULTS: dict[str, Callable[[], None]] = {
    "charge apart from claim": charge_apart,
    "upload placed later": place_later,
    "nothing swept": sweep_nothing,
    "children left alone": leave_children,
    "no answer at the end": answer_nothing_more,
    "attempts burnt": burn_attempts,
    "interrupted jobs forgotten": forget_interrupted,
    "claims at random": claim_at_random,
    "descriptors leak": leak_descriptors,
    "temporary files left": leave_temporary,
}
