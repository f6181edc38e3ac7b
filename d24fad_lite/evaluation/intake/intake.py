"""Look at every file of a folder of data: counts, sizes, depth, what is left out, findings, shortcuts."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from d24fad_lite.data.benchmark import Benchmark, Task, open_benchmark, open_folder, require_folder, task_names
from d24fad_lite.data.image_facts import ORIENTATIONS, image_facts
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.images import ImageError
from d24fad_lite.data.inspection import Problem, inspect_images, inspect_task
from d24fad_lite.data.layouts.left_out import DataWarning, LeftOut
from d24fad_lite.data.layouts.task_files import LayoutError
from d24fad_lite.evaluation.baselines.shortcuts import file_statistics, image_statistics
from d24fad_lite.evaluation.intake.page import fragment, render
from d24fad_lite.evaluation.intake.tables import COLUMNS, Part, Tables
from d24fad_lite.evaluation.metrics import image_auroc
from d24fad_lite.files import write_text

FOLDER = "(images)"  # what a folder without tasks is called in the tables
BATCH = 64
CHANCE = 2.84  # standard deviations that, without a shortcut, any of 11 statistics passes in at most 5 % of tasks


class IntakeReport(Tables):
    """What `intake_report` gives: tables as pandas DataFrames, and a page of them; a notebook shows it inline.

    Attributes
    ----------
    root, tasks, files, left_out, findings, shortcuts, parts, thumbnails
        As of `Tables`.
    """

    def to_html(self) -> str:
        """One page that needs no other file. It shows images: pass it on as you would the data."""
        return render(self)

    def save(self, path: str | Path) -> Path:
        """Write the page as one HTML file; returns its path. Raises OSError where it cannot be written."""
        write_text(path, self.to_html())
        return Path(path)

    def _repr_html_(self) -> str:
        return fragment(self)


def intake_report(
    source: Benchmark | str | Path, *, image_size: int = 128, thumbnails: int = 12, progress: bool = False
) -> IntakeReport:
    """Look at every file of a benchmark (or folder) and say what is there, what is left out and what is odd.

    Parameters
    ----------
    source : Benchmark or path
        A benchmark, or the path of a folder of tasks, of one task, or of images. From a path, tasks that cannot be
        opened are listed too, as findings.
    image_size : int, default 128
        Side in pixels at which shortcut statistics are computed.
    thumbnails : int, default 12
        Images of each class and split on the contact sheet.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    IntakeReport

    Raises
    ------
    FileNotFoundError
        No such folder.
    LayoutError
        Neither a task nor an image in it.
    """
    root = source.root if isinstance(source, Benchmark) else Path(source)
    tasks, folder, left_out_beside, problems = _opened(source)
    parts = [part for task in tasks for part in _parts(task)]
    if folder is not None:
        parts.append(Part(FOLDER, "images", folder, labelled=False))
    files = [row for part in tqdm(parts, desc="headers", disable=not progress, leave=False) for row in _files(part)]
    for task in tqdm(tasks, desc="pixels", disable=not progress, leave=False):
        warned = [Problem("warning", text) for text in task.warnings if text != _left_out_text(task)]
        problems += [(task.name, problem) for problem in [*warned, *inspect_task(task)]]
    if folder is not None:
        problems += [(FOLDER, problem) for problem in inspect_images(folder)]
    unreadable = {problem.unreadable for _, problem in problems if problem.unreadable is not None}
    for part in parts:
        part.readable = np.array([path not in unreadable for path in part.images.paths], bool)
    left_out = [_left_out_row("", item, root) for item in left_out_beside]
    left_out += [_left_out_row(task.name, item, task.root) for task in tasks for item in task.left_out]
    left_out += [_left_out_row(FOLDER, item, root) for item in (folder.left_out if folder is not None else ())]
    shortcuts = [row for part in parts if part.split == "test" for row in _shortcuts(part, image_size)]
    return IntakeReport(
        root=root,
        tasks=_frame("tasks", [_summary(part, files) for part in parts]),
        files=_frame("files", files),
        left_out=_frame("left_out", left_out),
        findings=_frame("findings", _finding_rows(problems, root)),
        shortcuts=_frame("shortcuts", shortcuts),
        parts=parts,
        thumbnails=thumbnails,
    )


def _frame(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS[name])


def _opened(
    source: Benchmark | str | Path,
) -> tuple[list[Task], ImageSet | None, list[LeftOut], list[tuple[str, Problem]]]:
    """Tasks, the images where there are none, what lies beside the tasks, and why others cannot be opened."""
    if isinstance(source, Benchmark):
        return list(source.values()), None, list(source.own_left_out), []
    root = Path(source)
    require_folder(root)
    tasks: list[Task] = []
    beside: list[LeftOut] = []
    problems: list[tuple[str, Problem]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the report says all of it
        try:
            names = task_names(root)
        except LayoutError as error:
            try:
                return [], open_folder(root), [], []
            except LayoutError:
                raise error from None
        for name in names:
            try:
                bench = open_benchmark(root, [name])
            except (ValueError, OSError) as error:
                problems.append((name, Problem("error", str(error))))
                continue
            tasks += bench.values()
            beside = bench.own_left_out
    return tasks, None, beside, problems


def _parts(task: Task) -> Iterator[Part]:
    """The splits of a task that are there."""
    for split, images in (("train", task.train), ("valid", task.valid), ("test", task.test)):
        if images is not None:
            yield Part(task.name, split, images)


def _files(part: Part) -> Iterator[dict[str, Any]]:
    """A row for each image, from its header; one whose header cannot be read has no facts."""
    images = part.images
    for i, path in enumerate(images.paths):
        row: dict[str, Any] = {
            "task": part.task,
            "split": part.split,
            "name": images.names[i],
            "label": ("normal", "anomalous")[images.labels[i]] if part.labelled else "",
            "kind": images.kinds[i] or "",
            "mask": images.mask_paths[i] is not None,
            "group": images.groups[i] or "",
        }
        try:
            facts = image_facts(path, pixels=False)
        except ImageError:
            yield row
            continue
        yield row | {
            "format": facts.kind,
            "width": facts.width,
            "height": facts.height,
            "bits": facts.bits,
            "channels": facts.channels,
            "orientation": facts.orientation,
            "modality": facts.modality or "",
        }


def _summary(part: Part, files: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of one split, from the rows of its files; unreadable are those whose pixels could not be decoded."""
    rows = [row for row in files if row["task"] == part.task and row["split"] == part.split]
    read = [row for row in rows if "format" in row]
    bad = int(part.images.labels.sum())
    return {
        "task": part.task,
        "split": part.split,
        "normal": len(rows) - bad if part.labelled else len(rows),
        "anomalous": bad if part.labelled else 0,
        "masks": sum(row["mask"] for row in rows),
        "groups": len({row["group"] for row in rows if row["group"]}),
        "sizes": _counted(f"{row['width']}x{row['height']}" for row in read),
        "bits": _counted(f"{row['bits']}-bit {'grey' if row['channels'] < 3 else 'colour'}" for row in read),
        "format": _counted(row["format"] for row in read),
        "modality": _counted(row["modality"] for row in read if row["modality"]),
        "turned": sum(row["orientation"] in ORIENTATIONS for row in read),
        "unreadable": int((~part.readable).sum()),
    }


