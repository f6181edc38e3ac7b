"""Tasks whose labels are names of folders: our layout, BMAD's and MVTec's, with masks in any of the usual folders.

    train/good/*   test/good/*   test/bad/[kind/]*   test/mask/[kind/]<stem>.png
    {good,Ungood}/{img,label}/*                 BMAD; also {images,masks}, {img,mask}, anomaly_mask, in kinds too
    bad/7.png bad/7_mask.png                    masks beside their images
    test/<kind>/*  ground_truth/<kind>/<stem>_mask.png   MVTec: kinds are those that ground_truth/ has a folder for

Two spellings of one folder (`good` and `Normal`, `bad` and `ungood`, `train` and `Train`) are read as one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from d24fad_lite.data.formats.recognise import is_image_file
from d24fad_lite.data.layouts.folder_names import (
    BAD_FOLDERS,
    GOOD_FOLDERS,
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    SPLIT_FOLDERS,
    SPLITS,
    holds_masks,
)
from d24fad_lite.data.layouts.folder_walk import (
    grouped,
    is_document,
    is_junk,
    list_folders,
    list_images,
    subfolders,
    unused,
)
from d24fad_lite.data.layouts.mask_pairing import (
    Owners,
    Rename,
    attach_mask_folder,
    attach_masks,
    key_of,
    without_mask_words,
)
from d24fad_lite.data.layouts.task_files import LabelledImage, LayoutError, TaskFiles
from d24fad_lite.data.names import composed, natural_key

_CLASSES = "class folders are called good or normal, and bad, ungood, abnormal or anomaly; kinds lie below bad/"


@dataclass(frozen=True)
class Dialect:
    """What differs between published layouts of folders.

    bad : names of folders that hold anomalous images, in lower case.
    loose_train : whether normal training images lie in train/ itself.
    rename : the name of a mask -> the name of its image, where they differ in more than the usual words.
    """

    bad: frozenset[str] = BAD_FOLDERS
    loose_train: bool = False
    rename: Rename | None = None


OWN_DIALECT = Dialect()


@dataclass
class _ClassFiles:
    """The files of one class folder: images and masks with their names below it, and files beside a folder img/."""

    images: list[tuple[Path, PurePosixPath]] = field(default_factory=list)
    masks: list[tuple[Path, PurePosixPath]] = field(default_factory=list)
    beside: list[Path] = field(default_factory=list)


def read_folders(folder: Path, dialect: Dialect = OWN_DIALECT) -> TaskFiles | None:
    """Read a task whose labels are names of folders; None without train/ and test/.

    LayoutError: an image lies beside the class folders, or a mask has no image.
    """
    if not subfolders(folder, ("train", "test")):
        return None
    task = TaskFiles(folder, "folders", used_folders=subfolders(folder, MASK_FOLDERS | SPLIT_FOLDERS))
    mask_folders = subfolders(folder, MASK_FOLDERS)
    kinds = _kinds(mask_folders)
    anomalous, normal = Owners(), Owners(flat=False)
    whole_task = (anomalous, normal) if mask_folders else None
    for split, names in SPLITS.items():
        images = [
            image
            for split_folder in subfolders(folder, names)
            for image in _SplitReader(task, split, split_folder, dialect, kinds, whole_task).read()
        ]
        if images:
            task.splits[split] = sorted(images, key=lambda image: image.label)  # stable: each class keeps its order
    for mask_folder in mask_folders:
        attach_mask_folder(task, anomalous, normal, mask_folder, dialect.rename)
    return task


def _kinds(mask_folders: list[Path]) -> set[str]:
    """Kinds of anomalies: folders of ground_truth/ (or ground_truth/test/), which MVTec's test/ has too."""
    children = [child for folder in mask_folders for child in list_folders(folder)]
    children += [inner for child in children if child.name.lower() in SPLIT_FOLDERS for inner in list_folders(child)]
    return {composed(child.name).lower() for child in children} - GOOD_FOLDERS - MASK_FOLDERS - SPLIT_FOLDERS


