"""What report.json must hold so that an `EvaluationReport` can be made of it again."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from d24fad_lite.schemas import Schema


class ReportFile(Schema):
    """report.json, schema 1: the fields of `EvaluationReport`, and of what shape they are.

    N test images, D draws, K supports.
    """

    edition: Literal[1] = Field(alias="schema")
    task: str
    method: str
    protocol: str
    shots: int
    seed: int
    labels: list[Literal[0, 1]]
    names: list[str]
    groups: list[str | None]
    scores: list[list[float]]
    supports: list[list[int]]
    support_hashes: list[list[str]]
    pixel_aurocs: list[float] | None = None
    facts: dict[str, Any]

    @model_validator(mode="after")
    def _shapes(self) -> Self:
        images, draws = len(self.labels), len(self.scores)
        if not images or not draws:
            raise ValueError("at least one image and one draw")
        if (len(self.names), len(self.groups)) != (images, images):
            raise ValueError(f"{images} names and groups, one for each of the labels")
        if (len(self.supports), len(self.support_hashes)) != (draws, draws):
            raise ValueError(f"{draws} supports and support_hashes, one for each row of scores")
        if any(len(row) != images for row in self.scores):
            raise ValueError(f"rows of {images} scores, one for each of the labels")
        if any(len(row) != self.shots for rows in (self.supports, self.support_hashes) for row in rows):
            raise ValueError(f"{self.shots} supports in each draw, as shots says")
        if self.pixel_aurocs is not None and len(self.pixel_aurocs) != draws:
            raise ValueError(f"{draws} pixel_aurocs, one for each draw")
        return self
