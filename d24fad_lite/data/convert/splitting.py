"""Who goes to train and who to test: whole patients, by a seed, and never one image in two places."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from d24fad_lite.data.convert.records import SourceImage

ORDER = ("test", "valid", "train")  # where an image or a patient is in two splits, the first of these keeps it

# reasons to leave an image out
OTHER_SPLIT, TWICE = "same image in another split", "same image twice"
OTHER_LABEL, SHARED_PATIENT = "same image with another label", "patient in another split"


def split_by_patient(images: Sequence[SourceImage], hashes: Mapping[str, str], fraction: float, seed: int) -> None:
    """Give every image a split.

    Patients with an anomalous image go to test with all that they have. Of the others, `fraction` goes to test and the
    rest to train. Where every patient has an anomalous image, `fraction` of all goes to test, and the anomalous images
    of the rest are left out, because training sees normal images only. An image of an unknown patient stands alone.

    The order of patients comes from a hash of seed and name, so a few more or fewer images move few of the others.
    """
    groups: dict[str, list[SourceImage]] = defaultdict(list)
    for image in images:
        groups["patient " + image.patient if image.patient else "image " + hashes[image.name]].append(image)
    healthy = [name for name, members in groups.items() if all(image.label == 0 for image in members)]
    divided = sorted(healthy or groups, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).hexdigest())
    count = min(max(round(fraction * len(divided)), 1), len(divided) - 1)
    train = set(divided[count:])
    for name, members in groups.items():
        for image in members:
            image.split = "train" if name in train else "test"
            if image.split == "train" and image.label == 1:
                image.leave_out("anomalous image of a patient in train", "training sees normal images only")


def drop_equal(images: Sequence[SourceImage], hashes: Mapping[str, str]) -> None:
    """Of images with equal content keep one: that in test before valid before train, then the first.

    Where equal images have different labels, nobody knows which is true, and all of them are left out. Images that are
    left out already are not chosen, but their labels count: a "normal" image that is also in the class of pituitary
    tumours is not normal because that class is not used.
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
    """Of a published split, leave out what belongs to a patient who is also in test (or in valid)."""
    owner: dict[str, str] = {}
    for split in ORDER:
        for image in images:
            if image.split == split and image.patient:
                if owner.setdefault(image.patient, split) != split:
                    image.leave_out(SHARED_PATIENT, f"patient {image.patient} is also in {owner[image.patient]}")
