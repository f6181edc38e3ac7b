"""How long a click in the support picker takes in the kernel, for 100, 1,000 and 5,000 candidates.

    python benchmarks/picker_latency.py [--json FILE]

Candidates are small PNG files in a temporary folder. Measured without a browser: from the click arriving in the kernel
to the last message that would be sent. Rendering is the browser's part.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.interactive.picker import SupportPicker
from d24fad_lite.supports.selection import SupportSelection
from d24fad_lite.supports.strategies import STRATEGIES

COUNTS = (100, 1000, 5000)


def main() -> None:
    """Measure and print one line per number of candidates."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = write_images(Path(folder), max(COUNTS))
        for count in COUNTS:
            rows.append(measure(ImageSet("Many/train", Path(folder), paths[:count])))
            print(" · ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def write_images(folder: Path, count: int, size: int = 128) -> list[Path]:
    """Noise over waves, `count` PNG files; compresses about as badly as an X-ray."""
    rng = np.random.default_rng(0)
    waves = np.sin(np.linspace(0, 9, size))[:, None] * 60 + 120
    paths = []
    for index in range(count):
        path = folder / f"{index:05d}.png"
        square = np.clip(waves + rng.normal(0, 12, (size, size)), 0, 255).astype(np.uint8)
        Image.fromarray(square).save(path, compress_level=1)
        paths.append(path)
    return paths


def measure(images: ImageSet) -> dict[str, object]:
    """Times in milliseconds (median of repetitions, or of one cold run where named so)."""
    features = np.random.default_rng(1).normal(size=(len(images), 448)).astype(np.float32)
    selection = SupportSelection(images, 4, features=features)
    began = time.perf_counter()
    picker = SupportPicker(selection)
    opened = 1000 * (time.perf_counter() - began)
    clicks = [picker.cards[k % 6].click for k in range(60)]
    pages = [lambda k=k: selection.set_page(k % selection.pages) for k in range(1, 21)]
    cold = timed(pages[:4])
    figures = {
        "candidates": len(images),
        "open (ms)": round(opened),
        "click (ms)": middle(clicks),
        "worst click (ms)": round(max(timed(clicks)), 1),
        "page, first time (ms)": round(max(cold), 1),
        "page, again (ms)": middle(pages[:4]),
        "filter (ms)": middle([lambda t=t: selection.set_filter(t) for t in ("1", "12", "", "007", "")]),
    }
    selection.set_filter("")
    for name in STRATEGIES:
        figures[f"suggest {name} (ms)"] = round(timed([lambda n=name: selection.suggest(n)])[0])
    picker.close()
    return figures


def timed(actions: list[Callable[[], object]]) -> list[float]:
    """Milliseconds of each action."""
    times = []
    for action in actions:
        began = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - began))
    return times


def middle(actions: list[Callable[[], object]]) -> float:
    """Median milliseconds."""
    return round(statistics.median(timed(actions)), 1)


if __name__ == "__main__":
    main()
