"""The table of the embedded teacher's card: nearest support patch in its features, beside random weights.

    python benchmarks/teacher_probe.py                          # the synthetic samples
    python benchmarks/teacher_probe.py ROOT --weights embedded random imagenet checkpoint.pth

Image AUROC, each image by itself; the interval covers support draws and test images, differences are paired.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import d24fad_lite as d2
from d24fad_lite.evaluation.baselines.teacher_probe import probe_teachers
from d24fad_lite.lessons.profiles import resolve_data, resolve_profile
from d24fad_lite.model.teacher import Teacher


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=Path, help="folder of tasks; default the samples")
    parser.add_argument("--weights", nargs="+", default=["embedded", "random"], help="sources, as in D24FADConfig")
    parser.add_argument("--teacher", default="resnet18", help="timm name")
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    bench = d2.open_benchmark(options.root or resolve_data(resolve_profile("quick")))
    teachers = {weights: Teacher(options.teacher, weights) for weights in options.weights}
    probe = probe_teachers(teachers, bench, draws=options.draws, progress=True)
    shown = next(iter(probe.reports.values()))
    print(
        f"nearest support patch, image AUROC by max / mean of the patch distances; K = {shown.shots}, "
        f"{shown.draws} draws, per image"
    )
    table = probe.table()
    print(f"| weights | {' | '.join(table.columns)} |\n|{'---|' * (len(table.columns) + 1)}")
    for name, row in table.iterrows():
        print(f"| {name} | {' | '.join(row)} |")
    first, *others = options.weights
    for other in others:
        for score in probe.scores:
            value, low, high = probe.difference(first, other, score)
            print(f"{first} less {other}, {score}, mean of tasks: {value:+.3f} [{low:+.3f}, {high:+.3f}]")


if __name__ == "__main__":
    main()
