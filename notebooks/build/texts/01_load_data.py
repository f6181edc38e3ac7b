# %% [markdown]
# # 01 · Load data
#
# Before any network sees a pixel, a dozen decisions have been taken: which folder counts as normal, what happens to
# 16 bits, how a large image becomes a small one, who is in train and who is in test. None of them is in the equations
# of a paper, and each can turn a result into nonsense without a single error message. This notebook walks from folders
# to tensors, takes the decisions one by one, asks what a **lazy** model could read from the data, and ends with the one
# call that looks at all of this in a folder of your own.
#
# **You will learn**
# - the layouts on disk, and how a substring rule silently turns anomalies into normal images;
# - what a file becomes: `[3, H, W]` in 0..1, Lanczos by hand, masks that lose no lesion;
# - what `Benchmark` and `Task` give, leave one task out, and patients as groups;
# - to let `check()` find planted faults, and to measure what brightness or file size alone gives away;
# - the intake report: all of it for a folder, in one call.
#
# **Needs:** CPU · about 30 s, 1.25 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of the permutations
out: str = ""  # folder of metrics.json and figures; empty: runs/interactive/<name>
root: str = ""  # folder of tasks; empty: the synthetic samples
task: str = "RSNA"  # the task that is copied and broken

# %% tags=["setup"]
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.ndimage import label
from scipy.stats import rankdata
from torch.nn import functional as F

import d24fad_lite as d2
from d24fad_lite.lessons import same, start_lesson

lesson = start_lesson("01_load_data", globals())
p = lesson.profile
workshop = tempfile.TemporaryDirectory()  # everything that is broken on purpose lies here
bench_folder = Path(workshop.name)

# %% [markdown]
# ## Folders
#
# One folder per task; `train/good` holds normal images only, since nothing anomalous is ever trained on. Masks are
# optional; a mask has the name of its image.

# %% tags=["nbval-check-output"]
bench = d2.open_benchmark(lesson.data)
for name, one in bench.items():
    counts = Counter(path.parent for path in one.root.rglob("*.*") if path.parent != one.root)
    folders = {folder.relative_to(one.root).as_posix(): n for folder, n in counts.items()}
    print(f"{name:>10}:", "  ".join(f"{folder} {folders[folder]}" for folder in sorted(folders)))

# %% [markdown]
# Published collections look different: BMAD has `test/Ungood/img` beside `test/Ungood/label`, DDAD a `data.json`. The
# kit opens these as they are. Only the name of a folder says what is anomalous, and here lies the first trap.
#
# ## The rule that calls anomalies normal
#
# A rule such as `label = 0 if "good" in path else 1` works on every data set of its author. The released code of this
# method reads the **whole path** that way. Three rules on five paths:

# %%
GOOD, BAD = {"good", "normal"}, {"bad", "ungood", "abnormal", "anomaly"}


def substring_of_path(path):
    return 0 if "good" in path.lower() else 1


def substring_of_folder(path):
    return 0 if any(word in path.lower().split("/")[-2] for word in GOOD) else 1


def whole_name(path):
    names = path.lower().split("/")[:-1]  # the folders, without the file
    return 0 if GOOD & set(names) else 1 if BAD & set(names) else None


# %% tags=["nbval-check-output"]
paths = [
    "RSNA/test/good/7.png",
    "RSNA/test/bad/7.png",
    "RSNA/test/Ungood/7.png",
    "RSNA/test/abnormal/7.png",
    "goodhope_hospital/RSNA/test/bad/7.png",
]
truth = [0, 1, 1, 1, 1]
rules = {"in path": substring_of_path, "in folder": substring_of_folder, "whole name": whole_name}
said = {name: [rule(path) for path in paths] for name, rule in rules.items()}
pd.DataFrame({"truth": truth} | said, index=paths)

# %% [markdown]
# `Ungood` contains `good`, `abnormal` contains `normal`, and a hospital may have any name. The images are then not
# lost, which somebody would notice; they are **normal test images**. The package matches names whole. To see it, the
# task is copied into BMAD's layout:

