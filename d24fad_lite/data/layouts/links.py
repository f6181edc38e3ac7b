"""Symbolic links that lead out of a data folder: what they lead to is read, and may not be meant to be."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from d24fad_lite.data.layouts.left_out import MOST_NAMED
from d24fad_lite.data.names import natural_key


def links_warning(root: Path, folders: Iterable[Path]) -> list[str]:
    """At most one sentence, which counts and names the links in these folders whose target lies outside of `root`."""
    home = os.path.realpath(root)
    links = sorted((link for folder in folders for link in _links_out(folder, home)), key=natural_key)
    if not links:
        return []
    named = [f"{_shown(link, root)} -> {os.path.realpath(link)}" for link in links[:MOST_NAMED]]
    more = f"; and {len(links) - MOST_NAMED} more" if len(links) > MOST_NAMED else ""
    return [
        f"folder '{root.name or root}': {len(links)} link(s) lead out of it, and what they lead to is read: "
        f"{'; '.join(named)}{more}; remove a link that you do not know"
    ]


def _links_out(folder: Path, home: str) -> Iterator[Path]:
    """The folder itself where it lies elsewhere, else the links out of `home` in it and below; none is followed."""
    if not Path(os.path.realpath(folder)).is_relative_to(home):
        yield folder
        return
    for current, folders, files in os.walk(folder):
        for path in (Path(current, name) for name in (*folders, *files)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
                yield path


def _shown(link: Path, root: Path) -> str:
    return link.relative_to(root).as_posix() if link.is_relative_to(root) else link.as_posix()
