"""What a stored notebook keeps of a run: its outputs, and nothing that changes without a reason."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

WIDGET_TYPES = ("application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json")
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def clean_notebook(executed: NotebookNode, text: NotebookNode, checkout: Path) -> NotebookNode:
    """The text's cells with the executed outputs.

    executed : as papermill wrote it (its injected cell is dropped)
    text : the same notebook from its py:percent file; taken for source, tags, ids and metadata
    checkout : its absolute path is cut from printed text
    Raises ValueError when the two do not hold the same code.
    """
    ran = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    if [cell.source for cell in ran] != [cell.source for cell in text.cells]:
        raise ValueError("the executed notebook is not the text's: a cell's source differs; build again")
    count = 0
    for cell, source in zip(ran, text.cells, strict=True):
        if source.cell_type != "code":
            continue
        count += bool(source.source.strip())
        source.execution_count = count if source.source.strip() else None
        source.outputs = joined(clean for output in cell.outputs if (clean := clean_output(output, count, checkout)))
    return text


def joined(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    """The outputs with printed text in one piece; a kernel cuts it where its clock says."""
    found: list[NotebookNode] = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream":
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def clean_output(output: NotebookNode, count: int, checkout: Path) -> NotebookNode | None:
    """One output without stderr, widget views, object addresses and the checkout's path; None when nothing is left."""
    if output.output_type == "stream":
        if output.name == "stderr":
            return None
        output.text = clean_text(output.text, checkout)
        return output if output.text else None
    if output.output_type in ("execute_result", "display_data"):
        output.data = {
            kind: _clean_data(data, checkout) for kind, data in output.data.items() if kind not in WIDGET_TYPES
        }
        output.metadata = {}
        if output.output_type == "execute_result":
            output.execution_count = count
        return output if output.data else None
    output.traceback = [clean_text(line, checkout) for line in output.traceback]
    return output


def clean_text(text: str, checkout: Path) -> str:
    """Carriage returns resolved as a terminal would, colours, addresses and the checkout's path removed."""
    lines = [line.rstrip("\r").split("\r")[-1] for line in text.split("\n")]
    text = ADDRESS.sub("at 0x…", ANSI.sub("", "\n".join(lines)))
    return text.replace(f"{checkout.resolve()}/", "").replace(str(checkout.resolve()), ".")


def _clean_data(data: Any, checkout: Path) -> Any:
    return clean_text(data, checkout) if isinstance(data, str) and not data.startswith("iVBOR") else data
