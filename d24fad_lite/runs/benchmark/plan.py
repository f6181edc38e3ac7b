"""What a benchmark computes: its cells, laid out and checked before the first of them runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from d24fad_lite.contents import contents_sha256
from d24fad_lite.data.benchmark import Benchmark, open_benchmark, require_both_classes
from d24fad_lite.files import sha256_of
from d24fad_lite.lessons.profiles import Profile, resolve_data, resolve_device, resolve_profile, settled
from d24fad_lite.listings import names_of
from d24fad_lite.messages import choose_one_of
from d24fad_lite.model.config import READINGS
from d24fad_lite.runs.benchmark.cells import Cell
from d24fad_lite.runs.benchmark.methods import SHORTCUTS, Method, method, student_readings
from d24fad_lite.runs.benchmark.work import CellWork
from d24fad_lite.runs.identity import numbers_hang_on

DEFAULT_METHODS = ("matched", "d24fad", "untrained", "nearest-patch", "mean-feature")
ATTEMPTS = 3


@dataclass(frozen=True)
class BenchmarkPlan:
    """The cells of a benchmark and all that they are computed with.

    Attributes
    ----------
    profile : Profile
        Settled.
    data : Path
        Folder of tasks.
    device : str
    tasks : tuple of str
    methods : tuple of str
    readings : tuple of str
        Those of a trained detector's student.
    draw_seed : int
        Of the draws of supports, the same for all methods and training seeds.
    cells : tuple of Cell
    key : str
        Equal keys, equal numbers: data, teacher, settings, code, versions.
    share_cache : bool
        Trained detectors lie where the lessons keep theirs.
    """

    profile: Profile
    data: Path
    device: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    readings: tuple[str, ...]
    draw_seed: int
    cells: tuple[Cell, ...]
    key: str
    share_cache: bool

    def work(self, cell: Cell, out: Path, threads: int | None, attempts: int, names: bool = False) -> CellWork:
        """What an engine is given for one cell."""
        return CellWork(
            cell=cell,
            out=out,
            key=self.key_of(cell),
            data=self.data,
            profile=self.profile,
            readings=self.readings,
            draw_seed=self.draw_seed,
            device=self.device,
            threads=threads,
            attempts=attempts,
            share_cache=self.share_cache,
            names=names,
        )

    def key_of(self, cell: Cell) -> str:
        """The key of one cell: the plan's, the cell, and the source of a method of one's own."""
        return self._keys[cell]

    @cached_property
    def _keys(self) -> dict[Cell, str]:
        sources = {name: method(name).source for name in {cell.method for cell in self.cells}}
        return {cell: sha256_of(json.dumps([self.key, vars(cell), sources[cell.method]]))[:16] for cell in self.cells}


def plan_benchmark(
    *,
    profile: str | Profile = "",
    data: str = "",
    tasks: Sequence[str] = (),
    methods: Sequence[str] = DEFAULT_METHODS,
    seeds: Sequence[int] = (),
    shots: Sequence[int] = (),
    epochs: int = 0,
    readings: Sequence[str] = (),
    draw_seed: int = 0,
    share_cache: bool | None = None,
) -> BenchmarkPlan:
    """Lay out the cells, and refuse what would fail in one of them before the first runs.

    Parameters
    ----------
    profile : str or Profile
        "quick", "standard" or "full"; empty: the environment's, else quick. It gives what is empty below.
    data : str
        Folder of tasks.
    tasks : sequence of str
        Tasks to leave out in turn, as `names_of` reads them; empty: all.
    methods : sequence of str
        Of `METHODS`, or PACKAGE.MODULE:FUNCTION. The shortcuts are always added.
    seeds : sequence of int
        Training seeds.
    shots : sequence of int
        Numbers of supports K.
    epochs : int
        Passes over the training images; 0: the profile's.
    readings : sequence of str
        Of a trained detector; empty: all in which its student has a say.
    draw_seed : int, default 0
        Of the draws of supports.
    share_cache : bool, optional
        Whether trained detectors lie in the cache that the lessons share; default: in the profile quick.

    Returns
    -------
    BenchmarkPlan
        For `run_benchmark`.

    Raises
    ------
    ValueError, FileNotFoundError, LayoutError
        An unknown profile, task, method or reading, a task whose test images are all of one class, no data.
    """
    size = profile if isinstance(profile, Profile) else settled(resolve_profile(profile), {"epochs": epochs})[0]
    chosen = tuple(dict.fromkeys([*methods, SHORTCUTS]))
    for name in methods:
        if list(methods).count(name) > 1:
            raise ValueError(f"method {name!r} is named twice; name each once")
    known = [method(name) for name in chosen]
    readings = tuple(readings) or student_readings()
    for name in readings:
        if name not in READINGS:
            raise ValueError(choose_one_of("reading", name, READINGS))
    root = resolve_data(size, data).resolve()
    bench = open_benchmark(root)
    left_out = tuple(bench.resolve(name) for name in names_of(tasks, list(bench))) or tuple(bench)
    for name in left_out:
        require_both_classes(bench[name])
    cells = _cells(size, left_out, known, tuple(seeds) or size.seeds, tuple(shots) or size.shots)
    _require_enough(bench, cells)
    facts = {"profile": size.to_dict(), "readings": readings, "draws": draw_seed, "data": contents_sha256(root)}
    return BenchmarkPlan(
        profile=size,
        data=root,
        device=resolve_device(size),
        tasks=left_out,
        methods=chosen,
        readings=readings,
        draw_seed=draw_seed,
        cells=cells,
        key=sha256_of(json.dumps([facts, numbers_hang_on()], sort_keys=True, default=str)),
        share_cache=size.name == "quick" if share_cache is None else share_cache,
    )


def _cells(
    size: Profile, tasks: Sequence[str], methods: Sequence[Method], seeds: Sequence[int], shots: Sequence[int]
) -> tuple[Cell, ...]:
    """Longest first: what is trained goes before what is not, so that no engine waits for one late training."""
    found = []
    for one in sorted(methods, key=lambda each: not each.trained):
        anew = one.trained and size.train_shots == 0  # for each K, as the method is described
        parts = [(k, (k,)) for k in shots] if anew else [(size.train_shots if one.trained else 0, tuple(shots))]
        for seed in seeds if one.seeded else (0,):
            found += [Cell(task, one.name, seed, train, of) for task in tasks for train, of in parts]
    return tuple(found)


def _require_enough(bench: Benchmark, cells: Sequence[Cell]) -> None:
    from d24fad_lite.data.benchmark import require_shots

    for task, k in sorted({(cell.task, max(cell.shots)) for cell in cells}):
        require_shots(bench[task], k, query=False)
    for name in bench if any(cell.train_shots for cell in cells) else ():
        require_shots(bench[name], max(cell.train_shots for cell in cells), query=True)
