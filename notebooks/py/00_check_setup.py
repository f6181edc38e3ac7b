# %% [markdown]
# # 00 · Check the set-up
#
# Is this machine ready for the series? This page runs every part once, in small: packages, device, data, the frozen
# teacher, one training step, one anomaly map. Each check prints one line, `ok` or `FAILED`, and a failed one says
# **what to do**. Nothing is downloaded, and no later notebook needs anything that is not looked at here.
#
# **You will learn**
# - whether the twelve notebooks that follow will run here, and which parts are optional;
# - what the kit is about, in one picture, and its whole way from folder to result in five lines;
# - what the profiles quick, standard and full would cost on this machine;
# - how to ask for help with a report that is worth something.
#
# **Needs:** CPU · about 15 s, 1.5 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of the tiny detector
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples

# %% tags=["setup"]
import hashlib
import json
import os
import platform
import shutil
import time
import warnings
from importlib.metadata import PackageNotFoundError, requires, version

import numpy as np
import torch

import d24fad_lite as d2
from d24fad_lite.runner.checks import same
from d24fad_lite.runner.lesson import start_lesson
from d24fad_lite.runner.profiles import PROFILES

lesson = start_lesson("00_check_setup", globals())
p = lesson.profile

# %% [markdown]
# If already that cell failed: the kernel of this notebook is not the environment of the kit. Run `make run` once in
# the checkout (it creates `.venv` and installs), then choose the kernel of `.venv` in the menu *Kernel*, or start
# JupyterLab with `make lab`.
#
# ## What this is about
#
# Five tasks of the sample world, drawn by formulas: above a **normal** image, below an **anomalous** one, its lesion
# outlined. A detector must tell them apart in a task that it was never trained on, from a few normal images alone.

# %%
import matplotlib.pyplot as plt

from d24fad_lite.runner.style import ANOMALOUS, NORMAL

bench = d2.open_benchmark(lesson.data)
fig, axes = plt.subplots(2, len(bench), figsize=(1.9 * len(bench), 4.1), squeeze=False)
for column, task in zip(axes.T, bench.values()):
    for ax, label in zip(column, (0, 1)):
        i = int(np.flatnonzero(task.test.labels == label)[2])
        ax.imshow(task.test.images(p.image_size, i)[0].permute(1, 2, 0))
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        if label and task.has_masks:
            ax.contour(task.test.masks(p.image_size, i)[0], [0.5], colors="#56B4E9", linewidths=1.6)
    column[0].set_title(task.name, fontsize=11, loc="center")
