"""Cores and processes: what there is for this process, what a tree of them has used, and how one has ended."""

from __future__ import annotations

import os
import signal

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


def exit_text(code: int | None) -> str:
    """How a process ended, from its exit code: "exit code 3", "signal SIGKILL, often memory running out"."""
    if code is None:
        return "exit code unknown"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in {item.value for item in signal.Signals} else str(-code)
    return f"signal {name}" + (", often memory running out" if name == "SIGKILL" else "")
