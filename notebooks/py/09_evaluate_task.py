# %% [markdown]
# # 09 · Evaluate one task
#
# One number such as "AUROC 0.81" hides four choices: which supports were drawn, which images were tested, which
# training run it was, and what was allowed to look at the test set. This notebook trains a detector on every task
# *except* one, evaluates it on that one, and reports the number together with those choices. It is also the unit of
# the full benchmark: notebook 10 runs this page by papermill once for each cell of its grid.
#
# **You will learn**
# - what "leave one task out" means, and why the test set must choose nothing;
# - how the image AUROC follows from counting pairs, and what its interval covers;
# - why the draw of K supports is a lottery, and how nested draws make K = 2, 4, 8 comparable;
# - to look at the worst errors before believing a mean.
#
# **Needs:** CPU · about 30 s, 1.75 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of initial weights, episodes and support draws
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
task: str = "RSNA"  # the task left out of training and evaluated
shots: str = ""  # numbers of supports to evaluate, "2,4,8"; empty: the profile's
train_shots: int = 0  # supports per query in training; 0: the profile's choice
method: str = "d24fad,untrained"  # "d24fad", "untrained" (the same before any training), or both; the first is shown
epochs: int = 0  # passes over the training images; 0: the profile's

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import d24fad_lite as d2
from d24fad_lite.runner.checks import same
from d24fad_lite.runner.lesson import start_lesson
from d24fad_lite.runner.style import ANOMALOUS, NORMAL

lesson = start_lesson("09_evaluate_task", globals())
p = lesson.profile
all_shots = tuple(int(k) for k in shots.split(",")) if shots else p.shots
methods = [name.strip() for name in method.split(",")]
if unknown := [name for name in methods if name not in ("d24fad", "untrained")]:
    raise ValueError(f"method={method!r} is not known; choose 'd24fad', 'untrained', or both with a comma")

# %% [markdown]
# ## Leave one task out
#
# The detector must work on a kind of image that it has never been trained on. So the task under test gives nothing to
# training, not even its normal images; those serve as **supports** only, K at a time.

# %% tags=["nbval-check-output"]
bench = d2.open_benchmark(lesson.data)
held_out, rest = bench[task], bench.without(task)
print("training tasks:", ", ".join(rest))
print(f"held out: {held_out.name}, {len(held_out.train)} normal images to draw supports from, "
      f"test {int((held_out.test.labels == 0).sum())} normal + {int((held_out.test.labels == 1).sum())} anomalous")

# %% [markdown]
# ## Train
#
# Student and learn-to-weight minimise $\mathcal{L} = \mathcal{L}_\mathrm{SSD} + \lambda\,\mathcal{L}_\mathrm{TSD}$ on
# episodes of the training tasks. The number of epochs is fixed beforehand. Choosing the best epoch by the AUROC on
# the test set, as published code of this method does, would already be a leak.

# %%
config = d2.D24FADConfig(teacher=p.teacher, weights=p.weights, image_size=p.image_size, seed=lesson.seed)
K_train = train_shots or p.train_shots or max(all_shots)
detectors = {name: d2.D24FAD(config) for name in methods}
if "d24fad" in detectors:
    history = d2.fit(detectors["d24fad"], rest, shots=K_train, epochs=epochs or p.epochs, seed=lesson.seed,
                     batch_size=p.batch_size, episodes=p.episodes, precision=p.precision,
                     device=None if lesson.device != "cpu" else "cpu", out=lesson.out / "fit", progress=False)
    print(f"{len(history)} epochs with K = {K_train}, loss {history.rows[0]['loss']:.3f} -> {history.final_loss:.3f}")

# %% [markdown]
# ## Evaluate
#
# For each K, several **draws** of K supports from the normal training images of the held-out task. Draws are nested:
# the 2 supports of draw $d$ are the first 2 of its 4, which are the first 4 of its 8. And they depend on the seed
# alone, so every method meets the same supports.

# %%
def evaluate_all(detector):
    return {k: d2.evaluate(detector, held_out, shots=k, draws=p.draws, seed=lesson.seed) for k in all_shots}


results = {name: evaluate_all(detector) for name, detector in detectors.items()}
for name, by_shots in results.items():
    for report in by_shots.values():
        print(f"{name:9s} {report.summary()}")
model, reports = detectors[methods[0]], results[methods[0]]  # what the rest of this page looks at

