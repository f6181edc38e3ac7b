"""Names of files that break careless programs: markup, formulas, terminal codes, line breaks, bytes that are no text.

`hostile_names(seed, count)` draws file names (no folder separator, no zero byte, at most 200 bytes), the classic ones
first. `MARKER` is what a test may put into each name to look for it later.
"""

from __future__ import annotations

import random

MARKER = "zqleakqz"
CLASSICS = (
    "<img src=x onerror=alert(1)>",
    '"onmouseover="alert(1)',
    "'><script>alert(1)<",
    "=cmd|' C'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\ttab",
    "\x1b[31mred\x1b[0m",
    "line\nbreak",
    "return\rhere",
    "\udcff\udcfe not utf-8",
    "a,b;c",
    'quo"te',
    "%s %d {0} {name}",
    "$(reboot) `reboot`",
    "&amp; &lt;",
    "\u202eright to left",
    "'apostrophe first",
    " space ",
)
PIECES = (
    *"<>\"'=+-@&;,#%$`{}()[]!\\ ",
    "\n",
    "\r",
    "\t",
    "\x1b[2J",
    "\x07",
    "\x7f",
    "\udc80",
    "é",
    "\u202e",
    "𝔘",
    "a",
    "0",
)
LONGEST = 200  # bytes


def hostile_names(seed: int, count: int, marker: str = "", suffix: str = ".png") -> list[str]:
    """`count` different file names, each with the marker and the suffix."""
    draw = random.Random(seed)
    bodies: list[str] = list(CLASSICS[:count])
    while len(bodies) < count:
        body = "".join(draw.choices(PIECES, k=draw.randint(1, 20)))
        if len(body.encode("utf-8", "surrogateescape")) <= LONGEST:
            bodies.append(body)
    return [f"{body}{marker}{number:03d}{suffix}" for number, body in enumerate(bodies)]
