"""DICOM: recognised by content, and its pixels the same as those of pydicom's own pipeline."""

from __future__ import annotations

import builtins
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from image_files import dicom_dataset, write_dicom
from image_files import dicom_item as item
from image_files import dicom_table as table
from PIL import Image

from d24fad_lite.data.formats.dicom import read_dicom
from d24fad_lite.data.images import ImageError, load_image, stored_size

pydicom = pytest.importorskip("pydicom")
from pydicom.pixels import apply_modality_lut, apply_voi_lut, convert_color_space  # noqa: E402

Y, X = np.mgrid[0:24, 0:32]
RAMP = (X * 4095 // 31 - Y * 7).clip(0, 4095).astype(np.uint16)
SIGNED = RAMP.astype(np.int16) - 2048
COLOUR = np.stack([X * 8, 255 - X * 8, Y * 10], axis=2).astype(np.uint8)


def value_of(path: Path) -> float:
    image = load_image(path, 16)
    assert image.std() < 1e-6
    return image[0, 0, 0].item()


def pydicoms_grey(path: Path) -> np.ndarray:
    """The pipeline of pydicom, brought to 0..1 by the range that its output has by construction."""
    dataset = pydicom.dcmread(path)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float64)
    if dataset.get("VOILUTSequence"):
        low, high = 0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif dataset.get("ModalityLUTSequence"):
        low, high = 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    else:
        bits, signed = dataset.BitsStored, dataset.PixelRepresentation
        ends = np.array([-(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1], float)
        low, high = ends * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    unit = (values - low) / (high - low)
    return 1 - unit if dataset.PhotometricInterpretation == "MONOCHROME1" else unit


# --- the pipeline ----------------------------------------------------------------------------------------------------

RESCALED = {"RescaleSlope": 2.5, "RescaleIntercept": -1024}
CURVE = 65535 - np.sqrt(np.arange(4096)) * 1000


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("pixels", [RAMP, SIGNED], ids=["unsigned", "signed"])
@pytest.mark.parametrize(
    "elements",
    [
        {},
        RESCALED,
        {"WindowCenter": 1000, "WindowWidth": 900},
        {"WindowCenter": 40, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 700, "WindowWidth": 800, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 700, "WindowWidth": 1},
        {"WindowCenter": [1000, 3000], "WindowWidth": [900, 10]},
        {"WindowCenter": 900, "WindowWidth": 1500} | RESCALED,
        {"VOILUTSequence": [table(CURVE)]},
        {"VOILUTSequence": [table(CURVE[:1000] // 16, first=500, bits=12)]},
        {"VOILUTSequence": [table(CURVE)], "WindowCenter": 10, "WindowWidth": 20},
        {"ModalityLUTSequence": [table(CURVE)], "WindowCenter": 30000, "WindowWidth": 20000},
        {"VOILUTSequence": [table(CURVE[:700]), table(CURVE[::-1])]} | RESCALED,
    ],
    ids=lambda elements: "+".join(elements) or "plain",
)
def test_grey_equals_the_pipeline_of_pydicom_pixel_by_pixel(tmp_path, pixels, photometric, elements):
    path = write_dicom(tmp_path / "a.dcm", pixels, PhotometricInterpretation=photometric, **elements)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of a table over floats
        expected = pydicoms_grey(path)
    assert np.abs(read_dicom(path) - expected).max() < 1e-5


def test_a_negative_slope_turns_values_and_range_alike(tmp_path):
    # pydicom's window maps to a range whose ends are swapped here; the standard's formula is the reference.
    path = write_dicom(tmp_path / "a.dcm", RAMP, RescaleSlope=-1, RescaleIntercept=4095)
    assert np.abs(read_dicom(path) - (4095 - RAMP) / 4095).max() < 1e-6
    path = write_dicom(
        tmp_path / "b.dcm", RAMP, RescaleSlope=-1, RescaleIntercept=4095, WindowCenter=2000, WindowWidth=1001
    )
    expected = np.clip(((4095.0 - RAMP) - 1999.5) / 1000 + 0.5, 0, 1)
    assert np.abs(read_dicom(path) - expected).max() < 1e-5


@pytest.mark.filterwarnings("ignore:A value of 'None' for .0028,0008.:UserWarning")
@pytest.mark.parametrize(
    "empty",
    [
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 5, "WindowWidth": None},
        {"VOILUTFunction": ""},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"VOILUTSequence": []},
        {"ModalityLUTSequence": []},
        {"ModalityLUTSequence": [item()]},
        {"NumberOfFrames": None},
    ],
)
def test_elements_that_are_there_but_empty_count_as_missing(tmp_path, empty):
    plain = read_dicom(write_dicom(tmp_path / "a.dcm", RAMP))
    assert np.array_equal(read_dicom(write_dicom(tmp_path / "b.dcm", RAMP, **empty)), plain)
    lut = {"VOILUTSequence": [table(CURVE)]}
    with_table = read_dicom(write_dicom(tmp_path / "c.dcm", RAMP, **lut))
    if "VOILUTSequence" not in empty:
        assert np.array_equal(read_dicom(write_dicom(tmp_path / "d.dcm", RAMP, **lut | empty)), with_table)


def test_a_slope_without_intercept_counts_and_the_other_way_round(tmp_path):
    window = {"WindowCenter": 1000, "WindowWidth": 501}
    path = write_dicom(tmp_path / "a.dcm", RAMP, RescaleSlope=2, **window)
    assert np.abs(read_dicom(path) - np.clip((2.0 * RAMP - 999.5) / 500 + 0.5, 0, 1)).max() < 1e-5
    path = write_dicom(tmp_path / "b.dcm", RAMP, RescaleIntercept=-500, **window)
    assert np.abs(read_dicom(path) - np.clip((RAMP - 500.0 - 999.5) / 500 + 0.5, 0, 1)).max() < 1e-5


@pytest.mark.parametrize("where", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_window_and_rescale_of_enhanced_files_come_from_the_functional_groups(tmp_path, where):
    group = item(
        FrameVOILUTSequence=[item(WindowCenter=40, WindowWidth=400)],
        PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=-1024)],
    )
    enhanced = write_dicom(tmp_path / "a.dcm", RAMP, NumberOfFrames=1, **{where: [group]})
    plain = write_dicom(
        tmp_path / "b.dcm", RAMP, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400
    )
    assert np.array_equal(read_dicom(enhanced), read_dicom(plain))


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"WindowCenter": 5, "WindowWidth": 0}, "window of width 0"),
        ({"WindowCenter": 5, "WindowWidth": 5, "VOILUTFunction": "CUBIC"}, "the VOI function 'CUBIC'"),
        ({"PixelData": b""}, "DICOM file without pixels"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "the rescale slope 0"),
        ({"HighBit": 15}, "keeps its 12 bits up to bit 15"),
        ({"PhotometricInterpretation": "HSV"}, "photometric interpretation 'HSV', expected one of"),
        ({"PhotometricInterpretation": None}, "photometric interpretation ''"),
        ({"PhotometricInterpretation": "RGB"}, "1 samples per pixel, expected 3 for RGB"),
    ],
)
def test_what_cannot_be_shown_right_is_refused_by_name(tmp_path, elements, said):
    with pytest.raises(ImageError, match=rf"a\.dcm'.*{said}"):
        load_image(write_dicom(tmp_path / "a.dcm", RAMP, **elements), 16)


