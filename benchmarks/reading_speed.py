"""Seconds to read ordinary 8-bit files, against another checkout of the package: both in one run, in turn.

python benchmarks/reading_speed.py --against ../other-checkout
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from timing import interleave

HERE = Path(__file__).resolve().parents[1]
SIDES = (64, 256, 1024)


def readers(root: Path) -> dict[str, Callable[[Path], object]]:
    """The readers of images and masks of one checkout, with modules of their own."""
    for name in [name for name in sys.modules if name.split(".")[0] == "d24fad_lite"]:
        del sys.modules[name]
    sys.path.insert(0, str(root))
    images = importlib.import_module("d24fad_lite.data.images")
    if not Path(images.__file__).is_relative_to(root):
        raise SystemExit(f"'{root}' holds no d24fad_lite; give the root of a checkout")
    sys.path.remove(str(root))
    return {"image": lambda path: images.decode_image(path, 128), "mask": images.read_mask}


def write_files(folder: Path) -> list[Path]:
    """PNG and JPEG in grey and colour, of smooth shapes with some noise."""
    rng = np.random.default_rng(0)
    paths = []
    for side in SIDES:
        y, x = np.mgrid[0:side, 0:side] / side
        shape = 127 + 90 * np.sin(6 * x) * np.cos(5 * y)
        grey = (shape + rng.normal(0, 4, shape.shape)).clip(0, 255).astype(np.uint8)
        colour = np.stack([grey, grey[::-1], grey.T], axis=2)
        for name, pixels in (("grey", grey), ("colour", colour)):
            for suffix in ("png", "jpg"):
                paths.append(folder / f"{name}_{side}.{suffix}")
                Image.fromarray(pixels).save(paths[-1])
    return paths


def repeat(read: Callable[[Path], object], path: Path, times: int) -> None:
    """Read one file several times."""
    for _ in range(times):
        read(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, required=True, help="root of the checkout to compare with")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    other, own = readers(options.against.resolve()), readers(HERE)
    every = {"here": 0.0, "there": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'file':16} {'reader':6} {'here, ms':>9} {'there, ms':>9} {'there / here':>12}  (processor time)")
        for path in write_files(Path(folder)):
            repeats = max(1, 400 // int(path.stem.split("_")[1]) * 8)
            for what in own:
                times = interleave(
                    {
                        "here": partial(repeat, own[what], path, repeats),
                        "there": partial(repeat, other[what], path, repeats),
                    },
                    options.rounds,
                )
                used = {name: 1000 * times.cpu_seconds(name) / repeats for name in every}
                every = {name: every[name] + used[name] / used["here"] for name in every}
                ratio = times.ratio("there", "here")["cpu_ratio"]
                print(f"{path.name:16} {what:6} {used['here']:9.3f} {used['there']:9.3f} {ratio:12.2f}")
    print(f"mean ratio over all rows: {every['there'] / every['here']:.2f} (above 1: faster here)")


if __name__ == "__main__":
    main()
