"""The widgets follow JupyterLab's theme, and stay readable on a dark page that has none of its variables."""

from __future__ import annotations

import re

from d24fad_lite.interactive.widget_style import STYLE

RULES = {name.strip(): body for name, body in re.findall(r"([^{}]+)\{([^{}]*)\}", STYLE.split("<style>")[1])}


def test_ink_and_ground_are_set_together_and_are_the_themes() -> None:
    view = RULES[".d24"]
    assert "color: var(--ink);" in view and "background: var(--ground);" in view
    for name in ("ink", "soft", "ground", "tile", "line", "mark"):
        assert re.search(rf"--{name}: var\(--jp-[\w-]+, #[0-9a-f]{{6}}\);", view), name


def test_text_takes_a_fixed_colour_on_a_fixed_ground_only() -> None:
    fixed = {name for name, body in RULES.items() if re.search(r"(?<![-\w])color: #", body)}
    assert fixed and all("background-color: #" in RULES[name] for name in fixed)
