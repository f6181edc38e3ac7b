"""d24fad_lite: learn, test and challenge few-shot medical anomaly detection by dual distillation (D²4FAD).

    import d24fad_lite as d2

    bench = d2.open_benchmark("data_samples")
    model = d2.D24FAD(d2.D24FADConfig(teacher="resnet18", weights="embedded"))
    d2.fit(model, bench.without("RSNA"), shots=4, epochs=10)
    print(d2.evaluate(model, bench["RSNA"], shots=4).summary())

Every public name stands in `_HOME` below, room by room; nothing heavy is imported until a name is used. What only a
notebook needs (its set-up, checks and plot colours) is in `d24fad_lite.lessons`. Not for clinical use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from d24fad_lite.lazy import lazy_names

__version__ = "0.1.0"

# Public name -> module; behind a colon, the name inside that module where it is another one.
_HOME = {
    # data: folders of tasks, images, samples, draws of supports
    "open_benchmark": "data.benchmark",
    "open_folder": "data.benchmark",
    "Benchmark": "data.benchmark",
    "Task": "data.benchmark",
    "ImageSet": "data.image_set",
    "load_image": "data.images",
    "load_mask": "data.images",
    "ImageError": "data.images",
    "draw_supports": "data.supports",
    "styled_tasks": "data.styles",
    "draw_sample": "data.samples.world",
    "write_samples": "data.samples.world",
    # model: the detector and its parts
    "D24FADConfig": "model.config",
    "READINGS": "model.config",
    "READ_AT_SCORING": "model.config",
    "D24FAD": "model.detector",
    "D24FADOutput": "model.features",
    "Prediction": "model.features",
    "SupportBank": "model.features",
    "Teacher": "model.teacher",
    "TeacherFeatures": "model.features",
    "fuse": "model.losses",
    "residual": "model.losses",
    "support_distance": "model.losses",
    "effective_number": "model.weighting",
    "best_local_teacher": "model.weights.local",
    "weights_available": "model.weights.local",
    "embedded_catalog": "model.weights.embedded",
    # training: episodes, and how the embedded teacher was made from fractals
    "fit": "training.fit",
    "FitSettings": "training.settings",
    "History": "training.history",
    "EpisodeSampler": "training.episodes",
    "PretrainingRecipe": "training.pretrain.recipe:Recipe",
    "find_fractal": "training.pretrain.fractals:find_class",
    "render_fractal": "training.pretrain.fractals:render",
    "FRACTAL_PERTURBATION": "training.pretrain.fractals:PERTURBATION",
    "draw_fractal_views": "training.pretrain.views:draw_views",
    # evaluation: one protocol, simple methods beside the detector, localisation
    "evaluate": "evaluation.evaluate",
    "EvaluationReport": "evaluation.report",
    "image_auroc": "evaluation.metrics",
    "PixelAuroc": "evaluation.metrics",
    "ScoredBatch": "evaluation.scorer",
    "SharedTeacher": "evaluation.shared_teacher",
    "DetectorVariant": "evaluation.baselines.variants",
    "UntrainedStudent": "evaluation.baselines.variants",
    "untrained_twin": "evaluation.baselines.variants",
    "MeanFeature": "evaluation.baselines.mean_feature",
    "NearestPatch": "evaluation.baselines.nearest_patch",
    "NearestPatchDetector": "evaluation.baselines.nearest_patch_detector",
    "MeanFeatureDetector": "evaluation.baselines.mean_feature_detector",
    "MirroredPatchDetector": "evaluation.baselines.mirrored_patch_detector",
    "create_detector": "evaluation.baselines.by_name",
    "load_detector": "evaluation.baselines.by_name",
    "Comparison": "evaluation.baselines.compare",
    "shortcut_reports": "evaluation.baselines.shortcuts",
    "image_statistics": "evaluation.baselines.shortcuts",
    "file_statistics": "evaluation.baselines.shortcuts",
    "localise": "evaluation.localisation",
    "LESION_SIZES": "evaluation.localisation",
    # evaluation: how sure a number is, and thresholds that keep a promise
    "bootstrap_auroc": "evaluation.uncertainty.intervals",
    "compare_paired": "evaluation.uncertainty.paired",
    "calibrate": "evaluation.uncertainty.thresholds",
    "ThresholdError": "evaluation.uncertainty.thresholds",
    "false_alarm_interval": "evaluation.uncertainty.thresholds",
    "images_needed": "evaluation.uncertainty.thresholds",
    "normal_scores": "evaluation.uncertainty.thresholds",
    "leave_one_out_scores": "evaluation.uncertainty.thresholds",
    # evaluation: what is wrong with a data set or a protocol
    "intake_report": "evaluation.intake.intake",
    "IntakeReport": "evaluation.intake.intake",
    "audit": "evaluation.audit.run",
    "AuditReport": "evaluation.audit.findings",
    "support_function": "evaluation.audit.run",
    "optimism_report": "evaluation.audit.optimism",
    # supports: choosing them, and what a choice is worth
    "SupportSelection": "supports.selection",
    "SUPPORT_STRATEGIES": "supports.strategies:STRATEGIES",
    "suggest_supports": "supports.strategies:choose",
    "describe_images": "supports.strategies:describe",
    "LiveDetector": "supports.live",
    "assess_choice": "supports.influence",
    "score_support_sets": "supports.influence:score_sets",
    "SupportLottery": "supports.lottery",
    "suspicious_supports": "supports.suspicion",
    "flag_trial": "supports.flag_trial",
    "contamination_experiment": "supports.contamination",
    "read_by_weighting": "supports.contamination:by_weighting",
    # predicting, figures, widgets
    "predict_folder": "predicting.folder",
    "FolderPrediction": "predicting.prediction",
    "export_detector": "predicting.export.export",
    "ExportedFile": "predicting.export.export",
    "ExportError": "predicting.export.formats",
    "overlay": "figures.overlay",
    "missed_figure": "figures.localisation",
    "benchmark_figure": "figures.benchmark",
    "methods_figure": "figures.evaluation",
    "roc_figure": "figures.evaluation",
    "errors_figure": "figures.evaluation",
    "image_rows_figure": "figures.rows",
    "shortcuts_figure": "figures.shortcuts",
    "by_level_figure": "figures.features",
    "teachers_figure": "figures.features",
    "score_strips_figure": "figures.scores",
    "lottery_figure": "figures.scores",
    "episode_figure": "figures.distillation",
    "losses_figure": "figures.distillation",
    "collapse_figure": "figures.distillation",
    "level_bars_figure": "figures.distillation",
    "repeats_figure": "figures.draws",
    "draws_figure": "figures.draws",
    "support_sets_figure": "figures.draws",
    "terms_figure": "figures.ablations",
    "grid_figure": "figures.ablations",
    "pairs_figure": "figures.ablations",
    "steps_figure": "figures.ablations",
    "winners_curse_figure": "figures.ablations",
    "protocols_figure": "figures.protocols",
    "company_figure": "figures.protocols",
    "tossed_labels_figure": "figures.protocols",
    "readings_figure": "figures.protocols",
    "query_maps_figure": "figures.anomaly_maps",
    "level_shares_figure": "figures.anomaly_maps",
    "blur_and_levels_figure": "figures.anomaly_maps",
    "peaks_figure": "figures.where",
    "overlap_figure": "figures.where",
    "mean_maps_figure": "figures.where",
    "threshold_figure": "figures.where",
    "contact_sheet": "figures.plots",
    "map_figure": "figures.plots",
    "weights_figure": "figures.plots",
    "temperature_figure": "figures.plots",
    "choice_figure": "figures.plots",
    "show_figure": "figures.plots",
    "choose_supports": "interactive.inspector",
    "SupportInspector": "interactive.inspector",
    # runs: many notebooks unattended; the benchmark on engines
    "run_grid": "runs.grid",
    "plan_benchmark": "runs.benchmark.plan",
    "run_benchmark": "runs.benchmark.drive",
    "benchmark_table": "runs.benchmark.table",
    "BenchmarkTable": "runs.benchmark.table",
    "EngineSettings": "runs.engines",
    "REPORTED": "runs.benchmark.reported",
}
__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from d24fad_lite.data.benchmark import Benchmark, Task, open_benchmark, open_folder
    from d24fad_lite.data.image_set import ImageSet
    from d24fad_lite.data.images import ImageError, load_image, load_mask
    from d24fad_lite.data.samples.world import draw_sample, write_samples
    from d24fad_lite.data.styles import styled_tasks
    from d24fad_lite.data.supports import draw_supports
    from d24fad_lite.evaluation.audit.findings import AuditReport
    from d24fad_lite.evaluation.audit.optimism import optimism_report
    from d24fad_lite.evaluation.audit.run import audit, support_function
    from d24fad_lite.evaluation.baselines.by_name import create_detector, load_detector
    from d24fad_lite.evaluation.baselines.compare import Comparison
    from d24fad_lite.evaluation.baselines.mean_feature import MeanFeature
    from d24fad_lite.evaluation.baselines.mean_feature_detector import MeanFeatureDetector
    from d24fad_lite.evaluation.baselines.mirrored_patch_detector import MirroredPatchDetector
    from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch
    from d24fad_lite.evaluation.baselines.nearest_patch_detector import NearestPatchDetector
    from d24fad_lite.evaluation.baselines.shortcuts import file_statistics, image_statistics, shortcut_reports
    from d24fad_lite.evaluation.baselines.variants import DetectorVariant, UntrainedStudent, untrained_twin
    from d24fad_lite.evaluation.evaluate import evaluate
    from d24fad_lite.evaluation.intake.intake import IntakeReport, intake_report
    from d24fad_lite.evaluation.localisation import LESION_SIZES, localise
    from d24fad_lite.evaluation.metrics import PixelAuroc, image_auroc
    from d24fad_lite.evaluation.report import EvaluationReport
    from d24fad_lite.evaluation.scorer import ScoredBatch
    from d24fad_lite.evaluation.shared_teacher import SharedTeacher
    from d24fad_lite.evaluation.uncertainty.intervals import bootstrap_auroc
    from d24fad_lite.evaluation.uncertainty.paired import compare_paired
    from d24fad_lite.evaluation.uncertainty.thresholds import (
        ThresholdError,
        calibrate,
        false_alarm_interval,
        images_needed,
        leave_one_out_scores,
        normal_scores,
    )
    from d24fad_lite.figures.ablations import (
        grid_figure,
        pairs_figure,
        steps_figure,
        terms_figure,
        winners_curse_figure,
    )
    from d24fad_lite.figures.anomaly_maps import blur_and_levels_figure, level_shares_figure, query_maps_figure
    from d24fad_lite.figures.benchmark import benchmark_figure
    from d24fad_lite.figures.distillation import collapse_figure, episode_figure, level_bars_figure, losses_figure
    from d24fad_lite.figures.draws import draws_figure, repeats_figure, support_sets_figure
    from d24fad_lite.figures.evaluation import errors_figure, methods_figure, roc_figure
    from d24fad_lite.figures.features import by_level_figure, teachers_figure
    from d24fad_lite.figures.localisation import missed_figure
    from d24fad_lite.figures.overlay import overlay
    from d24fad_lite.figures.plots import (
        choice_figure,
        contact_sheet,
        map_figure,
        show_figure,
        temperature_figure,
        weights_figure,
    )
    from d24fad_lite.figures.protocols import company_figure, protocols_figure, readings_figure, tossed_labels_figure
    from d24fad_lite.figures.rows import image_rows_figure
    from d24fad_lite.figures.scores import lottery_figure, score_strips_figure
    from d24fad_lite.figures.shortcuts import shortcuts_figure
    from d24fad_lite.figures.where import mean_maps_figure, overlap_figure, peaks_figure, threshold_figure
    from d24fad_lite.interactive.inspector import SupportInspector, choose_supports
    from d24fad_lite.model.config import READ_AT_SCORING, READINGS, D24FADConfig
    from d24fad_lite.model.detector import D24FAD
    from d24fad_lite.model.features import D24FADOutput, Prediction, SupportBank, TeacherFeatures
    from d24fad_lite.model.losses import fuse, residual, support_distance
    from d24fad_lite.model.teacher import Teacher
    from d24fad_lite.model.weighting import effective_number
    from d24fad_lite.model.weights.embedded import embedded_catalog
    from d24fad_lite.model.weights.local import best_local_teacher, weights_available
    from d24fad_lite.predicting.export.export import ExportedFile, export_detector
    from d24fad_lite.predicting.export.formats import ExportError
    from d24fad_lite.predicting.folder import predict_folder
    from d24fad_lite.predicting.prediction import FolderPrediction
    from d24fad_lite.runs.benchmark.drive import run_benchmark
    from d24fad_lite.runs.benchmark.plan import plan_benchmark
    from d24fad_lite.runs.benchmark.reported import REPORTED
    from d24fad_lite.runs.benchmark.table import BenchmarkTable, benchmark_table
    from d24fad_lite.runs.engines import EngineSettings
    from d24fad_lite.runs.grid import run_grid
    from d24fad_lite.supports.contamination import by_weighting as read_by_weighting
    from d24fad_lite.supports.contamination import contamination_experiment
    from d24fad_lite.supports.flag_trial import flag_trial
    from d24fad_lite.supports.influence import assess_choice
    from d24fad_lite.supports.influence import score_sets as score_support_sets
    from d24fad_lite.supports.live import LiveDetector
    from d24fad_lite.supports.lottery import SupportLottery
    from d24fad_lite.supports.selection import SupportSelection
    from d24fad_lite.supports.strategies import STRATEGIES as SUPPORT_STRATEGIES
    from d24fad_lite.supports.strategies import choose as suggest_supports
    from d24fad_lite.supports.strategies import describe as describe_images
    from d24fad_lite.supports.suspicion import suspicious_supports
    from d24fad_lite.training.episodes import EpisodeSampler
    from d24fad_lite.training.fit import fit
    from d24fad_lite.training.history import History
    from d24fad_lite.training.pretrain.fractals import PERTURBATION as FRACTAL_PERTURBATION
    from d24fad_lite.training.pretrain.fractals import find_class as find_fractal
    from d24fad_lite.training.pretrain.fractals import render as render_fractal
    from d24fad_lite.training.pretrain.recipe import Recipe as PretrainingRecipe
    from d24fad_lite.training.pretrain.views import draw_views as draw_fractal_views
    from d24fad_lite.training.settings import FitSettings

__getattr__, __dir__ = lazy_names(__name__, _HOME)