class _SplitReader:
    """Reads one folder train/, valid/ or test/."""

    def __init__(
        self,
        task: TaskFiles,
        split: str,
        folder: Path,
        dialect: Dialect,
        kinds: set[str],
        whole_task: tuple[Owners, Owners] | None,
    ) -> None:
        self.task, self.split, self.folder, self.dialect = task, split, folder, dialect
        self.kinds = kinds if split != "train" else set()
        self.mask_folders = subfolders(folder, MASK_FOLDERS) if split != "train" else []
        # (anomalous, normal) images that the mask folders of this split may mean; `whole_task` holds the same for the
        # mask folders beside the splits. Each image is entered into every pair that some mask folder uses.
        self.split_owners = Owners(), Owners(flat=False)
        self.owner_pairs = [
            pair for pair in (self.split_owners if self.mask_folders else None, whole_task) if pair is not None
        ]

    def read(self) -> list[LabelledImage]:
        """The images, with the masks that lie in this folder."""
        images = self._read_loose()
        for child in list_folders(self.folder):
            name = composed(child.name).lower()
            if name in GOOD_FOLDERS:
                images += self._read_class(child, 0)
            elif name in self.dialect.bad or name in self.kinds:
                if self.split == "train":
                    self._ignore(child, "training sees normal images only")
                else:
                    images += self._read_class(child, 1)
            elif child not in self.mask_folders:
                self._ignore(child, _CLASSES)
        for child in self.mask_folders:
            attach_mask_folder(self.task, *self.split_owners, child, self.dialect.rename)
        return images

    def _read_class(self, folder: Path, label: int) -> list[LabelledImage]:
        """The images of one class folder, with the masks inside it."""
        files = _sort_class_files(folder, self.task)
        if files.beside:
            self.task.left_out.append(grouped(folder, files.beside, "beside the folder that holds the images"))
        owners = Owners()
        images = []
        own_kind = folder.name if label == 1 and folder.name.lower() not in BAD_FOLDERS | GOOD_FOLDERS else None
        for path, inner in files.images:
            image = LabelledImage(path, label, kind=inner.parts[0] if len(inner.parts) > 1 else own_kind)
            images.append(image)
            if files.masks:
                owners.add(image, key_of(inner))
            for pair in self.owner_pairs:
                pair[1 - label].add(image, *self._names_in_mask_folders(folder, key_of(inner)))
        masks = [(path, key_of(inner)) for path, inner in files.masks]
        anomalous, normal = (owners, Owners()) if label == 1 else (Owners(), owners)
        attach_masks(self.task, anomalous, normal, masks, self.dialect.rename)
        return images

    def _names_in_mask_folders(self, folder: Path, key: str) -> list[str]:
        """The names by which a mask may call an image: "000", "crack/000", "test/crack/000".

        Normal images have none without folders, since a mask directly in a mask folder belongs to an anomalous image.
        """
        within = f"{folder.name}/{key}"
        flat = [] if folder.name.lower() in GOOD_FOLDERS else [key]
        return [*flat, within, f"{self.folder.name}/{within}"]

    def _read_loose(self) -> list[LabelledImage]:
        """Images beside the class folders: LayoutError unless the layout keeps its training images there."""
        files = sorted(
            (p for p in self.folder.iterdir() if not p.is_dir() and not is_junk(p) and not is_document(p.name)),
            key=natural_key,
        )
        hidden = [p for p in files if p.name.startswith(".")]
        hidden += [p for p in self.folder.iterdir() if p.is_dir() and p.name.startswith(".") and not is_junk(p)]
        for path in hidden:
            self._ignore(path, "hidden")
        loose = [p for p in files if not p.name.startswith(".") and is_image_file(p)]
        others = [p for p in files if not p.name.startswith(".") and p not in loose]
        if others:
            self.task.left_out.append(grouped(self.folder, others, "beside the class folders"))
        if loose and not (self.dialect.loose_train and self.split == "train"):
            raise LayoutError(
                f"task '{self.task.folder.name}': {len(loose)} image(s) lie directly in '{self.folder}', first: "
                f"{loose[0].name}; move normal ones to {self.folder.name}/good and anomalous ones to test/bad"
            )
        return [LabelledImage(path, 0) for path in loose]

    def _ignore(self, path: Path, why: str) -> None:
        """Add a file or folder to `left_out`."""
        item = unused(path, why)
        if item.count:
            self.task.left_out.append(item)


def _sort_class_files(folder: Path, task: TaskFiles) -> _ClassFiles:
    """The files of a class folder by their role: `bad/images/x` and `bad/glioma/img/x` are images x and glioma/x."""
    paths = [(path, PurePosixPath(path.relative_to(folder).as_posix())) for path in list_images(folder, task.left_out)]
    with_images: set[tuple[str, ...]] = set()  # folders that keep their images in a folder of their own
    for _, inner in paths:
        with_images |= {inner.parts[:i] for i, part in enumerate(inner.parts[:-1]) if part.lower() in IMAGE_FOLDERS}
    files = _ClassFiles()
    for path, inner in paths:
        role, name = _role(inner, with_images)
        if role == "beside":
            files.beside.append(path)
        else:
            (files.masks if role == "mask" else files.images).append((path, name))
    _take_out_masks(files)
    names = Counter(composed(key_of(inner)) for _, inner in files.images)
    if same_stem := [inner for _, inner in files.images if names[composed(key_of(inner))] > 1]:
        task.warnings.append(
            f"{len(same_stem)} images in '{folder.name}' of task '{task.folder.name}' differ by their "
            f"suffix alone, first: {same_stem[0]}; if one is a mask, move it to a folder mask"
        )
    return files


def _take_out_masks(files: _ClassFiles) -> None:
    """Move masks that lie beside their images out of the images, by their names: `7_mask.png` beside `7.png`."""
    keys = {composed(key_of(inner)) for _, inner in files.images}
    beside = [
        (path, inner)
        for path, inner in files.images
        if any(name in keys for name in without_mask_words(composed(key_of(inner))))
    ]
    taken = {path for path, _ in beside}
    files.images = [(path, inner) for path, inner in files.images if path not in taken]
    files.masks += beside


def _role(inner: PurePosixPath, with_images: set[tuple[str, ...]]) -> tuple[str, PurePosixPath]:
    """What a file of a class folder is ("image", "mask" or "beside"), and its path without the folders that say so."""
    role, folders = "image", []
    for i, part in enumerate(inner.parts[:-1]):
        if holds_masks(part):
            role = "mask"
        elif part.lower() not in IMAGE_FOLDERS:
            if inner.parts[:i] in with_images:
                return "beside", inner
            folders.append(part)
    if role == "image" and inner.parts[:-1] in with_images:
        return "beside", inner
    return role, PurePosixPath(*folders, inner.name)
