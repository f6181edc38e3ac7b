"""Letting several views know of one change, without one view's reaction running inside another's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Changes = frozenset[str]
Subscriber = Callable[[Changes], None]
MOST_ROUNDS = 100


class Announcer:
    """Something whose changes can be subscribed to; subclasses call `_announce` with the names of what changed."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []
        self._pending: list[Changes] = []
        self._announcing = False

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have `subscriber` called after every change.

        Parameters
        ----------
        subscriber : callable
            Called with a frozenset of the names of what changed. Where it changes something itself, this is announced
            after the current round: subscribers never run inside one another.

        Returns
        -------
        callable
            Ends the subscription; calling it again does nothing.
        """
        self._subscribers.append(subscriber)

        def leave() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return leave

    def _announce(self, changes: Iterable[str]) -> None:
        """Call every subscriber, round after round, until nothing changes any more."""
        if changes := frozenset(changes):
            self._pending.append(changes)
        if self._announcing:
            return
        self._announcing = True
        try:
            for _ in range(MOST_ROUNDS):
                if not self._pending:
                    return
                now = self._pending.pop(0)
                for subscriber in tuple(self._subscribers):
                    subscriber(now)
            raise RuntimeError(
                f"subscribers of {type(self).__name__} answered each other's changes {MOST_ROUNDS} "
                "times; a subscriber must not change again what it is called for"
            )
        finally:
            self._announcing = False
            self._pending.clear()
