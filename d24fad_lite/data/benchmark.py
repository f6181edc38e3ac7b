"""A folder of tasks as a mapping: `bench["RSNA"].train` and `.test`, and `bench.without("RSNA")`."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from d24fad_lite.data.decoded import DEFAULT_CACHE_BYTES, DecodedImages
from d24fad_lite.data.episodes import check_shots
from d24fad_lite.data.groups import shared_groups
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.inspection import Problem, inspect_task
from d24fad_lite.data.layouts import (
    FoundTask,
    LayoutError,
    LeftOut,
    find_task,
    is_task_folder,
    list_folders,
    list_images,
    natural_key,
)
from d24fad_lite.data.layouts.found import told, warn
from d24fad_lite.data.layouts.masks import mask_warning
from d24fad_lite.data.layouts.meta_json import is_listing
from d24fad_lite.data.layouts.walking import is_document, is_junk, unused
from d24fad_lite.data.recognise import is_image_file

# Names of the published tasks as the released code and the data sets write them -> the one used here.
_CANONICAL = {
    "his": "HIS",
    "lag": "LAG",
    "aptos": "APTOS",
    "aptos2019": "APTOS",
    "rsna": "RSNA",
    "braintumor": "BrainTumor",
}


class UnknownTaskError(KeyError, ValueError):
    """A task name the benchmark does not have; the message lists those it has."""

    def __str__(self) -> str:
        return str(self.args[0])


class Task:
    """One anomaly detection task: normal training images, and test images with labels.

    Attributes
    ----------
    name : canonical name ("HIS" for a folder `His`); `root` is its folder, `layout` such as "folders" or "data.json".
    train : normal images only. test : labels 0 and 1. valid : BMAD's validation split, or None.
    warnings : what is odd but usable, as sentences; the first tells what is left out, if anything is.
    left_out : files that are not used: where, how many, why. Nothing is left out without being listed here.
    normal_masks : (image, mask) of masks beside normal images, which `check()` expects to be empty.
    train_place : where to add normal training images, for messages.
    """

    def __init__(self, name: str, found: FoundTask, decoded: DecodedImages | None = None) -> None:
        self.name = name
        self.root = found.folder
        self.layout = found.layout
        self.train_place = found.train_place
        self.warnings = list(found.warnings)
        self.left_out: list[LeftOut] = list(found.left_out)
        self.normal_masks = list(found.normal_masks)
        decoded = decoded or DecodedImages()
        sets = {split: _image_set(f"{name}/{split}", split, found, decoded) for split in found.splits}
        self.train: ImageSet = sets["train"]
        self.test: ImageSet = sets["test"]
        self.valid: ImageSet | None = sets.get("valid")
        both = shared_groups(self.train.groups, self.test.groups)
        if both:
            self.warnings.append(
                f"task '{name}' has {len(both)} group(s) (patients) in both train and test, first: {both[0]!r}; "
                "move all images of a patient to one side"
            )

    @property
    def has_masks(self) -> bool:
        """Whether any test image has a mask."""
        return self.test.has_masks

    def check(self) -> list[Problem]:
        """Read every file and list what is wrong: unreadable, of odd size, masks that do not fit, the same image twice.

        Takes as long as reading all files; nothing is raised. Errors come before warnings.
        """
        return [Problem("warning", text) for text in self.warnings] + inspect_task(self)

    def __repr__(self) -> str:
        bad = int(self.test.labels.sum())
        masks = ", masks" if self.has_masks else ""
        return f"Task({self.name!r}, train {len(self.train)}, test {len(self.test) - bad}+{bad}{masks})"


class Benchmark(Mapping[str, Task]):
    """Tasks by name, in natural order of their names. Names are matched without regard to case, spaces, - and _.

    `warnings` and `own_left_out` hold what concerns the folder as a whole, such as subfolders that are no tasks.
    """

    def __init__(self, root: Path, tasks: Mapping[str, Task], warnings: Sequence[str] = (),
                 left_out: Sequence[LeftOut] = ()) -> None:
        self.root = root
        self.warnings = list(warnings)
        self.own_left_out = list(left_out)
        self._tasks = dict(tasks)

    def __getitem__(self, name: str) -> Task:
        return self._tasks[self.resolve(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        return "\n".join([f"Benchmark('{self.root.name}', {len(self)} tasks)", *(f"  {t!r}" for t in self.values())])

    @property
    def left_out(self) -> list[LeftOut]:
        """Every file that is not used: beside the tasks, and in each of them."""
        return [*self.own_left_out, *(item for task in self.values() for item in task.left_out)]

    def resolve(self, name: str) -> str:
        """The task's own name for a name or alias; UnknownTaskError lists the tasks there are."""
        return _resolve(name, list(self._tasks), self.root)

    def without(self, *names: str) -> Benchmark:
        """The other tasks: leave one task (or several) out. Names may be aliases."""
        left_out = {self.resolve(name) for name in names}
        return Benchmark(self.root, {n: t for n, t in self.items() if n not in left_out}, self.warnings,
                         self.own_left_out)


