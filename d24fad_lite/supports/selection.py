"""Which normal images are the supports: the whole logic of choosing them, without a widget.

A view calls `toggle`, `suggest`, `undo` and the like, and redraws what a notification names. A script calls `select`,
`suggest` and `load`. Both see the same `selected`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.supports import check_shots
from d24fad_lite.supports import strategies
from d24fad_lite.supports.browsing import CandidateBrowser
from d24fad_lite.supports.history import Choice, ChoiceHistory
from d24fad_lite.supports.support_file import SupportId, read_support_file, write_support_file


class SupportSelection(CandidateBrowser):
    """An ordered choice of at most K supports among the normal training images of a task.

    Subscribers (`subscribe`) are called with the names of what changed: "selected", "locked", "cursor", "page",
    "filter", "message", "used".

    Parameters
    ----------
    candidates : Task or ImageSet
        A task (its `train` is taken) or a set of normal images; every label must be 0.
    limit : int
        K, the most images that can be picked; at most the number of candidates.
    page_size : int
        Candidates per page of a view, at least 1.
    features : float array [N, D], or a function without arguments that gives it
        Descriptions of the candidates for `suggest`, see `strategies.describe`; a function is called once, when first
        needed.

    Attributes
    ----------
    selected : tuple of int
        Picked positions in `candidates`, in the order of picking.
    locked : frozenset of int
        Picked images that `toggle`, `clear` and `suggest` leave alone.
    message : str
        Why the last gesture was refused, or which strategy filled the choice; "" otherwise.
    cursor, page, filter, only_picked : see `CandidateBrowser`

    Raises
    ------
    ValueError
        An anomalous image among the candidates, or a limit that is no number from 1 to the number of candidates.
    """

    def __init__(
        self,
        candidates: Task | ImageSet,
        limit: int = 4,
        *,
        page_size: int = 24,
        features: np.ndarray | Callable[[], np.ndarray] | None = None,
    ) -> None:
        images = candidates.train if isinstance(candidates, Task) else candidates
        bad = np.flatnonzero(images.labels)
        if len(bad):
            raise ValueError(
                f"'{images.name}' has {len(bad)} anomalous images, first "
                f"{images.names[bad[0]]!r}; supports must be normal training images"
            )
        self.task = candidates.name if isinstance(candidates, Task) else candidates.name.split("/")[0]
        check_shots(len(images), limit, query=False, name=self.task)
        super().__init__(images, page_size)
        self.limit, self.message = int(limit), ""
        self._features = features
        self._history = ChoiceHistory()
        self._used: tuple[int, ...] | None = None

    # -- what is chosen ------------------------------------------------------------------------------------------

    @property
    def selected(self) -> tuple[int, ...]:
        return self._history.present.selected

    @property
    def locked(self) -> frozenset[int]:
        return self._history.present.locked

    @property
    def names(self) -> list[str]:
        """Names of the picked images, relative to the task's folder, in order."""
        return [self.candidates.names[i] for i in self.selected]

    @property
    def ids(self) -> list[SupportId]:
        """Name and content hash of the picked images, in order: what identifies a choice anywhere."""
        hashes = self.candidates.hashes(np.array(self.selected, np.int64))
        return [SupportId(name, digest) for name, digest in zip(self.names, hashes, strict=True)]

    @property
    def full(self) -> bool:
        return len(self.selected) >= self.limit

    @property
    def status(self) -> str:
        """For people: "3 of 4"."""
        return f"{len(self.selected)} of {self.limit}"

    def __len__(self) -> int:
        return len(self.selected)

    def __contains__(self, index: object) -> bool:
        return index in self.selected

    def __repr__(self) -> str:
        return f"SupportSelection({self.task!r}, {self.status}: {', '.join(map(self.label, self.selected))})"

    def order(self, index: int) -> int | None:
        """The number of a picked image: 1 for the first, 2 for the second ..., None for one that is not picked."""
        return self.selected.index(index) + 1 if index in self.selected else None

    def use(self) -> tuple[int, ...]:
        """The picked positions, for a computation: from now on views tell when the choice is no longer this one."""
        self._used = self.selected
        self._announce({"used"})
        return self._used

    @property
    def changed_since_use(self) -> bool:
        """Whether the choice differs from what `use` gave last, images or order; False before the first use."""
        return self._used is not None and self._used != self.selected

    # -- choosing ------------------------------------------------------------------------------------------------

    def toggle(self, index: int | None = None) -> bool:
        """Pick a candidate (default: the one at the cursor) or put it back. False, with a `message`, where refused."""
        index = self._checked(self.cursor if index is None else index)
        self._set_cursor(index)
        if index in self.locked:
            return self._refuse(f"{self.label(index)} is locked; unlock it to put it back")
        if index in self.selected:
            return self._apply(tuple(i for i in self.selected if i != index), self.locked)
        if self.full:
            return self._refuse(f"{self.status} picked already; put one back before you pick {self.label(index)}")
        return self._apply((*self.selected, index), self.locked)

    def select(self, indices: Iterable[int]) -> None:
        """Replace the whole choice, for scripts. Raises ValueError for too many, repeated or locked-out images."""
        chosen = tuple(self._checked(int(i)) for i in indices)
        if len(set(chosen)) < len(chosen):
            raise ValueError(f"select() got repeated positions {list(chosen)}; each support counts once")
        if len(chosen) > self.limit:
            raise ValueError(f"select() got {len(chosen)} images, the limit is {self.limit}; drop some")
        if dropped := [self.label(i) for i in self.selected if i in self.locked and i not in chosen]:
            raise ValueError(f"select() would drop locked images {dropped}; unlock them first")
        self._apply(chosen, self.locked)

    def move(self, index: int, number: int) -> None:
        """Give a picked image another number in the order, 1 to len(selection); ValueError for one not picked."""
        if index not in self.selected or not 1 <= number <= len(self.selected):
            raise ValueError(f"move({index}, {number}): position must be picked, number from 1 to {len(self.selected)}")
        rest = [i for i in self.selected if i != index]
        self._apply((*rest[: number - 1], index, *rest[number - 1 :]), self.locked)

    def lock(self, index: int | None = None) -> bool:
        """Lock a picked image, or unlock it. False, with a `message`, for one that is not picked."""
        index = self._checked(self.cursor if index is None else index)
        if index not in self.selected:
            return self._refuse(f"{self.label(index)} is not picked; only picked images can be locked")
        return self._apply(self.selected, self.locked ^ {index})

    def clear(self) -> bool:
        """Put back all that is not locked."""
        return self._apply(tuple(i for i in self.selected if i in self.locked), self.locked)

    def suggest(self, strategy: str, seed: int = 0) -> bool:
        """Fill the choice up to the limit by a strategy of `strategies.STRATEGIES`; locked images stay.

        The `message` then names the strategy, and how many images are new and how many were kept. Only candidates
        whose names match the filter are suggested; False, with a `message`, where these are too few.
        Raises ValueError for an unknown strategy, or one that needs `features` where none were given.
        """
        keep = [i for i in self.selected if i in self.locked]
        allowed = np.array(self._matching(), np.int64)
        free = np.setdiff1d(allowed, keep)
        if len(free) < self.limit - len(keep):
            return self._refuse(f"only {len(free)} images match the filter '{self.filter}'; shorten it")
        features = self._get_features() if strategy in strategies.NEEDS_FEATURES else None
        chosen = strategies.choose(strategy, len(self.candidates), self.limit, features, seed, keep, allowed)
        said = self._suggestion_text(strategy, seed, len(chosen), len(keep))
        return self._apply((*keep, *chosen), self.locked, said)

    @property
    def features_pending(self) -> bool:
        """Whether the first suggestion that compares images has yet to describe them all, which takes a while."""
        return callable(self._features)

    @property
    def can_undo(self) -> bool:
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        return self._history.can_redo

    def undo(self) -> bool:
        """Take back the last change of the choice. False where there is none."""
        return self._travel(self._history.undo) if self.can_undo else self._refuse("nothing to undo")

    def redo(self) -> bool:
        """Make the change again that `undo` took back. False where there is none."""
        return self._travel(self._history.redo) if self.can_redo else self._refuse("nothing to redo")

    # -- files ---------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the choice as JSON: task, and for each support name, content hash and lock. Returns the path."""
        return write_support_file(path, self.task, self.limit, self.ids, [i in self.locked for i in self.selected])

    def load(self, path: str | Path, partial: bool = False) -> list[str]:
        """Take the choice of a file.

        Parameters
        ----------
        path : path of a file that `save` wrote
        partial : bool
            Take what is there, and return missing or changed images as notes, where by default they raise.

        Returns
        -------
        list of str
            Notes, such as of renamed images.

        Raises
        ------
        FileNotFoundError
            No such file.
        SupportFileError
            A ValueError that names missing and changed images, or that says which other kind of file it is.
        ValueError
            More supports than `limit`.
        """
        matched = read_support_file(path, self.candidates, self.task, partial)
        if len(matched.positions) > self.limit:
            raise ValueError(
                f"'{path}' holds {len(matched.positions)} supports, the limit is {self.limit}; "
                f"choose with limit={len(matched.positions)}"
            )
        self._apply(tuple(matched.positions), frozenset(matched.locked), "; ".join(matched.notes))
        return matched.notes

    # -- inside --------------------------------------------------------------------------------------------------

    def _is_picked(self, index: int) -> bool:
        return index in self.selected

    def _apply(self, selected: tuple[int, ...], locked: frozenset[int], message: str = "") -> bool:
        """Make a choice the present one, and announce what differs."""
        choice = Choice(selected, locked & frozenset(selected))
        return self._travel(lambda: self._history.add(choice), message)

    def _travel(self, step: Callable[[], None], message: str = "") -> bool:
        """Go to another choice by a step of the history, and announce what differs."""
        before = self._history.present
        step()
        changed = {n for n in Choice._fields if getattr(before, n) != getattr(self._history.present, n)}
        changed |= {"message"} if message != self.message else set()
        self.message = message
        self._settle(changed | ({"page"} if self.only_picked and "selected" in changed else set()))
        return True

    def _refuse(self, message: str) -> bool:
        self.message = message
        self._announce({"message"})
        return False

    def _suggestion_text(self, strategy: str, seed: int, new: int, kept: int) -> str:
        """For people: what filled the choice, and what was kept."""
        by = f"at random, seed {seed}" if strategy == "random" else f"by: {strategies.STRATEGY_NAMES[strategy]}"
        among = f" of those that match '{self.filter}'" if self.filter else ""
        why = f", {kept} kept because {'it is' if kept == 1 else 'they are'} locked" if kept else ", none was locked"
        return f"suggested {by}; {new} new{among}{why}"

    def _get_features(self) -> np.ndarray | None:
        if callable(self._features):
            self._features = self._features()
        return self._features
