# %% [markdown]
# # 10 · The full benchmark
#
# Every task held out in turn, every number of supports, every seed: this notebook runs notebook 09 by papermill once
# for each cell of the grid, and collects what they measured. Cells are kept, so a stopped benchmark goes on where it
# was. The same page is a three-minute exercise on the synthetic samples and, in the profile `full`, the benchmark of
# the paper on your copy of its data.
#
# **You will learn**
# - how a grid of experiments is run so that nothing is lost and nothing is run twice;
# - to read a benchmark table: protocol, n, draws, interval, and the column "reported";
# - when nothing can be claimed.
#
# **Needs:** CPU · about 1.5 min, 3.25 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of the first training run; further runs of the profile count up from it
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
tasks: str = ""  # tasks to hold out, "RSNA,LAG"; empty: all
methods: str = "d24fad,untrained"  # methods of notebook 09; the heat map shows the first
epochs: int = 0  # passes over the training images; 0: the profile's

# %% tags=["setup"]
import contextlib
import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

import d24fad_lite as d2
from d24fad_lite.runner.checks import same
from d24fad_lite.runner.grid import run_grid
from d24fad_lite.runner.lesson import start_lesson
from d24fad_lite.runner.notebooks import find_root
from d24fad_lite.runner.style import COLORS

lesson = start_lesson("10_full_benchmark", globals())
p = lesson.profile
bench = d2.open_benchmark(lesson.data)
held_out = [bench.resolve(name.strip()) for name in tasks.split(",")] if tasks else list(bench)

# %% [markdown]
# ## The grid
#
# One cell is one run of notebook 09: it trains on the other tasks and evaluates at every K. In the profile `quick` a
# cell trains once, with the profile's K, and is evaluated at 2, 4 and 8 supports; `full` trains anew for each K, as
# the method is described.

# %% tags=["nbval-check-output"]
grid = []
for name in held_out:
    for repeat in range(len(p.seeds)):
        for k in (p.shots if p.train_shots == 0 else (0,)):
            cell = {"profile": p.name, "task": name, "method": methods, "seed": lesson.seed + repeat}
            if k:
                cell |= {"shots": str(k), "train_shots": k}
            if epochs:
                cell["epochs"] = epochs
            if root:
                cell["root"] = str(lesson.data)
            grid.append(cell)
print(f"{len(grid)} cells: {len(held_out)} tasks held out in turn, methods {methods}, {len(p.seeds)} training seed(s)")

# %%
notebook = find_root() / "notebooks" / "09_evaluate_task.ipynb"  # of this checkout, also from exercises/
with contextlib.redirect_stdout(io.StringIO()) as log:  # one line per cell: counted here, kept in the files
    cells = run_grid(notebook, grid, lesson.out / "cells", jobs=p.jobs)
failed = [cell for cell in cells if cell.metrics is None]
print(f"{len(cells) - len(failed)} of {len(cells)} cells completed")
for cell in failed:
    print(f"NOT completed: {cell.label}: {cell.result.error}")
if failed:
    raise RuntimeError(f"{len(failed)} of {len(cells)} cells did not complete; the others are kept, run this again")

# %% [markdown]
# ## The table
#
# Image AUROC: mean over the draws of supports, with its 95 % interval over draws and test images. Where the profile
# has several training seeds, their rows stand side by side in the file, and their mean and spread are shown here.

# %%
rows = pd.DataFrame([row for cell in cells for row in cell.metrics["rows"]])
summary = (rows.groupby(["task", "method", "K"], sort=False)
           .agg(AUROC=("AUROC", "mean"), low=("low", "mean"), high=("high", "mean"), spread=("AUROC", "std"),
                runs=("seed", "nunique"), draws=("draws", "first"), normal=("normal", "first"),
                anomalous=("anomalous", "first")).reset_index())


def interval_text(row):
    return f"{row.AUROC:.3f} [{row.low:.2f}, {row.high:.2f}]"


