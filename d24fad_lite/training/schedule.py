"""The learning rate over a run: as it is (the method), or a short rise and a long cosine down to nothing."""

from __future__ import annotations

import math

SCHEDULES = ("constant", "cosine")
WARM_UP = 0.05  # share of all steps in which the rate rises


def learning_rate(step: int, steps: int, peak: float, schedule: str = "constant") -> float:
    """Rate of optimiser step `step` (from 0) of `steps`.

    "constant" is `peak` at every step. For "cosine", with W = 5 % of the steps, at least 1:

        peak (step + 1) / W                                        while step < W
        peak (1 + cos(pi (step - W) / (steps - W))) / 2            from then on
    """
    if schedule == "constant":
        return peak
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
