# %% [markdown]
# # 02 · Teacher features
#
# Four normal images are far too few to learn what a chest looks like. The method borrows its eyes instead: a
# **teacher**, a network trained on something else, which is never trained again. It turns each image into a grid of
# feature vectors, at several scales. Everything that follows (student, weights, anomaly map) is arithmetic on these
# vectors, so this notebook looks at them closely, and asks how far one gets **with them alone**.
#
# **You will learn**
# - what the pyramid is: levels, strides, channels, and why nothing of it is hard-coded;
# - what "frozen" must mean, and what goes wrong if batch norm stays in train mode;
# - what the levels respond to: single channels, and all channels as one colour picture;
# - the nearest support patch, an anomaly map that needs no training;
# - which lesions each level sees: small sharp ones in fine levels, tissue of another kind in coarse ones;
# - what the teacher's weights are worth: photographs, fractals, or none at all.
#
# **Needs:** CPU · about 30 s, 2 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of the random teacher and the support draws
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
task: str = "APTOS"  # the task of the close look
teacher: str = ""  # timm name of the frozen network; empty: the profile's
weights: str = ""  # "imagenet", "embedded", "random" or a file; empty: the profile's

# %% tags=["setup"]
import numpy as np
import pandas as pd
import torch
from scipy.ndimage import label
from torch.nn import functional as F

import d24fad_lite as d2
from d24fad_lite.lessons import same, start_lesson

lesson = start_lesson("02_teacher_features", globals())
p = lesson.profile
as_shipped = (
    lesson.root is None
    and p.name == "quick"
    and (p.teacher, p.weights) == ("tf_efficientnet_lite0", "imagenet")
)

# %% [markdown]
# ## A pyramid
#
# A convolutional network halves the grid from stage to stage and widens the vectors:
# $T(x) \to [f_1, \dots, f_L],\, e$. Level $l$ is a grid of $H_l \times W_l$ vectors with $C_l$ channels. Its **stride**
# says how many pixels one step on the grid is. The last map is the **embedding** $e$, the only thing that the student
# will get to see.

# %%
bench = d2.open_benchmark(lesson.data)
net = d2.Teacher(p.teacher, p.weights, p.image_size, seed=lesson.seed)
print(f"{p.teacher}, weights: {net.weights_source}")

# %% tags=["nbval-check-output"]
close = bench[task]
bad = np.flatnonzero(close.test.labels == 1)
rows = [0, 1, int(bad[0]), int(bad[2])]  # two normal and two anomalous test images
queries = close.test.images(p.image_size, rows)  # (B, 3, S, S)
masks = close.test.masks(p.image_size, rows) if close.has_masks else [None] * len(rows)
levels, embedding = net(queries)  # L of (B, C_l, H_l, W_l), (B, C_e, H_e, W_e)
names = [*(f"level {i + 1}" for i in range(len(levels))), "embedding"]
for name, f in zip(names, (*levels, embedding)):
    print(
        f"{name:>9}: {f.shape[1]} channels on {f.shape[2]} x {f.shape[3]}, stride "
        f"{p.image_size // f.shape[2]}, {f[0].numel()} numbers"
    )
print(f"    image: {queries[0].numel()} numbers")

# %% [markdown]
# One picture of all channels: a **principal component analysis** over all positions of the four images gives three
# directions along which the vectors differ most; they become red, green and blue. Equal colours mean like features, in
# all images of a row.


# %%
def to_colours(f):
    """[B, C, H, W] -> [B, H, W, 3] in 0..1: the first three principal components."""
    flat = f.permute(0, 2, 3, 1).flatten(0, 2)  # (B·H·W, C)
    flat = flat - flat.mean(dim=0)
    _, _, directions = torch.linalg.svd(flat, full_matrices=False)
    components = flat @ directions[:3].T  # (B·H·W, 3)
    low, high = components.quantile(0.02, dim=0), components.quantile(0.98, dim=0)
    colours = ((components - low) / (high - low)).clamp(0, 1)
    return (255 * colours).byte().view(f.shape[0], *f.shape[2:], 3).numpy()


# %%
pictures = {"image": queries} | {n: to_colours(f) for n, f in zip(names, (*levels, embedding))}
titles = ["normal", "normal", "anomalous", "anomalous"]
figure = d2.image_rows_figure(pictures, titles, width=1.5, masks={"image": masks})
lesson.save_figure(figure, "features_as_colours")
d2.show_figure(figure, "four images, and the features of each level as colours")