axes[0, 0].set_ylabel("normal", color=NORMAL)
axes[1, 0].set_ylabel("anomalous", color=ANOMALOUS)
lesson.save_figure(fig, "five_tasks")
plt.show()

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
def packages():
    """Compare what is installed with what the kit requires; raises for a required package."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires("d24fad-lite") or []]
    except PackageNotFoundError:
        return "the kit is used from its folder without being installed, so it states no requirements"
    wrong, optional, good = [], [], 0
    for requirement in wanted:
        extra = str(requirement.marker).partition("extra == ")[2].strip("\"'") if requirement.marker else ""
        try:
            fits = requirement.specifier.contains(version(requirement.name), prereleases=True)
            found = version(requirement.name)
        except PackageNotFoundError:
            fits, found = False, "absent"
        good += fits
        if not fits:
            (optional if extra else wrong).append(f"{requirement.name} {found}, needs {requirement.specifier}")
    if wrong:
        raise RuntimeError("; ".join(wrong))
    return f"{good} fit" + (f"; optional and not usable: {'; '.join(optional)}" if optional else "")


check("Python", lambda: f"{platform.python_version()} on {platform.system()} {platform.machine()}", "")
check("packages", packages, "`make run` in the checkout installs all; or choose the kernel of its .venv")

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
    return f"{torch.get_num_threads()} threads on {os.cpu_count()} cores, {speed:.0f} GFLOP/s; GPU: {gpu}"


def memory():
    import psutil

    free = psutil.virtual_memory().available / 2**30
    if free < 3:
        raise RuntimeError(f"only {free:.1f} GiB are free, the series wants 3")
    return f"{free:.1f} GiB free"


def disk():
    free = shutil.disk_usage(lesson.out).free / 2**30
    probe = lesson.out / "probe"
    probe.write_text("x")
    probe.unlink()
    if free < 1:
        raise RuntimeError(f"only {free:.1f} GiB are free where results are written, runs want 1")
    return f"results can be written, {free:.0f} GiB free"


check("compute", compute, "set OMP_NUM_THREADS to the number of cores you may use, and restart the kernel")
check("memory", memory, "close other kernels (menu Kernel, Shut Down All); psutil absent: `make run` installs it")
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
        return f"{len(bench)} tasks, two images of each could be read; run bench[name].check() for all"
    changed = [name for name, facts in files.items()
               if hashlib.sha256((lesson.data / name).read_bytes()).hexdigest() != facts["sha256"]]
    if changed:
        raise RuntimeError(f"{len(changed)} of {len(files)} files differ from MANIFEST.json, first: {changed[0]}")
    return f"{len(files)} files are, byte for byte, what MANIFEST.json says"


check("data", data, "samples: delete the folder data_samples and run `d24fad samples data_samples`; your data: the "
      "message names the file")

# %% tags=["nbval-check-output"]
for name, task in bench.items():
    print(f"{name:>10}: {len(task.train)} normal training images, test {int((task.test.labels == 0).sum())} normal + "
          f"{int((task.test.labels == 1).sum())} anomalous, masks: {task.has_masks}")

# %% [markdown]
# ## Teacher
#
# The frozen network that all features come from. `weights="embedded"` is shipped with the kit and needs no network;
# where it is absent, seeded **random** weights are used and said so. The lessons run with these too, but what they
# measure is then the worth of a random network.

# %%
models = {}


def load_teacher():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        models["teacher"] = d2.D24FAD(d2.D24FADConfig(teacher=p.teacher, weights=p.weights, image_size=64,
                                                      seed=lesson.seed))
    note = [str(w.message) for w in said if "weights" in str(w.message)]
    size = sum(q.numel() for q in models["teacher"].teacher.parameters()) / 1e6
    got = f"NOTE: {note[0]}" if note else f"{p.weights} weights"
    return f"{p.teacher}, {size:.1f} million parameters, {got}"


check("teacher", load_teacher, "no network? weights='embedded' or 'random' instead of 'imagenet'; a damaged file: "
      "install the package again")

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


check("train and predict", train_step, "a fault of the torch installation more often than of the kit: run "
      "`d24fad check` and send its output with an issue")

# %% tags=["nbval-check-output"]
prediction = models["prediction"]
same("image score: the maximum of the map", prediction.anomaly_map.amax(dim=(1, 2)), prediction.score)
print("maps", list(prediction.anomaly_map.shape), "scores", list(prediction.score.shape),
      "weights per query, level and support", list(prediction.weights.shape))

# %% [markdown]
# ## The kit in five lines
#
# Open a folder of tasks, build a detector, train it on all tasks but one, evaluate it on that one. Here with two tasks,
# at 64 px and for one epoch: the way is right, the result means nothing.

# %%
started = time.perf_counter()
other, held_out = list(bench)[-2:]  # in the lessons: all tasks but one, and that one
tasks = d2.open_benchmark(lesson.data, [other, held_out])
model = d2.D24FAD(d2.D24FADConfig(teacher=p.teacher, weights=p.weights, image_size=64, seed=lesson.seed))
d2.fit(model, tasks.without(held_out), shots=2, epochs=1, episodes="in-batch", device="cpu", progress=False)
report = d2.evaluate(model, tasks[held_out], shots=2, draws=2, pixel=False)
outcome["five lines"] = "ok"
print(f"trained on {other}, tested on {held_out}: {report.summary()} ({time.perf_counter() - started:.1f} s)")

# %% [markdown]
# The interval behind the number is wide, and it is printed with it, always. Notebook 09 shows what it covers.
#
# ## What each profile would cost
#
# One switch sets the size of everything: the parameter `profile`, or the environment variable `D24FAD_PROFILE`. Nearly
# all the time goes into the student: for each query of each epoch forward and backward (about three forward passes),
# for the query and, with independent episodes, for its K supports,
#
# $$\text{image passes} = 3 \cdot \text{trainings} \cdot \text{epochs} \cdot N \cdot (1 + K), \qquad
# \text{trainings} = \text{seeds} \times \text{tasks} \; (\times \text{ numbers of shots}).$$
#
# We count the operations of one pass, and measure how many this machine does per second in the very same kind of work.

# %%
from torch.utils.flop_counter import FlopCounterMode


def operations(module, x):
    """Floating point operations of one forward pass."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(x)
    return counter.get_total_flops()


def teacher_operations(name, side):
    """Of one image, counted on the meta device: no weights, no time."""
    import timm

    with torch.device("meta"):
        return operations(timm.create_model(name, num_classes=0).eval(), torch.rand(1, 3, side, side))


small = models["teacher"]
embedding = small.teacher(torch.rand(8, 3, 64, 64)).embedding
student_share = operations(small.student, embedding[:1]) / operations(small.teacher, torch.rand(1, 3, 64, 64))
small.student.train()
started = time.perf_counter()
for _ in range(3):
    sum(g.square().mean() for g in small.student(embedding)).backward()
per_second = 3 * 3 * operations(small.student, embedding) / (time.perf_counter() - started)

# %%
import pandas as pd


def hours(profile, images):
    """Hours of training all tasks, on this machine's CPU, with `images` normal training images in the other tasks."""
    q = PROFILES[profile]
    k = np.array([q.train_shots] if q.train_shots else list(q.shots))  # one training for each
    passes = 3 * len(q.seeds) * len(bench) * q.epochs * images * (1 + k * (q.episodes == "independent")).sum()
    return passes * student_share * teacher_operations(q.teacher, q.image_size) / per_second / 3600


