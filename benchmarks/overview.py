"""The figure of the README: each sample task held out in turn, its first anomalous test image and what the kit says.

    python benchmarks/overview.py            # trains five small detectors where no lesson has yet

Nothing is chosen by its looks: the first anomalous image of each task, the first draw of supports, the profile `quick`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm.auto import tqdm

import d24fad_lite as d2
from d24fad_lite.figures.overlay import overlay
from d24fad_lite.figures.style import use_style
from d24fad_lite.lessons.lesson import start_lesson

ROOT = Path(__file__).resolve().parents[1]
SHOTS = 4


def draw_column(axes: np.ndarray, task: d2.Task, model: d2.D24FAD) -> None:
    """Image with outlined lesion, two anomaly maps over it, and the supports below."""
    size = model.config.image_size
    position = int(np.flatnonzero(task.test.labels == 1)[0])
    image, mask = task.test.images(size, [position]), task.test.masks(size, [position])
    supports = task.train.images(size, d2.draw_supports(len(task.train), SHOTS, 1, 0)[0])  # (K, 3, S, S)
    axes[0].imshow(overlay(image[0], None, (0, 1), mask[0], size=2 * size))
    for ax, detector in zip(axes[1:3], (model, model.read_as("matched")), strict=True):
        heat = detector.predict(image, detector.encode_supports(supports)).anomaly_map[0]
        ax.imshow(overlay(image[0], heat, (float(heat.min()), float(heat.max())), size=2 * size))
    rows = [np.concatenate([s.permute(1, 2, 0).numpy() for s in supports[i : i + 2]], axis=1) for i in (0, 2)]
    axes[3].imshow(np.concatenate(rows, axis=0))
    axes[0].set_title(task.name, loc="center")
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "notebooks" / "overview.png")
    options = parser.parse_args()
    use_style()
    lesson = start_lesson("overview", {"profile": "quick", "out": str(options.out.parent)})
    bench = d2.open_benchmark(lesson.data)
    fig, axes = plt.subplots(4, len(bench), figsize=(1.9 * len(bench), 8), layout="constrained")
    for column, task in zip(axes.T, tqdm(bench.values(), desc="held-out tasks"), strict=True):
        draw_column(column, task, lesson.detector(bench, task)[0])
    texts = (
        "test image,\nlesion outlined",
        "anomaly map,\nthe method",
        "anomaly map,\nreading matched",
        f"its {SHOTS} supports",
    )
    for ax, text in zip(axes[:, 0], texts, strict=True):
        ax.set_ylabel(text)
    fig.savefig(options.out, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main()
