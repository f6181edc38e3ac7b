"""Which cells a benchmark has, and what makes two runs the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from d24fad_lite.lessons.profiles import PROFILES
from d24fad_lite.runs.benchmark.methods import METHODS, method, student_readings
from d24fad_lite.runs.benchmark.plan import plan_benchmark


def test_what_is_trained_has_a_cell_for_each_seed_and_goes_first(tiny_root: Path) -> None:
    plan = plan_benchmark(profile="quick", data=str(tiny_root), methods=list(METHODS), seeds=[0, 1], shots=[2, 4])
    of = {name: [cell for cell in plan.cells if cell.method == name] for name in METHODS}
    assert {name: len(cells) for name, cells in of.items()} == {
        "matched": 2,
        "d24fad": 4,
        "untrained": 4,
        "tsd-only": 4,
        "ssd-only": 4,
        "nearest-patch": 2,
        "mean-feature": 2,
        "mirrored-patch": 2,
        "shortcuts": 2,
    }
    trained = [method(cell.method).trained for cell in plan.cells]
    assert trained == sorted(trained, reverse=True)
    assert {cell.shots for cell in plan.cells} == {(2, 4)} and len({cell.label for cell in plan.cells}) == 26


def test_full_trains_anew_for_each_k_and_evaluates_the_rest_once(tiny_root: Path) -> None:
    full = replace(PROFILES["full"], device="cpu", weights="random", shots=(1, 2, 3), seeds=(0,))
    plan = plan_benchmark(profile=full, data=str(tiny_root), tasks=["Blobs"], methods=["d24fad", "matched"])
    found = [(cell.method, cell.train_shots, cell.shots) for cell in plan.cells]
    assert found == [
        ("d24fad", 1, (1,)),
        ("d24fad", 2, (2,)),
        ("d24fad", 3, (3,)),
        ("matched", 0, (1, 2, 3)),
        ("shortcuts", 0, (1, 2, 3)),
    ]


def test_readings_are_those_in_which_the_student_has_a_say() -> None:
    assert student_readings() == ("released", "paper")


def test_another_setting_data_or_method_of_ones_own_is_another_run(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(**changes: object) -> str:
        plan = plan_benchmark(**({"profile": "quick", "data": str(tiny_root), "tasks": ["Blobs"]} | changes))
        return plan.key_of(plan.cells[0])

    keys = [key(), key(epochs=3), key(draw_seed=1), key(seeds=[1]), key(shots=[2]), key(readings=["paper"])]
    assert len(set(keys)) == len(keys) and key() == keys[0]
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_once.py").write_text("def one(setting): ...\n")
    (tmp_path / "mine_twice.py").write_text("def one(setting): ...  # changed\n")
    plans = [
        plan_benchmark(profile="quick", data=str(tiny_root), methods=[f"{m}:one"]) for m in ("mine_once", "mine_twice")
    ]
    assert method("mine_once:one").source != method("mine_twice:one").source
    assert plans[0].key_of(plans[0].cells[0]) != plans[1].key_of(plans[1].cells[0])
