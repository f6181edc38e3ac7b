"""Slices of NIfTI volumes: orientation, window, labels, masks; and files that promise more than they should."""

from __future__ import annotations

import gzip
import shutil
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import sources
from PIL import Image

from d24fad_lite.data.benchmark import open_benchmark
from d24fad_lite.data.convert.converting import convert
from d24fad_lite.data.convert.nifti import LabelTable, plan_nifti
from d24fad_lite.data.convert.records import SourceError
from d24fad_lite.data.convert.slices import SliceSettings
from d24fad_lite.data.convert.volumes import cut, read_volume, to_grey, window_of
from d24fad_lite.data.images import ImageError

nibabel = pytest.importorskip("nibabel")


def plan_of(root: Path, settings: SliceSettings | None = None, **options: object):
    return plan_nifti(root, settings, progress=False, **options)


def by_folders(root: Path, healthy: int = 5, ill: int = 2) -> Path:
    for index in range(healthy):
        sources.volume(root / f"normal/h{index}.nii.gz", index)
    for index in range(ill):
        sources.volume(root / f"bad/i{index}.NII", 100 + index)
    return root


# --- one volume ------------------------------------------------------------------------------------------------------


def marked_corner() -> np.ndarray:
    """RAS [6, 8, 10] with a bright voxel at the patient's right, front and top."""
    values = np.zeros((6, 8, 10), np.int16)
    values[5, 7, 9] = 100
    return values


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA"])
def test_slices_lie_as_radiologists_see_them_however_the_volume_is_stored(tmp_path, codes):
    image = nibabel.Nifti1Image(marked_corner(), np.diag([1.0, 2.0, 3.0, 1.0]))
    start = nibabel.orientations.io_orientation(image.affine)
    turned = image.as_reoriented(nibabel.orientations.ornt_transform(start, nibabel.orientations.axcodes2ornt(codes)))
    nibabel.save(turned, tmp_path / "v.nii.gz")
    volume = read_volume(tmp_path / "v.nii.gz")
    assert volume.values.shape == (6, 8, 10) and volume.spacing == (1, 2, 3) and volume.oriented
    axial, coronal, sagittal = (
        cut(volume.values, axis, index) for axis, index in (("axial", 9), ("coronal", 7), ("sagittal", 5))
    )
    assert axial.shape == (8, 6) and axial[0, 0] == 100  # front up, right on the left
    assert coronal.shape == (10, 6) and coronal[0, 0] == 100  # head up, right on the left
    assert sagittal.shape == (10, 8) and sagittal[0, 0] == 100  # head up, front on the left


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("Nifti1Image", "uint8"),
        ("Nifti1Image", "float64"),
        ("Nifti2Image", "int32"),
        ("Nifti1Image", ">i2"),
    ],
)
def test_values_are_nibabels_own(tmp_path, kind, dtype):
    values = np.random.default_rng(0).integers(0, 200, (5, 6, 7)).astype(dtype)
    image = getattr(nibabel, kind)(values, np.eye(4))
    image.header.set_slope_inter(2.0, -100.0)
    nibabel.save(image, tmp_path / "v.nii")
    assert np.allclose(read_volume(tmp_path / "v.nii").values, nibabel.load(tmp_path / "v.nii").get_fdata())


def test_the_window_is_of_the_whole_volume_and_nan_is_black():
    values = np.arange(1001, dtype=np.float32)
    values[0] = np.nan
    low, high = window_of(values, (0, 100))
    assert (low, high) == (1, 1000)
    assert to_grey(np.array([[np.nan, 0, 1, 1000, 5000]]), low, high).tolist() == [[0, 0, 0, 65535, 65535]]


