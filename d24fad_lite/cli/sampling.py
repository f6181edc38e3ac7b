"""`d24fad samples`: generated tasks to train and test on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from d24fad_lite.cli.errors import tell
from d24fad_lite.listings import names_of
from d24fad_lite.messages import choose_one_of


def samples(
    out: Annotated[Path, typer.Option(help="Folder for the tasks; made if absent.")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed and settings: the same files, bit by bit.")] = 0,
    level: Annotated[str, typer.Option(help="How easily the lesions are seen: plain, medium or hard.")] = "plain",
    severity: Annotated[
        float | None,
        typer.Option(
            help="The same as a number, from 0 (a trace) to 1 (plain to see).  [default: that of --level]",
            show_default=False,
        ),
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the square images in pixels, at least 16.")] = 128,
    count: Annotated[int, typer.Option(help="Normal test images per task, and as many anomalous ones.")] = 20,
    train: Annotated[
        int, typer.Option(help="Normal training images per task.  [default: twice --count]", show_default=False)
    ] = 0,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            help="Some of HIS, LAG, APTOS, RSNA, BrainTumor; comma or repeat.  [default: all]", show_default=False
        ),
    ] = None,
) -> None:
    """Draw a benchmark of synthetic medical images, each lesion with its exact mask.

    Why: to learn and to test without patient data, with as many images as you like and a dial for difficulty. Image i
    of a split is the same however many are drawn. Formulas and random numbers only; CC0.

    \b
    Examples:
      d24fad samples --out samples
      d24fad samples --out hard --level hard --seed 7
      d24fad samples --out between --severity 0.7
      d24fad samples --out small --size 64 --count 5 --tasks RSNA,LAG
    """
    from d24fad_lite.data.names import canonical_task_name
    from d24fad_lite.data.samples.world import DIFFICULTIES, write_samples

    if severity is None and level not in DIFFICULTIES:
        raise ValueError(choose_one_of("level", level, DIFFICULTIES))
    train = train or 2 * count
    root = write_samples(
        out,
        seed=seed,
        severity=level if severity is None else severity,
        size=size,
        train=train,
        test=count,
        tasks=[canonical_task_name(name) for name in names_of(tasks)] or None,
    )
    sizes = [path.stat().st_size for path in root.rglob("*.png") if path.is_file()]
    tell(
        f"{len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, in {root}: "
        f"per task {train} normal to train on, {count} normal and {count} anomalous to test"
    )
