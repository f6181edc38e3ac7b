# %% [markdown]
# # 06b · Where, and from which score on
#
# An image-level AUROC counts an anomalous image with a high score as a success, wherever its peak lies. Only the map
# tells whether the score has to do with the disease. This notebook measures *where* a map is high, for two ways of
# reading the same detector, and finds out why one of them is high at the border. Then a score becomes a decision: a
# threshold that is set from normal images alone, and what it can promise.
#
# **You will learn**
# - to measure where: pixel AUROC, AUPRO, peak on the lesion;
# - which sizes of lesions a reading can find at all;
# - why the border of the map is lit, by changing one suspect at a time;
# - to set a threshold from normal images, and to accept a refusal when they are too few.
#
# **Needs:** CPU · about 1 min, 1.75 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of training and of the support draws
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
task: str = "RSNA"  # the task left out of training and looked at
shots: int = 4  # K
alpha: float = 0.1  # share of false alarms that the threshold may cause
model_file: str = ""  # a detector written by model.save; empty: one trained on the other tasks
teacher: str = ""  # timm name of the frozen network; empty: the profile's
weights: str = ""  # "imagenet", "embedded", "random" or a file; empty: the profile's
reading: str = ""  # the reading shown beside the released one; empty: "matched"
epochs: int = 0  # of training; 0: the profile's
lr: float = 0.0  # learning rate of training; 0: the profile's

# %% tags=["setup"]
import math

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import binary_dilation
from scipy.ndimage import label as regions_of
from torch.nn import functional as F

import d24fad_lite as d2
from d24fad_lite.lessons import same, start_lesson

lesson = start_lesson("06b_where_and_thresholds", globals())
p = lesson.profile
other = reading or "matched"
as_shipped = (
    (p.name, p.teacher, p.weights) == ("quick", "tf_efficientnet_lite0", "imagenet")
    and (lesson.root, model_file, task, shots) == (None, "", "RSNA", 4)
    and (lesson.seed, epochs, lr, other, alpha) == (0, 0, 0, "matched", 0.1)
)

# %% [markdown]
# ## Two readings of one detector
#
# The **released** map compares what the *student* draws for query and supports, at the *same position* (notebooks 05
# and 06). The student draws everything from the embedding, a grid of a few cells. The reading **matched** keeps the
# detector and the supports and changes what is compared: the *teacher's* features, each position with *all positions of
# all supports*. The best fit counts, so anatomy may move, and the score is the mean of the highest tenth of the map. It
# reads nothing that was trained. `model.read_as("matched")` is all it takes. (It was chosen on a sample
# world of another seed and on real images, see `benchmarks/AT_WORK.md`.)
#
# Beside the two stands the **untrained twin**: the same detector before any training, read as released.

# %%
bench = d2.open_benchmark(lesson.data)
held_out = bench[task]
trained = d2.D24FAD.load(model_file) if model_file else lesson.detector(bench, task)[0]
model = trained.to("cpu").eval().read_as("released")
twin, matched = d2.untrained_twin(model).eval(), model.read_as(other)
S, near = model.config.image_size, max(1, round(model.config.blur_sigma))
memory = lesson.shared_teacher(model)  # encodes each image once, for all readings
readers = {
    "released": (model, "released"),
    "released, untrained": (twin, "released"),
    other: (model, other),
}
scorers = {}
for name, (detector, how) in readers.items():
    scorers[name] = d2.DetectorVariant(detector, name, reading=how, teacher=memory)

# %% [markdown]
# `localise` gives the maps and masks of all test images with one draw of the supports.

# %%
labels = held_out.test.labels  # (N,)
queries = held_out.test.images(S)  # (N, 3, S, S)
one_draw = {"shots": shots, "seed": lesson.seed}
found = {}  # per reading: .maps and .masks [N, S, S]
if held_out.has_masks:
    found = {name: d2.localise(scorer, held_out, **one_draw) for name, scorer in scorers.items()}
else:
    print(f"{held_out.name} has no masks: nothing can be said about places, see the thresholds")

# %% [markdown]
# A lesion is outlined, a cross marks the highest pixel of a map, each row has one colour scale.

