"""Small building blocks of the widgets, on core ipywidgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

WHOLE = {"description_width": "initial"}  # a label as wide as its text, never cut


def button(label: str, tooltip: str, action: Callable[[], Any]) -> w.Button:
    """A button as wide as its label; the tooltip also describes it to screen readers."""
    made = w.Button(description=label, tooltip=tooltip or label, layout=wide("auto"))
    made.on_click(lambda _: action())
    return made


def bar(*children: w.Widget) -> w.Box:
    """Controls in a row that wraps."""
    return box(list(children), "d24-bar")


def box(children: list[w.Widget], name: str) -> w.Box:
    """A box with a class of `widget_style`."""
    made = w.Box(children)
    made.add_class(name)
    return made


def wide(width: str, **more: str) -> w.Layout:
    """A layout of that CSS width."""
    return w.Layout(width=width, **more)


def shortened(name: str, most: int) -> str:
    """A name of at most `most` characters: a longer one loses its middle, as its ends tell images apart."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"
