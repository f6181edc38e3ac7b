"""Make notebooks/*.ipynb, the exercises and the pages about them from the texts beside this file.

python notebooks/build [NAMES]          convert, execute (profile quick), clean, measure; catalogue, README, index
python notebooks/build --no-execute     convert only, keep the outputs of unchanged cells
python notebooks/build --check          change nothing; exit code 1 when a notebook differs from its text
python notebooks/build --assignments OUT [NAMES]    the exercises as nbgrader assignments, in OUT/source/<lesson>/
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # `python FOLDER` puts the folder itself on the path; its modules are those of the package `build`
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from build.assignments import write_assignments
from build.exercises import check_exercises
from build.making import build_notebooks
from build.pairing import check_pairs

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 where a notebook failed or differs, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    root = Path(options.root or Path(__file__).resolve().parents[2]).resolve()
    try:
        if options.check:
            problems = check_pairs(root / "notebooks") + check_exercises(root / "notebooks")
            print(
                "\n".join(problems) or "every notebook agrees with its text",
                file=sys.stderr if problems else sys.stdout,
            )
            return 1 if problems else 0
        if options.assignments:
            return _assignments(root, Path(options.assignments), options.names)
        result = build_notebooks(root, options.names, execute=not options.no_execute, profile=options.profile)
    except (ValueError, FileNotFoundError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return USAGE_ERROR
    print(f"built: {', '.join(result.built) or 'none'}")
    return 1 if result.failed else 0


def _assignments(root: Path, out: Path, names: Sequence[str]) -> int:
    """Write them, and name what was written and what was left out; 1 where nothing was written."""
    written, left_out = write_assignments(root / "notebooks", out, names)
    for name in written:
        print(f"written: {Path('source') / name / f'{name}.ipynb'}")
    for name, why in left_out.items():
        print(f"left out: {name}, {why}")
    if written:
        print(f"next, in {out}: nbgrader generate_assignment {next(iter(written))}")
    return 0 if written else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python notebooks/build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="notebooks: whole name, number or words; none for all")
    parser.add_argument("--profile", default="quick", help="what to measure; outputs are stored for quick only")
    parser.add_argument("--no-execute", action="store_true", help="convert only, keep outputs of unchanged cells")
    parser.add_argument("--check", action="store_true", help="change nothing, say which notebooks differ")
    parser.add_argument(
        "--assignments", metavar="OUT", help="write nbgrader assignments below this folder, no notebook"
    )
    parser.add_argument("--root", help="the checkout; default: the one that holds this folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
