"""What undo and redo restore: the choices before the present one, and those that undo took back."""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """Picked candidates in order, and those of them that are locked."""

    selected: tuple[int, ...] = ()
    locked: frozenset[int] = frozenset()


class ChoiceHistory:
    """The present choice among those before and after it; begins with the empty one."""

    def __init__(self) -> None:
        self.present = Choice()
        self._past: list[Choice] = []
        self._future: list[Choice] = []

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    def add(self, choice: Choice) -> None:
        """Make `choice` the present one; what undo took back before is gone. Nothing happens where it already is."""
        if choice != self.present:
            self._past.append(self.present)
            self._future.clear()
            self.present = choice

    def undo(self) -> None:
        """Return to the choice before; only where `can_undo`."""
        self._future.append(self.present)
        self.present = self._past.pop()

    def redo(self) -> None:
        """Return to the choice that `undo` took back last; only where `can_redo`."""
        self._past.append(self.present)
        self.present = self._future.pop()
