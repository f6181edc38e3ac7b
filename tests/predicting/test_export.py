"""A detector as one file: its resize is Pillow's, its scores are those of `predict`, its threshold stands beside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import d24fad_lite as d2
from d24fad_lite.predicting.export import formats
from d24fad_lite.predicting.export.export import TOLERANCE, compare, trial_images
from d24fad_lite.predicting.export.lanczos import lanczos_matrix, resize_pixels, resize_unit

TEACHER = "test_resnet.r160_in1k"
CONFIG = d2.D24FADConfig(teacher=TEACHER, weights="random", image_size=32)
SIDES = [(16, 16), (32, 32), (33, 31), (64, 200), (129, 127), (200, 63), (311, 500), (500, 311)]


@pytest.mark.parametrize("side", [32, 128])
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_the_resize_is_pillows_to_the_last_grey_level(height: int, width: int, side: int) -> None:
    generator = np.random.default_rng(height)
    for channels in (1, 3):  # noise, whose overshoot is clipped at many pixels
        image = generator.integers(0, 256, (height, width, channels), dtype=np.uint8)
        picture = Image.fromarray(image if channels == 3 else image[:, :, 0])
        expected = np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS)).reshape(side, side, channels)
        np.testing.assert_array_equal(resize_pixels(torch.from_numpy(image), side).numpy(), expected)
    grey = generator.random((height, width), dtype=np.float32)
    expected = np.asarray(Image.fromarray(grey).resize((side, side), Image.Resampling.LANCZOS))
    found = resize_unit(torch.from_numpy(grey)[..., None], side).numpy()[..., 0]
    np.testing.assert_allclose(found, expected, atol=3e-7)


def test_rows_of_the_resize_add_to_one_and_an_equal_size_changes_nothing() -> None:
    for length in (16, 40, 41, 300):
        weights = lanczos_matrix(length, 40, torch.zeros(()))
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(40, dtype=torch.float64))
    torch.testing.assert_close(lanczos_matrix(40, 40, torch.zeros(())), torch.eye(40, dtype=torch.float64))


class Resize(nn.Module):
    """The resize alone."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return resize_pixels(image, 128)


