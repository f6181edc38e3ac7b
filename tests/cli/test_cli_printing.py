"""What commands print goes through two functions, which show names without control characters."""

from __future__ import annotations

import re
from pathlib import Path

import d24fad_lite.cli

HOME = Path(d24fad_lite.cli.__file__).parent


def test_no_command_prints_by_itself() -> None:
    printing = re.compile(r"(?<![\w.])print\(|typer\.echo\(|sys\.std(out|err)\.write")
    found = [path.name for path in sorted(HOME.glob("*.py")) for _ in printing.findall(path.read_text("utf-8"))]
    # An option without its value; the version; a line on stderr, and results on stdout.
    assert found == ["__init__.py", "app.py", "errors.py", "errors.py"]
