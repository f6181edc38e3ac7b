"""Methods of anomalib and imgad as scorers of the kit: the same images, weights and draws, their own code for the rest.

Importing this file needs both packages; `peers.py` says how to install them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from anomalib.models.image.reverse_distillation.anomaly_map import AnomalyMapGenerationMode
from anomalib.models.image.reverse_distillation.loss import ReverseDistillationLoss
from anomalib.models.image.reverse_distillation.torch_model import ReverseDistillationModel
from imgad import AnomalyDetectionPipeline, build_detector
from imgad.features.timm_models import TimmFeatureExtractor
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from d24fad_lite.evaluation.scorer import ScoredBatch
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.model.weights.packages import package_of, renamed

CORESET = 0.1  # anomalib's default share of the patches
RD_LEARNING = {"lr": 0.005, "betas": (0.5, 0.99)}  # anomalib's optimiser


def names_of_levels(teacher: str, levels: tuple[int, ...]) -> list[Any]:
    """anomalib's names of the kit's levels: a ResNet's stages, else positions among timm's feature maps."""
    return [f"layer{i + 1}" for i in levels] if "resnet" in teacher else [i + 1 for i in levels]


def give_weights(extractor: nn.Module, teacher: Teacher) -> None:
    """The teacher's tensors into a network of timm that may end at an earlier stage. Raises if one is missing."""
    tensors = teacher.backbone.state_dict()
    extractor.load_state_dict({name: tensors[name] for name in extractor.state_dict()})


def normalised(teacher: Teacher, images: Tensor) -> Tensor:
    """What their pre-processor does to images in 0..1."""
    return (images - teacher.mean) / teacher.std


class Replay(nn.Module):
    """Stands for an encoder whose features of a batch are known, so that several draws share them."""

    def __init__(self, features: Any) -> None:
        super().__init__()
        self.features = features

    def forward(self, _: Tensor) -> Any:
        return dict(self.features)


class PatchCore:
    """anomalib's PatchCore; `share` of the supports' patches is kept by its coreset, 1 keeps all."""

    def __init__(self, teacher: Teacher, architecture: str, share: float = CORESET) -> None:
        kept = "10 % coreset, its default" if share < 1 else "all patches"
        self.name, self.image_size = f"anomalib PatchCore, {kept}", teacher.image_size
        self.teacher, self.share = teacher, share
        self.model = PatchcoreModel(names_of_levels(architecture, (1, 2)), architecture, pre_trained=False).eval()
        self.encoder: nn.Module = self.model.feature_extractor
        give_weights(self.encoder.feature_extractor, teacher)  # type: ignore[arg-type]

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Patch vectors [N·P, C]."""
        self.model.train()
        vectors = self.model(normalised(self.teacher, images))
        self.model.embedding_store.clear()
        self.model.eval()
        return vectors

    def bank(self, vectors: Tensor) -> Tensor:
        """The memory bank of one draw."""
        if self.share == 1:
            return vectors
        torch.manual_seed(0)  # of its random projection and first patch
        self.model.embedding_store.append(vectors)
        self.model.subsample_embedding(self.share)
        return self.model.memory_bank

    def prepare(self, images: Tensor, draws: np.ndarray) -> list[Tensor]:
        vectors = self.embed(images).unflatten(0, (len(images), -1))  # (U, P, C)
        return [self.bank(vectors[torch.from_numpy(draw)].flatten(0, 1)) for draw in draws]

    @torch.no_grad()
    def score(self, images: Tensor, prepared: list[Tensor]) -> ScoredBatch:
        x = normalised(self.teacher, images)
        self.model.feature_extractor = Replay(self.encoder(x))
        results = []
        for bank in prepared:
            self.model.memory_bank = bank
            results.append(self.model(x))
        self.model.feature_extractor = self.encoder
        return _together(results)


class ReverseDistillation:
    """anomalib's Reverse Distillation, trained anew on the supports of each draw, all of them in every step."""

    def __init__(self, teacher: Teacher, architecture: str, steps: int) -> None:
        self.name, self.image_size = f"anomalib Reverse Distillation, {steps} steps", teacher.image_size
        self.teacher, self.architecture, self.steps = teacher, architecture, steps

    def build(self) -> ReverseDistillationModel:
        """A new network around the teacher's weights."""
        torch.manual_seed(0)
        size, levels = (self.image_size,) * 2, names_of_levels(self.architecture, (0, 1, 2))
        mode = AnomalyMapGenerationMode.ADD
        model = ReverseDistillationModel(self.architecture, size, levels, mode, pre_trained=False)
        give_weights(model.encoder.feature_extractor, self.teacher)
        return model

    def prepare(self, images: Tensor, draws: np.ndarray) -> list[ReverseDistillationModel]:
        return [self._trained(normalised(self.teacher, images[torch.from_numpy(draw)])) for draw in draws]

    def _trained(self, x: Tensor) -> ReverseDistillationModel:
        model, loss = self.build().train(), ReverseDistillationLoss()
        learnable = [*model.decoder.parameters(), *model.bottleneck.parameters()]
        optimizer = torch.optim.Adam(learnable, **RD_LEARNING)
        for _ in range(self.steps):
            optimizer.zero_grad()
            loss(*model(x)).backward()
            optimizer.step()
        return model.eval()

    @torch.no_grad()
    def score(self, images: Tensor, prepared: list[ReverseDistillationModel]) -> ScoredBatch:
        x = normalised(self.teacher, images)
        return _together([model(x) for model in prepared])


