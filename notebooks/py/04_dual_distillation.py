# %% [markdown]
# # 04 · Dual distillation
#
# A teacher that was never trained on medical images knows edges, blobs and textures. A student that learns to predict
# the teacher's features **from the teacher's own summary of the image** learns what normal images have in common; where
# it fails, something is unusual. The method of this kit asks that question twice: against the teacher on the query, and
# against the student's own view of a few normal supports. This notebook builds both from nothing.
#
# **You will learn**
# - how a student decoder is fed, and why the narrow embedding matters;
# - the two distillation losses, written by hand and equal to the package's;
# - what the two disagree about: flattened or pointwise cosine, and where gradients flow;
# - to train the student for a few epochs, and to see what has changed and what has not.
#
# **Needs:** CPU · about 30 s, 1.5 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of initial weights and episodes
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
task: str = "RSNA"  # the task left out of training and looked at

# %% tags=["setup"]
import matplotlib.pyplot as plt
import torch

import d24fad_lite as d2
from d24fad_lite.runner.checks import same
from d24fad_lite.runner.lesson import start_lesson
from d24fad_lite.runner.style import ANOMALOUS, COLORS, NORMAL

lesson = start_lesson("04_dual_distillation", globals())
p = lesson.profile

# %% [markdown]
# ## One query and its supports
#
# A **query** $q$ is the image in question. The **supports** $s_1 \dots s_K$ are K normal images of the same kind. The
# model has never been trained on this kind of image.

# %%
bench = d2.open_benchmark(lesson.data)
held_out, rest = bench[task], bench.without(task)
K = 4
supports = held_out.train.images(p.image_size, range(K))  # (K, 3, S, S)
first_bad = int((held_out.test.labels == 1).argmax())
rows = [0, 1, first_bad, first_bad + 1]
queries = held_out.test.images(p.image_size, rows)  # (B, 3, S, S)
masks = held_out.test.masks(p.image_size, rows)

fig, axes = plt.subplots(1, K + len(rows), figsize=(12, 2.1))
for i, ax in enumerate(axes):
    ax.imshow((supports[i] if i < K else queries[i - K]).permute(1, 2, 0))
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    name = f"support {i + 1}" if i < K else "query, normal" if i < K + 2 else "query, anomalous"
    ax.set_title(name, fontsize=9, loc="center", color=NORMAL if i < K + 2 else ANOMALOUS)
    if i >= K + 2 and masks is not None:
        ax.contour(masks[i - K], [0.5], colors=ANOMALOUS, linewidths=1.2)
lesson.save_figure(fig, "query_and_supports")
plt.show()

# %% [markdown]
# ## Teacher and student
#
# The teacher $T$ is frozen. It gives three feature maps, fine to coarse, and an embedding:
# $T(x) \to [f_1, f_2, f_3],\, e$. The student $S$ is the residual network run backwards. It sees **only** $e$, and must
# produce maps $[g_1, g_2, g_3]$ of the same shapes. It cannot copy: $e$ is far smaller than what it has to predict.

# %% tags=["nbval-check-output"]
config = d2.D24FADConfig(teacher=p.teacher, weights=p.weights, image_size=p.image_size, seed=lesson.seed)
model = d2.D24FAD(config).eval()
with torch.no_grad():
    f, e = model.teacher(queries)  # L of (B, C_l, H_l, W_l), (B, C_e, H_e, W_e)
    g = model.student(e)  # L of (B, C_l, H_l, W_l)
for level, (teacher_map, student_map) in enumerate(zip(f, g), start=1):
    print(f"level {level}: teacher {tuple(teacher_map.shape[1:])}, student {tuple(student_map.shape[1:])}")
numbers_out = sum(level[0].numel() for level in g)
print(f"embedding {tuple(e.shape[1:])}: {e[0].numel()} numbers in, {numbers_out} out, "
      f"a bottleneck of 1 : {numbers_out / e[0].numel():.0f}")

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
# \operatorname{vec} h_l\big)\Big], \qquad \mathcal{L} = \mathcal{L}_\mathrm{SSD} + \lambda\,\mathcal{L}_\mathrm{TSD},
# \quad \lambda = 0.1$$

# %%
def fuse(support_map, w):
    """h_l: supports [K, C, H, W] weighted with w [B, K] -> [B, C, H, W]."""
    return torch.einsum("bk,kchw->bchw", w, support_map)


def loss_ssd(g, g_supports, weights):
    h = [fuse(level, weights[:, i]) for i, level in enumerate(g_supports)]  # L of (B, C_l, H_l, W_l)
    return sum((1 - cosine(gl.flatten(1), hl.flatten(1))).mean() for gl, hl in zip(g, h))


with torch.no_grad():
    g_supports = model.student(model.teacher(supports).embedding)  # L of (K, C_l, H_l, W_l)
mine = loss_ssd(g, g_supports, out_package.weights)
same("SSD loss", mine, out_package.loss_ssd)
same("total loss", mine + config.lambda_tsd * loss_tsd(f, g), out_package.loss)