def open_benchmark(
    root: str | Path,
    tasks: Sequence[str] | None = None,
    *,
    check: bool = False,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    workers: int | None = None,
) -> Benchmark:
    """Open a folder of tasks, or the folder of a single task.

    Finds files by name and decodes none. The layouts are described in `d24fad_lite.data.layouts`. Whatever is odd, and
    every file that is not used, is told as a `DataWarning` and kept in `warnings` and `left_out`.

    Parameters
    ----------
    root : the folder.
    tasks : names or aliases of the tasks to open, default all; others are not even looked into.
    check : also read every file; the first problems are raised, warnings are added to `task.warnings`.
    cache_bytes : bytes of decoded pixels kept, for all tasks together (default 2 GiB).
    workers : threads that decode, default the CPU count, at most 8.

    Raises
    ------
    FileNotFoundError : no such folder. LayoutError : no task, an empty split, a stray mask, two names for one task.
    UnknownTaskError : a name in `tasks` that is not there.
    """
    root = Path(root)
    folders, left_out = _task_folders(root)
    names = {canonical_name(folder.name): folder for folder in folders}
    if tasks is not None:
        wanted = [tasks] if isinstance(tasks, str) else tasks
        chosen = {_resolve(name, list(names), root) for name in wanted}
        names = {name: folder for name, folder in names.items() if name in chosen}
    decoded = DecodedImages(cache_bytes, workers)
    warnings = [told(f"folder '{root.name or root}'", left_out, root)] if left_out else []
    found = {n: Task(n, find_task(folder), decoded) for n, folder in names.items()}
    bench = Benchmark(root, found, warnings, left_out)
    if check:
        _require_sound(bench)
    warn([*bench.warnings, *(text for task in bench.values() for text in task.warnings)], stacklevel=2)
    return bench


def task_names(root: str | Path) -> list[str]:
    """Names of the tasks in a folder, without looking into them; errors as `open_benchmark` has them."""
    return [canonical_name(folder.name) for folder in _task_folders(Path(root))[0]]


def open_folder(folder: str | Path, *, workers: int | None = None) -> ImageSet:
    """All images in a folder and below as one unlabelled set (labels 0), for predictions on new images.

    Files that are no images are told as a `DataWarning` and listed in the set's `left_out`.

    Raises
    ------
    FileNotFoundError : no such folder. LayoutError : no image in it.
    """
    folder = Path(folder)
    require_folder(folder)
    left_out: list[LeftOut] = []
    paths = list_images(folder, left_out)
    if not paths:
        raise LayoutError(f"folder '{folder}' holds no image; expected png, jpg, jpeg, bmp, tif, tiff or dcm files")
    images = ImageSet(folder.name or str(folder), folder, paths, decoded=DecodedImages(workers=workers))
    images.left_out = left_out
    ignored = [told(f"folder '{images.name}'", left_out, folder)] if left_out else []
    warn([*ignored, *mask_warning(folder, paths)], stacklevel=2)
    return images


def require_shots(task: Task, shots: int, query: bool = True) -> None:
    """ValueError unless the task has `shots` normal training images (and one more as a query, where `query`)."""
    check_shots(len(task.train), shots, query=query, name=task.name, place=task.train_place)


