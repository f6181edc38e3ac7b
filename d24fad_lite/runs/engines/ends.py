"""How work can end without a result, told apart: what an engine's future raises when the work itself raised nothing."""

from __future__ import annotations


class LostWork(RuntimeError):
    """The work ended without a result and without an exception of its own; `kind` says how, the text says more.

    What the work itself raises comes through an engine's future as it is.
    """

    kind = "lost"


class WorkerLost(LostWork):
    """The process, or the node that it ran on, is gone."""

    kind = "lost worker"


class TimeLimit(LostWork):
    """It took longer than it may."""

    kind = "time limit"


class OutOfMemory(LostWork):
    """It took more memory than it may."""

    kind = "memory"


class Cancelled(LostWork):
    """Somebody took it back: scancel, an operator."""

    kind = "cancelled"


class EngineLost(LostWork):
    """The engine itself is gone (a scheduler that was stopped); says nothing about the work, which goes elsewhere."""

    kind = "engine"
