"""Load from a crowd of clients."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.support.crowd import Asked, Kind, Plan
from tests.support.harness import SEED, scale
from tests.support.paths import ROOT


def kind(name: str, weight: int, request: bytes) -> Kind:
    return Kind(name, weight, request.decode("latin-1"))


def plan(url: str, kinds: list[Kind], clients: int, seconds: float, **more: Any) -> Plan:
    return Plan(url, kinds, clients, seconds, SEED, scale(30, 5), **more)


@dataclass
class Result:
    asked: list[Asked] = field(default_factory=list)

    def statuses(self, kind: str = "") -> Counter[int]:
        return Counter(asked.status for asked in self.asked if kind in {"", asked.kind})

    def percentile(self, percent: float, kind: str = "") -> float:
        """Return the milliseconds within which a percentage of the answers came."""
        times = sorted(asked.milliseconds for asked in self.asked if kind in {"", asked.kind})
        return times[min(len(times) - 1, int(len(times) * percent / 100))]


@contextmanager
def loaded(plan: Plan) -> Iterator[Result]:
    """Run the clients while the caller does something; then wait for their result."""
    command = [sys.executable, "-m", "tests.support.crowd"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    result = Result()
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        try:
            assert process.stdin
            process.stdin.write(json.dumps(asdict(plan)))
            process.stdin.close()
            process.stdin = None
            yield result
            printed, _ = process.communicate(timeout=plan.seconds + 3 * plan.patience)
        finally:
            process.kill()
    result.asked += [Asked(*row) for row in json.loads(printed)]
