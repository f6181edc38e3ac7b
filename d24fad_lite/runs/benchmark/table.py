"""The table of a benchmark as a result: means, intervals, paired differences, ranks; CSV, Markdown, LaTeX, a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from d24fad_lite.csv_files import write_frame
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.evaluation.uncertainty.across import Ranks, Resampled, holm, mean_of_tasks, ranks, resampled
from d24fad_lite.files import write_text
from d24fad_lite.runs.benchmark.cells import CellFolder
from d24fad_lite.runs.benchmark.drive import EndedCell
from d24fad_lite.runs.benchmark.reported import REPORTED
from d24fad_lite.runs.benchmark.work import report_folder

if TYPE_CHECKING:
    import pandas as pd

MEAN = "mean of tasks"
PAIRED_RESAMPLES = 10_000  # a p value is at least 2 / that, and Holm multiplies it by the number of pairs


@dataclass(frozen=True)
class BenchmarkTable:
    """What a benchmark found.

    Attributes
    ----------
    rows : DataFrame
        One row per task, method, K and training seed.
    summary : DataFrame
        One row per task (and their mean), method and K: AUROC with its interval over images, draws and seeds; its
        standard deviation over seeds; what it rests on.
    pairs : DataFrame
        Each pair of methods on each task and in the mean: difference, interval, p, and p after Holm's correction: over
        all pairs in the mean, and over all pairs on all tasks, at that K.
    ranks : dict of Ranks by K
        Empty with fewer than three tasks.
    notes : list of str
        What a reader must know.
    """

    rows: pd.DataFrame
    summary: pd.DataFrame
    pairs: pd.DataFrame
    ranks: dict[int, Ranks]
    notes: list[str]

    def wide(self, shots: int) -> pd.DataFrame:
        """Texts "0.912 [0.87, 0.95]": one row per method, best mean first; one column per task, then their mean."""
        part = self.summary[self.summary["K"] == shots]
        text = [f"{row.AUROC:.3f} [{row.low:.2f}, {row.high:.2f}]" for row in part.itertuples()]
        frame = part.assign(text=text).pivot(index="method", columns="task", values="text")
        tasks = [name for name in dict.fromkeys(part["task"]) if name != MEAN]
        last = [MEAN] if MEAN in frame else []
        order = part[part["task"] == (MEAN if last else tasks[0])].sort_values("AUROC", ascending=False)["method"]
        frame = frame.reindex(index=list(order), columns=tasks + last)
        if shots in self.ranks:
            by_name = dict(zip(dict.fromkeys(part["method"]), self.ranks[shots].mean_rank, strict=True))
            frame["mean rank"] = [f"{by_name[name]:.2f}" for name in frame.index]
        return frame.rename_axis(columns=None)

    def text(self) -> str:
        """The tables of all K for a terminal, and the notes."""
        parts = []
        for shots in sorted(self.rows["K"].unique()):
            parts += [f"image AUROC, K = {shots}", self.wide(shots).rename_axis(None).to_string()]
            parts += [_about_ranks(self.ranks[shots])] if shots in self.ranks else []
            parts.append("")
        return "\n".join(parts + self.notes)

    def save(self, folder: Path) -> list[Path]:
        """Write results.csv, summary.csv, pairs.csv, table.md and table.tex; their paths."""
        frames = {"results.csv": self.rows, "summary.csv": self.summary, "pairs.csv": self.pairs}
        for name, frame in frames.items():
            write_frame(folder / name, frame)
        write_text(folder / "table.md", self.markdown())
        write_text(folder / "table.tex", self.latex())
        return [folder / name for name in (*frames, "table.md", "table.tex")]

    def markdown(self) -> str:
        """The tables of all K, and the notes."""
        parts = ["# Benchmark", *(f"- {note}" for note in self.notes)]
        for shots in sorted(self.rows["K"].unique()):
            frame = self.wide(shots).reset_index()
            lines = [_line(frame.columns), _line(["---"] * frame.shape[1])]
            lines += [_line(row) for row in frame.itertuples(index=False)]
            parts += [f"\n## Image AUROC, K = {shots}\n", *lines]
            if shots in self.ranks:
                parts += ["", _about_ranks(self.ranks[shots])]
        return "\n".join(parts) + "\n"

    def latex(self) -> str:
        """The tables of all K, for booktabs."""
        parts = [f"% {note}" for note in self.notes]
        for shots in sorted(self.rows["K"].unique()):
            frame = self.wide(shots).reset_index()
            body = [" & ".join(map(_tex, row)) + r" \\" for row in frame.itertuples(index=False)]
            head = " & ".join(map(_tex, frame.columns)) + r" \\"
            parts += [
                f"% image AUROC, K = {shots}",
                r"\begin{tabular}{l" + "c" * (frame.shape[1] - 1) + "}",
                r"\toprule",
                head,
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
            ]
        return "\n".join(parts) + "\n"


def benchmark_table(ended: Sequence[EndedCell], out: Path) -> BenchmarkTable | None:
    """The table of all completed cells; None where there is none. Methods that lack a task are left out of the mean.

    Parameters
    ----------
    ended : sequence of EndedCell
    out : Path
        The benchmark's folder, which holds the reports.

    Returns
    -------
    BenchmarkTable, or None

    Raises
    ------
    FileNotFoundError, UnreadableFile
        A report that is gone or damaged since its cell was read.
    """
    import pandas as pd

    done = [one for one in ended if one.result.status == "completed"]
    if not done:
        return None
    rows = pd.DataFrame([row for one in done for row in one.result.rows])
    found = _resampled_by_task(done, rows, out)
    summary, pairs, ranked = [], [], {}
    for shots, by_task in found.items():
        everywhere = [n for n in dict.fromkeys(rows["method"]) if all(n in each.names for each in by_task.values())]
        if len(by_task) > 1 and everywhere:
            shared = [_only(each, everywhere) for each in by_task.values()]
            mean = mean_of_tasks(shared)
            aurocs = pd.DataFrame([each.means for each in shared], columns=everywhere)
            if (of_tasks := ranks(aurocs)) is not None and len(everywhere) == len(rows["method"].unique()):
                ranked[shots] = of_tasks
            by_task = by_task | {MEAN: mean}
        for task, each in by_task.items():
            summary += _summary(rows, task, shots, each)
        pairs += _pairs(shots, by_task)
    frame = pd.DataFrame(summary)
    return BenchmarkTable(rows, frame, pd.DataFrame(pairs), ranked, _notes(rows, ended))


def _resampled_by_task(done: Sequence[EndedCell], rows: pd.DataFrame, out: Path) -> dict[int, dict[str, Resampled]]:
    """K -> task -> all its methods, jointly resampled from the reports of their cells."""
    found: dict[int, dict[str, Resampled]] = {}
    for (shots, task), _ in rows.groupby(["K", "task"], sort=False):
        reports: dict[str, list[EvaluationReport]] = {}
        for one in done:
            for row in one.result.rows if one.cell.task == task else ():
                if row["K"] == shots:
                    folder = report_folder(CellFolder(out, one.cell).reports, row["method"], shots)
                    reports.setdefault(row["method"], []).append(EvaluationReport.load(folder))
        found.setdefault(int(shots), {})[str(task)] = resampled(reports, resamples=PAIRED_RESAMPLES)
    return found


def _only(each: Resampled, names: list[str]) -> Resampled:
    columns = [each.names.index(name) for name in names]
    return Resampled(names, each.means[columns], each.samples[:, columns])


def _summary(rows: pd.DataFrame, task: str, shots: int, each: Resampled) -> list[dict[str, Any]]:
    found = []
    for column, name in enumerate(each.names):
        part = rows[(rows["K"] == shots) & (rows["method"] == name)]
        part = part if task == MEAN else part[part["task"] == task]
        low, high = each.interval(column)
        by_seed = part.groupby("seed")["AUROC"].mean()
        reported = REPORTED.get(task, {}).get(shots)
        found.append(
            {
                "task": task,
                "method": name,
                "K": shots,
                "AUROC": float(each.means[column]),
                "low": low,
                "high": high,
                "sd over seeds": float(by_seed.std()) if len(by_seed) > 1 else np.nan,
                "seeds": len(by_seed),
                "pixel AUROC": float(part["pixel AUROC"].astype(float).mean()),
                "AP": float(part["AP"].mean()),
                "draws": int(part["draws"].min()),
                "normal": int(part.drop_duplicates("task")["normal"].sum()),
                "anomalous": int(part.drop_duplicates("task")["anomalous"].sum()),
                "reported": np.nan if reported is None else reported / 100,
                "protocol": ", ".join(sorted(part["protocol"].unique())),
            }
        )
    return found


def _pairs(shots: int, by_task: dict[str, Resampled]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"task": task, "K": shots, "first": each.names[a], "second": each.names[b]} | each.against(a, b)
        for task, each in by_task.items()
        for a, b in combinations(range(len(each.names)), 2)
    ]
    for family in ([r for r in found if r["task"] == MEAN], [r for r in found if r["task"] != MEAN]):
        for row, adjusted in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p, Holm"] = float(adjusted)
    return found


def _notes(rows: pd.DataFrame, ended: Sequence[EndedCell]) -> list[str]:
    seeds = int(rows.groupby("method")["seed"].nunique().max())
    notes = [
        f"Protocol {', '.join(sorted(rows['protocol'].unique()))}; {int(rows['draws'].min())} draws of supports, the "
        f"same for all methods; {seeds} training seed{'s' * (seeds > 1)}.",
        "Intervals: 95 %, bootstrap over test images (patients where known), draws"
        + (" and seeds." if seeds > 1 else "; the spread over training seeds is not measured."),
        "The best shortcut is chosen on the test labels: an upper bound on what trivial statistics give away.",
        "The reported column is of other images, teachers and an evaluation that leaks; it must not be subtracted.",
        "Not for clinical use.",
    ]
    failed = [one for one in ended if one.result.status != "completed"]
    return notes + [f"Missing: {one.cell.label} ({one.result.kind}: {one.result.reason})." for one in failed]


def _about_ranks(found: Ranks) -> str:
    text = f"Friedman's test that all methods are alike: p = {found.friedman_p:.3g}."
    if found.nemenyi is None:
        return text + " Nemenyi's pairs need scikit-posthocs: pip install 'd24fad_lite[benchmark]'."
    p = found.nemenyi.to_numpy()
    apart = int((p[np.triu_indices(len(p), 1)] < 0.05).sum())
    return text + f" Nemenyi: {apart} of {len(p) * (len(p) - 1) // 2} pairs of methods differ at 0.05."


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"


def _tex(text: object) -> str:
    replaced = str(text).replace("\\", r"\textbackslash ")
    for sign in "&%$#_{}":
        replaced = replaced.replace(sign, "\\" + sign)
    return replaced
