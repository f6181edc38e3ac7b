# %% [markdown]
# # 05 · Learn to weight
#
# Supports are not equally useful for every query: a fundus with wide vessels may be better explained by another one
# with wide vessels. Learn-to-weight (L2W) is an attention of the query over its supports. This notebook builds it by
# hand, measures how many supports are heard and whether the choice depends on the query, and asks what is left of the
# map when the weights are replaced by something simpler.
#
# **You will learn**
# - what is projected, what is compared, and what is summed; by hand, equal to the package;
# - to read weights through the effective number of supports, and to see whether the query has a say;
# - how the divisor and a temperature decide between "one support" and "all alike", measured;
# - what each weighting keeps of the map, and what the learned weights gain over mean, nearest and single.
#
# **Needs:** CPU · about 30 s, 1.5 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of training and of the support draws
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
task: str = "APTOS"  # the task left out of training and looked at
shots: int = 4  # K
model_file: str = ""  # a detector written by model.save; empty: train on the other tasks
teacher: str = ""  # timm name of the frozen network; empty: the profile's
weights: str = ""  # "imagenet", "embedded", "random" or a file; empty: the profile's
reading: str = ""  # "released", "paper", "matched" (weighs nothing); empty: the profile's
epochs: int = 0  # of training; 0: the profile's
lr: float = 0.0  # learning rate; 0: the profile's

# %% tags=["setup"]
import copy

import numpy as np
import pandas as pd
import torch

import d24fad_lite as d2
from d24fad_lite.lessons import same, start_lesson, widgets_wanted

lesson = start_lesson("05_learn_to_weight", globals())
p = lesson.profile
as_shipped = (
    lesson.root is None
    and p.name == "quick"
    and p.teacher == "tf_efficientnet_lite0"
    and p.weights == "imagenet"
    and p.reading == "released"
    and (task, shots, model_file, lesson.seed, epochs, lr) == ("APTOS", 4, "", 0, 0, 0)
)

# %% [markdown]
# ## A trained model, a query, and K supports
#
# The detector of notebook 04: trained on the other tasks, once, and read here.

# %%
bench = d2.open_benchmark(lesson.data)
held_out = bench[task]
model = d2.D24FAD.load(model_file) if model_file else lesson.detector(bench, task)[0].cpu()
twin = d2.D24FAD(model.config, model.teacher).eval()  # the same detector before any training
size = model.config.image_size
rows = d2.draw_supports(len(held_out.train), shots, 1, lesson.seed)[0]
supports = held_out.train.images(size, rows)  # (K, 3, S, S)
queries = held_out.test.images(size)  # (N, 3, S, S)
bank = model.encode_supports(supports)
encoded = model.encode_queries(queries)
sheet = d2.contact_sheet(supports, [held_out.train.names[i] for i in rows], "Supports")
d2.show_figure(sheet, f"{shots} numbered supports")

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
    """Weights of a level: query [B, C, H, W], supports [K, C, H, W], W [C, C], b [C] -> [B, K]."""
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
# In double precision, because a softmax over sums of thousands of terms makes rounding visible: in single precision two
# correct implementations need not agree in all the digits that are compared here.
#
# The **unprojected** features are then summed, $h_l = \sum_k w_k\, g_l(s_k)$: the projection only decides who is heard.

# %%
by_hand = [torch.einsum("nk,kchw->nchw", w, g) for w, g in zip(mine, s64)]
same("fused supports", by_hand, [d2.fuse(g, w, None) for g, w in zip(s64, mine)])

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
bars = d2.weights_figure(
    prediction.weights[example],
    [held_out.train.names[i] for i in rows],
    f"Weights for {held_out.test.names[example]}",
)
lesson.save_figure(bars, "weights")
d2.show_figure(bars, "weights of each support for one anomalous query, per level")
table = pd.DataFrame(
    {
        "level": range(1, len(mine) + 1),
        "mean effective K": [float(k_eff(w.numpy()).mean()) for w in mine],
        "mean largest weight": [float(w.max(dim=1).values.mean()) for w in mine],
        "queries with the same favourite": [int(w.argmax(dim=1).bincount().max()) for w in mine],
    }
)
print(f"{len(queries)} queries, K = {shots}")
table.round(2)