# %%
source = bench[task]
bmad = bench_folder / "bmad" / source.name
parts = (
    ("train/good/img", source.train, 0),
    ("test/good/img", source.test, 0),
    ("test/Ungood/img", source.test, 1),
)
for folder, images, wanted in parts:
    (bmad / folder).mkdir(parents=True)
    for i in np.flatnonzero(images.labels == wanted)[:10]:
        shutil.copy(images.paths[i], bmad / folder / images.paths[i].name)
opened = d2.open_benchmark(bmad)[source.name]
by_hand = [whole_name(name) for name in opened.test.names]
same("labels of BMAD's layout", by_hand, opened.test.labels)

# %% tags=["nbval-check-output"]
anomalous = [name for name, y in zip(opened.test.names, opened.test.labels) if y == 1]
leaked = sum(substring_of_path(name) == 0 for name in anomalous)
print(f"anomalous test images: {len(anomalous)}; called normal by the substring rule: {leaked}")

# %% [markdown]
# ## From a file to a tensor
#
# Whatever is stored, the model gets `float32 [3, S, S]` in 0..1: grey becomes three equal channels, other shapes are
# squeezed to a square. Nothing is stretched to its own minimum and maximum: how bright an image is must survive.
# Twelve or sixteen bits, as X-rays have them, are kept.

# %% tags=["nbval-check-output"]
drawn = d2.draw_sample("RSNA", seed=3, size=192).image  # uint8 [192, 192, 3]
# the same picture with finer steps, as an X-ray detector would give it
smooth = drawn[..., 0] / 255 + np.random.default_rng(0).uniform(-0.5, 0.5, (192, 192)) / 255
stored = {
    "grey 8 bit": drawn[..., 0],
    "colour 8 bit": drawn,
    "grey 16 bit": (smooth.clip(0, 1) * 65535).astype(np.uint16),
}
for name, array in stored.items():
    path = bench_folder / f"{name.replace(' ', '_')}.png"
    Image.fromarray(array).save(path)
    x = d2.load_image(path, 192)  # (3, S, S)
    steps = "more than 256" if len(x.unique()) > 256 else "at most 256"
    print(
        f"{name:>13}: {array.dtype} {list(array.shape)} -> {str(x.dtype)[6:]} {list(x.shape)}, "
        f"{x.min():.2f} to {x.max():.2f}, {steps} grey values"
    )

# %% [markdown]
# ## Lanczos, by hand
#
# Making an image smaller means averaging. Output pixel $i$ is a weighted sum of the input pixels $j$ around its centre
# $c_i$, separately along rows and columns; with the factor $r = n_\text{in} / n_\text{out} \ge 1$
#
# $$w_{ij} \propto L\Big(\frac{j + \tfrac12 - c_i}{r}\Big), \qquad c_i = (i + \tfrac12)\,r, \qquad
# L(x) = \operatorname{sinc}(x)\,\operatorname{sinc}(x/3) \ \text{ for } |x| < 3, \text{ else } 0.$$


# %%
def lanczos_matrix(n_in, n_out):
    """Weights [n_out, n_in]; every row sums to 1."""
    r = n_in / n_out
    stretch = max(r, 1.0)  # enlarging needs no averaging
    centre = (np.arange(n_out) + 0.5) * r
    x = (np.arange(n_in) + 0.5 - centre[:, None]) / stretch  # (n_out, n_in)
    w = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    return w / w.sum(axis=1, keepdims=True)


def resize_by_hand(image, size, between=lambda x: x):
    """[H, W] -> [S, S]: one matrix from the right, one from the left; overshoot is clipped."""
    narrow = between(image @ lanczos_matrix(image.shape[1], size).T)  # (H, S)
    return (lanczos_matrix(image.shape[0], size) @ narrow).clip(0, 1)


# %% [markdown]
# For 16 bits the package computes in floating point, as above. Eight bits go through Pillow, which rounds to whole grey
# values after the first of the two directions as well.


