"""Who comes first."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.jobs import add_file, statuses
from tests.support.models import TINY
from tests.support.service import Service
from whisper_service import ids
from whisper_service.audio import FRAME_SAMPLES, seconds_of
from whisper_service.config import ModelsSettings, WorkerSettings
from whisper_service.db import write_transaction
from whisper_service.errors import Cancelled
from whisper_service.jobs import outcomes, queue, slots
from whisper_service.jobs.run import BLOCK_SAMPLES, FIND_SPEECH, Run
from whisper_service.jobs.scheduler import Assignment, NotStarted, Scheduler
from whisper_service.jobs.slots import Machine, Slot
from whisper_service.models import ggml
from whisper_service.models.catalog import ModelFile
from whisper_service.tables import Transcription, User
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.protocol import CERTAIN, SpeechFound, Transcribed

HOUR = 3600 * 16_000
CLIP = 10 * 16_000
HERE = slots.local(WorkerSettings(), 2)


@pytest.fixture
def scheduler(service: Service) -> Scheduler:
    for name in ("ann", "bob"):
        service.register(name)
    User.update(token_balance=10**9).execute()
    return Scheduler(service.settings, service.storage, HERE)


def enqueue(username: str, samples: int, model: str = "ggml-tiny.en") -> str:
    user = User.get(User.username == username)
    with write_transaction():
        uuid = add_file(user, samples)
        Transcription.create(
            uuid=ids.uuid7(),
            user_id=user.id,
            file_uuid=uuid,
            model=model,
            model_version="1",
            language="en",
            format="srt",
            created_at=0,
        )
    return uuid


@dataclass(frozen=True, eq=False)
class Elsewhere(Slot):
    """A slot of a machine that has only some of the models."""

    models: set[str] = field(default_factory=set)

    def can_run(self, model: ModelFile) -> bool:
        return super().can_run(model) and model.name in self.models


def elsewhere(*models: str, name: str = "elsewhere") -> Elsewhere:
    machine = Machine(name, 1, HERE[0].machine.memory, lambda _: 1)
    return Elsewhere(machine, 0, set(models))


def serve(scheduler: Scheduler, tasks: int) -> list[str]:
    """Do so many tasks, one at a time; list whose files they were of."""
    files = []
    for _ in range(tasks):
        assignment = scheduler.next_task(HERE[0])
        if assignment is None:
            break
        complete(scheduler, assignment)
        files.append(assignment.run.job.key.file_uuid)
    return files


def complete(scheduler: Scheduler, assignment: Assignment) -> None:
    """Answer a task: speech all along, and no words in it."""
    task = assignment.task
    frames = -(-(task.chunk.stop - task.chunk.start) // FRAME_SAMPLES)
    found, nothing = SpeechFound([CERTAIN] * frames), Transcribed("en", [])
    scheduler.complete_task(assignment, found if task.do == FIND_SPEECH else nothing)


def test_a_status_does_not_wait_for_a_plan(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunks of many hours take seconds to plan."""
    enqueue("ann", CLIP)
    shares = []
    plan = Run.plan

    def planned(run: Run) -> list[Chunk]:
        with ThreadPoolExecutor() as pool:
            progress = pool.submit(scheduler.progress, run.job.claim).result(10)
        assert progress
        shares.append(progress.share)
        return plan(run)

    monkeypatch.setattr(Run, "plan", planned)
    serve(scheduler, 2)
    assert shares == [0]


def test_a_clip_does_not_wait_for_an_hour(scheduler: Scheduler) -> None:
    long = enqueue("ann", HOUR)
    assert set(serve(scheduler, 5)) == {long}
    clip = enqueue("ann", CLIP)
    assert serve(scheduler, 2) == [clip, clip]
    assert set(serve(scheduler, 5)) == {long}


def test_users_take_turns(scheduler: Scheduler) -> None:
    anns, bobs = enqueue("ann", HOUR), enqueue("bob", HOUR)
    files = serve(scheduler, 40)
    assert files.count(anns) == files.count(bobs) == 20


def test_who_comes_late_gets_no_credit_for_it(scheduler: Scheduler) -> None:
    anns = enqueue("ann", HOUR)
    serve(scheduler, 30)
    bobs = enqueue("bob", HOUR)
    files = serve(scheduler, 40)
    assert abs(files.count(anns) - files.count(bobs)) <= 2


def test_equal_jobs_of_a_user_go_in_order(scheduler: Scheduler) -> None:
    clips = [enqueue("ann", CLIP) for _ in range(6)]
    served = serve(scheduler, 100)
    assert list(dict.fromkeys(served)) == clips
    assert len(served) == 12


def test_long_ones_of_a_user_go_one_after_the_other(scheduler: Scheduler) -> None:
    first, second = enqueue("ann", HOUR), enqueue("ann", HOUR)
    assert set(serve(scheduler, 100)) == {first}
    assert statuses() == ["processing", "pending"]
    assert second != first


