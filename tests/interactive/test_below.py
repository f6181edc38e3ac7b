"""The picker says when the cells below have not seen the present choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from d24fad_lite.data.benchmark import Task
from d24fad_lite.interactive import below
from d24fad_lite.interactive.picker import SupportPicker
from d24fad_lite.supports.selection import SupportSelection


class Events:
    """Those of a notebook's shell."""

    def __init__(self) -> None:
        self.listeners: list[Callable[..., Any]] = []

    def register(self, event: str, listener: Callable[..., Any]) -> None:
        assert event == "pre_run_cell"
        self.listeners.append(listener)

    def unregister(self, event: str, listener: Callable[..., Any]) -> None:
        self.listeners.remove(listener)


def test_a_changed_choice_is_stale_until_a_cell_runs(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events()
    monkeypatch.setattr(below, "_events", lambda: events)
    selection = SupportSelection(task, 3)
    selection.select([1, 2])
    picker = SupportPicker(selection)
    assert picker.below.widget.value == ""
    picker.cards[5].click()
    assert "run the cells below again" in picker.below.widget.value
    picker.cards[5].click()  # put back: the choice that the cells have seen
    assert picker.below.widget.value == ""
    picker.cards[5].click()
    events.listeners[0]("a cell")
    assert picker.below.widget.value == ""
    picker.close()
    assert not events.listeners


def test_outside_of_a_notebook_there_are_no_events() -> None:
    assert below._events() is None
