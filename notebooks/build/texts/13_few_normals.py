# %% [markdown]
# # 13 · What can four normal images do?
#
# Four normal images, a frozen network, no training: what is the best score that can be read from them without using a
# test label? Lesson 02 introduced the nearest patch: each position of the query looks for its like in all supports, and
# its distance to the nearest one is its anomaly score. This lesson builds the reading that won on development data,
# `mirrored-patch`, lets the shipped samples judge it, and weighs ten ideas that looked good. You should know the
# nearest patch (02), the draws of supports (03) and what an interval covers (09).
#
# **You will learn**
# - how mirror images turn four supports into more, and when an image may be compared with its own mirror image;
# - to let the supports decide, without a label, whether anatomy is symmetric;
# - to compare readings in pairs, on the same images and the same draws;
# - what ten plausible ideas were worth, and whether training on other tasks adds anything.
#
# **Needs:** CPU · about 30 s, 1.5 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of the support draws
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
look: str = "BrainTumor,LAG,RSNA"  # the tasks of the first figure
shots: int = 4  # K, how many supports; at least 2
teacher: str = ""  # timm name of the frozen network; empty: the profile's
weights: str = ""  # "imagenet", "embedded", "random" or a file; empty: the profile's

# %% tags=["setup"]
import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

import d24fad_lite as d2
from d24fad_lite.lessons import names_of, same, start_lesson

lesson = start_lesson("13_few_normals", globals())
p, K = lesson.profile, shots
if K < 2:
    raise ValueError(f"shots={K}: symmetry is decided among supports, give at least 2")

# %%
bench = d2.open_benchmark(lesson.data)
nearest = d2.create_detector("nearest-patch", lesson.config()).to(lesson.device).eval()
mirrored = d2.create_detector("mirrored-patch", lesson.config(), nearest.teacher).eval()
grids = mirrored.grids  # (H_l, W_l) of the compared levels, fine first


def images_of(image_set, positions):
    """Images [N, 3, S, S] on the lesson's device."""
    return image_set.images(p.image_size, positions).to(lesson.device)


# %% [markdown]
# ## The idea
#
# A few supports show little of what is normal. Two things need no further image:
#
# - Each support also stands for its **mirror image** (left and right exchanged). Four normal images become eight.
# - Where the supports show that anatomy is symmetric, a patch of the query may also look at the **query's own mirror
#   image** around the same place: what is on both sides is anatomy, what is on one side alone is suspect.
#
# "Symmetric" is decided by the supports, under two conditions, both averaged over patches. They must be nearer to their
# own mirror images than to each other; and that distance, taken at the same place, must be less than two thirds of the
# distance half an image away. The second keeps out tissue of one texture, which is like itself everywhere. No label and
# no test image is read. How often is that so?

# %%
many = {name: d2.draw_supports(len(t.train), K, 20, lesson.seed) for name, t in bench.items()}
symmetric = {
    name: [mirrored.encode_supports(images_of(bench[name].train, row)).symmetric for row in rows]
    for name, rows in many.items()
}
share = pd.Series({name: np.mean(answers) for name, answers in symmetric.items()})
share.rename("symmetric, share of 20 draws").rename_axis("task").to_frame()

# %% [markdown]
# A fundus has its disc or its macula on one side: never symmetric. Nor are these chest X-rays, with a
# heart on the left. Brains are, in some draws (7 of 20): from one draw to the next, four supports may resemble each
# other more or less. And histology? A tissue has no left and right: its patches find their like anywhere, and the
# second condition says no. The rule measures likeness of features; it knows nothing about anatomy.
#
# ## See it
#
# Of the larger half of each task's lesions, the one whose centre lies farthest from the vertical middle line; of the
# first task also the one closest to it. The supports are the first of the 20 draws that the rule calls symmetric, else
# the first draw. So no image was chosen for its map. Blue: the outline of the true lesion.


