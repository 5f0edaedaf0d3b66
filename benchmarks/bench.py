"""`make bench`: how long people wait, against faster-whisper on the same weights and machine.

Each pair is one run of ours and one of the rival's, right after each other, so that what else the
machine does falls on both. The tables give medians, and half the range as noise.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jiwer

from benchmarks import cluster, encoder, limits, queries, reading, recordings, resources, searching
from benchmarks.recordings import Recording
from benchmarks.service import Client, running
from tests.support.speech import normalise
from whisper_service.whisper.native import library

HERE = Path(__file__).parent
RIVAL = HERE / ".venv" / "bin" / "python"


class Rival:
    """faster-whisper, with its model loaded."""

    def __init__(self, model: Path) -> None:
        self._process = subprocess.Popen(
            [RIVAL, HERE / "rival.py", model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def transcribe(self, recording: Recording, mode: str) -> tuple[float, str]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"wav": str(recording.path), "mode": mode}) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        return answer["seconds"], answer["text"]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _read(self) -> Any:  # noqa: ANN401 - JSON
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


class Bench:
    """Everything that the measurements share."""

    def __init__(self, url: str, model: str, rival: Rival, folder: Path, pairs: int) -> None:
        self.user, self.other = Client(url, "bench"), Client(url, "other")
        self.model, self.rival, self.folder, self.pairs = model, rival, folder, pairs

    def against(self, recordings: list[Recording], mode: str) -> None:
        """Time whole sets of recordings, ours and the rival's in turns."""
        files = {item.name: self.user.upload(item.path) for item in recordings}

        def ours() -> list[tuple[float, str]]:
            return [self.user.transcribe(files[item.name], self.model) for item in recordings]

        def theirs() -> list[tuple[float, str]]:
            return [self.rival.transcribe(item, mode) for item in recordings]

        rows = self._pairs(ours, theirs)
        title = f"{recordings[0].name if len(recordings) == 1 else 'short clips'}, {mode}"
        words = [item.words for item in recordings]
        report(title, rows, words)

    def two_users(self, recording: Recording) -> None:
        """Two users order the same work at once; the rival does it twice."""
        mine, yours = self.user.upload(recording.path), self.other.upload(recording.path)

        def ours() -> list[tuple[float, str]]:
            (second,) = self.other.order(yours, self.model, ["srt"])
            first = self.user.transcribe(mine, self.model)
            self.other.wait(second)
            self.other.call("DELETE", f"/transcribe/{second}")
            return [first]

        def theirs() -> list[tuple[float, str]]:
            runs = [self.rival.transcribe(recording, "batched") for _ in range(2)]
            return [(sum(seconds for seconds, _ in runs), runs[0][1])]

        report("two users, dense each", self._pairs(ours, theirs), [recording.words])

    def formats(self, recording: Recording) -> None:
        """Three formats against one, and a transcript that is stored."""
        file = self.user.upload(recording.path)
        three = ("verbose_json", "srt", "vtt")
        rows = self._pairs(
            lambda: [self.user.transcribe(file, self.model, three)],
            lambda: [self.user.transcribe(file, self.model)],
        )
        report("three formats (first) against one", rows, [recording.words])
        (kept,) = self.user.order(file, self.model, ["srt"])
        self.user.wait(kept)
        seconds = [self.user.transcribe(file, self.model)[0] for _ in range(self.pairs)]
        print(f"| stored transcript | {statistics.median(seconds) * 1000:.0f} ms |")

    def _pairs(
        self,
        ours: Callable[[], list[tuple[float, str]]],
        theirs: Callable[[], list[tuple[float, str]]],
    ) -> list[tuple[list[tuple[float, str]], list[tuple[float, str]]]]:
        ours()
        theirs()
        return [(ours(), theirs()) for _ in range(self.pairs)]