summary["text"] = summary.apply(interval_text, axis=1)
table = summary.pivot(index=["task", "method"], columns="K", values="text")
table.columns = [f"K = {k}" for k in table.columns]
table.index.names = ["held-out task", "method"]
table

# %% [markdown]
# ## The mean over tasks
#
# Readers will average over tasks, so the page does it for them, with an interval. The tasks are independent test sets:
#
# $$\bar A = \frac1T\sum_t A_t, \qquad \operatorname{se}(\bar A) = \frac1T\sqrt{\sum_t \operatorname{se}_t^2},
# \qquad \operatorname{se}_t \approx \frac{\mathrm{high}_t - \mathrm{low}_t}{2 \cdot 1.96}$$

# %%
def mean_over_tasks(part):
    se = np.sqrt((((part["high"] - part["low"]) / (2 * 1.96)) ** 2).sum()) / len(part)
    return pd.Series({"AUROC": part["AUROC"].mean(), "low": part["AUROC"].mean() - 1.96 * se,
                      "high": part["AUROC"].mean() + 1.96 * se})


means = summary.groupby(["method", "K"], sort=False)[["AUROC", "low", "high"]].apply(mean_over_tasks).reset_index()
means.round(3)

# %%
by_hand = sum(summary.query("method == @methods.split(',')[0] and K == @p.shots[-1]")["AUROC"]) / len(held_out)
same("mean over tasks", by_hand, float(means.query("method == @methods.split(',')[0]")["AUROC"].iloc[-1]))

# %% [markdown]
# ## One figure

# %%
fig, axes = plt.subplots(1, 2, figsize=(11, 0.5 * len(held_out) + 2.2), gridspec_kw={"width_ratios": [1, 1.25]})
shown = methods.split(",")[0].strip()
heat = summary[summary["method"] == shown].pivot(index="task", columns="K", values="AUROC").loc[held_out]
sns.heatmap(heat, annot=True, fmt=".2f", cmap="viridis", vmin=0.4, vmax=1, ax=axes[0],
            cbar_kws={"label": "image AUROC"})
axes[0].set(xlabel="supports K", ylabel="", title=f"{shown}, per task")
axes[0].tick_params(axis="y", rotation=0)
names = summary["method"].unique()
for m, name in enumerate(names):
    part = means[means["method"] == name]
    x = np.arange(len(part)) + 0.16 * (m - (len(names) - 1) / 2)
    axes[1].errorbar(x, part["AUROC"], [part["AUROC"] - part["low"], part["high"] - part["AUROC"]], fmt="o",
                     capsize=4, color=COLORS[m], label=name)
axes[1].axhline(0.5, color="#55585c", ls=":", lw=1.2)
axes[1].set(xticks=range(len(p.shots)), xticklabels=[f"K = {k}" for k in p.shots], ylabel="mean image AUROC",
            xlim=(-0.5, len(p.shots) - 0.5), title="Mean over tasks, 95 % interval")
axes[1].legend(loc="best")
lesson.save_figure(fig, "benchmark")
plt.show()

# %% [markdown]
# ## Reported and measured
#
# The published figures of the method stand beside ours for orientation only. They were obtained on other images, with
# another teacher, and by an evaluation that blurs across the images of a class-sorted batch and picks the best epoch
# on the test set (see notebook 11): the two columns must not be subtracted from each other.

# %% tags=["nbval-check-output"]
REPORTED = {"HIS": (94.2, 94.2, 94.3), "LAG": (94.7, 96.2, 97.3), "APTOS": (100, 100, 100),
            "RSNA": (88.9, 97.9, 99.2), "BrainTumor": (95.5, 95.3, 95.5)}  # percent, at 2, 4, 8 shots (Dong et al.)
reported = pd.DataFrame(REPORTED, index=[2, 4, 8]).T.rename_axis("task")
print(reported.to_string())

