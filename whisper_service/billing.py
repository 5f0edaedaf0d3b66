"""Tokens: prices, balances, and the ledger that explains every one of them.

The functions that move tokens want to run inside the write transaction of what they pay for.
"""

import time

from peewee import fn

from whisper_service import ids
from whisper_service.tables import LedgerEntry, User

SAMPLES_PER_SECOND = 16_000
MICROS = 1_000_000
MAX_BALANCE = 10**15


def cost(samples: int, price_micros: int) -> int:
    """Price a recording in whole tokens: started seconds × multiplier, rounded up.

    `samples` are counted at 16 kHz, `price_micros` is the multiplier in millionths; integers all
    the way, because a rounded float would charge a token too much now and then.
    """
    seconds = -(-samples // SAMPLES_PER_SECOND)
    return -(-seconds * price_micros // MICROS)


def grant(user_id: int, amount: int) -> None:
    """Add tokens to a balance, or take them with a negative amount."""
    _move(user_id, ids.uuid7(), "", "grant", amount)


def charge(user_id: int, subject: str, claim: str, amount: int) -> None:
    """Take the price of one run of a transcription. The caller has seen that the balance suffices.

    Raises IntegrityError when this run was charged before or the balance would be negative.
    """
    _move(user_id, subject, claim, "charge", -amount)


def refund(subject: str, claim: str) -> None:
    """Give back what one run of a transcription took.

    Raises IntegrityError when that was given back before.
    """
    paid = LedgerEntry.get(
        LedgerEntry.subject == subject, LedgerEntry.claim == claim, LedgerEntry.kind == "charge"
    )
    _move(paid.user_id, subject, claim, "refund", -paid.amount)


def charged() -> int:
    """Sum up what all transcriptions have cost, less what was given back."""
    spent = LedgerEntry.select(fn.SUM(LedgerEntry.amount)).where(LedgerEntry.kind != "grant")
    return -(spent.scalar() or 0)


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