def test_without_a_window_the_stored_range_is_mapped(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.full((20, 20), 1000, np.uint16))
    assert value_of(path) == pytest.approx(1000 / 4095, abs=1e-5)
    assert stored_size(path) == (20, 20)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_float_pixels_need_a_window_or_lie_in_zero_to_one(tmp_path, kind):
    unit = (RAMP / 4095).astype(kind)
    path = write_dicom(tmp_path / "a.dcm", unit)
    assert np.abs(read_dicom(path) - unit).max() < 1e-6
    path = write_dicom(tmp_path / "b.dcm", unit * 300, WindowCenter=150, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    assert np.abs(read_dicom(path) - np.clip((unit * 300 - 150) / 100 + 0.5, 0, 1)).max() < 1e-5
    with pytest.raises(ImageError, match="float values from 0 to 300 and no window"):
        read_dicom(write_dicom(tmp_path / "c.dcm", unit * 300))
    with pytest.raises(ImageError, match="NaN or infinite"):
        read_dicom(write_dicom(tmp_path / "d.dcm", np.where(X == 3, np.nan, unit).astype(kind)))


# --- colour ----------------------------------------------------------------------------------------------------------


def palette(dtype: str = "<u2", entries: int = 256, first: int = 0, bits: int = 16) -> dict[str, object]:
    elements: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for index, name in enumerate(("Red", "Green", "Blue")):
        lut = ((np.arange(entries) * (37 + 91 * index)) % (np.iinfo(dtype).max + 1)).astype(dtype)
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [entries % 65536, first, bits]
        elements[f"{name}PaletteColorLookupTableData"] = lut.tobytes()
    return elements


@pytest.mark.parametrize(
    ("pixels", "bits", "lut"),
    [
        ((RAMP >> 4).astype(np.uint8), 8, palette()),
        ((RAMP >> 4).astype(np.uint8), 8, palette("u1", bits=8)),
        (RAMP, 12, palette(entries=4096)),
        ((RAMP >> 4).astype(np.uint8), 8, palette(entries=100, first=20)),
    ],
    ids=["16 bits", "8 bits", "deep", "part"],
)
def test_palettes_equal_those_of_pydicom_pixel_by_pixel(tmp_path, pixels, bits, lut):
    path = write_dicom(tmp_path / "a.dcm", pixels, bits, **lut)
    dataset = pydicom.dcmread(path)
    expected = pydicom.pixels.apply_color_lut(dataset.pixel_array, dataset)
    assert np.abs(read_dicom(path) - expected / np.iinfo(expected.dtype).max).max() < 1e-6


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_equals_pydicoms_in_either_planar_configuration(tmp_path, planar):
    pixels = COLOUR.transpose(2, 0, 1) if planar else COLOUR
    dataset = dicom_dataset(COLOUR, 8, PlanarConfiguration=planar)
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert np.abs(read_dicom(tmp_path / "a.dcm") - COLOUR / 255).max() < 1e-6


def test_ybr_colour_is_converted_as_pydicom_converts_it(tmp_path):
    stored = convert_color_space(COLOUR, "RGB", "YBR_FULL")
    path = write_dicom(tmp_path / "a.dcm", stored, 8, PhotometricInterpretation="YBR_FULL")
    assert np.abs(read_dicom(path) - convert_color_space(stored, "YBR_FULL", "RGB") / 255).max() < 1e-6


# --- frames and compression ------------------------------------------------------------------------------------------


def test_several_frames_are_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.zeros((5, 20, 20), np.uint16), NumberOfFrames=5, Rows=20, Columns=20)
    with pytest.raises(ImageError, match=r"a\.dcm' holds 5 frames, expected one"):
        load_image(path, 16)


