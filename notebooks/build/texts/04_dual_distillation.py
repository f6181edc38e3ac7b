# %% [markdown]
# # 04 · Dual distillation
#
# A teacher that was never trained on medical images knows edges, blobs and textures. A student learns to draw the
# teacher's features **from the teacher's own summary of the image**. The method of this kit compares the student twice:
# with the teacher on the query, and with itself on a few normal supports. This notebook builds both comparisons from
# nothing, trains the student, and measures what the training changes on a task that it has never seen.
#
# **You will learn**
# - how a student decoder is fed, and why the narrow embedding matters;
# - the two distillation losses, written by hand and equal to the package's;
# - what the two disagree about: flattened or pointwise cosine, and where gradients flow;
# - what training changes on an unseen task, what makes the second loss collapse, and what that does to the map.
#
# **Needs:** CPU · about 1.25 min, 1.5 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of initial weights and episodes
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
task: str = "APTOS"  # the task left out of training and looked at
contrast: str = "RSNA"  # a second task, left out of a training of its own
teacher: str = ""  # timm name of the frozen network; empty: the profile's
weights: str = ""  # "imagenet", "embedded", "random" or a file; empty: the profile's
reading: str = (
    ""  # of the map in the last part: "released", "paper", "matched"; empty: the profile's
)
epochs: int = 0  # of training; 0: the profile's
lr: float = 0.0  # learning rate; 0: the profile's
short_epochs: int = 10  # of the second training, with the released lambdas

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy.ndimage import binary_fill_holes

import d24fad_lite as d2
from d24fad_lite.lessons import ANOMALOUS, COLORS, NORMAL, same, start_lesson

lesson = start_lesson("04_dual_distillation", globals())
p = lesson.profile
as_shipped = (
    lesson.root is None
    and p.name == "quick"
    and p.teacher == "tf_efficientnet_lite0"
    and p.weights == "imagenet"
    and (task, contrast, lesson.seed) == ("APTOS", "RSNA", 0)
    and (epochs, lr, short_epochs) == (0, 0, 10)
    and p.reading == "released"
)


def picture(ax, image, mask=None, **options):
    """An image or a map without ticks, the lesion's outline on top."""
    ax.imshow(image, **options)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    if mask is not None and mask.any():
        ax.contour(mask, [0.5], colors=COLORS[5], linewidths=1.3)


# %% [markdown]
# ## One query and its supports
#
# A **query** $q$ is the image in question. The **supports** $s_1 \dots s_K$ are K normal images of the same kind. The
# model has never been trained on this kind of image.

# %%
bench = d2.open_benchmark(lesson.data)
held_out = bench[task]
K = 4
supports = held_out.train.images(p.image_size, range(K))  # (K, 3, S, S)
bad = np.flatnonzero(held_out.test.labels == 1)
rows = [0, 1, int(bad[0]), int(bad[1])]
queries = held_out.test.images(p.image_size, rows)  # (B, 3, S, S)
masks = held_out.test.masks(p.image_size, rows) if held_out.has_masks else [None] * len(rows)
colour = [NORMAL, NORMAL, ANOMALOUS, ANOMALOUS]

fig, axes = plt.subplots(1, K + len(rows), figsize=(12, 2.1))
for i, ax in enumerate(axes):
    picture(
        ax,
        (supports[i] if i < K else queries[i - K]).permute(1, 2, 0),
        None if i < K else masks[i - K],
    )
    name = f"support {i + 1}" if i < K else "query, normal" if i < K + 2 else "query, anomalous"
    ax.set_title(name, fontsize=9, loc="center", color=NORMAL if i < K else colour[i - K])
lesson.save_figure(fig, "query_and_supports")
plt.show()

# %% [markdown]
# ## Teacher and student
#
# The teacher $T$ is frozen. It gives three feature maps, fine to coarse, and an embedding:
# $T(x) \to [f_1, f_2, f_3],\, e$. The student $S$ is a residual network run backwards. It sees **only** $e$, and must
# produce maps $[g_1, g_2, g_3]$ of the same shapes. It cannot copy: $e$ is far smaller than what it has to predict.

