# %% [markdown]
# # 11 · Audit the protocol
#
# A network that has learned **nothing** can reach a high AUROC. All it takes is an evaluation in which an image's score
# depends on the images that happen to stand beside it, and a test loader that is sorted by class. Published code of
# this method has both. This notebook rebuilds that evaluation, runs an untrained network through it, takes the fault
# apart, and then hands any scorer to an audit that looks for this and for other ways of fooling oneself.
#
# **You will learn**
# - how a Gaussian filter along the wrong axis becomes an oracle of the label;
# - to test any scorer for it without reading its code: score an image alone, then in company;
# - what a test-chosen epoch adds to a result, beside the honest readings of the same runs;
# - which leaks sit in the data themselves: names, sizes, copies, patients.
#
# **Needs:** CPU · about 45 s, 1.75 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of the untrained weights and the support draws
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
task: str = "BrainTumor"  # the task of the close look
teacher: str = ""  # timm name of the frozen network; empty: the profile's
weights: str = ""  # of the training: "imagenet", "embedded", "random", a file; empty: the profile's
epochs: int = 10  # of each training that is read in five ways; 0: the profile's
lr: float = 0.0  # learning rate of these trainings; 0: the profile's
more_runs: int = 2  # further trainings, with other seeds

# %% tags=["setup"]
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter, gaussian_filter1d

import d24fad_lite as d2
from d24fad_lite.lessons import same, start_lesson

lesson = start_lesson("11_audit_the_protocol", globals())
p = lesson.profile
K = 4

# %% [markdown]
# ## A network that knows nothing
#
# Teacher and student both have **random weights**. Whatever they score, they have learned from no image at all. Each
# task is scored twice: each image by itself (the kit's `protocol="per-image"`), and as the released code does it
# (`"official"`). Random filters are not blind: where an anomaly changes large parts of an image, they see that too.

# %%
untrained = lesson.untrained(weights="random").read_as("released")
bench = d2.open_benchmark(lesson.data)
how = {"shots": K, "draws": p.draws, "seed": lesson.seed, "pixel": False}
rows, reports = [], {}
for name, some_task in bench.items():
    for protocol in ("per-image", "official"):
        report = d2.evaluate(untrained, some_task, protocol=protocol, **how)
        reports[name, protocol] = report
        rows.append((name, protocol, report.auroc, *report.ci, len(report.labels)))
table = pd.DataFrame(rows, columns=["task", "protocol", "AUROC", "low", "high", "images"])
table.round(3)

# %%
title = f"The same untrained network, scored in two ways (K = {K}, {p.draws} draws)"
fig = d2.protocols_figure(table, title)
lesson.save_figure(fig, "untrained_two_protocols")
d2.show_figure(fig, "image AUROC of the untrained network on each task, with and without the leak")

# %% [markdown]
# The leak does not always help: it **amplifies** whatever average difference there is between the
# classes, in either direction, until it looks like knowledge about single images. Where the means do not differ it
# adds nothing, and where the normal images have the higher mean it pushes the AUROC below one half.
# Not every task gains by it: the maps are averaged, not the scores, and what lies at another place in each image is
# averaged away.
#
# ## How it works
#
# The released code smooths its anomaly maps with one call on the whole batch, `gaussian_filter(maps, sigma=4)`.
# The array is $[B, H, W]$, so sigma applies to the **batch axis** too: the map of image $b$ becomes a weighted mean of
# the maps of its neighbours,
#
# $$\tilde m_b = \sum_{b'} \frac{1}{Z}\, e^{-(b-b')^2 / 2\sigma^2}\,(G_\sigma * m_{b'}).$$
#
# With $\sigma = 4$ about three quarters of the weight lie on an image and its eight nearest neighbours in the batch of
# 16. The loader is sorted by class, so the neighbours share the label. Let us build it by hand.


