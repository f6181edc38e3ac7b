"""The site of `make docs`: README, lessons, benchmarks, the command line and an API reference, laid out for Sphinx.

    python notebooks/build/site_pages.py OUT        pages in OUT/source, the site in OUT/html; a warning is an error
    python notebooks/build/site_pages.py OUT --links    also ask every address outside whether it answers

The pages keep their places of the checkout, so links between them hold in both. The reference lists what the front door
offers, room by room; nothing is listed by hand.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from d24fad_lite.lessons.numbering import lesson_files

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = Path(__file__).resolve().parent / "site"
COPIED = (
    *("README.md", "RELIABILITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"),
    *("notebooks/[0-9]*.ipynb", "notebooks/*.png"),
    *("benchmarks/*.md", "benchmarks/*.png", "benchmarks/*.py"),
    *("d24fad_lite/model/weights/CARD.md", "d24fad_lite/model/config.py"),
)
ROOMS = {
    "data": "Data",
    "model": "Model",
    "training": "Training",
    "evaluation": "Evaluation",
    "supports": "Choosing supports",
    "predicting": "Predicting",
    "figures": "Figures",
    "interactive": "Widgets",
    "runs": "Unattended runs",
}


def lay_out(source: Path) -> None:
    """Write all pages of the site into the folder `source`, anew."""
    shutil.rmtree(source, ignore_errors=True)
    for pattern in COPIED:
        for path in sorted(ROOT.glob(pattern)):
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    pages = reference_pages() | {"reference/command_line": command_line_page()}
    for name, text in pages.items():
        suffix = ".rst" if text.startswith("..") else ".md"
        target = source / (name + suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    (source / "index.md").write_text(front_page(source, list(pages)), encoding="utf-8")
    (source / "README.md").unlink()


def front_page(source: Path, references: list[str]) -> str:
    """README as the first page, its table of lessons included, and the tables of contents of the site."""
    readme = (source / "README.md").read_text(encoding="utf-8")
    lessons = [f"notebooks/{path.stem}" for path in lesson_files(source / "notebooks")]
    benchmarks = [f"benchmarks/{path.stem}" for path in sorted((source / "benchmarks").glob("*.md"))]
    parts = {"Lessons": lessons, "Reference": references, "Measured": benchmarks,
             "Project": ["RELIABILITY", "CONTRIBUTING", "CHANGELOG", "d24fad_lite/model/weights/CARD"]}  # fmt: skip
    readme = readme.replace("[benchmarks](benchmarks/)", "[benchmarks](benchmarks/RESULTS.md)")  # no folders on a site
    return readme + "".join(_contents(caption, names) for caption, names in parts.items())


def reference_pages() -> dict[str, str]:
    """One page for each room of the package, and one for what lessons call: every public name with its docstring."""
    import d24fad_lite as d2
    from d24fad_lite import lessons

    homes = {name: home for name, home in d2._HOME.items()}
    rooms: dict[str, list[str]] = {}
    for name, home in homes.items():
        rooms.setdefault(home.split(".")[0], []).append(name)
    pages = {f"reference/{room}": _reference(ROOMS.get(room, room.capitalize()), d2, names)
             for room, names in sorted(rooms.items(), key=lambda item: list(ROOMS).index(item[0]))}  # fmt: skip
    return pages | {"reference/lessons": _reference("What a lesson calls", lessons, list(lessons.__all__))}


def command_line_page() -> str:
    """The help of every command, as typer writes it for documentation."""
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from d24fad_lite.cli.app import app

    command = get_command(app)
    import click

    text = get_docs_for_click(obj=command, ctx=click.Context(command, info_name="d24fad"), name="d24fad")
    text = re.sub(r"\x08\n((?:.*\S.*\n)+)", r"\n```text\n\1```\n", text)  # \b: click keeps these lines as they are
    return re.sub(r"\n{3,}", "\n\n", text).replace("# `d24fad`", "# Command line", 1)


def _reference(title: str, module: ModuleType, names: list[str]) -> str:
    lines = [f".. currentmodule:: {module.__name__}", "", title, "=" * len(title), ""]
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value):
            kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        else:
            kind = "autofunction" if callable(value) else "py:data"
        lines += [name, "-" * len(name), "", f".. {kind}:: {name}", ""]
        if kind == "py:data":
            lines += [f"   {line}" for line in (_comment_above(module._HOME[name], name), "", _shown(value))] + [""]
    return "\n".join(lines)


def _comment_above(home: str, name: str) -> str:
    """The comment over the line that defines a constant: data have no docstring of their own."""
    place, _, inner = home.partition(":")
    source = inspect.getsource(importlib.import_module(f"d24fad_lite.{place}"))
    found = re.search(rf"((?:^# .*\n)*)^{inner or name}\b.* = ", source, re.MULTILINE)
    return " ".join(line.removeprefix("# ") for line in found[1].splitlines()) if found else ""


def _shown(value: object) -> str:
    """A constant as one line: the keys of a mapping, else the value itself."""
    if isinstance(value, Mapping):
        return "Keys: " + ", ".join(f"``{key}``" for key in value)
    return f"Value: ``{value!r}``"


def _contents(caption: str, names: list[str]) -> str:
    return "\n```{toctree}\n:hidden:\n:maxdepth: 1\n:caption: " + caption + "\n\n" + "\n".join(names) + "\n```\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the pages and the site")
    parser.add_argument("--links", action="store_true", help="ask every address outside the site whether it answers")
    options = parser.parse_args()
    from sphinx.cmd.build import main as sphinx

    lay_out(options.out / "source")
    common = ["-q", "-W", "--keep-going", "-c", str(CONFIGURATION), str(options.out / "source")]
    code = sphinx([*common, str(options.out / "html")])
    if code == 0 and options.links:
        code = sphinx(["-b", "linkcheck", *common, str(options.out / "links")])
    print(f"the site: {options.out / 'html' / 'index.html'}" if code == 0 else "the site has faults, see above")
    return code


if __name__ == "__main__":
    sys.exit(main())