# %% tags=["nbval-check-output"]
model = lesson.untrained(fusion="features").cpu()
with torch.no_grad():
    f, e = model.teacher(queries)  # L of (B, C_l, H_l, W_l), (B, C_e, H_e, W_e)
    g = model.student(e)  # L of (B, C_l, H_l, W_l)
for level, (teacher_map, student_map) in enumerate(zip(f, g), start=1):
    print(
        f"level {level}: teacher {tuple(teacher_map.shape[1:])}, student {tuple(student_map.shape[1:])}"
    )
numbers_out = sum(level[0].numel() for level in g)
print(
    f"embedding {tuple(e.shape[1:])}: {e[0].numel()} numbers in, {numbers_out} out, "
    f"a bottleneck of 1 : {numbers_out / e[0].numel():.0f}"
)

# %% [markdown]
# ## First distillation: the teacher, on the query
#
# Teacher-student distillation (TSD) compares directions, not lengths: per level, one minus the cosine between the two
# maps, each **flattened** to one long vector.
#
# $$\mathcal{L}_\mathrm{TSD} = \sum_l \frac1B \sum_b \Big[1 - \cos\big(\operatorname{vec} f_l(q_b),\;
# \operatorname{vec} g_l(q_b)\big)\Big]$$


# %%
def cosine(a, b):
    """Cosine of vectors [B, N], one per row."""
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))  # (B,)


def loss_tsd(f, g):
    return sum((1 - cosine(fl.flatten(1), gl.flatten(1))).mean() for fl, gl in zip(f, g))


with torch.no_grad():
    out_package = model(queries, supports)
same("TSD loss", loss_tsd(f, g), out_package.loss_tsd)

# %% [markdown]
# ## Second distillation: the student itself, on the supports
#
# The student also encodes the supports. Learn-to-weight gives each support a weight for this query (notebook 05 takes
# it apart), and the weighted sum $h_l = \sum_k w_k\, g_l(s_k)$ is what a normal image "should" look like at level $l$.
# Student self-distillation (SSD) pulls the query's features toward it:
#
# $$\mathcal{L}_\mathrm{SSD} = \sum_l \frac1B \sum_b \Big[1 - \cos\big(\operatorname{vec} g_l(q_b),\;
# \operatorname{vec} h_l\big)\Big], \qquad
# \mathcal{L} = \lambda_\mathrm{SSD}\,\mathcal{L}_\mathrm{SSD} + \lambda_\mathrm{TSD}\,\mathcal{L}_\mathrm{TSD}$$
#
# The released code has $\lambda_\mathrm{TSD} = 0.1$ and $\lambda_\mathrm{SSD} = 1$. The profile quick turns them
# round, 1 and 0.1. The second half of this notebook shows why.


# %%
def fuse(support_map, w):
    """h_l: supports [K, C, H, W] weighted with w [B, K] -> [B, C, H, W]."""
    return torch.einsum("bk,kchw->bchw", w, support_map)


def loss_ssd(g, g_supports, weights):
    h = [
        fuse(level, weights[:, i]) for i, level in enumerate(g_supports)
    ]  # L of (B, C_l, H_l, W_l)
    return sum((1 - cosine(gl.flatten(1), hl.flatten(1))).mean() for gl, hl in zip(g, h))


with torch.no_grad():
    g_supports = model.student(model.teacher(supports).embedding)  # L of (K, C_l, H_l, W_l)
mine = loss_ssd(g, g_supports, out_package.weights)
same("SSD loss", mine, out_package.loss_ssd)
same("total loss", p.lambda_ssd * mine + p.lambda_tsd * loss_tsd(f, g), out_package.loss)

# %% [markdown]
# Both losses of a student that has learned nothing yet. Each of the three levels adds 0 (equal directions) to 2
# (opposite ones), and 1 where the two have nothing to do with each other. TSD is close to 3: the random student does
# not resemble the teacher at all. SSD is small all the same: an untrained student maps all images of a task to similar
# features, so query and supports agree. **A small SSD alone proves nothing.**

