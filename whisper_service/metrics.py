"""What the service counts and times, for Prometheus."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
FACTORS = (0.1, 0.3, 1, 2, 5, 10, 20, 50, 100, 300)

_requests = Counter("whisper_requests", "Answered requests", ["method", "route", "status"])
_stages = Histogram("whisper_stage_seconds", "Time that work took", ["stage"], buckets=SECONDS)
_factors = Histogram(
    "whisper_real_time_factor",
    "Seconds of audio transcribed in a second",
    ["model"],
    buckets=FACTORS,
)


def answered(method: str, route: str, status: int) -> None:
    _requests.labels(method, route, str(status)).inc()


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Time a stage of the work on a file, if it succeeds."""
    started = time.perf_counter()
    yield
    _stages.labels(stage).observe(time.perf_counter() - started)


def transcribed(model: str, audio_seconds: float, seconds: float) -> None:
    """Take down a transcription that is completed, and how long it ran."""
    _stages.labels("transcribe").observe(seconds)
    _factors.labels(model).observe(audio_seconds / seconds)


def text(figures: Mapping[str, float]) -> bytes:
    """Write down all that was counted, and the figures of this moment by their names."""
    registry = CollectorRegistry()
    for name, value in figures.items():
        Gauge(f"whisper_{name}", name.replace("_", " ").capitalize(), registry=registry).set(value)
    return generate_latest() + generate_latest(registry)
