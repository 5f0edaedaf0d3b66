"""The rows of the table of limits."""

import statistics
import time
from collections.abc import Callable


def elapsed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def print_ratio(title: str, rows: list[tuple[float, float]], goal: str, unit: str = " s") -> None:
    """Print the median of the ratios, with half their range, and the medians of both sides."""
    ratios = [first / second for first, second in rows]
    cells = [f"{statistics.median(ratios):.2f} ± {(max(ratios) - min(ratios)) / 2:.2f}"]
    for side in zip(*rows, strict=True):
        noise = (max(side) - min(side)) / 2
        cells.append(f"{statistics.median(side):.2f} ± {noise:.2f}{unit}")
    print(f"| {title} | {' | '.join(cells)} | {goal} |", flush=True)