# %% tags=["nbval-check-output"]
tsd_at_start, ssd_at_start = float(out_package.loss_tsd), float(out_package.loss_ssd)
print(f"untrained: TSD {tsd_at_start:.1f}, SSD {ssd_at_start:.1f}")
if as_shipped:
    assert tsd_at_start > 2.8 and ssd_at_start < 0.7, (tsd_at_start, ssd_at_start)

# %% [markdown]
# ## Flattened or pointwise
#
# The released code uses one cosine per level. The paper's text describes a cosine **per position**, averaged. They are
# not the same: in the flattened one, positions with long feature vectors dominate. Both are switches of the package.


# %%
def pointwise(a, b):
    """Mean over positions of 1 - cos over channels: [B, C, H, W] twice -> [B]."""
    lengths = a.norm(dim=1) * b.norm(dim=1)  # (B, H, W)
    return (1 - (a * b).sum(dim=1) / lengths.clamp(min=1e-8)).mean(dim=(1, 2))


with torch.no_grad():
    by_package = lesson.untrained(distance="pointwise").cpu()(queries, supports).loss_tsd
same("pointwise TSD", sum(pointwise(fl, gl).mean() for fl, gl in zip(f, g)), by_package)

# %% tags=["nbval-check-output"]
share = [
    (fl.norm(dim=1).flatten(1) ** 2).sort(dim=1, descending=True).values for fl in f
]  # L of (B, H_l W_l)
for level, s in enumerate(share, start=1):
    top = (s[:, : max(1, s.shape[1] // 10)].sum(dim=1) / s.sum(dim=1)).mean()
    print(
        f"level {level}: the 10 % longest feature vectors hold {100 * float(top):.0f} % of the squared length"
    )

# %% [markdown]
# ## Where the gradient goes
#
# The teacher must not move: it is the fixed ruler. In SSD the gradient flows into **both** sides, query and supports,
# since both are the student's own features. Only the student and learn-to-weight have parameters to learn. We count
# which parameters one backward pass reaches.

# %% tags=["nbval-check-output"]
learner = (
    lesson.untrained(fusion="features").cpu().train()
)  # a twin: batch norm in train mode would change the model
learner(queries, supports).loss.backward()


def learns(module):
    touched = sum(q.grad is not None and bool(q.grad.abs().sum() > 0) for q in module.parameters())
    return f"{touched} of {len(list(module.parameters()))} parameters have a gradient"


print("teacher:   ", learns(learner.teacher))
print("student:   ", learns(learner.student))
print("weighting: ", learns(learner.weighting))
print("teacher in eval mode although train() was called:", not learner.teacher.backbone.training)

# %% [markdown]
# The biases of learn-to-weight have no say: the same number is added to the score of every support, and the softmax
# does not see it. Their gradient is zero up to rounding, whatever the count above says.
#
# ## Train on the other tasks
#
# `fit` repeats this on **episodes**: a query and K supports of the same task, all normal, never the query itself
# (notebook 03). The task under test stays unseen. In full:
#
# ```python
# model = d2.D24FAD(lesson.config())  # teacher, image size and both lambdas of the profile
# history = d2.fit(model, bench.without(task), shots=K, epochs=p.epochs, lr=p.lr, lr_schedule=p.lr_schedule,
#                  batch_size=p.batch_size, episodes=p.episodes, seed=lesson.seed)
# ```
#
# `lesson.detector` does just that, keeps the result, and reads it when another lesson asks for the same training.

# %%
before = {name: t.clone() for name, t in model.teacher.state_dict().items()}
trained, history = lesson.detector(bench, task, fusion="features")
trained.cpu()
frame = history.to_frame()
print(
    f"{len(bench) - 1} tasks, {sum(len(t.train) for t in bench.without(task).values())} images, {p.epochs} epochs, "
    f"lr {p.lr} ({p.lr_schedule}), lambdas of TSD and SSD {p.lambda_tsd} : {p.lambda_ssd}, {p.episodes} episodes"
)
frame[["epoch", "loss", "loss_tsd", "loss_ssd"]].iloc[[0, len(frame) // 2, -1]].round(3)

# %% tags=["nbval-check-output"]
unchanged = all(torch.equal(t, before[name]) for name, t in trained.teacher.state_dict().items())
print("the teacher is unchanged to the last bit:", unchanged)
print("the loss went down:", bool(frame["loss"].iloc[-1] < frame["loss"].iloc[0]))
assert unchanged

# %% [markdown]
# ## On the unseen task
#
# Both losses on **all normal test images** of the task that was left out. Its images had no part in the training.

# %%
normal = torch.as_tensor(held_out.test.labels == 0)
images = held_out.test.images(p.image_size)  # (N, 3, S, S)


def losses(detector, normals, some_supports):
    """TSD and SSD of normal queries [N, 3, S, S], and the cosine of student and teacher per level."""
    with torch.no_grad():
        result = detector(normals, some_supports)
        f, e = detector.teacher(normals)
        agree = [
            float(cosine(a.flatten(1), b.flatten(1)).mean()) for a, b in zip(f, detector.student(e))
        ]
    return float(result.loss_tsd), float(result.loss_ssd), agree


unseen = {
    "untrained": losses(model, images[normal], supports),
    "trained": losses(trained, images[normal], supports),
}
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.2))
axes[0].semilogy(
    frame["epoch"], frame["loss_tsd"], color=COLORS[0], label="TSD: teacher, on the query"
)
axes[0].semilogy(
    frame["epoch"], frame["loss_ssd"], color=COLORS[4], label="SSD: itself, on the supports"
)
axes[0].set(xlabel="epoch", ylabel="loss, 3 levels", title="Training tasks")
axes[0].legend()
for i, (name, (_, _, agree)) in enumerate(unseen.items()):
    axes[1].bar(
        np.arange(len(agree)) + 0.36 * i - 0.18,
        agree,
        width=0.34,
        color=["#9aa0a6", COLORS[0]][i],
        label=name,
    )
axes[1].set(
    xticks=range(len(f)),
    xticklabels=[f"level {i + 1}" for i in range(len(f))],
    ylim=(None, 1),
    ylabel="cosine, student to teacher",
    title=f"{held_out.name}, unseen, normal images",
)
axes[1].legend()
lesson.save_figure(fig, "training")
plt.show()

# %%
(tsd_untrained, ssd_untrained, _), (tsd_trained, ssd_trained, _) = unseen.values()
fall_tsd, fall_ssd = 1 - tsd_trained / tsd_untrained, 1 - ssd_trained / ssd_untrained
print(
    f"{held_out.name}, {int(normal.sum())} normal images: TSD {tsd_untrained:.2f} -> {tsd_trained:.2f} "
    f"(falls by {100 * fall_tsd:.0f} %), SSD {ssd_untrained:.2f} -> {ssd_trained:.3f} (by {100 * fall_ssd:.0f} %)"
)
if as_shipped:
    assert fall_tsd > 1 / 3, f"TSD falls by {fall_tsd:.2f} only"
    assert 0.03 < ssd_trained / ssd_untrained < 0.7, "SSD collapsed, or did not fall"

# %% [markdown]
# On APTOS, TSD falls by more than a third (to less than half): the student draws features of a kind of image that it
# has not been trained on. SSD falls too, to less than six tenths, and stays away from zero.
#
# How far this carries depends on the other tasks. APTOS is a fundus, and so is LAG, which is among its training tasks.
# A chest X-ray resembles none of the other four. The same training with RSNA left out:

# %%
if contrast in bench and contrast != task:
    far = bench[contrast]
    far_normals = far.test.images(p.image_size, np.flatnonzero(far.test.labels == 0))
    far_supports = far.train.images(p.image_size, range(K))
    far_trained = lesson.detector(bench, contrast, fusion="features")[0].cpu()
    a, b = (losses(m, far_normals, far_supports)[0] for m in (model, far_trained))
    print(
        f"{far.name}, {len(far_normals)} normal images: TSD {a:.2f} -> {b:.2f} (falls by {100 * (1 - b / a):.0f} %)"
    )
    if as_shipped:
        assert 1 - b / a < fall_tsd - 0.1, "RSNA is drawn nearly as well as APTOS"

# %% [markdown]
# A student of four tasks learns these four and what resembles them, not "medical images".
#
# ## The released lambdas, at the same rate
#
# Now a short training with the released weights of the losses, 0.1 for TSD and 1 for SSD; everything else is as above.
# The figure shows both losses as a share of their value before training, on the training tasks.

# %%
collapsed, short = lesson.detector(
    bench, task, fusion="features", epochs=short_epochs, lambda_tsd=0.1, lambda_ssd=1.0
)
collapsed.cpu()
with torch.no_grad():
    parts = [
        model(t.train.images(p.image_size, range(K, 2 * K)), t.train.images(p.image_size, range(K)))
        for t in bench.without(task).values()
    ]
start = {c: float(np.mean([getattr(o, c) for o in parts])) for c in ("loss_tsd", "loss_ssd")}
runs = {
    f"TSD {p.lambda_tsd:g} : SSD {p.lambda_ssd:g}": frame,
    "TSD 0.1 : SSD 1 (released)": short.to_frame(),
}
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.2), sharey=True)
for ax, (name, some_frame) in zip(axes, runs.items()):
    for column, color in (("loss_tsd", COLORS[0]), ("loss_ssd", COLORS[4])):
        ax.semilogy(
            [0, *some_frame["epoch"]],
            [1, *some_frame[column] / start[column]],
            color=color,
            label=column.removeprefix("loss_").upper(),
        )
    ax.set(xlabel="epoch", title=name)
axes[0].set(ylabel="share of the untrained loss")
axes[0].legend()
lesson.save_figure(fig, "collapse")
plt.show()

# %%
tsd_collapsed, ssd_collapsed, _ = losses(collapsed, images[normal], supports)
left_tsd, left_ssd = (
    float(short.to_frame()[c].iloc[-1] / start[c]) for c in ("loss_tsd", "loss_ssd")
)
print(
    f"released lambdas, {len(short)} epochs, training tasks: {100 * left_tsd:.0f} % of TSD are left, "
    f"{100 * left_ssd:.1f} % of SSD"
)
print(
    f"{held_out.name}, unseen: TSD {tsd_untrained:.2f} -> {tsd_collapsed:.2f}, "
    f"SSD {ssd_untrained:.2f} -> {ssd_collapsed:.3f}"
)
if as_shipped:
    assert left_tsd > 0.6 and left_ssd < 0.15, (left_tsd, left_ssd)
    assert frame["loss_tsd"].iloc[-1] / start["loss_tsd"] < 0.4

# %% [markdown]
# On the training tasks SSD loses more than nine tenths in these few epochs, while more than three quarters of TSD are
# left. SSD has **collapsed** before TSD has learned. With the lambdas of quick SSD is the faster one as well, but TSD
# comes along: at the end less than four tenths of it are left.
#
# **The mechanism.** SSD asks that query and supports agree. The cheapest way is to draw every image of a task alike:
# then they agree whatever the image shows, and nothing of the teacher has to be learned. Only TSD stands against that,
# since the teacher's maps of two images do differ. To see it, measure how far apart the student draws **different**
# images of the unseen task, level by level: $1 - \cos$ of the flattened maps, mean over pairs.


# %%
def distances(detector):
    """[L, 2]: mean distance between different normal images, and between normal and anomalous ones, per level."""
    rows = []
    with torch.no_grad():
        for level in detector.student(detector.teacher(images).embedding):
            unit = torch.nn.functional.normalize(level.flatten(1), dim=1)  # (N, C_l H_l W_l)
            d, n = 1 - unit @ unit.T, int(normal.sum())  # (N, N), 0 on the diagonal
            rows.append(
                [
                    float(d[normal][:, normal].sum()) / (n * (n - 1)),
                    float(d[normal][:, ~normal].mean()),
                ]
            )
    return np.array(rows)


students = {"untrained": model, "trained": trained, "released lambdas": collapsed}
apart = {name: distances(detector) for name, detector in students.items()}
fig, axes = plt.subplots(1, len(f), figsize=(9.5, 3.0), sharey=True)
for level, ax in enumerate(axes):
    for i, (kind, color) in enumerate(
        (("normal - normal", NORMAL), ("normal - anomalous", ANOMALOUS))
    ):
        ax.bar(
            np.arange(3) + 0.36 * i - 0.18,
            [a[level, i] for a in apart.values()],
            0.34,
            color=color,
            label=kind,
        )
    ax.set(xticks=range(3), title=f"level {level + 1}")
    ax.set_xticklabels([name.replace(" ", "\n") for name in apart])
axes[0].set(ylabel="mean distance, 1 - cos")
axes[-1].legend(loc="upper right", fontsize=9)
lesson.save_figure(fig, "drawn_alike")
plt.show()

# %%
mean_apart = {name: values.mean(axis=0) for name, values in apart.items()}
for name, (same_class, other_class) in mean_apart.items():
    print(
        f"{name:>16}: normal to normal {same_class:.3f}, normal to anomalous {other_class:.3f}, mean of the levels"
    )
if as_shipped:
    assert mean_apart["trained"].max() < 0.8 * mean_apart["untrained"].min()
    at = {name: values.mean() for name, values in mean_apart.items()}
    assert at["released lambdas"] < min(at["trained"], 0.4 * at["untrained"]), at

# %% [markdown]
# Training draws all images of a task closer together, the anomalous ones with the normal ones: to less than 0.6 of the
# untrained distance with the lambdas of quick, to less than a quarter of it with the released ones, and that after
# fewer epochs. With the lambdas of quick, TSD learns at the same time; with the released ones it does not come along.
#
# ## What it does to the map
#
# The same comparison at every **position** gives a picture of the disagreement: $1 - \cos$ over the channels between
# $g_l$ and $h_l$ (the SSD map, the released code's only one), or between $f_l$ and $g_l$ (the TSD map). Both are summed
# over the levels and blurred; notebook 06 takes that apart. The image score is the maximum of the map.

# %%
maps = {"SSD map": {"reading": p.reading}, "TSD map": {"reading": p.reading, "map_source": "tsd"}}
fig, axes = plt.subplots(len(rows), 5, figsize=(7.4, 6.1))
for b in range(len(rows)):
    picture(axes[b, 0], queries[b].permute(1, 2, 0), masks[b])
    axes[b, 0].set_ylabel("normal" if b < 2 else "anomalous", color=colour[b])
for m, (kind, settings) in enumerate(maps.items()):
    for j, name in enumerate(("untrained", "trained")):
        read = students[name].read_as(**settings)
        values = read.predict(queries, read.encode_supports(supports)).anomaly_map  # (B, S, S)
        for b in range(len(rows)):
            picture(
                axes[b, 1 + 2 * m + j],
                values[b],
                masks[b],
                cmap="magma",
                vmin=float(values.min()),
                vmax=float(values.max()),
            )
        axes[0, 1 + 2 * m + j].set_title(f"{kind}\n{name}", fontsize=10, loc="center")
lesson.save_figure(fig, "maps")
plt.show()

# %% [markdown]
# Now in numbers, over several draws of the supports: does the score tell anomalous images from normal ones (**image
# AUROC**), and does the map tell lesion pixels from others (**pixel AUROC**)? 0.5 is chance. The interval of 95 % is a
# bootstrap over the test images.

# %%
reports = {
    (name, kind): d2.evaluate(
        detector.to(lesson.device).read_as(**settings),
        held_out,
        shots=K,
        draws=p.draws,
        seed=lesson.seed,
    )
    for name, detector in students.items()
    for kind, settings in maps.items()
}
worth = pd.DataFrame(
    [
        {
            "student": name,
            "map": kind,
            "image AUROC": r.auroc,
            "low": r.ci[0],
            "high": r.ci[1],
            "pixel AUROC": r.pixel_auroc,
        }
        for (name, kind), r in reports.items()
    ]
)
one = reports["trained", "SSD map"]
print(
    f"{held_out.name}: {one.n_normal} normal and {one.n_anomalous} anomalous images, K = {K}, {p.draws} draws, "
    "each image scored by itself"
)
worth.round(2)

# %%
gain = {
    (name, kind): d2.compare_paired(reports[name, kind], reports["untrained", kind])
    for name in ("trained", "released lambdas")
    for kind in maps
}
for (name, kind), c in gain.items():
    print(
        f"{kind}, image AUROC, {name} less untrained: {c.difference:+.2f} [{c.low:+.2f}, {c.high:+.2f}]"
    )
if as_shipped:
    pixel = {key: r.pixel_auroc for key, r in reports.items()}
    assert pixel["trained", "TSD map"] > max(0.7, pixel["untrained", "TSD map"] + 0.15)
    assert gain["trained", "TSD map"].difference > max(0, gain["trained", "SSD map"].difference), (
        gain
    )

# %% [markdown]
# On APTOS the pixel AUROC of the TSD map rises from below chance to about 0.9. But look at the maps once more. The
# trained ones are dark around the fundus, where no lesion can be, and every pixel there counts as found. So the same
# again, on the pixels **inside** the object alone; and beside it the share of anomalous images whose highest pixel lies
# on the lesion.


# %%
def inside(images):
    """[N, S, S] bool: pixels of the object, dark spots within it included."""
    return np.stack([binary_fill_holes(image.mean(dim=0).numpy() > 0.08) for image in images])


def where(detector, settings):
    """Pixel AUROC inside the object, and the share of peaks on the lesion, mean of the draws."""
    read, found = detector.cpu().read_as(**settings), []
    for draw in d2.draw_supports(len(held_out.train), K, p.draws, lesson.seed):
        bank = read.encode_supports(held_out.train.images(p.image_size, draw))
        values = read.predict(images, bank).anomaly_map.numpy()  # (N, S, S)
        on_lesion = [lesion[i].flat[values[i].argmax()] for i in bad]
        found.append(
            (
                d2.image_auroc(lesion[object_pixels].astype(int), values[object_pixels]),
                np.mean(on_lesion),
            )
        )
    return np.mean(found, axis=0)


# %%
if held_out.has_masks:
    lesion = held_out.test.masks(p.image_size, range(len(images))).bool().numpy()  # (N, S, S)
    object_pixels = inside(images)
    pointing = {key: where(students[key[0]], maps[key[1]]) for key in reports}
    for (name, kind), (pixels, peaks) in pointing.items():
        print(
            f"{kind}, {name:>16}: pixel AUROC inside {pixels:.2f}, peak on the lesion {100 * peaks:3.0f} %"
        )
    if as_shipped:
        ssd_gain, tsd_gain = (
            pointing["trained", k][0] - pointing["untrained", k][0] for k in ("SSD map", "TSD map")
        )
        assert tsd_gain > max(0.1, ssd_gain + 0.05), pointing
        assert pointing["trained", "SSD map"][1] < 0.4, pointing

# %% [markdown]
# Inside the fundus the TSD map gains much, from about chance: the student cannot draw a lesion, since it has learned
# none, so teacher and student disagree there. The SSD map gains next to nothing inside: what it gains on the whole
# image are dark corners. Its peak, which is its image score, seldom lies on a lesion.
#
# Nor does training clearly raise **how well the released map tells images apart**: here the image AUROC of the SSD map
# falls, and the interval of the difference, printed above, says how sure 40 images are of that. The image AUROC of the
# TSD map does rise, from below chance. After the short training with the released lambdas that of the SSD map is no
# better either, and neither map has the pixel AUROC that it has with the lambdas of quick.
#
# And on the contrast, where the student has learned little of the unseen task?

# %%
if contrast in bench and contrast != task:
    far_reports = [
        d2.evaluate(
            m.to(lesson.device).read_as(p.reading), far, shots=K, draws=p.draws, seed=lesson.seed
        )
        for m in (model, far_trained)
    ]
    c = d2.compare_paired(far_reports[1], far_reports[0])
    far_pixel = [r.pixel_auroc for r in far_reports]
    print(
        f"{far.name}, SSD map, untrained -> trained: image AUROC {c.auroc_second:.2f} -> {c.auroc_first:.2f}, "
        f"difference {c.difference:+.2f} [{c.low:+.2f}, {c.high:+.2f}]; pixel AUROC "
        + " -> ".join("no masks" if value is None else f"{value:.2f}" for value in far_pixel)
    )
    if as_shipped:
        assert c.difference < 0.05, c

# %% [markdown]
# On RSNA the image AUROC of the released map is lower after training, too. So on neither task does training make the
# released map tell images apart better.
#
# The explanation fits the figure above. The untrained student is a random reading of the embedding and keeps the
# differences between images; the training takes most of them away, also those that a lesion makes.

# %% [markdown]
# ## What you saw
#
# - The student predicts the teacher's maps from a narrow embedding; the teacher never moves.
# - TSD and SSD are the same formula with another partner: the teacher on the query, or the student's weighted supports.
# - On the unseen fundus task TSD falls by more than a third; on the chest X-rays, which resemble no training task, by
#   less than a quarter.
# - SSD can be made small by drawing every image of a task alike. With the released lambdas at this rate that happens
#   within a few epochs, before TSD has learned.
# - On APTOS training makes the TSD map point at lesions. The released map, that of SSD, gains next to nothing inside
#   the fundus, and on neither task does it tell images apart better than with an untrained student.
#
# **What to question:** Is the flattened cosine what you would have chosen? Would a student of a hundred tasks draw a
# chest that it has not seen? Two tasks of 40 test images are no verdict on the method; notebooks 08 to 10 go on.
#
# ## Check yourself
#
# 1. What does the student see of the image, and why can it not simply copy the teacher's maps?
# 2. What are the two partners that the query's student features are compared with?
# 3. Why is the SSD loss of an untrained student already small?
# 4. What is the cheapest way to bring SSD to zero, and which figure shows that it was taken?
# 5. Which map tells lesions from their surroundings better after training, and which hardly does?
#
# The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`.

# %% [markdown]
# ## Exercises
#
# Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`.
#
# **1.** Another order, another method: the paper's `fusion="distances"` compares the query with each support first, one
# flattened cosine each, and then weighs the K distances $1 - \cos$. Compute the SSD of **one level** that way, as the
# mean over the batch.


# %% tags=["exercise"]
# query_map [B, C, H, W], support_map [K, C, H, W], w [B, K] -> a number
def ssd_of_distances(query_map, support_map, w): ...  # your turn


lesson.check(1, ssd_of_distances)

# %% [markdown]
# **2.** Has a student collapsed? A mean over all pairs can miss it: a student that knows two drawings only, and gives
# every image one of them, still has a mean distance well above 0. Compute for **each image** the distance $1 - \cos$ of
# the flattened maps to the most similar **other** image.


# %% tags=["exercise"]
# level_map [N, C, H, W], N at least 2 -> [N]
def nearest_other(level_map): ...  # your turn


lesson.check(2, nearest_other)

# %%
where_it_points = (
    "; ".join(
        f"the {kind}'s pixel AUROC inside the object goes from {pointing['untrained', kind][0]:.2f} to "
        f"{pointing['trained', kind][0]:.2f}"
        for kind in reversed(maps)
    )
    if held_out.has_masks
    else "no masks"
)
lesson.finish(
    {
        "headline": f"unseen {held_out.name}: TSD falls by {100 * fall_tsd:.0f} %; {where_it_points}; the image AUROC "
        f"of the SSD map from {reports['untrained', 'SSD map'].auroc:.2f} to {one.auroc:.2f} ({lesson.data_kind})",
        "loss_tsd": float(frame["loss_tsd"].iloc[-1]),
        "loss_ssd": float(frame["loss_ssd"].iloc[-1]),
        "tsd_unseen": [tsd_untrained, tsd_trained],
        "ssd_unseen": [ssd_untrained, ssd_trained],
        "tables": {
            "Training": frame[["epoch", "loss", "loss_tsd", "loss_ssd"]].round(4),
            "The map": worth.round(3),
        },
    }
)