# %%
def by_distance_to_the_middle(test):
    """Positions of the images with the larger half of the lesions, far from the middle first."""
    bad = np.flatnonzero(test.labels == 1)
    masks = test.masks(p.image_size, bad)
    if masks is None:
        return bad
    area = masks.sum(dim=(1, 2))
    centre = (masks * torch.arange(p.image_size)).sum(dim=(1, 2)) / area.clamp_min(1)  # (N,)
    aside = (centre - (p.image_size - 1) / 2).abs().numpy()
    order = np.argsort(-aside, kind="stable")
    return bad[order[(area >= area.median()).numpy()[order]]]


def pictures_of(name, position):
    """Query, its mirror image, and three maps, each from 0 to 1: five pictures."""
    query = images_of(bench[name].test, [position])
    few = images_of(bench[name].train, many[name][int(np.argmax(symmetric[name]))])
    own = mirrored.own_mirror(query, mirrored.compared(query)).map(grids)  # (1, H, W)
    maps = [
        nearest.predict(query, nearest.encode_supports(few)).anomaly_map,
        F.interpolate(own[None], query.shape[2:], mode="bilinear")[0],
        mirrored.predict(query, mirrored.encode_supports(few)).anomaly_map,
    ]
    scaled = [(m[0] - m.min()).cpu() / float(m.max() - m.min()) for m in maps]
    return [query[0].cpu(), query[0].flip(-1).cpu(), *scaled]


# %%
looked_at = [name for name in names_of([look]) if name in bench] or list(bench)[:3]
sorted_out = {name: by_distance_to_the_middle(bench[name].test) for name in looked_at}
columns = [(looked_at[0], "closest to the middle", sorted_out[looked_at[0]][-1])]
columns += [(name, "farthest from the middle", sorted_out[name][0]) for name in looked_at]
of_columns = [pictures_of(name, position) for name, _, position in columns]
kinds = ["query", "its mirror image", "nearest patch", "own mirror alone", "mirrored patch"]
rows = {kind: [pictures[i] for pictures in of_columns] for i, kind in enumerate(kinds)}
lesions = [bench[name].test.masks(p.image_size, [i]) for name, _, i in columns]
lesions = [None if lesion is None else lesion[0] for lesion in lesions]
none = [None] * len(columns)
outlines = {kind: none if kind == "its mirror image" else lesions for kind in kinds}
titles = [
    f"{name}\n{where}\nown mirror {'used' if any(symmetric[name]) else 'not used'}"
    for name, where, _ in columns
]
figure = d2.image_rows_figure(rows, titles, width=1.9, masks=outlines)
lesson.save_figure(figure, "see_it")
d2.show_figure(figure, "queries with a lesion, their mirror images, and three maps of each")

# %% [markdown]
# Each map is drawn from its own lowest to its own highest value: compare places, not brightness. *Own mirror alone*
# asks no support at all:
#
# - The brain lesion farthest from the middle shines twice, at its own place and as a ghost on the other side: a
#   difference between two sides shows on both. The supports know the ghost's place as normal, so the last map has none.
# - The lesion closest to the middle lies beside its own mirror image. Its inner part finds its like there and is
#   explained away: in both maps that look into the mirror it is darker than its surroundings, and the last map is also
#   bright beside the lesion, outside the outline. This is the price.
# - On the fundus and the chest X-ray the macula, the vessels or the heart lie on one side, and large parts of both
#   halves shine. The rule rightly leaves the mirror out.
#
# ## By hand
#
# With $d(p)$ the distance of patch $p$ to the nearest patch of the supports, of their mirror images and, where they
# are symmetric, of the query's own mirror image around the same place; with $d_s(p)$ the same without the own mirror
# image; and with $d_l(p)$ like $d$, but for single positions of level $l$:
#
# $$m(p) = \tfrac{1}{1 + L} \Big( d(p) + \sum_{l=1}^{L} d_l(p) \Big), \qquad
# \text{score} = \operatorname{mean}_p\, d_s(p) + \operatorname{mean}_{p\,\in\,\text{top tenth}}\, m(p).$$
#
# A patch is the mean of 3 x 3 positions in all compared levels together: robust and coarse. A single position of one
# level is sharp.


