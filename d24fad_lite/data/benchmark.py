"""A folder of tasks as a mapping: `bench["RSNA"].train` and `.test`, and `bench.without("RSNA")`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from d24fad_lite.data.formats.recognise import is_image_file
from d24fad_lite.data.groups import shared_groups
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.inspection import Problem, inspect_task
from d24fad_lite.data.layouts import is_task_folder, read_task
from d24fad_lite.data.layouts.folder_walk import is_document, is_junk, list_folders, list_images, unused
from d24fad_lite.data.layouts.left_out import LeftOut, ignored_files_sentence, warn_of_data
from d24fad_lite.data.layouts.links import links_warning
from d24fad_lite.data.layouts.mask_pairing import mask_warning
from d24fad_lite.data.layouts.meta_json import is_listing
from d24fad_lite.data.layouts.task_files import LayoutError, TaskFiles
from d24fad_lite.data.names import canonical_task_name, find_task_name, is_published_task, natural_key
from d24fad_lite.data.pixel_cache import DEFAULT_CACHE_BYTES, PixelCache
from d24fad_lite.data.supports import check_shots

MOST_ERRORS = 10  # problems that one exception spells out


class Task:
    """One anomaly detection task: normal training images, and test images with labels.

    Tasks come from `open_benchmark`.

    Attributes
    ----------
    name : str
        Canonical name ("HIS" for a folder `His`).
    root : Path
        The task's folder.
    layout : str
        How its files are laid out: "folders", "data.json", "meta.json" or "isic".
    train : ImageSet
        Normal images only.
    test : ImageSet
        Images with labels, 0 normal and 1 anomalous.
    valid : ImageSet or None
        BMAD's validation split, where there is one.
    warnings : list of str
        What is odd but usable, as sentences; where files are left out, the first sentence names them.
    left_out : list of LeftOut
        Files that are not used: where, how many, why. Nothing is left out without being listed here.
    normal_masks : list of (Path, Path)
        Normal images with masks of their own, which `check()` expects to mark nothing.
    training_location : str
        Where to add normal training images, for messages.
    """

    def __init__(self, name: str, files: TaskFiles, decoded: PixelCache | None = None) -> None:
        self.name = name
        self.root = files.folder
        self.layout = files.layout
        self.training_location = files.training_location
        self.warnings = list(files.warnings)
        self.left_out: list[LeftOut] = list(files.left_out)
        self.normal_masks = list(files.normal_masks)
        cache = decoded or PixelCache()
        sets = {split: _image_set(f"{name}/{split}", split, files, cache) for split in files.splits}
        self.train: ImageSet = sets["train"]
        self.test: ImageSet = sets["test"]
        self.valid: ImageSet | None = sets.get("valid")
        in_both = shared_groups(self.train.groups, self.test.groups)
        if in_both:
            self.warnings.append(
                f"task '{name}' has {len(in_both)} group(s) (patients) in both train and test, first: {in_both[0]!r}; "
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

    Benchmarks come from `open_benchmark`.

    Attributes
    ----------
    root : Path
        The folder that holds the tasks.
    warnings : list of str
        What is odd in the folder as a whole, such as subfolders that are no tasks.
    own_left_out : list of LeftOut
        Files beside the tasks that are not used; `left_out` also has those of each task.
    """

    def __init__(
        self, root: Path, tasks: Mapping[str, Task], warnings: Sequence[str] = (), left_out: Sequence[LeftOut] = ()
    ) -> None:
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
        return find_task_name(name, list(self._tasks), self.root)

    def without(self, *names: str) -> Benchmark:
        """A benchmark of the other tasks.

        Parameters
        ----------
        *names : str
            Tasks to leave out; aliases such as "brain_tumor" count.

        Returns
        -------
        Benchmark

        Raises
        ------
        UnknownTaskError
            A name that the benchmark does not have.
        """
        held_out = {self.resolve(name) for name in names}
        others = {name: task for name, task in self.items() if name not in held_out}
        return Benchmark(self.root, others, self.warnings, self.own_left_out)


