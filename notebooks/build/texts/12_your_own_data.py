# %% [markdown]
# # 12 · Your own data
#
# A folder of normal images, a folder of new ones, and ten minutes: scores, heatmaps, a threshold with a promise that is
# kept on average, and a saved detector that the command line can use tomorrow. Nothing of your data is needed for
# training, and nothing leaves this computer.
#
# **Not for clinical use.** This is a teaching and research kit. It has passed no test that would allow anyone to decide
# anything about a patient with it, and a score without alarm does not mean "healthy".
#
# **You will learn**
# - to open a folder of PNG, JPEG, TIFF or DICOM files and read its intake report;
# - to choose supports, and to look for the odd one among them;
# - to score new images, and to draw heatmaps on one scale;
# - to set a threshold from normal images, and what a refusal means;
# - what to keep, so that the same result can be had again.
#
# **Needs:** CPU · about 30 s, 1.25 GB (quick)

# %% tags=["parameters"]
profile: str = ""  # "quick", "standard", "full"; empty: D24FAD_PROFILE or quick
seed: int = 0  # of training, of the generated data and of random supports
out: str = ""  # folder of everything that is written; empty: runs/interactive/<name>
folder: str = ""  # your normal images (subfolders too); empty: a generated example
new_images: str = ""  # your images to score; empty only together with folder
kind: str = "RSNA"  # of the generated example: a task of the samples, then left out of training
shots: int = 4  # K, how many supports
choose_by: str = "medoids"  # "random", "farthest", "medoids", "typical" or "diverse"
support_file: str = ""  # a saved choice of supports (notebook 07) in place of a suggestion
false_alarms: float = 0.1  # share of normal images that may raise an alarm
model_file: str = ""  # a detector written by model.save; empty: one trained on the samples
teacher: str = ""  # timm name of the frozen network; empty: the profile's
weights: str = ""  # "imagenet", "embedded", "random" or a file; empty: the profile's
reading: str = ""  # "released", "paper" or "matched"; empty: matched
epochs: int = 0  # of training; 0: the profile's
lr: float = 0.0  # learning rate of training; 0: the profile's

# %% tags=["setup"]
import shutil
from importlib.util import find_spec

import numpy as np
import pandas as pd
from PIL import Image

import d24fad_lite as d2
from d24fad_lite.lessons import same, start_lesson

lesson = start_lesson("12_your_own_data", globals())
p = lesson.profile
if shots < 2:
    raise ValueError(f"shots={shots}: leave-one-out needs at least 2 supports")
if bool(folder) != bool(new_images):
    given = "folder (normal images) and new_images (images to score)"
    raise ValueError(f"give both {given}, or neither for the example")

# %% [markdown]
# ## Your data, or data to practise on
#
# With `folder` and `new_images` empty, a small "hospital" is generated: images of a kind that the detector will not be
# trained on, new patients, a mixed bag of formats, and one file that was cut short on the way. DICOM files are written
# where pydicom is installed (`pip install "d24fad_lite[dicom]"`).


# %%
with_dicom = find_spec("pydicom") is not None


