"""What a lesson repeats from a table under benchmarks/ is what the table says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ROOT / "notebooks" / "build" / "texts"
DUAL, EVALUATE = TEXTS / "04_dual_distillation.py", TEXTS / "09_evaluate_task.py"
SEEDS_OF = {15: 3, 5: 1}  # trainings of five tasks -> training seeds

pytestmark = pytest.mark.skipif(not DUAL.is_file(), reason="no lessons here")


def regimes_of_lesson() -> list[tuple]:
    """The rows of the table of lesson 04, as its code has them."""
    tree = ast.parse(DUAL.read_text(encoding="utf-8"))
    (call,) = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "regimes"
    )
    assert isinstance(call, ast.Call)
    return ast.literal_eval(call.args[0])


def judged_regimes() -> str:
    """The table of REGIMES.md that lesson 04 repeats: the embedded teacher on the world that chose nothing."""
    page = (ROOT / "benchmarks" / "REGIMES.md").read_text(encoding="utf-8")
    return page.split("on a world that chose nothing:")[1].split("\n## ")[0]


def test_lesson_04_repeats_the_rows_of_the_regimes() -> None:
    lines, rows = judged_regimes().splitlines(), regimes_of_lesson()
    assert len(rows) == sum(" -> " in line for line in lines)
    for _, _, trainings, tsd, ssd, trained, untrained, gain, low, high in rows:
        told = [
            f"| {SEEDS_OF[trainings]} | {tsd} | {ssd} |".replace("→", "->"),
            f"| {trained:.3f} [",
            f"| {untrained:.3f} / ",
        ]
        told.append(f"| {gain:+.3f} [{low:+.3f}, {high:+.3f}] |")
        assert any(all(part in line for part in told) for line in lines), told


def test_lesson_04_repeats_the_numbers_beside_the_table() -> None:
    table, text = judged_regimes(), re.sub(r"\s+#?\s*", " ", DUAL.read_text(encoding="utf-8"))
    assert "0.973 [0.947, 0.991]" in table and "0.973 [0.947, 0.991]" in text
    assert "0.795 [0.746, 0.840] / 0.84 | 0.719 / 0.66" in table
    assert "0.795 [0.746, 0.840] against 0.719, and a pixel AUROC of 0.84 against 0.66" in text


def test_lesson_09_repeats_the_result_on_real_images() -> None:
    page = (ROOT / "benchmarks" / "AT_WORK.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"real images `matched` reached\s+(?:# )?([\d.]+)", EVALUATE.read_text(encoding="utf-8"))
    real = page.split("### Real images (the same three sets)")[1]
    (measured,) = re.findall(r"^\| matched .*\| ([\d.]+) \[", real, flags=re.MULTILINE)
    assert f"{float(measured):.2f}" == told