def open_benchmark(
    root: str | Path,
    tasks: Sequence[str] | None = None,
    *,
    check: bool = False,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    workers: int | None = None,
) -> Benchmark:
    """Open a folder of tasks, or the folder of a single task.

    Files are matched by their names, and no image is decoded. The layouts are described in `d24fad_lite.data.layouts`.
    Whatever is odd, every link that leads out of the folder, and every file that is not used, is reported as a
    `DataWarning` and kept in `warnings` and `left_out`.

    Parameters
    ----------
    root : str or Path
        The folder.
    tasks : sequence of str, optional
        Names or aliases of the tasks to open; the folders of other tasks are not read. Default: all.
    check : bool, default False
        Also read every file: the first errors are raised, warnings are added to `task.warnings`.
    cache_bytes : int, default 2 GiB
        Bytes of decoded pixels kept, for all tasks together; 0 keeps none.
    workers : int, optional
        Threads that decode. Default: the CPU count, at most 8.

    Returns
    -------
    Benchmark
        A mapping of name to `Task`.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        There is no such folder, or it is a file.
    LayoutError
        The folder holds no task, two folders of one task, or a task with an empty split or a mask without image.
    UnknownTaskError
        A name in `tasks` that the folder does not have.
    ValueError
        `cache_bytes` below 0, or `workers` below 1.
    """
    root = Path(root)
    task_folders, left_out = _task_folders(root)
    folders = {canonical_task_name(folder.name): folder for folder in task_folders}
    if tasks is not None:
        chosen = {find_task_name(name, list(folders), root) for name in ([tasks] if isinstance(tasks, str) else tasks)}
        folders = {name: folder for name, folder in folders.items() if name in chosen}
    cache = PixelCache(cache_bytes, workers)
    warnings = [ignored_files_sentence(f"folder '{root.name or root}'", left_out, root)] if left_out else []
    opened = {name: Task(name, read_task(folder), cache) for name, folder in folders.items()}
    bench = Benchmark(root, opened, [*warnings, *links_warning(root, folders.values())], left_out)
    if check:
        _require_sound(bench)
    warn_of_data([*bench.warnings, *(text for task in bench.values() for text in task.warnings)], stacklevel=2)
    return bench


def task_names(root: str | Path) -> list[str]:
    """Names of the tasks in a folder, without reading the tasks. Raises what `open_benchmark` raises for a folder."""
    return [canonical_task_name(folder.name) for folder in _task_folders(Path(root))[0]]


def open_folder(folder: str | Path, *, workers: int | None = None) -> ImageSet:
    """All images in a folder and below as one unlabelled set (labels 0), for predictions on new images.

    Files that are no images are reported as a `DataWarning` and listed in the set's `left_out`.

    Parameters
    ----------
    folder : str or Path
        The folder.
    workers : int, optional
        Threads that decode. Default: the CPU count, at most 8.

    Returns
    -------
    ImageSet
        Images in natural order of their paths.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        There is no such folder, or it is a file.
    LayoutError
        The folder holds no image.
    """
    folder = Path(folder)
    require_folder(folder)
    left_out: list[LeftOut] = []
    paths = list_images(folder, left_out)
    if not paths:
        raise LayoutError(f"folder '{folder}' holds no image; expected png, jpg, jpeg, bmp, tif, tiff or dcm files")
    images = ImageSet(folder.name or str(folder), folder, paths, decoded=PixelCache(workers=workers))
    images.left_out = left_out
    ignored = [ignored_files_sentence(f"folder '{images.name}'", left_out, folder)] if left_out else []
    warn_of_data([*ignored, *links_warning(folder, [folder]), *mask_warning(folder, paths)], stacklevel=2)
    return images


def require_shots(task: Task, shots: int, query: bool = True) -> None:
    """ValueError unless the task has `shots` normal training images (and one more as a query, where `query`)."""
    check_shots(len(task.train), shots, query=query, name=task.name, location=task.training_location)


