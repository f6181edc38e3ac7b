"""Every named reading of one trained detector, its untrained twin, nearest patch and shortcuts, task by task.

    python benchmarks/at_work.py                                  # the shipped samples, as the profile quick trains
    python benchmarks/at_work.py --levels plain:101 plain:102     # fresh worlds, drawn under --out
    python benchmarks/at_work.py --root DATA --tasks A B C --teacher resnet18 --weights embedded
    python benchmarks/at_work.py --page benchmarks/AT_WORK.md     # add the table to a page

Each task is held out in turn, and its detector is trained on the others (kept by content, like those of the lessons).
Per image, the same draws of supports for all methods; 95 % intervals resample draws and test images; one
training seed, whose spread they leave out. Nothing about a test set chooses anything.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from change_intervals import interval, resampled
from tqdm.auto import tqdm

import d24fad_lite as d2
from d24fad_lite.data.samples.world import write_samples
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch
from d24fad_lite.evaluation.baselines.shortcuts import shortcut_reports
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.lessons.lesson import Lesson, start_lesson


def reports_of(lesson: Lesson, bench: d2.Benchmark, task: d2.Task, o: argparse.Namespace) -> dict[str, Any]:
    """Method -> report, under the same draws."""
    model, _ = lesson.detector(bench, task, epochs=o.epochs or lesson.profile.epochs)
    untrained, seen = lesson.untrained(), lesson.shared_teacher(model)
    scorers: dict[str, Any] = {f"{reading}, trained": model.read_as(reading) for reading in ("released", "paper")}
    scorers |= {
        "released, untrained twin": untrained.read_as("released"),
        "matched (reads nothing trained)": model.read_as("matched"),
        "nearest patch, max": NearestPatch(seen, None, "max"),
        "nearest patch, mean": NearestPatch(seen, None, "mean"),
    }
    rows = {name: d2.evaluate(scorer, task, o.shots, o.draws, 0) for name, scorer in scorers.items()}
    shortcuts = shortcut_reports(task, rows["nearest patch, max"], model.config.image_size)
    unsigned = [report for report in shortcuts if report.facts["direction"] == "distance"]  # signed ones read labels
    rows["best unsigned shortcut (chosen on the labels)"] = max(unsigned, key=lambda report: report.auroc)
    return rows


def tables(bench: d2.Benchmark, results: dict[str, dict[str, EvaluationReport]]) -> pd.DataFrame:
    """One row per method: image AUROC and pixel AUROC of each task, and the mean with its interval."""
    rows = []
    for method in next(iter(results.values())):
        values, pixels, row = [], [], {"method": method}
        for index, (name, reports) in enumerate(results.items()):
            report = reports[method]
            values.append(resampled(bench[name], report.scores[None], index))
            pixel = np.nan if report.pixel_aurocs is None else float(np.mean(report.pixel_aurocs))
            pixels.append(pixel)
            row[name] = f"{values[-1][0]:.2f}" + ("" if np.isnan(pixel) else f" / {pixel:.2f}")
        mean = interval("m", np.mean(values, axis=0))
        row["mean image AUROC"] = f"{mean['m']:.3f} [{mean['m, low']:.3f}, {mean['m, high']:.3f}]"
        row["mean pixel AUROC"] = "" if np.isnan(pixels).all() else f"{np.mean(pixels):.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def markdown(title: str, frame: pd.DataFrame) -> str:
    heads = list(frame.columns)
    lines = [f"### {title}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in frame.values]) + "\n"


def measure(lesson: Lesson, root: Path, o: argparse.Namespace, what: str) -> str:
    bench = d2.open_benchmark(root)
    names = o.tasks or list(bench)
    results = {name: reports_of(lesson, bench, bench[name], o) for name in tqdm(names, desc=what)}
    sizes = {name: (int((bench[name].test.labels == 0).sum()), int(bench[name].test.labels.sum())) for name in names}
    same = len(set(sizes.values())) == 1
    count = (
        "{}+{} test images a task".format(*next(iter(sizes.values())))
        if same
        else ", ".join(f"{name} {a}+{b}" for name, (a, b) in sizes.items())
    )
    p = lesson.profile
    title = (
        f"{what}: {count}, K = {o.shots}, {o.draws} draws, per image; {p.teacher} ({p.weights}), "
        f"{o.epochs or p.epochs} epochs"
    )
    return markdown(title, tables(bench, results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a folder of tasks; default the shipped samples")
    parser.add_argument("--levels", nargs="+", default=[], metavar="LEVEL:SEED", help="sample worlds drawn anew")
    parser.add_argument("--tasks", nargs="+", help="held-out tasks; default all")
    parser.add_argument("--teacher", default="")
    parser.add_argument("--weights", default="")
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=0, help="0: the profile's")
    parser.add_argument("--page", type=Path, help="a Markdown file that the tables are added to")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = {name: value for name, value in (("teacher", o.teacher), ("weights", o.weights)) if value}
        given |= {"root": str(o.root)} if o.root else {}
        lesson = start_lesson("at_work", {"profile": "quick", "out": folder, **given})
        for item in o.levels:
            level, _, seed = item.partition(":")
            world = write_samples(Path(folder) / item.replace(":", "-"), seed=int(seed), severity=level)
            tell(measure(lesson, world, o, f"Sample world (synthetic), {level}, seed {seed}"), o.page)
        if not o.levels:
            what = o.root.name if o.root else "Shipped samples (synthetic), plain, seed 0"
            tell(measure(lesson, o.root or lesson.data, o, what), o.page)


def tell(text: str, page: Path | None) -> None:
    """Print a table and, where a page is named, add it there at once: what is measured is kept."""
    print(text, flush=True)
    if page:
        with page.open("a", encoding="utf-8") as stream:
            stream.write("\n" + text)


if __name__ == "__main__":
    main()