def _counted(values: Iterator[str], most: int = 4) -> str:
    """ "512x512 (40), 256x256 (3)": the most frequent first; one value alone needs no count."""
    counts = Counter(values).most_common()
    if len(counts) == 1:
        return counts[0][0]
    more = f", {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(f"{value} ({count})" for value, count in counts[:most]) + more


def _left_out_text(task: Task) -> str | None:
    """The one warning about files left out, which has a table of its own."""
    return task.warnings[0] if task.left_out and task.warnings else None


def _left_out_row(name: str, item: LeftOut, root: Path) -> dict[str, Any]:
    """A row of files left out; their path, relative to the task where they lie within it."""
    path = item.path.relative_to(root) if item.path.is_relative_to(root) else item.path
    return {"task": name, "place": path.as_posix(), "files": item.count, "first": item.first, "why": item.why}


def _finding_rows(problems: list[tuple[str, Problem]], root: Path) -> list[dict[str, Any]]:
    """Errors first; paths within the folder, and without the task's name, which has a column of its own."""
    prefixes = {f"{root}/", f"{root.absolute()}/"}
    rows = []
    for name, problem in sorted(problems, key=lambda pair: pair[1].severity):
        text = problem.message
        for prefix in sorted(prefixes, key=len, reverse=True):
            text = text.replace(prefix, "")
        text = text.removeprefix(f"task '{name}': ")
        rows.append({"task": name, "severity": problem.severity, "finding": text})
    return rows


def _shortcuts(part: Part, size: int) -> Iterator[dict[str, Any]]:
    """AUROC of every statistic on the readable test images, best first; none where a class is missing."""
    values = _statistics(part, size)
    labels = part.images.labels[part.readable]
    bad, good = int(labels.sum()), int((1 - labels).sum())
    if not part.labelled or not bad or not good:
        return
    limit = min(1.0, 0.5 + CHANCE * float(np.sqrt((good + bad + 1) / (12 * good * bad))))
    aurocs = {name: image_auroc(labels, value) for name, value in values.items()}
    for name, auroc in sorted(aurocs.items(), key=lambda pair: -abs(pair[1] - 0.5)):
        yield {
            "task": part.task,
            "statistic": name,
            "anomalous are": "higher" if auroc >= 0.5 else "lower",
            "AUROC": max(auroc, 1 - auroc),
            "chance up to": limit,
            "normal": good,
            "anomalous": bad,
        }


def _statistics(part: Part, size: int) -> dict[str, np.ndarray]:
    """Every statistic of the readable images; one that was damaged since it was inspected counts no longer."""
    blocks: list[dict[str, np.ndarray]] = []
    for start in range(0, len(part.images), BATCH):
        indices = np.flatnonzero(part.readable[start : start + BATCH]) + start
        for i in indices:
            try:
                part.images.images(size, [i])
            except ImageError:
                part.readable[i] = False
        indices = indices[part.readable[indices]]
        if len(indices):
            blocks.append(image_statistics(part.images.images(size, indices)) | file_statistics(part.images, indices))
    return {name: np.concatenate([block[name] for block in blocks]) for name in (blocks[0] if blocks else ())}
