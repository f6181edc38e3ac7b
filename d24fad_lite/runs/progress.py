"""Whether a kernel still gets on with its work: what a time-out counts is silence and idleness, not the clock.

On a busy computer a notebook takes many times as long and uses no more of the processor than before. So a limit of S
seconds stops a notebook that for S seconds has sent nothing and has hardly used the processor, or one that has
computed, in silence, more than every core could in S seconds. One that prints, moves a progress bar, begins another
cell, or merely has to wait for its turn goes on.
"""

from __future__ import annotations

WORKING = 0.02  # share of one core; a kernel that waits for input uses a tenth of that
WINDOW = 0.1  # share of the limit over which that is measured


class Progress:
    """When a process tree has last sent something, what it has computed since, and since when it has been idle.

    limit : seconds, > 0
    cores : that the tree may use
    now : seconds of the clock at which it began
    """

    def __init__(self, limit: float, cores: int, now: float) -> None:
        self.limit, self.cores = limit, cores
        self._window = max(WINDOW * limit, 0.5)
        self._marked_at, self._marked_cpu = now, 0.0
        self._alive_at = now
        self._messages, self._cpu_at_message = 0, 0.0

    def complaint(self, cpu_seconds: float, now: float, messages: int = 0) -> str:
        """Why the tree has to be stopped, "" while it may go on.

        cpu_seconds : that the tree has used since it began
        now : seconds of the clock, as of the beginning
        messages : that it has sent since it began: outputs, updates of them, cells begun
        """
        if messages != self._messages:
            self._messages, self._cpu_at_message, self._alive_at = messages, cpu_seconds, now
        if now - self._marked_at >= self._window:
            if cpu_seconds - self._marked_cpu >= WORKING * (now - self._marked_at):
                self._alive_at = now
            self._marked_at, self._marked_cpu = now, cpu_seconds
        silent = cpu_seconds - self._cpu_at_message
        if silent > self.limit * self.cores:
            return (
                f"stopped after {silent:.0f} s of computing in silence, the time-out of {self.limit:g} s on every core"
            )
        if now - self._alive_at > self.limit:
            return f"stopped after {self.limit:g} s without progress, the notebook's time-out"
        return ""
