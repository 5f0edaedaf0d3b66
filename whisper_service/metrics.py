"""Counters and timings for Prometheus."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
FACTORS = (0.1, 0.3, 1, 2, 5, 10, 20, 50, 100, 300)

_requests = Counter("whisper_requests", "Answered requests", ["method", "route", "status"])
_stages = Histogram(
    "whisper_stage_seconds", "Duration of a stage of the work", ["stage"], buckets=SECONDS
)
_factors = Histogram(
    "whisper_real_time_factor",
    "Seconds of audio transcribed per second",
    ["model"],
    buckets=FACTORS,
)
_again = Counter("whisper_tasks_again", "Tasks done again after their machine was lost")
_sent = Counter("whisper_cluster_sent_bytes", "Bytes sent to other machines")


def answered(method: str, route: str, status: int) -> None:
    _requests.labels(method, route, str(status)).inc()


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Time a stage of the work on a file. Failures are not recorded."""
    started = time.perf_counter()
    yield
    _stages.labels(stage).observe(time.perf_counter() - started)


def transcribed(model: str, audio_seconds: float, seconds: float) -> None:
    """Record a completed transcription, and how long it ran."""
    _stages.labels("transcribe").observe(seconds)
    _factors.labels(model).observe(audio_seconds / seconds)


def ran_again() -> None:
    """Count a task that another engine does again."""
    _again.inc()


def sent_to_cluster(size: int) -> None:
    """Count bytes that were sent to other machines."""
    _sent.inc(size)


def cluster_totals() -> dict[str, int]:
    """Return how many tasks were done again and bytes sent since the service started."""
    names = ("tasks_again", "cluster_sent_bytes")
    totals = {name: REGISTRY.get_sample_value(f"whisper_{name}_total") for name in names}
    return {name: int(total or 0) for name, total in totals.items()}


def text(gauges: Mapping[str, float], engines: Mapping[str, tuple[int, int]]) -> bytes:
    """Return all metrics in Prometheus' text format, with the values that are read now.

    They are `gauges` by name, and by machine how many `engines` it has and how many are busy.
    """
    registry = CollectorRegistry()
    for name, value in gauges.items():
        Gauge(f"whisper_{name}", name.replace("_", " ").capitalize(), registry=registry).set(value)
    by_state = Gauge("whisper_engines", "Engines", ["machine", "state"], registry=registry)
    for machine, (total, busy) in engines.items():
        by_state.labels(machine, "busy").set(busy)
        by_state.labels(machine, "idle").set(total - busy)
    return generate_latest() + generate_latest(registry)