# %% [markdown]
# ## Does the query have a say?
#
# The last column counts the queries whose largest weight falls on the support that is favoured most often. On APTOS
# that is more than half of all queries at every level: they favour the **same** support.
#
# The features of two queries of a task point in much the same direction (notebook 04 measured it), and then their dot
# products with a key are much the same too. Nearly half of the features are negative, so large terms cancel in the sum,
# and only the differences between supports matter to a softmax. How much of them does the single query decide? Centre
# the scores $a_{nk}$ of query $n$ over the supports, and split their variance: the share of the mean over all queries,
# which is the same for every query, and the rest.


# %%
def scores_of(detector, divisor="channels"):
    """L of [N, K]: a_k of every test image, in double precision."""
    bank, encoded = detector.encode_supports(supports), detector.encode_queries(queries)
    with torch.no_grad():
        return [
            g_q.flatten(1).double()
            @ keys.flatten(1).double().T
            / (g_q.shape[1] if divisor == "channels" else g_q[0].numel()) ** 0.5
            for g_q, keys in zip(encoded.student, bank.keys)
        ]


say = []
for level, (a, g) in enumerate(zip(scores_of(model), encoded.student), start=1):
    a = a - a.mean(dim=1, keepdim=True)  # a softmax does not see what is common to all supports
    common = float((a.mean(dim=0) ** 2).mean() / (a**2).mean())
    say.append(
        {
            "level": level,
            "negative features": float((g < 0).float().mean()),
            "same for all queries": common,
            "of the single query": 1 - common,
        }
    )
say = pd.DataFrame(say)
say.round(2)

# %%
favourite = table["queries with the same favourite"] / len(queries)
print(
    f"the same favourite: {100 * favourite.min():.0f} to {100 * favourite.max():.0f} % of the "
    "queries; "
    f"of the single query: {say['of the single query'].min():.2f} to "
    f"{say['of the single query'].max():.2f}, in the mean of the levels "
    f"{say['of the single query'].mean():.2f}"
)
if as_shipped:
    assert favourite.min() > 0.5 and say["of the single query"].mean() < 0.5, (favourite, say)
    assert say["negative features"].between(0.35, 0.6).all(), say

# %% [markdown]
# In the mean of the levels, less than half of what the softmax sees is decided by the single query: on this task the
# weights are mostly a property of the support set. A single level may be an exception, and which one it is differs from
# one training to the next.
#
# ## Why the softmax sharpens
#
# $\sqrt{C}$ is the divisor of ordinary attention, where a dot product has C terms. Here it runs over C·H·W terms, so
# the scores are larger by a factor that grows with the grid. A softmax sees only **differences** of scores: when these
# reach 5, the second support keeps less than a hundredth of the first one's weight. The alternative
# `attention_scale="elements"` divides by $\sqrt{C\,H\,W}$.

# %% tags=["nbval-check-output"]
for level, g in enumerate(bank.levels, start=1):
    _, C, H, W = g.shape
    print(
        f"level {level}: {C * H * W:6d} terms in the dot product, divided by sqrt({C}) = "
        f"{C**0.5:.1f}; "
        f"by elements sqrt({C * H * W}) = {(C * H * W) ** 0.5:.1f}, {(H * W) ** 0.5:.0f} times more"
    )

# %%
spread = []
for student, detector in (("untrained", twin), ("trained", model)):
    for divisor in ("channels", "elements"):
        for level, a in enumerate(scores_of(detector, divisor), start=1):
            gap = a.topk(2, dim=1).values
            spread.append(
                {
                    "student": student,
                    "divisor": divisor,
                    "level": level,
                    "best minus second": float((gap[:, 0] - gap[:, 1]).mean()),
                    "mean effective K": float(k_eff(torch.softmax(a, 1).numpy()).mean()),
                }
            )
spread = pd.DataFrame(spread)
by_level = spread.pivot(index=["student", "divisor"], columns="level")
by_level.round(2)