def test_the_cores_are_shared_by_what_can_run(scheduler: Scheduler) -> None:
    enqueue("ann", CLIP)
    taken = scheduler.next_task(HERE[0])
    assert taken
    assert taken.sharing == 1
    enqueue("bob", HOUR)
    other = scheduler.next_task(HERE[0])
    assert other
    assert other.sharing == 2


@pytest.mark.usefixtures("scheduler")
def test_a_large_model_is_left_to_the_first_engine(service: Service, tmp_path: Path) -> None:
    models = tmp_path / "large"
    models.mkdir()
    with (models / "ggml-large.bin").open("wb") as file:
        ggml.write_header(file, TINY)
        file.truncate(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)  # a hole
    settings = replace(service.settings, models=ModelsSettings(path=models))
    scheduler = Scheduler(settings, service.storage, HERE)
    for _ in range(3):
        enqueue("ann", CLIP, model="ggml-large")
    for _ in range(3):
        assert scheduler.next_task(HERE[1]) is None
    assert statuses() == ["processing", "pending", "pending"]
    taken = scheduler.next_task(HERE[0])
    assert taken
    assert taken.sharing == 1
    assert scheduler.next_task(HERE[0]) is not None


def test_a_dropped_run_is_dropped_once(scheduler: Scheduler) -> None:
    enqueue("ann", HOUR)
    first, second = scheduler.next_task(HERE[0]), scheduler.next_task(HERE[0])
    assert first
    assert second
    assert scheduler.abort_run(first) is True
    assert scheduler.abort_run(second) is False
    assert scheduler.next_task(HERE[0]) is None


def test_a_job_that_cannot_start_does_not_hold_up_the_next(scheduler: Scheduler) -> None:
    first = enqueue("ann", CLIP, model="missing")
    second = enqueue("ann", CLIP)
    with pytest.raises(NotStarted) as failure:
        scheduler.next_task(HERE[0])
    assert failure.value.job.key.file_uuid == first
    assert str(failure.value.error) == "Model not found: missing"
    taken = scheduler.next_task(HERE[0])
    assert taken
    assert taken.run.job.key.file_uuid == second


def begin(scheduler: Scheduler, slot: Slot) -> Assignment:
    """Take a task that is there."""
    assignment = scheduler.next_task(slot)
    assert assignment
    return assignment


@pytest.fixture
def two_models(tmp_path: Path) -> Path:
    folder = tmp_path / "two models"
    folder.mkdir()
    for name in ("ggml-tiny.en", "ggml-other"):
        with (folder / f"{name}.bin").open("wb") as file:
            ggml.write_header(file, TINY)
    return folder


@pytest.fixture
def empty(service: Service, scheduler: Scheduler, two_models: Path) -> Scheduler:
    """A scheduler without an engine yet, on the same database."""
    settings = replace(service.settings, models=ModelsSettings(path=two_models))
    return Scheduler(settings, service.storage, [])


def test_what_no_engine_has_the_model_for_waits_and_holds_up_nobody(empty: Scheduler) -> None:
    slot = elsewhere("ggml-other")
    empty.change_slots(added=[slot])
    for _ in range(3):
        enqueue("ann", CLIP)
    file = enqueue("ann", CLIP, model="ggml-other")
    assert begin(empty, slot).run.job.key.file_uuid == file
    assert statuses() == 3 * ["pending"] + ["processing"]
    assert {model.name for model in empty.models()} == {"ggml-tiny.en", "ggml-other"}


def test_a_job_whose_engines_left_just_now_is_put_back(empty: Scheduler) -> None:
    """It was claimed for an engine that has its model no more."""
    slot = elsewhere("ggml-tiny.en")
    empty.change_slots(added=[slot])
    enqueue("ann", CLIP)
    slot.models.clear()
    with pytest.raises(NotStarted) as failure:
        empty.next_task(slot)
    assert isinstance(failure.value.error, Cancelled)
    outcomes.put_back(failure.value.job)  # as the caller does
    assert empty.next_task(slot) is None
    assert statuses() == ["pending"]


def test_a_missing_model_that_is_deleted_is_no_reason_to_wait(
    empty: Scheduler, two_models: Path
) -> None:
    slot = elsewhere()
    empty.change_slots(added=[slot])
    enqueue("ann", CLIP, model="ggml-other")
    assert empty.next_task(slot) is None
    (two_models / "ggml-other.bin").unlink()
    empty.change_slots()
    with pytest.raises(NotStarted) as failure:
        empty.next_task(slot)
    assert str(failure.value.error) == "Model not found: ggml-other"


def test_a_model_that_arrives_is_used_at_once(empty: Scheduler) -> None:
    slot = elsewhere()
    empty.change_slots(added=[slot])
    file = enqueue("ann", CLIP)
    assert empty.next_task(slot) is None
    slot.models.add("ggml-tiny.en")
    empty.change_slots()
    assert begin(empty, slot).run.job.key.file_uuid == file


