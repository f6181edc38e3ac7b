"""D²4FAD as one module: teacher, student and learn-to-weight, trained by two distillations, read as an anomaly map."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from . import storage
from .anomaly_map import gaussian_blur, image_score, sum_levels
from .config import D24FADConfig
from .features import D24FADOutput, Prediction, QueryFeatures, SupportBank
from .folding import precision_of
from .losses import distillation_loss, fuse, level_distance, residual, support_distance
from .matching import compared_pairs, matched_residual
from .student import Student
from .teacher import Teacher, TeacherFeatures
from .weighting import LearnToWeight


class D24FAD(nn.Module):
    """Few-shot anomaly detector by dual distillation (Dong et al., ICLR 2026, arXiv 2603.01713).

    Parameters
    ----------
    config : D24FADConfig, optional
        Every choice of the method; default: a ResNet-18 with the embedded weights at 128 px.
    teacher : Teacher, optional
        One that was built with these settings, to share it between detectors; default: one of its own.

    Attributes
    ----------
    teacher : Teacher, frozen
    student : Student
    weighting : LearnToWeight

    Examples
    --------
    >>> model = D24FAD(D24FADConfig(teacher="resnet18", weights="random", image_size=64))
    >>> bank = model.encode_supports(torch.rand(4, 3, 64, 64))
    >>> model.predict(torch.rand(2, 3, 64, 64), bank).score.shape
    torch.Size([2])
    """

    def __init__(self, config: D24FADConfig | None = None, teacher: Teacher | None = None) -> None:
        super().__init__()
        self.config = c = config or D24FADConfig()
        self.teacher = teacher or Teacher(c.teacher, c.weights, c.image_size, c.normalize, c.seed)
        if (self.teacher.image_size, self.teacher.normalize) != (c.image_size, c.normalize):
            raise ValueError(f"the given teacher takes images of {self.teacher.image_size} px (normalize="
                             f"{self.teacher.normalize}), the settings say {c.image_size} px (normalize={c.normalize})")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(c.seed)
            self.student = Student(self.teacher.pyramid, c.student_padding)
            self.weighting = LearnToWeight(self.teacher.channels, c.attention_scale, c.weighting, c.temperature)

    # -- training ------------------------------------------------------------------------------------------------

    def forward(self, queries: Tensor | TeacherFeatures, supports: Tensor | TeacherFeatures | None = None,
                rows: Tensor | None = None) -> D24FADOutput:
        """Both distillations for a batch of queries.

        Parameters
        ----------
        queries : Tensor [B, 3, S, S] in 0..1, or their TeacherFeatures where these are cached
        supports : Tensor [K, B, 3, S, S] (own supports for each query) or [K, 3, S, S] (the same for all), in 0..1;
            or the TeacherFeatures of K*B images, support by support. None: the supports are among the queries.
        rows : Tensor of int64 [K, B]
            With `supports=None`: positions within the batch of each query's supports.

        Returns
        -------
        D24FADOutput

        Notes
        -----
        In train mode the student's batch norm sees the query batch and each of the K support batches as separate
        calls, as in the released code.
        """
        query = queries if isinstance(queries, TeacherFeatures) else self._teach(queries, "queries")
        batch = query.embedding.shape[0]
        g_query = self._student(query)
        if supports is None:
            if rows is None:
                raise ValueError("forward() needs supports, or rows [K, B] that name supports among the queries")
            g_support = g_query
        else:
            embedding, shots = self._support_embeddings(supports, batch)
            per_call = embedding.split(len(embedding) // shots)  # K calls of B images, or of one
            sizes = [f.shape[2:] for f in query.levels]
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.stop_gradient):
                calls = [self.student(e, sizes) for e in per_call]
            g_support = [torch.cat(level) for level in zip(*calls, strict=True)]
            if len(embedding) != shots:
                rows = torch.arange(shots * batch, device=embedding.device).view(shots, batch)
        return self._distil(query, g_query, g_support, rows)

    def _distil(self, query: TeacherFeatures, g_query: list[Tensor], g_support: list[Tensor],
                rows: Tensor | None) -> D24FADOutput:
        c = self.config
        if c.stop_gradient:  # before the keys, so that learn-to-weight itself still learns
            g_support = [s.detach() for s in g_support]
        keys = self.weighting.keys(g_support)
        with torch.autocast(query.embedding.device.type, enabled=False):  # cosines and softmax in full precision
            f, g, s, k = (_full(part) for part in (query.levels, g_query, g_support, keys))
            weights = [self.weighting(*level, rows) for level in zip(g, s, k, strict=True)]  # L of (B, K)
            tsd = distillation_loss([level_distance(fl, gl, c.distance) for fl, gl in zip(f, g, strict=True)])
            ssd = distillation_loss([support_distance(gl, sl, wl, rows, c.distance, c.fusion)
                                     for gl, sl, wl in zip(g, s, weights, strict=True)])
            fused = [fuse(sl, wl, rows) for sl, wl in zip(s, weights, strict=True)]
        loss = c.lambda_ssd * ssd + c.lambda_tsd * tsd
        return D24FADOutput(loss, tsd, ssd, torch.stack(weights, dim=1), g, s, fused, query, rows)

    # -- inference: always in eval mode, every image by itself ---------------------------------------------------
    # precision: "fp32", or "bf16" for the convolutions of teacher and student; features are kept, and cosines,
    # softmax and maps computed, in float32 either way.

    def encode_supports(self, images: Tensor | TeacherFeatures, precision: str = "fp32") -> SupportBank:
        """Student features and keys of K normal reference images [K, 3, S, S] in 0..1, once for all queries."""
        if isinstance(images, Tensor) and images.ndim == 4 and len(images) == 0:
            raise ValueError("encode_supports() got 0 images; at least one normal reference image is needed")
        with self._inference():
            teacher, levels = self._encode(images, "supports", precision)
            kept = teacher if self.config.compare_in != "student" else ()
            return SupportBank(levels, self.weighting.keys(levels), kept)

    def encode_queries(self, images: Tensor | TeacherFeatures, precision: str = "fp32") -> QueryFeatures:
        """Teacher and student levels of queries [B, 3, S, S] in 0..1, reusable against any number of banks."""
        with self._inference():
            return QueryFeatures(*self._encode(images, "queries", precision))

    def predict(self, queries: Tensor | TeacherFeatures | QueryFeatures, bank: SupportBank,
                precision: str = "fp32") -> Prediction:
        """Scores, anomaly maps and support weights of B queries against one bank of supports.

        An image's result does not depend on the batch it comes in: batch norm uses its running statistics whatever
        mode the model is in, and the blur stays within each map.
        """
        if not isinstance(queries, QueryFeatures):
            queries = self.encode_queries(queries, precision)
        with self._inference():
            raw, weights = self._raw_map(queries, bank)
            maps = gaussian_blur(raw, self.config.blur_sigma)
            return Prediction(image_score(maps, self.config.image_score, self.config.top_share), maps, weights)

    def raw_map(self, queries: Tensor | QueryFeatures, bank: SupportBank) -> Tensor:
        """The anomaly map before its blur, [B, S, S]."""
        if not isinstance(queries, QueryFeatures):
            queries = self.encode_queries(queries)
        with self._inference():
            return self._raw_map(queries, bank)[0]

    def _raw_map(self, queries: QueryFeatures, bank: SupportBank) -> tuple[Tensor, Tensor]:
        c = self.config
        weights = [self.weighting(g, s, k) for g, s, k in zip(queries.student, bank.levels, bank.keys, strict=True)]
        residuals = []
        for mine, theirs in compared_pairs(c, queries, bank) if c.map_source != "tsd" else ():
            residuals += [matched_residual(q, s, w, matching=c.matching, radius=c.match_radius, fusion=c.fusion)
                          for q, s, w in zip(mine, theirs, weights, strict=True)]
        if c.map_source != "ssd":
            residuals += [residual(f, g) for f, g in zip(queries.teacher, queries.student, strict=True)]
        maps = sum_levels(residuals, c.image_size, c.align_corners)
        return maps, torch.stack(weights, dim=1)  # (B, S, S), (B, L, K)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        was_training = self.student.training
        self.student.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.student.train(was_training)

    def read_as(self, reading: str | None = None, **switches: Any) -> Self:
        """The same trained detector, its map read in another way: cheap, since every tensor is shared.

        Parameters
        ----------
        reading : str, optional
            One of `READINGS`: "released", "paper" or "matched"; default: as this detector is read.
        switches : settings of `READ_AT_SCORING` on top, such as `map_source="both"` or `weighting="mean"`.

        Returns
        -------
        D24FAD
            Encode supports with it: a reading that looks at the teacher's levels needs a bank that holds them.

        Raises
        ------
        ValueError
            An unknown reading, or a switch that acts in training alone.

        Examples
        --------
        >>> model = D24FAD(D24FADConfig(weights="random", image_size=64))
        >>> model.read_as("matched").config.compare_in
        'teacher'
        """
        view = copy.copy(self)
        view.config = c = self.config.read_as(reading, **switches)
        weighting = copy.copy(self.weighting)
        weighting.scale, weighting.kind, weighting.temperature = c.attention_scale, c.weighting, c.temperature
        view._modules = {**self._modules, "weighting": weighting}  # a copy of a module shares this dictionary
        return view

    # -- encoding ------------------------------------------------------------------------------------------------

    def _encode(self, images: Tensor | TeacherFeatures, role: str,
                precision: str) -> tuple[list[Tensor], list[Tensor]]:
        """Teacher and student levels, of images or of what the teacher saw in them."""
        with precision_of(precision, self.teacher.mean.device):
            features = images if isinstance(images, TeacherFeatures) else self._teach(images, role, True)
            return _full(features.levels), _full(self._student(features))

    def _student(self, features: TeacherFeatures) -> list[Tensor]:
        return self.student(features.embedding, [f.shape[2:] for f in features.levels])

    def _support_embeddings(self, supports: Tensor | TeacherFeatures, batch: int) -> tuple[Tensor, int]:
        """Embeddings [K*B, ...] or [K, ...] and K."""
        if isinstance(supports, TeacherFeatures):
            count = supports.embedding.shape[0]
            if count == 0 or count % batch:
                raise ValueError(f"support features of {count} images do not divide among {batch} queries; "
                                 "give K*B of them, support by support")
            return supports.embedding, count // batch
        if supports.ndim not in (4, 5) or len(supports) == 0:
            raise ValueError(f"supports have shape {tuple(supports.shape)}; expected [K, B, 3, S, S] (own supports "
                             "for each query) or [K, 3, S, S] (the same for all), K at least 1")
        if supports.ndim == 5 and supports.shape[1] != batch:
            raise ValueError(f"supports have shape {tuple(supports.shape)}, for {supports.shape[1]} queries; "
                             f"the batch has {batch}")
        images = supports.flatten(0, 1) if supports.ndim == 5 else supports
        return self._teach(images, "supports").embedding, supports.shape[0]

    def _teach(self, images: Tensor, role: str, check_range: bool = False) -> TeacherFeatures:
        check_images(images, self.config.image_size, role, check_range)
        return self.teacher(images.to(self.teacher.mean.device))

    # -- storage -------------------------------------------------------------------------------------------------

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """What training changes: `student.*` and `weighting.*`, batch-norm statistics included."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("teacher.")}

    def load_trainable_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `trainable_state_dict`; raises CheckpointError for another architecture."""
        storage.load_trainable(self, tensors, "the given state dict")

    def save(self, path: str | Path, **metadata: Any) -> Path:
        """Write the whole detector to one safetensors file, atomically; see `storage.save_detector`."""
        return storage.save_detector(self, path, metadata)

    @classmethod
    def load(cls, path: str | Path, teacher: nn.Module | None = None) -> Self:
        """Read a detector written by `save`; `teacher` where it was built on a module of your own."""
        return storage.load_detector(cls, path, teacher)

    def load_official_checkpoint(self, path: str | Path) -> None:
        """Take student and learn-to-weight from a file of the released code, `{'decoder': ..., 'weight': ...}`."""
        storage.load_official(self, path)


def _full(levels: list[Tensor]) -> list[Tensor]:
    return [x.float() if x.dtype.itemsize < 4 else x for x in levels]


def check_images(images: Tensor, size: int, role: str, check_range: bool = False) -> None:
    """One clear error for images that are not float [N, 3, size, size], finite and (if asked) in 0..1."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        found = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"{role} must be a float tensor [N, 3, {size}, {size}] in 0..1, found {found}; "
                         "divide 8-bit images by 255")
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size):
        raise ValueError(f"{role} have shape {tuple(images.shape)}, expected [N, 3, {size}, {size}]; resize the images "
                         f"to squares of {size} px, or build the model with another image_size")
    low, high = images.aminmax() if images.numel() else (torch.zeros(()), torch.zeros(()))
    if not (torch.isfinite(low) and torch.isfinite(high)):
        bad = (~torch.isfinite(images)).flatten(1).any(dim=1).nonzero().flatten().tolist()
        raise ValueError(f"{role} {bad} contain NaN or infinite values; find out where they come from, "
                         "the model cannot score them")
    if check_range and (low < -1e-3 or high > 1 + 1e-3):
        raise ValueError(f"{role} must lie in 0..1, found values from {low:.3g} to {high:.3g}; divide 8-bit images by "
                         "255 and leave normalisation to the model")
