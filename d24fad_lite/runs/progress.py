"""Whether a kernel still gets on with its work: what a time-out counts is work and waiting, not the clock.

On a busy computer a notebook takes many times as long and uses no more of the processor than before. So a limit of S
seconds stops a notebook that has computed more than every core could in S seconds, or that has done nothing at all
for S seconds; one that merely has to wait for its turn goes on.
"""

from __future__ import annotations

WORKING = 0.02  # share of one core; a kernel that waits for input uses a tenth of that
WINDOW = 0.1  # share of the limit over which that is measured


class Progress:
    """What a process tree has computed so far, and since when it has done nothing.

    limit : seconds, > 0
    cores : that the tree may use
    now : seconds of the clock at which it began
    """

    def __init__(self, limit: float, cores: int, now: float) -> None:
        self.limit, self.cores = limit, cores
        self._window = max(WINDOW * limit, 0.5)
        self._marked_at, self._marked_cpu = now, 0.0
        self._busy_at = now

    def complaint(self, cpu_seconds: float, now: float) -> str:
        """Why the tree has to be stopped, "" while it may go on.

        cpu_seconds : that the tree has used since it began
        now : seconds of the clock, as of the beginning
        """
        if cpu_seconds > self.limit * self.cores:
            return f"stopped after {cpu_seconds:.0f} s of computing, the time-out of {self.limit:g} s on every core"
        if now - self._marked_at >= self._window:
            if cpu_seconds - self._marked_cpu >= WORKING * (now - self._marked_at):
                self._busy_at = now
            self._marked_at, self._marked_cpu = now, cpu_seconds
        if now - self._busy_at > self.limit:
            return f"stopped after {self.limit:g} s without progress, the notebook's time-out"
        return ""
