# %% [markdown]
# # 08 · Ablations
#
# A method has many parts, and a paper says that all of them help. An **ablation** takes one away and measures. It is
# easily done badly: one run, one draw, the best of many cells, and no look at what a method without any learning would
# have got. Here is a whole grid, read from three small trained models, beside the noise of a training run,
# the untrained twin, the baselines, the shortcuts, and paired intervals that say what the grid can and cannot tell.
#
# **You will learn**
# - which switches need a new training run and which only another reading of a trained one;
# - to read a grid of hundreds of cells from cached features, every number equal to the package's;
# - how far one and the same setting moves from seed to seed;
# - to compare two methods in pairs, over draws and images, and to stay silent where the interval holds zero;
# - which steps lead from the released reading to `matched`, and which of them pays;
# - what becomes of the best of many cells on images that did not choose it.
#
# **Needs:** CPU · about 45 s, 1.75 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of the first training run and of the support draws
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
tasks: str = "RSNA,APTOS"  # one or two, left out together; a name with a comma in quotes
teacher: str = ""  # timm name of the frozen network; empty: the profile's
weights: str = ""  # "imagenet", "embedded", "random" or a file; empty: the profile's
epochs: int = 6  # of each training here, few since there are several; 0: the profile's
lr: float = 0.0  # learning rate; 0: the profile's
more_seeds: int = 1  # further training runs of the whole method, to see the spread

# %% tags=["setup"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter1d

import d24fad_lite as d2
from d24fad_lite.lessons import names_of, same, start_lesson

lesson = start_lesson("08_ablations", globals())
p = lesson.profile
as_shipped = (
    (lesson.root, p.name, p.teacher) == (None, "quick", "tf_efficientnet_lite0")
    and (tasks, epochs, lr, lesson.seed) == ("RSNA,APTOS", 6, 0, 0)
    and more_seeds > 0
)

# %% [markdown]
# ## Two kinds of switches
#
# Some settings shape the **training**: which distillation terms the loss has, the number of epochs, the seed. For each
# of their values somebody has to train. Others only say how a trained model is **read**: which residual makes the map,
# how supports are weighted, how many there are, maximum or mean. Those cost nothing but arithmetic.

# %% tags=["nbval-check-output"]
bench = d2.open_benchmark(lesson.data)
tested = {bench.resolve(name): bench[name] for name in names_of([tasks], list(bench))}
rest = bench.without(*tested)
weightings, sources, kinds = (
    ("learned", "mean", "nearest", "single"),
    ("ssd", "both", "tsd"),
    ("max", "mean"),
)
print("evaluated:", ", ".join(tested), "| trained on:", ", ".join(rest))
print("read at scoring:", ", ".join(d2.READ_AT_SCORING))
readings = len(weightings) * len(p.shots) * len(sources) * len(kinds)
print(
    f"{len(weightings)} weightings x {len(p.shots)} K x {len(sources)} map sources x "
    f"{len(kinds)} scores "
    f"= {readings} readings; x 3 trained models x {len(tested)} tasks = "
    f"{3 * readings * len(tested)} cells"
)

# %% [markdown]
# (The left-out tasks are left out **together**, so that one training run serves both. Notebook 09 leaves out one. RSNA
# has large lesions, APTOS small ones, see notebook 02.)
#
# ## Reading every cell at once
#
# Scoring each cell by itself would repeat nearly everything. Three facts save the work:
#
# - the teacher is frozen: its features of an image are the same for every model (`SharedTeacher`);
# - enlarging and blurring are linear (notebook 06), one matrix per level: $\tilde m = \sum_l P_l\, r_l\, P_l^\top$;
# - so the map of *both* residuals is the sum of two maps that are there already.

# %%
untrained = lesson.untrained().read_as("released")
S, sigma = untrained.config.image_size, untrained.config.blur_sigma
memory = lesson.shared_teacher(untrained)
drawn = {
    name: d2.draw_supports(len(task.train), max(p.shots), p.draws, lesson.seed)
    for name, task in tested.items()
}