@pytest.mark.slow
def test_the_resize_is_pillows_in_onnx_too(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra d24fad_lite[export] is not installed")
    sides = {i: torch.export.Dim(name, min=2, max=999) for i, name in enumerate(("height", "width"))}
    image = torch.zeros(83, 71, 3, dtype=torch.uint8)
    program = torch.onnx.export(Resize(), (image,), dynamo=True, dynamic_shapes={"image": sides}, verbose=False)
    program.save(tmp_path / "resize.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "resize.onnx", providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    for height, width in SIDES:
        noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = np.asarray(Image.fromarray(noise).resize((128, 128), Image.Resampling.LANCZOS))
        np.testing.assert_array_equal(session.run(None, {session.get_inputs()[0].name: noise})[0], expected)


@pytest.fixture(scope="module")
def folders(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, train = tmp_path_factory.mktemp("export"), sorted((tiny_root / "Stripes/train/good").iterdir())
    for name, files in (("supports", train[:3]), ("normals", train[3:])):
        (root / name).mkdir()
        for file in files:
            shutil.copy(file, root / name)
    shutil.copytree(tiny_root / "Stripes/test/bad", root / "scans")
    return {name: root / name for name in ("supports", "normals", "scans")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("to", "method", "reading", "pixels"),
    [
        ("onnx", "", "released", "uint8"),
        ("onnx", "nearest-patch", "", "uint8"),
        ("torch", "matched", "", "uint8"),
        ("torch", "", "paper", "float32"),
    ],
)
def test_an_exported_file_gives_what_predict_gives(folders, tmp_path, to: str, method: str, reading, pixels) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra d24fad_lite[export] is not installed")
    model, path = d2.D24FAD(CONFIG).eval(), tmp_path / f"detector.{to}"
    options = {"method": method, "reading": reading}
    written = d2.export_detector(model, folders["supports"], path, to=to, pixels=pixels, **options)
    assert written.difference <= TOLERANCE and written.tried == 10
    if pixels == "uint8":
        result = d2.predict_folder(model, folders["scans"], folders["supports"], tmp_path / "out", **options)
        for name, score in result.score_of.items():
            with Image.open(folders["scans"] / name) as picture:
                found, anomaly_map = run(path, to, np.asarray(picture.convert("RGB")))
            assert found == pytest.approx(score, rel=TOLERANCE) and anomaly_map.shape == (32, 32)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "torch"])
def test_transparency_is_dropped_as_it_is_from_a_file(folders, tmp_path, to: str) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra d24fad_lite[export] is not installed")
    model, path = d2.D24FAD(CONFIG).eval(), tmp_path / f"detector.{to}"
    d2.export_detector(model, folders["supports"], path, to=to)
    (tmp_path / "scans").mkdir()
    for mode, channels in (("LA", 2), ("RGBA", 4)):  # noise in the last channel, too, so that it would show
        pixels = np.random.default_rng(channels).integers(0, 256, (45, 38, channels), dtype=np.uint8)
        Image.fromarray(pixels, mode).save(tmp_path / "scans" / f"{mode}.png")
    scores = d2.predict_folder(model, tmp_path / "scans", folders["supports"], tmp_path / "out").score_of
    for name, score in scores.items():
        with Image.open(tmp_path / "scans" / name) as picture:
            assert run(path, to, np.asarray(picture))[0] == pytest.approx(score, rel=TOLERANCE)
    assert len(scores) == 2


def run(path: Path, to: str, image: np.ndarray) -> tuple[float, np.ndarray]:
    """The file alone, as a program without this package would run it."""
    if to == "torch":
        score, anomaly_map = torch.export.load(path).module()(torch.from_numpy(image.copy()))
        return float(score), anomaly_map.numpy()
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    score, anomaly_map = session.run(None, {"image": image})
    return float(score), anomaly_map


@pytest.mark.slow
def test_the_threshold_stands_beside_the_graph_and_nothing_private_does(folders, tmp_path) -> None:
    path = tmp_path / "detector.pt2"
    written = d2.export_detector(
        d2.D24FAD(CONFIG), folders["supports"], path, to="torch", alpha=0.2, normals=folders["normals"]
    )
    extra = {"d24fad_lite.json": ""}
    torch.export.load(path, extra_files=extra)
    facts = json.loads(extra["d24fad_lite.json"])
    assert facts == written.facts and facts["input"]["pixels"] == "uint8" and "not for clinical use" in facts["notice"]
    result = d2.predict_folder(
        d2.D24FAD(CONFIG),
        folders["scans"],
        folders["supports"],
        tmp_path / "out",
        alpha=0.2,
        normals=folders["normals"],
    )
    assert facts["threshold"] == pytest.approx(result.calibration.threshold.value)
    assert facts["supports"] == result.settings["supports"] and facts["model"] == result.settings["model"]
    assert str(tmp_path) not in json.dumps(facts) and "000.png" not in json.dumps(facts)


class Unknown(nn.Module):
    """A teacher with a step that depends on values, which no graph can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 8, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        first = self.one(x)
        if float(first.sum()) > 1e9:
            first = first * 2
        return [first, self.two(first)]


class Airy(Unknown):
    """A teacher with an operator that ONNX has no counterpart for."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        first = torch.special.airy_ai(self.one(x))
        return [first, self.two(first)]


@pytest.mark.slow
def test_an_operator_that_onnx_lacks_is_named_with_its_teacher(folders, tmp_path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra d24fad_lite[export] is not installed")
    model = d2.D24FAD(d2.D24FADConfig(teacher=Airy(), image_size=32))
    with pytest.raises(d2.ExportError, match=r"(?s)teacher 'module:Airy' .* to onnx: .*special_airy_ai.*to='torch'"):
        d2.export_detector(model, folders["supports"], tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", ["onnx", "torch"])
def test_what_cannot_be_exported_is_refused_by_name_and_leaves_no_file(folders, tmp_path, to: str) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra d24fad_lite[export] is not installed")
    model = d2.D24FAD(d2.D24FADConfig(teacher=Unknown(), image_size=32))
    with pytest.raises(d2.ExportError, match=f"teacher 'module:Unknown' cannot be exported to {to}: "):
        d2.export_detector(model, folders["supports"], tmp_path / "x", to=to)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_gives_other_numbers_is_not_kept(folders, tmp_path, monkeypatch) -> None:
    def write_wrong(graph, path, facts):
        path.write_bytes(b"wrong")
        return lambda image: (1.0, np.zeros((32, 32), np.float32))

    monkeypatch.setitem(formats.FORMATS, "torch", (".pt2", write_wrong))
    with pytest.raises(
        d2.ExportError, match=r"gives other numbers than predict .*; largest value \d.*report the teacher"
    ):
        d2.export_detector(d2.D24FAD(CONFIG), folders["supports"], tmp_path / "x.pt2", to="torch")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["score", "map"])
@pytest.mark.parametrize(
    ("value", "off", "kept"),
    [(1e-5, 5e-7, True), (1e-5, 5e-6, False), (0.0, 5e-7, True), (1.0, 5e-5, True), (1.0, 2e-4, False)],
)
def test_a_small_score_may_be_off_by_rounding_and_a_large_one_by_a_ten_thousandth(value, off, kept, where) -> None:
    size = CONFIG.image_size
    truth = torch.full((1,), value), torch.full((1, size, size), value)
    predict = lambda images, bank: SimpleNamespace(score=truth[0], anomaly_map=truth[1])  # noqa: E731
    detector = SimpleNamespace(config=CONFIG, predict=predict)

    def file(image: np.ndarray) -> tuple[float, np.ndarray]:
        anomaly_map = truth[1][0].numpy().copy()
        anomaly_map[3, 4] += off * (where == "map")
        return value + off * (where == "score"), anomaly_map

    difference, tried, largest = compare(file, detector, None, "uint8")
    assert (difference <= TOLERANCE) is kept and tried == 10 and largest == pytest.approx(value)


def test_bad_arguments_are_named(folders, tmp_path) -> None:
    model, supports = d2.D24FAD(CONFIG), folders["supports"]
    with pytest.raises(ValueError, match="did you mean 'onnx'"):
        d2.export_detector(model, supports, tmp_path / "x", to="onxx")
    with pytest.raises(ValueError, match="pixels"):
        d2.export_detector(model, supports, tmp_path / "x", pixels="int8")
    (tmp_path / "x").write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        d2.export_detector(model, supports, tmp_path / "x")
    with pytest.raises(d2.ThresholdError):
        d2.export_detector(model, supports, tmp_path / "y", alpha=0.01)
    assert (tmp_path / "x").read_text() == "mine"


def test_normals_that_are_supports_make_no_threshold(folders, tmp_path) -> None:
    with pytest.raises(ValueError, match="is a support as well"):
        d2.export_detector(
            d2.D24FAD(CONFIG), folders["supports"], tmp_path / "x", alpha=0.3, normals=folders["supports"]
        )


def test_a_folder_is_never_replaced_by_a_file(folders, tmp_path) -> None:
    with pytest.raises(IsADirectoryError, match=r"is a folder; give a file, such as .*detector\.onnx"):
        d2.export_detector(d2.D24FAD(CONFIG), folders["supports"], tmp_path, overwrite=True)


def test_the_detector_that_is_given_is_not_moved_to_another_device(folders, tmp_path, monkeypatch) -> None:
    model, moved = d2.D24FAD(CONFIG), []
    to = nn.Module.to
    monkeypatch.setattr(nn.Module, "to", lambda self, *given, **named: moved.append(self) or to(self, *given, **named))

    def stop(*_: object) -> None:
        raise d2.ExportError("long after the model has been brought to the processor")

    monkeypatch.setitem(formats.FORMATS, "torch", (".pt2", stop))
    with pytest.raises(d2.ExportError, match="long after"):
        d2.export_detector(model, folders["supports"], tmp_path / "x", to="torch")
    assert moved and model not in moved


def test_the_images_that_are_tried_are_grey_and_coloured_of_five_sizes() -> None:
    shapes = [image.shape for image in trial_images("uint8")]
    assert len({shape[:2] for shape in shapes}) == 5 and {shape[2] for shape in shapes} == {1, 3}
