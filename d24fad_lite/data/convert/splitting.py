"""Which image goes to train and which to test: whole patients, by a seed, and never one image in two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from d24fad_lite.data.convert.records import SourceImage
from d24fad_lite.files import sha256_of

ORDER = ("test", "valid", "train")  # where an image or a patient is in two splits, the first of these keeps it

# reasons to leave an image out
OTHER_SPLIT, TWICE = "same image in another split", "same image twice"
OTHER_LABEL, SHARED_PATIENT = "same image with another label", "patient in another split"


def split_by_patient(images: Sequence[SourceImage], hashes: Mapping[str, str], fraction: float, seed: int) -> None:
    """Put every image in train or test, and all images of a patient in the same split.

    Patients with an anomalous image go to test with all their images. Of the other patients, `fraction` goes to test
    and the rest to train. Where every patient has an anomalous image, `fraction` of all patients goes to test, and the
    anomalous images of the rest are left out, because training sees normal images only. An image whose patient is not
    known counts as a patient of its own.

    The order of patients comes from a hash of seed and name, so a few more or fewer images move few of the others.

    Parameters
    ----------
    images : sequence of SourceImage
        Their `split` is set; some get a reason to be left out.
    hashes : mapping of str to str
        Name of an image -> sha256 of its content, needed where the patient is not known.
    fraction : float
        Part of the patients, between 0 and 1, that goes to test; at least one patient goes to each side.
    seed : int
        Another seed gives another split.
    """
    groups: dict[str, list[SourceImage]] = defaultdict(list)
    for image in images:
        groups["patient " + image.patient if image.patient else "image " + hashes[image.name]].append(image)
    healthy = [name for name, members in groups.items() if all(image.label == 0 for image in members)]
    divided = sorted(healthy or groups, key=lambda name: sha256_of(f"{seed} {name}"))
    count = min(max(round(fraction * len(divided)), 1), len(divided) - 1)
    train = set(divided[count:])
    for name, members in groups.items():
        for image in members:
            image.split = "train" if name in train else "test"
            if image.split == "train" and image.label == 1:
                image.leave_out("anomalous image of a patient in train", "training sees normal images only")


def drop_equal(images: Sequence[SourceImage], hashes: Mapping[str, str]) -> None:
    """Leave out all but one of the images with equal content: test keeps it before valid before train, then the first.

    Where equal images have different labels, nobody knows which label is true, and all of them are left out. The labels
    of images that are left out already count too: an image that stands among the normal ones and among the pituitary
    tumours is doubtful, even where pituitary tumours are not used.

    Parameters
    ----------
    images : sequence of SourceImage
        Some get a reason to be left out.
    hashes : mapping of str to str
        Name of an image -> sha256 of its content; an image without a hash is not compared.
    """
    by_content: dict[str, list[SourceImage]] = defaultdict(list)
    for image in images:
        if image.name in hashes:
            by_content[hashes[image.name]].append(image)
    for equal in by_content.values():
        twins = [image for image in equal if not image.why]
        ranked = sorted(twins, key=lambda image: ORDER.index(image.split) if image.split else 0)  # stable
        if len({image.label for image in equal}) > 1:
            for image in twins:
                other = next(twin for twin in equal if twin.label != image.label)
                image.leave_out(OTHER_LABEL, f"equal content: {other.name}", problem=True)
            continue
        for image in ranked[1:]:
            where = f", which is kept in {ranked[0].split}" if ranked[0].split else ", which is kept"
            across = ranked[0].split != image.split
            image.leave_out(OTHER_SPLIT if across else TWICE, f"equal content: {ranked[0].name}{where}")


def drop_shared_patients(images: Sequence[SourceImage]) -> None:
    """In a published split, leave out the images of a patient who is also in test (or in valid)."""
    home_split: dict[str, str] = {}
    for split in ORDER:
        for image in images:
            if image.split != split or not image.patient:
                continue
            home = home_split.setdefault(image.patient, split)
            if home != split:
                image.leave_out(SHARED_PATIENT, f"patient {image.patient} is also in {home}")