def header_of(size: int = 64, **fields: object) -> bytes:
    header = nibabel.Nifti1Header()
    header.set_data_shape((size, size, size))
    header.set_data_dtype(np.uint8)
    header["magic"], header["vox_offset"] = b"n+1", 352
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no NIfTI file"),
        (b"hello" * 200, "is no NIfTI file"),
        (header_of() + bytes(100), "more than the file can hold"),
        (
            header_of(dim=[4, 8, 8, 8, 5, 1, 1, 1]) + bytes(9000),
            r"has the shape \(8, 8, 8, 5\), expected three dimensions",
        ),
        (header_of(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]) + bytes(9000), "at most 268,435,456 are read; cut it"),
        (header_of(dim=[3, -4, 8, 8, 1, 1, 1, 1]) + bytes(9000), "has the shape"),
        (header_of(vox_offset=2e9) + bytes(9000), "voxels begin at byte 2e"),
        (header_of(vox_offset=np.nan) + bytes(9000), "voxels begin at byte nan"),
        (header_of(8, datatype=128, bitpix=24) + bytes(9000), "expected one number each"),
        (header_of(8, datatype=9999) + bytes(9000), "cannot be read"),
    ],
)
def test_a_damaged_header_is_named(tmp_path, data, message):
    (tmp_path / "v.nii").write_bytes(data)
    with pytest.raises(ImageError, match=message):
        read_volume(tmp_path / "v.nii")


def test_a_damaged_archive_is_named(tmp_path):
    sources.volume(tmp_path / "v.nii.gz", 0)
    whole = (tmp_path / "v.nii.gz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for damaged in (whole[: len(whole) // 2], bytes(flipped), whole[:-6] + b"\0\0" + whole[-4:]):
        (tmp_path / "w.nii.gz").write_bytes(damaged)
        with pytest.raises(ImageError, match="w.nii.gz' (cannot be read|is cut short)"):
            read_volume(tmp_path / "w.nii.gz")


def test_an_archive_is_unpacked_no_further_than_its_header_promises(tmp_path):
    """A header of 64 voxels a side, with an extension that claims to be endless, before 400 MB of zeros."""
    extension = b"\1\0\0\0" + np.array([-1, 0], np.int32).tobytes()
    with gzip.open(tmp_path / "bomb.nii.gz", "wb", compresslevel=1) as stream:
        stream.write(header_of(vox_offset=416) + extension)
        for _ in range(400):
            stream.write(bytes(2**20))
    tracemalloc.start()
    started = time.monotonic()
    assert read_volume(tmp_path / "bomb.nii.gz").values.shape == (64, 64, 64)
    assert tracemalloc.get_traced_memory()[1] < 20e6 and time.monotonic() - started < 5
    tracemalloc.stop()


# --- a folder of volumes ---------------------------------------------------------------------------------------------


def test_slices_of_class_folders_stay_together_as_patients(tmp_path):
    done = convert(
        plan_of(by_folders(tmp_path / "v"), SliceSettings(start=2, stop=8, step=2)),
        tmp_path / "Brain",
        test_fraction=0.4,
        progress=False,
    )
    task = open_benchmark(done.out)["Brain"]
    assert (len(task.train), len(task.test), int(task.test.labels.sum())) == (9, 12, 6)
    assert {path.name for path in task.test.paths if "i0" in path.name} == {"i0_002.png", "i0_004.png", "i0_006.png"}
    assert not set(task.train.groups) & set(task.test.groups) and {"i0", "i1"} < set(task.test.groups)
    picture = Image.open(done.out / "test/bad/i0_004.png")
    assert picture.size == (20, 24) and picture.mode.startswith("I;16")
    assert any("patient's right on the left" in note for note in done.notes)


def test_a_segmentation_says_which_slices_are_anomalous_and_becomes_their_mask(tmp_path):
    root, masks = by_folders(tmp_path / "v", healthy=6, ill=0) / "normal", tmp_path / "masks"
    for index in range(6):
        path = root / f"h{index}.nii.gz"
        marked = np.zeros((20, 24, 10), np.uint8)
        if index < 2:
            marked[3:6, 20:24, 5] = 2
            marked[3, 3, 6] = 1
        masks.mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(marked, np.eye(4)), masks / f"h{index}_seg.nii.gz")
        shutil.move(path, tmp_path / "v" / path.name)
    root.rmdir()
    plan = plan_of(tmp_path / "v", SliceSettings(min_voxels=4), masks=masks)
    done = convert(plan, tmp_path / "Brain", progress=False)
    task = open_benchmark(done.out)["Brain"]
    assert [path.name for path in task.test.paths if "/bad/" in path.as_posix()] == ["h0_005.png", "h1_005.png"]
    assert {row.source_class: row.why for row in done.table}["slices with marked voxels"] == {
        "fewer marked voxels than --min-voxels": 2
    }
    mask = np.asarray(Image.open(done.out / "test/mask/h0_005.png"))
    expected = np.zeros((24, 20), np.uint8)
    expected[0:4, 14:17] = 255  # the front is up, and x = 3..5 of 20 lies on the right
    assert (mask == expected).all()
    assert {"h0", "h1"} <= set(task.test.groups)