# %%
beside = heat.mul(100).round(1).add_prefix("ours, K = ").join(reported.add_prefix("reported, K = "), how="left")
beside

# %% [markdown]
# ## What can be claimed

# %%
claims = []
trained = means[means["method"] == "d24fad"].set_index("K")
for k, row in trained.iterrows():
    verdict = "above chance" if row["low"] > 0.5 else "not distinguishable from chance"
    claims.append(f"K = {k}: mean AUROC {row['AUROC']:.3f} [{row['low']:.2f}, {row['high']:.2f}], {verdict}")
runs = int(summary["runs"].min())
claims.append(f"{lesson.data_kind}; protocol per-image; {p.draws} draws; {runs} training run(s) per cell"
              + (": the spread between training runs is not measured here" if runs < 2 else ""))
claims.append("This is not a reproduction of the published numbers, and nothing here is for clinical use.")
print("\n".join(claims))

# %% [markdown]
# ## What you saw
#
# - A benchmark is a grid of identical, independent runs of one page; nothing is copied by hand.
# - Each number carries its protocol, its n, its draws and its interval.
# - A row without training ("untrained") shows how much of a score is owed to the pixels and the teacher alone.
#
# **What to question:** are the tasks really independent (two are fundus photographs)? Would another training seed
# change the order of the methods? Is a higher mean over five tasks of any use to somebody with one of them?
#
# ## Check yourself
#
# 1. What does one cell of the grid train on, and what does it evaluate on?
# 2. Why is a cell that completed not run again, and when is it?
# 3. Which two sources of chance are in each interval?
# 4. Why must the columns "reported" and "ours" not be subtracted?
# 5. What would you need in order to claim that one method is better than another?

# %% [markdown]
# ## Exercises
#
# **1.** On how many of the tasks does training help at the largest K? Compare the two methods row by row.

# %% tags=["exercise"]
def tasks_helped(summary, k):
    ...  # your turn: count tasks where the mean AUROC of "d24fad" exceeds that of "untrained"


wide = summary[summary["K"] == p.shots[-1]].pivot(index="task", columns="method", values="AUROC")
expected_count = int((wide["d24fad"] > wide["untrained"]).sum())
lesson.check("tasks helped", lambda: tasks_helped(summary, p.shots[-1]), expected_count,
             hint="pivot to one column per method")

# %% tags=["solution"]
def tasks_helped(summary, k):
    side = summary[summary["K"] == k].pivot(index="task", columns="method", values="AUROC")
    return int((side["d24fad"] > side["untrained"]).sum())


lesson.check("tasks helped", lambda: tasks_helped(summary, p.shots[-1]), expected_count,
             hint="pivot to one column per method")

# %% [markdown]
# **2.** Is the effect of K larger than the width of an interval? Compute the largest gain from the smallest to the
# largest K over the tasks, for the trained method.

# %% tags=["exercise"]
def largest_gain(heat):
    ...  # your turn: heat has one row per task, one column per K


lesson.check("largest gain", lambda: largest_gain(heat), float((heat[p.shots[-1]] - heat[p.shots[0]]).max()),
             hint="subtract two columns")

# %% tags=["solution"]
def largest_gain(heat):
    return float((heat.iloc[:, -1] - heat.iloc[:, 0]).max())


lesson.check("largest gain", lambda: largest_gain(heat), float((heat[p.shots[-1]] - heat[p.shots[0]]).max()),
             hint="subtract two columns")

# %%
lesson.finish({
    "headline": f"mean over {len(held_out)} tasks, {lesson.data_kind}: " + claims[len(p.shots) - 1],
    "tables": {f"Image AUROC, mean over draws with 95 % interval ({lesson.data_kind}, per-image protocol)":
               table.reset_index(), "Mean over tasks": means.round(4)},
    "claims": "; ".join(claims), "rows": rows,
})
