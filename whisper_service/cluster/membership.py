"""The machines of the cluster, as they come and go, and the connection that finds them."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from distributed.security import Security

from whisper_service.cluster import machine
from whisper_service.cluster.connection import Connection
from whisper_service.cluster.engine import RemoteEngine, RemoteSlot
from whisper_service.cluster.machine import NAME
from whisper_service.cluster.model_sender import Digests, ModelSender
from whisper_service.config import ClusterSettings
from whisper_service.jobs.slots import Machine
from whisper_service.jobs.worker import Worker
from whisper_service.models.catalog import ModelFile

LOOK_SECONDS = 1.0
RETRY_SECONDS = 3.0
# Without a heartbeat for so long a machine counts as lost. They come twice a second, or up to every
# few seconds from many machines.
SILENCE_SECONDS = 10.0

logger = logging.getLogger(__name__)


class Heartbeats:
    """When each machine was heard of, by this machine's clock."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, float]] = {}

    def living(self, workers: dict[str, dict[str, Any]]) -> set[str]:
        """Return the addresses of those that the scheduler heard of lately."""
        now = time.monotonic()
        for address, found in workers.items():
            if self._heard.get(address, (None,))[0] != found["last_seen"]:
                self._heard[address] = found["last_seen"], now
        self._heard = {address: self._heard[address] for address in workers}
        return {
            address
            for address, (_, noticed) in self._heard.items()
            if now - noticed < SILENCE_SECONDS
        }


class Member:
    """A machine that is in the cluster while it `is_present`, and the hashes of its models."""

    def __init__(self, models: frozenset[str]) -> None:
        self.models = models
        self.slots: list[RemoteSlot] = []
        self.is_present = True


class Membership:
    """Keeps the worker's engines in step with the cluster's, in a thread of its own.

    Of all engines `most` are used.
    """

    def __init__(self, url: str, security: Security, worker: Worker, most: int) -> None:
        self._url, self._security, self._worker, self._most = url, security, worker, most
        self._scheduler = worker.runner.scheduler
        self._digests = Digests()
        self._heartbeats = Heartbeats()
        self._members: dict[str, Member] = {}
        self._refused: set[str] = set()
        self._could_run: object = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        was_lost = False
        while not self._stopped.is_set():
            try:
                with Connection(self._url, self._security) as connection:
                    logger.info("The cluster's scheduler %s is connected", self._url)
                    was_lost = False
                    self._follow(connection)
            except OSError as error:
                if not was_lost:
                    logger.warning("The cluster's scheduler %s: %s", self._url, error)
                was_lost = True
            except Exception:
                logger.exception("The connection to the cluster failed")
            self._stopped.wait(RETRY_SECONDS)

    def _follow(self, connection: Connection) -> None:
        """Follow the cluster until the end. Raises OSError when the scheduler is lost."""
        sender = ModelSender(connection, self._digests)
        try:
            while not self._stopped.is_set():
                self._update(connection, connection.workers())
                needed = self._scheduler.models() | self._worker.languages.models()
                there = {address: member.models for address, member in self._members.items()}
                sender.send_missing(needed, there)
                self._stopped.wait(LOOK_SECONDS)
        finally:
            self._remove(self._members)
            sender.stop()

    def _update(self, connection: Connection, workers: dict[str, dict[str, Any]]) -> None:
        """Take note of the machines that came, went, or have other models."""
        living = {
            address: workers[address]
            for address in self._heartbeats.living(workers)
            if self._is_usable(address, workers[address])
        }
        self._remove(self._members.keys() - living.keys())
        for address, found in living.items():
            if address not in self._members and self._left():
                self._add(connection, address, found)
        for address, member in self._members.items():
            member.models = frozenset(living[address]["metrics"][NAME]["models"])
        self._scheduler.change_slots()  # also for models that the service has now
        can_run = len(self._digests), [member.models for member in self._members.values()]
        if can_run != self._could_run:
            self._could_run = can_run
            self._worker.wake()

    def _is_usable(self, address: str, found: dict[str, Any]) -> bool:
        said = found["metrics"].get(NAME)
        if said is None:  # a worker of something else, or one that has not said anything yet
            return False
        if said["version"] == machine.version():
            return True
        if address not in self._refused:
            logger.warning("The worker %s has another version of this service: not used", address)
        self._refused.add(address)
        return False

    def _add(self, connection: Connection, address: str, found: dict[str, Any]) -> None:
        said = found["metrics"][NAME]
        member = Member(frozenset(said["models"]))
        threads_for = partial(_threads_for, said["cores"], said["threads"])
        engines = min(said["engines"], self._left())
        there = Machine(str(found["host"]), engines, said["memory"], threads_for)
        member.slots = [
            RemoteSlot(there, number, partial(self._has, member))
            for number in range(engines + machine.ahead(engines))
        ]
        self._members[address] = member
        self._scheduler.change_slots(added=member.slots)
        call, is_present = (
            partial(connection.call, address),
            partial(_is_present, connection, member),
        )
        for slot in member.slots:
            engine = RemoteEngine(call, self._digests.of_file, is_present)
            self._worker.add_engine(engine, slot, is_present)
        logger.info("%s joined; %s", address, self._engines())

    def _remove(self, addresses: Iterable[str]) -> None:
        for address in list(addresses):
            member = self._members.pop(address)
            member.is_present = False
            self._scheduler.change_slots(removed=member.slots)
            self._worker.wake()
            logger.warning("%s left; %s", address, self._engines())

    def _engines(self) -> str:
        """Return how many engines there are now, for the log."""
        found = self._scheduler.engines().values()
        return f"{sum(each.engines for each in found)} engines on {len(found)} machines work now"

    def _left(self) -> int:
        """Return how many more engines may be used."""
        slots = [slot for member in self._members.values() for slot in member.slots]
        return self._most - sum(not slot.is_ahead for slot in slots)

    def _has(self, member: Member, model: ModelFile) -> bool:
        return self._digests.of(model) in member.models


def run(settings: ClusterSettings, security: Security, worker: Worker) -> Callable[[], None]:
    """Start to follow the cluster; return what ends it."""
    membership = Membership(settings.scheduler, security, worker, settings.most_engines)
    membership.start()
    return membership.stop


def _threads_for(cores: int, threads: int, busy: int) -> int:
    """Return the threads of an engine, as `WorkerSettings.threads_for` does on its own machine."""
    return threads or max(1, cores // busy)


def _is_present(connection: Connection, member: Member) -> bool:
    return member.is_present and connection.is_open