# %%
def distance(cosine):
    """|a - b| of unit vectors."""
    return (2 - 2 * cosine).clamp_min(0).sqrt()


def to_nearest(queries, supports):
    """Vectors [N, P, C] and [K, R, C] -> distances [N, P] to the nearest of all supports."""
    return distance((queries @ supports.flatten(0, 1).T).amax(dim=2))


def to_own_mirror(queries, flipped, grid):
    """Distances [N, P] to the own mirror image, at most a sixteenth of the side away."""
    place = torch.cartesian_prod(*(torch.arange(side) for side in grid))  # (P, 2)
    reach = torch.tensor([max(1, side // 16) for side in grid])
    far = ((place[:, None] - place[None]).abs() > reach).any(dim=2)  # (P, P)
    cosine = queries @ flipped.transpose(1, 2)  # (N, P, P)
    return distance(cosine.masked_fill(far.to(cosine.device), -2).amax(dim=2))


def vectors_of(images):
    """Patches, and single positions of each level: a list of unit vectors [N, P, C]."""
    compared = mirrored.compared(images)
    return [compared.patches, *compared.levels]


# %%
def map_of(distances):
    """m(p) [N, H, W] from the distances of patches and of each level."""
    patches, *levels = [d.unflatten(1, g) for d, g in zip(distances, (grids[0], *grids))]
    fine = [F.interpolate(d[:, None], size=grids[0], mode="bilinear")[:, 0] for d in levels]
    return torch.stack([patches, *fine]).mean(dim=0)


def top_tenth(maps):
    values = maps.flatten(1)
    return values.topk(round(0.1 * values.shape[1]), dim=1).values.mean(dim=1)


def parts_of(queries, own, plain, flipped, is_symmetric):
    """Scores [N] of each part, from vectors and from distances to the own mirror image."""
    alone = [to_nearest(*pair) for pair in zip(queries, plain)]
    d = [torch.minimum(a, to_nearest(*pair)) for a, *pair in zip(alone, queries, flipped)]
    with_own = [torch.minimum(*pair) for pair in zip(d, own)]
    mean, top = d[0].mean(dim=1), top_tenth(map_of(with_own if is_symmetric else d))
    return {
        "mean": alone[0].mean(dim=1),
        "mean, mirrored supports": mean,
        "top tenth": top,
        "top tenth, own mirror never": top_tenth(map_of(d)),
        "top tenth, own mirror always": top_tenth(map_of(with_own)),
        "both: mirrored patch": mean + top,
    }


# %% [markdown]
# ## The numbers
#
# Nearest patch under two scores, its largest and its mean distance, and mirrored patch; image AUROC, each image scored
# by itself, the same draws for all. These are synthetic samples. They did not choose the method: that was done on
# images of other seeds (`benchmarks/FEW_NORMALS.md`), so they may judge it. To be exact: a first version had been
# scored on these samples before two details were settled on development worlds (the second condition, and the plain
# mean in $m$); its scores here were not used for that. Whoever now changes the method and looks here again has chosen
# on a test set.

# %%
memory = nearest.scorer().teacher
scorers = {
    f"nearest patch, {kind}": d2.NearestPatch(memory, image_score=kind, maps=kind == "max")
    for kind in ("max", "mean")  # two scores of one map
}
scorers["mirrored patch"] = mirrored.scorer()
how = {"shots": K, "draws": p.draws, "seed": lesson.seed}
reports = {
    (name, method): d2.evaluate(scorer, task, pixel="mean" not in method, **how)
    for name, task in bench.items()
    for method, scorer in scorers.items()
}
for (name, method), report in reports.items():
    pixel = "" if report.pixel_auroc is None else f", pixel {report.pixel_auroc:.3f}"
    print(f"{name:10s} {method:19s} {report.summary()}{pixel}")

# %%
pairs = {
    (name, f"minus {other}"): d2.compare_paired(
        reports[name, "mirrored patch"], reports[name, other]
    )
    for name in bench
    for other in scorers
    if other != "mirrored patch"
}
figure = d2.pairs_figure(pairs, f"Mirrored patch in pairs (K = {K}, {lesson.data_kind})")
lesson.save_figure(figure, "pairs")
d2.show_figure(figure, "differences of image AUROC to nearest patch, with intervals, on each task")
pd.DataFrame(
    {
        of: [f"{d.difference:+z.3f}", f"{d.low:+z.3f}", f"{d.high:+z.3f}", f"{d.p:.3f}"]
        for of, d in pairs.items()
    },
    index=["difference", "low", "high", "p"],
).T.rename_axis(["task", "mirrored patch"])

# %% [markdown]
# The mean over tasks, as in lesson 10: the tasks are independent test sets, so the half widths of their intervals add
# as squares. (Nearest patch has one map, so its pixel AUROC stands with its maximum alone.)


# %%
def mean_of_tasks(rows):
    """Mean of (value, low, high) over tasks, with its 95 % interval from those of the tasks."""
    value, low, high = np.array(rows).T
    half = np.sqrt((((high - low) / 2) ** 2).sum()) / len(rows)
    return value.mean(), value.mean() - half, value.mean() + half


def pixel_mean(method):
    values = [reports[name, method].pixel_auroc for name in bench]
    return np.nan if None in values else np.mean(values)


means = {
    m: (
        *mean_of_tasks([(r.auroc, *r.ci) for (_, of), r in reports.items() if of == m]),
        pixel_mean(m),
    )
    for m in scorers
}
gains = {
    other: mean_of_tasks(
        [(d.difference, d.low, d.high) for (_, o), d in pairs.items() if o == other]
    )
    for other in dict.fromkeys(o for _, o in pairs)
}
for other, (value, low, high) in gains.items():
    print(f"mirrored patch {other}: {value:+.3f} [{low:+.3f}, {high:+.3f}]")
pd.DataFrame(means, index=["mean image AUROC", "low", "high", "mean pixel AUROC"]).T.round(3)

# %% [markdown]
# In the mean over these five tasks mirrored patch is 0.02 above the maximum of nearest patch and 0.10
# above its mean. Neither interval holds zero, though the first only just; and at an AUROC of 1.000 a bootstrap interval
# has no width, so they are somewhat too narrow (a high end above 1 comes from adding half widths). Against the maximum
# the difference is clear on LAG and RSNA, there is nothing left to gain on APTOS and HIS, and none on BrainTumor.
# Averaged over tasks, the pixel AUROC is 0.98 against 0.96; it is lower on BrainTumor. At this level, `plain`, the
# samples are nearly solved, so they cannot rank good readings.
#
# ## Which part does what
#
# The same distances, put together in six ways by the functions above. The last row is the method.


# %%
def scores_by_part(name):
    """Scores [D, N] of each part on the draws of the report; 40 test images at a time."""
    task, report = bench[name], reports[name, "mirrored patch"]
    supports = [images_of(task.train, row) for row in report.supports]
    plain, flipped = (
        [vectors_of(s) for s in of] for of in (supports, [s.flip(-1) for s in supports])
    )
    same(f"{name}: draws", many[name][: len(supports)], report.supports)  # of both lists the same
    chunks = []
    for chunk in np.array_split(np.arange(len(task.test)), -(-len(task.test) // 40)):
        images = images_of(task.test, chunk)
        queries, turned = vectors_of(images), vectors_of(images.flip(-1))
        own = [to_own_mirror(*both) for both in zip(queries, turned, (grids[0], *grids))]
        chunks.append(
            [parts_of(queries, own, *draw) for draw in zip(plain, flipped, symmetric[name])]
        )
    return {
        part: np.array(
            [
                np.concatenate([chunk[d][part].cpu() for chunk in chunks])
                for d in range(len(supports))
            ]
        )
        for part in chunks[0][0]
    }


# %%
by_part = {name: scores_by_part(name) for name in bench}
for name in bench:
    method = by_part[name]["both: mirrored patch"]
    same(f"{name}: scores by hand", method, reports[name, "mirrored patch"].scores, rtol=1e-3)
ablation = pd.DataFrame(
    {
        name: {
            part: np.mean([d2.image_auroc(bench[name].test.labels, row) for row in scores])
            for part, scores in parts.items()
        }
        for name, parts in by_part.items()
    }
)
ablation["mean of tasks"] = ablation.mean(axis=1)
ablation.round(3)


# %%
def pixel_by_own_mirror(name):
    """Pixel AUROC of m(p), not blurred, on the first draw: own mirror never, always."""
    test, few = bench[name].test, images_of(bench[name].train, many[name][0])
    images, masks = images_of(test, range(min(len(test), 40))), test.masks(p.image_size)
    if masks is None:
        return np.nan, np.nan
    compared, bank = mirrored.compared(images), mirrored.encode_supports(few)
    to_supports = compared.nearest(bank.compared).of_supports(torch.arange(K))
    with_own = to_supports.or_nearer(mirrored.own_mirror(images, compared))
    values = []
    for distances in (to_supports, with_own):
        maps = F.interpolate(distances.map(grids)[:, None], images.shape[2:], mode="bilinear")[:, 0]
        meter = d2.PixelAuroc(float(maps.min()), float(maps.max()))
        meter.add(maps.cpu().numpy(), masks[: len(maps)].numpy())
        values.append(meter.value)
    return values


pixel = pd.DataFrame({name: pixel_by_own_mirror(name) for name in bench}, index=["never", "always"])
pixel.rename_axis("own mirror").round(3)

# %% [markdown]
# - **Mirrored supports** bring the mean distance from 0.89 to 0.93, for a second pass of four images and a search that
#   takes twice as long.
# - The **top tenth of the sharper map** does most: 0.98 or more on every task. The mean is in the score for disease
#   that changes a whole image. On all four tables of development worlds the top tenth alone is higher (by 0.004 to
#   0.018), but most of their lesions are local: they do not test what the mean is there for.
# - The query's **own mirror image does not help here**. Without it the top tenth is as good or better on every task,
#   and where it is always used, the pixel AUROC falls on four of five tasks, on HIS from 0.99 to 0.88. That is what
#   the rule is for: it says no there.
#
# Now comes the temptation: the row "top tenth, own mirror never" is the best one. Whoever takes it as the new method
# has chosen on a test set, on differences of some thousandths near 1.0. The method stays as it was frozen. What the
# table gives is a **hypothesis**, one that the development worlds point to as well, to be tried on images that nobody
# has looked at.
#
# ## Ten ideas, and what they were worth
#
# All of them need no training and no label. The numbers are **development numbers on synthetic images**: two sample
# worlds of other seeds (levels `plain` and `hard`, K = 4, the same network as here), image AUROC in the mean of their
# tasks, once with the mean of the distances as the score and once with their highest tenth. Such numbers were used to
# choose, so they judge nothing. This lesson does not compute them, `benchmarks/few_normals.py` does. The reasons are
# what we think likely, not what was tested; those of 1, 7 and 9 follow from the formula.
#
# | | idea | plain: mean | top tenth | hard: mean | top tenth | what happened, and the likely reason |
# |--:|:--|--:|--:|--:|--:|:--|
# | | **nearest patch** (its maximum: 0.939, 0.643) | 0.860 | 0.954 | 0.632 | 0.647 | the bar |
# | 1 | one pooled feature per image (DN2) | 0.747 | | 0.536 | | a small lesion drowns in the mean over positions |
# | 2 | pooled feature and patches combined | 0.794 | | 0.572 | | scales from four supports are noise |
# | 3 | ridge regression on the supports (FastRecon) | 0.888 | 0.979 | 0.654 | 0.674 | better than nearest patch alike |
# | | a subspace of 95 % (PCA) | 0.886 | 0.977 | 0.654 | 0.684 | likewise |
# | 4 | a Gaussian at each position (PaDiM) | 0.869 | 0.966 | 0.647 | 0.663 | likewise, and less |
# | 5 | search within a window only | 0.858 | 0.948 | 0.631 | 0.640 | helps where images are aligned, hurts elsewhere |
# | 6 | mean of the two nearest supports (kNN) | 0.852 | | 0.630 | | what only one support shows is normal too |
# | 7 | minus the supports' distances to each other | 0.860 | | 0.632 | | a constant is taken off: the same order |
# | 8 | both ways (Chamfer) | 0.843 | | 0.626 | | what a query lacks is mostly ordinary variety |
# | 9 | spread of channels, as texture (style) | 0.831 | | 0.578 | | one vector per image again |
# | 10 | each level by itself | 0.862 | | 0.635 | | the mean over all patches stays the limit |
# | | **mirrored patch** (its score: both parts) | 0.891 | 0.992 | 0.648 | 0.727 | 0.981 and 0.709 |
#
# **The score did more than the idea.** With the mean, none beats the maximum of nearest patch on `plain`. With the top
# tenth three do, clearly: reconstruction, subspace and Gaussian. On `hard` none of the ten is clear of the bar, and on
# neither world is one above mirrored patch. With the other network (the ledger has both) the same three stay below it
# by 0.06 to 0.09. The ledger does not try them together with mirrored supports: that is the first thing to try next.
#
# The **own mirror image always**, in place of only where the supports are symmetric, loses where organs lie on one
# side: on the fundus task LAG of the `plain` world the AUROC of mirrored patch falls from 0.929 to 0.854.
#
# And does something **trained on other tasks** add to it? On two worlds that chose nothing, with two networks each and
# three training seeds, the answer is no. A score that learned on synthetic lesions of the other tasks how to weigh
# thirteen such distances is clearly below mirrored patch twice and clearly above it never
# (`benchmarks/FEW_NORMALS_TRAINED.md`). A small network that reads how far each place lies from the supports, channel
# by channel, and begins as mirrored patch itself, is clearly below it all four times (0.03 to 0.12) when it is trained
# on the other tasks; trained on procedural tasks, painted and fractal, it is 0.01 to 0.08 below, clearly so once
# (`benchmarks/FEW_NORMALS_STUDENT.md`). Single tasks gain, LAG most often; the mean never does. A likely reason, not
# tested: the lesions that they learned from differ from those that they meet.
#
# ## What this lesson claims
#
# The cell fails where the text is no longer true of the shipped samples.

# %%
settled = (lesson.root, p.name, p.teacher, look, K, lesson.seed)
as_shipped = settled == (None, "quick", "tf_efficientnet_lite0", "BrainTumor,LAG,RSNA", 4, 0)
if as_shipped:
    assert (share[["APTOS", "LAG", "RSNA"]] == 0).all() and share["BrainTumor"] == 7 / 20
    assert share["HIS"] == 0
    over_max, over_mean = gains.values()
    assert 0 < over_max[1] < 0.01 and abs(over_max[0] - 0.02) < 0.005
    assert over_mean[1] > 0 and abs(over_mean[0] - 0.1) < 0.01
    clear = [name for (name, o), d in pairs.items() if o.endswith("max") and d.low > 0]
    assert {"LAG", "RSNA"} <= set(clear) and "BrainTumor" not in clear
    assert abs(pairs["BrainTumor", "minus nearest patch, max"].difference) < 0.01
    assert means["mirrored patch"][3] > means["nearest patch, max"][3] + 0.01
    part = ablation["mean of tasks"]
    assert abs(part["mean"] - 0.89) < 0.01 and abs(part["mean, mirrored supports"] - 0.93) < 0.01
    never, always = (ablation.loc[f"top tenth, own mirror {how}"] for how in ("never", "always"))
    assert (never >= ablation.loc["top tenth"] - 1e-9).all() and never["LAG"] > always["LAG"]
    assert (ablation.loc["top tenth"] > 0.98).all()
    assert part.idxmax() == "top tenth, own mirror never"
    assert (pixel.loc["never"] > pixel.loc["always"] + 0.01).sum() == 4
    assert abs(pixel.loc["always", "HIS"] - 0.88) < 0.02
print("as the text says" if as_shipped else "other settings than the text's: nothing compared")

# %% tags=["nbval-check-output"]
print(f"K = {K}, {p.draws} draws, {lesson.data_kind}, each image by itself")
for name, rows_of_share in symmetric.items():
    print(f"{name:10s} symmetric in {sum(rows_of_share):2d} of {len(rows_of_share)} draws")

# %% [markdown]
# ## What you saw
#
# - Without any training, four normal images and a frozen network reach a mean image AUROC of 0.99 on the synthetic
#   samples; nearest patch reaches 0.97 with its maximum, 0.89 with its mean.
# - Mirrored supports raise the mean distance's AUROC (0.89 to 0.93); the highest tenth of a sharper map brings most of
#   the gain. The query's own mirror image, chosen on development data, brings none on these samples.
# - The supports can decide on symmetry without a label. They decide about features, and a lesion close to the middle
#   line may still explain itself away.
# - With their mean, ten plausible ideas did not beat the maximum of nearest patch; with the top tenth three did on one
#   world, and none beat mirrored patch. Most of them either average a small lesion away or ask four images for more
#   than four images know.
#
# **What to question:** all of this is synthetic, with one frozen network and one generator, whose development worlds
# resemble the samples. The symmetry is that of left and right about the image's vertical axis: an image that is turned
# by 90 degrees, or taken obliquely, breaks it; and where the side of an organ is itself the finding, a mirrored support
# hides it. Nothing here says anything about patients: **not for clinical use**.
#
# **What to try next:** your own tasks (`root`), another network (`teacher`), K = 2 or 8 (`shots`); and whether the rule
# for symmetry should look at the middle line, on a world of your own (`d2.write_samples` with another seed), not here.
#
# ## Check yourself
#
# 1. Which two parts make the image score, and what does each answer to?
# 2. What decides whether a query's own mirror image is used?
# 3. Why does the own mirror image hurt where organs lie on one side?
# 4. Why did idea 7 leave the AUROC of nearest patch exactly where it was?
# 5. Why may the shipped samples judge this method, and why only once?
#
# The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`.

# %% [markdown]
# ## Exercises
#
# Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`.
#
# **1.** How nearly symmetric are some supports? Divide their mean distance to their own mirror images (`bank.own`) by
# the mean distance of their patches to the nearest of all **other** supports. `bank.among[i, k]` holds the distances
# of the patches of support i to support k; that of a support to itself is zero and must not count. Below 1 they pass
# the first half of the rule for symmetric; the other half asks that the same place matters: the mean of
# `bank.place` must be below 2/3.


# %% tags=["exercise"]
# own [K], among [K, K, P] -> a number
def asymmetry(own, among): ...  # your turn


lesson.check(1, asymmetry)

# %% [markdown]
# **2.** How much of an image does its own mirror image explain? Give the share of its patches that are nearer to the
# own mirror image than to any support.


# %% tags=["exercise"]
# to_supports [N, K, P], own [N, P] -> [N]
def explained_by_mirror(to_supports, own): ...  # your turn


lesson.check(2, explained_by_mirror)

# %%
numbers = "; ".join(f"{name} {value:.2f}" for name, (value, *_) in means.items())
columns_of_means = ["mean image AUROC", "low", "high", "mean pixel AUROC"]
gain, low, high = gains["minus nearest patch, max"]
lesson.finish(
    {
        "headline": f"mean image AUROC over {len(bench)} tasks, K = {K}: {numbers}",
        "tables": {
            f"Mean over tasks (per image, {p.draws} draws, {lesson.data_kind})": pd.DataFrame(
                means, index=columns_of_means
            )
            .T.round(3)
            .reset_index(names="method"),
            "Image AUROC by part": ablation.round(3).reset_index(names="part"),
        },
    },
    verdict=f"without training, {K} normal images give a mean image AUROC of "
    f"{means['mirrored patch'][0]:.2f}, {gain:+.3f} [{low:+.3f}, {high:+.3f}] beside nearest "
    f"patch, max ({lesson.data_kind}).",
)
