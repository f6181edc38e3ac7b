"""Every choice of the method in one place, with the two published readings of it as presets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from torch import nn

# The ImageNet backbone of the released code: torchvision's first weights, which timm carries under this tag.
PUBLISHED_TEACHER = "wide_resnet50_2.tv_in1k"

CHOICES: dict[str, tuple[str, ...]] = {
    "distance": ("flattened", "pointwise"),
    "fusion": ("features", "distances"),
    "map_source": ("ssd", "tsd", "both"),
    "image_score": ("max", "mean"),
    "attention_scale": ("channels", "elements"),
    "weighting": ("learned", "mean", "nearest", "single"),
    "train_supports": ("redrawn", "fixed"),
    "matching": ("weighted", "nearest", "subspace"),
    "compare_in": ("student", "teacher", "both"),
}


@dataclass(frozen=True)
class D24FADConfig:
    """Settings of one D²4FAD detector (Dong et al., ICLR 2026, arXiv 2603.01713).

    The paper's description and the released code disagree in places; each disagreement is a switch here. The defaults
    follow the released code's arithmetic, with its two silent habits mended: images are normalised as the teacher
    was trained, and supports are redrawn every epoch. `official()` and `paper()` give the two published readings.

    Parameters
    ----------
    teacher : str or nn.Module
        A timm model name, or a module that maps images [N, 3, S, S] to a list of feature maps, fine to coarse, of
        which the last is the embedding. A module is used as it is: `weights` does not touch it.
    weights : str
        `"imagenet"` (timm's pretrained weights: from a local cache, else from an installed weights package, else
        downloaded), `"embedded"` (shipped in the package), `"random"`, `"local-dir:FOLDER"` (a folder as timm and
        Hugging Face write it), or the path of a checkpoint in torchvision's or timm's names.
    image_size : int
        Side of the square images in pixels.
    distance : {"flattened", "pointwise"}
        In the losses: one cosine per flattened level (released code), or one per position, averaged (paper).
    fusion : {"features", "distances"}
        Weight the support features and compare once (released code), or compare with each support and weight the K
        distances (paper).
    map_source : {"ssd", "tsd", "both"}
        Residuals in the anomaly map: query against fused supports (released code), student against teacher, or the
        sum of both (paper).
    image_score : {"max", "mean"}
        Of the blurred anomaly map: its maximum (released code) or its mean (paper).
    normalize : bool
        Whether images are brought to the teacher's training mean and standard deviation (ImageNet's, for nearly
        every teacher). The released code does not.
    attention_scale : {"channels", "elements"}
        Divisor of the attention: sqrt(C_l) (published; the dot product runs over C·H·W terms, so the softmax is
        close to one-hot) or sqrt(C_l·H_l·W_l).
    weighting : {"learned", "mean", "nearest", "single"}
        Learn-to-weight, or one of its ablations: uniform weights, all weight on the support of highest cosine per
        level, all weight on the first support.
    temperature : float
        Further divisor of the attention, > 0; 1 is the method.
    lambda_tsd, lambda_ssd : float
        Weights of the two losses, >= 0; loss = lambda_ssd * SSD + lambda_tsd * TSD. The method: 0.1 and 1.
    blur_sigma : float
        Standard deviation of the Gaussian blur of the anomaly map in pixels; 0 switches it off.
    train_supports : {"redrawn", "fixed"}
        During training: drawn anew each epoch without repeats, or once with repeats possible (released code).
    matching : {"weighted", "nearest", "subspace"}
        Ours, not the method's; in the anomaly map alone. What a position of the query is compared with: the weighted
        supports (the method), the support that fits best at that position, or the subspace the supports span there.
    match_radius : float
        Ours; in the anomaly map alone. How far around its own place a position looks for its counterpart in the
        supports, as a share of the side, 0 to 1; 0 is the method, 1/16 reaches 2, 1 and 1 positions of grids of 32,
        16 and 8. See `matching.py`.
    compare_in : {"student", "teacher", "both"}
        Ours; in the anomaly map alone. Features in which query and supports are compared: the student's (the method),
        the frozen teacher's, or the sum of both residuals. "teacher" with `map_source="ssd"` reads nothing that was
        trained but the weights.
    seed : int
        Seed of the initial student and learn-to-weight weights, and of a `"random"` teacher.
    """

    teacher: str | nn.Module = "resnet18"
    weights: str = "embedded"
    image_size: int = 128
    distance: str = "flattened"
    fusion: str = "features"
    map_source: str = "ssd"
    image_score: str = "max"
    normalize: bool = True
    attention_scale: str = "channels"
    weighting: str = "learned"
    temperature: float = 1.0
    lambda_tsd: float = 0.1
    lambda_ssd: float = 1.0
    blur_sigma: float = 4.0
    train_supports: str = "redrawn"
    matching: str = "weighted"
    match_radius: float = 0.0
    compare_in: str = "student"
    seed: int = field(default=0)

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name}={value!r} is not known; choose one of {', '.join(map(repr, allowed))}")
        if not isinstance(self.teacher, (str, nn.Module)):
            raise ValueError(f"teacher must be a timm model name or an nn.Module (built, not its class), found "
                             f"{self.teacher!r}")
        size = self.image_size
        if not isinstance(size, int) or isinstance(size, bool) or size < 16:
            raise ValueError(f"image_size={size!r} must be a whole number of pixels, at least 16 (images are square)")
        if not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature!r} must be greater than 0")
        for name in ("lambda_tsd", "lambda_ssd", "blur_sigma"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name}={value!r} must be a finite number, at least 0")
        if not 0 <= self.match_radius <= 1:
            raise ValueError(f"match_radius={self.match_radius!r} must lie between 0 and 1 (a share of the side)")
        if self.matching == "subspace" and self.match_radius:
            raise ValueError("matching='subspace' compares at the same position; set match_radius=0, or choose "
                             "matching='nearest' to look around")
        if self.lambda_tsd == 0 and self.lambda_ssd == 0:
            raise ValueError("lambda_tsd and lambda_ssd are both 0: nothing would be learnt; raise one of them")

    @classmethod
    def official(cls, **overrides: Any) -> Self:
        """The released code's arithmetic, to the letter (its evaluation protocol is another matter: it leaks)."""
        settings: dict[str, Any] = dict(
            teacher=PUBLISHED_TEACHER, weights="imagenet", distance="flattened", fusion="features", map_source="ssd",
            image_score="max", normalize=False, attention_scale="channels", train_supports="fixed",
        )
        return cls(**(settings | overrides))

    @classmethod
    def paper(cls, **overrides: Any) -> Self:
        """The paper's description. Where it is silent (`normalize`) the released code's way stands."""
        settings: dict[str, Any] = dict(
            teacher=PUBLISHED_TEACHER, weights="imagenet", distance="pointwise", fusion="distances",
            map_source="both", image_score="mean", normalize=False, attention_scale="channels",
            train_supports="redrawn",
        )
        return cls(**(settings | overrides))

    @classmethod
    def matched(cls, **overrides: Any) -> Self:
        """Ours, not the method's: each position of the query seeks the support, and the place near its own, that fits
        best, in the teacher's features; the teacher-student residual is added, and the image score is the mean.

        Training is as by default. It closes in on what a nearest-patch baseline sees, and of what was trained only
        the teacher-student residual still counts; see `benchmarks/method_changes.py` before preferring it.
        """
        settings: dict[str, Any] = dict(map_source="both", image_score="mean", matching="nearest",
                                        match_radius=1 / 16, compare_in="teacher")
        return cls(**(settings | overrides))

    @property
    def reads_teacher(self) -> bool:
        """Whether the anomaly map looks at the queries' teacher levels, and not at student levels alone."""
        return self.map_source != "ssd" or self.compare_in != "student"

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; a teacher module is named by its class as `"module:ClassName"`."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if isinstance(self.teacher, nn.Module):
            values["teacher"] = f"module:{type(self.teacher).__name__}"
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`; a setting this version does not know is an error."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"configuration has unknown settings {unknown}; this version knows {sorted(known)}")
        return cls(**values)
