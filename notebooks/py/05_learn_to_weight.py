# %% [markdown]
# # 05 · Learn to weight
#
# Supports are not equally useful for every query: a frontal X-ray of a slim patient is better explained by another slim
# patient. Learn-to-weight (L2W) is an attention of the query over its supports. This notebook builds it by hand, shows
# why its published scale pulls the softmax toward one-hot and how far it has come, and asks what is left when it is
# replaced by something simpler.
#
# **You will learn**
# - what is projected, what is compared, and what is summed; by hand, equal to the package;
# - to read weights through the effective number of supports;
# - how the divisor and a temperature decide between "one support" and "all alike", measured;
# - what the learned weights gain over the mean, the nearest and a single support.
#
# **Needs:** CPU · about 30 s, 2.25 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of training and of the support draws
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
task: str = "RSNA"  # the task left out of training and looked at
shots: int = 4  # K
model_file: str = ""  # a detector written by model.save; empty: train on the other tasks

# %% tags=["setup"]
import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import d24fad_lite as d2
from d24fad_lite.interactive import plots
from d24fad_lite.interactive.attended import widgets_wanted
from d24fad_lite.interactive.live import LiveDetector
from d24fad_lite.interactive.selection import SupportSelection
from d24fad_lite.model.losses import fuse
from d24fad_lite.runner.checks import same
from d24fad_lite.runner.lesson import start_lesson
from d24fad_lite.runner.style import COLORS

lesson = start_lesson("05_learn_to_weight", globals())
p = lesson.profile

# %% [markdown]
# ## A trained model, a query, and K supports

# %%
bench = d2.open_benchmark(lesson.data)
held_out, rest = bench[task], bench.without(task)
if model_file:
    model = d2.D24FAD.load(model_file)
else:
    model = d2.D24FAD(d2.D24FADConfig(teacher=p.teacher, weights=p.weights, image_size=p.image_size, seed=lesson.seed))
    d2.fit(model, rest, shots=p.train_shots or shots, epochs=p.epochs, seed=lesson.seed, batch_size=p.batch_size,
           episodes=p.episodes, precision=p.precision, device=None if lesson.device != "cpu" else "cpu", progress=False)
model.eval()
size = model.config.image_size
rows = d2.draw_supports(len(held_out.train), shots, 1, lesson.seed)[0]
supports = held_out.train.images(size, rows)  # (K, 3, S, S)
queries = held_out.test.images(size)  # (N, 3, S, S)
bank = model.encode_supports(supports)
encoded = model.encode_queries(queries)
sheet = plots.contact_sheet(supports, [held_out.train.names[i] for i in rows], "Supports")
plots.show_figure(sheet, f"{shots} numbered supports")

# %% [markdown]
# ## The weights by hand
#
# Per level $l$, a 1×1 convolution $\phi_l$ (a matrix $W$ and a bias $b$ on the channels of every position) turns the
# support's features into **keys**. The query is compared with each key over **all** positions at once:
#
# $$a_k = \frac{\big\langle \operatorname{vec} g_l(q),\; \operatorname{vec} \phi_l(g_l(s_k)) \big\rangle}{\sqrt{C_l}},
# \qquad w = \operatorname{softmax}_k(a)$$

# %%
def attention(query_map, support_map, W, b, divisor):
    """Weights of one level: query [B, C, H, W], supports [K, C, H, W], W [C, C], b [C] -> [B, K]."""
    keys = torch.einsum("dc,kchw->kdhw", W, support_map) + b[:, None, None]  # (K, C, H, W)
    a = torch.einsum("bchw,kchw->bk", query_map, keys) / divisor  # (B, K)
    return torch.softmax(a, dim=1)


def in_double(tensors):
    return [t.double() for t in tensors]