def report(title: str, rows: list[tuple[Any, Any]], words: list[str]) -> None:
    """Print both sides' times and word errors, and the median of the pairs' ratios."""
    ratios = [_seconds(theirs) / _seconds(ours) for ours, theirs in rows]
    cells = [f"{statistics.median(ratios):.2f} ± {(max(ratios) - min(ratios)) / 2:.2f}"]
    for side in (0, 1):
        seconds = [_seconds(row[side]) for row in rows]
        errors = [_errors(row[side], words) for row in rows]
        noise = (max(seconds) - min(seconds)) / 2
        cells.append(f"{statistics.median(seconds):.2f} ± {noise:.2f} s")
        cells.append(
            f"{statistics.median(errors):.0f}/{sum(len(normalise(t).split()) for t in words)}"
        )
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


def _seconds(side: list[tuple[float, str]]) -> float:
    return sum(seconds for seconds, _ in side)


def _errors(side: list[tuple[float, str]], words: list[str]) -> int:
    """Count wrong, missing and added words."""
    total = 0
    for said, (_, heard) in zip(words, side, strict=True):
        found = jiwer.process_words(normalise(said), normalise(heard))
        total += found.substitutions + found.deletions + found.insertions
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ggml-base")
    parser.add_argument("--models", type=Path, default=HERE.parent / "models")
    parser.add_argument("--rival-model", type=Path, default=HERE / "models" / "base")
    parser.add_argument("--native", choices=("auto", "off"), default="auto")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("only", nargs="*", help="names of rows; all of them if none")
    asked = parser.parse_args()
    print(_conditions(asked), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rival = Rival(asked.rival_model)
        try:
            with running(folder / "storage", asked.models, asked.native) as server:
                _run(Bench(server.url, asked.model, rival, folder, asked.pairs), set(asked.only))
        finally:
            rival.close()
        with running(folder / "limits", asked.models, asked.native) as server:
            _run_limits(server.url, folder, asked)


def _conditions(asked: argparse.Namespace) -> str:
    """Return on what everything was measured."""
    found = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    engine = "built here" if asked.native == "auto" and library.find() else "prebuilt"
    machine = f"{os.cpu_count()} cores of {found[1] if found else 'an unknown processor'}"
    pairs = f"medians of {asked.pairs} pairs"
    return f"{time.strftime('%Y-%m-%d')}, {machine}; {asked.model}, engine {engine}; {pairs}\n"


def _run(bench: Bench, only: set[str]) -> None:
    dense, sparse = recordings.dense(bench.folder), recordings.sparse(bench.folder)
    halting = recordings.halting(bench.folder)
    clips = recordings.clips(bench.folder)
    print("| what | ratio | ours | errors | rival | errors |\n" + "| --- " * 6 + "|", flush=True)
    for name, measure in {
        "dense": lambda: bench.against([dense], "batched"),
        "dense-fast": lambda: bench.against([dense], "batched, no timestamps"),
        "plain": lambda: [bench.against(items, "plain") for items in ([dense], [sparse], clips)],
        "halting": lambda: [bench.against([halting], mode) for mode in ("plain", "batched")],
        "sparse": lambda: bench.against([sparse], "batched"),
        "clips": lambda: bench.against(clips, "batched"),
        "users": lambda: bench.two_users(dense),
        "formats": lambda: bench.formats(dense),
    }.items():
        if not only or name in only:
            measure()


def _run_limits(url: str, folder: Path, asked: argparse.Namespace) -> None:
    models, model, pairs = asked.models, asked.model, asked.pairs
    path = models / f"{model}.bin"
    print("\n| what | ratio | this | that | goal |\n" + "| --- " * 5 + "|", flush=True)
    for name, measure in {
        "overhead": lambda: limits.overhead(url, asked.native, path, folder, pairs),
        "beside": lambda: limits.beside(url, model, folder, pairs),
        "encoder": lambda: encoder.compare(asked.native, path, pairs),
        "polls": lambda: limits.polls(url, model, folder, pairs),
        "memory": lambda: resources.memory(models, model, folder),
        "uploads": lambda: resources.uploads(url, folder, pairs),
        "rows": lambda: queries.compare(folder, pairs),
        "page": lambda: reading.compare(models, model, folder, pairs),
        "search": lambda: searching.compare(models, folder, pairs),
        "cluster": lambda: cluster.compare(models, model, asked.native, folder, pairs),
        "scale": lambda: cluster.simulate(models, model, folder),
    }.items():
        if not asked.only or name in asked.only:
            measure()


if __name__ == "__main__":
    sys.exit(main())