# %%
def official_by_hand(raw_maps, labels, sigma=4.0, batch=16):
    """Raw maps [N, S, S] -> scores of the kept images, and their positions, as released."""
    order = np.argsort(labels, kind="stable")  # all normal images, then all anomalous ones
    kept = order[: len(order) // batch * batch]  # the last incomplete batch is dropped
    scores = [
        gaussian_filter(raw_maps[kept[i : i + batch]], sigma=sigma).max(
            axis=(1, 2)
        )  # the fault: axis 0 as well
        for i in range(0, len(kept), batch)
    ]
    scores = np.concatenate(scores)
    return (scores - scores.min()) / np.ptp(scores), kept  # scaled over the whole test set


# %%
close = bench[task]
supports = reports[close.name, "official"].supports[0]
bank = untrained.encode_supports(close.train.images(p.image_size, supports))
labels = close.test.labels
raw = np.concatenate(
    [
        untrained.raw_map(close.test.images(p.image_size, part), bank)
        for part in np.array_split(np.arange(len(labels)), 3)
    ]
)  # (N, S, S)
mine, kept = official_by_hand(raw, labels)
same(
    "official scores of draw 0",
    mine,
    reports[close.name, "official"].scores[0],
    rtol=1e-4,
    atol=1e-4,
)

# %% tags=["nbval-check-output"]
share = np.exp(-0.5 * (np.arange(-16, 17) / 4.0) ** 2)
print(f"weight of an image's own map in its blurred map: {100 * share[16] / share.sum():.0f} %")
print(
    f"dropped: {len(labels) - len(kept)} of {len(labels)} test images, all of them anomalous:",
    bool((np.delete(labels, kept) == 1).all()),
)

# %% [markdown]
# Nine tenths of a score come from other images. To see it, take **one** image and change only its company.

# %%
normal, bad = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)


def in_company(index, companions):
    """Score of one image in the middle of a batch of 16 that is blurred along the batch."""
    batch = np.stack([*raw[companions[:7]], raw[index], *raw[companions[7:15]]])
    return gaussian_filter(batch, sigma=4.0).max(axis=(1, 2))[7]


def by_itself(index, companions):
    return gaussian_filter(raw[index], sigma=4.0).max()


# %%
company = {"among normal\nimages": normal, "among anomalous\nimages": bad}
ways = {"each image by itself": by_itself, "blurred along the batch (LEAK)": in_company}
moved = {}
for way, score in ways.items():
    moved[way] = {}
    for name, others in company.items():
        groups = (normal[:8], bad[:8])
        scores = [[score(i, np.setdiff1d(others, [i])) for i in group] for group in groups]
        moved[way][name] = scores
fig = d2.company_figure(moved)
lesson.save_figure(fig, "company")
d2.show_figure(fig, "scores of the same images among normal and among anomalous images, both ways")

# %% [markdown]
# On the left nothing moves: an honest score does not know its company. On the right the company sets the score, and
# the image hardly matters.
#
# ## High AUROC out of nothing
#
# The clearest proof uses **no anomaly at all**. Take normal images only, call half of them "anomalous" by the toss of a
# coin, and sort by that label. There is nothing to detect, so an honest AUROC lies about one half. Under the leak the
# images of a batch share most of their score, and many AUROCs are thrown to one end or the other.

# %%
spare = np.setdiff1d(np.arange(len(close.train)), supports)[
    :32
]  # normal images that are no supports: two full batches
maps = untrained.raw_map(close.train.images(p.image_size, spare), bank).numpy()
maps = gaussian_filter(
    maps, sigma=(0, 4.0, 4.0)
)  # the honest part of the blur, once; the rest is along the batch
coins = np.random.default_rng([lesson.seed, 11])
tossed = {"each image by itself": [], "blurred along the batch (LEAK)": []}
for _ in range(200):
    order, half = coins.permutation(len(spare)), len(spare) // 2
    fake = np.arange(len(spare)) >= half  # sorted by the tossed label
    leaked = [
        gaussian_filter1d(maps[part], 4.0, axis=0).max(axis=(1, 2))
        for part in (order[:half], order[half:])
    ]
    for way, scores in zip(tossed, (maps[order].max(axis=(1, 2)), np.concatenate(leaked))):
        tossed[way].append(d2.image_auroc(fake, scores))

# %%
title = f"{close.name}: {len(spare)} normal images, untrained network"
fig = d2.tossed_labels_figure(tossed, title)
lesson.save_figure(fig, "tossed_labels")
d2.show_figure(fig, "how often which AUROC came out, with and without the leak")

# %%
extreme = {way: np.mean(np.abs(np.array(values) - 0.5) > 0.4) for way, values in tossed.items()}
for way, part in extreme.items():
    print(
        f"{way}: AUROC above 0.9 or below 0.1 in {100 * part:.0f} % of the tosses, highest "
        f"{max(tossed[way]):.2f}"
    )