q64, s64 = in_double(encoded.student), in_double(bank.levels)
weighting64 = copy.deepcopy(model.weighting).double()
mine, package = [], []
with torch.no_grad():
    keys64 = weighting64.keys(s64)
    for level, (g_q, g_s, keys) in enumerate(zip(q64, s64, keys64), start=1):
        phi = weighting64.get_submodule(f"proj_in{level}")
        mine.append(attention(g_q, g_s, phi.weight[:, :, 0, 0], phi.bias, g_q.shape[1] ** 0.5))
        package.append(weighting64(g_q, g_s, keys))
same("weights", mine, package)
prediction = model.predict(encoded, bank)  # weights (N, L, K), in single precision

# %% [markdown]
# In double precision, because a softmax over sums of tens of thousands of terms makes rounding visible: in single
# precision two correct implementations differ in the fourth digit.
#
# The **unprojected** features are then summed, $h_l = \sum_k w_k\, g_l(s_k)$: the projection only decides who is heard.

# %%
by_hand = [torch.einsum("nk,kchw->nchw", w, g) for w, g in zip(mine, s64)]
same("fused supports", by_hand, [fuse(g, w, None) for g, w in zip(s64, mine)])

# %% [markdown]
# ## How many supports are heard?
#
# $K_\mathrm{eff} = 1/\sum_k w_k^2$ is K when all weigh the same and 1 when one has all the weight.

# %% tags=["nbval-check-output"]
def k_eff(w):
    return 1 / (w**2).sum(axis=-1)


for w in ([0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [0.97, 0.01, 0.01, 0.01]):
    print(f"w = {w}: effective K = {k_eff(np.array(w)):.2f}")

# %%
example = int((held_out.test.labels == 1).argmax())
bars = plots.weights_figure(prediction.weights[example], [held_out.train.names[i] for i in rows],
                            f"Weights for {held_out.test.names[example]}")
lesson.save_figure(bars, "weights")
plots.show_figure(bars, "weights of each support for one anomalous query, per level")
table = pd.DataFrame({"level": range(1, len(mine) + 1),
                      "mean effective K": [float(k_eff(w.numpy()).mean()) for w in mine],
                      "mean largest weight": [float(w.max(dim=1).values.mean()) for w in mine]})
table.round(2)

# %% [markdown]
# ## Why the softmax sharpens
#
# $\sqrt{C}$ is the divisor of ordinary attention, where a dot product has C terms. Here it runs over C·H·W terms, so
# the scores are larger by a factor that grows with the grid. A softmax sees only **differences** of scores: when these
# reach 5 or 10, one support takes all. The alternative `attention_scale="elements"` divides by $\sqrt{C\,H\,W}$.

# %% tags=["nbval-check-output"]
for level, g in enumerate(bank.levels, start=1):
    _, C, H, W = g.shape
    print(f"level {level}: {C * H * W:6d} terms in the dot product, divided by sqrt({C}) = {C ** 0.5:.1f}; "
          f"by elements sqrt({C * H * W}) = {(C * H * W) ** 0.5:.1f}, {(H * W) ** 0.5:.0f} times more")

# %%
spread = []
with torch.no_grad():
    for level, (g_q, keys) in enumerate(zip(encoded.student, bank.keys), start=1):
        dots = g_q.flatten(1) @ keys.flatten(1).T  # (N, K)
        for name, divisor in (("channels", g_q.shape[1] ** 0.5), ("elements", g_q[0].numel() ** 0.5)):
            gap = (dots / divisor).topk(2, dim=1).values
            spread.append({"level": level, "divisor": name, "best minus second": float((gap[:, 0] - gap[:, 1]).mean()),
                           "mean effective K": float(k_eff(torch.softmax(dots / divisor, 1).numpy()).mean())})
spread = pd.DataFrame(spread).pivot(index="level", columns="divisor")
spread.round(3)

# %% [markdown]
# How close to one-hot a model is depends on how far training has driven the scores apart: features and projections
# grow, and nothing in the loss holds the weights together. The curve makes the whole range visible: divide the scores
# further by a **temperature** T. Left, one support decides; right, all count alike. The published scale is T = 1.

# %%
temperatures = np.logspace(-3, 3, 49)
fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.2), sharey=True)
curves = {}
with torch.no_grad():
    for ax, name in zip(axes, ("channels", "elements")):
        for level, (g_q, keys) in enumerate(zip(encoded.student, bank.keys), start=1):
            divisor = (g_q.shape[1] if name == "channels" else g_q[0].numel()) ** 0.5
            scores = g_q.flatten(1) @ keys.flatten(1).T / divisor  # (N, K)
            curve = [float(k_eff(torch.softmax(scores / T, 1).double().numpy()).mean()) for T in temperatures]
            curves[name, level] = np.array(curve)
            ax.semilogx(temperatures, curve, color=COLORS[level - 1], label=f"level {level}")
        ax.axvline(1, color="#55585c", linestyle=":")
        ax.set(xlabel="temperature T", title=f'divisor: "{name}"')