# %% tags=["nbval-check-output"]
drawn = {k: d2.draw_supports(len(held_out.train), k, p.draws, lesson.seed) for k in all_shots}
for small, large in zip(all_shots, all_shots[1:]):
    print(f"K={small} lies within K={large}:", bool((drawn[large][:, :small] == drawn[small]).all()))
print("first draw:", drawn[all_shots[-1]][0].tolist())

# %% [markdown]
# ## The AUROC, by counting
#
# The area under the ROC curve is the probability that a random anomalous image scores higher than a random normal
# one, ties counting half:
#
# $$\mathrm{AUROC} = \frac{1}{N_+ N_-}\sum_{i \in +}\sum_{j \in -}
# \Big(\mathbb{1}[s_i > s_j] + \tfrac12\,\mathbb{1}[s_i = s_j]\Big)$$

# %%
def auroc_by_counting(scores, labels):
    positive, negative = scores[labels == 1], scores[labels == 0]
    wins = positive[:, None] > negative[None, :]  # (N+, N-)
    ties = positive[:, None] == negative[None, :]
    return (wins + 0.5 * ties).mean()


K = all_shots[-1]
labels = held_out.test.labels
mine = np.array([auroc_by_counting(scores, labels) for scores in reports[K].scores])  # one per draw
same("AUROC per draw", mine, reports[K].to_frame()["auroc"].to_numpy())

# %% [markdown]
# ## The lottery of the draw
#
# Each dot is one draw of supports; the bar is the 95 % bootstrap interval of the mean, over **both** draws and test
# images. An interval over draws alone would look better, and would say nothing about other patients.

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), gridspec_kw={"width_ratios": [1, 1.35]})
rng = np.random.default_rng(0)
for x, report in enumerate(reports.values()):
    values = report.to_frame()["auroc"]
    axes[0].plot(x + rng.uniform(-0.12, 0.12, len(values)), values, "o", color="#8a8d91", ms=5, alpha=0.8,
                 label="one draw" if x == 0 else None)
    low, high = report.ci
    axes[0].errorbar(x, report.auroc, [[report.auroc - low], [high - report.auroc]], fmt="D", color=NORMAL, capsize=5,
                     label="mean, 95 % interval" if x == 0 else None)
axes[0].axhline(0.5, color="#55585c", ls=":", lw=1.2)
axes[0].text(len(reports) - 0.55, 0.505, "chance", ha="right", va="bottom", fontsize=9, color="#55585c")
axes[0].set(xticks=range(len(reports)), xticklabels=[f"K = {k}" for k in reports], xlim=(-0.6, len(reports) - 0.4),
            ylabel="image AUROC", title=f"{held_out.name}: draws of supports")
axes[0].legend(loc="lower left")
mean_scores = reports[K].scores.mean(axis=0)  # (N,), mean over draws
bins = np.linspace(mean_scores.min(), mean_scores.max(), 18)
axes[1].hist([mean_scores[labels == 0], mean_scores[labels == 1]], bins, color=[NORMAL, ANOMALOUS],
             label=["normal", "anomalous"])
axes[1].set(xlabel=f"image score, mean over {p.draws} draws (K = {K})", ylabel="test images", title="Scores overlap")
axes[1].legend()
lesson.save_figure(fig, "draws_and_scores")
plt.show()

# %% [markdown]
# ## Look at the errors
#
# The normal images with the highest scores and the anomalous ones with the lowest: if they have a reason that you can
# see (a bright border, a tiny lesion), no mean will tell you.

# %%
order = np.argsort(mean_scores)
worst = [i for i in order[::-1] if labels[i] == 0][:4] + [i for i in order if labels[i] == 1][:4]
images = held_out.test.images(p.image_size, worst)  # (8, 3, S, S)
supports = held_out.train.images(p.image_size, drawn[K][0])  # (K, 3, S, S)
prediction = model.predict(images, model.encode_supports(supports))
masks = held_out.test.masks(p.image_size, worst)
top = float(prediction.anomaly_map.max())
fig, axes = plt.subplots(2, 8, figsize=(12, 3.6))
for column, index in enumerate(worst):
    picture = images[column].permute(1, 2, 0)
    for row in (0, 1):
        axes[row, column].imshow(picture)
        axes[row, column].set(xticks=[], yticks=[])
        axes[row, column].grid(False)
    if masks is not None and masks[column].any():
        axes[0, column].contour(masks[column], [0.5], colors=ANOMALOUS, linewidths=1.2)
    axes[1, column].imshow(prediction.anomaly_map[column], cmap="magma", alpha=0.6, vmin=0, vmax=top)
    kind = "normal, high" if labels[index] == 0 else "anomalous, low"
    axes[0, column].set_title(f"{kind}\n{mean_scores[index]:.2f}", fontsize=9, loc="center",
                              color=ANOMALOUS if labels[index] else NORMAL)
