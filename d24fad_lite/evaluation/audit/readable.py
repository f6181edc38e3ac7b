"""Can the label be read without looking at a pixel: from the file's name, size, format or metadata?"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy.stats import mannwhitneyu

from ...data.image_set import ImageSet
from ..metrics import image_auroc
from .findings import CLEAN, LEAK, NOT_TRIED, WARNING, Finding

READABLE = 0.9  # a rule that tells the classes apart this well, up to its direction
CHANCE = 1e-3  # and that chance would give less often than this


def readable_findings(test: ImageSet) -> list[Finding]:
    """File name, picture size, format, metadata and file time of the test images, each as a rule for the label."""
    labels = np.asarray(test.labels)
    facts = [_header(path) for path in test.paths]
    sizes = {f"image {name}": [f[name] for f in facts] for name in ("width", "height", "area", "aspect")}
    formats = {f"{kind} {value}": [float(f[kind] == value) for f in facts]
               for kind in ("format", "mode") for value in sorted({str(f[kind]) for f in facts})}
    metadata = {"number of metadata entries": [f["entries"] for f in facts],
                "file bytes per pixel": [f["bytes"] / max(f["area"], 1) for f in facts]}
    times = {"file time": [os.stat(path).st_mtime for path in test.paths]}
    checks: list[tuple[str, str, dict[str, list[float]], str]] = [
        ("label in file names", "words, numbers and lengths of the names", _name_rules(test.paths), LEAK),
        ("label in image size", "stored width, height, area, aspect", sizes, LEAK),
        ("label in format", "file format and colour mode", formats, LEAK),
        ("label in metadata", "metadata entries, bytes per pixel", metadata, WARNING),
        ("label in file times", "time of the last change", times, WARNING),
    ]
    return [_judge(check, tried, rules, labels, severity) for check, tried, rules, severity in checks]


def _judge(check: str, tried: str, rules: dict[str, list[float]], labels: np.ndarray, severity: str) -> Finding:
    if len(np.unique(labels)) < 2 or not rules:
        return Finding(check, tried, NOT_TRIED, "needs test images of both classes")
    aurocs = {name: image_auroc(labels, np.asarray(rule, float)) for name, rule in rules.items()}
    best_name = max(aurocs, key=lambda name: abs(aurocs[name] - 0.5))
    best, rule = aurocs[best_name], np.asarray(rules[best_name], float)
    chance = mannwhitneyu(rule[labels == 1], rule[labels == 0]).pvalue if np.ptp(rule) else 1.0
    if max(best, 1 - best) < READABLE or chance >= CHANCE:
        return Finding(check, tried, CLEAN, auroc_alone=0.5, auroc_tried=best)
    detail = f"{best_name} tells normal from anomalous without a pixel; " + (
        "store all images alike, or rename them" if severity == LEAK
        else "harmless unless a scorer reads it (files in the order of their classes often do)")
    return Finding(check, tried, severity, detail, auroc_alone=0.5, auroc_tried=best)


def _name_rules(paths: list[Path]) -> dict[str, list[float]]:
    """Rules over the stem alone: the folder is where the layout keeps the label."""
    words = [set(re.findall(r"[a-z]+", path.stem.lower())) for path in paths]
    common = sorted({w for some in words for w in some if 0.05 * len(paths) <= sum(w in s for s in words)})
    rules = {f"word {word!r}": [float(word in some) for some in words] for word in common}
    numbers = [[int(n) for n in re.findall(r"\d{1,15}", path.stem)] for path in paths]
    if all(numbers):
        rules["last number"] = [float(n[-1]) for n in numbers]
    rules["length of the name"] = [float(len(path.stem)) for path in paths]
    return rules


def _header(path: Path) -> dict[str, float | str]:
    """Width, height, format, mode, count of metadata entries and bytes; zeros where Pillow cannot open the file."""
    size = path.stat().st_size
    try:
        with Image.open(path) as image:
            width, height = image.size
            return {"width": width, "height": height, "area": width * height, "aspect": width / height,
                    "format": image.format or "", "mode": image.mode, "entries": len(image.info) + len(image.getexif()),
                    "bytes": size}
    except (UnidentifiedImageError, OSError):
        return {"width": 0, "height": 0, "area": 0, "aspect": 0, "format": path.suffix.lower(), "mode": "",
                "entries": 0, "bytes": size}