def enlarge_and_blur(residual_map):
    """Residuals [N, H, W] of one level -> their part of the anomaly map [N, S, S]."""
    H = residual_map.shape[1]
    hat = np.clip(
        1 - np.abs(np.arange(S)[:, None] * (H - 1) / (S - 1) - np.arange(H)), 0, None
    )  # (S, H)
    P = torch.from_numpy(gaussian_filter1d(hat, sigma, axis=0, mode="reflect")).float()
    return P @ residual_map @ P.T


def ssd_map(reader, queries, bank):
    """The map of the residual to the supports, weighted as `reader` does it."""
    weights = [
        reader.weighting(*level) for level in zip(queries.student, bank.levels, bank.keys)
    ]  # L of (N, K)
    levels = zip(queries.student, bank.levels, weights)
    return sum(enlarge_and_blur(d2.residual(g, d2.fuse(s, w))) for g, s, w in levels)


def both_scores(maps):
    return {"max": maps.amax(dim=(1, 2)).numpy(), "mean": maps.mean(dim=(1, 2)).numpy()}


# %%
def read_batch(readers, queries, banks):
    """One batch of queries against D banks: {(weighting, source, score): [D, B]}."""
    tsd = sum(
        enlarge_and_blur(d2.residual(f, g)) for f, g in zip(queries.teacher, queries.student)
    )  # (B, S, S)
    cells = {}
    for kind, reader in readers.items():
        for bank in banks:
            ssd = ssd_map(reader, queries, bank)
            for source, m in (("ssd", ssd), ("both", ssd + tsd), ("tsd", tsd)):
                for score, values in both_scores(m).items():
                    cells.setdefault((kind, source, score), []).append(values)
    return {key: np.stack(values) for key, values in cells.items()}


# %%
@torch.no_grad()
def read(model, name, shots=p.shots, weightings=weightings, batch=64):
    """Every reading of a model on a task: {(weighting, K, source, score): [D, N]}."""
    task, parts = tested[name], {}
    unique, places = np.unique(drawn[name][:, : max(shots)], return_inverse=True)
    every = model.encode_supports(memory(task.train.images(S, unique)))
    places = places.reshape(-1, max(shots))  # (D, K)
    readers = {kind: model.read_as(weighting=kind) for kind in weightings}
    for start in range(0, len(task.test), batch):
        queries = model.encode_queries(memory(task.test.images(S, slice(start, start + batch))))
        for K in shots:
            banks = [every.select(row) for row in places[:, :K]]
            for (kind, source, score), values in read_batch(readers, queries, banks).items():
                parts.setdefault((kind, K, source, score), []).append(values)
    return {key: np.concatenate(values, axis=1) for key, values in parts.items()}


def aurocs(scores, labels):
    """AUROC of each row of scores [..., N] by counting pairs (notebook 09)."""
    positive, negative = (
        scores[..., labels == 1][..., :, None],
        scores[..., labels == 0][..., None, :],
    )
    return ((positive > negative) + 0.5 * (positive == negative)).mean(axis=(-2, -1))


# %% [markdown]
# Is that the package's arithmetic? Two cells against `DetectorVariant`, which reads a model by other switches and runs
# the ordinary evaluation; the proof needs no training.