# %%
picked = [*np.flatnonzero(labels == 1)[:5], *np.flatnonzero(labels == 0)[:2]]
if found:
    images, masks = found[other].images, found[other].masks
    rows = [int(np.flatnonzero(images == n)[0]) for n in picked if n in images]
    maps = {name: found[name].maps[rows] for name in ("released", other)}
    shown = images[rows]
    figure = d2.query_maps_figure(queries[shown], labels[shown], maps, masks[rows], peaks=True)
    lesson.save_figure(figure, "released_and_matched")
    d2.show_figure(figure, f"images with their released and {other} maps, lesions outlined")

# %% [markdown]
# ## Where the peak is
#
# The maximum decides the released score, so the first question is where it lies. A peak **on the lesion** is one within
# a lesion or at most one sigma of the blur away from it, here 4 px.


# %%
def on_lesion(maps, masks):
    """[N] bool: the map peaks on a lesion or `near` it; maps [N, S, S], masks [N, S, S] bool."""
    wide = [binary_dilation(m, iterations=near) if m.any() else m for m in masks]
    return np.array([w.flat[values.argmax()] for w, values in zip(wide, maps)])


hits = {name: on_lesion(place.maps, place.masks) for name, place in found.items()}
if found:
    bad = masks.any(axis=(1, 2))
    chance = np.mean([binary_dilation(m, iterations=near).mean() for m in masks[bad]])
    print("anomalous images:")
    for name, hit in hits.items():
        print(f"{name:>20}: peak on the lesion in {hit[bad].sum()} of {bad.sum()}")
    print(f"a pixel drawn at random would lie there in {100 * chance:.0f} % of cases")

# %%
if found:
    ground = queries[labels == 0].mean(dim=(0, 1))
    two = {name: found[name].maps for name in ("released", other)}
    figure = d2.peaks_figure(two, labels[images], ground, hits)
    lesson.save_figure(figure, "peaks")
    d2.show_figure(figure, f"the peaks of all test images, released and {other}")

# %% [markdown]
# Released, the peaks lie near the border of most images, normal or not, and seldom on a lesion. Read as `matched`, they
# lie on the lesion in most anomalous images.
#
# ## Pixel AUROC and AUPRO
#
# A peak is one pixel. How well does the whole map separate lesions from the rest? The **pixel AUROC** counts pairs of
# pixels, so one large lesion outvotes fifty small ones. **AUPRO** asks lesion by lesion: at threshold $t$, which share
# of each lesion is above it, averaged over lesions (PRO, per-region overlap), against the share of normal pixels above
# it (FPR, false-positive rate). The area under that curve up to an FPR of 0.3, divided by 0.3, is AUPRO.
#
# $$\mathrm{PRO}(t) = \frac{1}{|\mathcal{R}|}\sum_{R\in\mathcal{R}} \frac{|\{x\in R : \tilde m(x) \ge t\}|}{|R|}$$


# %%
def pro_curve(maps, masks):
    """FPR and PRO at every threshold, highest first; maps, masks [N, S, S]."""
    lesions = []
    for values, mask in zip(maps, masks):
        marked, count = regions_of(mask, structure=np.ones((3, 3)))  # corners touch as well
        lesions += [np.sort(values[marked == i]) for i in range(1, count + 1)]
    normal, thresholds = np.sort(maps[~masks]), np.unique(maps)[::-1]

    def share_above(ordered):
        return 1 - np.searchsorted(ordered, thresholds) / len(ordered)

    return share_above(normal), np.mean([share_above(lesion) for lesion in lesions], axis=0)


# %%
curves = {}
for name in ("released", other) if found else ():
    x, y = (np.append(0, v) for v in pro_curve(found[name].maps, found[name].masks))
    inside, edge = x <= 0.3, np.interp(0.3, x, y)
    left_x, left_y = np.append(x[inside], 0.3), np.append(y[inside], edge)
    area = np.sum(np.diff(left_x) * (left_y[1:] + left_y[:-1]) / 2) / 0.3  # trapezoids
    same(f"AUPRO, {name}", area, found[name].aupro(), rtol=1e-4)
    curves[f"{name}: AUPRO {area:.2f}"] = (x, y)
if curves:
    figure = d2.overlap_figure(curves)
    lesson.save_figure(figure, "aupro")
    d2.show_figure(figure, "per-region overlap over the false-positive rate, two readings")