def write_dicom(path, grey):
    """A minimal 12-bit DICOM file of a grey image, uint8 [H, W]."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    file = Dataset()
    file.file_meta = meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    file.SOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    file.Rows, file.Columns = grey.shape
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    file.PixelData = np.round(grey / 255 * 4095).astype("<u2").tobytes()
    file.save_as(path, enforce_file_format=True)


# %%
def new_scan(path, target, as_dicom):
    """Copy an image to `target`, a grey one as DICOM where that is asked for; the path written."""
    with Image.open(path) as image:
        if as_dicom and image.mode == "L":
            target = target.with_suffix(".dcm")
            write_dicom(target, np.asarray(image))
        else:
            image.save(target)
    return target


# %%
def generate_hospital(place):
    """Folders `normal` and `new`; returns {name of a new image: 1 if anomalous}."""
    if (place / "made" / "MANIFEST.json").is_file():  # of an earlier run of this notebook
        shutil.rmtree(place)
    made = d2.write_samples(place / "made", lesson.seed + 1000, train=28, test=10, tasks=[kind])
    shutil.copytree(made / kind / "train/good", place / "normal")
    (place / "new").mkdir()
    files = [(path, 0) for path in sorted((made / kind / "test/good").rglob("*.png"))]
    files += [(path, 1) for path in sorted((made / kind / "test/bad").rglob("*.png"))]
    truth = {}
    for number, i in enumerate(np.random.default_rng(lesson.seed).permutation(len(files))):
        path, label = files[i]
        target = place / "new" / f"scan_{number:02d}.png"
        truth[new_scan(path, target, with_dicom and number % 4 == 3).name] = label
    whole = (place / "new" / "scan_00.png").read_bytes()
    (place / "new" / "scan_99.png").write_bytes(whole[: len(whole) // 3])  # cut short on the way
    return truth


# %%
truth = generate_hospital(lesson.out / "your_data") if not folder else None
normal_place = folder or lesson.out / "your_data" / "normal"
new_place = new_images or lesson.out / "your_data" / "new"

# %% [markdown]
# A data set as its publishers give it, or a table with labels, becomes such folders by one command, see
# `d24fad convert --help`.
#
# ## Look before you score
#
# `d2.intake_report` looks at every file of a folder: how many there are, of which size, depth and format, which cannot
# be read and which are left out, and why. In a terminal: `d24fad check FOLDER --html intake.html`.

# %%
intake = {
    name: d2.intake_report(place, image_size=p.image_size)
    for name, place in (("normal", normal_place), ("new", new_place))
}
overview = pd.concat(
    report.tasks.assign(folder=name, errors=report.errors) for name, report in intake.items()
)
overview = overview.rename(columns={"normal": "files"}).reset_index(drop=True)
overview = overview[["folder", "files", "errors", "sizes", "bits", "format", "turned"]]
for name, report in intake.items():
    report.save(lesson.out / f"intake_{name}.html")
    for _, row in report.findings.iterrows():
        print(f"{name}: {row['severity']}: {row['finding']}")
overview

# %% [markdown]
# The pages `intake_normal.html` and `intake_new.html` in the run's folder also hold a contact sheet: they show images,
# so pass them on only as you would the data. What cannot be read is left out by name, here and below. And is one of the
# new images, byte for byte, also among the normal ones?

# %%
size = d2.D24FAD.load(model_file).config.image_size if model_file else p.image_size


def readable(images):
    """The images that can be decoded, and {name: reason} of the others."""
    good, broken = [], {}
    for i, (name, path) in enumerate(zip(images.names, images.paths)):
        try:
            d2.load_image(path, size)
            good.append(i)
        except d2.ImageError as error:
            broken[name] = str(error).replace(str(path), name)
    return images.subset(good), broken


normals, broken_normals = readable(d2.open_folder(normal_place))
new, broken_new = readable(d2.open_folder(new_place))

# %% tags=["nbval-check-output"]
twins = set(normals.hashes()) & set(new.hashes())
print(
    f"normal: {len(normals)} of {len(normals) + len(broken_normals)} readable; "
    f"new: {len(new)} of {len(new) + len(broken_new)} readable; in both folders: {len(twins)}"
)
for reason in (*broken_normals.values(), *broken_new.values()):
    print("left out:", reason.split(",")[0])
if len(normals) < shots + 1:
    few = f"{len(normals)} readable normal images, {shots} shots need at least {shots + 1}"
    raise ValueError(f"{few}: lower shots")

# %%
both = {"normal": normals, "new": new}
pictures = {name: images.images(size, range(min(8, len(images)))) for name, images in both.items()}
kinds = [[path.suffix for path in images.paths[:8]] for images in both.values()]
figure = d2.image_rows_figure(pictures, captions=kinds)
lesson.save_figure(figure, "first_look")
d2.show_figure(figure, "the first images of both folders")

# %% [markdown]
# All images become squares of the detector's size; what is not square is squeezed. DICOM goes through rescale, the
# file's window if it has one, and inversion where white means little. Does a 12-bit DICOM file of the same picture give
# the same pixels as the 8-bit original, up to the step of 1/4095?

# %%
if truth is not None and with_dicom and Image.open(normals.paths[0]).mode == "L":
    grey = np.asarray(Image.open(normals.paths[0]))
    write_dicom(lesson.out / "your_data" / "made" / "same.dcm", grey)
    same(
        "pixels of a DICOM file",
        d2.load_image(lesson.out / "your_data" / "made" / "same.dcm", size),
        normals.images(size, [0])[0],
        atol=1 / 4095,
    )

# %% [markdown]
# ## A detector
#
# Trained on **other** kinds of images (here: the samples), or loaded. Your normal images teach it nothing; they will
# only be its references. It is read as `matched` (notebook 06b): each position of a new image looks for its like in the
# teacher's features of all supports. That reads nothing which training has changed; the student is there for the other
# readings, `reading="released"` or `"paper"`.

# %%
if model_file:
    model = d2.D24FAD.load(model_file)
else:
    samples = d2.open_benchmark(lesson.data)
    model, _ = lesson.detector(samples, kind if truth is not None else None)
    print("trained on:", ", ".join(samples.without(kind) if truth is not None else samples))
model = model.to("cpu").eval().read_as(reading or "matched")
saved = model.save(lesson.out / "model.safetensors")

# %% [markdown]
# ## Supports
#
# From a file, or suggested by the teacher's features (notebook 07), or drawn. And before any new image is looked at: is
# one of them unlike the others? An anomaly among the supports can make the detector blind to its like.

# %%
selection = d2.SupportSelection(normals, shots, features=lambda: d2.describe_images(model, normals))
if support_file:
    selection.load(support_file)
else:
    selection.suggest(choose_by, seed=lesson.seed)
selection.save(lesson.out / "supports.json")
chosen = list(selection.selected)
supports = normals.images(size, chosen)  # (K, 3, S, S)
sheet = d2.contact_sheet(
    supports, selection.names, f"Supports, {'from a file' if support_file else choose_by}"
)
d2.show_figure(sheet, f"the {len(chosen)} supports, numbered")

# %%
if len(chosen) > 2:  # of two supports, each is as odd as the other
    suspicion = d2.suspicious_supports(model, supports).to_frame(selection.names)
    suspicion["support"] += 1  # numbered as in the picture
    print(suspicion.round(2).to_string(index=False))

# %% [markdown]
# `novelty` is the mean distance of a support's least familiar patches to the other supports. `score` says how far that
# lies above the median of the set, in units of the mean deviation from it. The support in the first row is the least
# familiar one, and some support always is. Look at it, and exchange it only for a reason that you can see.
#
# ## Score
#
# A support bank is computed once. Each new image is compared with it **by itself**: its score does not depend on what
# else is in the folder. By hand, and by the function behind `d24fad predict`, which also writes `scores.csv` and
# heatmaps, goes on after an interruption, and lists what it could not read:

# %%
bank = model.encode_supports(supports)
predictions = [model.predict(new.images(size, [i]), bank) for i in range(len(new))]
scores = np.array([float(prediction.score[0]) for prediction in predictions])  # (N,)

support_files = [normals.paths[i] for i in chosen]
result = d2.predict_folder(
    model, new.root, support_files, lesson.out / "results", overwrite=True, progress=False
)
same("scores of the new images", scores, [result.score_of[name] for name in new.names], rtol=1e-4)
print("not scored:", ", ".join(result.failures) or "nothing")

# %% [markdown]
# ## Which score is high?
#
# A score has no unit. The only yardstick are the scores of normal images, computed in the same way. The supports
# themselves can serve: each is scored against the $K-1$ others (**leave one out**).


# %%
def leave_one_out(bank, supports):
    result = []
    for i in range(len(supports)):
        others = bank.select([k for k in range(len(supports)) if k != i])
        result.append(float(model.predict(supports[i : i + 1], others).score[0]))
    return np.array(result)


same(
    "leave-one-out scores",
    leave_one_out(bank, supports),
    d2.leave_one_out_scores(model, supports),
    rtol=1e-4,
)

# %% [markdown]
# Four such scores cannot promise much. Suppose that a new normal image is *exchangeable* with the $n$ normal images
# that the threshold is set from (the calibration images): nothing tells it from them, so each of the $n + 1$ is as
# likely as any other to have the highest score. Then it has the highest score with probability $1/(n+1)$, and no
# threshold that gives alarms at all can promise fewer false ones.

# %% tags=["nbval-check-output"]
try:
    print(d2.calibrate(model, supports[:4], alpha=0.1).summary())
except d2.ThresholdError as refusal:
    print("refused:", refusal)
for rate in (0.2, 0.1, 0.05, 0.01):
    needed = d2.images_needed(rate)
    print(f"at most {100 * rate:3.0f} % false alarms: {needed:3d} calibration images")

# %% [markdown]
# So the other normal images of your folder come in. The detector has not seen them; with enough of them the promise is
# exact (on average over such sets of images) for supports drawn at random. A suggestion such as medoids has looked at
# all normal images of the folder, which may favour these over new ones: then the promise is approximate. When they do
# not suffice, there is no threshold, and this notebook goes on without: scores can still be **ranked**.

# %%
spare = np.setdiff1d(np.arange(len(normals)), chosen)[:400]
further = normals.images(size, spare) if len(spare) else None
threshold = None
try:
    threshold = d2.calibrate(model, supports, false_alarms, further)
    print(threshold.summary())
except d2.ThresholdError as refusal:
    print("no threshold:", refusal)

# %%
table = pd.DataFrame({"image": new.names, "score": scores})
if threshold is not None:
    table["p"] = threshold.p_values(scores)
    table["alarm"] = np.where(threshold.alarms(scores), "alarm", "")
table = table.sort_values("score", ascending=False, ignore_index=True)
table.to_csv(lesson.out / "decisions.csv", index=False)
table.head(8).round(4)

# %% [markdown]
# `p` is the share of normal images that score at least as high, counting the new one: small is rare. It is **not** the
# probability that the patient is healthy. With $n$ calibration images it is never below $1/(n+1)$, so many images may
# share the lowest value.
#
# `d24fad predict` does the same: `--normals` and `--alpha` add these two columns to `scores.csv`. Scores that are known
# are taken over. It also writes `gallery.html` into the folder of the results, the page to look at: images by score,
# each with its map in colour, the supports, and the histogram with its threshold.

# %%
if threshold is not None:
    further_files = [normals.paths[i] for i in spare]
    result = d2.predict_folder(
        model,
        new.root,
        support_files,
        lesson.out / "results",
        normals=further_files,
        alpha=false_alarms,
        progress=False,
    )
    stored = result.scores.set_index("name").loc[table["image"]]
    same("p-values", table["p"], stored["p_value"], atol=1e-5)
    assert list(stored["alarm"]) == [alarm == "alarm" for alarm in table["alarm"]]
    print(f"{result.known} scores taken over, {result.scored} new; {result.gallery.name} written")

# %% [markdown]
# How much of this order hangs on the supports? Here are the scores once more, with other supports from the same folder,
# and the correlation of the two orders (Spearman's: 1 for the same order).

# %%
other_bank = model.encode_supports(normals.images(size, spare[-shots:]))
with_others = np.array(
    [float(model.predict(new.images(size, [i]), other_bank).score[0]) for i in range(len(new))]
)
by_rank = float(pd.Series(scores).corr(pd.Series(with_others), method="spearman"))
order_kept = f"{by_rank:.2f}" if len(new) > 1 else "nothing to compare with one image"
print(f"rank correlation of the scores with two sets of supports: {order_kept}")

# %% [markdown]
# ## Heatmaps
#
# One colour scale for all images, set by the supports: nothing is painted below the median of their own maps, half
# strength is the most that any of them reaches. A scale per image would paint something red on every healthy one.

# %%
order = np.argsort(-scores)
picked = [*order[:4], *order[-2:]] if len(order) > 6 else list(order)
images = [new.images(size, [i])[0] for i in picked]
found = [predictions[i].anomaly_map[0].numpy() for i in picked]
painted = [d2.overlay(a, m, result.color_limits, size=2 * size) for a, m in zip(images, found)]
alarm = [threshold is not None and scores[i] > threshold.value for i in picked]
said = [f"score {scores[i]:.3f}{', alarm' if on else ''}" for i, on in zip(picked, alarm)]
rows = {"image": images, "heatmap": painted}
figure = d2.image_rows_figure(rows, [new.names[i] for i in picked], [[], said], width=1.7)
lesson.save_figure(figure, "heatmaps")
d2.show_figure(figure, "the four highest and the two lowest scores, with their heatmaps")
print("heatmaps of all images:", len(result.heatmaps))

# %%
calibration = threshold.scores if threshold is not None else leave_one_out(bank, supports)
strips = {f"{len(calibration)} normal images": calibration, f"{len(scores)} new images": scores}
value = None if threshold is None else threshold.value
label = f"at most {100 * false_alarms:g} %\nof normal images"
figure = d2.score_strips_figure(strips, value, label, "New images beside normal ones")
lesson.save_figure(figure, "new_beside_normal")
d2.show_figure(figure, "scores of normal and of new images, with the threshold")

# %% [markdown]
# ## Keep it
#
# The detector, the choice of supports with their content hashes, and the scores lie in the run's folder. Keep the
# support images as well, since `supports.json` holds their names and hashes, not their pixels; for the same threshold,
# also the normal images that it was set from. A detector that is read back gives the same scores, and one command
# scores the next folder, heatmaps included:

# %%
again = d2.D24FAD.load(saved).eval()
bank_again = again.encode_supports(supports)
last = len(new) - 1
last_score = again.predict(new.images(size, [last]), bank_again).score
same("score of the saved detector", last_score, predictions[last].score)

# %%
for name in ("model.safetensors", "supports.json", "decisions.csv", "results/scores.csv"):
    print(f"{name:20s} {(lesson.out / name).stat().st_size / 1000:10.1f} kB")
line = [f"d24fad predict model.safetensors {new.root.name}"]
line += [f"--supports {normals.root.name}/{name}" for name in selection.names]
print("\n" + " \\\n    ".join([*line, "--out results"]))

# %% [markdown]
# (Paths as they are on your disk. `--supports normal --shots 4` would draw four instead. The reading is saved with the
# detector; `--reading released` would choose another.)
#
# ## What was true
#
# Only because the example is generated is the truth known. On your data you would need labelled images for this, at
# best of other patients and another day.

# %%
labels = np.array([truth[name] for name in new.names]) if truth is not None else None
outcome = "no threshold" if threshold is None else f"{int((scores > threshold.value).sum())} alarms"
if labels is None:
    print("your data: the truth is not known here")
else:
    low, high = d2.bootstrap_auroc(labels, scores[None], seed=lesson.seed)
    auroc = f"image AUROC {d2.image_auroc(labels, scores):.2f} [{low:.2f}, {high:.2f}]"
    n = f"n={int((labels == 0).sum())}+{int((labels == 1).sum())}"
    print(f"{auroc} (each image by itself, K={len(chosen)}, one set of supports, {n})")
    outcome += f", {auroc}"

# %%
if labels is not None and threshold is not None:
    alarms = threshold.alarms(scores)
    print(
        f"alarms: {alarms[labels == 1].sum()} of {(labels == 1).sum()} anomalous, "
        f"{alarms[labels == 0].sum()} of {(labels == 0).sum()} normal images"
    )

# %% [markdown]
# Behind the AUROC stands its 95 % interval over test images. It covers neither other supports nor other scanners, and
# these are generated images with lesions that are plain to see. Notebook 09 shows what
# the interval covers, notebook 06b whether an alarm rests on the lesion at all, notebook 11 what else can go wrong.
#
# ## What this lesson claims

# %%
if (
    p.name == "quick"
    and truth is not None
    and (kind, shots, model_file) == ("RSNA", 4, "")
    and p.teacher == "tf_efficientnet_lite0"
    and model.config.reading_name == "matched"
):
    assert d2.image_auroc(labels, scores) > 0.9
    assert threshold is not None and threshold.alarms(scores)[labels == 1].mean() > 0.6
if not folder:
    assert list(broken_new) == ["scan_99.png"] and intake["new"].errors == 1 and not broken_normals
    print("all hold")

# %% [markdown]
# ## What you saw
#
# - A handful of normal images is all that the detector is told about your kind of image; what it may promise depends on
#   how many **further** normal images there are.
# - The intake report names files that cannot be read; an image that lies in both folders is counted.
# - Every score stands for itself: one image at a time, one scale for all heatmaps, one bank of supports.
# - A refusal is a result: too few normal images for the rate that was asked for.
#
# **What to question:** were your normal images taken on the same device, at the same site, of the same kind of patient
# as the new ones? If not, the detector may find the scanner and not the disease, and the promise of the threshold is
# void. Who says that they are normal? And what would you do differently tomorrow because of a score? If nothing, do not
# compute it. If something, this kit is not what you need: **not for clinical use**.
#
# ## Check yourself
#
# 1. Which of your images does the detector learn from?
# 2. Why does the score of an image not change when others are added to the folder?
# 3. What is the lowest false-alarm rate that four supports alone can promise, and what helps?
# 4. Why must all heatmaps of a folder share one colour scale?
# 5. Which files do you need to get the same score again in a year?
#
# The answers: `lesson.answer()`, or one of them, `lesson.answer(3)`.

# %% [markdown]
# ## Exercises
#
# Stuck? `lesson.hint(1)`; the solution: `lesson.solution(1)`.
#
# **1.** You have n normal images altogether. Some become supports, the others calibrate the threshold. How many may
# become supports at most, if the threshold shall promise a false-alarm rate of at most alpha? 0 where n is too small.


# %% tags=["exercise"]
# two numbers, n and 0 < alpha < 1 -> a whole number
def most_supports(n, alpha): ...  # your turn


lesson.check(1, most_supports)

# %% [markdown]
# **2.** Somebody can look at only m images, those with the highest scores. Which share of them would be the same with
# other supports? Give it for two lists of scores of the same images.


# %% tags=["exercise"]
# a, b [N] without ties, m from 1 to N -> a number in 0..1
def same_top(a, b, m): ...  # your turn


lesson.check(2, same_top)

# %%
kind_of_data = "generated example" if truth is not None else lesson.data_kind
scored = f"{len(new)} new image{'s' * (len(new) != 1)} against {len(chosen)} supports"
lesson.finish(
    {
        "headline": f"{scored}: {outcome} ({kind_of_data}; not for clinical use)",
        "threshold": None if threshold is None else threshold.value,
        "rank_correlation": by_rank if len(new) > 1 else None,
        "tables": {"Folders": overview, "Highest scores": table.head(8).round(4)},
    },
    verdict=f"{scored}: {outcome}; rank correlation with the scores from other supports: "
    f"{order_kept} ({kind_of_data}).",
)