# %% [markdown]
# Fine levels follow edges and texture, coarse ones regions. A lesion of a few pixels is a cell of its own in a fine
# level, and a small share of one cell in a coarse one: in which rows could you still point at the outlined ones?
# Below, we measure it.
#
# ## By hand
#
# The teacher is no black box: normalise as in its training, $(x - \mu)/\sigma$ per colour channel, run the stem (the
# first convolution), then stage by stage, and keep a stage's map before the grid is halved again. The two teachers of
# the profile quick name their stages differently.


# %%
def stem_and_stages(backbone):
    """The stem, and the stages whose outputs count, as lists of modules to run in order."""
    if hasattr(backbone, "layer1"):  # ResNet
        stem = [backbone.conv1, backbone.bn1, backbone.act1, backbone.maxpool]
        return stem, [[backbone.layer1], [backbone.layer2], [backbone.layer3], [backbone.layer4]]
    b = backbone.blocks  # EfficientNet: stages 2 and 3, then pairs of stages that share a grid
    return [backbone.conv_stem, backbone.bn1, b[0]], [[b[1]], [b[2]], [b[3], b[4]], [b[5], b[6]]]


def teacher_by_hand(images):
    x = (images - net.mean) / net.std  # (B, 3, S, S)
    stem, stages = stem_and_stages(net.backbone)
    for module in stem:
        x = module(x)
    maps = []
    for stage in stages:
        for module in stage:
            x = module(x)
        maps.append(x)
    return maps  # three levels and the embedding


# %%
if hasattr(net.backbone, "layer1") or hasattr(net.backbone, "blocks"):
    with torch.no_grad():
        mine = teacher_by_hand(queries)
    for name, a, b in zip(
        ("level 1", "level 2", "level 3", "embedding"), mine, (*levels, embedding)
    ):
        same(name, a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))
else:
    print(f"{p.teacher} has other stages; by hand is written for ResNet and EfficientNet")

# %% [markdown]
# Nothing downstream knows these numbers by heart. The teacher describes itself from one dry run, and student and
# weighting are sized from that. Here is a teacher of four lines that the kit accepts like any other:


# %% tags=["nbval-check-output"]
class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = torch.nn.ModuleList(
            [torch.nn.Conv2d(c, 2 * c, 2, stride=2) for c in (3, 6, 12, 24)]
        )

    def forward(self, x):
        return [x := stage(x).relu() for stage in self.stages][1:]


tiny = d2.D24FAD(d2.D24FADConfig(teacher=Tiny(), image_size=48)).eval()
print("channels", tiny.teacher.channels, "grids", tiny.teacher.grids)
print(
    "student ",
    [tuple(g.shape[1:]) for g in tiny.student(tiny.teacher(torch.rand(1, 3, 48, 48)).embedding)],
)

# %% [markdown]
# ## Frozen
#
# No gradient, no graph, and **eval mode whatever is said to `.train()`**. The last is easily forgotten: batch norm in
# train mode computes its statistics from the batch at hand, and then the features of an image depend on its company.
# Notebook 11 shows what a score is worth that knows its company.

# %% tags=["nbval-check-output"]
net.train()  # asks for train mode; a frozen teacher stays as it is
print("parameters with gradient:", sum(q.requires_grad for q in net.parameters()))
print("graph recorded:", levels[0].requires_grad, "· in train mode:", net.backbone.training)


def company_matters(backbone):
    """Largest relative change of the first image's features when others join the batch."""
    with torch.no_grad():
        alone, joined = backbone(queries[:1])[-1][0], backbone(queries)[-1][0]
    return float((alone - joined).abs().max() / joined.abs().max())


print("eval mode, company changes an image's features:", company_matters(net.backbone) > 1e-3)
thawed = d2.Teacher(p.teacher, "random", p.image_size, seed=lesson.seed).backbone.train()
print("train mode, company changes an image's features:", company_matters(thawed) > 1e-3)

# %% [markdown]
# ## What single channels respond to
#
# The four channels of each level that vary most over the first anomalous image, each from its lowest to its highest
# value.

# %%
shown = 2  # the first anomalous image
strongest = [f[shown].flatten(1).std(dim=1).topk(4).indices.tolist() for f in levels]


def stretched(channel):
    return ((channel - channel.min()) / (channel.max() - channel.min())).numpy()