def test_a_task_is_sent_ahead_once_no_engine_is_idle(scheduler: Scheduler) -> None:
    machine = Machine("elsewhere", 4, HERE[0].machine.memory, lambda _: 1)
    there = [Slot(machine, number) for number in range(5)]
    assert [slot.is_ahead for slot in there] == [False] * 4 + [True]
    scheduler.change_slots(added=there)
    enqueue("ann", HOUR)
    busy = []
    for slot in (*there[:4], *HERE):
        assert scheduler.next_task(there[4]) is None
        busy.append(scheduler.next_task(slot))
    ahead = scheduler.next_task(there[4])
    assert ahead
    assert ahead.sharing == 4
    assert scheduler.engines() == {"elsewhere": (4, 4), "local": (2, 2)}
    for assignment in filter(None, busy[:2]):
        complete(scheduler, assignment)
    assert scheduler.engines() == {"elsewhere": (4, 3), "local": (2, 2)}
    assert scheduler.next_task(there[4]) is None


def test_a_run_is_shared_by_the_engines_that_have_its_model(scheduler: Scheduler) -> None:
    enqueue("ann", HOUR)
    with_model, without = elsewhere("ggml-tiny.en"), elsewhere("ggml-other")
    scheduler.change_slots(added=[with_model, without])
    run = begin(scheduler, with_model).run
    assert run.engines == 3
    assert scheduler.next_task(without) is None
    scheduler.change_slots(removed=[with_model])
    assert run.engines == 2


def test_a_task_of_a_lost_engine_is_given_to_the_next(scheduler: Scheduler) -> None:
    enqueue("ann", CLIP)
    slot = elsewhere("ggml-tiny.en")
    scheduler.change_slots(added=[slot])
    lost = begin(scheduler, slot)
    assert scheduler.next_task(HERE[0]) is None
    scheduler.change_slots(removed=[slot])
    assert scheduler.take_back(lost) == 1
    again = begin(scheduler, HERE[0])
    assert (again.run, again.task) == (lost.run, lost.task)
    assert scheduler.take_back(again) == 2
    assert scheduler._busy.total() == 0
    complete(scheduler, begin(scheduler, HERE[1]))
    complete(scheduler, begin(scheduler, HERE[1]))
    assert scheduler.models() == set()


def test_losses_are_counted_for_each_task(scheduler: Scheduler) -> None:
    enqueue("ann", HOUR)
    first, second = begin(scheduler, HERE[0]), begin(scheduler, HERE[1])
    assert first.task != second.task
    assert scheduler.take_back(first) == scheduler.take_back(second) == 1


@pytest.fixture
def lost(empty: Scheduler) -> list[Assignment]:
    """The only two tasks of ann's recording, whose engines are lost without knowing it yet."""
    slots = [elsewhere("ggml-tiny.en", name=str(number)) for number in range(2)]
    empty.change_slots(added=[HERE[0], *slots])
    enqueue("ann", BLOCK_SAMPLES + CLIP)
    tasks = [begin(empty, slot) for slot in slots]
    empty.change_slots(removed=slots)
    return tasks


def test_tasks_of_lost_engines_wait_until_these_know_it(
    empty: Scheduler, lost: list[Assignment]
) -> None:
    assert empty.next_task(HERE[0]) is None
    for assignment in lost:
        empty.take_back(assignment)
    while assignment := empty.next_task(HERE[0]):
        complete(empty, assignment)
    assert empty.models() == set()


@pytest.mark.usefixtures("lost")
def test_meanwhile_others_are_served(empty: Scheduler) -> None:
    file = enqueue("bob", CLIP)
    assignment = begin(empty, HERE[0])
    assert assignment.run.job.key.file_uuid == file
    assert assignment.sharing == 1


@given(st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=3), min_size=2, max_size=2))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nobody_who_waits_falls_behind_by_more_than_two_tasks(
    service: Service, scheduler: Scheduler, lengths: list[list[int]]
) -> None:
    Transcription.delete().execute()
    scheduler = Scheduler(service.settings, service.storage, HERE)
    for name, seconds in zip(("ann", "bob"), lengths, strict=True):
        for length in seconds:
            enqueue(name, length * 16_000)
    served = {user.id: 0.0 for user in User.select()}
    while assignment := scheduler.next_task(HERE[0]):
        served[assignment.run.job.user_id] += assignment.task.seconds
        complete(scheduler, assignment)
        busy = {run.job.user_id for run in scheduler._runs} | set(queue.waiting())
        if len(busy) == 2:
            assert abs(served[1] - served[2]) <= 2 * seconds_of(BLOCK_SAMPLES)
    assert len(statuses()) == sum(map(len, lengths))
    assert set(statuses()) == {"processing"}
