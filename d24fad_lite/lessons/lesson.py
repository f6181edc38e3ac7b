"""What a notebook's set-up cell and its last cell call.

    lesson = start_lesson("04_dual_distillation", globals())
    ...
    lesson.finish({"headline": "AUROC 0.71 [0.60, 0.81]", "auroc": 0.71}, verdict="The map lies on the lesion.")

`finish` writes metrics.json: "schema" 1, "notebook", "profile", "seed", "data", "seconds", "checks" (exercise title ->
right or not, at the last check), "figures" (PNG names in the same folder), "verdict" (what the lesson showed, one
sentence), and the caller's entries. Of these the report shows the verdict, "headline" (one text), "tables" (title ->
list of rows, each a dict; a frame will do) and every plain number or text.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d24fad_lite.files import write_json
from d24fad_lite.lessons.checkout import run_folder
from d24fad_lite.lessons.environment import environment_line, set_plot_style, set_seed
from d24fad_lite.lessons.lesson_detectors import LessonDetectors
from d24fad_lite.lessons.lesson_exercises import LessonExercises
from d24fad_lite.lessons.notebook_parameters import PROFILE_PARAMETERS, is_notebook, parameter_values
from d24fad_lite.lessons.profiles import named_data, resolve_data, resolve_device, resolve_profile, settled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS_SCHEMA = 1


@dataclass(kw_only=True)
class Lesson(LessonDetectors, LessonExercises):
    """A running notebook: its settings, its detectors, its exercises, and what it writes.

    Attributes
    ----------
    name : as the file, "04_dual_distillation"
    profile : Profile, with what the parameters teacher, weights, reading, epochs and lr say
    seed : of random, numpy and torch, already set
    device : "cpu", "cuda" or "mps"
    store : folder of trained detectors, None for the cache that all lessons share
    out : existing folder of this run's files
    root : the folder of tasks that was asked for, None for the samples (see `data`)
    parameters : all declared parameters with the values they now have
    figures, checks : names of the figures saved so far; exercises checked so far, and whether the last check was right
    started : seconds of the clock at which the lesson began
    """

    out: Path
    root: Path | None
    parameters: dict[str, Any]
    figures: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    @property
    def data(self) -> Path:
        """The folder of tasks, for `open_benchmark`; the samples are generated on first use where absent."""
        return resolve_data(self.profile, str(self.root) if self.root else "")

    @property
    def data_kind(self) -> str:
        """The words "synthetic samples" (the kit's own, or a folder that its generator wrote), else "your data".

        A notebook's own images are those of its parameter `folder` where it has one, else the tasks under `root`.
        """
        from d24fad_lite.data.samples.world import is_sample_world

        folder = self.parameters.get("folder", "").strip()
        images = Path(folder).expanduser() if folder else self.root
        return "synthetic samples" if images is None or is_sample_world(images) else "your data"

    def save_figure(self, figure: Figure, name: str) -> None:
        """Write a matplotlib figure as `name`.png into the run's folder and list it in metrics.json."""
        file = f"{name.removesuffix('.png')}.png"
        figure.savefig(self.out / file, bbox_inches="tight", metadata={"Software": None})
        if file not in self.figures:
            self.figures.append(file)

    def finish(self, metrics: Mapping[str, Any] | None = None, *, verdict: str = "") -> None:
        """Write metrics.json and print the verdict and one closing line.

        metrics : entries of the file beside the common ones, see the head of this module. Further names in "figures"
            are added to those of `save_figure`.
        verdict : what this run showed, in one sentence; build it from values, so that it is true of this run.
        """
        entries = dict(metrics or {})
        figures = [*self.figures, *(name for name in entries.pop("figures", []) if name not in self.figures)]
        head = {
            "schema": METRICS_SCHEMA,
            "notebook": self.name,
            "profile": self.profile.name,
            "seed": self.seed,
            "data": self.data_kind,
            "seconds": round(time.perf_counter() - self.started, 1),
        }
        written = {"verdict": verdict} if verdict else {}
        write_json(self.out / "metrics.json", head | entries | written | {"checks": self.checks, "figures": figures})
        if verdict:
            print(f"What this showed: {verdict}")
        headline = f" · {entries['headline']}" if entries.get("headline") else ""
        print(f"{self.name} finished{headline} · metrics.json written")


def start_lesson(name: str, parameters: MutableMapping[str, Any] | None = None) -> Lesson:
    """Begin a notebook: check its parameters, set seeds and plot style, print the environment in one line.

    Parameters
    ----------
    name : the notebook's file name without suffix
    parameters : `globals()` of the notebook (its parameters cell is found and every value checked against the
        annotation, converted values written back), or a plain dict of some of profile, seed, out, root, teacher,
        weights, reading, epochs and lr; default: none

    Returns
    -------
    Lesson

    Raises
    ------
    ValueError : an unknown or ill-typed parameter, an unknown profile, teacher or reading
    FileNotFoundError : a data root that is not there
    """
    namespace: MutableMapping[str, Any] = {} if parameters is None else parameters
    values = parameter_values(name, namespace)
    if is_notebook(namespace):
        namespace.update(values)
    try:
        profile, notice = settled(
            resolve_profile(values.get("profile", "")),
            {key: values[key] for key in PROFILE_PARAMETERS if key in values},
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    seed = values.get("seed", 0)
    set_seed(seed)
    set_plot_style()
    lesson = Lesson(
        name=name,
        profile=profile,
        seed=seed,
        device=resolve_device(profile),
        out=run_folder(name, values.get("out", "")),
        root=named_data(profile, values.get("root", "")),
        parameters=values,
    )
    print(environment_line(profile, lesson.device, seed, lesson.data_kind))
    if notice:
        print(f"notice: {notice}")
    return lesson