# %% [markdown]
# All measures side by side. Image and pixel AUROC are means over the draws of the supports, with a 95 % interval
# (bootstrap over draws and test images) for the image AUROC; AUPRO and peaks are those of one draw. Each image is
# scored by itself.

# %%
rows = []
for name, scorer in scorers.items():
    report = d2.evaluate(scorer, held_out, shots=shots, draws=p.draws, seed=lesson.seed)
    rows.append({"reading": name, "image AUROC": report.auroc})
    rows[-1] |= dict(zip(("low", "high"), report.ci))
    if found:
        rows[-1]["pixel AUROC"] = np.mean(report.pixel_aurocs)
        rows[-1] |= {"AUPRO": found[name].aupro(), "peak on lesion": hits[name][bad].mean()}
readings = pd.DataFrame(rows).set_index("reading")
print(
    f"{held_out.name}: {report.n_normal} normal and {report.n_anomalous} anomalous images, "
    f"K = {shots}, {p.draws} draws, {lesson.data_kind}"
)
readings.round(3)

# %% [markdown]
# ## All tasks
#
# The untrained twin as released, and `matched`, on every task. Neither reads anything that was trained, so no task has
# to be held out. One draw each.

# %%
columns = ["task", "reading", "pixel AUROC", "AUPRO", "peak on lesion"]
by_task, lesions = [], []
with_masks = [t for t in bench.values() if t.has_masks and len(t.train) >= shots]
for each in with_masks:
    for name in ("released, untrained", other):
        place = d2.localise(scorers[name], each, **one_draw)
        hit = on_lesion(place.maps, place.masks)[place.masks.any(axis=(1, 2))]
        values = (each.name, name, place.pixel_auroc, place.aupro(), hit.mean())
        by_task.append(dict(zip(columns, values)))
        lesions.append(place.lesions().assign(reading=name, task=each.name))
by_task = pd.DataFrame(by_task, columns=columns)
wide = by_task.pivot(index="task", columns="reading")
wide.swaplevel(axis=1).sort_index(axis=1).round(2)

# %% [markdown]
# ## The size of lesions
#
# The embedding of a 128 px image is a grid of 4 x 4 cells: a lesion of 5 px has to show in a cell of 32 px. What can
# be found at which size? The lesions of all tasks together. **Coverage** is the share of a lesion above the threshold
# that 5 % of the task's normal pixels exceed; a **missed** lesion has no pixel above it. (That threshold needs the
# masks of the test images: it describes a map, and nobody could set it for a new one.) Sizes are shares of the image:
# tiny up to 0.25 % (41 pixels), small up to 1 %, medium up to 4 %, large beyond.

# %%
by_size = pd.DataFrame()
if lesions:
    groups = pd.concat(lesions).groupby(["size", "reading"])["coverage"]
    by_size = groups.agg(lesions="size", coverage="mean", missed=lambda c: (c == 0).mean())
    sizes = [size for size in d2.LESION_SIZES if size in by_size.index]
    by_size = by_size.reindex(sizes, level="size").reset_index()
by_size.round(2)

# %% [markdown]
# The untrained map, drawn from the embedding, misses more than eight in ten of the tiny lesions and still more than
# three in ten of the large ones. `matched`, with cells of 4 px at its finest level, misses fewer than half of the tiny
# ones and hardly any of the large. Below, the smallest lesion that it missed on the task held out, if there is one;
# specks below 25 pixels are left out:

# %%
if found:
    own = found[other].lesions()
    missed = own[own["missed"] & (own["pixels"] >= 25)]
    if len(missed):
        first = missed.iloc[0]
        figure = d2.missed_figure(found[other], queries[images], first)
        lesson.save_figure(figure, "missed_lesion")
        d2.show_figure(figure, f"a missed lesion of {first['pixels']} pixels, and its map")
    else:
        print(f"every lesion of 25 pixels or more was touched ({len(own)} lesions in all)")

# %% [markdown]
# ## Why the border is lit
#
# The released peaks crowd at the edge of the image, on normal images as well. There are four suspects:
#
# - the **student** pads its convolutions with zeros: `student_padding="reflect"` takes them away (the untrained twin
#   serves, since its tensors are the same);
# - **aligned corners** stretch the outermost cells (notebook 06): `align_corners=False`;
# - the **embedding** itself: roll it by half its side, in query and supports alike. What stood at the border now stands
#   in the middle. A ring that stays at the border is the student's doing; a ring that moves was in the embedding;
# - the **teacher** pads with zeros, too: show it the image in a frame of its own mirror image, and cut the frame off
#   the embedding.