@pytest.mark.parametrize("frames", [2, 3, 4])
@pytest.mark.parametrize("said", [{}, {"NumberOfFrames": 1}])
def test_frames_that_the_header_does_not_mention_are_no_colours(tmp_path, frames, said):
    path = write_dicom(tmp_path / "a.dcm", np.zeros((frames, 20, 20), np.uint16), Rows=20, Columns=20, **said)
    with pytest.raises(ImageError, match=rf"a\.dcm' holds {frames} frames, expected one"):
        load_image(path, 16)


@pytest.mark.parametrize("offsets", [True, False])
def test_compressed_frames_that_the_header_does_not_mention_are_refused(tmp_path, offsets):
    buffer = io.BytesIO()
    Image.fromarray(COLOUR[:, :, 0]).save(buffer, "JPEG")
    dataset = dicom_dataset(COLOUR[:, :, 0], 8)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    dataset.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()] * 3, has_bot=offsets)
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(ImageError, match=r"a\.dcm' holds 3 frames, expected one"):
        load_image(tmp_path / "a.dcm", 16)


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless"])
@pytest.mark.parametrize("pixels", [RAMP, COLOUR], ids=["grey", "colour"])
def test_lossless_compression_changes_nothing(tmp_path, syntax, pixels):
    if syntax == "JPEG2000Lossless":
        pytest.importorskip("openjpeg")
    bits, pixels = 8 if pixels.ndim == 3 else 12, pixels.repeat(4, 0).repeat(4, 1)
    plain = read_dicom(write_dicom(tmp_path / "a.dcm", pixels, bits))
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.compress(getattr(pydicom.uid, syntax))
    dataset.save_as(tmp_path / "b.dcm")
    assert np.array_equal(read_dicom(tmp_path / "b.dcm"), plain)


