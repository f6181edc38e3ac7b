"""catalog.yml: title, goals and measured needs of every notebook; what lists the lessons comes from it.

notebooks:
  04_dual_distillation:
    title: Dual distillation              # from the notebook's title
    brief: the student and two losses     # by hand, about five words: README and the start page
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
        by_hand = {"brief": entry.get("brief", ""), "device": entry.get("device", "CPU")}
        new[name] = {"title": title, **by_hand, "goals": goals, "measured": figures}
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
        parts.append(f"about {_duration(figures['minutes'])}, {figures['memory_gb']:g} GB ({profile})")
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
    """The table of notebooks in Markdown, for README: title, five words, needs."""
    rows = ["| notebook | in five words | needs |", "|---|---|---|"]
    for name, entry in entries.items():
        rows.append(f"| {link(name, entry, folder)} | {entry.get('brief', '')} | {needs(entry)} |")
    return "\n".join(rows)


def link(name: str, entry: Mapping[str, Any], folder: str = "") -> str:
    """ "[06b · Title](06b_name.ipynb)": number and title of a lesson, leading to it."""
    return f"[{number_of(name)} · {entry['title']}]({folder}{name}.ipynb)"


def time_of(entry: Mapping[str, Any], profile: str = "quick") -> str:
    """ "45 s", "1.25 min": what a notebook took in a profile, "–" where that is not measured yet."""
    figures = entry.get("measured", {}).get(profile)
    return _duration(figures["minutes"]) if figures else "–"


def total_time(entries: Mapping[str, Any], profile: str = "quick") -> str:
    """ "about 9 min": what all notebooks together took in a profile, one after the other."""
    minutes = sum(figures["minutes"] for figures in _measured(entries, profile))
    return f"about {_duration(minutes if minutes < 5 else round(minutes))}"


def largest_memory(entries: Mapping[str, Any], profile: str = "quick") -> str:
    """ "2.75 GB": what the largest of the notebooks took in a profile."""
    return f"{max((figures['memory_gb'] for figures in _measured(entries, profile)), default=0):g} GB"


def _measured(entries: Mapping[str, Any], profile: str) -> list[Mapping[str, float]]:
    return [entry["measured"][profile] for entry in entries.values() if profile in entry.get("measured", {})]


def _duration(minutes: float) -> str:
    return f"{minutes * 60:.0f} s" if minutes < 1 else f"{minutes:g} min"


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