# %% [markdown]
# The extreme tosses land near 0 or near 1, on data without a single anomaly. Whoever then reports the best of several
# runs, epochs or orders of files has a result.
#
# ## An audit without reading code
#
# The test above needs nothing but the scorer: a function `images -> scores`. `audit` does it in several ways (batch
# size, order, companions, padding, repetition, count), reads the data for labels in names, sizes and formats, and
# compares hashes and patients of both sides.

# %%
honest = d2.support_function(untrained, close, supports)


def leaky(images):
    maps = untrained.raw_map(images, bank).numpy()
    return gaussian_filter(maps, sigma=4.0).max(axis=(1, 2))


of_leaky = d2.audit(leaky, close, image_size=p.image_size, limit=12)
of_leaky

# %%
of_honest = d2.audit(honest, close, image_size=p.image_size, limit=12)
of_honest

# %% tags=["nbval-check-output"]
print("leaky scorer: ", ", ".join(f.check for f in of_leaky.leaks))
print("honest scorer:", ", ".join(f.check for f in of_honest.leaks) or "no leak found")

# %% [markdown]
# ## The best of many epochs
#
# The second fault needs no wrong axis: train for many epochs, evaluate each on the test set, and report the best. The
# maximum of numbers that go up and down is higher than any of them deserves. Here are three trainings of the released
# reading with the profile's teacher, which differ in their seed alone. Each is read in five ways; only the first two
# are honest. The second takes the epoch of lowest loss on normal images of the training tasks that were kept out of
# training; `optimism` is the AUROC less that of the first reading.

# %% tags=["lesson-only"]
settings = {"shots": K, "draws": p.draws, "device": lesson.device, "progress": False}
for name in ("epochs", "lr", "lr_schedule", "batch_size", "episodes", "precision"):
    settings[name] = getattr(p, name)
runs, rest = {}, bench.without(task)
for run_seed in range(lesson.seed, lesson.seed + 1 + more_runs):
    model = d2.D24FAD(lesson.config(seed=run_seed, **d2.READINGS["released"]))
    runs[run_seed] = d2.optimism_report(model, rest, close, d2.fit, seed=run_seed, **settings)

# %% tags=["lesson-only"]
frames = {seed: run.to_frame() for seed, run in runs.items()}
frame = pd.concat(frames, names=["seed", None]).reset_index("seed").reset_index(drop=True)
curves = pd.concat([run.curve_frame().assign(seed=seed) for seed, run in runs.items()])
by_reading = frame.groupby("reading", sort=False)
mean_of_runs = by_reading.agg({"honest": "first", "AUROC": "mean", "optimism": "mean"})
mean_of_runs["epochs"] = by_reading["epoch"].agg(list)
mean_of_runs.round(3)

# %% tags=["lesson-only"]
fig = d2.readings_figure(curves, frame, f"{close.name}, K = {K}, every epoch")
lesson.save_figure(fig, "five_readings")
d2.show_figure(fig, "AUROC of every epoch of three trainings, and the five readings of each")

# %% [markdown]
# Among many epochs there is always one that suits the test images. In every run it is an earlier one than the normal
# validation images choose, so nobody would stop there without having seen the test labels. This choice alone adds more
# than 0.05 to the mean AUROC. With the leak on top, a result little better than chance looks like a task that is nearly
# solved. (Whether an early epoch is better or only luckier cannot be told from the images that chose it; lessons 03 and
# 08 choose on one half and measure on the other.)
#
# Can the choice of an epoch be caught from outside? Yes: run the procedure again with the test labels exchanged. A
# procedure that does not look cannot notice.

# %% tags=["nbval-check-output"]
images = close.test.images(p.image_size, np.r_[normal[:8], bad[:8]])
pixel = [
    lambda x, c=c: (x[:, c].mean(dim=(1, 2)) if c < 3 else -x.mean(dim=(1, 2, 3))).numpy()
    for c in range(4)
]


def best_on_test(given):
    """Four silly scores stand for the epochs of a run; the best on the test set is kept."""
    shown = given.test.images(p.image_size)
    return max(pixel, key=lambda score: d2.image_auroc(given.test.labels, score(shown)))


def last_epoch(given):
    return pixel[-1]


for procedure in (best_on_test, last_epoch):
    report = d2.audit(pixel[-1], close, image_size=p.image_size, procedure=procedure, limit=8)
    print(f"{procedure.__name__}:", report.finding("test labels choose").verdict)

# %% [markdown]
# ## What this lesson claims
#
# The cell fails where the text is no longer true of the shipped samples.

