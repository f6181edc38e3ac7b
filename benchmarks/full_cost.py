"""Hours and storage of the full benchmark on other machines, from costs measured here and on a GPU.

    python benchmarks/full_cost.py runs/gpu/gpu.json             # prints Markdown; the sizes are options
    python benchmarks/full_cost.py runs/gpu/gpu.json --images 13084 --training-share 0.65 --seeds 5

The JSON is that of `benchmarks/gpu.py`. A step of training is taken as measured (independent episodes, batch 16, cached
features on the processor, the kit's own switches); on the processor as many operations at the rate of its forward pass.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEACHER, BATCH, SHOTS, TASKS, EPOCHS, DRAWS = "wide_resnet50_2", 16, (2, 4, 8), 5, 70, 10
TRAINED, UNTRAINED = (
    3,
    5,
)  # methods of a cell: d24fad, TSD only, SSD only; matched, twin, nearest patch, mean, shortcuts
STUDENT_MB, FEATURE_MB = 100, 1.9  # student and learn-to-weight as they are stored; features of an image, fp32


@dataclass(frozen=True)
class Cost:
    """Seconds of one training at each K, and of one evaluation of all draws at one K."""

    training: dict[int, float]
    evaluation: float

    def hours(self, seeds: int) -> float:
        """Of every cell, one after another."""
        trainings = TASKS * seeds * TRAINED * sum(self.training.values())
        evaluations = TASKS * len(SHOTS) * (seeds * TRAINED + UNTRAINED) * self.evaluation
        return (trainings + evaluations) / 3600


def main() -> None:
    """Print the page's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path)
    parser.add_argument("--images", type=int, default=13_084, help="of all tasks together")
    parser.add_argument("--training-share", type=float, default=0.65, help="of them, normal training images")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    found = json.loads(options.json.read_text())["sections"]
    trained_on = options.images * options.training_share * (TASKS - 1) / TASKS
    tested = options.images * (1 - options.training_share) / TASKS
    print(
        f"{options.images:,} images in {TASKS} tasks, {options.training_share:.0%} of them normal training images: "
        f"a training sees {trained_on:,.0f} images, an evaluation {tested:,.0f}.\n"
    )
    costs = {"GPU": _gpu(found, trained_on, tested), "CPU": _cpu(found, trained_on, tested)}
    cells = TASKS * len(SHOTS) * options.seeds * TRAINED
    print("| where | one training, K = 2 / 4 / 8 | hours |\n| --- | --- | ---: |")
    machines = (("1 CPU machine of 16 cores", "CPU", 1), ("1 GPU", "GPU", 1), ("8 GPUs", "GPU", 8))
    for name, kind, number in (*machines, ("an array of 100 jobs, a GPU each", "GPU", 100)):
        cost = costs[kind]
        hours = cost.hours(options.seeds) / min(number, cells)
        longest = max(cost.training.values()) / 3600
        each = " / ".join(f"{seconds / 60:,.0f}" for seconds in cost.training.values())
        print(f"| {name} | {each} min | {max(hours, longest):,.1f} |")
    features = trained_on * FEATURE_MB / 1024
    print(
        f"\n{cells} trainings. Storage: {cells * STUDENT_MB / 1024:.0f} GB of trained students (three times that "
        f"while they train), {features:.0f} GB of cached features for each training that runs."
    )


def _gpu(found: dict[str, Any], trained_on: float, tested: float) -> Cost:
    steps = {
        row["shots"]: row["ms"] / 1000
        for row in found["training"]["rows"]
        if (row["teacher"], row["precision"], row["episodes"], row["features"])
        == (TEACHER, "tf32", "independent", "CPU")
    }
    rate = next(
        row["images_per_s"]
        for row in found["images"]["rows"]
        if (row["teacher"], row["part"], row["precision"], row["batch"])
        == (TEACHER, "evaluation K=8", "shipped", BATCH)
    )
    reading = next(r["images_per_s"] for r in found["loading"]["rows"] if r["what"] == "sample images, first decode")
    return Cost(_trainings(steps, trained_on, reading), tested / reading + DRAWS * tested / rate)


def _cpu(found: dict[str, Any], trained_on: float, tested: float) -> Cost:
    """The step's operations at the rate of the student's forward pass on the processor."""
    rows = {row["part"]: row for row in found["processor"]["rows"] if row["teacher"] == TEACHER}
    student = found["peaks"]["gflop_per_image"][TEACHER]["student"] * rows["student"]["images_per_s"]  # GFLOP/s
    steps = {
        row["shots"]: row["gflop"] / student
        for row in found["training"]["rows"]
        if (row["teacher"], row["precision"], row["episodes"], row["features"])
        == (TEACHER, "fp32", "independent", "CPU")
    }
    rate = rows["evaluation K=8"]["images_per_s"]
    return Cost(_trainings(steps, trained_on, rows["teacher"]["images_per_s"]), DRAWS * tested / rate)


def _trainings(steps: dict[int, float], images: float, first_pass: float) -> dict[int, float]:
    """Seconds of a whole training at each K: the teacher's features once, then all steps."""
    return {k: images / first_pass + EPOCHS * -(-images // BATCH) * steps[k] for k in SHOTS}


if __name__ == "__main__":
    main()