def require_both_classes(task: Task) -> None:
    """ValueError unless the test images are normal ones and anomalous ones: AUROC compares the two."""
    bad = int(task.test.labels.sum())
    if bad in (0, len(task.test)):
        present, missing, folder = ("normal", "anomalous", "bad") if bad == 0 else ("anomalous", "normal", "good")
        raise ValueError(
            f"task '{task.name}' has {len(task.test)} {present} test images and no {missing} one, so AUROC "
            f"and every other figure that compares the two is not defined; add {missing} images under "
            f"{task.root.name}/test/{folder}"
        )


def require_disjoint(task: Task) -> None:
    """ValueError when a test image is, byte for byte, also a training image. Reads every file once."""
    errors = [problem for problem in inspect_task(task, pixels=False) if problem.severity == "error"]
    if errors:
        raise ValueError(errors[0].message)


def require_folder(root: Path) -> None:
    """FileNotFoundError or NotADirectoryError unless there is such a folder."""
    if not root.exists():
        raise FileNotFoundError(f"data folder '{root}' does not exist; check the path")
    if not root.is_dir():
        raise NotADirectoryError(f"'{root}' is a file, expected a folder of tasks")


def _task_folders(root: Path) -> tuple[list[Path], list[LeftOut]]:
    """Task folders of a root, and the files and folders beside them."""
    require_folder(root)
    if is_task_folder(root):
        # "." has no name, which an absolute path has; links are not followed, since their name is the task's.
        return [Path(os.path.abspath(root))], []  # noqa: PTH100
    folders, left_out = [], []
    for folder in list_folders(root):
        if is_task_folder(folder) or is_published_task(folder.name) or not any(folder.iterdir()):
            folders.append(folder)  # an empty folder, or a published task's, is refused when it is read
        else:
            left_out.append(unused(folder, "no task: no train/, test/ or data.json"))
    if not folders:
        raise LayoutError(f"data folder '{root}' holds no task; expected ROOT/<TASK>/train/good and ROOT/<TASK>/test")
    _require_one_folder_each(root, folders)
    for path in sorted(root.iterdir(), key=natural_key):
        if path.is_dir() or is_junk(path) or is_document(path.name) or is_listing(path):
            continue
        if is_image_file(path) or not path.name.startswith("."):
            left_out.append(unused(path, "a file beside the tasks"))
    return folders, left_out


def _require_one_folder_each(root: Path, folders: Sequence[Path]) -> None:
    """LayoutError where two folders are spellings of one task's name."""
    for name, count in Counter(canonical_task_name(folder.name) for folder in folders).items():
        if count > 1:
            same = " and ".join(f"'{f.name}'" for f in folders if canonical_task_name(f.name) == name)
            raise LayoutError(f"folders {same} in '{root}' are the same task '{name}'; merge or rename one of them")


def _image_set(name: str, split: str, files: TaskFiles, decoded: PixelCache) -> ImageSet:
    """The images of one split, with what the layout says of them."""
    images = files.splits[split]
    names = [image.path.relative_to(files.folder).as_posix() for image in images]
    return ImageSet(
        name,
        files.folder,
        [image.path for image in images],
        labels=[image.label for image in images],
        mask_paths=[image.mask for image in images],
        groups=[files.groups.get(name) for name in names],
        kinds=[image.kind for image in images],
        decoded=decoded,
    )


def _require_sound(bench: Benchmark) -> None:
    """LayoutError with the first errors of all tasks; warnings join those of each task."""
    errors = []
    for task in bench.values():
        problems = inspect_task(task)
        errors += [problem.message for problem in problems if problem.severity == "error"]
        task.warnings += [problem.message for problem in problems if problem.severity == "warning"]
    if errors:
        more = [f"... and {len(errors) - MOST_ERRORS} more"] if len(errors) > MOST_ERRORS else []
        raise LayoutError(*errors[:MOST_ERRORS], *more)
