"""What Slurm says: states of jobs (squeue, then sacct where the cluster keeps accounts), how large an array may be."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

LIVE = frozenset(
    {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESIZING"}
    | {"SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED", "SPECIAL_EXIT", "PREEMPTED"}
)
PATIENCE = 60  # seconds for an answer of a busy controller
USUAL_ARRAY = 1000  # tasks that an array may have where the controller does not say: its default


def job_states(ids: Sequence[str]) -> dict[str, str] | None:
    """The state of each job ("12_3") that Slurm knows; jobs it does not know are left out. None where it is silent."""
    wanted = set(ids)
    queue = _asked("squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T")
    if queue is None:
        return None  # a controller that is down or busy says nothing about any job
    states = {job: state for job, state in queue if job in wanted}
    if unknown := sorted({job.split("_")[0] for job in wanted - set(states)}):
        accounts = _asked("sacct", "-n", "-X", "-P", "-o", "JobID,State", "-j", ",".join(unknown))
        states |= {job: state for job, state in accounts or () if job in wanted}
    return states


def largest_array() -> int:
    """Tasks that a job array may have: the controller's MaxArraySize less one, as tasks count from 0."""
    for line in _lines("scontrol", "show", "config") or ():
        name, _, value = (part.strip() for part in line.partition("="))
        if name == "MaxArraySize" and value.isdigit():
            return max(1, int(value) - 1)
    return USUAL_ARRAY


def _asked(*command: str) -> list[tuple[str, str]] | None:
    """The lines "job|state" of a command; None where it fails, as sacct does on a cluster without accounts."""
    lines = _lines(*command)
    if lines is None:
        return None
    pairs = (line.strip().partition("|") for line in lines)
    return [(job, state.split()[0]) for job, _, state in pairs if state.strip()]  # "CANCELLED by 0"


def _lines(*command: str) -> list[str] | None:
    """What a command says, line by line; None where it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