# %%
def to_grey_values(x):
    return np.rint(x.clip(0, 1) * 255) / 255


deep = resize_by_hand(stored["grey 16 bit"] / 65535, 64)
package = d2.load_image(bench_folder / "grey_16_bit.png", 64)
same("16 bit, to one step of 65535", deep, package[0], rtol=0, atol=1.01 / 65535)

shallow = resize_by_hand(stored["grey 8 bit"] / 255, 64, between=to_grey_values)
package = d2.load_image(bench_folder / "grey_8_bit.png", 64)
same("8 bit, to the last rounding", shallow, package[0], rtol=0, atol=1.01 / 255)

# %% [markdown]
# Why so much care? A resize that only **picks** pixels invents structure. The rings in the upper picture become finer
# outwards; where a pixel no longer holds them, honest resizing gives grey. Picking gives rings that do not exist. In
# the tissue below it keeps or drops thin fibres and parts of nuclei by luck.

# %%
big, small = 192, 48
step = big // small
yy, xx = np.mgrid[:big, :big] - (big - 1) / 2
patterns = {
    "rings": 0.5 + 0.5 * np.cos(0.75 * np.pi * (xx**2 + yy**2) / big),
    "tissue": d2.draw_sample("HIS", seed=2, size=big).image[..., 1] / 255,  # green channel
}
small_versions = {
    name: (image[step // 2 :: step, step // 2 :: step], resize_by_hand(image, small))
    for name, image in patterns.items()
}


# %%
def in_grey(image):
    return np.repeat(np.uint8(image * 255)[..., None], 3, axis=2)


rows = {name: [patterns[name], *small_versions[name]] for name in patterns}
rows = {name: [in_grey(image) for image in images] for name, images in rows.items()}
titles = [f"{big} px", f"every {step}th pixel: {small} px", f"Lanczos: {small} px"]
figure = d2.image_rows_figure(rows, titles, width=2.4)
lesson.save_figure(figure, "resizing")
d2.show_figure(figure, "rings and tissue: whole, with every fourth pixel picked, and averaged")

# %% [markdown]
# How much is left of the rings near the corners, where a pixel no longer holds them? The contrast is the standard
# deviation of the grey values; 0 is an even grey.

# %%
y, x = np.mgrid[:small, :small] - (small - 1) / 2
corners = x**2 + y**2 > (0.9 * small / 2) ** 2  # (48, 48)
contrast = {
    name: float(image[corners].std())
    for name, image in zip(("picked", "averaged"), small_versions["rings"])
}
print("contrast near the corners:", ", ".join(f"{name} {v:.2f}" for name, v in contrast.items()))
assert contrast["picked"] > 0.3 and contrast["averaged"] < 0.1, contrast

# %% [markdown]
# ## Masks lose no lesion
#
# A mask must not be averaged (what is 0.3 of a lesion?) and must not be picked from either: a small lesion between
# two picked pixels is gone, and whoever finds it counts as wrong. The rule here is **any coverage**: an output pixel
# is anomalous when any pixel under it is. By hand that is a maximum.


# %%
def any_coverage(mask, size):
    return F.max_pool2d(mask.float()[None, None], mask.shape[-1] // size)[0, 0] > 0


side = 16  # px, so that the loss is plain to see
full, covered = {}, {}
for name, one in bench.items():
    files = [path for path in one.test.mask_paths if path is not None] if one.has_masks else []
    whole = [torch.from_numpy(np.asarray(Image.open(path)) > 0) for path in files]
    if files and all(
        m.ndim == 2 and m.shape[0] == m.shape[1] and len(m) % side == 0 for m in whole
    ):
        full[name], covered[name] = whole, [any_coverage(m, side) for m in whole]
        same(f"masks of {name}", covered[name], [d2.load_mask(path, side) for path in files])

# %% [markdown]
# How many spots of a mask (connected regions) are met by no pixel that is picked, and by no pixel of any coverage?


# %%
def spots_lost(whole, small_mask):
    """Spots of a mask [S, S]: all, missed by picking, missed by any coverage."""
    spots, count = label(whole)  # numbered from 1
    k = len(whole) // side
    picked = spots[k // 2 :: k, k // 2 :: k]
    kept = spots[np.kron(small_mask, np.ones((k, k))) > 0]
    return count, count - len(set(picked.flat) - {0}), count - len(set(kept) - {0})


lost = {
    name: np.sum([spots_lost(*pair) for pair in zip(full[name], covered[name])], axis=0)
    for name in full
}

# %% tags=["nbval-check-output"]
for name, (count, by_picking, by_coverage) in lost.items():
    print(
        f"{name:>10}: {count} separate spots; at {side} px picking loses {by_picking}, "
        f"any coverage {by_coverage}"
    )
    assert by_coverage == 0

# %% [markdown]
# ## Task and Benchmark
#
# `open_benchmark` looks at names only; pixels are decoded when they are asked for, and then kept. Names are forgiving
# (`brain_tumor` is `BrainTumor`), mistakes are not forgiven silently.

# %% tags=["nbval-check-output"]
rest = bench.without(task)
print("train on:", ", ".join(rest), "· test on:", task)
x, y = source.test.images(p.image_size, [0, -1]), source.test.labels[[0, -1]]
print("two images:", list(x.shape), str(x.dtype)[6:], "labels", y.tolist())
if source.has_masks:
    marked = source.test.masks(p.image_size, [0, -1]).flatten(1).any(dim=1)
    print("their masks mark a lesion:", marked.tolist())
try:
    bench[task[:-1] + "X"]
except KeyError as error:
    print("a wrong name:", str(error).replace(str(bench.root), bench.root.name))

# %% [markdown]
# ## Plant faults, and find them
#
# A file that cannot be read stops a program. The dangerous faults stop nothing: a test image that the model was trained
# on makes the result better. In a copy of the task we cut a file short, give a mask another size, put one training
# image into the test set under another name, and one patient on both sides.

# %%
broken = bench_folder / "broken" / source.name
shutil.copytree(source.root, broken)
train = sorted((broken / "train/good").iterdir())
test_good = sorted((broken / "test/good").iterdir())
data = train[3].read_bytes()
train[3].write_bytes(data[: len(data) // 2])  # 1. cut short
shutil.copy(train[5], test_good[0].with_name("new" + train[5].suffix))  # 2. train image in test
# 3. one patient on both sides
lines = ["file,group", f"train/good/{train[6].name},p1", f"test/good/{test_good[1].name},p1"]
(broken / "groups.csv").write_text("\n".join(lines) + "\n")
some_masks = sorted(path for path in (broken / "test").rglob("*.png") if "mask" in path.parts)
if some_masks:
    Image.open(some_masks[0]).resize((50, 50)).save(some_masks[0])  # 4. mask of another size

# %%
problems = d2.open_benchmark(broken)[source.name].check()
for problem in problems:
    print(f"{problem.severity}: {problem.message.replace(str(broken), source.name)}\n")

# %% tags=["nbval-check-output"]
found = " ".join(problem.message for problem in problems)
expected = {
    "cut short": train[3].name,
    "train image in test": "new" + train[5].suffix,
    "patient on both sides": "both train and test",
} | ({"mask of another size": "50x50"} if some_masks else {})
for fault, sign in expected.items():
    print(f"{fault}: {'found' if sign in found else 'NOT FOUND'}")
print("in the intact task:", len(source.check()), "problems")

# %% [markdown]
# A copy is found by its bytes. The same picture saved anew with another compression is another file; notebook 11 looks
# for such near-copies.
#
# ## What could a lazy model read?
#
# Suppose that all anomalous images come from a darker scanner. Then a model that measures brightness gets a perfect
# AUROC, and nobody needs to know what a tumour is. (AUROC is the share of pairs of an anomalous and a normal image in
# which the anomalous one has the higher number; 0.5 is chance.) So measure it first: the AUROC of numbers that cannot
# know any disease. As a warning example we plant such a case, the anomalous images 12 % darker and stored without
# compression.

# %%
planted = bench_folder / "planted" / source.name
shutil.copytree(source.root, planted)
for i in np.flatnonzero(source.test.labels):
    path = planted / source.test.names[i]
    darker = (np.asarray(Image.open(path)) * 0.88).astype(np.uint8)
    Image.fromarray(darker).save(path, compress_level=0, quality=100)
shown = {**bench, f"{source.name}\n(planted)": d2.open_benchmark(planted)[source.name]}


# %%
def lazy_numbers(t):
    """Name -> one number per test image."""
    every = np.arange(len(t.test))
    return d2.image_statistics(t.test.images(p.image_size)) | d2.file_statistics(t.test, every)


numbers = {name: lazy_numbers(t) for name, t in shown.items()}
mine = source.test.images(p.image_size).mean(dim=(1, 2, 3))  # "intensity" is just this
same("intensity", mine, numbers[source.name]["intensity"], atol=1e-5)
aurocs = pd.DataFrame(
    {
        name: {what: d2.image_auroc(shown[name].test.labels, v) for what, v in values.items()}
        for name, values in numbers.items()
    }
)

# %% [markdown]
# Small test sets separate by chance. How far? **Shuffle the labels**, take the most extreme of all statistics, and
# repeat: 95 of 100 shuffles stay within the band that the colour bar marks.


# %%
def auroc_of_ranks(ranks, labels):
    """AUROC from ranks [F, N] and labels [R, N] -> [R, F]."""
    positive = labels.sum(axis=1, keepdims=True)
    negative = labels.shape[1] - positive
    return (labels @ ranks.T - positive * (positive + 1) / 2) / (positive * negative)


rng = np.random.default_rng(lesson.seed)
ranks = np.stack([rankdata(v) for v in numbers[source.name].values()])
shuffled = np.stack([rng.permutation(source.test.labels) for _ in range(1000)])
extreme = np.abs(auroc_of_ranks(ranks, shuffled) - 0.5).max(axis=1)
band = np.quantile(extreme, 0.95)

# %%
title = "Image AUROC of numbers that know no disease"
figure = d2.shortcuts_figure(aurocs, band, title)
lesson.save_figure(figure, "lazy_model")
d2.show_figure(figure, "a table of AUROCs, those beyond chance framed")

# %% tags=["nbval-check-output"]
of_planted = aurocs.iloc[:, -1]
beyond = of_planted[(of_planted - 0.5).abs() > band]
print("in the planted task beyond chance:", ", ".join(beyond.index))
print(f"file size per pixel in the planted task: {of_planted['bytes per pixel']:.2f}")

# %% [markdown]
# The five tasks of the sample world are drawn so that no such number tells the classes apart: each pair of test images
# (one normal, one anomalous) is chosen to be alike in sharpness, in roughness, in the brightness of the border and in
# the share of pixels unlike it, and both go through the same camera and the same writer of files. Every statistic
# stays between 0.35 and 0.65 in all five.

# %%
own = aurocs[list(bench)].sub(0.5).abs()
farthest = f"{own.max().max():.2f} ({own.max(axis=1).idxmax()})"
print(f"farthest from 0.5: {farthest}; band of chance {band:.2f}")
if lesson.root is None:
    assert own.max().max() < min(0.15, band), own.max(axis=1)

# %% [markdown]
# In real collections a framed number is no proof of a fault: bleeding **is** dark, and a tumour changes contrast. It
# is a bar: a method that does not clear it has shown nothing on this task, so the comparison tables of this kit carry
# the best of these numbers beside every method. Stored size and aspect have no anatomy at all; bytes per pixel grow
# with detail in the image, but an AUROC of 1 means that the two classes were **written** by different programs. And a
# task without a framed number may still have a shortcut: only these numbers were tried.
#
# ## All of it in one call
#
# `d2.intake_report` takes a folder and looks at every file: what is there, what is left out, which files are damaged or
# on both sides, and what a lazy model could read. `report.save("intake.html")` writes it as a page with thumbnails, and
# so does `d24fad check FOLDER --html intake.html` in a terminal. Here for the copy with the four planted faults:

# %%
intake = d2.intake_report(broken.parent, image_size=p.image_size)
intake.tasks[["task", "split", "normal", "anomalous", "masks", "sizes", "bits", "format"]]

# %%
for _, row in intake.findings.iterrows():
    print(f"{row['severity']}: {row['finding']}\n")

# %% tags=["nbval-check-output"]
told = " ".join(intake.findings["finding"])
in_report = [fault for fault, sign in expected.items() if sign in told]
print("planted faults in the report:", ", ".join(in_report))

# %% [markdown]
# And for the copy with darker anomalous images, the shortcuts; an AUROC below 0.5 is turned round, and the sign said:

# %%
lazy = d2.intake_report(planted.parent, image_size=p.image_size).shortcuts
lazy.sort_values("AUROC", ascending=False).head(4).round(2)

# %% tags=["nbval-check-output"]
beyond_chance = lazy.loc[lazy["AUROC"] > lazy["chance up to"], "statistic"]
print("beyond chance in the report:", ", ".join(sorted(beyond_chance)))

# %%
workshop.cleanup()

# %% [markdown]
# ## What you saw
#
# - Labels come from folder names, matched whole; a substring makes `Ungood` good.
# - Every file becomes `[3, S, S]` in 0..1. Lanczos is two matrices; picking pixels invents rings and loses lesions.
# - `check()` reads every file and names what is cut short, misfitting or on both sides; patients need `groups.csv`.
# - Brightness or file size may separate the classes. Measure that before you praise a network. In the sample world
#   none of these numbers tells the classes apart beyond chance.
# - `intake_report` does all of this for a folder in one call.
#
# **What to question:** squeezing to a square changes shapes, and 128 pixels cannot show what needs 1000. Are masks
# drawn by one person a truth? And the classes of the sample world are matched on purpose; real collections hardly ever
# are.
#
# ## Check yourself
#
# 1. What happens to the images of `Ungood` under the substring rule, and why does nobody notice?
# 2. Which range, type and shape does every image have, and what happens to 16 bits?
# 3. Why must a resize average, and why must the resize of a mask not?
# 4. Which of the four planted faults stops a program by itself, and why are the others worse?
# 5. What does an AUROC of 1 for "bytes per pixel" tell you about a data set, and how is the band of chance found?
# 6. Which four questions does the intake report answer about a folder?
#
# The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`.

# %% [markdown]
# ## Exercises
#
# Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`.
#
# **1.** Two files may hold the same picture in different bytes (saved again with another compression). Find all pairs
# of pictures with the same shape and the same **pixels**.


# %% tags=["exercise"]
# list of arrays -> list of pairs (i, j), i < j
def equal_pairs(arrays): ...  # your turn


lesson.check(1, equal_pairs)

# %% [markdown]
# **2.** Split by patient: given one group per image, choose test images so that **all** images of a patient go to the
# same side. Take patients in alphabetical order until at least `count` images are in the test set.


# %% tags=["exercise"]
# list of names, a number -> sorted positions of the test images
def rows_of_test(groups, count): ...  # your turn


lesson.check(2, rows_of_test)

# %%
strongest = own.stack().idxmax()
best = f"{strongest[0]} on {strongest[1]}, AUROC {aurocs.loc[strongest]:.2f}"
lazy_table = aurocs.rename(columns=lambda name: name.replace("\n", " ")).round(2)
faults = f"{len(in_report)} of {len(expected)} planted faults are in the intake report"
lesson.finish(
    {
        "headline": f"{len(bench)} tasks ({lesson.data_kind}); {faults}; "
        f"strongest lazy number: {best}",
        "tables": {
            "AUROC of numbers that know no disease": lazy_table.rename_axis("number").reset_index()
        },
    },
    verdict=f"{faults}; of the numbers that know no disease, {best} is farthest from chance, "
    f"whose band reaches {band:.2f} from 0.5.",
)
