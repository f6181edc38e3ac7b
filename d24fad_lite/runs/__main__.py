"""python -m d24fad_lite.runs: run the notebook series, write its report again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The commands run (default) and report. Returns the exit code: 0, 1 failed, 2 wrong usage, 130 stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] not in {"run", "report", "-h", "--help"}:
        words.insert(0, "run")
    options = _parser().parse_args(words)
    try:
        return options.command(options)
    except (ValueError, FileNotFoundError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return USAGE_ERROR


def _run(options: argparse.Namespace) -> int:
    from d24fad_lite.runs.series import run_series

    parameters = dict(_pair(text) for text in options.parameter)
    return run_series(
        options.names,
        options.profile,
        options.out,
        parameters,
        options.timeout,
        options.resume,
        options.root,
        options.jobs,
        options.show_names,
    )


def _report(options: argparse.Namespace) -> int:
    from d24fad_lite.runs.report_page import write_report

    print(write_report(Path(options.folder)).as_posix())
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise ValueError(f"parameter {text!r} must be written name=value, for instance -p seed=1")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m d24fad_lite.runs", description=__doc__)
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="execute notebooks with papermill (the default command)")
    run.add_argument("names", nargs="*", help="notebooks: whole name, number or words; none for all")
    run.add_argument("--profile", default="", help="quick, standard or full (default: D24FAD_PROFILE, else quick)")
    run.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--out", help="folder of the run (default: runs/<stamp>)")
    silence = "seconds without progress that stop a notebook, 0 for never (default: the profile's)"
    run.add_argument("--timeout", type=float, help=silence)
    run.add_argument("--jobs", type=int, help="notebooks at a time (default: the profile's, at most one per core)")
    run.add_argument("--resume", action="store_true", help="take over what the latest run (or --out) completed")
    run.add_argument("--names", dest="show_names", action="store_true", help="leave names of your files in the results")
    run.add_argument("--root", help="the checkout (default: found from the working directory)")
    run.set_defaults(command=_run)
    report = commands.add_parser("report", help="write report.html of a run again")
    report.add_argument("folder")
    report.set_defaults(command=_report)
    return parser


if __name__ == "__main__":
    sys.exit(main())