axes[0].set(ylabel="mean effective K", ylim=(0.9, shots + 0.1))
axes[0].legend()
lesson.save_figure(fig, "temperature")
plt.show()
at_one = {key: float(curve[len(temperatures) // 2]) for key, curve in curves.items()}

# %% [markdown]
# The temperature of the model is the same division:

# %%
warm = d2.D24FAD(model.config.replace(temperature=10.0))
warm.load_trainable_state_dict(model.trainable_state_dict())
a = q64[0].flatten(1) @ keys64[0].flatten(1).T / q64[0].shape[1] ** 0.5  # (N, K)
same("temperature", torch.softmax(a / 10.0, dim=1), warm.weighting.double()(q64[0], s64[0], keys64[0]))

# %% [markdown]
# ## What is it worth?
#
# The same student, with the weights replaced: **mean** (all alike), **nearest** (the support of highest cosine takes
# all, nothing learned), **single** (the first support, as if K were 1), and the two scales of the learned one. All see
# the same draws of supports. Notebook 08 trains each variant anew; here only the weighting changes.

# %%
variants = {"learned, by channels": {}, "learned, by elements": {"attention_scale": "elements"},
            "mean": {"weighting": "mean"}, "nearest": {"weighting": "nearest"}, "single": {"weighting": "single"}}
reports = {}
for name, change in variants.items():
    other = d2.D24FAD(model.config.replace(**change))
    other.load_trainable_state_dict(model.trainable_state_dict())
    reports[name] = d2.evaluate(other, held_out, shots=shots, draws=p.draws, seed=lesson.seed)
ablation = pd.DataFrame([{"weighting": name, "AUROC": r.auroc, "low": r.ci[0], "high": r.ci[1],
                          "pixel AUROC": r.pixel_auroc} for name, r in reports.items()])
ablation.round(3)

# %%
fig, ax = plt.subplots(figsize=(7.2, 2.7))
for y, r in enumerate(reports.values()):
    ax.plot(r.ci, [y, y], color=COLORS[0], linewidth=2)
    ax.plot(r.to_frame()["auroc"], [y] * p.draws, "o", color="#9aa0a6", markersize=4)
    ax.plot(r.auroc, y, "D", color=COLORS[1], markersize=7)
ax.axvline(0.5, color="#55585c", linestyle=":")
ax.set(yticks=range(len(reports)), xlabel="image AUROC: mean (diamond), draws (dots), 95 % interval (line)",
       title=f"Weightings on {held_out.name}, K={shots}")
ax.set_yticklabels(list(reports))
ax.invert_yaxis()
lesson.save_figure(fig, "ablation")
plt.show()

# %% [markdown]
# ## Turn the knobs
#
# With a running kernel: kind of weighting, divisor and temperature as sliders, on any query. *As configured* brings the
# model back. Without one, the curves above show the same.

# %%
if widgets_wanted():
    from IPython.display import display

    from d24fad_lite.interactive.inspector import SupportInspector

    selection = SupportSelection(held_out, shots)
    selection.select(rows)
    inspector = SupportInspector(LiveDetector(model, held_out, selection), index=example, weighting=True)
    display(inspector)
else:
    print("nobody is watching this run: no sliders")

# %% [markdown]
# ## What you saw
#
# - L2W compares the query with **projected** supports over all positions, and sums the **unprojected** ones.
# - Dividing by $\sqrt{C}$ while summing C·H·W terms makes scores larger by $\sqrt{H\,W}$; sharp weights are built in.
# - Whether learned weights beat the plain mean is a question of intervals, not of one number.
#
# **What to question:** If one support takes all the weight, what are the other K - 1 for? Is a query-dependent choice
# worth more than the mean on *your* data? And why would the loss, which only sees normal images, teach weights that
# help to find anomalies?
#
# ## Check yourself
#
# 1. What goes through $\phi_l$, and what is summed?
# 2. How many terms does the dot product of level 1 have, and by what is it divided?
# 3. What does an effective K of 1.0 mean for the other supports?
# 4. Why does the bias of $\phi_l$ not change any weight?
# 5. Which ablation needs no training at all, and how close does it come?

# %% [markdown]
# ## Exercises
#
# **1.** The bias of $\phi_l$ adds the same number to all K scores. Compute that number for each query at level 3.

# %% tags=["exercise"]
def bias_score(query_map, bias):
    ...  # your turn: query [B, C, H, W], bias [C] -> [B], before the division by sqrt(C)


g3, b3 = encoded.student[-1], model.weighting.get_submodule(f"proj_in{len(bank.levels)}").bias.detach()
expected_bias = (g3 * b3[:, None, None]).sum(dim=(1, 2, 3))
lesson.check("bias score", lambda: bias_score(g3, b3), expected_bias, hint="sum over positions first, then one product",
             rtol=1e-3, atol=1e-3)

# %% tags=["solution"]
def bias_score(query_map, bias):
    return query_map.sum(dim=(2, 3)) @ bias


lesson.check("bias score", lambda: bias_score(g3, b3), expected_bias, hint="sum over positions first, then one product",
             rtol=1e-3, atol=1e-3)

# %% [markdown]
# **2.** Give the weights of the `nearest` ablation at level 1: one-hot on the support of highest cosine.

# %% tags=["exercise"]
def nearest_weights(query_map, support_map):
    ...  # your turn: [B, C, H, W], [K, C, H, W] -> one-hot [B, K]


nearest = d2.D24FAD(model.config.replace(weighting="nearest")).weighting
expected_nearest = nearest(encoded.student[0], bank.levels[0], bank.keys[0])
lesson.check("nearest", lambda: nearest_weights(encoded.student[0], bank.levels[0]), expected_nearest,
             hint="normalise the flattened maps; argmax; one_hot")

# %% tags=["solution"]
def nearest_weights(query_map, support_map):
    q = torch.nn.functional.normalize(query_map.flatten(1), dim=1)
    s = torch.nn.functional.normalize(support_map.flatten(1), dim=1)
    return torch.nn.functional.one_hot((q @ s.T).argmax(dim=1), len(s)).float()


lesson.check("nearest", lambda: nearest_weights(encoded.student[0], bank.levels[0]), expected_nearest,
             hint="normalise the flattened maps; argmax; one_hot")

# %%
lesson.finish({
    "headline": f"effective K of {shots} at level 1: {at_one['channels', 1]:.2f} by channels, "
                f"{at_one['elements', 1]:.2f} by elements ({lesson.data_kind})",
    "effective_k_channels": at_one["channels", 1], "effective_k_elements": at_one["elements", 1],
    "tables": {"Weights": table.round(3), "Ablation": ablation.round(3)},
})
