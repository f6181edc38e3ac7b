"""The application `d24fad`: its commands, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from d24fad_lite import __version__
from d24fad_lite.cli import (
    benchmark,
    checking,
    converting,
    evaluating,
    exporting,
    fitting,
    predicting,
    sampling,
    series,
)
from d24fad_lite.cli.errors import OneLineErrors

app = typer.Typer(
    name="d24fad", cls=OneLineErrors, no_args_is_help=True, add_completion=False, rich_markup_mode=None,
    pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)  # fmt: skip


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit()


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Few-shot anomaly detection in medical images by dual distillation (D²4FAD): learn it, test it, use it.

    A frozen teacher and a student flag what differs from a few normal reference images, the supports.
    Not for clinical use.

    \b
    A first tour, on generated images, no download:
      d24fad check                                        does this computer do it?
      d24fad samples --out samples                        five tasks with exact masks
      d24fad check samples --html intake.html             what is in a folder of data?
      d24fad fit --data samples --leave-out RSNA --out run   train on the other four tasks
      d24fad evaluate run/model.safetensors --data samples --task RSNA
      d24fad predict run/model.safetensors FOLDER --supports NORMALS --out results

    `d24fad COMMAND --help` tells why, with examples and defaults. Exit codes: 0 done, 1 something failed on the way,
    2 error, 130 stopped with Ctrl-C.
    """


COMMANDS: dict[Callable[..., None], str] = {  # in the order of a first tour, each with its line in the list of commands
    checking.check: "See what is installed and try it, or look at a folder of data.",
    sampling.samples: "Draw synthetic tasks with exact lesion masks.",
    fitting.fit: "Train a detector with one task left out.",
    evaluating.evaluate: "Measure it on a task, with intervals.",
    predicting.predict: "Score your own images: scores.csv, a page to look at, heatmaps.",
    exporting.export: "Write detector and supports as one ONNX or torch file.",
    benchmark.benchmark: "Leave out every task in turn: tasks x methods x seeds, on one machine or many.",
    series.notebooks: "Run the notebook series, with a report.",
    fitting.pretrain: "Make a teacher from fractals.",
}
for command, line in COMMANDS.items():
    app.command(short_help=line)(command)
app.add_typer(converting.app, name="convert", short_help="Turn a public data set, a table or volumes into a task.")
