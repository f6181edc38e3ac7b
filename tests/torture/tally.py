"""How much is tortured, and what was counted: a tenth in `make test`, all of it in `make torture`.

D24FAD_TORTURE=1 asks for all. Every case is drawn from a seed, so a failure comes back by running it again.
"""

from __future__ import annotations

import os
from collections import Counter

SHARE = float(os.environ.get("D24FAD_TORTURE", "0.1"))
SEED = 18

# What is tortured -> how many cases were tried; filled by the tests, printed at the end of the session.
TRIED: Counter[str] = Counter()


def cases(whole: int) -> range:
    """The cases to try of `whole`: all of them, or the quick share."""
    return range(max(1, round(whole * SHARE)))


def count(what: str, number: int = 1) -> None:
    """Note that cases were tried and held."""
    TRIED[what] += number
