"""What stands on the page, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class GalleryImage:
    """One scored image.

    Attributes
    ----------
    name : str
        Path below the folder.
    score : float
        Higher is less like the supports.
    p_value : float or None
        Conformal p-value of the image being normal, where there are normal images to compare with.
    alarm : bool or None
        Whether it lies above the threshold, where there is one.
    weights : list of float
        How much each support counted, shares that add to 1.
    picture : bytes
        JPEG in the image's own colours.
    overlay : bytes or None
        PNG with transparency of the same size, to be laid over `picture`; None for no map.
    outlined : bool, default False
        Whether the map is anywhere as high as the highest value of a support's, where the overlay has its line.
    """

    name: str
    score: float
    p_value: float | None
    alarm: bool | None
    weights: list[float]
    picture: bytes
    overlay: bytes | None
    outlined: bool = False


@dataclass(frozen=True)
class GallerySupport:
    """One support.

    Attributes
    ----------
    name : str
    score : float or None
        Against the other supports; None where it was not compared.
    suspicion : float or None
        How unlike the others it is, see `suspicious_supports`.
    flagged : bool
        Whether it stands apart from the others.
    picture : bytes
        JPEG.
    """

    name: str
    score: float | None
    suspicion: float | None
    flagged: bool
    picture: bytes


@dataclass(frozen=True)
class Gallery:
    """All of the page.

    Attributes
    ----------
    title : str
    images : list of GalleryImage, highest score first
    supports : list of GallerySupport
    all_scores : list of float, also of the images that are not shown
    threshold : float or None
    threshold_sentence : str
        How far the threshold can be trusted, or why there is none.
    settings : dict of str to str
    left_out : int
        Scored images that are not shown, all of lower scores.
    failures : dict of str to str
        Name and reason of files that could not be used.
    """

    title: str
    images: list[GalleryImage]
    supports: list[GallerySupport]
    all_scores: list[float]
    threshold: float | None
    threshold_sentence: str
    settings: dict[str, str]
    left_out: int = 0
    failures: dict[str, str] = field(default_factory=dict)
