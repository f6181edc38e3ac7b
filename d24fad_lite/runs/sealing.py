"""What an executed notebook and its metrics tell of the machine and of the patients, taken out before they are shared.

Folders are called by the parameter that names them (ROOT/HIS/test), others are cut to their last name; files below
such a folder and the groups of its groups.csv get ids (image 0007). The key to the ids that came up is written as
names.csv beside metrics.json, and is private.
"""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from html import escape
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from d24fad_lite.csv_files import read_csv
from d24fad_lite.data.layouts.folder_walk import is_document, walk
from d24fad_lite.data.samples.world import is_sample_world
from d24fad_lite.files import read_json_or_none, write_json, write_text
from d24fad_lite.lessons.checkout import PACKAGE_PARENT
from d24fad_lite.lessons.profiles import named_data, resolve_profile
from d24fad_lite.messages import beside_pictures, printable, without_folders
from d24fad_lite.private_names import neutral_names, write_key
from d24fad_lite.runs.identity import named_place

if TYPE_CHECKING:
    from nbformat import NotebookNode

GROUPS = "groups.csv"
LISTINGS = {GROUPS, "data.json", "meta.json"}  # names that say nothing
SHORTEST, SHORTEST_NUMBER = 4, 6  # of a stem or a group that is told from an ordinary word or number
CUT = range(44, 51)  # where tables cut a long text and put three dots
TOLD = {"text", "ename", "evalue", "traceback", "metadata"}  # what an output says beside its data
PICTURES = ("image/", "video/", "audio/", "application/pdf")
WORDS = {"good", "normal", "abnormal", "anomaly", "ungood", "train", "test", "valid", "mask", "image", "label"}
PLAIN = re.compile(r"[\w./-]+", re.ASCII)  # a text that a page or an escape shows as it is
ENDS, FOLDER_ENDS = r"(?!\w)", r"(?![\w-]|\.\w)"  # /home/me is no part of /home/me-too
BEGINS = r"(?:(?<!\w)|(?<=\x1b\[\dm)|(?<=\x1b\[\d\dm)|(?<=;\d\dm))"  # also behind a colour's code


class Seal:
    """Takes paths and names out of texts.

    Parameters
    ----------
    folders : path as a text -> what stands in its place
    ids : name of a file or a group -> its id

    Attributes
    ----------
    used : those of `ids` that came up
    """

    def __init__(self, folders: Mapping[str, str], ids: Mapping[str, str]) -> None:
        self.used: dict[str, str] = {}
        self._ids = ids
        self._called = _called(ids)
        self._places = dict(folders) | {escape(path): place for path, place in folders.items()}
        self._folders = _alternatives(self._places, FOLDER_ENDS)
        self._written: dict[str, str] = {}  # a name as a page, an escape or a table shows it -> the name
        self._names: re.Pattern[str] | None = None

    def look_at(self, texts: Iterable[str]) -> None:
        """Find which names come up in these texts: `text` replaces those, and does not search for all others."""
        everything = "\n".join(texts)
        cut = "..." in everything
        for form, name in self._called.items():
            if PLAIN.fullmatch(form) and form not in everything and not (cut and len(form) > CUT.start):
                continue  # most do not come up, and of a data set there are many
            shown = {form, escape(form), escape(form, quote=False), printable(form), repr(form)[1:-1]}
            shown |= {f"{form[:length]}..." for length in CUT if len(form) > length}
            for text in shown:
                if text in everything:
                    self._written.setdefault(text, name)
        self._names = _alternatives(self._written, ENDS) if self._written else None

    def paths(self, text: str) -> str:
        """The text with the folders that are known called by their parameters."""
        return self._folders.sub(lambda match: self._places[match[0]], text) if self._places else text

    def text(self, text: str) -> str:
        """The text without names and without folders."""
        return without_folders(beside_pictures(text, self._without_names))

    def value(self, value: Any) -> Any:
        """Plain values as of JSON, their texts and keys without names and folders."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list) else value

    def _without_names(self, text: str) -> str:
        text = self.paths(text)
        return self._names.sub(self._neutral, text) if self._names is not None else text

    def _neutral(self, match: re.Match[str]) -> str:
        name = self._written[match[0]]
        self.used[name] = self._ids[name]
        return self._ids[name]


def seal_of(output: Path, cwd: Path, parameters: Mapping[str, Any], names: bool) -> Seal:
    """The seal for a notebook that is run into `output`.

    cwd : the kernel's folder, from which relative paths count
    parameters : values it was run with
    names : whether names stay
    """
    given = {name: value for name, value in parameters.items() if isinstance(value, str) and value.strip()}
    places = {name: named_place(cwd, value) for name, value in given.items() if name != "out"} | _root(cwd, parameters)
    inputs = {name: path for name, path in places.items() if path is not None}
    folders = {str(Path.home()): "~"}
    for checkout in (str(PACKAGE_PARENT), str(cwd.parent)):
        folders |= {checkout: ".", f"{checkout}{os.sep}": ""}
    for name, path in inputs.items():
        forms = (given.get(name, ""), str(path), str(path.resolve()), os.path.relpath(path, cwd))
        folders |= {form.rstrip("/\\"): name.upper() for form in forms if os.sep in form.strip("./\\")}
    out = output.parent.resolve()
    if not out.is_relative_to(cwd.parent):
        folders |= {str(out): ".", Path(os.path.relpath(out, cwd)).as_posix(): "."}
    own = [path for path in inputs.values() if path.is_dir() and not is_sample_world(path)]
    return Seal(folders, {} if names else ids_below(own))


def seal_results(seal: Seal, output: Path, metrics: Path | None) -> None:
    """Rewrite an executed notebook and its metrics.json without names and folders; names.csv has the key."""
    import nbformat

    numbers = read_json_or_none(metrics) if metrics is not None else None
    notebook = nbformat.read(output, as_version=4) if output.is_file() else None
    seal.look_at([*_texts(numbers), *_texts(notebook)])
    if notebook is not None:
        _seal_notebook(seal, notebook, output.name)
        write_text(output, nbformat.writes(notebook) + "\n")
    if metrics is not None and numbers is not None:
        sealed = seal.value(numbers)
        if sealed != numbers:
            write_json(metrics, sealed)
    if seal.used:
        write_key(metrics.parent if metrics is not None else output.with_suffix(""), seal.used)


def without_places(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, those that name a place on the disk by their own name: root=ROOT."""
    places = {name for name, value in parameters.items() if isinstance(value, str) and re.match(r"~|.*[/\\]", value)}
    return {name: name.upper() if name in places else value for name, value in parameters.items()}