pictures = {
    name: [queries[shown], *(stretched(f[shown, c]) for c in channels)]
    for name, f, channels in zip(names, levels, strongest)
}
captions = [["", *(f"channel {c}" for c in channels)] for channels in strongest]
figure = d2.image_rows_figure(pictures, captions=captions, width=1.4)
lesson.save_figure(figure, "channels")
d2.show_figure(figure, "one anomalous image, and four channels of each level")

# %% [markdown]
# ## The nearest support patch
#
# If a patch of the query is normal, then something like it should occur in some normal support, wherever. So its
# anomaly is the distance to the **nearest** patch of all K supports:
#
# $$d(u) = \min_{k,\,v} \big\lVert \hat f(q)_u - \hat f(s_k)_v \big\rVert, \qquad
# \text{score}(q) = \max_u d(u),$$
#
# with $\hat f$ the unit vectors of a position: levels 2 and 3, each averaged over 3x3, brought to the finer grid and
# normalised, then put side by side. That is PatchCore's idea (Roth et al., 2022) with K images in place of hundreds.


# %%
def unit_patches(levels, used):
    """[B, C_l, H_l, W_l] per level -> unit vectors [B, P, C] on the finest used grid."""
    parts = []
    grid = levels[used[0]].shape[2:]
    for i in used:
        local = F.avg_pool2d(levels[i], 3, stride=1, padding=1, count_include_pad=False)
        local = F.interpolate(local, size=grid, mode="bilinear", align_corners=False)
        parts.append(F.normalize(local, dim=1))  # every level has the same say
    return F.normalize(torch.cat(parts, dim=1), dim=1).flatten(2).transpose(1, 2)


def nearest_distance(query_patches, support_patches):
    """[B, P, C] and [K, P, C] -> [B, P]: distance to the nearest patch of any support."""
    cosines = query_patches @ support_patches.flatten(0, 1).T  # (B, P, K·P)
    return (2 - 2 * cosines.amax(dim=2)).clamp(min=0).sqrt()  # |a - b| of unit vectors


# %%
K = 4
draws = d2.draw_supports(len(close.train), K, p.draws, lesson.seed)
supports = close.train.images(p.image_size, draws[0])  # (K, 3, S, S)
support_levels = net(supports).levels


def distance_maps(used):
    query_patches, support_patches = unit_patches(levels, used), unit_patches(support_levels, used)
    distances = nearest_distance(query_patches, support_patches)  # (B, P)
    return distances.view(-1, *levels[used[0]].shape[2:])  # (B, H, W)


scorer = d2.NearestPatch(net)
package = scorer.score(queries, scorer.prepare(supports, np.arange(K)[None])).scores[0]  # (B,)
by_hand = distance_maps((1, 2)).amax(dim=(1, 2))  # (B,)
same("nearest-patch scores", by_hand, package, rtol=1e-3, atol=1e-4)

# %% [markdown]
# The same at each level alone. Every row has its own scale: the colours run from the lowest to the highest value of its
# four maps.

# %%
used = {"level 1": (0,), "level 2": (1,), "level 3": (2,), "levels 2 and 3": (1, 2)}
pictures = {"query": queries} | {name: distance_maps(which) for name, which in used.items()}
figure = d2.image_rows_figure(pictures, titles, width=1.5, masks={"query": masks})
lesson.save_figure(figure, "nearest_patch_maps")
d2.show_figure(
    figure, "four queries, and their distance to the nearest support patch at each level"
)

# %% [markdown]
# A bright spot on a normal image is no bug of the picture: it is a place whose like happens not to occur in these K
# supports.
#
# ## What each stride sees
#
# How large are the lesions? A spot is a connected region of a mask; its size is given as the side of a square of the
# same area, to be compared with the strides 4, 8, 16 and 32.


# %%
def spot_sides(some_task):
    """Side in pixels of every connected spot in the task's masks."""
    spots = []
    for mask in some_task.test.masks(p.image_size, np.flatnonzero(some_task.test.labels)).numpy():
        marked, count = label(mask)
        spots += [*np.sqrt(np.bincount(marked.ravel(), minlength=count + 1)[1:])]
    return spots


sides = {name: spot_sides(one) for name, one in bench.items() if one.has_masks}
sizes = pd.DataFrame(
    {
        "spots per image": len(spots) / int((bench[name].test.labels == 1).sum()),
        "median side, px": np.median(spots),
        "largest": np.max(spots),
    }
    for name, spots in sides.items()
)
sizes.index = pd.Index(sides, name="task")
sizes.round(1)

