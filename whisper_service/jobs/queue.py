"""Which transcriptions are transcribed next: claimed and paid in one transaction."""

from collections.abc import Collection, Sequence
from functools import reduce
from operator import and_
from typing import Any

from peewee import ModelSelect, fn

from whisper_service import billing, ids, search_index
from whisper_service.audio import SAMPLE_RATE
from whisper_service.db import write_transaction
from whisper_service.jobs import checkpoints, outcomes
from whisper_service.jobs.job import Job
from whisper_service.tables import File, Searchable, StoredTranscript, Transcription, User
from whisper_service.transcript_key import TranscriptKey, same_key
from whisper_service.transcripts.transcript import Transcript

# Transcriptions that one run serves, so that no transaction is long.
MAX_SHARED = 100
# After every three ends of the service without progress a job lets those with fewer go first: it
# may be what ends the service, and if not, none is given up because it came first every time.
PATIENT_STARTS = 3
# A job up to this length goes ahead of the same user's longer ones.
SHORT_SECONDS = 120
SHORT_SAMPLES = SHORT_SECONDS * SAMPLE_RATE


def waiting(without: Collection[str] = ()) -> dict[int, bool]:
    """Return, by user, whether any transcription that could be claimed is of a short recording.

    Those `without` an engine for their models are left out.
    """
    rows = (
        _claimable(without)
        .select(Transcription.user_id, fn.MIN(File.samples))
        .group_by(Transcription.user_id)
    )
    found: Any = rows.order_by().tuples()
    return {user: samples <= SHORT_SAMPLES for user, samples in found}


def waiting_models() -> set[str]:
    """Return the models of the transcriptions that could be claimed."""
    found: Any = _claimable().select(Transcription.model).distinct().order_by().tuples()
    return {name for (name,) in found}


def claim_next(
    user_id: int | None = None, *, only_short: bool = False, without: Collection[str] = ()
) -> Job | None:
    """Claim a user's oldest transcription that can start, and all that can share its run.

    Short recordings go before long ones. Those `without` an engine for their models are left out.
    What the balance does not cover fails here. None when nothing waits.
    """
    while True:
        with write_transaction():
            first = _first_claimable(user_id, without, only_short=only_short)
            if first is None:
                return None
            claim = ids.uuid7()
            samples = File.get(File.uuid == first.file_uuid).samples or 0
            key = TranscriptKey.of(first)
            if _pay(_sharing(key), samples, claim):
                return Job(claim, first.user_id, key, samples, first.attempts)
            checkpoints.clear_unwanted(key)


def complete_stored() -> bool:
    """Complete a transcription whose transcript was made before. Return whether there was one.

    It costs what any transcription costs.
    """
    with write_transaction():
        first = _pending().join(StoredTranscript, on=_has_transcript()).first()
        if first is None:
            return False
        claim = ids.uuid7()
        stored = StoredTranscript.get(*TranscriptKey.of(first).matching(StoredTranscript))
        if _pay([first], _samples_of(stored), claim):
            outcomes.finish(claim, stored.id)
            _index_again(stored, first.user_id)
    return True


def count() -> tuple[int, int]:
    """Return how many transcriptions are pending, and how many are processing."""
    of = {"pending": 0, "processing": 0}
    for status in of:
        of[status] = Transcription.select().where(Transcription.status == status).count()
    return of["pending"], of["processing"]


def _pending() -> "ModelSelect[Transcription]":
    return (
        Transcription.select().where(Transcription.status == "pending").order_by(Transcription.id)
    )


def _claimable(without: Collection[str] = ()) -> "ModelSelect[Transcription]":
    """Select what waits for an engine: with a WAV, and without a stored transcript."""
    made = StoredTranscript.select().where(_has_transcript())
    found: ModelSelect[Transcription] = (
        _pending()
        .join(File, on=(File.uuid == Transcription.file_uuid))
        .where(File.samples.is_null(is_null=False), ~fn.EXISTS(made))
    )
    return found.where(Transcription.model.not_in(list(without))) if without else found


def _first_claimable(
    user_id: int | None, without: Collection[str], *, only_short: bool
) -> Transcription | None:
    query = _claimable(without)
    if user_id is not None:
        query = query.where(Transcription.user_id == user_id)
    short = File.samples <= SHORT_SAMPLES
    for turn in range(1 + outcomes.MAX_IDLE_STARTS // PATIENT_STARTS):
        among = query.where(Transcription.idle_starts < PATIENT_STARTS * (1 + turn))
        first: Transcription | None = among.where(short).first()
        if first is None and not only_short:
            first = among.first()
        if first:
            return first
    return None


def _sharing(key: TranscriptKey) -> list[Transcription]:
    return list(_pending().where(*key.matching(Transcription)).limit(MAX_SHARED))


def _has_transcript() -> Any:  # noqa: ANN401 - an SQL expression
    return reduce(and_, same_key(StoredTranscript, Transcription))


def _samples_of(stored: StoredTranscript) -> int:
    of_it = Transcription.select().where(Transcription.transcript_id == stored.id)
    return of_it.get().samples or 0


def _index_again(stored: StoredTranscript, owner: int) -> None:
    """Index a transcript whose transcriptions were all corrected, now that another shows it."""
    if not Searchable.select().where(Searchable.transcript_id == stored.id).exists():
        entries = search_index.entries(owner, Transcript.from_json(stored.data))
        search_index.add(entries, transcript_id=stored.id)


def _pay(members: Sequence[Transcription], samples: int, claim: str) -> bool:
    """Charge a user's transcriptions and take them into the run; fail those not covered.

    Returns whether the run has any.
    """
    user = User.get_by_id(members[0].user_id)
    cost = billing.cost(samples, user.price_micros)
    balance, paid, unpaid = user.token_balance, [], []
    for member in members:
        price = billing.due(member.uuid, cost)
        if price > balance:
            unpaid.append(member.id)
            continue
        billing.charge(user.id, member.uuid, claim, price)
        balance -= price
        paid.append(member.id)
    if unpaid:
        error = billing.insufficient_balance(cost, balance)
        code = billing.INSUFFICIENT_BALANCE
        _update(unpaid, status="failed", error=error, error_code=code)
    if paid:
        _update(paid, status="processing", claim=claim, samples=samples)
    return bool(paid)


def _update(numbers: Sequence[int], **values: object) -> None:
    Transcription.update(**values).where(Transcription.id.in_(numbers)).execute()
