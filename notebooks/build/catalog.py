"""catalog.yml: title, goals and measured needs of every notebook; README's table and the "Needs" lines come from it.

notebooks:
  04_dual_distillation:
    title: Dual distillation              # from the notebook's title
    goals: [how the teacher ...]          # from its "You will learn"
    device: CPU                           # by hand
    measured:                             # by the build
      quick: {minutes: 0.5, memory_gb: 0.75}
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.pairing import text_names, text_path
from d24fad_lite.files import write_text
from d24fad_lite.lessons.numbering import number_of

HEADER = "# Written by `python notebooks/build`: figures are measured, texts come from the notebooks.\n"
BEGIN, END = "<!-- notebooks:begin -->", "<!-- notebooks:end -->"
NEEDS = re.compile(r"^# \*\*Needs:\*\*.*$", re.MULTILINE)
MINUTES_STEP, MEMORY_STEP = 0.25, 0.25
INDEX_HEAD = """# Few-shot medical anomaly detection by dual distillation

Open the notebooks in order: click a link, then *Run > Run All Cells*. Each stands on its own, and ends with questions
to check yourself and with exercises (the same exercises as notebooks of their own: [exercises](exercises/)). The sample
images are synthetic; nothing here is for clinical use.
"""
INDEX_TAIL = """Needs were measured in the profile `quick` on two cores. Edit the texts in `build/texts/`, not the
notebooks: `make notebooks` builds them, this page and the exercises anew.
"""


@dataclass(frozen=True)
class Measured:
    """What a run took: wall-clock seconds, and the peak memory of the kernel's processes in MB."""

    seconds: float
    peak_mb: float


def read_catalog(notebooks: Path) -> dict[str, Any]:
    """The entries of catalog.yml by notebook name; empty when there is no file."""
    import yaml

    path = notebooks / "catalog.yml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("notebooks", {}) if path.is_file() else {}


def update_catalog(
    notebooks: Path, names: Collection[str], measured: Mapping[str, Measured], profile: str
) -> dict[str, Any]:
    """Bring catalog.yml up to date: titles and goals of `names` from their texts, new figures where given.

    Other entries stay as they are. An entry whose text is no longer there is removed.
    """
    import yaml

    old, new = read_catalog(notebooks), {}
    for name in text_names(notebooks):
        if name not in names:
            new |= {name: old[name]} if name in old else {}
            continue
        entry = dict(old.get(name, {}))
        title, goals = title_and_goals(text_path(notebooks, name).read_text(encoding="utf-8"), name)
        figures = dict(entry.get("measured", {}))
        if name in measured:
            figures[profile] = rounded(measured[name], figures.get(profile))
        device = entry.get("device", "CPU")
        new[name] = {"title": title, "goals": goals, "device": device, "measured": figures}
    text = yaml.safe_dump({"notebooks": new}, sort_keys=False, allow_unicode=True, width=110)
    write_text(notebooks / "catalog.yml", HEADER + text)
    return new


def rounded(measured: Measured, stored: Mapping[str, float] | None = None) -> dict[str, float]:
    """Minutes and GB rounded up to quarters; a stored figure stays unless the new one is more than a step away."""
    figures = {"minutes": (measured.seconds / 60, MINUTES_STEP), "memory_gb": (measured.peak_mb / 1000, MEMORY_STEP)}
    result = {}
    for key, (value, step) in figures.items():
        result[key] = max(step, math.ceil(value / step) * step)
        if stored and key in stored and abs(stored[key] - result[key]) <= step:
            result[key] = stored[key]
    return result


def title_and_goals(text: str, name: str) -> tuple[str, list[str]]:
    """Title and the points under "You will learn" of a py:percent text. Raises ValueError when one is absent."""
    title = re.search(r"^# # (?:\d\d[a-z]?\s*·\s*)?(.+)$", text, re.MULTILINE)
    block = re.search(r"^# \*\*You will learn.*\n((?:#\s*\n)?(?:#\s+(?:[-*] )?.*\S.*\n)+)", text, re.MULTILINE)
    if title is None or block is None:
        absent = "title line '# # NN · Title'" if title is None else "'**You will learn**' followed by a list"
        raise ValueError(
            f"build/texts/{name}.py has no {absent} in its first text cell; see the guide in notebooks/build/making.py"
        )
    goals: list[str] = []
    for line in block.group(1).splitlines():
        words = line.lstrip("#").strip()
        if words[:2] in ("- ", "* "):
            goals.append(words[2:])
        elif goals and words and not words.startswith("**"):
            goals[-1] += f" {words}"
    return title.group(1).strip(), goals


def needs(entry: Mapping[str, Any]) -> str:
    """ "CPU · about 0.5 minutes · 0.75 GB (quick)": the device, and the figures of each measured profile."""
    parts = []
    for profile, figures in entry.get("measured", {}).items():
        minutes = figures["minutes"]
        time = f"about {minutes * 60:.0f} s" if minutes < 1 else f"about {minutes:g} min"
        parts.append(f"{time}, {figures['memory_gb']:g} GB ({profile})")
    return " · ".join([str(entry.get("device", "CPU")), *(parts or ["not measured yet"])])


def update_needs_lines(notebooks: Path) -> list[str]:
    """Rewrite each text's "Needs" line from the catalog; returns the names whose text changed."""
    changed = []
    for name, entry in read_catalog(notebooks).items():
        path = text_path(notebooks, name)
        text = path.read_text(encoding="utf-8")
        line = f"# **Needs:** {needs(entry)}"
        renewed = NEEDS.sub(lambda _match, line=line: line, text, count=1)
        if renewed != text:
            write_text(path, renewed)
            changed.append(name)
    return changed


def table(entries: Mapping[str, Any], folder: str = "notebooks/") -> str:
    """The table of notebooks in Markdown, for README or (with `folder` "") for the index beside the notebooks."""
    rows = ["| notebook | you will learn | needs |", "|---|---|---|"]
    for name, entry in entries.items():
        link = f"[{number_of(name)} · {entry['title']}]({folder}{name}.ipynb)"
        goals = "; ".join(goal.rstrip(" ;.,") for goal in entry["goals"])
        rows.append(f"| {link} | {goals} | {needs(entry)} |")
    return "\n".join(rows)


def index_page(entries: Mapping[str, Any]) -> str:
    """The page that JupyterLab opens on: where to begin, and the table."""
    return f"{INDEX_HEAD}\n{table(entries, folder='')}\n\n{INDEX_TAIL}"


def update_index(notebooks: Path) -> bool:
    """Renew notebooks/index.md; returns whether it changed."""
    path, page = notebooks / "index.md", index_page(read_catalog(notebooks))
    if path.is_file() and path.read_text(encoding="utf-8") == page:
        return False
    write_text(path, page)
    return True


def update_readme(root: Path) -> bool:
    """Renew the table between the two markers of README.md; False when README or the markers are absent."""
    path = root / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if BEGIN not in text or END not in text:
        return False
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    renewed = f"{head}{BEGIN}\n{table(read_catalog(root / 'notebooks'))}\n{END}{tail}"
    if renewed != text:
        write_text(path, renewed)
    return True