# %% [markdown]
# Both losses of a student that has learned nothing yet. Note that SSD is already small: an untrained student maps every
# image to nearly the same features, so query and supports agree. **A small loss alone proves nothing.**

# %% tags=["nbval-check-output"]
print(f"untrained: TSD {float(out_package.loss_tsd):.2f}, SSD {float(out_package.loss_ssd):.2f} "
      f"(each of {len(f)} levels adds 0 to 2)")

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


paper_like = d2.D24FAD(d2.D24FADConfig(teacher=p.teacher, weights=p.weights, image_size=p.image_size,
                                       seed=lesson.seed, distance="pointwise")).eval()
with torch.no_grad():
    by_package = paper_like(queries, supports).loss_tsd
same("pointwise TSD", sum(pointwise(fl, gl).mean() for fl, gl in zip(f, g)), by_package)

# %% tags=["nbval-check-output"]
share = [(fl.norm(dim=1).flatten(1) ** 2).sort(dim=1, descending=True).values for fl in f]  # L of (B, H_l W_l)
for level, s in enumerate(share, start=1):
    top = (s[:, : max(1, s.shape[1] // 10)].sum(dim=1) / s.sum(dim=1)).mean()
    print(f"level {level}: the 10 % longest feature vectors hold {100 * float(top):.0f} % of the squared length")

# %% [markdown]
# ## Where the gradient goes
#
# The teacher must not move: it is the fixed ruler. In SSD, on the other hand, the gradient flows into **both** sides,
# query and supports, since both are the student's own features. Only the student and learn-to-weight have parameters to
# learn. Let us look instead of believing.

# %% tags=["nbval-check-output"]
model.train()
output = model(queries, supports)
output.loss.backward()


def learns(module):
    touched = sum(q.grad is not None and bool(q.grad.abs().sum() > 0) for q in module.parameters())
    return f"{touched} of {len(list(module.parameters()))} parameters have a gradient"


print("teacher:   ", learns(model.teacher))
print("student:   ", learns(model.student))
print("weighting: ", learns(model.weighting))
print("teacher in eval mode although model.train() was called:", not model.teacher.backbone.training)
model.zero_grad()

# %% [markdown]
# The biases of learn-to-weight have no say: the same number is added to the score of every support, and the softmax
# does not see it. Their gradient is zero up to rounding, whatever the count above says.
#
# ## Train on the other tasks
#
# `fit` repeats this on **episodes**: a query and K supports of the same task, all normal, never the query itself
# (notebook 03). The held-out task stays unseen.

# %%
before = {name: t.clone() for name, t in model.teacher.state_dict().items()}
history = d2.fit(model, rest, shots=K, epochs=p.epochs, seed=lesson.seed, batch_size=p.batch_size,
                 episodes=p.episodes, precision=p.precision, device=None if lesson.device != "cpu" else "cpu",
                 out=lesson.out / "fit", progress=False)
frame = history.to_frame()
frame[["epoch", "loss", "loss_tsd", "loss_ssd"]].round(3)

# %% tags=["nbval-check-output"]
unchanged = all(torch.equal(t, before[name]) for name, t in model.teacher.state_dict().items())
print("the teacher is unchanged to the last bit:", unchanged)
print("the loss went down:", bool(frame["loss"].iloc[-1] < frame["loss"].iloc[0]))

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.2))
axes[0].plot(frame["epoch"], frame["loss_tsd"], "o-", color=COLORS[0], label="TSD: teacher, on the query")
axes[0].plot(frame["epoch"], frame["loss_ssd"], "s-", color=COLORS[4], label="SSD: itself, on the supports")
axes[0].set(xlabel="epoch", ylabel="loss (sum over 3 levels)", title="Both distillations",
            xticks=frame["epoch"], ylim=(0, None))
axes[0].legend()
model.eval()
with torch.no_grad():
    f, e = model.teacher(queries)
    g_after = model.student(e)
agree = {"untrained": [cosine(a.flatten(1), b.flatten(1)).mean() for a, b in zip(f, g)],
         "trained": [cosine(a.flatten(1), b.flatten(1)).mean() for a, b in zip(f, g_after)]}
for i, (name, values) in enumerate(agree.items()):
    axes[1].bar([x + 0.36 * i - 0.18 for x in range(len(values))], values, width=0.34, color=["#9aa0a6", COLORS[0]][i],
                label=name)
axes[1].set(xticks=range(len(f)), xticklabels=[f"level {i + 1}" for i in range(len(f))], ylim=(0, 1),
            ylabel="cosine, student to teacher", title=f"On the unseen task {held_out.name}")
axes[1].legend()
lesson.save_figure(fig, "training")
plt.show()

# %% [markdown]
# ## Two residuals of the same query
#
# The same comparison at every **position** gives a picture of the disagreement: $1 - \cos$ over the channels between
# $f_l$ and $g_l$ (the teacher-student residual), or between $g_l$ and $h_l$ (the self-distillation residual). The
# released code uses the second alone for its anomaly map.

# %%
def residual(a, b):
    """1 - cos over channels: [B, C, H, W] twice -> [B, H, W]."""
    return 1 - torch.nn.functional.cosine_similarity(a, b, dim=1)


bank = model.encode_supports(supports)
weights = model.predict(queries, bank).weights  # (B, L, K)
level = 1  # the middle one
h = fuse(bank.levels[level], weights[:, level])
pictures = {"teacher - student": residual(f[level], g_after[level]), "student - supports": residual(g_after[level], h)}
fig, axes = plt.subplots(3, len(rows), figsize=(8.2, 6.2))
for column in range(len(rows)):
    axes[0, column].imshow(queries[column].permute(1, 2, 0))
    if masks is not None and masks[column].any():
        axes[0, column].contour(masks[column], [0.5], colors=ANOMALOUS, linewidths=1.2)
    axes[0, column].set_title("normal" if column < 2 else "anomalous", fontsize=10, loc="center",
                              color=NORMAL if column < 2 else ANOMALOUS)
    for row, (name, picture) in enumerate(pictures.items(), start=1):
        axes[row, column].imshow(picture[column], cmap="magma", vmin=0, vmax=float(picture.max()))
        axes[row, 0].set_ylabel(name, fontsize=10)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
lesson.save_figure(fig, "residuals")
plt.show()

# %% [markdown]
# ## What you saw
#
# - The student predicts the teacher's maps from a narrow embedding; the teacher never moves.
# - TSD and SSD are the same formula with another partner: the teacher on the query, or the student's weighted supports.
# - The loss falls on the training tasks. Whether that finds anomalies on an unseen task is another question, and only
#   notebook 09 answers it, with an interval.
#
# **What to question:** SSD can be made small by a student whose features ignore the image; only TSD stands against
# that, with a weight of 0.1. Is the flattened cosine what you would have chosen? And does a residual that lights up
# on a normal edge deserve to be called an anomaly?
#
# ## Check yourself
#
# 1. What does the student see of the image, and why can it not simply copy the teacher's maps?
# 2. What are the two partners that the query's student features are compared with?
# 3. Why is the SSD loss of an untrained student already small?
# 4. In which case do the flattened and the pointwise cosine differ most?
# 5. Which parameters learn, and how did this notebook show that the others do not?

# %% [markdown]
# ## Exercises
#
# **1.** Another cosine, another method: the paper's `fusion="distances"` compares with each support first, and weights
# the K distances. Compute the SSD of **one level** that way.

# %% tags=["exercise"]
def ssd_of_distances(query_map, support_map, w):
    ...  # your turn: query_map [B, C, H, W], support_map [K, C, H, W], w [B, K] -> mean over B of sum_k w_k (1 - cos)


from d24fad_lite.model.losses import support_distance

w_level = weights[:, level]  # (B, K)
expected_ssd = support_distance(g_after[level], bank.levels[level], w_level, None, "flattened", "distances").mean()
lesson.check("SSD of distances", lambda: ssd_of_distances(g_after[level], bank.levels[level], w_level), expected_ssd,
             hint="unit vectors first: cos is the product of normalised flattened maps, a [B, K] matrix")

# %% tags=["solution"]
def ssd_of_distances(query_map, support_map, w):
    q = torch.nn.functional.normalize(query_map.flatten(1), dim=1)  # (B, N)
    s = torch.nn.functional.normalize(support_map.flatten(1), dim=1)  # (K, N)
    return (w * (1 - q @ s.T)).sum(dim=1).mean()


lesson.check("SSD of distances", lambda: ssd_of_distances(g_after[level], bank.levels[level], w_level), expected_ssd,
             hint="unit vectors first: cos is the product of normalised flattened maps, a [B, K] matrix")

# %% [markdown]
# **2.** How narrow is the door? Count how many numbers the student gets for each number it must predict at level 1.

# %% tags=["exercise"]
def numbers_in_per_number_out(embedding, level_map):
    ...  # your turn: both [B, C, H, W]; a ratio for one image


lesson.check("bottleneck", lambda: numbers_in_per_number_out(e, f[0]), e[0].numel() / f[0][0].numel(),
             hint="tensor[0].numel() counts the numbers of one image")

# %% tags=["solution"]
def numbers_in_per_number_out(embedding, level_map):
    return embedding[0].numel() / level_map[0].numel()


lesson.check("bottleneck", lambda: numbers_in_per_number_out(e, f[0]), e[0].numel() / f[0][0].numel(),
             hint="tensor[0].numel() counts the numbers of one image")

# %%
lesson.finish({
    "headline": f"loss {frame['loss'].iloc[0]:.3f} -> {frame['loss'].iloc[-1]:.3f} on the other tasks "
                f"({lesson.data_kind})",
    "loss_tsd": float(frame["loss_tsd"].iloc[-1]), "loss_ssd": float(frame["loss_ssd"].iloc[-1]),
    "tables": {"Training": frame[["epoch", "loss", "loss_tsd", "loss_ssd"]].round(4)},
})
