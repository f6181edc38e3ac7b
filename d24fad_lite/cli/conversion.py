"""What the commands of `d24fad convert` share: their arguments, the conversion, and the report of what was written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from d24fad_lite.cli.errors import FAILED, say, tell

if TYPE_CHECKING:
    from d24fad_lite.data.convert.converting import Conversion
    from d24fad_lite.data.convert.records import Plan

MOST_LINES = 20  # problems told one by one

WIDE = {"max_content_width": 110}

Source = Annotated[Path, typer.Argument(help="Folder of the unpacked download.")]
Out = Annotated[Path, typer.Argument(help="Task folder to make, absent or empty; its name is the task's.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the split: same seed, same split.")]
Fraction = Annotated[float, typer.Option(help="Part of the normal patients that goes to test, between 0 and 1.")]


def write_task(plan: Plan, out: Path, seed: int, test_fraction: float) -> None:
    """Convert a plan and report it; exit code 1 where images were damaged, missing or contradictory."""
    from d24fad_lite.data.convert.converting import convert

    conversion = convert(plan, out, seed=seed, test_fraction=test_fraction)
    _report(plan, conversion)
    if conversion.problems:
        raise typer.Exit(FAILED)


def _report(plan: Plan, conversion: Conversion) -> None:
    """Print counts, terms and notes on stdout; near copies, and images left out as faulty, on stderr."""
    from d24fad_lite.data.convert.class_counts import format_counts

    manifest, left_out = conversion.out / "MANIFEST.json", conversion.out / "left_out.csv"
    tell(format_counts(conversion.table))
    tell(f"published counts: {plan.published_note}\npatients: {plan.patients}\nlicence: {plan.licence}")
    for note in conversion.notes:
        tell(f"note: {note}")
    if conversion.copies:
        first, second = conversion.copies[0]
        say(
            f"warning: {len(conversion.copies)} near copies in train and test, first {first} = {second}; they are "
            f"listed in {manifest}: look at them, and remove one of each pair where it is the same picture"
        )
    for image in conversion.problems[:MOST_LINES]:
        say(f"left out: {image.name}: {image.why}{f' ({image.detail})' if image.detail else ''}")
    tell(
        f"{sum(counts.kept for counts in conversion.table)} images in {conversion.out}; {manifest} has the hash of "
        f"each, {left_out} what was not used and why"
    )
    if conversion.problems:
        hidden = len(conversion.problems) - MOST_LINES
        more = f", {hidden} of them not shown here" if hidden > 0 else ""
        say(
            f"error: {len(conversion.problems)} image(s) were damaged, missing or contradictory{more}; "
            f"all are in {left_out}"
        )
