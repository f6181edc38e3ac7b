"""Interleaved timing: every round runs each candidate once, so that a busy neighbour slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class Timings:
    """Seconds of each candidate by round: wall clock, and processor time over all threads."""

    wall: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def seconds(self, name: str) -> float:
        """Median wall time."""
        return statistics.median(self.wall[name])

    def cpu_seconds(self, name: str) -> float:
        """Median processor time."""
        return statistics.median(self.cpu[name])

    def ratio(self, slow: str, fast: str) -> dict[str, float]:
        """Median over rounds of slow / fast, its extremes, and the same of processor time."""
        wall = [a / b for a, b in zip(self.wall[slow], self.wall[fast], strict=True)]
        cpu = [a / b for a, b in zip(self.cpu[slow], self.cpu[fast], strict=True)]
        return {
            "ratio": statistics.median(wall),
            "low": min(wall),
            "high": max(wall),
            "cpu_ratio": statistics.median(cpu),
        }


def interleave(candidates: Mapping[str, Callable[[], object]], rounds: int, warm: bool = True) -> Timings:
    """Run every candidate once per round, in turn; with `warm` each runs once before, unmeasured."""
    if warm:
        for run in candidates.values():
            run()
    timings = Timings({name: [] for name in candidates}, {name: [] for name in candidates})
    for _ in range(rounds):
        for name, run in candidates.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            timings.cpu[name].append(time.process_time() - cpu)
            timings.wall[name].append(time.perf_counter() - wall)
    return timings
