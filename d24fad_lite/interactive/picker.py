"""A widget to pick supports: a page of thumbnails that are buttons, a toolbar, a preview, and a file.

Everything is core ipywidgets, so it works in JupyterLab, Notebook 7, VS Code and Colab. Each candidate is one real
button with its picture, its name and, when picked, a check mark and its number. The grid is one tab stop: arrow keys,
Home and End move inside it, Enter and Space pick.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import ipywidgets as w

from d24fad_lite.files import data_uri
from d24fad_lite.interactive.below import CellsBelow
from d24fad_lite.interactive.controls import WHOLE, bar, box, button, shortened, wide
from d24fad_lite.interactive.idle import idle_reasons, show_idle
from d24fad_lite.interactive.roving_focus import roving_focus
from d24fad_lite.interactive.thumbnails import Thumbnails
from d24fad_lite.interactive.widget_style import SIZES, STYLE, pictures_style, size_style
from d24fad_lite.messages import choose_one_of, in_html
from d24fad_lite.supports.announcing import Changes
from d24fad_lite.supports.selection import SupportSelection
from d24fad_lite.supports.strategies import STRATEGY_NAMES

# Label and purpose of the buttons that `idle_reasons` knows of.
BUTTONS = {
    "clear": ("Clear", "Put back all images that are not locked"),
    "undo": ("Undo", "Take back the last change"),
    "redo": ("Redo", "Make the change again"),
    "back": ("Previous page", "Turn back one page"),
    "forth": ("Next page", "Turn on one page"),
    "before": ("Previous", "Look at the image before"),
    "after": ("Next", "Look at the next image"),
    "pick": ("Pick", "Pick the image, or put it back"),
    "lock": ("Lock", "Lock the picked image, or unlock it"),
    "save": ("Save", "Write the choice to the file"),
}
MOST_OF_A_NAME = 40  # characters on a card, where they wrap; the tooltip and the enlarged view have the whole name


class SupportPicker:
    """View of a SupportSelection; whatever changes the selection, a click or a script, shows here.

    Parameters
    ----------
    selection : SupportSelection
        Shared with other views, such as the inspector.
    path : str
        Proposed file for Save and Load.
    thumbnail : {"small", "medium", "large"}
        Size of the thumbnails at first, default "medium".

    Attributes
    ----------
    widget : ipywidgets.VBox
        What is displayed.
    cards : list of Button
        The thumbnails of a page. When the page is turned, the same buttons show other candidates.

    Raises
    ------
    ValueError
        Another `thumbnail`.
    """

    def __init__(self, selection: SupportSelection, path: str = "supports.json", thumbnail: str = "medium") -> None:
        if thumbnail not in SIZES:
            raise ValueError(choose_one_of("thumbnail", thumbnail, SIZES))
        self.selection, self.thumbnails = selection, Thumbnails(selection.candidates)
        self.scope = f"d24-{uuid.uuid4().hex[:8]}"
        self._on_cards: list[int | None] = []  # the candidate that each card shows, None for a hidden card
        self._note = ""
        self.cards: list[w.Button] = []
        self.below = CellsBelow(selection)
        self._make_controls(path, thumbnail)
        self._lay_out(thumbnail)
        self._leave = selection.subscribe(self._changed)
        self._changed(frozenset({"page", "cursor"}))

    # -- making ------------------------------------------------------------------------------------------------------

    def _make_controls(self, path: str, thumbnail: str) -> None:
        s = self.selection
        self.strategy = w.Dropdown(
            options=[(name, key) for key, name in STRATEGY_NAMES.items()],
            value="random",
            description="Suggest",
            style=WHOLE,
            layout=wide("270px"),
        )
        self.seed = w.BoundedIntText(
            value=0, min=0, max=2**31 - 1, description="seed", style=WHOLE, layout=wide("90px")
        )
        self.suggest = button("Suggest", "Fill the choice by the strategy; locked images stay", self._suggest)
        self.clear = self._button("clear", s.clear)
        self.undo = self._button("undo", s.undo)
        self.redo = self._button("redo", s.redo)
        self.search = w.Text(
            placeholder="part of a name, then Enter",
            description="Filter",
            continuous_update=False,
            style=WHOLE,
            layout=wide("220px"),
        )
        self.only_picked = w.Checkbox(description="only picked", indent=False, layout=wide("110px"))
        self.size = w.Dropdown(
            options=list(SIZES), value=thumbnail, description="Pictures", style=WHOLE, layout=wide("150px")
        )
        self.back = self._button("back", lambda: s.set_page(s.page - 1))
        self.forth = self._button("forth", lambda: s.set_page(s.page + 1))
        self.page = w.HTML()
        self.status = w.HTML()
        self.preview, self.caption = w.HTML(), w.HTML()
        self.before = self._button("before", lambda: s.move_cursor(-1))
        self.after = self._button("after", lambda: s.move_cursor(1))
        self.pick = self._button("pick", s.toggle)
        self.lock = self._button("lock", s.lock)
        # Sent once, when left: messages per letter are held back while the kernel works, and Load would overtake them.
        self.path = w.Text(value=path, description="File", continuous_update=False, style=WHOLE, layout=wide("auto"))
        self.path.add_class("d24-path")
        self.save = self._button("save", self._save)
        self.load = button("Load", "Take the choice of the file", self._load)
        self.search.observe(lambda change: s.set_filter(change["new"]), "value")
        self.only_picked.observe(lambda change: s.set_filter(only_picked=change["new"]), "value")
        self.size.observe(
            lambda change: setattr(self._size_style, "value", size_style(self.scope, change["new"])), "value"
        )

    def _button(self, name: str, action: Callable[[], Any]) -> w.Button:
        """A button of `BUTTONS` that says why, in the status line, where it can do nothing."""

        def press() -> None:
            reason = idle_reasons(self.selection)[name]
            self._say(reason) if reason else action()

        return button(*BUTTONS[name], press)

    def _lay_out(self, thumbnail: str) -> None:
        self._size_style = w.HTML(size_style(self.scope, thumbnail))
        self._pictures = w.HTML()
        self.grid = box([], "d24-grid")
        self.preview.add_class("d24-enlarged")
        about = w.VBox([self.caption, bar(self.before, self.after, self.pick, self.lock)])
        about.add_class("d24-about")
        side = box([self.preview, about], "d24-side")
        self.widget = w.VBox(
            [
                w.HTML(STYLE),
                self._size_style,
                self._pictures,
                self.status,
                bar(
                    box([self.strategy, self.seed, self.suggest], "d24-group"),
                    box([self.clear, self.undo, self.redo], "d24-group"),
                ),
                bar(
                    box([self.search, self.only_picked], "d24-group"),
                    self.size,
                    box([self.back, self.page, self.forth], "d24-group"),
                ),
                box([self.grid, side], "d24-body"),
                bar(self.path, self.save, self.load),
                self.below.widget,
                roving_focus(self.scope),
            ]
        )
        self.widget.add_class("d24")
        self.widget.add_class(self.scope)

    # -- model to view: only what differs is sent to the browser ------------------------------------------------------

    def _changed(self, changes: Changes) -> None:
        self._note = ""
        if changes & {"page", "filter"}:
            self._show_page()
        if changes & {"page", "filter", "selected", "locked", "cursor"}:
            self._show_cards()
            self._show_preview()
        self._show_idle()
        self._show_status()

    def _show_page(self) -> None:
        s = self.selection
        items = list(s.page_items)
        while len(self.cards) < len(items):
            self._add_card()
        if len(self.grid.children) != len(self.cards):
            self.grid.children = tuple(self.cards)
        self._on_cards = [*items, *[None] * (len(self.cards) - len(items))]
        self._pictures.value = pictures_style(self.scope, [data_uri(t, "jpeg") for t in self.thumbnails.get(items)])
        self.search.value, self.only_picked.value = s.filter, s.only_picked
        self.page.value = f'<span class="d24-note">page {s.page + 1} of {s.pages}, {len(s.visible):,} images</span>'

    def _add_card(self) -> None:
        slot = len(self.cards)
        card = w.Button(layout=w.Layout(width=None, height=None))
        card.add_class("d24-card")
        card.add_class(f"d24-slot-{slot}")
        card.on_click(lambda _: self._clicked(slot))
        self.cards.append(card)

    def _show_cards(self) -> None:
        s = self.selection
        for slot, (card, index) in enumerate(zip(self.cards, self._on_cards, strict=True)):
            card.layout.display = "none" if index is None else None
            if index is None:
                continue
            number, locked = s.order(index), index in s.locked
            mark = f"✓ {number}{' locked' if locked else ''} · " if number else ""
            card.description = mark + shortened(s.label(index), MOST_OF_A_NAME)
            card.tooltip = f"{s.label(index)}: {f'support {number} of {len(s)}' if number else 'not picked'}"
            classes = [
                "d24-card",
                f"d24-slot-{slot}",
                *["d24-picked"] * bool(number),
                *["d24-cursor"] * (index == s.cursor),
            ]
            card._dom_classes = tuple(classes)

    def _show_preview(self) -> None:
        s, index = self.selection, self.selection.cursor
        number = s.order(index)
        name = in_html(s.label(index))
        state = f"support {number} of {len(s)}{', locked' if index in s.locked else ''}" if number else "not picked"
        picture = data_uri(self.thumbnails.preview(index), "jpeg")
        self.preview.value = f'<div class="d24-preview"><img src="{picture}" alt="{name}, enlarged"></div>'
        self.caption.value = (
            f'<div class="d24-note"><b title="{in_html(s.candidates.names[index])}">{name}</b>: {state}</div>'
        )
        self.pick.description = "Put back" if number else "Pick"
        self.lock.description = "Unlock" if index in s.locked else "Lock"

    def _show_idle(self) -> None:
        for name, reason in idle_reasons(self.selection).items():
            show_idle(getattr(self, name), reason, BUTTONS[name][1])

    def _show_status(self) -> None:
        s = self.selection
        names = ", ".join(f"{k} · {in_html(s.label(i))}" for k, i in enumerate(s.selected, start=1))
        said = in_html(self._note or s.message)
        self.status.value = (
            f'<div class="d24-status" role="status" aria-live="polite"><b>{s.status}</b> picked'
            f"{': ' + names if names else ''}"
            f'<div class="d24-said">{said}</div></div>'
        )  # there when empty, so that nothing jumps

    # -- view to model ---------------------------------------------------------------------------------------------

    def _clicked(self, slot: int) -> None:
        if (index := self._on_cards[slot]) is not None:
            self.selection.toggle(index)

    def _suggest(self) -> None:
        count = len(self.selection.candidates)
        if self.strategy.value != "random" and self.selection.features_pending:
            self._say(f"looking at {count:,} images once …")
        self._try(lambda: self.selection.suggest(self.strategy.value, self.seed.value))

    def _save(self) -> None:
        self._try(lambda: f"saved {self.selection.status} to {self.selection.save(self.path.value)}")

    def _load(self) -> None:
        def load() -> str:
            notes = self.selection.load(self.path.value)
            return "; ".join([f"loaded {self.selection.status} from {self.path.value}", *notes])

        self._try(load)

    def _try(self, action: Callable[[], Any]) -> None:
        """Run a gesture and show the text it returns; what a script would get as an error, a person gets as a text."""
        try:
            said = action()
        except (ValueError, OSError) as error:
            said = str(error)
        self._say(said if isinstance(said, str) else "")

    def _say(self, note: str) -> None:
        self._note = note
        self._show_status()

    # -- as an object in a notebook ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop following the selection and remove the widget."""
        self._leave()
        self.below.close()
        self.widget.close()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # The plain text is all that is left where there is no live kernel: a line, not the widget's innards.
        return self.widget._repr_mimebundle_(**options) | {
            "text/plain": f"support picker, {self.selection.status} picked (it needs a running kernel)"
        }
