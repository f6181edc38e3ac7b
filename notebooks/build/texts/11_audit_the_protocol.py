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
# - what a test-chosen epoch adds to a result, beside the honest readings of the same run;
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
epochs: int = 10  # of the training run that is read in five ways; 0: the profile's
lr: float = 0.0  # learning rate of that run; 0: the profile's

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter, gaussian_filter1d

import d24fad_lite as d2
from d24fad_lite.lessons import ANOMALOUS, COLORS, NORMAL, same, start_lesson

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
rows, reports = [], {}
for name, some_task in bench.items():
    for protocol in ("per-image", "official"):
        report = d2.evaluate(
            untrained,
            some_task,
            shots=K,
            draws=p.draws,
            seed=lesson.seed,
            protocol=protocol,
            pixel=False,
        )
        reports[name, protocol] = report
        low, high = report.ci
        rows.append(
            {
                "task": name,
                "protocol": protocol,
                "AUROC": report.auroc,
                "low": low,
                "high": high,
                "images": len(report.labels),
            }
        )
table = pd.DataFrame(rows)
table.round(3)

# %%
fig, ax = plt.subplots(figsize=(8.5, 3.6))
for offset, (protocol, color, mark) in enumerate(
    (("per-image", NORMAL, "o"), ("official", ANOMALOUS, "s"))
):
    part = table[table["protocol"] == protocol]
    x = np.arange(len(part)) + 0.22 * (offset - 0.5)
    label = ("each image by itself", "blurred across a class-sorted batch (LEAK)")[offset]
    ax.errorbar(
        x,
        part["AUROC"],
        [part["AUROC"] - part["low"], part["high"] - part["AUROC"]],
        fmt=mark,
        color=color,
        capsize=4,
        label=label,
    )
ax.axhline(0.5, color="#55585c", ls=":", lw=1.2)
ax.set(
    xticks=range(len(bench)),
    xticklabels=list(bench),
    ylim=(0, 1.04),
    ylabel="image AUROC",
    title=f"The same untrained network, scored in two ways (K = {K}, {p.draws} draws)",
)
ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
lesson.save_figure(fig, "untrained_two_protocols")
plt.show()

# %% [markdown]
# The leak is no free gift of good results: it **amplifies** whatever average difference there is between the
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
# With $\sigma = 4$ and batches of 16 that is an average over about half of the batch. The loader is sorted by class, so
# the neighbours share the label. Let us build it by hand.


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


# %%
fig, axes = plt.subplots(1, 2, figsize=(11, 3.4), sharey=True)
for ax, blur in zip(axes, ("each image by itself", "blurred along the batch (LEAK)")):
    for x, company in enumerate((normal, bad)):
        for color, members, label in (
            (NORMAL, normal[:8], "normal image"),
            (ANOMALOUS, bad[:8], "anomalous image"),
        ):
            alone = [gaussian_filter(raw[i], sigma=4.0).max() for i in members]
            values = (
                alone
                if ax is axes[0]
                else [in_company(i, np.setdiff1d(company, [i])) for i in members]
            )
            ax.plot(
                np.full(len(values), x) + (0.12 if color == ANOMALOUS else -0.12),
                values,
                "o",
                color=color,
                alpha=0.75,
                label=label if x == 0 else None,
            )
    ax.set(
        xticks=(0, 1),
        xticklabels=("among normal\nimages", "among anomalous\nimages"),
        title=blur,
        xlim=(-0.5, 1.5),
    )
axes[0].set_ylabel("image score")
axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
lesson.save_figure(fig, "company")
plt.show()

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
fig, ax = plt.subplots(figsize=(8.5, 3.2))
for (way, values), color in zip(tossed.items(), (NORMAL, ANOMALOUS)):
    ax.hist(values, bins=np.linspace(0, 1, 26), color=color, alpha=0.65, label=way)
ax.set(
    xlabel=f"image AUROC of tossed labels, {close.name}, {len(spare)} normal images, untrained "
    "network",
    ylabel="of 200 tosses",
)
ax.margins(y=0.3)  # room for the legend
ax.legend(loc="upper center", ncols=2)
lesson.save_figure(fig, "tossed_labels")
plt.show()

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
# maximum of noisy numbers is higher than any of them deserves. Here is one run of the released reading with the
# profile's teacher, read in five ways; only the first two are honest.

