"""Which machines count as members of the cluster."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed.security import Security

from tests.support.service import Service
from whisper_service.cluster import machine, membership
from whisper_service.cluster.machine import NAME
from whisper_service.cluster.membership import SILENCE_SECONDS, Heartbeats, Membership
from whisper_service.jobs.worker import Worker
from whisper_service.models import catalog
from whisper_service.models.catalog import ModelFile

GIB = 1024**3


class Clock:
    """This machine's clock, which goes on when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(membership, "time", clock)
    return clock


def seen(**last: float) -> dict[str, dict[str, Any]]:
    """Return what the scheduler says of each machine: when it was heard of, by its own clock."""
    return {address: {"last_seen": time} for address, time in last.items()}


def test_a_machine_lives_while_it_is_heard_of(clock: Clock) -> None:
    heartbeats = Heartbeats()
    for beat in range(5):
        assert heartbeats.living(seen(one=beat)) == {"one"}
        clock.now += SILENCE_SECONDS - 1


def test_a_silent_machine_is_lost(clock: Clock) -> None:
    heartbeats = Heartbeats()
    assert heartbeats.living(seen(one=1, two=1)) == {"one", "two"}
    clock.now += SILENCE_SECONDS - 0.1
    assert heartbeats.living(seen(one=2, two=1)) == {"one", "two"}
    clock.now += 0.2
    assert heartbeats.living(seen(one=2, two=1)) == {"one"}


def test_it_comes_back_with_its_next_heartbeat(clock: Clock) -> None:
    heartbeats = Heartbeats()
    heartbeats.living(seen(one=1))
    clock.now += 10 * SILENCE_SECONDS
    assert heartbeats.living(seen(one=1)) == set()
    assert heartbeats.living(seen(one=2)) == {"one"}


@pytest.mark.parametrize("there", [0.0, 1e12])
def test_the_clocks_of_machines_may_differ(clock: Clock, there: float) -> None:
    heartbeats = Heartbeats()
    assert heartbeats.living(seen(one=there)) == {"one"}
    clock.now += SILENCE_SECONDS + 1
    assert heartbeats.living(seen(one=there)) == set()
    assert heartbeats.living(seen(one=there - 5)) == {"one"}, "it was set back"


def test_a_machine_that_left_the_cluster_is_forgotten(clock: Clock) -> None:
    heartbeats = Heartbeats()
    heartbeats.living(seen(one=1))
    assert heartbeats.living({}) == set()
    clock.now += SILENCE_SECONDS + 1
    assert heartbeats.living(seen(one=1)) == {"one"}


class Cluster:
    """A scheduler that says what a test wants, and a worker that has no engines of its own."""

    is_open = True  # as a connection is

    def __init__(self, service: Service, most: int) -> None:
        cluster = replace(service.settings.cluster, scheduler="tcp://127.0.0.1:8786")
        self.worker = Worker(replace(service.settings, cluster=cluster), service.storage)
        self.membership = Membership("", Security(), self.worker, most)
        self.found: dict[str, dict[str, Any]] = {}

    def say(self, address: str, *models: str, engines: int = 1, **more: Any) -> None:
        said = {
            "version": machine.version(),
            "engines": engines,
            "cores": 4,
            "threads": 0,
            "memory": GIB,
            "models": models,
            **more,
        }
        self.found[address] = {"last_seen": 1, "host": address, "metrics": {NAME: said}}

    def look(self) -> dict[str, int]:
        """Look who is there; return how many slots each machine has now."""
        self.membership._update(self, self.found)  # type: ignore[arg-type]
        slots = self.worker.runner.scheduler._slots
        names = [slot.machine.name for slot in slots]
        return {name: names.count(name) for name in names}

    def call(self, address: str, *_: object) -> None:
        raise AssertionError(address)

    def can_run(self, model: ModelFile) -> list[str]:
        slots = self.worker.runner.scheduler._slots
        return sorted(slot.machine.name for slot in slots if slot.can_run(model))


