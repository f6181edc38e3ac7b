"""A part of many images is spread evenly over them, and holds both classes."""

from __future__ import annotations

import numpy as np
import pytest

from d24fad_lite.supports.even_part import even_part, evenly_spaced


def test_evenly_spaced_rows_hold_both_ends_and_at_most_the_number_asked_for() -> None:
    rows = np.arange(100, 200)
    part = evenly_spaced(rows, 12)
    assert len(part) == 12 and (part[0], part[-1]) == (100, 199) and set(np.diff(part)) <= {8, 9, 10}
    assert evenly_spaced(rows, 500).tolist() == rows.tolist() and len(evenly_spaced(rows[:0], 5)) == 0


@pytest.mark.parametrize(("good", "bad", "most"), [(50, 50, 20), (95, 5, 20), (3, 97, 20), (4, 4, 20)])
def test_a_part_of_the_test_set_holds_both_classes(good: int, bad: int, most: int) -> None:
    labels = np.repeat([0, 1], [good, bad])
    part = even_part(labels, most)
    assert len(part) == min(most, good + bad) and (np.diff(part) > 0).all()
    assert (labels[part] == 1).sum() == min(bad, max(most // 2, most - good)) or good + bad <= most