def test_segmentations_may_lie_beside_volumes_of_which_a_pattern_takes_some(tmp_path):
    for index in range(4):
        folder = tmp_path / f"v/case{index}"
        for sequence in ("flair", "t1"):
            sources.volume(folder / f"case{index}_{sequence}.nii.gz", index)
        marked = np.zeros((20, 24, 10), np.uint8)
        marked[5:9, 5:9, 5] = index == 0
        nibabel.save(nibabel.Nifti1Image(marked, np.eye(4)), folder / f"case{index}_seg.nii.gz")
    plan = plan_of(tmp_path / "v", SliceSettings(start=5, stop=7), masks=tmp_path / "v/../v", pattern="*_FLAIR.nii.gz")
    done = convert(plan, tmp_path / "Brain", progress=False)
    assert sum(row.found for row in done.table) == 8 and not done.problems
    assert [path.name for path in (done.out / "test/bad").iterdir()] == ["case0_flair_005.png"]
    assert any("4 volume(s) are not called *_FLAIR.nii.gz" in note for note in done.notes)


def test_a_table_says_what_is_normal_and_who_the_patient_is(tmp_path):
    root = by_folders(tmp_path / "v", healthy=4, ill=0) / "normal"
    (tmp_path / "t.csv").write_text("volume,finding,who\nh0,0,anna\nh1.nii.gz,0.0,ben\nh2,1,carla\nh9,1,dora\n")
    table = LabelTable(tmp_path / "t.csv", "volume", "finding", ["0"], "who")
    plan = plan_of(root, SliceSettings("sagittal"), table=table)
    done = convert(plan, tmp_path / "Knee", test_fraction=0.5, progress=False)
    task = open_benchmark(done.out)["Knee"]
    assert set(task.train.groups) | set(task.test.groups) == {"anna", "ben", "carla"}
    assert {image.name: image.why for image in done.problems} == {
        "h3.nii.gz": "nothing says whether it is normal",
        "h9": "file is missing",
    }


def test_what_is_wrong_with_a_volume_is_a_line_and_does_not_stop_the_others(tmp_path):
    root = by_folders(tmp_path / "v")
    (root / "bad/cut.nii.gz").write_bytes((root / "normal/h0.nii.gz").read_bytes()[:300])
    nibabel.save(nibabel.Nifti1Image(np.ones((20, 24, 10), np.uint8), np.eye(4)), root / "bad/flat.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 3), np.uint8), np.eye(4)), root / "bad/short.nii.gz")
    values = sources.volume(root / "bad/dark.nii.gz", 7, spacing=(1, 1.5, 4), dtype="float32")
    values[:, :, 6] = 0
    values[0, 0, 7] = np.nan
    image = nibabel.Nifti1Image(values, np.diag([1, 1.5, 4, 1.0]))
    image.set_qform(None, 0)
    image.set_sform(None, 0)
    nibabel.save(image, root / "bad/dark.nii.gz")
    done = convert(plan_of(root, SliceSettings(start=5, window=(0, 900))), tmp_path / "Brain", progress=False)
    assert {image.name: image.why for image in done.problems} == {
        "bad/cut.nii.gz": "cannot be read",
        "bad/short.nii.gz": "no slice in the range",
    }
    (bad,) = [row for row in done.table if row.source_class == "bad"]
    assert bad.why["slice of one value"] == 6  # one of dark, all of flat
    notes = "\n".join(done.notes)
    assert "dark.nii.gz: its header gives no orientation" in notes and "1 x 1.5 mm in the slice" in notes
    assert "dark.nii.gz: 1 voxels are NaN and shown black" in notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": "diagonal"}, "choose one of 'sagittal', 'coronal', 'axial'"),
        ({"step": 0}, "must be at least 1"),
        ({"percentiles": (99, 1)}, "percentiles 99:1 must rise and lie between 0 and 100"),
        ({"percentiles": (0, 101)}, "percentiles 0:101"),
        ({"window": (5, 5)}, "window 5:5 must rise, for example -160:240"),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SliceSettings(**options)


def test_a_folder_without_volumes_is_refused(tmp_path):
    with pytest.raises(SourceError, match="holds no .nii or .nii.gz file"):
        plan_of(tmp_path)