@pytest.mark.parametrize("grey", [True, False])
def test_jpeg_baseline_equals_pillows_decoder(tmp_path, grey):
    pytest.importorskip("libjpeg")
    buffer, pixels = io.BytesIO(), COLOUR[:, :, 0] if grey else COLOUR
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    dataset = dicom_dataset(pixels, 8, PhotometricInterpretation="MONOCHROME2" if grey else "YBR_FULL")
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    dataset.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    expected = np.asarray(Image.open(buffer), np.float32) / 255
    assert np.abs(read_dicom(tmp_path / "a.dcm") - expected).max() < 4 / 255


def test_a_codestream_of_another_size_than_the_header_promises_is_refused(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((400, 400), np.uint8)).save(buffer, "JPEG")
    dataset = dicom_dataset(COLOUR[:, :, 0], 8)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    dataset.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(ImageError, match="is compressed as 400x400 pixels, its header promises 32x24"):
        load_image(tmp_path / "a.dcm", 16)


# --- recognised by content, and errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["IM000001", "1.2.840.113619.2.55", "a.ima", "a.IMA", "a.dicom", "a.png", "a.tif"])
def test_dicom_is_recognised_whatever_its_name(tmp_path, name):
    expected = read_dicom(write_dicom(tmp_path / "a.dcm", RAMP))
    assert np.array_equal(read_dicom((tmp_path / "a.dcm").rename(tmp_path / name)), expected)
    assert load_image(tmp_path / name, 32).shape == (3, 32, 32) and stored_size(tmp_path / name) == (32, 24)


@pytest.mark.parametrize("syntax", ["ExplicitVRLittleEndian", "ImplicitVRLittleEndian", "ExplicitVRBigEndian"])
@pytest.mark.parametrize("meta", [True, False], ids=["meta group", "bare"])
@pytest.mark.parametrize("name", ["a.dcm", "IM1"])
def test_dicom_without_a_preamble_is_read(tmp_path, syntax, meta, name):
    dataset = dicom_dataset(RAMP)
    expected = read_dicom(write_dicom(tmp_path / "whole.dcm", RAMP))
    dataset.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
    little = syntax != "ExplicitVRBigEndian"
    if not little:
        dataset["PixelData"].VR = "OW"
        dataset.PixelData = RAMP.astype(">u2").tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    data = buffer.getvalue()[132:]
    if not meta:
        data = data[data.index(b"\x08\0\x16\0" if little else b"\0\x08\0\x16") :]
    (tmp_path / name).write_bytes(data)
    assert np.array_equal(read_dicom(tmp_path / name), expected)
    assert load_image(tmp_path / name, 16).shape == (3, 16, 16)


def test_dicom_that_is_damaged_names_the_file(tmp_path):
    whole = write_dicom(tmp_path / "a.dcm", np.zeros((20, 20), np.uint16)).read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[:-300])
    with pytest.raises(ImageError, match=r"a\.dcm' cannot be decoded"):
        load_image(tmp_path / "a.dcm", 16)
    (tmp_path / "b.dcm").write_bytes(b"no dicom at all")
    with pytest.raises(ImageError, match=r"b\.dcm' is not a readable DICOM"):
        load_image(tmp_path / "b.dcm", 16)


def test_dicom_without_pydicom_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.dcm").write_bytes(b"x")
    real = builtins.__import__

    def without(name, *args, **options):
        if name == "pydicom":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImageError, match=r'pip install "d24fad_lite\[dicom\]"'):
        load_image(tmp_path / "a.dcm", 16)