def ids_below(folders: Iterable[Path]) -> dict[str, str]:
    """Names of the files below these folders, as paths from there, and of their groups -> ids."""
    files, groups = set(), set()
    for folder in folders:
        for path in walk(folder, defaultdict(list)):
            if path.name.lower() == GROUPS:
                groups |= _groups(path)
            elif not is_document(path.name) and path.name.lower() not in LISTINGS:
                files.add(path.relative_to(folder).as_posix())
    return neutral_names(groups, "group") | neutral_names(files, "image")


def _called(ids: Mapping[str, str]) -> dict[str, str]:
    """Every way in which a file or a group may be called: from any folder on, and without its ending -> its name."""
    folders = {part.lower() for name in ids for part in PurePosixPath(name).parts[:-1]}
    called: dict[str, str] = {}
    for name in ids:
        parts = PurePosixPath(name).parts
        for form in (*("/".join(parts[start:]) for start in range(len(parts))), PurePosixPath(name).stem):
            if "/" in form or "." in form or _tells(form, folders):
                called.setdefault(form, name)
    return called


def _tells(text: str, folders: set[str]) -> bool:
    """Whether a stem or a group tells somebody, rather than being a word of the layout or a small number."""
    return len(text) >= (SHORTEST_NUMBER if text.isdigit() else SHORTEST) and text.lower() not in folders | WORDS


def _groups(path: Path) -> set[str]:
    """The second column of a groups.csv; nothing where it cannot be read."""
    with suppress(OSError, ValueError, csv.Error):
        rows = read_csv(path)
        column = [cell.strip().lower() for cell in rows[0]].index("group")
        return {row[column].strip() for row in rows[1:] if len(row) > column and row[column].strip()}
    return set()


def _root(cwd: Path, parameters: Mapping[str, Any]) -> dict[str, Path]:
    """The user's own folder of tasks, which may also come from the environment."""
    if "root" not in parameters:
        return {}
    with suppress(ValueError, OSError):  # the notebook will say what is wrong
        data = named_data(resolve_profile(parameters.get("profile", "")), parameters["root"])
        return {"root": cwd / data} if data is not None else {}
    return {}


def _alternatives(texts: Iterable[str], ends: str) -> re.Pattern[str]:
    """A pattern for any of the texts, the longest first, as whole words; `ends` says what may not follow a word."""
    ordered = sorted(texts, key=len, reverse=True)
    words = (
        f"{BEGINS * text[0].isalnum()}{re.escape(text)}{ends * text[-1].isalnum()}" for text in ordered if text.strip()
    )
    return re.compile("|".join(words) or r"(?!)")


def _seal_notebook(seal: Seal, notebook: NotebookNode, name: str) -> None:
    """Take names and folders out of outputs and parameters, and folders out of all code, in place."""
    import nbformat

    facts = notebook.metadata.get("papermill", {})
    facts.update(nbformat.from_dict(seal.value({**facts, "output_path": name} if facts else {})))
    for cell in notebook.cells:
        of_parameters = {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", []))
        cell.source = seal.text(cell.source) if of_parameters else seal.paths(cell.source)
        for output in cell.get("outputs", []):
            output.update(nbformat.from_dict({key: seal.value(output[key]) for key in TOLD & output.keys()}))
            for kind, content in output.get("data", {}).items():
                if not kind.startswith(PICTURES):
                    output.data[kind] = nbformat.from_dict(seal.value(content))


def _texts(value: Any) -> Iterator[str]:
    """All texts in plain values, pictures excepted."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not (isinstance(item, str) and str(key).startswith(PICTURES)):
                yield str(key)
                yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