def require_both_classes(task: Task) -> None:
    """ValueError unless the test images are normal ones and anomalous ones: AUROC compares the two."""
    bad = int(task.test.labels.sum())
    if bad in (0, len(task.test)):
        there, missing, folder = ("normal", "anomalous", "bad") if bad == 0 else ("anomalous", "normal", "good")
        raise ValueError(f"task '{task.name}' has {len(task.test)} {there} test images and no {missing} one, so AUROC "
                         f"and every other figure that compares the two is not defined; add {missing} images under "
                         f"{task.root.name}/test/{folder}")


def require_disjoint(task: Task) -> None:
    """ValueError when a test image is, byte for byte, also a training image. Reads every file once."""
    twins = [problem for problem in inspect_task(task, pixels=False) if problem.level == "error"]
    if twins:
        raise ValueError(twins[0].message)


def canonical_name(name: str) -> str:
    """The one name of a published task (`His` -> `HIS`, `Brain_Tumor` -> `BrainTumor`); others stay as they are."""
    return _CANONICAL.get(_plain(name), name)


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-.]+", "", unicodedata.normalize("NFC", name)).casefold()


def _resolve(name: str, known: Sequence[str], root: Path) -> str:
    if name in known:
        return name
    if isinstance(name, str):
        plain = _plain(canonical_name(name))
        alike = [task for task in known if _plain(task) == plain]
        if len(alike) == 1:
            return alike[0]
    close = difflib.get_close_matches(_plain(str(name)), [_plain(task) for task in known], n=1)
    hint = "".join(f"; did you mean '{task}'?" for task in known if close and _plain(task) == close[0])
    raise UnknownTaskError(f"no task {name!r} in '{root}', available: {', '.join(known) or 'none'}{hint}")


def require_folder(root: Path) -> None:
    """FileNotFoundError or NotADirectoryError unless there is such a folder."""
    if not root.exists():
        raise FileNotFoundError(f"data folder '{root}' does not exist; check the path")
    if not root.is_dir():
        raise NotADirectoryError(f"'{root}' is a file, expected a folder of tasks")


def _task_folders(root: Path) -> tuple[list[Path], list[LeftOut]]:
    """Task folders of a root, and what lies beside them."""
    require_folder(root)
    if is_task_folder(root):
        return [Path(os.path.abspath(root))], []  # absolute, because "." has no name
    folders, left_out = [], []
    for folder in list_folders(root):
        if is_task_folder(folder) or _plain(folder.name) in _CANONICAL or not any(folder.iterdir()):
            folders.append(folder)  # an empty folder, or a published task's, is refused when it is read
        else:
            left_out.append(unused(folder, "no task: no train/, test/ or data.json"))
    if not folders:
        raise LayoutError(f"data folder '{root}' holds no task; expected ROOT/<TASK>/train/good and ROOT/<TASK>/test")
    for name, count in Counter(canonical_name(folder.name) for folder in folders).items():
        if count > 1:
            same = " and ".join(f"'{f.name}'" for f in folders if canonical_name(f.name) == name)
            raise LayoutError(f"folders {same} in '{root}' are the same task '{name}'; merge or rename one of them")
    for path in sorted(root.iterdir(), key=natural_key):
        if not path.is_dir() and not is_junk(path) and not is_document(path.name) and not is_listing(path):
            if is_image_file(path) or not path.name.startswith("."):
                left_out.append(unused(path, "a file beside the tasks"))
    return folders, left_out


def _image_set(name: str, split: str, found: FoundTask, decoded: DecodedImages) -> ImageSet:
    images = found.splits[split]
    names = [image.path.relative_to(found.folder).as_posix() for image in images]
    return ImageSet(
        name,
        found.folder,
        [image.path for image in images],
        [image.label for image in images],
        [image.mask for image in images],
        [found.groups.get(n) for n in names],
        [image.kind for image in images],
        decoded,
    )


def _require_sound(bench: Benchmark) -> None:
    errors = []
    for task in bench.values():
        problems = inspect_task(task)
        errors += [problem.message for problem in problems if problem.level == "error"]
        task.warnings += [problem.message for problem in problems if problem.level == "warning"]
    if errors:
        more = f"\n... and {len(errors) - 10} more" if len(errors) > 10 else ""
        raise LayoutError("\n".join(errors[:10]) + more)
