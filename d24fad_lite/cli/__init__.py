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
    if place := _empty_value(words):
        print(f"error: the value {place} is empty; give one, or leave the option out", file=sys.stderr)
        raise SystemExit(2)
    app(words, prog_name="d24fad")


def _empty_value(words: Sequence[str]) -> str:
    """Where a value is empty, which is mostly a variable of the shell that is not set; "" where none is."""
    for before, word in zip(["", *words], words, strict=False):
        option, sign, value = word.partition("=")
        if not word.strip():
            return f"after {before}" if before else "of the first argument"
        if option.startswith("--") and sign and not value.strip():
            return f"of {option}"
    return ""
