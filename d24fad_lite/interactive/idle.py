"""Which buttons of the picker would do nothing just now, and why.

Such a button stays pressable: one that is disabled while it has the focus would lose it, and could not say why.
"""

from __future__ import annotations

import ipywidgets as w

from d24fad_lite.supports.selection import SupportSelection


def idle_reasons(selection: SupportSelection) -> dict[str, str]:
    """For each button of the picker by name, why it can do nothing; "" for one that can do something."""
    s = selection
    name, picked, locked = s.label(s.cursor), s.cursor in s, s.cursor in s.locked
    at = s.visible.index(s.cursor) if s.cursor in s.visible else 0
    empty = "" if len(s) else "nothing is picked"
    full = f"{s.status} picked already; put one back before you pick {name}" if s.full and not picked else ""
    return {
        "clear": empty or ("" if len(s) > len(s.locked) else "all that is picked is locked"),
        "undo": "" if s.can_undo else "nothing to undo",
        "redo": "" if s.can_redo else "nothing to redo",
        "save": f"{empty}, nothing to save" if empty else "",
        "back": "" if s.page else "this is the first page",
        "forth": "" if s.page + 1 < s.pages else "this is the last page",
        "before": "" if at else "this is the first image",
        "after": "" if at + 1 < len(s.visible) else "this is the last image",
        "pick": f"{name} is locked; unlock it to put it back" if locked else full,
        "lock": "" if picked else f"{name} is not picked; only picked images can be locked",
    }


def show_idle(control: w.Button, reason: str, purpose: str) -> None:
    """Give a button the look of one that does nothing, with the reason as its tooltip, or take it off again."""
    (control.add_class if reason else control.remove_class)("d24-idle")
    control.tooltip = f"Nothing to do: {reason}" if reason else purpose
