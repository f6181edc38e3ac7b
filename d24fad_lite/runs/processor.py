"""The processor: how many cores there are for this process, and what a tree of processes has used of them."""

from __future__ import annotations

import os

import psutil


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_seconds_of(tree: list[psutil.Process]) -> float:
    """Seconds of processor time of living processes, and of those that they have started and seen end."""
    total = 0.0
    for process in tree:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