# %%
first = next(iter(tested))
K = p.shots[len(p.shots) // 2]  # of all single comparisons below


def evaluated(scorer, name, shots=K):
    return d2.evaluate(
        scorer, tested[name], shots=shots, draws=p.draws, seed=lesson.seed, pixel=False
    )


mine = read(untrained, first, shots=(K,), weightings=("learned", "nearest"))
for kind, source, score in (("learned", "ssd", "max"), ("nearest", "both", "mean")):
    view = d2.DetectorVariant(
        untrained,
        "view",
        teacher=memory,
        maps=False,
        weighting=kind,
        map_source=source,
        image_score=score,
    )
    theirs = evaluated(view, first).scores
    same(f"{kind}, {source}, {score}", mine[kind, K, source, score], theirs, rtol=1e-4, atol=1e-5)

# %% [markdown]
# ## Train, and look at the noise first
#
# Three models: both terms, weighted as the profile says; the teacher-student term alone
# ($\mathcal{L} = \mathcal{L}_\mathrm{TSD}$); the self-distillation term alone
# ($\mathcal{L} = \mathcal{L}_\mathrm{SSD}$). And the whole method again with another seed: same images, same settings,
# other initial weights and episodes. Each is trained once and kept, for the same few epochs, so that they can be
# compared with each other. All cells below come from the last epoch.

# %%
TERMS = {
    "TSD + SSD": {},
    "TSD only": {"lambda_tsd": 1.0, "lambda_ssd": 0.0},
    "SSD only": {"lambda_tsd": 0.0, "lambda_ssd": 1.0},
}
OWN_MAP = {"TSD + SSD": "ssd", "TSD only": "tsd", "SSD only": "ssd"}  # what each would be used with
runs = [(name, lesson.seed) for name in TERMS] + [
    ("TSD + SSD", lesson.seed + 1 + i) for i in range(more_seeds)
]
trained = {
    (name, run_seed): lesson.detector(
        rest, None, shots=p.train_shots or K, seed=run_seed, **TERMS[name]
    )
    for name, run_seed in runs
}
models = {name: trained[name, lesson.seed][0].read_as("released") for name in TERMS}
curve = pd.concat(
    [
        history.to_frame().assign(terms=name, seed=run_seed)
        for (name, run_seed), (_, history) in trained.items()
    ],
    ignore_index=True,
)


# %%
def own_auroc(model, where, source):
    """AUROC of each draw, read by the map that the model would be used with."""
    scores = read(model, where, (K,), ("learned",))["learned", K, source, "max"]
    return aurocs(scores, tested[where].test.labels)  # (D,)


watched = [("untrained", lesson.seed, untrained, "ssd")]
watched += [
    (name, run_seed, model.read_as("released"), OWN_MAP[name])
    for (name, run_seed), (model, _) in trained.items()
]
spread = pd.DataFrame(
    [
        {
            "terms": name,
            "seed": run_seed,
            "task": where,
            "AUROC": own_auroc(model, where, source).mean(),
        }
        for name, run_seed, model, source in watched
        for where in tested
    ]
)

# %%
fig = d2.terms_figure(curve, spread, f"K = {K}, {p.draws} draws")
lesson.save_figure(fig, "terms_and_seeds")
d2.show_figure(fig, "both losses of each training over the epochs, and the image AUROC of each")
method = (
    spread[spread["terms"] == "TSD + SSD"].groupby("task", sort=False)["AUROC"].agg(["min", "max"])
)
print(
    "the whole method, over seeds:",
    "; ".join(f"{where} {row['min']:.2f} to {row['max']:.2f}" for where, row in method.iterrows()),
)

# %% [markdown]
# The two blue lines are one and the same method. The distance of their results is what the seed does, and no interval
# below knows of it: those hold the trained model fixed. A difference between two models that is smaller than the
# distance between two seeds of one says nothing.
#
# Where SSD is trained alone, it goes to nearly zero while TSD stays where it began: the student makes all normal images
# alike, and learns nothing of the teacher. The teacher-student term alone brings TSD down.
#
# ## The grid

# %%
cells = {}
for name, model in models.items():
    for where in tested:
        cells |= {(name, where, *key): scores for key, scores in read(model, where).items()}
grid = pd.DataFrame(
    [
        (*key, float(aurocs(scores, tested[key[1]].test.labels).mean()))
        for key, scores in cells.items()
    ],
    columns=["terms", "task", "weighting", "K", "map", "score", "AUROC"],
)
wide = grid.pivot_table(
    index=["terms", "map", "score"], columns=["weighting", "K"], values="AUROC", sort=False
)
wide = wide.loc[
    [(t, m, s) for t in TERMS for m in sources for s in kinds],
    [(w, k) for w in weightings for k in p.shots],
]


# %% tags=["nbval-check-output"]
def all_equal(a, b):
    return bool(np.allclose(a, b, rtol=1e-5, atol=1e-6))


for name in models:
    of = {key[2:]: scores for key, scores in cells.items() if key[:2] == (name, first)}
    single = all(
        all_equal(of["single", k, "ssd", "max"], of["single", p.shots[0], "ssd", "max"])
        for k in p.shots
    )
    tsd = [of[kind, k, "tsd", "max"] for kind in weightings for k in p.shots]
    print(
        f"{name:9s}: 'single' the same for K = {', '.join(map(str, p.shots))}: {single}; "
        f"TSD map the same for all {len(tsd)} choices of supports: "
        f"{all(all_equal(x, tsd[0]) for x in tsd)}"
    )

# %% [markdown]
# Two rows of the table need no statistics: the map of the TSD residual has never seen a support, and *single* takes the
# first one, however many there are. Whatever differs there would be a bug.

# %%
count = f"{3 * readings} readings of three models"
fig = d2.grid_figure(wide, f"{count}, mean over {', '.join(tested)} and {p.draws} draws")
lesson.save_figure(fig, "grid")
d2.show_figure(fig, "image AUROC of every reading: training, map and score by weighting and K")

# %% [markdown]
# Purple and orange are the two sides of chance. Before you look for the darkest cell: look at how much **neighbours**
# differ, and at the distance between the seeds above. Look at the rows of the TSD map too: a student that draws a
# lesion of an unseen task no worse than its healthy tissue has a residual that does not point at it. Whether it does
# may differ from task to task and from one training to the next.
#
# ## Beside methods without any learning
#
# The same draws, the same images. `matched` compares each position of the teacher's maps with all positions of the
# supports, and so does *nearest patch*, with patches and a score as PatchCore has them; *mean feature* compares one
# vector per image; the *untrained* student has learned nothing; the *shortcut* is the best of many trivial statistics
# such as brightness, its sign chosen on the test labels, an upper bound on what such a statistic gives away. A method
# that does not pass it has shown nothing on that task.


# %%
def from_cells(name, where, label, kind="learned", shots=K, source=None, score="max"):
    """A cell of the grid as a report: the package's report with these scores."""
    view = d2.DetectorVariant(models[name], label, teacher=memory, maps=False)
    if (where, shots) not in frames:
        frames[where, shots] = evaluated(view, where, shots)
    scores = cells[name, where, kind, shots, source or OWN_MAP[name], score]
    return replace(frames[where, shots], method=label, scores=scores.astype(np.float64))


# %%
trainings = {  # label -> terms of the loss
    "D²4FAD": "TSD + SSD",
    "trained with TSD only": "TSD only",
    "trained with SSD only": "SSD only",
}
others = (
    d2.UntrainedStudent(models["TSD + SSD"], teacher=memory, maps=False),
    d2.DetectorVariant(untrained, "matched", teacher=memory, maps=False, reading="matched"),
    d2.NearestPatch(memory, maps=False),
    d2.MeanFeature(memory),
)
frames, comparisons = {}, {}
for where, task in tested.items():
    reports = {label: from_cells(terms, where, label) for label, terms in trainings.items()}
    reports |= {scorer.name: evaluated(scorer, where) for scorer in others}
    comparisons[where] = d2.Comparison(reports, d2.shortcut_reports(task, reports["D²4FAD"], S))

# %%
same(
    "the first report",
    from_cells("TSD + SSD", first, "D²4FAD").scores,
    frames[first, K].scores,
    rtol=1e-4,
    atol=1e-5,
)
table = pd.concat(
    {where: c.to_frame(every_shortcut=False) for where, c in comparisons.items()},
    names=["task", None],
)
table = table.reset_index("task").reset_index(drop=True)
print(f"K = {K}, {p.draws} draws")
table[["task", "method", "AUROC", "low", "high", "over shortcut"]].round(3)

# %% [markdown]
# ## In pairs
#
# Two overlapping intervals do not mean that two methods are equal: both were scored on the **same** images with the
# **same** supports, so most of what moves one moves the other too. What counts is the interval of the *difference*,
#
# $$\Delta = \frac1D \sum_d \big(\mathrm{AUROC}_d^{A} - \mathrm{AUROC}_d^{B}\big),$$
#
# by resampling draws and images (patients, where known) for both at once. By hand, the difference itself:

# %%
PAIRS = {
    "both terms - TSD only": (("TSD + SSD",), ("TSD only",)),
    "both terms - SSD only": (("TSD + SSD",), ("SSD only",)),
    "weights: learned - mean": (("TSD + SSD",), ("TSD + SSD", "mean")),
    "weights: learned - nearest": (("TSD + SSD",), ("TSD + SSD", "nearest")),
    f"K: {p.shots[-1]} - {p.shots[0]}": (
        ("TSD + SSD", "learned", p.shots[-1]),
        ("TSD + SSD", "learned", p.shots[0]),
    ),
    "map: both - SSD": (("TSD + SSD", "learned", K, "both"), ("TSD + SSD",)),
    "score: max - mean": (("TSD + SSD",), ("TSD + SSD", "learned", K, "ssd", "mean")),
}
pairs = {}
for where, comparison in comparisons.items():
    for label, settings in PAIRS.items():
        a, b = (from_cells(s[0], where, "+".join(map(str, s)), *s[1:]) for s in settings)
        pairs[label, where] = d2.compare_paired(a, b)
    ours = comparison.methods["D²4FAD"]
    for other in ("untrained student", "nearest patch, max"):
        pairs[f"D²4FAD - {other}", where] = d2.compare_paired(ours, comparison.methods[other])
    pairs["D²4FAD - best shortcut", where] = d2.compare_paired(ours, comparison.best_shortcut)

# %%
labels = tested[first].test.labels
a, b = (
    aurocs(cells["TSD + SSD", first, kind, K, "ssd", "max"], labels) for kind in ("learned", "mean")
)  # (D,)
same(
    "difference learned - mean", (a - b).mean(), pairs["weights: learned - mean", first].difference
)

# %%
fig = d2.pairs_figure(pairs, "What the grid can tell, pair by pair")
lesson.save_figure(fig, "pairs")
d2.show_figure(fig, "differences of AUROC with 95 % intervals, pair by pair and task by task")


# %%
def verdict(pair):
    return (
        "the first is better"
        if pair.low > 0
        else "the second is better"
        if pair.high < 0
        else "cannot tell"
    )


# %%
paired = pd.DataFrame(
    [
        {
            "comparison": label,
            "task": where,
            "difference": x.difference,
            "low": x.low,
            "high": x.high,
            "p": x.p,
            "reads as": verdict(x),
        }
        for (label, where), x in pairs.items()
    ]
)
clear = int((paired["reads as"] != "cannot tell").sum())
print(
    f"{clear} of {len(paired)} intervals leave zero out; were nothing different at all, "
    f"about {0.05 * len(paired):.1f} would do so by chance"
)
paired.round(3)

# %% [markdown]
# **How to read this table.** *Cannot tell* is not *no effect*: with so few test images only large effects can show.
# Where an interval leaves zero out, ask three things before you believe it. Does the other task agree? Is the
# difference larger than what another seed did to the same method? And how many comparisons were made: the line above
# the table says how many would look clear by chance. What passes all three on these samples is a reason to look at real
# data, no more. And what does not pass is no reason to claim that the part helps, whatever a paper says.
#
# ## From `released` to `matched`, step by step
#
# The grid moves switches of the student's map, and none of its cells reaches `matched` in the mean of both tasks. That
# reading changes four more switches, all of them at scoring. One at a time, each on top of those before it:

# %%
STEPS = {
    "released, trained": {},
    "released, untrained": {},
    "+ the teacher's features": {"compare_in": "teacher"},
    "+ best support per position": {"matching": "nearest"},
    "+ positions up to 1/16 away": {"match_radius": 1 / 16},
    "+ positions anywhere": {"match_radius": 1.0},
    "+ score: mean of the top 10 %": {"image_score": "top"},
}


# %%
ladder, changes = [], {}
for label, change in STEPS.items():
    changes |= change
    model = models["TSD + SSD"] if label == "released, trained" else untrained
    for where, task in tested.items():
        view = d2.DetectorVariant(model, label, teacher=memory, **changes)
        report = d2.evaluate(view, task, shots=K, draws=p.draws, seed=lesson.seed)
        ladder.append((label, where, report.auroc, report.pixel_auroc))
same(
    "the last step",
    report.scores,
    comparisons[where].methods["matched"].scores,
    rtol=1e-4,
    atol=1e-5,
)
ladder = pd.DataFrame(ladder, columns=["step", "task", "image AUROC", "pixel AUROC"])
steps = ladder.groupby("step", sort=False)[["image AUROC", "pixel AUROC"]].mean()

# %%
fig = d2.steps_figure(ladder, f"Steps to matched, K = {K}")
lesson.save_figure(fig, "steps_to_matched")
d2.show_figure(fig, "image and pixel AUROC of both tasks, step by step from released to matched")
steps.round(3)

# %% [markdown]
# ## The best of many cells
#
# Reporting the best cell of a grid is choosing on the test set. How much does that gain? Split the test images in two
# halves, choose the best cell on one, read it on the other; forty random splits.


# %%
def chosen_and_held_out(where, splits=40):
    """Mean AUROC of all cells, of the best where it was chosen, and of it on the other half."""
    labels = tested[where].test.labels
    scores = np.stack([s for key, s in cells.items() if key[1] == where])  # (cells, D, N)
    rng, rows = np.random.default_rng(lesson.seed), []
    for _ in range(splits):
        half = np.zeros(len(labels), bool)
        for kind in (0, 1):
            members = rng.permutation(np.flatnonzero(labels == kind))
            half[members[: len(members) // 2]] = True
        seen, unseen = (
            aurocs(scores[..., part], labels[part]).mean(axis=1) for part in (half, ~half)
        )  # (cells,)
        rows.append((seen.mean(), seen.max(), unseen[seen.argmax()]))
    return np.mean(rows, axis=0)


luck = {where: chosen_and_held_out(where) for where in tested}
for where, (mean, best, held) in luck.items():
    print(
        f"{where}: all cells {mean:.3f}; the best cell {best:.3f} where it was chosen, "
        f"{held:.3f} on the other half"
    )

# %%
fig = d2.winners_curse_figure(luck, grid)
lesson.save_figure(fig, "winners_curse")
d2.show_figure(
    fig, "the best cell where it was chosen and on the other half; all cells on both tasks"
)

# %% [markdown]
# If settings had a quality of their own, the dots on the right would lie along a rising line: what is good for one task
# would be good for the other. How far they do is the honest answer to "which setting should I take?".
#
# ## What this lesson claims
#
# The cells fail where the sentences of this lesson are no longer true of the shipped samples: the losses and the seeds,
# the steps to `matched`, the comparisons.

# %%
if as_shipped:
    losses = curve[curve["seed"] == lesson.seed].groupby("terms")[["loss_tsd", "loss_ssd"]]
    begin, end = losses.first(), losses.last()
    left = end / begin  # share of each loss that the training leaves
    assert end["loss_ssd"]["SSD only"] < 0.1 and left["loss_tsd"]["SSD only"] > 0.8, "SSD collapses"
    assert left["loss_tsd"]["TSD only"] < 0.7
    assert (method["max"] - method["min"]).max() > 0.05, "two seeds of one method differ"

# %%
if as_shipped:
    image, pixel = steps["image AUROC"], steps["pixel AUROC"]
    moved = image.diff()
    assert pixel["+ the teacher's features"] > pixel["released, untrained"] + 0.15
    assert moved["+ best support per position"] > 0.05
    assert moved["+ positions up to 1/16 away"] > 0.05
    assert image.iloc[-1] > max(0.95, wide.max().max()), "no cell of the grid reaches matched"
    assert moved["released, untrained"] > -0.05, "training tells images apart hardly better"

# %%
if as_shipped:
    assert all(pairs["D²4FAD - nearest patch, max", where].difference < 0 for where in tested)
    assert np.mean([best - other_half for _, best, other_half in luck.values()]) > 0.01
    assert len(grid) == 432
print("as the text says" if as_shipped else "other settings than the text's: nothing compared")

# %% [markdown]
# ## What you saw
#
# - Few switches need training: the 432 cells are read from three trained models.
# - One method moves from seed to seed, by more than 0.05 on at least one of the tasks. That distance is the unit in
#   which differences between methods must be measured.
# - SSD alone collapses and teaches nothing about the teacher; TSD alone lowers TSD. That says nothing yet about what
#   the map is worth on a task that it has not seen: look at its rows in the table.
# - In the mean of both tasks the trained method tells images apart hardly better than its untrained twin, if at all. On
#   each of them it stays below the nearest patch, which learns nothing.
# - What leads from `released` to `matched` is not training: the teacher's own maps bring the pixel AUROC, and the
#   freedom to look for the counterpart of a position in any support, and up to 1/16 of the side away, the image AUROC.
# - The best cell of a grid loses on images that did not choose it, and no cell reaches `matched`.
#
# **What to question:** the steps to `matched` were taken in one order and have no intervals; in another order the same
# switch may bring more or less. The readings share one trained model per row, so the cells are far from independent;
# the grid looks richer than it is. Six epochs on a few synthetic images show *how* to ask, and their answers hold for
# nothing else. And an ablation can only find what its authors thought of removing.
#
# ## Check yourself
#
# 1. Which switches need a training run of their own, and why not the others?
# 2. Why is the map of *both* residuals free, once the other two are there?
# 3. What does the distance between the two seeds mean for the differences in the grid?
# 4. Two intervals overlap widely, yet the paired interval leaves out zero. How can that be?
# 5. What happens to the best cell on images that did not choose it, and why?
#
# The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`.

# %% [markdown]
# ## Exercises
#
# Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`.
#
# **1.** The **main effect** of a switch: the mean AUROC for each of its values, over all other settings. Compute it
# from the rows whose map looks at supports, that is, without map "tsd".


# %% tags=["exercise"]
# grid: DataFrame with the columns map, AUROC and the switch -> means, values in alphabetical order
def main_effect(grid, switch): ...  # your turn


lesson.check(1, main_effect)

# %% [markdown]
# **2.** A cheap look at a pair before any bootstrap: in which share of the draws does the first beat the second, ties
# counted half?


# %% tags=["exercise"]
# scores [D, N] twice, labels [N] -> a number in 0..1
def share_of_draws_won(first, second, labels): ...  # your turn


lesson.check(2, share_of_draws_won)

# %%
lesson.finish(
    {
        "headline": f"from released ({steps['image AUROC'].iloc[0]:.2f} trained) to matched "
        f"({steps['image AUROC'].iloc[-1]:.2f}) no step is training; {clear} of {len(paired)} "
        "paired intervals "
        f"leave zero out ({lesson.data_kind})",
        "tables": {
            "Methods and the best shortcut": table.drop(columns=["kind", "note"]).round(3),
            "From released to matched": steps.round(3).reset_index(),
            "Pairs": paired.round(4),
            "Seeds": spread.round(4),
            "Epochs": curve[["terms", "seed", "epoch", "loss_tsd", "loss_ssd"]].round(4),
            "Grid": grid.round(4),
        },
    },
    verdict=f"from the released reading ({steps['image AUROC'].iloc[0]:.2f}) to matched "
    f"({steps['image AUROC'].iloc[-1]:.2f}) the gain comes from reading the teacher, and {clear} "
    f"of {len(paired)} "
    f"paired intervals leave zero out ({lesson.data_kind}).",
)