# %%
heard = spread.set_index(["student", "divisor", "level"])["mean effective K"]
for student in ("untrained", "trained"):
    print(
        f"{student:>9}: effective K",
        ", ".join(
            f"{divisor} {heard[student, divisor].mean():.2f}"
            for divisor in ("channels", "elements")
        ),
        "(mean of the levels)",
    )
if as_shipped:
    assert (
        heard["trained", "channels"].mean() < 2.2 and heard["trained", "elements"].mean() > 2.5
    ), heard
    assert heard["trained", "channels"].max() < 3 and heard["trained", "channels"][1] < 1.3, heard
    assert (heard["trained", "elements"] > heard["trained", "channels"] + 0.5).all(), heard
    assert heard["untrained", "channels"].max() < 1.5, heard
    assert all(
        heard["trained", d].mean() > heard["untrained", d].mean() for d in ("channels", "elements")
    ), heard

# %% [markdown]
# On APTOS, divided by channels, the trained model hears hardly more than one support at level 1 and fewer than 3 of 4
# at any level; divided by elements, it hears more of them at every level. Training is not what makes the weights sharp:
# by channels the **untrained** student, with random projections, gives nearly all the weight to one support at every
# level. On the mean of the levels the trained model hears more supports than the untrained one, by either divisor.
#
# The curve makes the whole range visible: divide the scores further by a **temperature** T. Left, one support decides;
# right, all count alike. The published scale is T = 1.

# %%
temperatures = np.logspace(-3, 3, 49)
curves = {}
for name in ("channels", "elements"):
    curves[name] = {}
    for level, a in enumerate(scores_of(model, name), start=1):
        curve = [float(k_eff(torch.softmax(a / T, 1).numpy()).mean()) for T in temperatures]
        curves[name][f"level {level}"] = np.array(curve)
fig = d2.temperature_figure(
    {f'divisor: "{name}"': by_level for name, by_level in curves.items()}, temperatures, shots
)
lesson.save_figure(fig, "temperature")
d2.show_figure(fig, "effective K over the temperature, a line per level, for both divisors")
published = int(np.argmin(np.abs(temperatures - 1)))
by_channels, by_elements = (float(curves[d]["level 1"][published]) for d in curves)

# %% [markdown]
# The temperature of the model is the same division:

# %%
warm = d2.D24FAD(model.config.replace(temperature=10.0))
warm.load_trainable_state_dict(model.trainable_state_dict())
a = q64[0].flatten(1) @ keys64[0].flatten(1).T / q64[0].shape[1] ** 0.5  # (N, K)
same(
    "temperature",
    torch.softmax(a / 10.0, dim=1),
    warm.weighting.double()(q64[0], s64[0], keys64[0]),
)

# %% [markdown]
# ## What each weighting keeps of the map
#
# The same student, with the weights replaced: **mean** (all alike), **nearest** (the support of highest cosine takes
# all, nothing learned), **single** (the first support, as if K were 1), and the two scales of the learned one. Here, as
# in notebook 08, nothing is trained anew: only the weights that the map is read with change.

# %%
variants = {
    "learned, by channels": {"attention_scale": "channels"},
    "learned, by elements": {"attention_scale": "elements"},
    "mean": {"weighting": "mean"},
    "nearest": {"weighting": "nearest"},
    "single": {"weighting": "single"},
}
read = {name: model.read_as(**change) for name, change in variants.items()}
maps = {
    name: detector.predict(encoded, bank).anomaly_map for name, detector in read.items()
}  # [N, S, S] each
mask = held_out.test.masks(size, [example])[0] if held_out.has_masks else None
pictures = {"": [queries[example], *(values[example] for values in maps.values())]}
titles = ["query", *(name.replace(", ", ",\n") for name in maps)]
figure = d2.image_rows_figure(pictures, titles, mask=mask, width=1.8)
lesson.save_figure(figure, "maps")
d2.show_figure(figure, "the map of one query under each weighting, one colour scale")

