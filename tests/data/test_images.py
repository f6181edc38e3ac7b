"""Decoding: bit depths, colour modes, DICOM, resizing and masks."""

from __future__ import annotations

import builtins
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from d24fad_lite.data.images import ImageError, check_size, decode_image, load_image, load_mask, stored_size

# Reading deep PNG leans on torchvision's decoder, which announces its end; the fallback is tested too.
pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (40, 31, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (40, 31), dtype=np.uint8)
DEEP_GREY = RNG.integers(0, 65536, (40, 31), dtype=np.uint16)
DEEP_COLOUR = RNG.integers(0, 65536, (40, 31, 3), dtype=np.uint16)


def pillow_reference(path: Path, size: int) -> torch.Tensor:
    image = Image.open(path).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def write_deep_png(path: Path, pixels: np.ndarray) -> Path:
    height, width, channels = pixels.shape
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def write_deep_tiff(path: Path, pixels: np.ndarray, order: str = "<", deflate=False, predict=False) -> Path:
    """A TIFF of 16-bit colour in strips of 7 rows, written by hand because Pillow has no such mode."""
    height, width, channels = pixels.shape
    stored = np.diff(pixels, axis=1, prepend=np.zeros((height, 1, channels), np.uint16)) if predict else pixels
    strips = [stored[r : r + 7].astype(order + "u2").tobytes() for r in range(0, height, 7)]
    strips = [zlib.compress(s) for s in strips] if deflate else strips
    ends = [int(end) for end in np.cumsum([8] + [len(s) for s in strips])]
    fields = {256: [width], 257: [height], 258: [16] * channels, 259: [8 if deflate else 1], 262: [2]}
    fields |= {273: ends[:-1], 277: [channels], 278: [7], 279: [len(s) for s in strips], 317: [2 if predict else 1]}
    start = ends[-1] + ends[-1] % 2
    lists_at = start + 2 + 12 * len(fields) + 4
    entries, lists = b"", b""
    for tag, values in fields.items():  # every field as LONG; what does not fit into its entry follows the directory
        packed = struct.pack(f"{order}{len(values)}I", *values)
        place = packed if len(values) == 1 else struct.pack(order + "I", lists_at + len(lists))
        lists += packed if len(values) > 1 else b""
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    directory = struct.pack(order + "H", len(fields)) + entries + b"\0" * 4 + lists
    path.write_bytes((head + b"".join(strips)).ljust(start, b"\0") + directory)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "PNG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("size", [16, 31, 128])
def test_eight_bit_images_equal_pillow_lanczos_exactly(tmp_path, suffix, pixels, size):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    image = load_image(path, size)
    assert image.shape == (3, size, size) and image.dtype == torch.float32
    assert torch.equal(image, pillow_reference(path, size))
    assert decode_image(path, size).dtype == np.uint8


def test_eight_bit_images_equal_the_path_of_torchvision(tmp_path):
    transforms = pytest.importorskip("torchvision.transforms")
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    pipeline = transforms.Compose(
        [transforms.Resize((64, 64), transforms.InterpolationMode.LANCZOS), transforms.ToTensor()]
    )
    assert torch.equal(load_image(tmp_path / "a.png", 64), pipeline(Image.open(tmp_path / "a.png").convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "PA"])
def test_palettes_bits_and_alpha_become_plain_colour(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "PA" else "a.png")
    source = Image.fromarray(COLOUR)
    if mode == "PA":
        source.convert("RGBA").convert("P").save(tmp_path / "a.png", transparency=0)
        path = tmp_path / "a.png"
    else:
        source.convert(mode).save(path)
    assert torch.equal(load_image(path, 32), pillow_reference(path, 32))


def test_transparent_pixels_keep_their_colour(tmp_path):
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[:, :, 0] = 200  # red and fully transparent
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert torch.allclose(load_image(tmp_path / "a.png", 16)[0], torch.tensor(200 / 255))


