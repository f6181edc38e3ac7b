"""Can the label be read without looking at a pixel: from the file's name, size, format or metadata?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy.stats import mannwhitneyu

from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.evaluation.audit.findings import CLEAN, LEAK, NOT_TRIED, WARNING, Finding
from d24fad_lite.evaluation.metrics import image_auroc

Rules = dict[str, list[float]]  # by name: one number for each test image, from which the label might be read
READABLE = 0.9  # AUROC, in either direction, from which a rule separates the classes ...
CHANCE = 1e-3  # ... unless so high an AUROC comes by chance more often than this


def readable_findings(test: ImageSet) -> list[Finding]:
    """File name, picture size, format, metadata and file time of the test images, each as a rule for the label."""
    labels = np.asarray(test.labels)
    headers = [_header(path) for path in test.paths]
    sizes: Rules = {
        "image width": [header.width for header in headers],
        "image height": [header.height for header in headers],
        "image area": [header.area for header in headers],
        "image aspect": [header.aspect for header in headers],
    }
    formats: Rules = _one_per_value("format", [header.format for header in headers])
    formats |= _one_per_value("mode", [header.mode for header in headers])
    metadata: Rules = {
        "number of metadata entries": [header.entries for header in headers],
        "file bytes per pixel": [header.bytes / max(header.area, 1) for header in headers],
    }
    times: Rules = {"file time": [path.stat().st_mtime for path in test.paths]}
    return [
        _judge("label in file names", "words, numbers and lengths of the names", _name_rules(test.paths), labels, LEAK),
        _judge("label in image size", "stored width, height, area, aspect", sizes, labels, LEAK),
        _judge("label in format", "file format and colour mode", formats, labels, LEAK),
        _judge("label in metadata", "metadata entries, bytes per pixel", metadata, labels, WARNING),
        _judge("label in file times", "time of the last change", times, labels, WARNING),
    ]


def _judge(check: str, tried: str, rules: Rules, labels: np.ndarray, severity: str) -> Finding:
    """A finding of this severity where the best rule separates the classes, and chance would hardly do so."""
    if len(np.unique(labels)) < 2 or not rules:
        return Finding(check, tried, NOT_TRIED, "needs test images of both classes")
    aurocs = {name: image_auroc(labels, np.asarray(rule, float)) for name, rule in rules.items()}
    best_name = max(aurocs, key=lambda name: abs(aurocs[name] - 0.5))
    best, rule = aurocs[best_name], np.asarray(rules[best_name], float)
    chance = mannwhitneyu(rule[labels == 1], rule[labels == 0]).pvalue if np.ptp(rule) else 1.0
    if max(best, 1 - best) < READABLE or chance >= CHANCE:
        return Finding(check, tried, CLEAN, auroc_reference=0.5, auroc_tried=best)
    detail = f"{best_name} tells normal from anomalous without a pixel; " + (
        "store all images alike, or rename them"
        if severity == LEAK
        else "harmless unless a scorer reads it (files in the order of their classes often do)"
    )
    return Finding(check, tried, severity, detail, auroc_reference=0.5, auroc_tried=best)


def _one_per_value(kind: str, values: list[str]) -> Rules:
    """For each value that occurs the rule "is it this one?"."""
    return {f"{kind} {value}": [float(other == value) for other in values] for value in sorted(set(values))}


def _name_rules(paths: list[Path]) -> Rules:
    """Rules over the stem alone: the folder is where the layout keeps the label."""
    words = [set(re.findall(r"[a-z]+", path.stem.lower())) for path in paths]
    common = sorted({w for some in words for w in some if 0.05 * len(paths) <= sum(w in s for s in words)})
    rules: Rules = {f"word {word!r}": [float(word in some) for some in words] for word in common}
    numbers = [[int(n) for n in re.findall(r"\d{1,15}", path.stem)] for path in paths]
    if all(numbers):
        rules["last number"] = [float(n[-1]) for n in numbers]
    rules["length of the name"] = [float(len(path.stem)) for path in paths]
    return rules


@dataclass(frozen=True)
class Header:
    """What a file says before a pixel is looked at; zeros where Pillow cannot open it."""

    format: str
    bytes: int
    width: int = 0
    height: int = 0
    mode: str = ""
    entries: int = 0  # of metadata

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def aspect(self) -> float:
        return self.width / self.height if self.height else 0


def _header(path: Path) -> Header:
    size = path.stat().st_size
    try:
        with Image.open(path) as image:
            entries = len(image.info) + len(image.getexif())
            return Header(image.format or "", size, *image.size, image.mode, entries)
    except (UnidentifiedImageError, OSError):
        return Header(path.suffix.lower(), size)
