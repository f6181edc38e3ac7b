"""The ways of reading a trained detector that `method_changes.py` compares, scored together in one pass.

A reading is a sum of residuals. Each residual is computed once per batch, for all draws of supports and on the small
grids of the levels; upsampling and blur are linear and separable, so one small matrix per level does both. The result
is checked against `D24FAD.predict` on the first batch of every cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from d24fad_lite.model.anomaly_map import gaussian_blur, image_score, sum_levels
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import QueryFeatures, SupportBank
from d24fad_lite.model.losses import residual
from d24fad_lite.model.matching import RIDGE, largest_cosine

WINDOW = 1 / 16  # share of the side: 8 of 128 px
SCORES = ("max", "mean")
Levels = list[Tensor]  # per level [D, B, H_l, W_l]


@dataclass(frozen=True)
class Reading:
    """One row of the tables.

    weights : "last" (end of training), "averaged" (EMA of the same run) or "initial" (untrained).
    parts : residuals that are added, see `Residuals.part`.
    settings : the same as settings of D24FADConfig, for the check; None where supports are added (mirrored).
    """

    name: str
    parts: tuple[str, ...]
    settings: dict[str, object] | None
    weights: str = "last"


def _readings() -> list[Reading]:
    near: dict[str, object] = dict(matching="nearest", match_radius=WINDOW)
    rows = [
        Reading("D²4FAD", ("weighted",), {}),
        Reading("map from TSD residual only", ("tsd",), dict(map_source="tsd")),
        Reading("map from both residuals", ("weighted", "tsd"), dict(map_source="both")),
        Reading("element-scaled attention (scoring)", ("elements",), dict(attention_scale="elements")),
        Reading("uniform weights", ("uniform",), dict(weighting="mean")),
        Reading("best support per position", ("student nearest",), dict(matching="nearest")),
        Reading(
            "window, weighted distances", ("student window weighted",), dict(fusion="distances", match_radius=WINDOW)
        ),
        Reading("window, best support", ("student window",), near),
        Reading("support subspace", ("student subspace",), dict(matching="subspace")),
        Reading("teacher space, weighted", ("teacher weighted",), dict(compare_in="teacher")),
        Reading(
            "teacher space, best support per position",
            ("teacher nearest",),
            dict(compare_in="teacher", matching="nearest"),
        ),
        Reading("teacher space, window, best support", ("teacher window",), near | dict(compare_in="teacher")),
        Reading("teacher space, window, best support, mirrored too", ("teacher window mirrored",), None),
        Reading(
            "teacher space, support subspace", ("teacher subspace",), dict(compare_in="teacher", matching="subspace")
        ),
        Reading(
            "both spaces, window, best support", ("student window", "teacher window"), near | dict(compare_in="both")
        ),
        Reading(
            "teacher window + TSD", ("teacher window", "tsd"), near | dict(compare_in="teacher", map_source="both")
        ),
        Reading(
            "both spaces, window + TSD",
            ("student window", "teacher window", "tsd"),
            near | dict(compare_in="both", map_source="both"),
        ),
    ]
    for origin, word in (("averaged", "EMA: "), ("initial", "untrained: ")):
        rows += [
            Reading(word + row.name, row.parts, row.settings, origin)
            for row in rows
            if row.weights == "last" and row.name in ("D²4FAD", "map from both residuals", "teacher window + TSD")
        ]
    return rows


READINGS = _readings()


class Residuals:
    """Residuals of one batch of queries to every draw of supports; parts without trained features outlive the model.

    Each query position meets each distinct support once; a draw then only chooses and weighs. With w the weights,
    <q, sum_k w_k s_k> = sum_k w_k <q, s_k> and |sum_k w_k s_k|² = w' G w, G the supports' products at that position.

    Parameters
    ----------
    model : D24FAD with `compare_in="both"`, so that its banks hold the teacher's levels.
    queries, bank : features of B queries and of the U distinct supports.
    mirrored : teacher levels of the supports' mirror images.
    draws : int [D, K], positions among the distinct supports.
    frozen : what only the teacher determines; filled on first use and kept by the caller.
    """

    def __init__(
        self,
        model: D24FAD,
        queries: QueryFeatures,
        bank: SupportBank,
        mirrored: Levels,
        draws: np.ndarray,
        frozen: dict[str, Levels],
    ) -> None:
        self.model, self.queries, self.bank, self.mirrored = model, queries, bank, mirrored
        self.draws, self.frozen = draws, frozen
        self._own: dict[str, Levels] = {}

    def part(self, name: str) -> Levels:
        """Residuals per level, [D, B, H_l, W_l]."""
        return self._kept(name, name.startswith("teacher") and "weighted" not in name, self._compute)

    def _kept(self, name: str, fixed: bool, compute: Callable[[str], Levels]) -> Levels:
        store = self.frozen if fixed else self._own
        if name not in store:
            store[name] = compute(name)
        return store[name]

    def _compute(self, name: str) -> Levels:
        if name == "tsd":
            levels = [residual(f, g) for f, g in zip(self.queries.teacher, self.queries.student, strict=True)]
            return [level.expand(len(self.draws), *level.shape) for level in levels]
        if name in ("weighted", "elements", "uniform", "teacher weighted"):
            return self._weighted(name)
        space, *how = name.split()
        if how == ["subspace"]:
            return self._subspace(space)
        cosines = self._cosines(f"{space} cosines {'window' if 'window' in how else ''}")
        if "mirrored" in how:
            cosines = [
                torch.maximum(c, largest_cosine(q, m, WINDOW))
                for c, q, m in zip(cosines, self.queries.teacher, self.mirrored, strict=True)
            ]
        if "weighted" in how:
            return [
                torch.stack(
                    [
                        1 - (w[:, :, None, None] * c[:, row]).sum(dim=1)
                        for row, w in zip(self.draws, self._weights("weighted", level), strict=True)
                    ]
                )
                for level, c in enumerate(cosines)
            ]
        return [torch.stack([1 - c[:, row].amax(dim=1) for row in self.draws]) for c in cosines]

    def _cosines(self, name: str) -> Levels:
        """[B, U, H, W] per level."""
        space = name.split()[0]
        radius = WINDOW if "window" in name else 0.0
        return self._kept(
            name, space == "teacher", lambda _: [largest_cosine(q, s, radius) for q, s in self._pairs(space)]
        )

    def _gram(self, space: str) -> Levels:
        """Cosines of the supports among each other, [U, U, H, W] per level."""
        return self._kept(
            f"{space} gram", space == "teacher", lambda _: [largest_cosine(s, s) for _, s in self._pairs(space)]
        )

    def _subspace(self, space: str) -> Levels:
        levels = []
        for c, gram in zip(self._cosines(f"{space} cosines "), self._gram(space), strict=True):
            products, inner = c.permute(2, 3, 1, 0), gram.permute(2, 3, 0, 1)  # (H, W, U, B), (H, W, U, U)
            ridge = RIDGE * torch.eye(self.draws.shape[1])
            draws = []
            for row in self.draws:
                p = products[:, :, row]
                squared = (p * torch.linalg.solve(inner[:, :, row][..., row] + ridge, p)).sum(dim=2)
                draws.append(1 - squared.clamp(0, 1).sqrt().permute(2, 0, 1))
            levels.append(torch.stack(draws))
        return levels

    def _weighted(self, name: str) -> Levels:
        space = "teacher" if "teacher" in name else "student"
        levels = []
        for level, (c, gram) in enumerate(zip(self._cosines(f"{space} cosines "), self._gram(space), strict=True)):
            lengths = self._pairs(space)[level][1].norm(dim=1)  # (U, H, W)
            draws = []
            for row, w in zip(self.draws, self._weights(name, level), strict=True):
                scaled = w[:, :, None, None] * lengths[row]  # (B, K, H, W)
                inner = gram[row][:, row]  # (K, K, H, W)
                squared = torch.einsum("bkhw,kjhw,bjhw->bhw", scaled, inner, scaled)
                draws.append(1 - (scaled * c[:, row]).sum(dim=1) / squared.clamp_min(1e-16).sqrt())
            levels.append(torch.stack(draws))
        return levels

    def _weights(self, name: str, level: int) -> list[Tensor]:
        changes = {"elements": dict(attention_scale="elements"), "uniform": dict(weighting="mean")}.get(name, {})
        weighting = self.model.read_as(**changes).weighting
        g, s, k = self.queries.student[level], self.bank.levels[level], self.bank.keys[level]
        return [weighting(g, s[row], k[row]) for row in self.draws]

    def _pairs(self, space: str) -> list[tuple[Tensor, Tensor]]:
        if space == "student":
            return list(zip(self.queries.student, self.bank.levels, strict=True))
        return list(zip(self.queries.teacher, self.bank.teacher, strict=True))


class Scale:
    """Sum of levels, upsampling and blur as one matrix per level and axis."""

    def __init__(self, size: int, sigma: float) -> None:
        self.size, self.sigma = size, sigma
        self._matrices: dict[int, Tensor] = {}

    def scores(self, levels: Sequence[Tensor]) -> Tensor:
        """Residuals per level [D, B, H_l, W_l] -> image scores [len(SCORES), D, B]."""
        maps = sum(self.matrix(r.shape[2]) @ r @ self.matrix(r.shape[3]).T for r in levels)  # [D, B, S, S]
        flat = maps.flatten(0, 1)
        return torch.stack([image_score(flat, kind) for kind in SCORES]).view(len(SCORES), *maps.shape[:2])

    def matrix(self, side: int) -> Tensor:
        """[S, side]: what upsampling and blur make of each position along one axis; both keep constants."""
        if side not in self._matrices:
            basis = torch.eye(side)[:, :, None].expand(side, side, side)
            self._matrices[side] = gaussian_blur(sum_levels([basis], self.size), self.sigma)[:, :, 0].T.contiguous()
        return self._matrices[side]


def check_against_package(model: D24FAD, reading: Reading, residuals: Residuals, scores: Tensor) -> None:
    """The first draw of a reading must be what `D24FAD.predict` gives; raises AssertionError otherwise."""
    if reading.settings is None:
        return
    for kind, mine in zip(SCORES, scores[:, 0], strict=True):
        view = model.read_as(**({"compare_in": "student"} | reading.settings | {"image_score": kind}))
        theirs = view.predict(residuals.queries, residuals.bank.select(residuals.draws[0])).score
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5, msg=f"{reading.name}, {kind} of the map")
