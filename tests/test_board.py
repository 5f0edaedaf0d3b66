"""Who comes first."""

import pytest

from tests.conftest import Service
from tests.test_jobs import statuses
from whisper_service import ids
from whisper_service.board import Board
from whisper_service.chunks import FRAME
from whisper_service.db import write_transaction
from whisper_service.jobs import Job
from whisper_service.protocol import SpeechFound, Transcribed
from whisper_service.runs import FIND_SPEECH, Run
from whisper_service.tables import File, Transcription, User

HOUR = 3600 * 16_000
CLIP = 10 * 16_000


@pytest.fixture
def board(service: Service) -> Board:
    for name in ("ann", "bob"):
        service.register(name)
    User.update(token_balance=10**9).execute()
    return Board(2, lambda job: Run(job, "en", 14, {}, engines=2))


def queue(username: str, samples: int) -> str:
    user = User.get(User.username == username)
    uuid = ids.uuid7()
    with write_transaction():
        File.create(
            uuid=uuid,
            user_id=user.id,
            hash=uuid * 2,
            filename="x",
            kind="audio",
            status="ready",
            content_type="audio/mpeg",
            size_bytes=1,
            samples=samples,
            uploaded_at=0,
        )
        Transcription.create(
            uuid=ids.uuid7(),
            user_id=user.id,
            file_uuid=uuid,
            model="m",
            model_version="1",
            language="en",
            format="srt",
            created_at=0,
        )
    return uuid


def serve(board: Board, tasks: int) -> list[str]:
    """Do so many tasks, one at a time; list whose files they were of."""
    files = []
    for _ in range(tasks):
        taken = board.take(0)
        if taken is None:
            break
        run, task, _ = taken
        frames = -(-(task.chunk.stop - task.chunk.start) // FRAME)
        found, nothing = SpeechFound([1.0] * frames), Transcribed("en", [])
        board.give(run, task, found if task.do == FIND_SPEECH else nothing)
        files.append(run.job.file_uuid)
    return files


def test_a_clip_does_not_wait_for_an_hour(board: Board) -> None:
    long = queue("ann", HOUR)
    assert set(serve(board, 5)) == {long}
    clip = queue("ann", CLIP)
    assert serve(board, 2) == [clip, clip]
    assert set(serve(board, 5)) == {long}


def test_users_take_turns(board: Board) -> None:
    anns, bobs = queue("ann", HOUR), queue("bob", HOUR)
    files = serve(board, 40)
    assert files.count(anns) == files.count(bobs) == 20


def test_who_comes_late_gets_no_credit_for_it(board: Board) -> None:
    anns = queue("ann", HOUR)
    serve(board, 30)
    bobs = queue("bob", HOUR)
    files = serve(board, 40)
    assert abs(files.count(anns) - files.count(bobs)) <= 2


def test_equal_jobs_of_a_user_go_in_order(board: Board) -> None:
    clips = [queue("ann", CLIP) for _ in range(6)]
    served = serve(board, 100)
    assert list(dict.fromkeys(served)) == clips
    assert len(served) == 12


def test_long_ones_of_a_user_go_one_after_the_other(board: Board) -> None:
    first, second = queue("ann", HOUR), queue("ann", HOUR)
    assert set(serve(board, 100)) == {first}
    assert statuses() == ["processing", "pending"]
    assert second != first


def test_the_cores_are_shared_by_what_can_run(board: Board) -> None:
    queue("ann", CLIP)
    taken = board.take(0)
    assert taken
    assert taken[2] == 1
    queue("bob", HOUR)
    other = board.take(0)
    assert other
    assert other[2] == 2


def test_a_large_model_is_left_to_the_first_engine(service: Service, board: Board) -> None:
    for _ in range(3):
        queue("ann", CLIP)
    alone = Board(2, lambda job: Run(job, "en", 14, {}, engines=1))
    for _ in range(3):
        assert alone.take(1) is None
    assert statuses() == ["processing", "pending", "pending"]
    taken = alone.take(0)
    assert taken
    assert taken[2] == 1
    assert alone.take(0) is not None


def test_a_dropped_run_is_dropped_once(board: Board) -> None:
    queue("ann", HOUR)
    first, second = board.take(0), board.take(0)
    assert first
    assert second
    run = first[0]
    assert board.drop(run) is True
    assert board.drop(run) is False
    assert board.take(0) is None


def test_a_job_that_cannot_start_does_not_hold_up_the_next(service: Service, board: Board) -> None:
    refused: list[Job] = []

    def start(job: Job) -> Run | None:
        if not refused:
            refused.append(job)
            return None
        return Run(job, "en", 14, {}, engines=2)

    queue("ann", CLIP)
    second = queue("ann", CLIP)
    taken = Board(2, start).take(0)
    assert taken
    assert taken[0].job.file_uuid == second
