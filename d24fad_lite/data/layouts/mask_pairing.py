"""Which mask belongs to which image, by their names alone.

A mask has the name of its image, and lies below its mask folder as the image lies below its class folder. `_mask`,
`_seg` and the like may follow (MVTec: `000_mask.png`) or precede that name, and the image's suffix may stay in it
(`000.jpg.png`). Accents may be composed or decomposed. A mask that fits no image, or two, is an error: leaving it out
would falsify the pixel metrics.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from d24fad_lite.data.formats.recognise import IMAGE_SUFFIXES
from d24fad_lite.data.layouts.folder_names import holds_masks
from d24fad_lite.data.layouts.folder_walk import grouped, list_images
from d24fad_lite.data.layouts.task_files import LabelledImage, LayoutError, TaskFiles
from d24fad_lite.data.names import composed

_MASK_WORD = r"(?:masks?|msk|labels?|gt|seg|segmentation|annotation|ground[ _-]?truth)"
_MASK_SUFFIX = re.compile(
    rf"(.+)[ ._-]{_MASK_WORD}(?:(?<=mask)[ _-]?\d+)?", re.IGNORECASE
)  # with a number where an image has several: 7_mask_1
_MASK_PREFIX = re.compile(rf"{_MASK_WORD}[ ._-](.+)", re.IGNORECASE)
_STRUCTURE_SUFFIX = re.compile(r"(.+)[ ._-](?:anomaly|binary|lesion|tumou?r|gt)", re.IGNORECASE)
Rename = Callable[[str], str]  # the name of a mask -> the name that its image would have


def key_of(inner: PurePosixPath | Path) -> str:
    """A relative path without the suffix of an image file: the part that an image and its mask have in common."""
    known = inner.suffix.lower() in IMAGE_SUFFIXES
    return (inner.with_suffix("") if known else inner).as_posix()


@dataclass
class Owners:
    """The images that masks may belong to, by every name that a mask may have.

    flat : whether a mask without folders in its name also fits an image below a folder of its kind.
    by_name : composed name -> images, each with its name as it is written on disk.
    by_stem : composed name without folders -> images; filled where `flat` is true.
    """

    flat: bool = True
    by_name: dict[str, list[tuple[str, LabelledImage]]] = field(default_factory=lambda: defaultdict(list))
    by_stem: dict[str, list[LabelledImage]] = field(default_factory=lambda: defaultdict(list))

    def add(self, image: LabelledImage, *keys: str) -> None:
        """Enter an image under its names, such as "crack/000" and "test/crack/000"."""
        for key in keys:
            self.by_name[composed(key)].append((key, image))
        if self.flat:
            self.by_stem[composed(keys[0].rsplit("/", 1)[-1])].append(image)

    def find(self, name: str, rename: Rename | None = None) -> list[LabelledImage]:
        """The images that a mask of this name (without suffix) fits.

        Where several names look the same, an image whose name is written in the same Unicode form is preferred.
        """
        for candidate in _candidates(name, rename):
            plain = composed(candidate)
            if pairs := self.by_name.get(plain):
                return [image for key, image in pairs if key == candidate] or [image for _, image in pairs]
            if images := self.by_stem.get(plain):
                return images
        return []


def without_mask_words(name: str) -> Iterator[str]:
    """What is left of a mask's name without `_mask`, `mask_` and the like; nothing where it has no such word."""
    folder, slash, stem = name.rpartition("/")
    for match in filter(None, (_MASK_SUFFIX.fullmatch(stem), _MASK_PREFIX.fullmatch(stem))):
        yield folder + slash + match[1]
        if inner := _STRUCTURE_SUFFIX.fullmatch(match[1]):
            yield folder + slash + inner[1]


def mask_warning(folder: Path, paths: Iterable[Path]) -> list[str]:
    """A warning where images of an unlabelled folder seem to be masks, in a list; they are used all the same."""
    inner = {path: path.relative_to(folder) for path in paths}
    keys = {composed(key_of(path)) for path in inner.values()}
    masks = [
        path
        for path in inner.values()
        if any(holds_masks(part) for part in path.parts[:-1])
        or any(name in keys for name in without_mask_words(composed(key_of(path))))
    ]
    if not masks:
        return []
    return [
        f"folder '{folder.name or folder}': {len(masks)} of {len(inner)} images seem to be masks, first: "
        f"{masks[0].as_posix()}; they are taken for images like the others: move them elsewhere"
    ]


def _candidates(name: str, rename: Rename | None) -> Iterator[str]:
    """The names that the image of a mask may have, the likeliest first."""
    yield name
    yield from without_mask_words(name)
    if (short := key_of(PurePosixPath(name))) != name:  # 000.jpg.png
        yield short
    if rename is not None:
        yield rename(name)


def attach_mask_folder(
    task: TaskFiles, anomalous: Owners, normal: Owners, folder: Path, rename: Rename | None = None
) -> None:
    """Give the masks in a folder and below to their images; see `attach_masks`."""
    masks = [(path, key_of(path.relative_to(folder))) for path in list_images(folder, task.left_out)]
    attach_masks(task, anomalous, normal, masks, rename)


def attach_masks(
    task: TaskFiles, anomalous: Owners, normal: Owners, masks: Iterable[tuple[Path, str]], rename: Rename | None = None
) -> None:
    """Give masks to their images.

    An image that already has a mask from another folder keeps it, and the second one joins `task.left_out`. Masks of
    normal images join `task.normal_masks`, which should mark nothing; `Task.check()` verifies it.

    Parameters
    ----------
    task : TaskFiles
        Changed in place.
    anomalous, normal : Owners
        The images that the masks may belong to.
    masks : iterable of (Path, str)
        Mask files, each with its path below the mask folder without suffix.
    rename : function of str, optional
        From the name of a mask to the name of its image, where they differ in more than the usual words.

    Raises
    ------
    LayoutError
        A mask that fits no image or several, or two of these masks for one image.
    """
    masked_here: set[int] = set()  # ids of the images that got a mask in this call
    second_masks: dict[str, list[Path]] = defaultdict(list)
    for mask, name in masks:
        owners = anomalous.find(name, rename)
        if not owners and (normals := normal.find(name, rename)):
            task.normal_masks.append((normals[0].path, mask))
            continue
        _require_one(mask, name, owners)
        image = owners[0]
        if image.mask is None:
            image.mask = mask
            masked_here.add(id(image))
        elif id(image) in masked_here:
            raise LayoutError(f"image '{image.path}' has two masks, '{image.mask}' and '{mask}'; remove one")
        else:
            used = image.mask.parent.relative_to(task.folder).as_posix()
            second_masks[f"a second mask of an image; that in {used} is used"].append(mask)
    task.left_out += [grouped(paths[0].parent, paths, why) for why, paths in second_masks.items()]


def _require_one(mask: Path, name: str, owners: list[LabelledImage]) -> None:
    """LayoutError unless a mask fits exactly one image."""
    if not owners:
        raise LayoutError(
            f"mask '{mask}' has no image: no anomalous image is called '{name}' (any image suffix); "
            "rename the mask after its image or remove it"
        )
    if len(owners) > 1:
        raise LayoutError(
            f"mask '{mask}' fits {len(owners)} images ('{owners[0].path}' and '{owners[1].path}'); "
            "give the images different names"
        )
