"""Are exported detectors equal to `predict`? Four teachers, each reading, both formats, five sizes, grey and colour.

python benchmarks/export.py            # writes benchmarks/EXPORT.md
python benchmarks/encoders.py --column export=benchmarks.export:column    # every encoder, as one more column
"""

from __future__ import annotations

import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import d24fad_lite as d2

PAGE = Path(__file__).resolve().parent / "EXPORT.md"
SUPPORTS = Path(__file__).resolve().parents[1] / "data_samples/RSNA/train/good"
TEACHERS = {  # name: weights
    "tf_efficientnet_lite0": "imagenet",
    "resnet18": "embedded",
    "wide_resnet50_2": "random",
    "vit_tiny_patch16_224": "random",
}
READINGS = (  # method, reading
    *(("", "released"), ("", "paper"), ("matched", "")),
    *(("nearest-patch", ""), ("mirrored-patch", ""), ("mean-feature", "")),
)
LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime", "pillow", "timm")


def main() -> None:
    """Measure, print, and write the page."""
    rows = []
    for teacher, weights in TEACHERS.items():
        model = d2.D24FAD(d2.D24FADConfig(teacher=teacher, weights=weights, image_size=128)).eval()
        for to in ("onnx", "torch"):
            for method, reading in READINGS:
                rows.append(_row(model, to, method, reading))
                print(rows[-1], flush=True)
    head = ["teacher (weights)", "read as", "format", "largest difference", "images tried", "s to export", "MB"]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|", *rows]
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    PAGE.write_text(
        TEXT + "\n".join(lines) + f"\n\n{versions}, Python {platform.python_version()}.\n", encoding="utf-8"
    )


TEXT = """# Exported detectors beside `predict`

Written by `python benchmarks/export.py`. Each detector was exported with four supports of the synthetic task RSNA and
run on a processor (ONNX Runtime, or the loaded program of torch.export), on images of five sizes, grey and in colour.
The difference is the largest one of scores and maps, relative to the score or to the largest value of the map, or to
0.03 where that is smaller (3e-6, the rounding of 1 - cos, would be more than 1e-4 of it); above 1e-4 an export is
refused and no file is kept. Weights called random show that it runs, not that it detects.

"""


def _row(model: d2.D24FAD, to: str, method: str, reading: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path, began = Path(folder) / "detector", time.perf_counter()
        options = {"method": method, "reading": reading, "shots": 4, "seed": 0}
        teacher = f"{model.config.teacher} ({model.config.weights})"
        try:
            written = d2.export_detector(model, SUPPORTS, path, to=to, **options)
        except d2.ExportError as refusal:
            return f"| {teacher} | {method or reading} | {to} | refused: {refusal} | | | |"
        seconds, size = time.perf_counter() - began, path.stat().st_size / 1e6
    cells = [
        teacher,
        method or reading,
        to,
        f"{written.difference:.0e}",
        written.tried,
        f"{seconds:.0f}",
        f"{size:.0f}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def column(model: d2.D24FAD, folder: Path) -> str:
    """Largest relative difference of an ONNX file from `predict` (a score below 0.03 counts as 0.03), or why none."""
    # A column of benchmarks/encoders.py, which prints the line above; the refusal is raised.
    supports = next(path for path in Path(folder).rglob("good") if path.parent.name == "train")
    written = d2.export_detector(model, supports, Path(tempfile.mkdtemp()) / "x.onnx", shots=2, overwrite=True)
    return f"{written.difference:.0e}"


if __name__ == "__main__":
    main()