here = sum(len(task.train) for task in bench.values()) * (len(bench) - 1) // len(bench)
cost = pd.DataFrame([
    {"profile": name, "teacher": q.teacher, "weights": q.weights, "epochs": q.epochs,
     "shots": ", ".join(map(str, q.shots)), "draws": q.draws, "seeds": len(q.seeds), "episodes": q.episodes,
     f"hours here, {here} images": hours(name, here), "hours here, 10,000 images": hours(name, 10_000)}
    for name, q in PROFILES.items()])
cost.round(2)

# %% [markdown]
# A rough estimate of training alone, **on this CPU**. A GPU is faster by far, and `standard` and `full` use one where
# they find it; both load ImageNet weights, so they need the network once. For `quick` nobody has to estimate: what each
# notebook took was measured, and stands at the top of its page.
#
# ## Verdict

# %%
failed = [name for name, result in outcome.items() if result != "ok"]
print(f"NOT ready: {', '.join(failed)} failed, see below" if failed else f"ready: all {len(outcome)} checks are ok")

# %% [markdown]
# ## When a check fails
#
# - **packages**: nearly always the wrong kernel. `import sys; sys.executable` must lie in the checkout's `.venv`.
# - **data**: a changed file after an editor or a sync service "repaired" it; draw the samples anew.
# - **teacher**: with `imagenet` and no network, the message names the three ways out.
# - **train and predict**: run `d24fad check` in a terminal. It does the same outside of Jupyter; if it succeeds there,
#   the kernel is at fault.
# - A kernel that **dies** without a message ran out of memory: fewer parallel notebooks, or a larger container.
#
# Asking for help? The line printed by the set-up cell and the lines above are what anybody will ask you for.
#
# ## What you saw
#
# - Every part of the kit works here, or the page said which does not and what to do.
# - A detector is five lines; what these lines mean is what the next twelve notebooks are about.
# - The profiles differ by orders of magnitude in cost; all lessons are written for the cheapest.
#
# **What to question:** a check that passes has tried one case. It did not try your data, your GPU, or a run of eight
# hours. And the tour ended with a number: is there any reason yet to believe it?
#
# ## Check yourself
#
# 1. Which parts of the set-up are optional, and what is lost without them?
# 2. How does the page know that the sample images are unchanged?
# 3. What does the kit do where no embedded weights are shipped, and what do results mean then?
# 4. Which task does the detector of the five lines never see in training?
# 5. Why does the full profile cost so much more than quick: name the factors of the equation.

# %% [markdown]
# ## Exercises
#
# **1.** How many trainings does a profile need for the full benchmark? (Each seed and each left-out task; one for each
# K where `train_shots` is 0, else one for all K.)

# %% tags=["exercise"]
def trainings(profile, tasks):
    ...  # your turn: profile has .seeds, .shots and .train_shots


lesson.check("trainings of the full profile", lambda: trainings(PROFILES["full"], 5), 45,
             hint="3 seeds, 5 tasks, and K = 2, 4, 8 each trained anew")

# %% tags=["solution"]
def trainings(profile, tasks):
    return len(profile.seeds) * tasks * (1 if profile.train_shots else len(profile.shots))


lesson.check("trainings of the full profile", lambda: trainings(PROFILES["full"], 5), 45,
             hint="3 seeds, 5 tasks, and K = 2, 4, 8 each trained anew")

# %% [markdown]
# **2.** Write the check of one file: is its SHA-256 the expected one? Give "same", "changed", or "missing" where there
# is no such file.

# %% tags=["exercise"]
def state_of(path, sha256):
    ...  # your turn


first = next(iter(bench.values())).train[0]
right = hashlib.sha256(first.read_bytes()).hexdigest()
cases = [(first, right), (first, "0" * 64), (first.with_name("no_such_file.png"), right)]
lesson.check("three answers", lambda: ", ".join(state_of(path, expected) for path, expected in cases),
             "same, changed, missing", hint="path.is_file(), path.read_bytes(), hashlib.sha256(...).hexdigest()")

# %% tags=["solution"]
def state_of(path, sha256):
    if not path.is_file():
        return "missing"
    return "same" if hashlib.sha256(path.read_bytes()).hexdigest() == sha256 else "changed"


lesson.check("three answers", lambda: ", ".join(state_of(path, expected) for path, expected in cases),
             "same, changed, missing", hint="path.is_file(), path.read_bytes(), hashlib.sha256(...).hexdigest()")

# %%
lesson.finish({
    "headline": f"{len(outcome) - len(failed)} of {len(outcome)} checks ok" + (f"; FAILED: {failed}" if failed else ""),
    "tables": {"Checks": [{"check": name, "result": result} for name, result in outcome.items()],
               "What each profile would cost (training, estimated for this CPU)": cost.round(2)},
})