def test_exif_orientation_is_left_alone(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees"
    Image.fromarray(COLOUR).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(COLOUR).save(tmp_path / "plain.png")
    assert torch.equal(load_image(tmp_path / "turned.png", 32), load_image(tmp_path / "plain.png", 32))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_keeps_its_depth(tmp_path, suffix):
    flat = np.full((20, 20), 12345, np.uint16)
    Image.fromarray(flat).save(tmp_path / f"a.{suffix}")
    pixels = decode_image(tmp_path / f"a.{suffix}", 16)
    assert pixels.dtype == np.uint16 and (pixels == 12345).all()
    assert load_image(tmp_path / f"a.{suffix}", 16)[0, 0, 0].item() == pytest.approx(12345 / 65535, abs=1e-7)


def test_sixteen_bit_grey_follows_lanczos_of_the_float_values(tmp_path):
    Image.fromarray(DEEP_GREY).save(tmp_path / "a.png")
    wanted = np.asarray(
        Image.fromarray(DEEP_GREY.astype(np.float32) / 65535).resize((24, 24), Image.Resampling.LANCZOS)
    ).clip(0, 1)
    assert np.abs(load_image(tmp_path / "a.png", 24).numpy() - wanted).max() < 1.5 / 65535


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bit_colour_png_keeps_its_depth(tmp_path, channels):
    pixels = np.concatenate([DEEP_COLOUR, DEEP_GREY[:, :, None]], axis=2)[:31, :31, :channels]
    path = write_deep_png(tmp_path / "a.png", np.ascontiguousarray(pixels))
    wanted = pixels[:, :, [0, 0, 0]] if channels == 2 else pixels[:, :, :3]
    assert np.array_equal(decode_image(path, 31), wanted)


def test_sixteen_bit_colour_png_is_read_at_eight_bits_without_a_deep_decoder(tmp_path, monkeypatch):
    path = write_deep_png(tmp_path / "a.png", np.ascontiguousarray(DEEP_COLOUR[:31]))
    monkeypatch.setitem(sys.modules, "torchvision.io", None)
    assert np.array_equal(decode_image(path, 31) // 257, DEEP_COLOUR[:31] // 256)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("deflate", "predict"), [(False, False), (True, False), (True, True)])
def test_sixteen_bit_colour_tiff_keeps_its_depth(tmp_path, order, deflate, predict):
    pixels = np.ascontiguousarray(DEEP_COLOUR[:31])
    path = write_deep_tiff(tmp_path / "a.tif", pixels, order, deflate, predict)
    assert np.array_equal(decode_image(path, 31), pixels)


def test_deep_colour_that_is_cut_short_is_an_error_that_names_the_file(tmp_path):
    for path in (
        write_deep_png(tmp_path / "a.png", DEEP_COLOUR),
        write_deep_tiff(tmp_path / "a.tif", DEEP_COLOUR),
        write_deep_tiff(tmp_path / "b.tif", DEEP_COLOUR, deflate=True),
    ):
        whole = bytearray(path.read_bytes())
        if path.suffix == ".png":
            whole = whole[: len(whole) // 2]
        elif path.stem == "a":
            at = whole.rindex(struct.pack("<I", 7 * 31 * 3 * 2))  # the last strip but one claims to be short
            whole[at : at + 4] = struct.pack("<I", 10)
        else:
            whole[40:60] = bytes(20)  # inside the first compressed strip
        path.write_bytes(whole)
        with pytest.raises(ImageError, match=f"{path.name}' cannot be decoded, it is damaged or cut short"):
            decode_image(path, 16)


def test_float_tiffs_are_used_as_they_are(tmp_path):
    Image.fromarray(np.full((20, 20), 0.25, np.float32)).save(tmp_path / "a.tif")
    assert torch.allclose(load_image(tmp_path / "a.tif", 16), torch.tensor(0.25), atol=1e-5)


def test_images_stay_within_zero_and_one_where_lanczos_overshoots(tmp_path):
    edge = np.zeros((40, 40), np.uint16)
    edge[:, 20:] = 65535
    Image.fromarray(edge).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png", 100)
    assert image.min() == 0 and image.max() == 1


def test_a_source_that_is_not_square_is_squeezed(tmp_path):
    wide = np.zeros((20, 80), np.uint8)
    wide[:, 40:] = 255
    Image.fromarray(wide).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png", 32)
    assert image[0, :, :14].max() < 0.1 and image[0, :, 18:].min() > 0.9


@pytest.mark.parametrize("size", [0, 15, -3, 32.0, "32", None, True, (32, 48)])
def test_a_tiny_or_non_square_size_is_refused(size):
    with pytest.raises(ValueError, match="image size must be"):
        check_size(size)


def test_numpy_integers_are_sizes():
    assert check_size(np.int64(16)) == 16


# --- DICOM -----------------------------------------------------------------------------------------------------------


def write_dicom(path: Path, pixels: np.ndarray, bits: int = 12, **extra: object) -> Path:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape[-2:] if pixels.ndim == 2 else pixels.shape[-3:-1]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 and pixels.shape[-1] == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if dataset.SamplesPerPixel == 3 else "MONOCHROME2"
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for name, value in extra.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def value_of(path: Path) -> float:
    image = load_image(path, 16)
    assert image.std() < 1e-6
    return image[0, 0, 0].item()


def test_dicom_without_a_window_maps_the_stored_range(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.full((20, 20), 1000, np.uint16))
    assert value_of(path) == pytest.approx(1000 / 4095, abs=1e-5)
    assert stored_size(path) == (20, 20)


def test_dicom_rescale_and_window_are_applied(tmp_path):
    # Stored 1064 is 40 HU after the rescale, the centre of a window of 400 HU.
    extra = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400}
    middle = value_of(write_dicom(tmp_path / "a.dcm", np.full((20, 20), 1064, np.uint16), **extra))
    assert middle == pytest.approx(0.5, abs=0.003)
    assert value_of(write_dicom(tmp_path / "b.dcm", np.full((20, 20), 800, np.uint16), **extra)) == 0
    assert value_of(write_dicom(tmp_path / "c.dcm", np.full((20, 20), 1300, np.uint16), **extra)) == 1


def test_dicom_takes_the_first_of_several_windows(tmp_path):
    extra = {"WindowCenter": [1000, 3000], "WindowWidth": [100, 100]}
    assert value_of(write_dicom(tmp_path / "a.dcm", np.full((20, 20), 2000, np.uint16), **extra)) == 1


def test_dicom_monochrome1_is_inverted(tmp_path):
    extra = {"PhotometricInterpretation": "MONOCHROME1"}
    path = write_dicom(tmp_path / "a.dcm", np.full((20, 20), 1000, np.uint16), **extra)
    assert value_of(path) == pytest.approx(1 - 1000 / 4095, abs=1e-5)


def test_dicom_signed_values_span_their_own_range(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.full((20, 20), -2048, np.int16))
    assert value_of(path) == 0


def test_dicom_colour_keeps_its_channels(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.full((20, 20, 3), (255, 51, 0), np.uint8), bits=8)
    assert load_image(path, 16)[:, 0, 0].tolist() == pytest.approx([1, 0.2, 0], abs=1e-5)


def test_dicom_with_several_frames_is_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.zeros((5, 20, 20), np.uint16), NumberOfFrames=5, Rows=20, Columns=20)
    with pytest.raises(ImageError, match=r"a\.dcm' holds 5 frames, expected one"):
        load_image(path, 16)


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


# --- masks -----------------------------------------------------------------------------------------------------------


def slow_any_coverage(mask: np.ndarray, size: int) -> np.ndarray:
    height, width = mask.shape
    small = np.zeros((size, size), bool)
    for i in range(size):
        for j in range(size):
            rows = [r for r in range(height) if r < (i + 1) * height / size and r + 1 > i * height / size]
            columns = [c for c in range(width) if c < (j + 1) * width / size and c + 1 > j * width / size]
            small[i, j] = any(mask[r, c] for r in rows for c in columns)
    return small


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(17, 45), st.integers(17, 45)), elements=st.booleans()))
def test_shrunken_masks_mark_every_pixel_that_touches_a_lesion(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("masks") / "m.png"
    Image.fromarray(mask.astype(np.uint8)).save(path)  # ones, not 255: any non-zero value counts
    assert np.array_equal(load_mask(path, 16).numpy(), slow_any_coverage(mask, 16))


def test_a_single_marked_pixel_survives_shrinking(tmp_path):
    mask = np.zeros((500, 500), np.uint8)
    mask[123, 456] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert load_mask(tmp_path / "m.png", 32).sum() >= 1


def test_enlarged_masks_repeat_their_pixels(tmp_path):
    mask = RNG.integers(0, 2, (16, 16), dtype=np.uint8)
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert np.array_equal(load_mask(tmp_path / "m.png", 48).numpy(), mask.repeat(3, 0).repeat(3, 1).astype(bool))


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB", "RGBA", "P"])
def test_masks_of_every_mode_mean_the_same(tmp_path, mode):
    mask = np.zeros((20, 20), bool)
    mask[5:9, 3:12] = True
    if mode == "I;16":
        image = Image.fromarray(mask.astype(np.uint16) * 300)
    elif mode == "P":
        image = Image.fromarray(mask.astype(np.uint8))
        image.putpalette([0, 0, 0, 255, 0, 0] + [0] * 762)
    else:
        image = Image.fromarray(mask.astype(np.uint8) * 255).convert(mode)
    image.save(tmp_path / "m.png")
    assert np.array_equal(load_mask(tmp_path / "m.png", 20).numpy(), mask)


def test_noise_of_jpeg_masks_is_not_a_lesion(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[20:33, 11:40] = 255
    Image.fromarray(mask).save(tmp_path / "m.jpg", quality=60)
    assert np.array_equal(load_mask(tmp_path / "m.jpg", 64).numpy(), mask > 0)
