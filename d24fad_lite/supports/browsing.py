"""Looking through candidates: filter, pages and a cursor that stay in agreement, without a widget."""

from __future__ import annotations

import posixpath

from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.messages import printable
from d24fad_lite.supports.announcing import Announcer


class CandidateBrowser(Announcer):
    """Candidates in pages, narrowed by a filter, one of them at the cursor.

    A subclass says with `_is_picked` which candidates `only_picked` leaves.

    Parameters
    ----------
    candidates : ImageSet
    page_size : int
        Candidates per page, at least 1.

    Attributes
    ----------
    cursor : int
        The candidate looked at.
    page : int
        From 0.
    filter : str
        Words that a name must hold to be visible, in any case; "" for all.
    only_picked : bool
        Show picked candidates only.
    """

    def __init__(self, candidates: ImageSet, page_size: int) -> None:
        super().__init__()
        self.candidates = candidates
        self.page_size = _at_least_one(page_size)
        self.cursor = self.page = 0
        self.filter, self.only_picked = "", False
        self._matches: tuple[int, ...] | None = None
        folders = {posixpath.dirname(name) for name in candidates.names}
        common = posixpath.commonpath(folders) if folders and "" not in folders else ""
        self._labels = [name[len(common) + 1 if common else 0 :] for name in candidates.names]

    def label(self, index: int) -> str:
        """The shortest unambiguous name of a candidate, to be shown: without the folder that all candidates share."""
        return printable(self._labels[index])

    @property
    def visible(self) -> tuple[int, ...]:
        """Candidates that pass the filter (and are picked, with `only_picked`)."""
        if self.only_picked:
            return tuple(i for i in self._matching() if self._is_picked(i))
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
        self._announce(changed)

    def set_page_size(self, size: int) -> None:
        """Candidates per page, at least 1; the page that holds the cursor stays in view."""
        if _at_least_one(size) != self.page_size:
            self.page_size = int(size)
            self._settle({"page"})

    def set_filter(self, text: str | None = None, only_picked: bool | None = None) -> None:
        """Show only candidates whose name holds every word of `text` (any case), or only picked ones.

        What is None stays as it is.
        """
        text = self.filter if text is None else text
        only_picked = self.only_picked if only_picked is None else bool(only_picked)
        if (text, only_picked) != (self.filter, self.only_picked):
            self.filter, self.only_picked, self._matches = text, only_picked, None
            self._settle({"filter", "page"})

    def set_cursor(self, index: int) -> None:
        """Look at a candidate; its page comes into view. IndexError where there is no such candidate."""
        self._set_cursor(self._checked(index))

    def move_cursor(self, steps: int) -> None:
        """Step along the visible candidates; stops at the ends."""
        if visible := self.visible:
            here = visible.index(self.cursor) if self.cursor in visible else 0
            self._set_cursor(visible[min(max(here + steps, 0), len(visible) - 1)])

    # -- inside --------------------------------------------------------------------------------------------------

    def _is_picked(self, index: int) -> bool:
        raise NotImplementedError

    def _set_cursor(self, index: int) -> None:
        changed = {"cursor"} if index != self.cursor else set()
        self.cursor = index
        self._settle(changed)

    def _settle(self, changed: set[str]) -> None:
        """Bring cursor and page into agreement with what is visible, then announce what changed."""
        visible = self.visible
        if visible and self.cursor not in visible:
            self.cursor = visible[0]
            changed = changed | {"cursor"}
        page = visible.index(self.cursor) // self.page_size if visible else 0
        if page != self.page:
            self.page = page
            changed = changed | {"page"}
        self._announce(changed)

    def _matching(self) -> tuple[int, ...]:
        """Candidates that pass the filter's words; found once per filter."""
        if self._matches is None:
            words = self.filter.casefold().split()
            names = [name.casefold() for name in self.candidates.names]
            self._matches = tuple(i for i, name in enumerate(names) if all(word in name for word in words))
        return self._matches

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self.candidates):
            raise IndexError(
                f"candidate {index} is not there; '{self.candidates.name}' has positions 0 to "
                f"{len(self.candidates) - 1}"
            )
        return int(index)


def _at_least_one(page_size: int) -> int:
    if page_size < 1:
        raise ValueError(f"page_size={page_size!r} must be at least 1")
    return int(page_size)
