"""Lessons come in by the front door: `import d24fad_lite as d2` and `d24fad_lite.lessons`, nothing deeper.

So what a lesson teaches is a public name of the package, and a reader finds it where the lesson found it.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

import d24fad_lite
from build.pairing import read_text
from d24fad_lite import lessons
from d24fad_lite.lessons.numbering import lesson_files

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PAGES = sorted(
    [
        *lesson_files(NOTEBOOKS),
        *lesson_files(NOTEBOOKS / "exercises"),
        *lesson_files(NOTEBOOKS / "build" / "texts", ".py"),
    ]
)
DOORS = [d24fad_lite, lessons]


def code_cells(page: Path) -> Iterator[str]:
    notebook = read_text(page) if page.suffix == ".py" else nbformat.read(page, as_version=4)
    return (cell.source for cell in notebook.cells if cell.cell_type == "code")


def wrong_imports(source: str) -> list[str]:
    """Imports of the kit that do not come in by one of the two doors."""
    wrong = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "d24fad_lite":
            if node.module != "d24fad_lite.lessons" or not {a.name for a in node.names} <= set(lessons.__all__):
                wrong.append(ast.unparse(node))
        elif isinstance(node, ast.Import):
            wrong += [
                f"import {alias.name}"
                for alias in node.names
                if alias.name.split(".")[0] == "d24fad_lite" and (alias.name, alias.asname) != ("d24fad_lite", "d2")
            ]
    return wrong


def unknown_names(source: str) -> set[str]:
    """Names that are taken from d2 and are not public."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    taken = {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == "d2"}
    return taken - set(d24fad_lite.__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(NOTEBOOKS).as_posix())
def test_a_lesson_takes_everything_from_the_two_doors(page: Path) -> None:
    for source in code_cells(page):
        assert wrong_imports(source) == [] and unknown_names(source) == set(), source


def test_another_way_in_would_be_seen() -> None:
    assert wrong_imports("from d24fad_lite.model.losses import fuse") and wrong_imports("import d24fad_lite.model")
    assert wrong_imports("from d24fad_lite.lessons.lesson import start_lesson") and wrong_imports("import d24fad_lite")
    assert wrong_imports("from d24fad_lite import fit") and wrong_imports("from d24fad_lite.lessons import settled")
    assert not wrong_imports("import torch\nimport d24fad_lite as d2\nfrom d24fad_lite.lessons import same")
    assert unknown_names("d2.evaluat(model, d2.model)") == {"evaluat", "model"}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_every_public_name_is_there_listed_and_described(door: object) -> None:
    assert set(door._HOME) <= set(door.__all__) == set(dir(door))
    undescribed = [
        name
        for name in door._HOME
        if (inspect.isroutine(value := getattr(door, name)) or inspect.isclass(value)) and not inspect.getdoc(value)
    ]
    assert undescribed == []


def missing_from_its_documentation(name: str, value: object) -> list[str]:
    """What numpydoc asks of a public function or class and its docstring lacks."""
    text = inspect.getdoc(value) or ""
    plain_error = inspect.isclass(value) and issubclass(value, Exception)
    signature = [] if plain_error else inspect.signature(value).parameters
    inner = ("decoded",)  # the cache of decoded images, which the kit alone sets
    parameters = [parameter for parameter in signature if not parameter.startswith("_") and parameter not in inner]
    missing = [f"{name}: {parameter}" for parameter in parameters if not re.search(rf"\b{parameter}\b", text)]
    if parameters and not re.search(r"^(Parameters|Attributes)$", text, flags=re.MULTILINE):
        missing.append(f"{name}: Parameters")
    gives = inspect.isroutine(value) and value.__annotations__.get("return") != "None"
    if gives and not re.search(r"^(Returns|Yields)$", text, flags=re.MULTILINE):
        missing.append(f"{name}: Returns")
    return missing


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_every_public_name_documents_its_parameters_and_what_it_returns(door: object) -> None:
    described = {name: getattr(door, name) for name in door._HOME}
    described = {name: value for name, value in described.items() if inspect.isroutine(value) or inspect.isclass(value)}
    assert [gap for name, value in described.items() for gap in missing_from_its_documentation(name, value)] == []


def test_a_gap_in_a_docstring_would_be_seen() -> None:
    def scale(image: int, factor: int) -> int:
        """Scale an image."""
        return image * factor

    gaps = ["scale: factor", "scale: Parameters", "scale: Returns"]
    assert missing_from_its_documentation("scale", scale) == gaps


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_types_see_the_same_names_as_programs(door: object) -> None:
    """The imports under TYPE_CHECKING, which editors and mypy read, are those of the table that runs."""
    tree = ast.parse(Path(door.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname or alias.name: f"{node.module.removeprefix('d24fad_lite.')}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: home if ":" in home else f"{home}:{name}" for name, home in door._HOME.items()}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_misspelt_name_is_answered_with_the_closest_one(door: object) -> None:
    name = max(door._HOME)
    with pytest.raises(AttributeError, match=rf"no attribute '{name}x' \(did you mean '{name}'\?\)"):
        getattr(door, f"{name}x")