axes[0, 0].set_ylabel("image, mask", fontsize=9)
axes[1, 0].set_ylabel("anomaly map", fontsize=9)
lesson.save_figure(fig, "worst_errors")
plt.show()

# %% [markdown]
# ## The report
#
# Everything that is needed to repeat or to doubt the numbers goes to disk: one row per draw, the content hashes of
# the supports, seeds, versions and the protocol.

# %%
rows = []
for name, k in [(name, k) for name in results for k in all_shots]:
    report = results[name][k]
    report.save(lesson.out / f"report_{name}_K{k}")
    low, high = report.ci
    rows.append({"task": held_out.name, "method": name, "K": k, "AUROC": round(report.auroc, 4),
                 "low": round(low, 4), "high": round(high, 4), "AP": round(report.average_precision, 4),
                 "F1-max": round(report.f1_max, 4),
                 "pixel AUROC": None if report.pixel_auroc is None else round(report.pixel_auroc, 4),
                 "draws": report.draws, "normal": report.n_normal, "anomalous": report.n_anomalous,
                 "train K": K_train if name == "d24fad" else 0, "seed": lesson.seed, "protocol": report.protocol,
                 "data": lesson.data_kind})
table = pd.DataFrame(rows)
table.drop(columns=["task", "data"])

# %% [markdown]
# ## What you saw
#
# - Training never met the held-out task; the test set chose neither an epoch nor a threshold nor a scale.
# - The AUROC is a count of pairs, and its interval has two sources: which supports, and which test images.
# - One draw can be far from the mean. Anyone who reports a single draw, or the first K files of a folder, reports a
#   lottery ticket.
#
# **What to question:** one training seed is not a distribution over training runs; another seed moves these numbers
# too (notebook 10 runs several). The samples are synthetic: nothing here says anything about patients. And a
# max-score rests on a single pixel of the blurred map; notebook 06 looks at that.
#
# ## Check yourself
#
# 1. Which images of the held-out task does the detector see, and when?
# 2. Why must the number of epochs be fixed before the test set is scored?
# 3. What does an AUROC of 0.5 mean in terms of pairs?
# 4. Why are the draws nested over K, and the same for every method?
# 5. Which two sources of chance does the interval cover, and which one does it leave out?

# %% [markdown]
# ## Exercises
#
# **1.** Average precision rewards a clean top of the ranking. Compute the **best F1** over all thresholds for one draw.

# %% tags=["exercise"]
def best_f1(scores, labels):
    ...  # your turn: for every threshold, precision and recall; the highest harmonic mean


first = reports[K].scores[0]
expected_f1 = float(reports[K].to_frame()["f1_max"].iloc[0])
lesson.check("best F1", lambda: best_f1(first, labels), expected_f1,
             hint="each score is a candidate threshold: predict anomalous where scores >= threshold")

# %% tags=["solution"]
def best_f1(scores, labels):
    best = 0.0
    for threshold in scores:
        found = scores >= threshold
        hits = (found & (labels == 1)).sum()
        best = max(best, 2 * hits / (found.sum() + (labels == 1).sum()))
    return float(best)


lesson.check("best F1", lambda: best_f1(first, labels), expected_f1,
             hint="each score is a candidate threshold: predict anomalous where scores >= threshold")

# %% [markdown]
# **2.** How much does the draw matter? Compute the difference between the best and the worst draw at the smallest K.

# %% tags=["exercise"]
def spread(report):
    ...  # your turn: from the AUROC of each draw


K0 = all_shots[0]
per_draw = reports[K0].to_frame()["auroc"]
lesson.check("spread over draws", lambda: spread(reports[K0]), float(per_draw.max() - per_draw.min()),
             hint="report.to_frame() has one row per draw")

# %% tags=["solution"]
def spread(report):
    values = report.to_frame()["auroc"]
    return float(values.max() - values.min())


lesson.check("spread over draws", lambda: spread(reports[K0]), float(per_draw.max() - per_draw.min()),
             hint="report.to_frame() has one row per draw")

# %%
best = reports[K]
lesson.finish({"headline": f"{held_out.name}, {methods[0]}: {best.summary()}", "tables": {"Image AUROC": table},
               "rows": rows})
