"""The table of a conversion: for each class of the source, how many images there were, where they went and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from d24fad_lite.data.convert.records import Plan

COLUMNS = ("class", "published", "found", "train", "valid", "test", "left out", "why")


@dataclass(frozen=True)
class ClassCounts:
    """What became of the images of one source class.

    Attributes
    ----------
    source_class : str
        Name of the class in the source's own words.
    published : int or None
        Number of images that the publishers name; None where they give none.
    found : int
        Images that are there.
    train, valid, test : int
        Images in each split of the task folder.
    why : dict of str to int
        Number of images left out, by reason.
    """

    source_class: str
    published: int | None
    found: int
    train: int
    valid: int
    test: int
    why: dict[str, int]

    @property
    def kept(self) -> int:
        """Images in the task folder."""
        return self.train + self.valid + self.test

    @property
    def left_out(self) -> int:
        """Images that are not in the task folder."""
        return sum(self.why.values())

    def cells(self) -> tuple[str, ...]:
        """The counts as text, in the order of COLUMNS."""
        why = "; ".join(f"{count} {reason}" for reason, count in self.why.items())
        numbers = (self.found, self.train, self.valid, self.test, self.left_out)
        return (self.source_class, "" if self.published is None else str(self.published), *map(str, numbers), why)


def count_classes(plan: Plan) -> list[ClassCounts]:
    """Count the images of a plan whose splits are decided.

    A row of a source's table whose file is missing counts as left out, not as found.

    Parameters
    ----------
    plan : Plan
        After the splits are drawn and every image that is not used has its reason.

    Returns
    -------
    list of ClassCounts
        In the order of the plan; a class that the publishers name is there even without images.
    """
    names = dict.fromkeys([*plan.published, *(image.source_class for image in plan.images)])
    table = []
    for name in names:
        images = [image for image in plan.images if image.source_class == name]
        splits = Counter(image.split for image in images if not image.why)
        counts = ClassCounts(
            source_class=name,
            published=plan.published.get(name),
            found=sum(image.picture is not None for image in images),
            train=splits["train"],
            valid=splits["valid"],
            test=splits["test"],
            why=dict(Counter(image.why for image in images if image.why)),
        )
        table.append(counts)
    return table


def format_counts(table: Sequence[ClassCounts]) -> str:
    """The table as aligned text, with a header and a last line of sums."""
    published = sum(counts.published or 0 for counts in table)
    sums = [sum(getattr(counts, name) for counts in table) for name in ("found", "train", "valid", "test", "left_out")]
    total = ("all", str(published or ""), *map(str, sums), "")
    lines = [COLUMNS, *(counts.cells() for counts in table), total]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """One line of the table: numbers to the right, the first and the last column to the left."""
    first, *numbers, last = line
    padded = [number.rjust(width) for number, width in zip(numbers, widths[1:-1], strict=True)]
    return "  ".join([first.ljust(widths[0]), *padded, last]).rstrip()
