"""An engine on another machine, which takes requests as one on this machine does."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from whisper_service import metrics
from whisper_service.cluster import machine
from whisper_service.cluster.connection import Call
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.jobs.slots import Slot
from whisper_service.models.catalog import ModelFile
from whisper_service.whisper import protocol
from whisper_service.whisper.engine import Engine, EngineCrashed, EngineLost
from whisper_service.whisper.protocol import Answer, Request

# Beyond the limits for the engine, which its own machine watches, and for the task before it.
MARGIN_SECONDS = 30
POLL_INTERVAL = 1.0


class RemoteEngine(Engine):
    """An engine of a member of the cluster.

    `call` gives its machine a task, `digest` returns the hash of a model, `is_member` whether the
    machine is in the cluster.
    """

    def __init__(
        self,
        call: Callable[..., Call],
        digest: Callable[[Path], str | None],
        is_member: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._call, self._digest, self._is_member = call, digest, is_member

    def ask(
        self,
        model: Path,
        request: Request,
        seconds: float,
        wanted: Callable[[], bool],
        *,
        is_prebuilt: bool = False,
    ) -> Answer:
        """Do the same as `Engine.ask`. Also raises EngineLost when the machine is lost."""
        data = protocol.to_bytes(request)
        try:
            call = self._call(machine.ask, self._digest(model), data, seconds, is_prebuilt)
            metrics.sent_to_cluster(len(data))
            try:
                self._wait(call, seconds, wanted)
                return _answer(*call.result())
            finally:
                call.end()
        except OSError as error:
            raise EngineLost(str(error)) from error

    def _wait(self, call: Call, seconds: float, wanted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 2 * seconds + MARGIN_SECONDS
        while not call.wait(POLL_INTERVAL):
            if not wanted():
                raise Cancelled
            if not self._is_member():
                raise EngineLost("A machine left the cluster")
            if time.monotonic() > deadline:
                raise EngineLost("A machine of the cluster did not answer in time")


@dataclass(frozen=True, eq=False)
class RemoteSlot(Slot):
    """`has_model` returns whether a model is on the machine."""

    has_model: Callable[[ModelFile], bool]

    def can_run(self, model: ModelFile) -> bool:
        return super().can_run(model) and self.has_model(model)


def _answer(kind: str, content: bytes | str) -> Answer:
    if isinstance(content, bytes):
        answer = protocol.from_bytes(content)
        assert isinstance(answer, Answer)
        return answer
    if kind == machine.CRASHED:
        raise EngineCrashed(content)
    if kind == machine.FAILED:
        raise ServiceError(content)
    raise EngineLost(f"A machine of the cluster did not do a task ({kind})")
