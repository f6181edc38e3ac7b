"""What a notebook's set-up cell and end call.

    lesson = start_lesson("04_dual_distillation", globals())
    ...
    lesson.finish({"headline": "AUROC 0.71 [0.60, 0.81]", "auroc": 0.71})

`finish` writes metrics.json: "schema" 1, "notebook", "profile", "seed", "data", "seconds", "checks" (exercise name ->
right or not), "figures" (PNG names in the same folder), and the caller's entries. Of these the report shows
"headline" (one text), "tables" (title -> list of rows, each a dict; a frame will do) and every plain number or text.
"""

from __future__ import annotations

import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d24fad_lite.runner import checks
from d24fad_lite.runner.metrics import plain, write_json
from d24fad_lite.runner.parameters import Parameter, check_parameters, parse_parameters
from d24fad_lite.runner.profiles import (
    Profile,
    named_data,
    resolve_data,
    resolve_device,
    resolve_profile,
    settled,
    weights_origin,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from d24fad_lite.data.benchmark import Benchmark, Task
    from d24fad_lite.evaluation.shared_teacher import SharedTeacher
    from d24fad_lite.model.config import D24FADConfig
    from d24fad_lite.model.detector import D24FAD
    from d24fad_lite.model.teacher import Teacher
    from d24fad_lite.training.history import History

CORE_PARAMETERS = (Parameter("profile", "str", ""), Parameter("seed", "int", 0), Parameter("out", "str", ""))
# Those that change the profile; a notebook takes the ones that it declares, a plain call all of them.
PROFILE_PARAMETERS = {p.name: p for p in (
    Parameter("teacher", "str", ""), Parameter("weights", "str", ""), Parameter("reading", "str", ""),
    Parameter("epochs", "int", 0), Parameter("lr", "float", 0.0))}
METRICS_SCHEMA = 1


@dataclass
class Lesson:
    """A running notebook.

    name: as the file, "04_dual_distillation".
    profile: the resolved Profile, with what the parameters teacher, weights, reading, epochs and lr say.
    seed: of random, numpy and torch, already set.
    device: "cpu", "cuda" or "mps".  out: existing folder of this run's files.
    root: the folder of tasks that was asked for, None for the samples (see `data`).
    parameters: all declared parameters with the values they now have.
    """

    name: str
    profile: Profile
    seed: int
    device: str
    out: Path
    root: Path | None
    parameters: dict[str, Any]
    figures: list[str] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    _teachers: dict[tuple, Teacher] = field(default_factory=dict, repr=False)
    _shared: dict[int, SharedTeacher] = field(default_factory=dict, repr=False)

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
        looked_at = Path(folder).expanduser() if folder else self.root
        return "synthetic samples" if looked_at is None or is_sample_world(looked_at) else "your data"

    def config(self, **overrides: Any) -> D24FADConfig:
        """The detector's settings in this profile: teacher, image size, lambdas, reading, and the lesson's seed."""
        from d24fad_lite.model.config import D24FADConfig

        p = self.profile
        own = dict(teacher=p.teacher, weights=p.weights, image_size=p.image_size, seed=self.seed,
                   lambda_tsd=p.lambda_tsd, lambda_ssd=p.lambda_ssd)
        return D24FADConfig(**(own | D24FADConfig.reading(p.reading) | overrides))

    def detector(self, bench: Benchmark, task: str | Task | None, shots: int | None = None, seed: int | None = None,
                 **changes: Any) -> tuple[D24FAD, History]:
        """A detector trained, as the profile says, on all tasks but one; and the history of its training.

        The training is done once and kept, for this and every other lesson and run, see `detectors.py`. How the map
        is read does not matter for it.

        Parameters
        ----------
        bench : Benchmark
        task : the task held out, which training never sees; None trains on all tasks of `bench`.
        shots : supports per query in training; default the profile's.
        seed : of initial weights and episodes; default the lesson's.
        changes : settings of `D24FADConfig` (`distance="pointwise"`), or of the training: epochs, lr, lr_schedule,
            batch_size, episodes, precision, styled_tasks.

        Returns
        -------
        D24FAD in eval mode on the lesson's device, History
        """
        from d24fad_lite.model.config import D24FADConfig
        from d24fad_lite.runner.detectors import Recipe, recipe_fields, trained_detector

        p, seed = self.profile, self.seed if seed is None else seed
        told = {name: changes.pop(name, getattr(p, name)) for name in recipe_fields()}
        recipe = Recipe(shots=shots or p.train_shots or max(p.shots), seed=seed, **told)
        config = self.config(seed=seed, **changes)
        # A reading may weight distances; that is no reason to train another detector, a change that says so is.
        trained_as = config.replace(fusion=changes.get("fusion", D24FADConfig.fusion))
        rest = bench if task is None else bench.without(task if isinstance(task, str) else task.name)
        model, history = trained_detector(trained_as, rest, recipe, teacher=self._teacher(config),
                                          device=self.device, progress=_watched())
        return model.read_as(fusion=config.fusion), history

    def untrained(self, seed: int | None = None, **changes: Any) -> D24FAD:
        """The same detector before any training, in eval mode; arguments as of `detector`."""
        from d24fad_lite.model.detector import D24FAD

        config = self.config(seed=self.seed if seed is None else seed, **changes)
        return D24FAD(config, self._teacher(config)).to(self.device).eval()

    def shared_teacher(self, model: D24FAD) -> SharedTeacher:
        """A memory around the model's teacher, the same one for all detectors of this lesson that have this teacher:
        given to `DetectorVariant` and the baselines, each image is encoded once."""
        from d24fad_lite.evaluation.shared_teacher import SharedTeacher

        return self._shared.setdefault(id(model.teacher), SharedTeacher(model))

    def _teacher(self, config: D24FADConfig) -> Teacher | None:
        """One teacher for all detectors of this lesson; None for a module of the reader's own."""
        from d24fad_lite.model.teacher import Teacher

        if not isinstance(config.teacher, str):
            return None
        seed = config.seed if config.weights == "random" else 0
        key = (config.teacher, config.weights, config.image_size, config.normalize, seed)
        if key not in self._teachers:
            self._teachers[key] = Teacher(*key)
        return self._teachers[key]

    def check(self, name: str, actual: Any, expected: Any, hint: str = "", **tolerance: float) -> None:
        """`checks.check`, remembered in metrics.json. Never raises."""
        self.checks[name], line = checks.judge(name, actual, expected, hint, **tolerance)
        print(line)

    def save_figure(self, figure: Figure, name: str) -> None:
        """Write a matplotlib figure as `name`.png into the run's folder and list it in metrics.json."""
        file = f"{name.removesuffix('.png')}.png"
        figure.savefig(self.out / file, bbox_inches="tight", metadata={"Software": None})
        if file not in self.figures:
            self.figures.append(file)

    def finish(self, metrics: Mapping[str, Any] | None = None) -> None:
        """Write metrics.json atomically and print one closing line."""
        given = dict(metrics or {})
        figures = [*self.figures, *(name for name in given.pop("figures", []) if name not in self.figures)]
        head = {
            "schema": METRICS_SCHEMA,
            "notebook": self.name,
            "profile": self.profile.name,
            "seed": self.seed,
            "data": self.data_kind,
            "seconds": round(time.perf_counter() - self.started, 1),
        }
        write_json(self.out / "metrics.json", head | plain(given) | {"checks": self.checks, "figures": figures})
        headline = f" · {given['headline']}" if given.get("headline") else ""
        print(f"{self.name} finished{headline} · metrics.json written")


def start_lesson(name: str, parameters: MutableMapping[str, Any] | None = None) -> Lesson:
    """Begin a notebook: check its parameters, set seeds and plot style, print the environment in one line.

    name: the notebook's file name without suffix.
    parameters: `globals()` of the notebook (its parameters cell is found and every value checked against the
        annotation, converted values written back), or a plain dict of some of profile, seed, out, root.
    Raises ValueError for an unknown or ill-typed parameter or profile, FileNotFoundError for a missing data root.
    """
    namespace: MutableMapping[str, Any] = {} if parameters is None else parameters
    values = _validated(name, namespace)
    namespace.update(values) if "__name__" in namespace else None
    try:
        profile, notice = settled(resolve_profile(values.get("profile", "")),
                                  {key: values[key] for key in PROFILE_PARAMETERS if key in values})
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    seed = values.get("seed", 0)
    set_seed(seed)
    _set_plot_style()
    lesson = Lesson(
        name=name,
        profile=profile,
        seed=seed,
        device=resolve_device(profile),
        out=_out_folder(name, values.get("out", "")),
        root=named_data(profile, values.get("root", "")),
        parameters=values,
    )
    print(environment_line(lesson))
    if notice:
        print(f"notice: {notice}")
    return lesson


def set_seed(seed: int) -> None:
    """Seed random, numpy and torch (all devices)."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def environment_line(lesson: Lesson) -> str:
    """Versions, device, profile, teacher and kind of data; no path, so it may be stored in a notebook."""
    import torch

    threads = torch.get_num_threads()
    device = f"cpu, {threads} thread{'s' * (threads > 1)}" if lesson.device == "cpu" else lesson.device
    versions = [f"{label} {package_version(package)}" for label, package in VERSIONS]
    parts = [*versions, f"Python {platform.python_version()}", device, f"profile {lesson.profile.name}"]
    parts.append(f"teacher {lesson.profile.teacher} ({weights_origin(lesson.profile)})")
    return " · ".join([*parts, f"seed {lesson.seed}", lesson.data_kind])


VERSIONS = (("d24fad_lite", "d24fad-lite"), ("torch", "torch"), ("timm", "timm"))


def package_version(distribution: str) -> str:
    """Version of an installed distribution, "not installed" where it is only on the path."""
    from importlib.metadata import PackageNotFoundError, version

    import d24fad_lite

    own = getattr(d24fad_lite, "__version__", "not installed") if distribution == "d24fad-lite" else "not installed"
    try:
        return version(distribution)
    except PackageNotFoundError:
        return own


def _validated(name: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Checked values of the declared parameters, as the namespace has them now."""
    declared, injected = _declared(namespace)
    if declared is None:
        extra = Parameter("root", "str", "")
        plain_call = "__name__" not in namespace
        known = [*CORE_PARAMETERS, extra, *(PROFILE_PARAMETERS.values() if plain_call else ())]
        given = namespace if plain_call else {p.name: namespace[p.name] for p in known if p.name in namespace}
        return check_parameters(known, given, name)
    check_parameters(declared, dict.fromkeys(injected), name) if injected - {p.name for p in declared} else None
    return check_parameters(declared, {p.name: namespace.get(p.name, p.default) for p in declared}, name)


def _declared(namespace: Mapping[str, Any]) -> tuple[list[Parameter] | None, set[str]]:
    """Parameters of the executed cell that declares `profile`, and the names a later papermill cell assigned.

    IPython keeps the text of executed cells in `In`; that is what papermill, JupyterLab and nbval have in common.
    """
    history = [source for source in namespace.get("In", []) if isinstance(source, str)]
    declared, injected = None, set()
    for source in history:
        if declared is None and "profile" in source:
            try:
                found = parse_parameters(source)
            except ValueError:
                continue
            declared = found if any(parameter.name == "profile" for parameter in found) else None
        elif declared is not None and source.startswith("# Parameters"):  # papermill's injected cell
            injected |= _assigned(source)
    return declared, injected


def _assigned(source: str) -> set[str]:
    import ast

    targets = [node.targets[0] for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _out_folder(name: str, out: str) -> Path:
    """The run's folder, made: `out`, else runs/interactive/<name> in the checkout or, without one, in a temp folder."""
    if out:
        folder = Path(out).expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    for base in (_checkout(), Path(tempfile.gettempdir()) / "d24fad_lite"):
        if base is not None:
            folder = base / "runs" / "interactive" / name
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            if os.access(folder, os.W_OK):
                return folder
    return Path(tempfile.mkdtemp(prefix="d24fad_lite_"))


def _checkout() -> Path | None:
    """The nearest folder above the working directory that holds the project, None outside a checkout."""
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    return None


def _watched() -> bool:
    """Whether somebody looks on while a detector trains; unattended runs draw no progress bar."""
    from d24fad_lite.interactive.attended import widgets_wanted

    return widgets_wanted() or sys.stderr.isatty()


def _set_plot_style() -> None:
    """The series' look, where matplotlib is installed: a check of the set-up must also start without it."""
    try:
        from d24fad_lite.runner.style import use_style

        use_style()
    except ImportError:
        pass
