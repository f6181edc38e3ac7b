"""Reads every file of a task and lists what is wrong with it, for `Task.check()` and the intake report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from d24fad_lite.data.image_facts import ORIENTATIONS, USED_RANGE, ImageFacts, image_facts
from d24fad_lite.data.image_set import ImageSet, require_same_size
from d24fad_lite.data.images import ImageError, decode_image, read_mask

TINY = 8  # pixels; a smaller image shows a backbone nothing
EXTREME_ASPECT = 3.0  # squeezed to a square, such an image is distorted beyond what a model was trained on
INSPECTED_SIZE = 64  # side in pixels at which images of 8 bits are inspected
NEARLY_ALL = 0.9  # a mask that marks this share of the image, or more, marks nearly everything
MOST_OF_BORDER = 0.9  # a mask that marks this share of the image's border, or more, seems to be inverted
TWO_TONED = 0.9  # an image whose pixels are black or white to this share, or more, seems to be a mask


@dataclass(frozen=True)
class Problem:
    """One finding.

    Attributes
    ----------
    severity : str
        "error" (results would be wrong, or work would stop) or "warning".
    message : str
        A sentence that names the file and says what to do.
    unreadable : Path or None
        The image, where its pixels cannot be decoded to the end; None for every other problem. Default None.
    """

    severity: Literal["error", "warning"]
    message: str
    unreadable: Path | None = field(default=None, compare=False)


class InspectedTask(Protocol):
    """The part of `benchmark.Task` that the inspection uses; importing the class itself would be a circle."""

    name: str
    root: Path
    train: ImageSet
    test: ImageSet
    valid: ImageSet | None
    normal_masks: list[tuple[Path, Path]]


def inspect_task(task: InspectedTask, *, pixels: bool = True) -> list[Problem]:
    """Problems of one task, errors first.

    Errors are a file that cannot be decoded, a mask of another size than its image, and the same content in train and
    test. Warnings concern

    * the same content twice elsewhere;
    * images below 8 px, of an aspect ratio beyond 3, of one value everywhere, of black and white alone (a mask?), with
      an orientation tag, or of more than 8 bits that use under 10 % of their range;
    * masks that mark nothing, most of the image, the surroundings in place of the lesion, or something on a normal
      image.

    With `pixels` False only the contents of files are compared, and none is decoded.
    """
    sets = [images for images in (task.train, task.valid, task.test) if images is not None]
    title = f"task '{task.name}'"
    problems = _inspect_pixels(title, task.root, sets, task.normal_masks) if pixels else []
    return _errors_first([*problems, *_same_contents(title, sets, leaks=(task.train, task.test))])


def inspect_images(images: ImageSet) -> list[Problem]:
    """Problems of a set of images without tasks and labels, such as `open_folder` gives; errors first."""
    title = f"folder '{images.name}'"
    return _errors_first([*_inspect_pixels(title, images.root, [images], []), *_same_contents(title, [images])])


def _inspect_pixels(
    title: str, root: Path, sets: list[ImageSet], normal_masks: list[tuple[Path, Path]]
) -> list[Problem]:
    """Problems of the pixels of images and masks; what several files have in common comes last."""
    inspection = _ImageInspection(title, root)
    problems: list[Problem] = []
    for images in sets:
        for path, mask, label in zip(images.paths, images.mask_paths, images.labels, strict=True):
            problems += inspection.image(path)
            if mask is not None:
                problems += _inspect_mask(path, mask, int(label))
                inspection.mask(mask)
    for path, mask in normal_masks:
        problems += _inspect_mask(path, mask, 0)
        inspection.mask(mask)
    return [*problems, *inspection.summary()]


def _errors_first(problems: list[Problem]) -> list[Problem]:
    """The problems sorted by severity, otherwise in their order."""
    return sorted(problems, key=lambda problem: problem.severity)  # "error" < "warning"; stable otherwise


class _ImageInspection:
    """Inspects images one by one; what several of them share is reported once, with their number."""

    def __init__(self, title: str, root: Path) -> None:
        self.title, self.root = title, root
        self.deep = 0  # images of more than 8 bits
        self.names: dict[str, list[str]] = defaultdict(list)  # key of _SUMMARIES -> names of the files it concerns

    def image(self, path: Path) -> list[Problem]:
        """Problems of one image alone."""
        try:
            facts = image_facts(path)
            low, high = facts.low, facts.high
            two_toned = False
            if low is None or high is None:
                pixels = decode_image(path, INSPECTED_SIZE)
                low, high = float(pixels.min()), float(pixels.max())
                two_toned = low < high and _is_two_toned(pixels)
        except ImageError as error:
            return [Problem("error", str(error), unreadable=path)]
        self._note(path, facts, low == high, two_toned)
        return list(_shape_problems(path, facts.width, facts.height))

    def mask(self, path: Path) -> None:
        """Note the orientation tag of a mask; `_inspect_mask` reports damaged ones."""
        try:
            orientation = image_facts(path, pixels=False).orientation
        except ImageError:
            return
        if orientation in ORIENTATIONS:
            self.names["turned masks"].append(f"{self._name(path)} (tag {orientation})")

    def _name(self, path: Path) -> str:
        """A path as messages show it: below the folder of the task, in posix form."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()

    def _note(self, path: Path, facts: ImageFacts, flat: bool, two_toned: bool) -> None:
        """Remember an image for the sentences of `summary`."""
        name = self._name(path)
        if flat:
            self.names["flat"].append(name)
        elif facts.low is not None and facts.high is not None:
            self.deep += 1
            if facts.high - facts.low < USED_RANGE:
                self.names["faint"].append(f"{name} ({facts.low:.1%} to {facts.high:.1%})")
        if two_toned:
            self.names["masks"].append(name)
        if facts.orientation in ORIENTATIONS:
            self.names["turned"].append(f"{name} (tag {facts.orientation})")

    def summary(self) -> Iterator[Problem]:
        """One warning for each oddity, with the number of files that have it."""
        for key, (subject, rest) in _SUMMARIES.items():
            if names := self.names[key]:
                subject = subject.format(count=len(names), deep=self.deep)
                yield Problem("warning", f"{self.title}: {subject}, first: {names[0]}{rest}")