@pytest.fixture
def cluster(service: Service):
    cluster = Cluster(service, 5)
    yield cluster
    cluster.membership._remove(cluster.membership._members)
    cluster.worker.stop()


def test_machines_come_and_go(cluster: Cluster) -> None:
    assert cluster.look() == {}
    cluster.say("one", engines=2)
    cluster.say("two")
    assert cluster.look() == cluster.look() == {"one": 2, "two": 1}
    del cluster.found["one"]
    assert cluster.look() == {"two": 1}


def test_the_threads_of_a_machine_go_with_it(cluster: Cluster) -> None:
    before = len(cluster.worker._threads._heartbeats)
    cluster.say("one", engines=2)
    cluster.look()
    loops = list(cluster.worker._threads._loops)
    assert len(loops) == 2
    del cluster.found["one"]
    cluster.look()
    assert [loop.result(30) for loop in loops] == [True, True]
    assert len(cluster.worker._threads._heartbeats) == before
    cluster.worker._threads.check()


def test_an_engine_has_the_threads_that_its_machine_says(cluster: Cluster) -> None:
    cluster.say("one", engines=2)
    cluster.say("two", engines=2, threads=3)
    cluster.look()
    slots = cluster.worker.runner.scheduler._slots
    machines = {slot.machine.name: slot.machine for slot in slots}
    assert [machines["one"].threads_for(busy) for busy in (1, 2, 8)] == [4, 2, 1]
    assert [machines["two"].threads_for(busy) for busy in (1, 2, 8)] == [3, 3, 3]


def test_of_all_engines_only_so_many_are_used(cluster: Cluster) -> None:
    for name in ("one", "two", "three"):
        cluster.say(name, engines=3)
        cluster.look()
    assert cluster.look() == {"one": 3, "two": 2}
    del cluster.found["one"]
    assert cluster.look() == {"two": 2, "three": 3}


def test_what_waits_there_is_not_counted_as_engines(cluster: Cluster) -> None:
    cluster.say("one", engines=4)
    cluster.look()
    cluster.say("two", engines=4)
    assert cluster.look() == {"one": 4 + 1, "two": 1}
    cluster.say("three", engines=4)
    assert cluster.look() == {"one": 4 + 1, "two": 1}


def test_another_version_is_not_used_and_named_once(cluster: Cluster, caplog) -> None:
    cluster.say("one", version="another")
    assert cluster.look() == cluster.look() == {}
    (record,) = caplog.records
    message = "The worker one has another version of this service: not used"
    assert record.getMessage() == message


def test_a_worker_of_something_else_is_not_used(cluster: Cluster) -> None:
    cluster.found["one"] = {"last_seen": 1, "host": "one", "metrics": {"cpu": 1}}
    assert cluster.look() == {}


def test_a_model_that_arrives_can_run(cluster: Cluster, service: Service) -> None:
    (model,) = catalog.available(service.settings.models.path)
    cluster.say("one")
    cluster.look()
    cluster.membership._digests.compute(model)
    wanted = cluster.membership._digests.of(model)
    assert wanted
    assert cluster.can_run(model) == []
    cluster.say("one", wanted)
    cluster.look()
    assert cluster.can_run(model) == ["one"]
    cluster.say("one")
    cluster.look()
    assert cluster.can_run(model) == []


def test_a_model_that_changed_since_is_another(cluster: Cluster, service: Service) -> None:
    (model,) = catalog.available(service.settings.models.path)
    cluster.membership._digests.compute(model)
    assert cluster.membership._digests.of(model)
    assert cluster.membership._digests.of(replace(model, version="2")) is None


def test_memory_limits_the_engines_of_a_machine(
    cluster: Cluster, service: Service, tmp_path: Path
) -> None:
    (model,) = catalog.available(service.settings.models.path)
    cluster.membership._digests.compute(model)
    wanted = cluster.membership._digests.of(model)
    assert wanted
    large = replace(model, size=GIB // 6)
    cluster.say("one", wanted, engines=5)
    cluster.look()
    assert len(cluster.can_run(model)) == 5 + 1
    assert len(cluster.can_run(large)) == 2
