"""Whether the cells below have seen the present choice: a notebook computes with what was picked when it ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from d24fad_lite.supports.announcing import Changes
from d24fad_lite.supports.selection import SupportSelection

STALE = "The choice has changed since a cell last ran: run the cells below again."


class CellsBelow:
    """A line that stands while the choice is another one than when a cell last ran.

    Parameters
    ----------
    selection : SupportSelection

    Attributes
    ----------
    widget : ipywidgets.HTML
        Empty while the cells are up to date.
    """

    def __init__(self, selection: SupportSelection) -> None:
        self.widget = w.HTML()
        self._selection, self._seen = selection, list(selection.selected)
        self._leaves: list[Callable[[], Any]] = [selection.subscribe(self._changed)]
        if (events := _events()) is not None:
            events.register("pre_run_cell", self.cell_runs)
            self._leaves.append(lambda: events.unregister("pre_run_cell", self.cell_runs))

    def cell_runs(self, *_: Any) -> None:
        """A cell begins to run: it sees the choice as it is now."""
        self._seen = list(self._selection.selected)
        self._show()

    def close(self) -> None:
        """Stop following the selection and the notebook."""
        while self._leaves:
            self._leaves.pop()()

    def _changed(self, changes: Changes) -> None:
        if "selected" in changes:
            self._show()

    def _show(self) -> None:
        stale = self._seen != list(self._selection.selected)
        self.widget.value = f'<div class="d24-said" role="status">{STALE}</div>' if stale else ""


def _events() -> Any:
    """The events of the notebook's shell; None outside of one."""
    from IPython import get_ipython

    shell = get_ipython()
    return None if shell is None else shell.events
