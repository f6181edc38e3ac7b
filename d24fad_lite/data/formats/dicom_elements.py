"""Single elements of a DICOM dataset, which may be missing, empty or hold several values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from d24fad_lite.data.formats.recognise import ImageError


def first_value(dataset: Any, name: str, path: Path, kind: Callable[[Any], Any] = float) -> Any:
    """The first value of an element as `kind`; None where it is missing or empty. ImageError where it is damaged."""
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
    """The first item of a sequence of lookup tables; None where it is missing or has no content."""
    item = first_item(dataset, name)
    filled = item is not None and any(item.get(element) is not None for element in ("LUTDescriptor", "LUTData"))
    return item if filled else None


def functional_group(dataset: Any, name: str, is_filled: Callable[[Any], bool]) -> Any:
    """The item of a functional group of an enhanced file; None where there is none.

    The group of the frame comes before the group shared by all frames. An item for which `is_filled` is False counts as
    missing.
    """
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        item = first_item(dataset, groups)
        group = first_item(item, name) if item is not None else None
        if group is not None and is_filled(group):
            return group
    return None
