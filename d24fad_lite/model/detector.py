"""D²4FAD as one module: teacher, student and learn-to-weight, trained by two distillations, read as an anomaly map."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from d24fad_lite.model.anomaly_map import gaussian_blur, image_score, unblurred_map
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.distillation import distil
from d24fad_lite.model.features import D24FADOutput, Prediction, QueryFeatures, SupportBank, TeacherFeatures, in_float32
from d24fad_lite.model.image_input import check_images, check_supports, require_supports
from d24fad_lite.model.speed.precision import precision_of
from d24fad_lite.model.storage import (
    Load,
    StoredDetector,
    config_of,
    fingerprint_of,
    load_all,
    part_of,
    possible_settings,
    read_detector,
    read_official,
    require_options,
    write_detector,
)
from d24fad_lite.model.stored_teacher import stored_teacher
from d24fad_lite.model.student import Student
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.model.weighting import LearnToWeight


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

    method = "d24fad"

    def __init__(self, config: D24FADConfig | None = None, teacher: Teacher | None = None) -> None:
        super().__init__()
        self.config = c = config or D24FADConfig()
        self.teacher = teacher or Teacher(c.teacher, c.weights, c.image_size, c.normalize, c.seed)
        if (self.teacher.image_size, self.teacher.normalize) != (c.image_size, c.normalize):
            raise ValueError(
                f"the given teacher takes images of {self.teacher.image_size} px (normalize="
                f"{self.teacher.normalize}), the settings say {c.image_size} px (normalize={c.normalize})"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(c.seed)
            self.student = Student(self.teacher.pyramid, c.student_padding)
            self.weighting = LearnToWeight(self.teacher.channels, c.attention_scale, c.weighting, c.temperature)

    # -- training ------------------------------------------------------------------------------------------------

    def forward(
        self,
        queries: Tensor | TeacherFeatures,
        supports: Tensor | TeacherFeatures | None = None,
        support_rows: Tensor | None = None,
    ) -> D24FADOutput:
        """Both distillations for a batch of queries.

        Parameters
        ----------
        queries : Tensor [B, 3, S, S] in 0..1, or their TeacherFeatures where these are cached
        supports : Tensor [K, B, 3, S, S] (own supports for each query) or [K, 3, S, S] (the same for all), in 0..1;
            or the TeacherFeatures of K*B images, support by support. None: the supports are among the queries.
        support_rows : Tensor of int64 [K, B]
            With `supports=None`: positions within the batch of each query's supports.

        Returns
        -------
        D24FADOutput

        Notes
        -----
        In train mode the student's batch norm sees the query batch and each of the K support batches as separate
        calls, as in the released code.
        """
        query = queries if isinstance(queries, TeacherFeatures) else self._teacher_features(queries, "queries")
        batch = query.embedding.shape[0]
        g_query = self._student(query)
        if supports is None:
            if support_rows is None:
                raise ValueError("forward() needs supports, or support_rows [K, B] to name them among the queries")
            g_support = g_query
        else:
            embedding, shots = self._support_embeddings(supports, batch)
            per_call = embedding.split(len(embedding) // shots)  # K calls of B images, or of one
            grids = query.grids
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.stop_gradient):
                calls = [self.student(e, grids) for e in per_call]
            g_support = [torch.cat(level) for level in zip(*calls, strict=True)]
            if len(embedding) != shots:
                support_rows = torch.arange(shots * batch, device=embedding.device).view(shots, batch)
        return distil(self.config, self.weighting, query, g_query, g_support, support_rows)

    # -- inference: always in eval mode, every image by itself ---------------------------------------------------

    def encode_supports(self, images: Tensor | TeacherFeatures, precision: str = "fp32") -> SupportBank:
        """Student features and keys of normal reference images, computed once for all queries.

        Parameters
        ----------
        images : Tensor [K, 3, S, S] in 0..1, or their TeacherFeatures
        precision : {"fp32", "bf16"}, of the convolutions of teacher and student; all else is in float32 either way

        Raises
        ------
        ValueError : no image, or images that are not of this shape and range.
        """
        require_supports(images)
        with self._inference():
            teacher, levels = self._encode(images, "supports", precision)
            compared = teacher if self.config.compare_in != "student" else []
            return SupportBank(levels, self.weighting.keys(levels), compared)

    def encode_queries(self, images: Tensor | TeacherFeatures, precision: str = "fp32") -> QueryFeatures:
        """Teacher and student levels of queries, to be used against any number of banks.

        Parameters
        ----------
        images : Tensor [B, 3, S, S] in 0..1, or their TeacherFeatures
        precision : {"fp32", "bf16"}, of the convolutions

        Raises
        ------
        ValueError : images that are not of this shape and range.
        """
        with self._inference():
            return QueryFeatures(*self._encode(images, "queries", precision))

    def predict(
        self, queries: Tensor | TeacherFeatures | QueryFeatures, bank: SupportBank, precision: str = "fp32"
    ) -> Prediction:
        """Scores, anomaly maps and support weights of B queries against one bank of supports.

        An image's result does not depend on the batch it comes in: batch norm uses its running statistics whatever
        mode the model is in, and the blur stays within each map.

        Parameters
        ----------
        queries : Tensor [B, 3, S, S] in 0..1, their TeacherFeatures, or what `encode_queries` made of them
        bank : SupportBank of K supports
        precision : {"fp32", "bf16"}, of the convolutions

        Returns
        -------
        Prediction : score [B], anomaly_map [B, S, S], weights [B, L, K]

        Raises
        ------
        ValueError : images that are not of this shape and range, or a bank without the levels that the reading needs.
        """
        if not isinstance(queries, QueryFeatures):
            queries = self.encode_queries(queries, precision)
        c = self.config
        with self._inference():
            weights = self._weights(queries, bank)
            maps = gaussian_blur(unblurred_map(c, queries, bank, weights), c.blur_sigma)
            return Prediction(image_score(maps, c.image_score, c.top_share), maps, torch.stack(weights, dim=1))

    def raw_map(self, queries: Tensor | TeacherFeatures | QueryFeatures, bank: SupportBank) -> Tensor:
        """The anomaly map before its blur, [B, S, S]; parameters as in `predict`."""
        if not isinstance(queries, QueryFeatures):
            queries = self.encode_queries(queries)
        with self._inference():
            return unblurred_map(self.config, queries, bank, self._weights(queries, bank))

    def _weights(self, queries: QueryFeatures, bank: SupportBank) -> list[Tensor]:
        """How much each support counts for each query, L of [B, K]."""
        return [self.weighting(g, s, k) for g, s, k in zip(queries.student, bank.levels, bank.keys, strict=True)]

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """The student in eval mode and no gradient, within."""
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

    def _encode(self, images: Tensor | TeacherFeatures, role: str, precision: str) -> tuple[list[Tensor], list[Tensor]]:
        """Teacher and student levels, of images or of what the teacher saw in them."""
        with precision_of(precision, self.teacher.device):
            features = images if isinstance(images, TeacherFeatures) else self._teacher_features(images, role, True)
            return in_float32(features.levels), in_float32(self._student(features))

    def _student(self, features: TeacherFeatures) -> list[Tensor]:
        """Student levels on the grids of the teacher's."""
        return self.student(features.embedding, features.grids)

    def _support_embeddings(self, supports: Tensor | TeacherFeatures, batch: int) -> tuple[Tensor, int]:
        """Embeddings [K*B, ...] or [K, ...] and K."""
        if isinstance(supports, TeacherFeatures):
            count = supports.embedding.shape[0]
            if count == 0 or count % batch:
                raise ValueError(
                    f"support features of {count} images do not divide among {batch} queries; "
                    "give K*B of them, support by support"
                )
            return supports.embedding, count // batch
        check_supports(supports, batch)
        images = supports.flatten(0, 1) if supports.ndim == 5 else supports
        return self._teacher_features(images, "supports").embedding, supports.shape[0]

    def _teacher_features(self, images: Tensor, role: str, check_range: bool = False) -> TeacherFeatures:
        """What the teacher sees in images, once they are known to be fit for it."""
        check_images(images, self.config.image_size, role, check_range)
        return self.teacher(images.to(self.teacher.device, self.teacher.dtype))

    # -- storage -------------------------------------------------------------------------------------------------

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """What training changes: `student.*` and `weighting.*`, batch-norm statistics included."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("teacher.")}

    def load_trainable_state_dict(self, tensors: dict[str, Tensor], origin: str = "the given state dict") -> None:
        """The inverse of `trainable_state_dict`.

        Raises CheckpointError, which names the origin, for another architecture; then nothing is changed.
        """
        load_all(
            Load(module, part_of(tensors, part), f"{part} in {origin}")
            for part, module in (("student", self.student), ("weighting", self.weighting))
        )

    def fingerprint(self) -> str:
        """sha256 over settings, teacher and trained tensors: equal detectors give equal scores."""
        return fingerprint_of(self.config.to_dict(), self.teacher.fingerprint(), self.trainable_state_dict())

    def save(self, path: str | Path, **metadata: Any) -> Path:
        """Write the whole detector to one safetensors file, whole or not at all.

        The file holds student, learn-to-weight, settings and, unless the package ships it, the teacher: `load` needs
        no network and no random generator of the same version. Of a teacher module of your own the tensors are
        stored, its code is not.

        Parameters
        ----------
        path : str or Path; folders above it are made.
        metadata : further facts that the file is to hold, fit for JSON.

        Raises
        ------
        OSError : the file cannot be written.
        """
        return write_detector(path, self.config.to_dict(), self.state_dict(), self.teacher.facts(), metadata)

    @classmethod
    def load(cls, path: str | Path, teacher: nn.Module | None = None) -> Self:
        """Read a detector written by `save`; its teacher must come out exactly as it was saved.

        Parameters
        ----------
        path : str or Path
        teacher : nn.Module, optional
            Where the detector was built on a module of your own: that module; its tensors come from the file. Where the
            file does not hold its teacher's tensors: the `Teacher` it was trained with.

        Raises
        ------
        FileNotFoundError, CheckpointError : no file, no detector's file, or another teacher than it was trained with.
        """
        return cls.from_stored(read_detector(path, cls.method), teacher)

    @classmethod
    def from_stored(cls, stored: StoredDetector, teacher: nn.Module | None = None) -> Self:
        """The detector of a file that has been read; parameters and errors as of `load`."""
        require_options(stored)
        config = config_of(stored, teacher)
        with possible_settings(stored.path):
            model = cls(config, stored_teacher(stored, config, teacher))
        model.load_trainable_state_dict(stored.trained_tensors, str(stored.path))
        return model

    def load_official_checkpoint(self, path: str | Path) -> None:
        """Take student and learn-to-weight from a file of the released code, `{'decoder': ..., 'weight': ...}`.

        Raises
        ------
        FileNotFoundError, CheckpointError : no file, not such a file, or another architecture; nothing is changed then.
        """
        student, weighting = read_official(path)
        decoder = Load(self.student, student, f"'decoder' in {path}")
        load_all([decoder, Load(self.weighting, weighting, f"'weight' in {path}")])