class Neighbour:
    """imgad's nearest neighbour of whole-image features; it gives no maps."""

    name = "imgad kNN (k = 1) of whole-image features"

    def __init__(self, teacher: Teacher, architecture: str, folder: Path) -> None:
        self.image_size = teacher.image_size
        self.extractor = extractor_of(teacher, architecture, folder)

    def pipeline(self) -> AnomalyDetectionPipeline:
        """As its own page builds one."""
        return AnomalyDetectionPipeline(self.extractor, build_detector("knn", k=1), ["l2"])

    def features(self, images: Tensor) -> np.ndarray:
        return self.extractor.extract(as_pil(images), show_progress=False)

    def prepare(self, images: Tensor, draws: np.ndarray) -> list[AnomalyDetectionPipeline]:
        features = self.features(images)
        return [self.pipeline().fit_features(features[draw]) for draw in draws]

    def score(self, images: Tensor, prepared: list[AnomalyDetectionPipeline]) -> ScoredBatch:
        features = self.features(images)
        return ScoredBatch(np.stack([pipeline.score_features(features) for pipeline in prepared]), None)


def extractor_of(teacher: Teacher, architecture: str, folder: Path) -> TimmFeatureExtractor:
    """imgad's extractor with the kit's weights, handed over as a file, and the kit's normalisation."""
    path = folder / f"{architecture}.safetensors"
    tensors = dict(teacher.backbone.state_dict())
    if teacher.weights_source.kind == "package" and (entry := package_of(architecture)) is not None:
        found = entry.find()  # also the layers behind the kit's levels
        assert found is not None
        tensors = renamed(found, timm.create_model(architecture))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    size = teacher.image_size
    treatment = {"input_size": [3, size, size], "crop_pct": 1.0, "interpolation": "bicubic"}
    treatment |= {"mean": teacher.mean.flatten().tolist(), "std": teacher.std.flatten().tolist()}
    return TimmFeatureExtractor(architecture, checkpoint=str(path), device="cpu", data_config=treatment)


def as_pil(images: Tensor) -> list[Image.Image]:
    """Images [N, 3, S, S] in 0..1 as 8-bit pictures, the only kind that imgad takes."""
    pixels = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(one) for one in pixels]


def _together(results: list[Any]) -> ScoredBatch:
    """anomalib's results of D draws."""
    scores = np.stack([result.pred_score.flatten().numpy() for result in results])
    return ScoredBatch(scores, np.stack([result.anomaly_map.squeeze(1).numpy() for result in results]))
