"""The command line `d24fad`: the package's verbs for shells and scripts, one module per group of commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `d24fad` with the given arguments (default: the process's own) and exit.

    Exit codes: 0 done; 1 done, but something failed on the way (named on stderr); 2 wrong usage or an error that
    stopped the command, in one line on stderr; 130 stopped with Ctrl-C. `--debug` may stand anywhere and shows where
    an error came from.
    """
    from d24fad_lite.cli.app import app

    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" in words:
        words = ["--debug", *(word for word in words if word != "--debug")]
    app(words, prog_name="d24fad")
