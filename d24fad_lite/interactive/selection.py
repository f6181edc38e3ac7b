"""Which normal images are the supports: the whole logic of choosing them, without a widget.

A view calls `toggle`, `suggest`, `undo` and the like, and redraws what a notification names. A script calls `select`,
`suggest` and `load`. Both see the same `selected`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.benchmark import Task
from ..data.episodes import check_shots
from ..data.image_set import ImageSet
from . import strategies
from .announcing import Announcer
from .support_file import SupportId, read_support_file, write_support_file


class _Choice(NamedTuple):
    """What undo and redo restore."""

    selected: tuple[int, ...] = ()
    locked: frozenset[int] = frozenset()


class SupportSelection(Announcer):
    """An ordered choice of at most K supports among the normal training images of a task.

    `subscribe` tells of changes by name: "selected", "locked", "cursor", "page", "filter", "message".

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
    selected : tuple of int, positions in `candidates` in the order of picking
    locked : frozenset of int, picked images that `toggle`, `clear` and `suggest` leave alone
    cursor : int, the candidate looked at; `page` : int from 0; `filter` : str; `only_picked` : bool
    message : str, why the last gesture was refused or what it did; "" otherwise

    Raises
    ------
    ValueError
        An anomalous image among the candidates, or a limit that is no number from 1 to the number of candidates.
    """

    def __init__(self, candidates: Task | ImageSet, limit: int = 4, *, page_size: int = 24,
                 features: np.ndarray | Callable[[], np.ndarray] | None = None) -> None:
        super().__init__()
        self.task = candidates.name if isinstance(candidates, Task) else candidates.name.split("/")[0]
        self.candidates: ImageSet = candidates.train if isinstance(candidates, Task) else candidates
        bad = np.flatnonzero(self.candidates.labels)
        if len(bad):
            raise ValueError(f"'{self.candidates.name}' has {len(bad)} anomalous images, first "
                             f"{self.candidates.names[bad[0]]!r}; supports must be normal training images")
        check_shots(len(self.candidates), limit, query=False, name=self.task)
        if page_size < 1:
            raise ValueError(f"page_size={page_size!r} must be at least 1")
        self.limit, self.page_size = int(limit), int(page_size)
        self.cursor = self.page = 0
        self.filter, self.only_picked, self.message = "", False, ""
        self._features = features
        self._choice = _Choice()
        self._past: list[_Choice] = []
        self._future: list[_Choice] = []
        self._visible: tuple[int, ...] | None = None
        folders = {posixpath.dirname(name) for name in self.candidates.names}
        common = posixpath.commonpath(folders) if folders and "" not in folders else ""
        self._labels = [name[len(common) + 1 if common else 0 :] for name in self.candidates.names]

    # -- what is chosen ------------------------------------------------------------------------------------------

    @property
    def selected(self) -> tuple[int, ...]:
        return self._choice.selected

    @property
    def locked(self) -> frozenset[int]:
        return self._choice.locked

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
        """1 for the first picked image, 2 for the second ..., None for one that is not picked."""
        return self.selected.index(index) + 1 if index in self.selected else None

    def label(self, index: int) -> str:
        """The shortest unambiguous name of a candidate: without the folder that all candidates share."""
        return self._labels[index]

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

    def move(self, index: int, place: int) -> None:
        """Give a picked image another place in the order, 1 to len(selection)."""
        if index not in self.selected or not 1 <= place <= len(self.selected):
            raise ValueError(f"move({index}, {place}): position must be picked, place from 1 to {len(self.selected)}")
        rest = [i for i in self.selected if i != index]
        self._apply((*rest[: place - 1], index, *rest[place - 1 :]), self.locked)

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

        Only candidates whose names match the filter are suggested. False, with a `message`, where these are too few.
        Raises ValueError for an unknown strategy, or one that needs `features` where none were given.
        """
        keep = [i for i in self.selected if i in self.locked]
        allowed = np.array(self._matching(), np.int64)
        free = np.setdiff1d(allowed, keep)
        if len(free) < self.limit - len(keep):
            return self._refuse(f"only {len(free)} images match the filter '{self.filter}'; shorten it")
        features = self._get_features() if strategy in strategies.NEEDS_FEATURES else None
        found = strategies.choose(strategy, len(self.candidates), self.limit, features, seed, keep, allowed)
        return self._apply((*keep, *found), self.locked)

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    def undo(self) -> bool:
        """Take back the last change of the choice. False where there is none."""
        return self._travel(self._past, self._future, "nothing to undo")

    def redo(self) -> bool:
        """Make the change again that `undo` took back. False where there is none."""
        return self._travel(self._future, self._past, "nothing to redo")

    # -- looking around ------------------------------------------------------------------------------------------

    @property
    def visible(self) -> tuple[int, ...]:
        """Candidates that pass the filter (and are picked, with `only_picked`)."""
        if self.only_picked:
            return tuple(i for i in self._matching() if i in self.selected)
        return self._matching()

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-len(self.visible) // self.page_size))

    @property
    def page_items(self) -> tuple[int, ...]:
        """Candidates on the current page."""
        return self.visible[self.page * self.page_size : (self.page + 1) * self.page_size]

    def set_page(self, page: int) -> None:
        """Turn to a page; beyond the ends, to the first or last. The cursor goes to its first candidate."""
        page = min(max(int(page), 0), self.pages - 1)
        changed = {"page"} if page != self.page else set()
        self.page = page
        if self.page_items and self.cursor not in self.page_items:
            self.cursor = self.page_items[0]
            changed.add("cursor")
        self._tell(changed)

    def set_page_size(self, size: int) -> None:
        """Candidates per page; the page that holds the cursor stays in view."""
        if size < 1:
            raise ValueError(f"page_size={size!r} must be at least 1")
        if size != self.page_size:
            self.page_size = int(size)
            self._settle({"page"})

    def set_filter(self, text: str | None = None, only_picked: bool | None = None) -> None:
        """Show only candidates whose name holds every word of `text` (any case), or only picked ones."""
        text = self.filter if text is None else text
        only_picked = self.only_picked if only_picked is None else bool(only_picked)
        if (text, only_picked) != (self.filter, self.only_picked):
            self.filter, self.only_picked, self._visible = text, only_picked, None
            self._settle({"filter", "page"})

    def set_cursor(self, index: int) -> None:
        """Look at a candidate; its page comes into view."""
        self._set_cursor(self._checked(index))

    def move_cursor(self, steps: int) -> None:
        """Step along the visible candidates; stops at the ends."""
        if visible := self.visible:
            here = visible.index(self.cursor) if self.cursor in visible else 0
            self._set_cursor(visible[min(max(here + steps, 0), len(visible) - 1)])

    # -- files ---------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the choice as JSON: task, and for each support name, content hash and lock. Returns the path."""
        return write_support_file(path, self.task, self.limit, self.ids, [i in self.locked for i in self.selected])

    def load(self, path: str | Path, partial: bool = False) -> list[str]:
        """Take the choice of a file. Returns notes, such as of renamed images.

        partial : take what is there, and return missing or changed images as notes, where by default they raise.
        Raises SupportFileError (a ValueError) that names missing and changed images, or for a file of another kind.
        """
        found = read_support_file(path, self.candidates, self.task, partial)
        if len(found.positions) > self.limit:
            raise ValueError(f"'{path}' holds {len(found.positions)} supports, the limit is {self.limit}; "
                             f"choose with limit={len(found.positions)}")
        self._apply(tuple(found.positions), frozenset(found.locked), "; ".join(found.notes))
        return found.notes

    # -- inside --------------------------------------------------------------------------------------------------

    def _apply(self, selected: tuple[int, ...], locked: frozenset[int], message: str = "") -> bool:
        new = _Choice(selected, locked & frozenset(selected))
        if new != self._choice:
            self._past.append(self._choice)
            self._future.clear()
        self._become(new, message)
        return True

    def _travel(self, source: list[_Choice], target: list[_Choice], refusal: str) -> bool:
        if not source:
            return self._refuse(refusal)
        target.append(self._choice)
        self._become(source.pop())
        return True

    def _become(self, choice: _Choice, message: str = "") -> None:
        changed = {n for n in _Choice._fields if getattr(choice, n) != getattr(self._choice, n)}
        changed |= {"message"} if message != self.message else set()
        self._choice, self.message = choice, message
        self._settle(changed | ({"page"} if self.only_picked and "selected" in changed else set()))

    def _refuse(self, message: str) -> bool:
        self.message = message
        self._tell({"message"})
        return False

    def _set_cursor(self, index: int) -> None:
        changed = {"cursor"} if index != self.cursor else set()
        self.cursor = index
        self._settle(changed)

    def _settle(self, changed: set[str]) -> None:
        """Bring cursor and page into agreement with what is visible, then tell."""
        visible = self.visible
        if visible and self.cursor not in visible:
            self.cursor = visible[0]
            changed = changed | {"cursor"}
        page = visible.index(self.cursor) // self.page_size if visible else 0
        if page != self.page:
            self.page = page
            changed = changed | {"page"}
        self._tell(changed)

    def _matching(self) -> tuple[int, ...]:
        if self._visible is None:
            words = self.filter.casefold().split()
            names = [name.casefold() for name in self.candidates.names]
            self._visible = tuple(i for i, name in enumerate(names) if all(word in name for word in words))
        return self._visible

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self.candidates):
            raise IndexError(f"candidate {index} is not there; '{self.candidates.name}' has positions 0 to "
                             f"{len(self.candidates) - 1}")
        return int(index)

    @property
    def features_pending(self) -> bool:
        """Whether the first suggestion that compares images has yet to describe them all, which takes a while."""
        return callable(self._features)

    def _get_features(self) -> np.ndarray | None:
        if callable(self._features):
            self._features = self._features()
        return self._features

