"""What a command says when something goes wrong: one line on stderr, never a page of traceback."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from d24fad_lite.messages import printable, printable_lines

FAILED, USAGE, STOPPED = 1, 2, 130
EXTRAS = {
    "dicom": {"pydicom"},
    "nifti": {"nibabel"},
    "benchmark": {"pebble", "scikit_posthocs", "seaborn", "psutil"},
    "dask": {"dask", "distributed"},
    "slurm": {"submitit"},
    "notebooks": {"papermill", "nbformat", "nbclient", "nbconvert", "jupytext", "ipykernel", "yaml"},
}


class OneLineErrors(TyperGroup):
    """A group of commands whose expected errors become `error: ...` and exit code 2; `--debug` lets them through."""

    def invoke(self, ctx: Any) -> Any:
        debug = ctx.params.get("debug", False)
        try:
            with warnings.catch_warnings():
                if not debug:
                    warnings.showwarning = _one_line_warnings()
                return super().invoke(ctx)
        except BrokenPipeError:
            raise  # `d24fad ... | head`: the reader has left, which is no fault of the command
        except KeyboardInterrupt:
            say("stopped")
            raise typer.Exit(STOPPED) from None
        except Exception as error:
            message = None if debug else explain(error)
            if message is None:
                raise
            say(f"error: {message}")
            raise typer.Exit(USAGE) from None


def explain(error: Exception) -> str | None:
    """One line for an error that a user can do something about; None for a fault of the program."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        for extra, names in EXTRAS.items():
            if (error.name or "").split(".")[0] in names:
                return f"this needs the package {error.name}; install it with: pip install 'd24fad_lite[{extra}]'"
        return None
    if isinstance(error, (ValueError, OSError, FloatingPointError)) or type(error).__name__ == "WeightsError":
        return text or type(error).__name__
    if type(error).__name__ == "OutOfMemoryError":  # torch's own, not imported for this alone
        return f"out of memory on the device; lower --batch-size or --image-size, or use --device cpu ({text[:120]})"
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return f"out of memory; lower --batch-size, --image-size or --size ({text[-120:]})"
    return None


@contextmanager
def resumable(advice: str) -> Iterator[None]:
    """Long work that keeps what is done: Ctrl-C says how to go on and exits with 130."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped; {advice}")
        raise typer.Exit(STOPPED) from None


def say(text: str) -> None:
    """A line on stderr, so that stdout stays clean for results; names in it are shown without control characters."""
    typer.echo(printable(text), err=True)


def tell(text: str) -> None:
    """Results on stdout, one line or several; names in them are shown without control characters."""
    typer.echo(printable_lines(text))


def _one_line_warnings() -> Callable[..., None]:
    """A `warnings.showwarning` that says each of the kit's and the libraries' notices for users once, in one line."""
    already_said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if issubclass(category, UserWarning) and text not in already_said:
            already_said.add(text)
            say(f"warning: {text}")

    return show