# Oddity of images or masks -> the sentence about all that have it: its parts before and after the first file's name.
_SUMMARIES = {
    "flat": (
        "{count} image(s) have the same value in every pixel",
        "; remove them, or write them again from their source",
    ),
    "masks": (
        "{count} image(s) are black and white with hardly a grey between",
        "; they seem to be masks: move them to a folder mask",
    ),
    "faint": (
        f"{{count}} of {{deep}} deep images use under {USED_RANGE:.0%} of their range",
        ", so a model sees next to nothing; multiply all images of a device by one factor, or give DICOM files "
        "a window",
    ),
    "turned": (
        "{count} image(s) have an orientation tag",
        "; pixels are used as they are stored, viewers show them turned: save them upright, without the tag, and see "
        "that masks still fit",
    ),
    "turned masks": (
        "{count} mask(s) have an orientation tag",
        "; pixels are used as they are stored, like those of images: see that they fit, and save them without the tag",
    ),
}


def _is_two_toned(pixels: np.ndarray) -> bool:
    """Whether 8-bit pixels are only black and white, apart from edges that resizing made grey."""
    black, white = (pixels <= 2).mean(), (pixels >= 253).mean()
    return bool(black and white and black + white >= TWO_TONED)


def _shape_problems(path: Path, width: int, height: int) -> Iterator[Problem]:
    """Warnings about images that are tiny, or far from square."""
    if min(width, height) < TINY:
        yield Problem("warning", f"image '{path}' is only {width}x{height} pixels; replace or remove it")
    if max(width, height) > EXTREME_ASPECT * min(width, height):
        yield Problem("warning", f"image '{path}' is {width}x{height} pixels and will be squeezed to a square; crop it")


def _inspect_mask(path: Path, mask: Path, label: int) -> list[Problem]:
    """Problems of the mask of one image."""
    try:
        marked = read_mask(mask)
        require_same_size(path, mask)
    except ImageError as error:
        return [Problem("error", str(error))]
    remark = _mask_remark(marked, label)
    return [Problem("warning", f"mask '{mask}' marks {remark}")] if remark else []


def _mask_remark(marked: np.ndarray, label: int) -> str:
    """How the sentence "the mask marks ..." ends for an odd mask, bool [H, W]; "" for any other."""
    share = float(marked.mean())
    if label == 0:
        text = "yet its image counts as normal and the mask is not used; check the label"
        return f"{share:.1%} of the image, {text}" if share else ""
    if not share:
        return "nothing, yet its image counts as anomalous; check the label"
    if share >= NEARLY_ALL:
        return (
            f"{share:.1%} of the image, (nearly) everything; non-zero means anomalous: invert it, or write 0 for "
            "normal pixels"
        )
    border = np.concatenate([marked[0], marked[-1], marked[:, 0], marked[:, -1]]).mean()
    if border >= MOST_OF_BORDER:
        return f"{share:.1%} of the image and its border, it seems to be inverted; non-zero means anomalous"
    if share > 0.5 and border > 0.5:
        return (
            f"{share:.1%} of the image and of its border more than half; see whether it is inverted or holds noise: "
            "non-zero means anomalous"
        )
    return ""


def _same_contents(title: str, sets: list[ImageSet], leaks: tuple[ImageSet, ImageSet] | None = None) -> list[Problem]:
    """Images with equal content: an error between the two sets of `leaks` (train and test), else a warning."""
    seen: dict[str, tuple[ImageSet, str]] = {}
    problems = []
    for images in sets:
        for index, name in enumerate(images.names):
            if not images.paths[index].is_file():
                continue  # deleted since the folder was opened; reading its pixels reports that
            digest = images.hashes(index)[0]
            first, first_name = seen.setdefault(digest, (images, name))
            if first_name == name:
                continue
            leak = leaks is not None and first is leaks[0] and images is leaks[1]
            text = f"{title}: '{name}' is the same image as '{first_name}' (equal content); remove one"
            problems.append(Problem("error" if leak else "warning", text))
    return problems