# %% [markdown]
# Now the nearest support patch at each level alone, and at the embedding as if it were a fourth level. The left panel
# asks **which image** is anomalous (image AUROC, mean of the draws), the right one **where** (pixel AUROC: how often a
# random pixel of a lesion has a higher value than a random normal pixel). A *draw* is one random choice of the K
# supports (notebook 03); the intervals are over draws and test images (notebook 09).


# %%
class WithEmbedding(torch.nn.Module):
    """The teacher, its embedding counted as a level too."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        maps, e = self.inner(images)
        return [*maps, e, e]


# %%
with_embedding = d2.Teacher(WithEmbedding(net), image_size=p.image_size, normalize=False)
four = d2.SharedTeacher(with_embedding)  # each image is seen once


def of_level(i):
    """A report per task, with the nearest patch at one level."""
    scorer = d2.NearestPatch(four, levels=(i,))
    return [d2.evaluate(scorer, one, K, p.draws, lesson.seed) for one in bench.values()]


strides = [p.image_size // f.shape[2] for f in (*levels, embedding)]
by_level = {stride: of_level(i) for i, stride in enumerate(strides)}

# %%
tasks = pd.Index(bench, name="task")
which = pd.DataFrame({s: [r.auroc for r in row] for s, row in by_level.items()}, tasks)
where = pd.DataFrame({s: [r.pixel_auroc for r in row] for s, row in by_level.items()}, tasks)
called = [f"{name}\nstride {stride}" for name, stride in zip(names, strides)]
panels = {"image AUROC": which, "pixel AUROC": where.dropna()}
figure = d2.by_level_figure(panels, called, "Nearest patch: ")
lesson.save_figure(figure, "by_level")
d2.show_figure(figure, "image and pixel AUROC of each task, at each level alone")


# %%
def with_interval(report):
    low, high = report.ci
    return f"{report.auroc:.2f} [{low:.2f}, {high:.2f}]"


one = by_level[strides[0]][0]
print(
    f"image AUROC with 95 % interval by stride ({one.protocol}, K={K}, {one.draws} draws, "
    f"n={one.n_normal}+{one.n_anomalous} on {one.task})"
)
pd.DataFrame({s: [with_interval(r) for r in row] for s, row in by_level.items()}, tasks)

# %%
print("pixel AUROC by stride, the same draws and images")
where.round(2)

# %% [markdown]
# With the ImageNet teacher on the shipped samples (the cell below fails where one of these sentences is not true):
#
# - **Small and sharp** (APTOS: twenty spots an image, half of them under 3 px): *where* is known best at stride 4 and
#   worse with each coarser level, pixel AUROC 0.97, 0.94, 0.87, and 0.77 in the embedding. *That* there is something is
#   still known at stride 32 (image AUROC 0.99): a cell of 32 px with several spots is an odd cell.
# - **Large, and made of ordinary parts** (HIS: a region of about 80 px where nuclei are large and crowded): stride 4
#   tells images apart worst, image AUROC 0.85, and every coarser level nearly without error. A single edge of a
#   nucleus is nothing new; many large nuclei side by side are.
# - Stride 8 is the best single level on the mean of the tasks (image AUROC 0.98), and the embedding points worse than
#   stride 8 on every task. The student sees the embedding alone (notebook 04), so it must guess what was lost there.

# %%
if as_shipped:
    assert np.median(sides["APTOS"]) < 3 and 60 < np.median(sides["HIS"]) < 100, sides
    assert np.median(sides["RSNA"]) > 20, sides
    assert 17 < sizes.loc["APTOS", "spots per image"] < 25, sizes
    assert np.allclose(where.loc["APTOS"], [0.97, 0.94, 0.87, 0.77], atol=0.02), where
    assert where.loc["APTOS"].is_monotonic_decreasing and which.loc["APTOS", 32] > 0.97, which
    assert abs(which.loc["HIS", 4] - 0.85) < 0.02 and which.loc["HIS"].drop(4).min() > 0.97, which
    assert which.mean().idxmax() == 8 and abs(which.mean()[8] - 0.98) < 0.015, which
    assert (where[32] < where[8]).all(), where
compared = "as the text says" if as_shipped else "other data or teacher, not compared"
print(f"what each stride sees: {compared}")

# %% [markdown]
# ## Where the embedded teacher comes from
#
# ImageNet weights come from millions of photographs, and from a package or a download. The embedded teacher is part of
# the kit: it learned to tell **fractals** apart. A class is one iterated function system, a few affine maps
# $x \mapsto A_i x + b_i$; a random one of them is applied again and again, and the visited points draw the picture.
# Perturbed maps give the other members of the class; changing pose, colour, clouds and camera give the training views.
# No photograph, no patient, no label by hand.


# %%
def turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def chaos_game(system, steps, rng):
    """One orbit [steps, 2]: apply a random map of the system, again and again."""
    parts = zip(system.turns, system.scales, system.flips)
    maps = [turn(a) @ np.diag(scale * flip) @ turn(b) for (a, b), scale, flip in parts]
    weights = np.array([abs(np.linalg.det(m)) + 1e-3 for m in maps])  # larger maps more often
    x, orbit = np.zeros(2), []
    for i in rng.choice(len(maps), size=steps, p=weights / weights.sum()):
        x = maps[i] @ x + system.shifts[i]
        orbit.append(x)
    return np.array(orbit)


# %%
stage = d2.PretrainingRecipe().stages[0]
camera = {"texture": stage.texture, "camera": stage.camera, "grey": stage.grey}


def member(system, number, i):
    """Another member of a class: the same system with its maps perturbed; uint8 [80, 80]."""
    points = system.points(np.random.default_rng([0, number, i]), d2.FRACTAL_PERTURBATION)
    return d2.render_fractal(points, 80)


def views_of(picture, number):
    """Three training views of one member: float [3, 3, 64, 64]."""
    three = torch.from_numpy(np.stack([picture] * 3)).float().div(255)[:, None]  # (3, 1, 80, 80)
    return d2.draw_fractal_views(three, 64, torch.Generator().manual_seed(number), **camera)


# %%
pictures = {}
for number in range(4):
    system = d2.find_fractal(0, number, 80)
    orbit = chaos_game(system, 6000, np.random.default_rng(number))[20:]
    drawn = [d2.render_fractal(orbit, 80), *(member(system, number, i) for i in (0, 1))]
    in_grey = [np.repeat(picture[..., None], 3, axis=2) for picture in drawn]
    pictures[f"class {number}"] = [*in_grey, *views_of(drawn[1], number)]
titles = ["by hand", "member 1", "member 2", "view of 1", "view of 1", "view of 1"]
figure = d2.image_rows_figure(pictures, titles, width=1.3)
lesson.save_figure(figure, "fractals")
d2.show_figure(
    figure, "four classes of fractals: one orbit by hand, two members, three training views"
)

# %%
shipped = d2.embedded_catalog().get("resnet18")
if shipped:
    recipe = shipped["recipe"]
    print(
        f"embedded resnet18: {recipe['classes']} classes, {shipped['steps']} steps of "
        f"{recipe['batch_size']} views at {recipe['image_size']} px, "
        f"{shipped['seconds'] / 60:.0f} minutes on {shipped['device']}"
    )
    print(
        f"training accuracy at the end {100 * shipped['final_training_accuracy']:.0f} %, "
        f"{shipped['bytes'] / 1e6:.1f} MB stored"
    )
else:
    print("no embedded weights of resnet18 in this installation")

# %% [markdown]
# ## What are the weights worth?
#
# An honest comparison: the same scorer (levels 2 and 3), the same supports, the same test images; only the teacher
# differs: ImageNet weights where they are on this computer, the embedded fractal teacher, and the first architecture
# with random weights. A random network is no straw man: its features still depend on brightness, edges and texture. It
# alone differs from the first teacher in nothing but its weights; the embedded teacher is another architecture too.

# %%
teachers = {f"{p.teacher}, {p.weights}": four}
for name, source in (("resnet18", "embedded"), (p.teacher, "random")):
    if (name, source) != (p.teacher, p.weights):
        network = d2.Teacher(name, source, p.image_size, seed=lesson.seed)
        teachers[f"{name}, {source}"] = d2.SharedTeacher(network)


def of_teacher(network):
    """A report per task, with the nearest patch at levels 2 and 3."""
    scorer = d2.NearestPatch(network, levels=(1, 2), maps=False)
    return [d2.evaluate(scorer, t, K, p.draws, lesson.seed, pixel=False) for t in bench.values()]


reports = {name: of_teacher(network) for name, network in teachers.items()}
means = {name: float(np.mean([r.auroc for r in by_task])) for name, by_task in reports.items()}

# %% [markdown]
# AUROC of the first teacher, of each other one, and the difference of the two with its 95 % interval, on the same draws
# and test images (paired bootstrap).

# %%
first, *others = reports


def difference(a, b, other):
    c = d2.compare_paired(a, b, seed=lesson.seed)
    row = {"task": a.task, "against": other, "AUROC": a.auroc, "the other": b.auroc}
    return row | {"difference": c.difference, "low": c.low, "high": c.high}


table = pd.DataFrame(
    difference(a, b, other) for other in others for a, b in zip(reports[first], reports[other])
)
table.round(3)

# %%
figure = d2.teachers_figure(reports, table)
lesson.save_figure(figure, "weights_compared")
d2.show_figure(figure, "image AUROC of each teacher on each task, and paired differences")

# %%
for other, part in table.groupby("against"):
    better = ", ".join(part.loc[part["low"] > 0, "task"]) or "no task"
    worse = ", ".join(part.loc[part["high"] < 0, "task"]) or "no task"
    unsure = int(((part["low"] <= 0) & (part["high"] >= 0)).sum())
    print(f"{first} against {other}:")
    print(f"    better on {better}; worse on {worse}; cannot be told on {unsure}")

# %% [markdown]
# Read the right panel first: where an interval contains 0, these test images cannot tell which teacher is better. The
# left one tempts to compare two clouds by eye, which forgets that both teachers met the same images and supports.
#
# On the shipped samples the mean image AUROC of the ImageNet teacher is over 0.9 and the highest of the three; random
# weights have the lowest.

# %%
if as_shipped:
    embedded, random = (means[name] for name in others)
    assert means[first] > 0.9 and means[first] > embedded > random, means
print(", ".join(f"{name}: {mean:.2f}" for name, mean in means.items()))

# %% [markdown]
# ## What you saw
#
# - The teacher is a fixed function from images to a pyramid of vectors; a few lines repeat it.
# - Fine levels know where a small lesion is, coarse ones that a region is of another kind. The embedding, at stride 32,
#   still tells images apart, but points worse than stride 8 on every task.
# - Frozen means eval mode too, or an image's features depend on its neighbours.
# - Distances to the nearest support patch already give a map and a score, without any training: image AUROC over 0.9 on
#   the mean of five plain tasks. Whatever the method adds must be measured against this, not against nothing.
#
# **What to question:** these lesions are plain, and drawn by formulas. Do photographs teach what an X-ray needs? And
# the comparison used one random initialisation: another seed is another random teacher.
#
# ## Check yourself
#
# 1. What do stride and channels of a level mean, and what becomes of both from level to level?
# 2. Why must the teacher stay in eval mode, and what did train mode do to the features?
# 3. How do many channels become one colour picture?
# 4. Write down the score of the nearest support patch. Why is the minimum taken over positions too?
# 5. Why does stride 4 point best at spots of 3 px, and yet tell the tissue images apart worst?
# 6. What was the embedded teacher trained on, and on which evidence do you call one teacher better than another?
#
# The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`.

# %% [markdown]
# ## Exercises
#
# Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`.
#
# **1.** How alike are the features of the same images under two teachers, or with and without normalisation? Give the
# mean over images of the cosine of the flattened maps.


# %% tags=["exercise"]
# two maps [B, C, H, W] -> a number in -1..1
def agreement(first, second): ...  # your turn


lesson.check(1, agreement)

# %% [markdown]
# **2.** What if a patch may only be compared with the **same position** of the supports? Write that distance; it is
# what the method's residual does later, after the supports are fused.


# %% tags=["exercise"]
# unit vectors [B, P, C] and [K, P, C] -> [B, P], nearest over k at the same position
def same_place_distance(query_patches, support_patches): ...  # your turn


lesson.check(2, same_place_distance)

# %%
by_teacher = ", ".join(f"{mean:.2f} with {name}" for name, mean in means.items())
alone = pd.concat({"image AUROC": which, "pixel AUROC": where}, names=["measure"]).round(3)
lesson.finish(
    {
        "headline": f"nearest patch, K = {K}, mean image AUROC over {len(bench)} tasks "
        f"({lesson.data_kind}): {by_teacher}",
        "tables": {
            "Levels alone, by stride": alone.rename(columns=str).reset_index(),
            "Teachers, paired": table.round(3),
        },
    },
    verdict="the nearest support patch tells images apart without any training, mean image AUROC "
    f"{means[first]:.2f} ({first}, K = {K}, {len(bench)} tasks, {lesson.data_kind}).",
)
