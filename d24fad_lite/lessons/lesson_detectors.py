"""The detectors of a lesson: set up as its profile says, trained once, with one teacher for all of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d24fad_lite.lessons.attended import widgets_wanted

if TYPE_CHECKING:
    from d24fad_lite.data.benchmark import Benchmark, Task
    from d24fad_lite.evaluation.shared_teacher import SharedTeacher
    from d24fad_lite.lessons.profiles import Profile
    from d24fad_lite.model.config import D24FADConfig
    from d24fad_lite.model.detector import D24FAD
    from d24fad_lite.model.teacher import Teacher
    from d24fad_lite.training.history import History


@dataclass(kw_only=True)
class LessonDetectors:
    """Where a lesson takes its detectors from.

    profile : Profile, with what the notebook's parameters say
    seed : of initial weights and episodes, unless a call names another
    device : "cpu", "cuda" or "mps"
    store : folder of trained detectors; None for the cache that all lessons share
    """

    profile: Profile
    seed: int
    device: str
    store: Path | None = None
    _teachers: dict[tuple[Any, ...], Teacher] = field(default_factory=dict, repr=False)
    _shared: dict[int, SharedTeacher] = field(default_factory=dict, repr=False)

    def config(self, **overrides: Any) -> D24FADConfig:
        """The detector's settings in this profile: teacher, image size, lambdas, reading, and the lesson's seed.

        overrides : settings of `D24FADConfig` that take the place of the profile's.
        """
        from d24fad_lite.model.config import D24FADConfig

        p = self.profile
        settings: dict[str, Any] = dict(
            teacher=p.teacher,
            weights=p.weights,
            image_size=p.image_size,
            seed=self.seed,
            lambda_tsd=p.lambda_tsd,
            lambda_ssd=p.lambda_ssd,
        )
        return D24FADConfig(**(settings | D24FADConfig.reading(p.reading) | overrides))

    def detector(
        self,
        bench: Benchmark,
        task: str | Task | None,
        shots: int | None = None,
        seed: int | None = None,
        **changes: Any,
    ) -> tuple[D24FAD, History]:
        """A detector trained, as the profile says, on all tasks but one; and the history of its training.

        The training is done once and kept, for this and every other lesson and run, see `detectors.py`. The reading
        (how the map is made from the features) does not matter for it.

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
        from d24fad_lite.lessons.detectors import DetectorRecipe, recipe_fields, trained_detector
        from d24fad_lite.model.config import D24FADConfig

        p, seed = self.profile, self.seed if seed is None else seed
        training: dict[str, Any] = {name: changes.pop(name, getattr(p, name)) for name in recipe_fields()}
        recipe = DetectorRecipe(shots=shots or p.train_shots or max(p.shots), seed=seed, **training)
        config = self.config(seed=seed, **changes)
        # A reading may weight distances; that is no reason to train another detector, a change that says so is.
        trained_as = config.replace(fusion=changes.get("fusion", D24FADConfig.fusion))
        rest = bench if task is None else bench.without(task if isinstance(task, str) else task.name)
        model, history = trained_detector(
            trained_as,
            rest,
            recipe,
            teacher=self._teacher(config),
            device=self.device,
            progress=_somebody_watches(),
            store=self.store,
        )
        return model.read_as(fusion=config.fusion), history

    def untrained(self, seed: int | None = None, **changes: Any) -> D24FAD:
        """The same detector before any training, in eval mode; arguments as of `detector`."""
        from d24fad_lite.model.detector import D24FAD

        config = self.config(seed=self.seed if seed is None else seed, **changes)
        return D24FAD(config, self._teacher(config)).to(self.device).eval()

    def shared_teacher(self, model: D24FAD) -> SharedTeacher:
        """The model's teacher with a memory: each image is encoded once for all detectors of this lesson that have it.

        It is given to `DetectorVariant` and the baselines.
        """
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


def _somebody_watches() -> bool:
    """Whether a progress bar is drawn while a detector trains: not in unattended runs."""
    return widgets_wanted() or sys.stderr.isatty()
