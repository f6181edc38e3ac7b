"""Telling several views of one change, without one view's reaction running inside another's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Changes = frozenset[str]
Subscriber = Callable[[Changes], None]
MOST_ROUNDS = 100


class Announcer:
    """Something whose changes can be subscribed to; subclasses call `_tell` with the names of what changed."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []
        self._pending: list[Changes] = []
        self._telling = False

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber(changes)` after every change, a frozenset of names; returns a function that ends this.

        What a subscriber changes itself is told after the current round: subscribers never run inside one another.
        """
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber) if subscriber in self._subscribers else None

    def _tell(self, changes: Iterable[str]) -> None:
        if changes := frozenset(changes):
            self._pending.append(changes)
        if self._telling:
            return
        self._telling = True
        try:
            for _ in range(MOST_ROUNDS):
                if not self._pending:
                    return
                now = self._pending.pop(0)
                for subscriber in tuple(self._subscribers):
                    subscriber(now)
            raise RuntimeError(f"subscribers of {type(self).__name__} answered each other's changes {MOST_ROUNDS} "
                               "times; one of them must not change what it is told of")
        finally:
            self._telling = False
            self._pending.clear()