# %% [markdown]
# All five maps share one colour scale. Do not look for the outlined lesions in them: the SSD map of this student seldom
# peaks there (notebook 04), whatever the weights. One query shows one case. Over all queries: how closely does
# each map follow the one of the mean (correlation of the pixels, 1 is the same picture), and does its highest pixel lie
# in the same place (within a twelfth of the side)?


# %%
def peaks(values):
    """[N, S, S] -> [N, 2], row and column of the highest pixel."""
    return np.stack(
        np.unravel_index(values.flatten(1).argmax(dim=1).numpy(), values.shape[1:]), axis=1
    )


rows_of_maps = []
for name, values in maps.items():
    pairs = zip(values.flatten(1).numpy(), maps["mean"].flatten(1).numpy())
    moved = np.linalg.norm(peaks(values) - peaks(maps["mean"]), axis=1)
    rows_of_maps.append(
        {
            "weighting": name,
            "correlation": np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]),
            "peak stays": np.mean(moved <= size / 12),
            "mean of the map": float(values.mean()),
        }
    )
keeps = pd.DataFrame(rows_of_maps).set_index("weighting")
keeps.round(3)

# %% [markdown]
# ## What is it worth?
#
# All see the same draws of supports and the same test images. The last columns are the difference in image AUROC to the
# learned weights by channels, with its paired interval of 95 %.

# %%
reports = {
    name: d2.evaluate(
        detector.to(lesson.device), held_out, shots=shots, draws=p.draws, seed=lesson.seed
    )
    for name, detector in read.items()
}
learned = reports["learned, by channels"]


def line_of(name, r):
    """A row of the table: the report, and its difference to the learned weights."""
    c = d2.compare_paired(r, learned)
    own = {"AUROC": r.auroc, "low": r.ci[0], "high": r.ci[1], "pixel AUROC": r.pixel_auroc}
    return {"weighting": name} | own | {"difference": c.difference, "from": c.low, "to": c.high}


ablation = pd.DataFrame([line_of(name, r) for name, r in reports.items()])
counts = f"{learned.n_normal} normal and {learned.n_anomalous} anomalous images"
print(f"{held_out.name}: {counts}, K = {shots}, {p.draws} draws, each image scored by itself")
ablation.round(2)

# %%
title = f"Weightings on {held_out.name}, K = {shots} ({lesson.data_kind})"
figure = d2.methods_figure(reports, title)
lesson.save_figure(figure, "ablation")
d2.show_figure(figure, "image AUROC of each weighting, with draws and intervals")

# %%
holds_zero = ablation[(ablation["from"] <= 0) & (ablation["to"] >= 0)]["weighting"].iloc[1:]
print("the difference to the learned weights may be 0 for:", ", ".join(holds_zero) or "none")
alike = keeps["correlation"]
print("lowest image AUROC:", min(reports, key=lambda name: reports[name].auroc))
print("correlation with the mean's map:", ", ".join(f"{n} {v:.2f}" for n, v in alike.items()))
if as_shipped:
    assert {"mean", "nearest"} <= set(holds_zero), ablation
    assert min(reports, key=lambda name: reports[name].auroc) == "single", ablation
    assert alike["learned, by elements"] > max(0.95, alike["learned, by channels"]), keeps
    lesion = held_out.test.masks(size).bool().numpy()  # (N, S, S)
    for name, values in maps.items():
        at = zip(lesion[held_out.test.labels == 1], peaks(values)[held_out.test.labels == 1])
        assert np.mean([mask[tuple(peak)] for mask, peak in at]) < 0.2, name

# %% [markdown]
# On APTOS these 40 images do not tell the learned weights from the mean or from the nearest support: the intervals hold
# 0. The single support has the lowest image AUROC. Divided by elements, the map is nearly that of the mean (correlation
# above 0.95); the sharper weights by channels move it further.

# %% [markdown]
# ## One support that should not be there
#
# Labels are not always right, and folders get mixed. Now one of the K supports, drawn at random, gives way to an image
# that should not be among them: an anomalous one, one of another organ, a copy of another support, a blurred or an
# inverted one. What does that cost under each weighting? Both sets of each draw meet the same test images.

