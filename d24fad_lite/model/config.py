"""Every setting of the method in one place; its choices, the named readings and the presets are derived from it.

Each field of `D24FADConfig` says which values it may take and where it acts. `CHOICES`, `READ_AT_SCORING`, `MAP_ALONE`,
`READINGS` and `PRESETS` below the class follow from the fields: a new switch is added in one place, as a field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

from torch import nn

from d24fad_lite.messages import choose_one_of

LARGEST_SIZE = 4096  # pixels of a side; the limit of data/images, which the model does not know
# The ImageNet backbone of the released code: torchvision's first weights, which timm carries under this tag.
PUBLISHED_TEACHER = "wide_resnet50_2.tv_in1k"
HF_WEIGHTS = ("local", "download", "random")  # of a teacher "hf:..."

# Where a setting acts.
NETWORK_OR_TRAINING = "network or training"  # a trained detector cannot take another value
TRAINING_AND_MAP = "training and map"  # the training step and the anomaly map both read it
MAP = "map"  # the anomaly map or its score alone reads it: detectors that differ in nothing else are trained once


def _setting(default: Any, *alternatives: str, acts_on: str = NETWORK_OR_TRAINING) -> Any:
    """A field of the configuration: its default, the other values of a switch, and where it acts."""
    choices = (default, *alternatives) if alternatives else ()
    return dataclasses.field(default=default, metadata={"choices": choices, "acts_on": acts_on})


@dataclass(frozen=True)
class D24FADConfig:
    """Settings of one D²4FAD detector (Dong et al., ICLR 2026, arXiv 2603.01713).

    The paper's description and the released code disagree in places; each disagreement is a switch here. The defaults
    follow the released code's arithmetic, with its two silent habits mended: images are normalised as the teacher
    was trained, and supports are redrawn every epoch. `official()` and `paper()` give the two published readings.

    Parameters
    ----------
    teacher : str or nn.Module
        A timm model name; or `"hf:FOLDER"` or `"hf:organisation/name"`, an encoder in transformers' format (DINOv2 and
        v3, RAD-DINO, ViT, CLIP, SigLIP, Swin, ConvNeXt, ResNet and others) from a folder or Hugging Face's cache; or a
        module that maps images [N, 3, S, S] to a list of feature maps, fine to coarse, of which the last is the
        embedding. A module is used as it is: `weights` does not touch it. Of a network of one grid (plain ViTs) the
        levels are four depths, evenly spread: they differ in depth, not in fineness, and the student keeps that grid.
    weights : str
        Of a timm name: `"imagenet"` (timm's pretrained weights: from a local cache, else from an installed weights
        package, else downloaded; `"local"`: the same, never downloaded), `"embedded"` (shipped in the package),
        `"random"`, `"local-dir:FOLDER"` (a folder in timm's format, whose config.json may name options of the model, as
        UNI's does), or the path of a checkpoint in torchvision's or timm's names. Of `"hf:..."`: `"local"` (the
        folder's or the cache's safetensors; also what the default stands for), `"download"` (the same, fetched once
        where they are not there) or `"random"`.
    image_size : int
        Side of the square images in pixels. Where a teacher cuts images into patches, a multiple of their side.
    distance : {"flattened", "pointwise"}
        In the losses: one cosine per flattened level (released code), or one per position, averaged (paper).
    fusion : {"features", "distances"}
        Weight the support features and compare once (released code), or compare with each support and weight the K
        distances (paper).
    map_source : {"ssd", "tsd", "both"}
        Residuals in the anomaly map: query against fused supports (released code), student against teacher, or the
        sum of both (paper).
    image_score : {"max", "mean", "top"}
        Of the blurred anomaly map: its maximum (released code), its mean (paper), or (ours) the mean of its highest
        pixels, a share `top_share` of all.
    top_share : float
        Ours; above 0, up to 1.
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
    align_corners : bool
        How levels are brought to the image: corner pixels on corner pixels (released code), or (False, ours) each
        position over the square of the image that it stands for. The former stretches the outermost positions.
    train_supports : {"redrawn", "fixed"}
        During training: drawn anew each epoch without repeats, or once with repeats possible (released code).
    matching : {"weighted", "nearest", "subspace"}
        Ours, not the method's; in the anomaly map alone. What a position of the query is compared with: the weighted
        supports (the method), the support that fits best at that position, or the subspace the supports span there.
    match_radius : float
        Ours; in the anomaly map alone. How far from its own position a query position looks for its counterpart in
        the supports, as a share of the side, 0 to 1. 0 is the method; 1/16 reaches 2, 1 and 1 positions on grids of
        32, 16 and 8; 1 is the whole grid. See `matching.py`.
    compare_in : {"student", "teacher", "both"}
        Ours; in the anomaly map alone. Features in which query and supports are compared: the student's (the method),
        the frozen teacher's, or the sum of both residuals. "teacher" with `map_source="ssd"` reads nothing that was
        trained but the weights.
    student_padding : {"zeros", "reflect", "replicate"}
        What the student's 3x3 convolutions see beyond the border: zeros (released code), or (ours) the features' own
        values, so that the border can be studied. Tensors and their names are the same. Where the embedding is the
        same everywhere, "reflect" alone gives features without a border.
    stop_gradient : bool
        Ours. True: the gradient of SSD reaches the student through the query alone, not through the supports that it
        is compared with (learn-to-weight still learns). False is the method, whose two sides draw together.
    seed : int
        Seed of the initial student and learn-to-weight weights, and of a `"random"` teacher.
    """

    teacher: str | nn.Module = "resnet18"
    weights: str = "embedded"
    image_size: int = 128
    distance: str = _setting("flattened", "pointwise")
    fusion: str = _setting("features", "distances", acts_on=TRAINING_AND_MAP)
    map_source: str = _setting("ssd", "tsd", "both", acts_on=MAP)
    image_score: str = _setting("max", "mean", "top", acts_on=MAP)
    top_share: float = _setting(0.1, acts_on=MAP)
    normalize: bool = True
    attention_scale: str = _setting("channels", "elements", acts_on=TRAINING_AND_MAP)
    weighting: str = _setting("learned", "mean", "nearest", "single", acts_on=TRAINING_AND_MAP)
    temperature: float = _setting(1.0, acts_on=TRAINING_AND_MAP)
    lambda_tsd: float = 0.1
    lambda_ssd: float = 1.0
    blur_sigma: float = _setting(4.0, acts_on=MAP)
    align_corners: bool = _setting(True, acts_on=MAP)
    train_supports: str = _setting("redrawn", "fixed")
    matching: str = _setting("weighted", "nearest", "subspace", acts_on=MAP)
    match_radius: float = _setting(0.0, acts_on=MAP)
    compare_in: str = _setting("student", "teacher", "both", acts_on=MAP)
    student_padding: str = _setting("zeros", "reflect", "replicate")
    stop_gradient: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(choose_one_of(name, value, allowed))
        if not isinstance(self.teacher, (str, nn.Module)):
            raise ValueError(
                f"teacher must be a timm model name or an nn.Module (built, not its class), found {self.teacher!r}"
            )
        self._settle_weights()
        size = self.image_size
        if not isinstance(size, int) or isinstance(size, bool) or not 16 <= size <= LARGEST_SIZE:
            raise ValueError(
                f"image_size={size!r} must be a whole number of pixels, 16 to {LARGEST_SIZE} (images are square)"
            )
        self._require_types()
        self._require_ranges()
        if self.matching == "subspace" and self.match_radius:
            raise ValueError(
                "matching='subspace' compares at the same position; set match_radius=0, or choose "
                "matching='nearest' to look around"
            )
        if self.lambda_tsd == 0 and self.lambda_ssd == 0:
            raise ValueError("lambda_tsd and lambda_ssd are both 0: nothing would be learnt; raise one of them")

    def _settle_weights(self) -> None:
        """Of an `hf:` teacher the default stands for its own weights; timm's sources are refused."""
        if not isinstance(self.teacher, str) or not self.teacher.startswith("hf:"):
            return
        if self.weights == _FIELDS["weights"].default:
            object.__setattr__(self, "weights", "local")
        if self.weights not in HF_WEIGHTS:
            raise ValueError(choose_one_of(f"teacher={self.teacher!r}: weights", self.weights, HF_WEIGHTS))

    def _require_types(self) -> None:
        """Refuse values of another type, which a file may well hold."""
        if not isinstance(self.weights, str):
            raise ValueError(f"weights={self.weights!r} must be a text, such as 'imagenet' or a path")
        for name in ("normalize", "align_corners", "stop_gradient"):
            if not isinstance(value := getattr(self, name), bool):
                raise ValueError(f"{name}={value!r} must be True or False")
        if not isinstance(self.seed, Integral) or isinstance(self.seed, bool) or self.seed < 0:
            raise ValueError(f"seed={self.seed!r} must be a whole number, at least 0")
        for name in ("temperature", "lambda_tsd", "lambda_ssd", "blur_sigma", "top_share", "match_radius"):
            value = getattr(self, name)
            if not isinstance(value, Real) or isinstance(value, bool):
                raise ValueError(f"{name}={value!r} must be a number")

    def _require_ranges(self) -> None:
        """Refuse numbers that lie outside their range."""
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature={self.temperature!r} must be greater than 0, and finite")
        for name in ("lambda_tsd", "lambda_ssd", "blur_sigma"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name}={value!r} must be a finite number, at least 0")
        if not 0 < self.top_share <= 1:
            raise ValueError(f"top_share={self.top_share!r} must be above 0, up to 1 (a share of the map's pixels)")
        if not 0 <= self.match_radius <= 1:
            raise ValueError(f"match_radius={self.match_radius!r} must lie between 0 and 1 (a share of the side)")

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """The settings of a preset ("kit", "official", "paper" or "matched", see `PRESETS`); overrides win over it.

        Raises
        ------
        ValueError : a name that is no preset.
        """
        if name not in PRESETS:
            raise ValueError(choose_one_of("preset", name, PRESETS))
        return cls(**{**PRESETS[name], **overrides})

    @classmethod
    def official(cls, **overrides: Any) -> Self:
        """The released code's arithmetic, to the letter (its evaluation protocol is another matter: it leaks)."""
        return cls.preset("official", **overrides)

    @classmethod
    def paper(cls, **overrides: Any) -> Self:
        """The paper's description. Where it is silent (`normalize`) the released code's way stands."""
        return cls.preset("paper", **overrides)

    @classmethod
    def matched(cls, **overrides: Any) -> Self:
        """Ours, not the method's: every position of the query is compared with the position of any support that fits
        it best, anywhere in the image, in the teacher's features. The image score is the mean of the map's highest
        tenth.

        This map reads nothing that was trained, so a trained and an untrained detector give the same one. It is a
        nearest-patch method behind the detector's interface, chosen on development seeds of the sample world and on
        real images. What the student adds is what the readings "released" and "paper" show. Training is as by default.
        """
        return cls.preset("matched", **overrides)

    @staticmethod
    def reading(name: str) -> dict[str, Any]:
        """The settings of a named reading: "released", "paper" or "matched", see `READINGS`.

        Raises
        ------
        ValueError : a name that is no reading.
        """
        if name not in READINGS:
            raise ValueError(choose_one_of("reading", name, READINGS))
        return dict(READINGS[name])

    def read_as(self, name: str | None = None, **switches: Any) -> Self:
        """These settings with the map read in a named way, and with single switches on top.

        Parameters
        ----------
        name : str, one of `READINGS`; default: as these settings say.
        switches : settings of `READ_AT_SCORING`.

        Raises
        ------
        ValueError : an unknown name, or a switch that acts on the network or in training alone.
        """
        if wrong := sorted(set(switches) - set(READ_AT_SCORING)):
            raise ValueError(
                f"settings {wrong} do not act on a trained model; choose from "
                f"{', '.join(READ_AT_SCORING)}, or train a model with them"
            )
        return self.replace(**((self.reading(name) if name else {}) | switches))

    @property
    def reading_name(self) -> str | None:
        """The name of the reading whose settings these are; None where single switches differ from all of them."""
        return next((name for name, settings in READINGS.items() if self._has(settings)), None)

    @property
    def reads_teacher(self) -> bool:
        """Whether the anomaly map looks at the queries' teacher levels, and not at student levels alone."""
        return self.map_source != "ssd" or self.compare_in != "student"

    def _has(self, settings: Mapping[str, Any]) -> bool:
        """Whether these settings have the given values."""
        return all(getattr(self, name) == value for name, value in settings.items())

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
        """The inverse of `to_dict`. Raises ValueError for a setting that this version does not know."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"configuration has unknown settings {unknown}; this version knows {sorted(known)}")
        return cls(**values)


_FIELDS = {field.name: field for field in dataclasses.fields(D24FADConfig)}

CHOICES: Mapping[str, tuple[str, ...]] = {
    name: field.metadata["choices"] for name, field in _FIELDS.items() if field.metadata.get("choices")
}
# Settings that are read when an image is scored; the others shape the training or the network.
READ_AT_SCORING = tuple(
    name for name, field in _FIELDS.items() if field.metadata.get("acts_on") in (TRAINING_AND_MAP, MAP)
)
# Of these, the settings that training does not read.
MAP_ALONE = tuple(name for name, field in _FIELDS.items() if field.metadata.get("acts_on") == MAP)

# How the readings differ from the defaults, which are the released code's arithmetic.
_CHANGED_BY_READING: Mapping[str, Mapping[str, Any]] = {
    "released": {},
    "paper": {"fusion": "distances", "map_source": "both", "image_score": "mean"},
    "matched": {"matching": "nearest", "match_radius": 1.0, "compare_in": "teacher", "image_score": "top"},
}
_NAMED_BY_READING = {name for changes in _CHANGED_BY_READING.values() for name in changes} | set(MAP_ALONE)
_AS_RELEASED = {name: field.default for name, field in _FIELDS.items() if name in _NAMED_BY_READING}
# Ways of reading one trained detector: what its anomaly map is made of, and which number of the map is the score.
READINGS: Mapping[str, Mapping[str, Any]] = {
    name: {**_AS_RELEASED, **changes} for name, changes in _CHANGED_BY_READING.items()
}

_PUBLISHED = {"teacher": PUBLISHED_TEACHER, "weights": "imagenet", "normalize": False}
# Whole configurations: how a detector is built and trained, and how its map is read.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "kit": {},
    "official": {**_PUBLISHED, "train_supports": "fixed", **READINGS["released"]},
    "paper": {**_PUBLISHED, "distance": "pointwise", **READINGS["paper"]},
    "matched": READINGS["matched"],
}