# %%
def rolled(features):
    half = features.embedding.shape[2] // 2
    return features.replace(embedding=features.embedding.roll((half, half), (2, 3)))


def without_border(features, images):
    """Features whose embedding never saw the border: of the image within its mirror image."""
    e = model.teacher(F.pad(images, [S // 2] * 4, mode="reflect")).embedding
    cut = e.shape[2] // 4
    return features.replace(embedding=e[:, :, cut:-cut, cut:-cut])


normals = queries[labels == 0]
first = d2.draw_supports(len(held_out.train), shots, 1, lesson.seed)[0]
supports = held_out.train.images(S, first)  # (K, 3, S, S)
plain = (model.teacher(normals), model.teacher(supports))
turned = tuple(rolled(f) for f in plain)
no_border = (without_border(plain[0], normals), without_border(plain[1], supports))

# %% [markdown]
# Measured on **normal** test images alone: the mean map, its outer ring (an eighth of the side) over its middle (the
# inner half of the side); and the share of peaks in the ring, which covers 44 % of the pixels.

# %%
edge = torch.minimum(torch.arange(S), torch.arange(S).flip(0))
edge = torch.minimum(edge[:, None], edge)  # (S, S), distance of a pixel to the border
ring, middle = edge < S // 8, edge >= S // 4
reflecting = d2.D24FAD(model.config.replace(student_padding="reflect"), model.teacher).eval()
cases = {
    "untrained, as released": (twin, plain),
    "student pads by reflection": (reflecting, plain),
    "align_corners=False": (twin.read_as(align_corners=False), plain),
    "embedding rolled": (twin, turned),
    "teacher without border": (twin, no_border),
    "trained, as released": (model, plain),
    "trained, embedding rolled": (model, turned),
    "trained, teacher without border": (model, no_border),
    other: (matched, plain),
}

# %%
mean_maps, border = {}, []
for name, (reader, (mine, theirs)) in cases.items():
    each = reader.predict(mine, reader.encode_supports(theirs)).anomaly_map  # (N normal, S, S)
    mean_maps[name], peak = each.mean(dim=0), each.flatten(1).argmax(dim=1)
    ratio = float(mean_maps[name][ring].mean() / mean_maps[name][middle].mean())
    in_ring = float(ring.flatten()[peak].float().mean())
    border.append({"mean map": name, "ring / middle": ratio, "peaks in the ring": in_ring})
border = pd.DataFrame(border).set_index("mean map")
notes = {name: f"ring / middle {value:.2f}" for name, value in border["ring / middle"].items()}
figure = d2.mean_maps_figure(mean_maps, notes)
lesson.save_figure(figure, "border")
d2.show_figure(figure, "mean maps of normal images, one suspect changed at a time")
border.round(2)

# %% [markdown]
# (Each picture has its own scale.) On the untrained map neither the student's zeros nor the aligned corners light the
# border: without them the ratio is nearly the same. Rolling the embedding takes it from above 1 to below 1. So **this
# light comes from the embedding**, and the student paints it wherever it stands. The teacher's own padding has a part
# in it: with an embedding that has not seen the border, the ratio of the untrained map is below 1 as well.
#
# Of the trained student, look at the **peaks**: most of them lie in the ring as well. Fewer stay there when the
# embedding is rolled. When the teacher has not seen the border, a third of the images or more still peak there, in some
# trainings all of them: the padding alone does not explain the ring, and what the border of these images shows has a
# part in it. What helps is another comparison: `matched` has a ring that is darker than its middle, since what stands
# at the border finds its like somewhere in the supports.
#
# Is it so on every task? Run this notebook with `task="LAG"` and look at the trained student.
#
# ## A threshold from normal images
#
# A score becomes a decision by a threshold. Labelled anomalies would make it optimistic, and for a new kind of image
# there are none. **Conformal prediction** needs only normal images. Suppose that $n$ normal images, unknown to the
# model, and a new normal one are **exchangeable**: any order of them would have been as likely. Then the rank of the
# new score among the $n + 1$ is uniform. So take the $\lceil (n+1)(1-\alpha)\rceil$-th smallest of the $n$ scores: a
# new normal image exceeds it with probability at most $\alpha$, whatever the distribution. With too few images that
# rank does not exist, and the package refuses:

# %% tags=["nbval-check-output"]
try:
    print(d2.calibrate(matched, supports[:4], alpha=0.1).summary())
except d2.ThresholdError as refusal:
    print("refused:", refusal)
for rate in (0.2, 0.1, 0.05, 0.01):
    print(f"at most {100 * rate:g} % false alarms: {d2.images_needed(rate)} normal images")

# %% [markdown]
# The task has more normal training images than supports. They have not been seen, so they may calibrate, here the
# reading `matched`; by hand:

# %%
spare = held_out.train.images(S, np.setdiff1d(np.arange(len(held_out.train)), first))
calibration = d2.normal_scores(matched, supports, spare)  # (n,)
test_scores = matched.predict(queries, matched.encode_supports(supports)).score.numpy()  # (N,)
n, threshold = len(calibration), None
if n < d2.images_needed(alpha):
    needed = d2.images_needed(alpha)
    print(f"{n} spare normal images cannot promise {alpha:g}; {needed} could")
else:
    rank = math.ceil((n + 1) * (1 - alpha) - 1e-9)  # from 1
    threshold = d2.calibrate(matched, supports, alpha, spare)
    same("threshold", np.sort(calibration)[rank - 1], threshold.value)
    alarms = threshold.alarms(test_scores)
    false, true = int(alarms[labels == 0].sum()), int(alarms[labels == 1].sum())
    print(threshold.summary())
    print(f"test images: {false} false alarms among {(labels == 0).sum()} normal ones, ", end="")
    print(f"{true} of {(labels == 1).sum()} anomalous ones found")

# %%
scores = {
    "normal, training\n(calibration)": calibration,
    "normal, test": test_scores[labels == 0],
    "anomalous, test": test_scores[labels == 1],
}
figure = d2.threshold_figure(scores, n, alpha, threshold)
lesson.save_figure(figure, "threshold")
d2.show_figure(figure, "scores with the threshold, and the range of its false-alarm rate")

# %% [markdown]
# The promise is an average over calibration sets. The right side shows what a single one may turn out to be: with a few
# dozen images, the rate of one threshold may well be half or nearly twice the promised one.
#
# ## What this lesson claims
#
# The cells fail where the text is no longer true of the shipped samples.

# %%
if as_shipped:
    sharp, dull = readings.loc["matched"], readings.drop(index="matched")
    assert sharp["peak on lesion"] > 0.6 and sharp["low"] > 0.8 and sharp["AUPRO"] > 0.7, sharp
    assert dull["peak on lesion"].max() < 0.4 and dull["AUPRO"].max() < 0.5, dull
    assert by_task[by_task["reading"] == "matched"]["peak on lesion"].mean() > 0.6, by_task
    gone = by_size.set_index(["size", "reading"])["missed"]
    dull = gone.xs("released, untrained", level="reading")
    assert dull["tiny"] > 0.8 and dull["large"] > 0.3, gone
    assert gone["tiny", "matched"] < 0.5 and gone["large", "matched"] < 0.1, gone
    low, high = d2.false_alarm_interval(n, alpha)
    assert low < alpha / 2 and high > 1.8 * alpha and false <= 6, (n, high, false)
    print("all hold")

# %%
if as_shipped:
    ratio, in_ring = border["ring / middle"], border["peaks in the ring"]
    assert ratio["untrained, as released"] > 1 > ratio["embedding rolled"], ratio
    for name in ("student pads by reflection", "align_corners=False"):
        assert abs(ratio[name] - ratio["untrained, as released"]) < 0.06, (name, ratio)
    assert ratio["teacher without border"] < 1.0 and ratio["matched"] < 0.95, ratio
    assert in_ring["trained, as released"] > 0.5, in_ring
    assert near == 4 and plain[0].embedding.shape[2:] == (4, 4)
    assert abs(float(ring.float().mean()) - 0.44) < 0.005
    highest = found["released"].maps.reshape(len(images), -1).argmax(axis=1)
    for kind in (0, 1):  # normal and anomalous images
        assert ring.flatten().numpy()[highest][labels[images] == kind].mean() > 0.5, kind
    assert in_ring["trained, embedding rolled"] < in_ring["trained, as released"] - 0.1, in_ring
    assert in_ring["trained, teacher without border"] > 1 / 3, in_ring
    print("all hold")

# %% [markdown]
# ## What you saw
#
# - A high image score need not have to do with the disease; the peak of the map can be looked up.
# - As released, the peak lies near the border of most images. Read as `matched`, from the same teacher and supports, it
#   lies on the lesion in most anomalous images.
# - The pixel AUROC gives every pixel one vote, AUPRO every lesion.
# - Where the student alone is compared, all that it draws comes from the 4 x 4 cells of the embedding, and most tiny
#   lesions are missed.
# - The light at the border of the untrained map comes from the embedding, neither from the student's padding nor from
#   the aligned corners.
# - A threshold with a promise needs normal images beyond the supports; four supports promise nothing below one in five.
#
# **What to question:** `matched` reads nothing that was trained; what is the student for, then? And is "exchangeable"
# true when the next patient comes from another scanner? If it is not, the promise of the threshold is void.
#
# ## Check yourself
#
# 1. Why can an image AUROC be high although no map points at a lesion?
# 2. When do pixel AUROC and AUPRO disagree?
# 3. Which experiment tells the student's border from the embedding's?
# 4. Why does the released map miss tiny lesions, whatever the student has learned?
# 5. Why can four supports not promise ten per cent false alarms, and how many normal images could?
#
# The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`.

# %% [markdown]
# ## Exercises
#
# Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`.
#
# **1.** "On the lesion, or at most 4 px away" is yes or no. Say *how far*: the distance in pixels (straight line,
# between pixel centres) from the highest pixel of each map to the nearest pixel of a lesion, 0 on the lesion itself.


# %% tags=["exercise"]
# arrays maps [N, S, S], masks [N, S, S] bool, a lesion in each -> [N]
def peak_distance(maps, masks): ...  # your turn


lesson.check(1, peak_distance)

# %% [markdown]
# **2.** A conformal **p-value** says how rare a score is among normal images: one plus the number of calibration scores
# at least as high, divided by n + 1. An alarm at $p \le \alpha$ is an alarm above the threshold of this notebook.


# %% tags=["exercise"]
# arrays calibration [n], scores [N] -> [N], each between 1 / (n + 1) and 1
def p_values(calibration, scores): ...  # your turn


lesson.check(2, p_values)

# %% [markdown]
# **3.** How likely is it that a single threshold causes more false alarms than a given rate $r$? A normal image scores
# above the threshold with a probability of more than $r$ exactly when at least $k$ of the $n$ calibration images lie in
# the lower $1 - r$ of all normal scores, where $k$ is the rank of the threshold. (No two scores are equal.)


# %% tags=["exercise"]
# n images, alpha as promised, rate r -> a probability
def risk_of_rate(n, alpha, rate): ...  # your turn


lesson.check(3, risk_of_rate)

# %%
first, last = readings["image AUROC"].iloc[[0, -1]]
told = f"image AUROC {first:.2f} as released, {last:.2f} read as {other}"
if found:
    first, last = 100 * readings["peak on lesion"].iloc[[0, -1]]
    told = f"the map peaks on the lesion in {first:.0f} % of the anomalous images as released, "
    told += f"in {last:.0f} % read as {other}"
lesson.finish(
    {
        "headline": f"{held_out.name}: {told} ({lesson.data_kind})",
        "aupro": found[other].aupro() if found else None,
        "peak_on_lesion": float(readings["peak on lesion"].iloc[-1]) if found else None,
        "peak_on_lesion_released": float(readings["peak on lesion"].iloc[0]) if found else None,
        "tables": {
            "Readings": readings.reset_index().round(3),
            "Every task": by_task.round(3),
            "Lesions by size": by_size.round(3),
            "The lit border": border.reset_index().round(3),
        },
    },
    verdict=f"on {held_out.name}, {told}; {n} normal images beyond the supports "
    + ("set" if threshold else "are too few to set")
    + f" a threshold for {100 * alpha:g} % false alarms.",
)
