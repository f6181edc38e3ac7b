"""What a user writes for the same job with each of the three: K supports, several draws, AUROC with its spread.

Each text is run by `peers.py` before its lines are counted. Names that are given: ROOT (a task's folder), DRAWS.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

KIT = """
import d24fad_lite as d2
task = d2.open_benchmark(ROOT.parent)[ROOT.name]
detector = d2.create_detector("nearest-patch", d2.D24FADConfig(teacher="resnet18", weights="random"))
report = d2.evaluate(detector, task, shots=4, draws=DRAWS)
print(report.summary(), report.pixel_auroc)
"""

ANOMALIB = """
import random, shutil
from pathlib import Path
import numpy as np
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.models import Patchcore
results = []
for draw in range(DRAWS):
    shutil.rmtree("supports", ignore_errors=True)
    Path("supports").mkdir()
    for path in random.Random(draw).sample(sorted((ROOT / "train/good").iterdir()), 4):
        shutil.copy(path, "supports")
    data = Folder("task", normal_dir=Path("supports").resolve(), abnormal_dir=ROOT / "test/bad",
                  normal_test_dir=ROOT / "test/good", mask_dir=ROOT / "test/mask", val_split_mode="same_as_test",
                  train_batch_size=4, eval_batch_size=16, num_workers=0)
    model = Patchcore(backbone="resnet18", pre_trained=False,
                      pre_processor=Patchcore.configure_pre_processor(image_size=(128, 128)), visualizer=False)
    engine = Engine(accelerator="cpu", logger=False)
    engine.fit(model=model, datamodule=data)
    results.append(engine.test(model=model, datamodule=data)[0])
for key in ("image_AUROC", "pixel_AUROC"):
    values = [result[key] for result in results if key in result]
    print(key, np.mean(values), np.quantile(values, [0.025, 0.975]))
"""

IMGAD = """
import random
import numpy as np
from imgad import AnomalyDetectionPipeline, build_detector
from imgad.evaluation import evaluate_scores
from imgad.features.timm_models import TimmFeatureExtractor
good, bad = sorted((ROOT / "test/good").glob("*")), sorted((ROOT / "test/bad").glob("**/*.*"))
train, labels, values = sorted((ROOT / "train/good").glob("*")), [0] * len(good) + [1] * len(bad), []
extractor = TimmFeatureExtractor("resnet18", pretrained=False, data_config={"input_size": [3, 128, 128]})
for draw in range(DRAWS):
    pipe = AnomalyDetectionPipeline(extractor, build_detector("knn", k=1), ["l2"])
    pipe.fit(random.Random(draw).sample(train, 4))
    scores = pipe.score(good + bad)
    values.append(evaluate_scores(labels, scores)["auroc"])
print(np.mean(values), np.quantile(values, [0.025, 0.975]))
"""

SNIPPETS = {"kit": KIT, "anomalib": ANOMALIB, "imgad": IMGAD}


def count(text: str) -> int:
    """Lines that are not empty."""
    return sum(bool(line.strip()) for line in text.splitlines())


def run(text: str, root: Path, draws: int = 2) -> str:
    """What a text prints, run in a folder of its own. Whatever goes wrong in it is raised."""
    names = {"ROOT": root.resolve(), "DRAWS": draws, "__name__": "snippet"}
    with tempfile.TemporaryDirectory() as folder, _inside(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(text, "<snippet>", "exec"), names)
    return printed.getvalue().strip()


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