# %% tags=["lesson-only"]
wide = table.pivot(index="task", columns="protocol", values="AUROC").loc[list(bench)]
settled = (lesson.root, p.name, p.teacher, task, epochs, lr, lesson.seed, more_runs)
shipped = (None, "quick", "tf_efficientnet_lite0", "BrainTumor", 10, 0, 0, 2)
as_shipped = settled == shipped
last, validated, oracle, _, both_faults = mean_of_runs["AUROC"]
if as_shipped:
    gained = (wide["official"] - wide["per-image"]).mean()
    assert gained > 0.1, "an untrained network gains by the leak alone"
    assert wide["per-image"].mean() > 0.55, "random filters are not blind"
    assert (wide["official"] < wide["per-image"]).any(), "not every task gains"
    assert share[16] / share.sum() < 0.11 and abs(share[12:21].sum() / share.sum() - 0.75) < 0.03
    scored_alone, in_batch = (np.array(list(by_company.values())) for by_company in moved.values())
    assert (scored_alone[0] == scored_alone[1]).all(), "company does not matter"
    by_company = np.abs(in_batch[1].mean() - in_batch[0].mean())  # (company, group, image)
    assert by_company > 2 * in_batch.std(axis=(1, 2)).max(), "the image hardly matters"
    alone, along = extreme.values()
    assert alone < 0.02 and along > 0.15
    assert of_leaky.leaks and not of_honest.leaks
    when = frame.pivot(index="reading", columns="seed", values="epoch").loc[mean_of_runs.index]
    assert (when.iloc[2] < when.iloc[1]).all(), "the test set chooses an earlier epoch"
    assert oracle > max(last, validated) + 0.05, "the choice of the epoch alone"
    assert last < 0.7 and both_faults > 0.85
print("as the text says" if as_shipped else "other settings than the text's: nothing compared")

# %% [markdown]
# ## What you saw
#
# - A filter along the batch axis, over batches sorted by class, lets every image vote on its neighbours' label. An
#   untrained network gains more than 0.1 of mean AUROC by it, and labels tossed by a coin reach AUROCs above 0.9.
# - An image's score must be the same alone and in any company. A short test shows whether it is, and needs no access to
#   the code.
# - The best epoch on the test set is a choice made by the test set. It is never below the honest readings of the same
#   run, whatever the method, and here more than 0.05 above them in the mean of three runs. Exchange the labels, and the
#   choice moves.
#
# **What to question:** the audit finds what it tries. A leak that it does not try (say, supports chosen by somebody who
# had seen the test images) stays invisible. And "no leak found" says nothing about whether the method is any good.
#
# ## Check yourself
#
# 1. Along which axis does the released filter blur, and why does sorting by class matter?
# 2. Why can the leak also push an AUROC below one half?
# 3. How does the audit find a dependence on other images without reading code?
# 4. Which of the five readings are honest, and what chose the epoch in each?
# 5. Why does exchanging the test labels reveal a test-chosen epoch?
#
# The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`.

# %% [markdown]
# ## Exercises
#
# Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`.
#
# **1.** Write the honest version: blur each map by itself, and take its maximum.


# %% tags=["exercise"]
# [N, S, S] -> [N]; gaussian_filter takes one sigma per axis
def honest_scores(raw_maps, sigma=4.0): ...  # your turn


lesson.check(1, honest_scores)

# %% [markdown]
# **2.** How much of the leak is the sorting? Put the images in another order before the leaky evaluation (batches of
# 16, blurred along all axes with sigma 4), and measure the AUROC of the maxima.


# %% tags=["exercise"]
# maps [N, S, S], labels [N], order [N] -> a number
def shuffled_auroc(raw_maps, labels, order): ...  # your turn


lesson.check(2, shuffled_auroc)

# %%
lesson.finish(
    {
        "headline": f"untrained network, mean AUROC over {len(bench)} tasks ({lesson.data_kind}): "
        f"{wide['per-image'].mean():.2f} per image, {wide['official'].mean():.2f} with the leak; "
        f"mean of {len(runs)} trainings: {last:.2f} honest, {both_faults:.2f} with the leak and "
        "the best epoch",
        "tables": {
            "Untrained network, two protocols (the second one leaks)": wide.round(3).reset_index(),
            "Trainings, five readings of each": frame.drop(columns=["K", "draws"]).round(3),
        },
    },
    verdict=f"an untrained network reaches a mean AUROC of {wide['per-image'].mean():.2f} per "
    "image and "
    f"{wide['official'].mean():.2f} with the leaky protocol, on the same maps "
    f"({lesson.data_kind}).",
)