# %%
stranger = next(name for name in bench if name != held_out.name)
readers = d2.read_by_weighting(model)
settings = {"shots": shots, "draws": p.draws, "seed": lesson.seed}
odd = d2.contamination_experiment(readers, held_out, bench[stranger], **settings)
cost = odd.pivot(index="contaminant", columns="method", values="change")
print(f"change of the image AUROC, mean of {p.draws} draws, K = {shots}, per image")
cost.round(3)

# %%
name, kind = odd.loc[odd["change"].idxmin(), ["method", "contaminant"]]
print(f"the largest loss: {-cost.min().min():.3f}, weighting {name}, contaminant: {kind}")
print(d2.flag_trial(model, held_out, shots=max(3, shots), trials=200, seed=lesson.seed).summary())

# %% [markdown]
# These are means of a few draws on one task, without intervals: an example, not a ranking of the weightings. The last
# line asks whether the odd one could have been noticed beforehand, from features alone: `suspicious_supports` says how
# unlike the others each support is, and 200 sets with one planted anomaly show how often that finds it. A support that
# is flagged deserves a look before a number is believed; lesson 12 does so with your own images.
#
# ## Turn the knobs
#
# With a running kernel: kind of weighting, divisor and temperature as sliders, on any query. *As configured* brings the
# model back. Without one, the curves above show the same.

# %%
if widgets_wanted():
    from IPython.display import display

    selection = d2.SupportSelection(held_out, shots)
    selection.select(rows)
    inspector = d2.SupportInspector(
        d2.LiveDetector(model, held_out, selection), index=example, weighting=True
    )
    display(inspector)
else:
    print("nobody is watching this run: no sliders")

# %% [markdown]
# ## What you saw
#
# - L2W compares the query with **projected** supports over all positions, and sums the **unprojected** ones.
# - Dividing by $\sqrt{C}$ while summing C·H·W terms makes scores larger by $\sqrt{H\,W}$; the weights are sharp before
#   any training.
# - On APTOS more than half of the queries favour the same support at every level, and in the mean of the levels less
#   than half of the differences between scores belongs to the single query.
# - There the learned weights differ from mean and nearest by no more than the test images can tell.
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
# 4. How would you notice that the weights do not depend on the query?
# 5. Which replacements need no learned weights at all, and does the table tell them from the learned ones?
#
# The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`.

# %% [markdown]
# ## Exercises
#
# Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`.
#
# **1.** The bias $b$ of $\phi_l$ adds the same number to all K scores of a query, so the softmax does not see it.
# Compute that number for each query, before the division by $\sqrt{C}$.


# %% tags=["exercise"]
# query_map [B, C, H, W], bias [C] -> [B]
def bias_score(query_map, bias): ...  # your turn


lesson.check(1, bias_score)

# %% [markdown]
# **2.** Give the weights of the `nearest` ablation: all the weight to the support of highest cosine, to the first one
# where several are equally close.


# %% tags=["exercise"]
# query_map [B, C, H, W], support_map [K, C, H, W] -> [B, K], zeros and a one in each row
def nearest_weights(query_map, support_map): ...  # your turn


lesson.check(2, nearest_weights)

# %%
numbers = ", ".join(f"{name} {reports[name].auroc:.2f}" for name in ("mean", "nearest", "single"))
lesson.finish(
    {
        "headline": f"{held_out.name}: image AUROC learned {learned.auroc:.2f}, {numbers} "
        f"(K = {shots}, {lesson.data_kind})",
        "effective_k_channels": by_channels,
        "effective_k_elements": by_elements,
        "tables": {
            "Weights": table.round(3),
            "The map": keeps.reset_index().round(3),
            "Ablation": ablation.round(3),
        },
    },
    verdict=f"of {shots} supports, {by_channels:.1f} count at level 1 with the published divisor "
    f"(image AUROC {learned.auroc:.2f}) and {by_elements:.1f} with the other "
    f"({reports['learned, by elements'].auroc:.2f}, {lesson.data_kind}).",
)
