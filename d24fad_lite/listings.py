"""Lists in one text, as command lines and parameters of notebooks write them: "RSNA,LAG" and "2,4,8"."""

from __future__ import annotations

import csv
from collections.abc import Sequence


def names_of(texts: Sequence[str] | None, known: Sequence[str] = ()) -> list[str]:
    """The names in texts that each hold one or several between commas: ["RSNA,LAG", "HIS"] -> ["RSNA", "LAG", "HIS"].

    Parameters
    ----------
    texts : sequence of str, or None for none
        A name that itself holds a comma stands alone in its text, or in double quotes: '"T1, T2",HIS'.
    known : sequence of str, default ()
        Names that there are; a text that equals one of them is that name, whatever commas it holds.

    Returns
    -------
    list of str, without empty ones

    Raises
    ------
    ValueError : a text of commas alone; an empty text is no name and no error.
    """
    names: list[str] = []
    for text in texts or ():
        parts = [text] if text.strip() in known else next(csv.reader([text], skipinitialspace=True), [])
        found = [part.strip() for part in parts if part.strip()]
        if text.strip() and not found:
            raise ValueError(f"{text!r} holds no name between its commas; write for example RSNA,LAG")
        names += found
    return names


def numbers_of(text: str, option: str, least: int = 1) -> list[int]:
    """The whole numbers between the commas of a text: "2,4,8" -> [2, 4, 8].

    Parameters
    ----------
    text : str
    option : str
        What an error calls the text, such as "--shots".
    least : int, default 1
        The lowest number that is allowed.

    Raises
    ------
    ValueError : other than whole numbers of at least `least`, each once.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < least or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"{option} {text!r} must be different whole numbers of at least {least} between commas, for example 2,4,8"
        )
    return numbers
