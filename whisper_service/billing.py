"""Tokens: prices, balances, and the ledger that explains every one of them.

The functions that move tokens run inside the write transaction of what they pay for.
"""

import time
from typing import Any

from peewee import JOIN, fn

from whisper_service import ids
from whisper_service.audio import SAMPLE_RATE
from whisper_service.tables import Checkpoint, LedgerEntry, Transcription, User
from whisper_service.transcript_key import TranscriptKey

MICROS = 1_000_000
MAX_BALANCE = 10**15
INSUFFICIENT_BALANCE = "insufficient_balance"  # the code of that error


def cost(samples: int, price_micros: int) -> int:
    """Return the price of a recording in whole tokens: started seconds × multiplier, rounded up.

    `samples` are counted at 16 kHz, `price_micros` is the multiplier in millionths; integers all
    the way, because a rounded float would charge a token too much now and then.
    """
    seconds = -(-samples // SAMPLE_RATE)
    return -(-seconds * price_micros // MICROS)


def grant(user_id: int, amount: int) -> None:
    """Add tokens to a balance, or take them with a negative amount."""
    _move(user_id, ids.uuid7(), "", "grant", amount)


def set_balance(user: User, balance: int) -> None:
    """Set a user's balance, whatever is running.

    What is running is settled: nothing is given back for it, or the user would have more than
    `balance`, and if it runs again it costs nothing.
    """
    grant(user.id, balance - user.token_balance)
    running = Transcription.select().where(
        Transcription.user_id == user.id, Transcription.status == "processing"
    )
    for row in list(running):
        if not _entry(row.uuid, str(row.claim), "settled"):
            _move(user.id, row.uuid, str(row.claim), "settled", 0)


def charge(user_id: int, subject: str, claim: str, amount: int) -> None:
    """Take the price of one run of a transcription. The caller has seen that the balance suffices.

    Raises IntegrityError when this run was charged before or the balance would be negative.
    """
    _move(user_id, subject, claim, "charge", -amount)


def due(subject: str, price: int) -> int:
    """Return what is left to pay of a transcription's price.

    That is nothing for one that is settled, and else what earlier runs did not give back.
    """
    return 0 if _is_settled(subject) else max(0, price - _spent(subject))


def refund(subject: str, claim: str, *, done: int = 0, total: int = 0) -> None:
    """Refund one run of a transcription, unless it is settled.

    The share of `done` samples of `total` is kept, rounded in favor of the user, as far as earlier
    runs have not paid it. Raises IntegrityError when it was given back before.
    """
    if _entry(subject, claim, "settled"):
        return
    charged = _entry(subject, claim, "charge")
    assert charged
    spent = _spent(subject)
    earlier = spent + charged.amount
    kept = max(0, spent * min(done, total) // total - earlier) if total else 0
    _move(charged.user_id, subject, claim, "refund", -charged.amount - kept)


def refund_rest(row: Transcription) -> None:
    """Refund, for a run that its user ends, the share of the speech not yet transcribed.

    The text so far could be read while it ran.
    """
    refund(
        row.uuid,
        str(row.claim),
        done=transcribed_samples(TranscriptKey.of(row)),
        total=row.speech_samples or 0,
    )


def transcribed_samples(key: TranscriptKey) -> int:
    """Return how many samples, at 16 kHz, the checkpoints of a transcript cover."""
    covered = Checkpoint.select(fn.SUM(Checkpoint.stop - Checkpoint.start))
    return covered.where(*key.matching(Checkpoint)).scalar() or 0


def insufficient_balance(required: int, available: int) -> str:
    """Return the error of a transcription that the balance does not cover."""
    return f"Insufficient token balance. Required: {required}, Available: {available}"


def charged() -> int:
    """Return what all transcriptions have cost, less what was given back."""
    spent = LedgerEntry.select(fn.SUM(LedgerEntry.amount)).where(LedgerEntry.kind != "grant")
    return -(spent.scalar() or 0)


def find_wrong_balances() -> list[str]:
    """Return a line for each account whose balance is not the sum of its ledger."""
    total = fn.COALESCE(fn.SUM(LedgerEntry.amount), 0)
    rows: Any = (
        User.select(User.username, User.token_balance, total.alias("total"))
        .join(LedgerEntry, JOIN.LEFT_OUTER, on=(LedgerEntry.user_id == User.id))
        .group_by(User.id)
        .having(User.token_balance != total)
        .tuples()
    )
    return [
        f"{name} has {balance} tokens, the ledger says {expected}"
        for name, balance, expected in rows
    ]


def _is_settled(subject: str) -> bool:
    """Return whether an earlier run was paid before an administrator set the balance."""
    settled = LedgerEntry.subject == subject, LedgerEntry.kind == "settled"
    return LedgerEntry.select().where(*settled).exists()


def _spent(subject: str) -> int:
    """Return what a transcription has cost so far, less what was given back."""
    moved = LedgerEntry.select(fn.SUM(LedgerEntry.amount)).where(LedgerEntry.subject == subject)
    return -(moved.scalar() or 0)


def _entry(subject: str, claim: str, kind: str) -> LedgerEntry | None:
    return LedgerEntry.get_or_none(
        LedgerEntry.subject == subject, LedgerEntry.claim == claim, LedgerEntry.kind == kind
    )


def _move(user_id: int, subject: str, claim: str, kind: str, amount: int) -> None:
    LedgerEntry.insert(
        user_id=user_id,
        subject=subject,
        claim=claim,
        kind=kind,
        amount=amount,
        at=int(time.time()),
    ).execute()
    balance = User.token_balance + amount
    User.update(token_balance=balance).where(User.id == user_id).execute()