# %%
model = d2.D24FAD(lesson.config(**d2.READINGS["released"]))
optimism = d2.optimism_report(
    model,
    bench.without(task),
    close,
    d2.fit,
    shots=K,
    epochs=p.epochs,
    draws=p.draws,
    seed=lesson.seed,
    lr=p.lr,
    lr_schedule=p.lr_schedule,
    batch_size=p.batch_size,
    episodes=p.episodes,
    precision=p.precision,
    device=lesson.device,
    progress=False,
)
frame, by_epoch = optimism.to_frame(), optimism.curve_frame()
print(
    "AUROC after each epoch, per image:",
    ", ".join(f"{value:.2f}" for value in by_epoch["per image"]),
)
frame[["reading", "honest", "epoch", "AUROC", "low", "high", "optimism"]].round(3)

# %%
fig, axes = plt.subplots(1, 2, figsize=(11.5, 3.4), gridspec_kw={"width_ratios": [1, 1.1]})
for column, color, mark in (("per image", NORMAL, "o"), ("official", ANOMALOUS, "s")):
    axes[0].plot(by_epoch["epoch"], by_epoch[column], mark + "-", color=color, label=column)
axes[0].set(
    xlabel="epoch",
    ylabel="image AUROC",
    ylim=(0.4, 1.02),
    title=f"{close.name}, K = {K}, every epoch",
)
axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
y = np.arange(len(frame))[::-1]
for i, row in frame.iterrows():
    color = NORMAL if row["honest"] == "yes" else ANOMALOUS
    axes[1].errorbar(
        row["AUROC"],
        y[i],
        xerr=[[row["AUROC"] - row["low"]], [row["high"] - row["AUROC"]]],
        capsize=4,
        color=color,
        fmt="o" if row["honest"] == "yes" else "X",
        ms=8,
    )
axes[1].axvline(frame["AUROC"][0], color=COLORS[0], ls=":", lw=1.2)
axes[1].set(
    yticks=y,
    xlabel="image AUROC, 95 % interval",
    title="One training run, five readings",
    xlim=(0, 1.02),
    ylim=(-0.5, len(frame) - 0.5),
)
axes[1].set_yticklabels([name.replace(", ", ",\n", 1) for name in frame["reading"]], fontsize=9)
lesson.save_figure(fig, "five_readings")
plt.show()

# %% [markdown]
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

# %%
wide = table.pivot(index="task", columns="protocol", values="AUROC").loc[list(bench)]
as_shipped = (
    lesson.root is None
    and p.name == "quick"
    and p.teacher == "tf_efficientnet_lite0"
    and task == "BrainTumor"
    and epochs == 10
    and not lr
)
if as_shipped:
    assert wide["official"].mean() > wide["per-image"].mean() + 0.1, (
        "an untrained network gains by the leak alone"
    )
    assert share[16] / share.sum() < 0.11
    assert (
        extreme["each image by itself"] < 0.02 and extreme["blurred along the batch (LEAK)"] > 0.15
    )
    assert of_leaky.leaks and not of_honest.leaks
    assert frame["AUROC"][4] > frame["AUROC"][0] + 0.03, (
        "leak and choice of the epoch look like a better method"
    )
    assert frame["AUROC"][2] >= frame["AUROC"][:2].max()
print("as the text says" if as_shipped else "other settings than the text's: nothing compared")

# %% [markdown]
# ## What you saw
#
# - A filter along the batch axis, over batches sorted by class, lets every image vote on its neighbours' label. An
#   untrained network gains more than 0.1 of mean AUROC by it, and labels tossed by a coin reach AUROCs above 0.9.
# - An image's score must be the same alone and in any company. That is a test of three lines, and it needs no access to
#   code.
# - The best epoch on the test set is a choice made by the test set: it is never below the honest readings of the same
#   run, whatever the method. Exchange the labels, and the choice moves.
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
        "one training "
        f"run: {frame['AUROC'][0]:.2f} honest, {frame['AUROC'][4]:.2f} with the leak and the "
        "best epoch",
        "tables": {
            "Untrained network, two protocols (the second one leaks)": wide.round(3).reset_index(),
            "One training run, five readings": frame.drop(columns=["K", "draws"]).round(3),
        },
    },
    verdict=f"an untrained network reaches a mean AUROC of {wide['per-image'].mean():.2f} per "
    "image and "
    f"{wide['official'].mean():.2f} with the leaky protocol, on the same maps "
    f"({lesson.data_kind}).",
)
