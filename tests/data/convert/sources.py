"""Small folders laid out exactly as the publishers do, with the traps of each in them. All pictures are noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 48


def picture(seed: int | str) -> np.ndarray:
    """uint8 [48, 48] blotches, unlike those of any other seed."""
    rng = np.random.default_rng(list(str(seed).encode()))
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def save(path: Path, seed: int | str, **options: object) -> Path:
    """A picture as file, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed)).save(path, **options)
    return path


def save_dicom(path: Path, pixels: np.ndarray, photometric: str = "MONOCHROME2") -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    path.parent.mkdir(parents=True, exist_ok=True)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    data.PatientID, data.Modality = path.stem, "CR"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, photometric
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def rsna(root: Path) -> Path:
    """10 normal, 3 between, 4 with opacity. Traps: two boxes, a box twice, a missing file, one cut short, MONOCHROME1,
    a file without a row, class rows repeated per box, a byte-order mark, an upper-case suffix."""
    classes, boxes = ["patientId,class"], ["patientId,x,y,width,height,Target"]
    for index in range(10):
        save_dicom(root / f"stage_2_train_images/n{index}.dcm", picture(f"n{index}"))
        classes.append(f"n{index},Normal")
        boxes.append(f"n{index},,,,,0")
    for index in range(3):
        save_dicom(root / f"stage_2_train_images/m{index}.dcm", picture(f"m{index}"))
        classes.append(f"m{index},No Lung Opacity / Not Normal")
        boxes.append(f"m{index},,,,,0")
    save_dicom(root / "stage_2_train_images/o0.dcm", picture("o0"))
    save_dicom(root / "stage_2_train_images/o1.DCM", 255 - picture("o1"), "MONOCHROME1")
    cut = save_dicom(root / "stage_2_train_images/o2.dcm", picture("o2"))
    cut.write_bytes(cut.read_bytes()[:-700])
    save_dicom(root / "stage_2_train_images/stranger.dcm", picture("stranger"))
    classes += [f"{name},Lung Opacity" for name in ("o0", "o0", "o1", "o2", "missing")]
    boxes += [
        "o0,4.0,6.0,10.0,12.0,1",
        "o0,30.0,20.5,9.5,50.0,1",
        "o1,1.0,2.0,3.0,4.0,1",
        "o1,1.0,2.0,3.0,4.0,1",
        "o2,1,2,3,4,1",
        "missing,1,2,3,4,1",
    ]
    (root / "stage_2_detailed_class_info.csv").write_text("\n".join(classes) + "\n", encoding="utf-8-sig")
    (root / "stage_2_train_labels.csv").write_text("\n".join(boxes) + "\n")
    return root


def lag(root: Path) -> Path:
    """8 without and 3 with glaucoma. Traps: attention maps beside, an upper-case suffix, a stray file, names that occur
    in both classes, one photograph saved again, smaller."""
    base = root / "LAG_database_part_1"
    for name, count in (("non_glaucoma", 8), ("suspicious_glaucoma", 3)):
        for index in range(1, count + 1):
            suffix = "JPG" if index == 2 else "jpg"
            save(base / name / f"image/{index:04d}.{suffix}", f"{name}{index}", quality=95)
            save(base / name / f"attention_map/{index:04d}.jpg", "map")
            (base / name / "label").mkdir(exist_ok=True)
            (base / name / f"label/{index:04d}.txt").write_text("0")
    (base / "non_glaucoma/image/Thumbs.db").write_text("x")
    for index in range(4, 8):  # whichever side it falls on, one of these copies stands on the other
        again = Image.open(base / "non_glaucoma/image/0003.jpg").resize((SIZE + 4 * index, SIZE + 4 * index))
        again.save(base / f"non_glaucoma/image/000{index}.jpg", quality=80)
    return root


def aptos(root: Path) -> Path:
    """6 of grade 0, one of each other. Traps: labels as 0.0 and "0", spaces, a row twice, two grades for one picture, a
    missing file, a file without a row, an upper-case suffix, a byte-order mark."""
    rows = ["id_code,diagnosis"]
    for index in range(6):
        save(root / f"train_images/good{index}.{'PNG' if index == 1 else 'png'}", f"good{index}")
        rows.append(f"good{index},{('0', '0.0', chr(34) + '0' + chr(34), ' 0 ')[index % 4]}")
    for grade in (1, 2, 3, 4):
        save(root / f"train_images/grade{grade}.png", f"grade{grade}")
        rows.append(f"grade{grade},{grade}")
    rows += ["good2,0", "gone,0", "same_a,0", "same_b,3"]
    save(root / "train_images/same_a.png", "same")
    save(root / "train_images/same_b.png", "same")
    save(root / "train_images/unlisted.png", "unlisted")
    save(root / "test_images/later.png", "later")
    (root / "train.csv").write_text("\n".join(rows) + "\n", encoding="utf-8-sig")
    return root


def brain(root: Path) -> Path:
    """Training: 6 without tumour, 2 of each kind; Testing: 3 and 2. Trap: one image in both, under another name."""
    for folder, short, healthy in (("Training", "Tr", 6), ("Testing", "Te", 3)):
        for name, count in (("glioma", 2), ("meningioma", 2), ("notumor", healthy), ("pituitary", 2)):
            for index in range(count):
                save(root / folder / name / f"{short}-{name[:2]}_{index:04d}.jpg", f"{folder}{name}{index}")
    twin = root / "Training/notumor/Tr-no_0000.jpg"
    (root / "Testing/notumor/Te-no_0099.jpg").write_bytes(twin.read_bytes())
    return root


def camelyon(root: Path, images: str = "img", masks: str = "label") -> Path:
    """5 + 2 + 2 patients. Traps: a patient in train and in test, a mask that is missing, masks under either name."""
    for index in range(8):
        save(root / f"train/good/p{index // 2}_{index:03d}.png", f"train{index}")
    save(root / "train/good/p9_900.png", "shared train")
    for split, first in (("valid", 20), ("test", 30)):
        for index in range(2):
            save(root / split / "good" / images / f"p{first + index}_1.png", f"{split}{index}")
            save(root / split / "Ungood" / images / f"p{first + index}_2.png", f"{split} bad {index}")
            marked = np.zeros((SIZE, SIZE), np.uint8)
            marked[4:10, 5:12] = 255
            place = root / split / "Ungood" / masks
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(marked).save(place / f"p{first + index}_2.png")
    save(root / "test/good" / images / "p9_901.png", "shared test")
    save(root / "test/Ungood" / images / "p40_1.png", "no mask")
    return root


def volume(path: Path, seed: int, spacing: tuple[float, float, float] = (1, 1, 1), dtype: str = "int16") -> np.ndarray:
    """int16 [20, 24, 10] in RAS."""
    import nibabel

    rng = np.random.default_rng(seed)
    values = rng.integers(0, 1000, (20, 24, 10)).astype(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([*spacing, 1.0])), path)
    return values
