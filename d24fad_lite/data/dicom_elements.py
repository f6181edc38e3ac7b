"""Single elements of a DICOM dataset, which may be missing, empty or hold several values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from d24fad_lite.data.recognise import ImageError


def first_value(dataset: Any, name: str, path: Path, kind: Callable[[Any], Any] = float) -> Any:
    """The first value of an element as `kind`; None where it is missing or empty. ImageError for anything else."""
    try:
        value = dataset.get(name)
        if value is None or isinstance(value, str):
            value = value or None
        elif isinstance(value, Iterable) and not isinstance(value, bytes):
            value = next(iter(value), None)
        return None if value is None or value == "" else kind(value)
    except Exception as error:
        raise ImageError(f"image '{path}' has a damaged element {name} ({error}); correct its header") from error


def first_item(dataset: Any, name: str) -> Any:
    """The first item of a sequence; None where it is missing or empty."""
    items = dataset.get(name)
    return items[0] if items else None


def first_table(dataset: Any, name: str) -> Any:
    """The first item of a sequence of lookup tables; None where it is missing, or there but empty."""
    item = first_item(dataset, name)
    told = item is not None and any(item.get(element) is not None for element in ("LUTDescriptor", "LUTData"))
    return item if told else None


def functional_group(dataset: Any, name: str, tells: Callable[[Any], bool]) -> Any:
    """The item of a functional group of an enhanced file, that of the frame before that shared by all; else None.

    An item that does not hold what is asked for, as `tells` judges it, counts as missing.
    """
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        item = first_item(dataset, groups)
        found = first_item(item, name) if item is not None else None
        if found is not None and tells(found):
            return found
    return None
