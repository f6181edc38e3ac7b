"""Command lines that must be refused before any work: each is a good one with one thing wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NUMBERS = ("abc", "nan", "1e400", "")
COUNTS = ("0", "-1", "1.5", *NUMBERS)


@dataclass(frozen=True)
class Places:
    """Folders and files that good command lines name."""

    data: Path
    model: Path
    out: Path
    checkout: Path


def good_lines(at: Places) -> dict[str, list[str]]:
    """A good command line for each command."""
    tiny = ["--teacher", "test_resnet", "--weights", "random", "--image-size", "32", "--device", "cpu"]
    out = ["--out", str(at.out)]
    supports = ["--supports", str(at.data / "Blobs" / "train" / "good")]
    return {
        "fit": ["fit", "--data", str(at.data), "--leave-out", "Blobs", *tiny, *out],
        "evaluate": ["evaluate", "--untrained", "--data", str(at.data), "--task", "Blobs", *tiny, *out],
        "predict": ["predict", str(at.model), str(at.data / "Blobs" / "test"), *supports, "--device", "cpu", *out],
        "export": ["export", str(at.model), *supports, "--out", str(at.out / "detector.onnx")],
        "pretrain": ["pretrain", "--steps", "1", "--device", "cpu", *out],
        "samples": ["samples", *out],
        "benchmark": ["benchmark", "--data", str(at.data), "--shots", "2,4", *out],
        "notebooks": ["notebooks", "00", "--checkout", str(at.checkout), *out],
    }


# What may be wrong: command -> option -> values. "@" stands for the folder of the data.
WRONG: dict[str, dict[str, tuple[str, ...]]] = {
    "fit": {
        "--data": ("", "@/none", "@/Blobs/train/good/000.png", "@/Blobs/test/mask"),
        "--leave-out": ("", "nope", "Blobs,nope", "Blobs,Stripes"),
        "--teacher": ("", "nope", "resnet18\0", "../resnet18"),
        "--weights": ("nope", "@/none.pth", "local-dir:", "local-dir:@/none", "hf-hub:"),
        "--image-size": ("15", "1000000", "100000000000", *COUNTS),
        "--preset": ("", "nope"),
        "--reading": ("nope",),
        "--set": ("", "distance", "distance=", "=pointwise", "distance=nope", "temperature=inf", "temperature=nan",
                  "temperature=0", "temperature=-1", "lambda_tsd=nan", "lambda_ssd=-1", "sigma=inf", "nope=1"),
        "--shots": ("100000", *COUNTS),
        "--epochs": COUNTS,
        "--seed": ("-1", "1.5", *NUMBERS),
        "--batch-size": COUNTS,
        "--lr": ("0", "-1", "inf", *NUMBERS),
        "--lr-schedule": ("", "nope"),
        "--episodes": ("", "nope"),
        "--precision": ("", "fp8"),
        "--validation": ("1", "-0.1", "inf", "0.99", *NUMBERS),
        "--patience": ("0", "-1", "1.5", *NUMBERS, "3"),
        "--ema": ("1", "-0.1", "inf", *NUMBERS),
        "--device": ("", "nope", "cpu:9", "cuda:99", "cpu:-1", "cpu:x"),
        "--teacher-module": ("nope", "nope:", ":nope", "nope.nope:nope", "os:getcwd", "os:nope"),
        "--out": ("@/Blobs/train/good/000.png", "@/Blobs/train/good/000.png/in"),
    },
    "evaluate": {
        "--data": ("", "@/none", "@/Blobs/train/good/000.png"),
        "--task": ("", " ", ",", "nope", "Blobs,nope"),
        "--reading": ("", "nope", "paper,nope", ","),
        "--shots": ("", "0", "2,2", "2,x", "1000", "-1", ","),
        "--draws": COUNTS,
        "--seed": ("-1", *NUMBERS),
        "--protocol": ("", "nope"),
        "--batch-size": COUNTS,
        "--device": ("", "nope", "cpu:9", "cuda:99"),
        "--teacher": ("", "nope"),
        "--image-size": ("15", "1000000", *COUNTS),
        "--out": ("@/Blobs/train/good/000.png",),
    },
    "predict": {
        "--supports": ("", "@/none", "@/Blobs/test/mask/none.png"),
        "--shots": ("-1", "1000", "1.5", *NUMBERS),
        "--seed": ("-1", *NUMBERS),
        "--batch-size": COUNTS,
        "--heatmap-size": ("-1", "1", "15", "200000", "100000000", "1.5", *NUMBERS),
        "--reading": ("nope",),
        "--method": ("", "nope"),
        "--alpha": ("0", "1", "-0.1", "inf", "0.001", *NUMBERS),
        "--normals": ("", "@/none", "@/Blobs/test/mask/none.png"),
        "--gallery": ("-1", "1.5", *NUMBERS),
        "--device": ("", "nope", "cpu:9"),
        "--out": ("@/Blobs/train/good/000.png",),
    },
    "export": {
        "--supports": ("", "@/none", "@/Blobs/test/mask/none.png"),
        "--to": ("", "nope", "tensorrt"),
        "--pixels": ("", "nope", "int16"),
        "--shots": ("-1", "1000", "1.5", *NUMBERS),
        "--seed": ("-1", *NUMBERS),
        "--reading": ("nope",),
        "--method": ("", "nope"),
        "--alpha": ("0", "1", "-0.1", "inf", "0.001", *NUMBERS),
        "--normals": ("", "@/none", "@/Blobs/test/mask/none.png"),
        "--out": ("@/Blobs/train/good/000.png", "@/Blobs/train/good/000.png/detector.onnx"),
    },
    "pretrain": {
        "--architecture": ("", "nope", "vit_base_patch16_224\0"),
        "--steps": ("-1", "1.5", *NUMBERS),
        "--seed": ("-1", *NUMBERS),
        "--device": ("", "nope", "cpu:9"),
        "--probe": ("@/none", "@/Blobs/train/good/000.png"),
        "--out": ("@/Blobs/train/good/000.png",),
    },
    "samples": {
        "--seed": ("-1", *NUMBERS),
        "--level": ("", "nope"),
        "--severity": ("-0.1", "1.1", "inf", *NUMBERS),
        "--size": ("15", "100000", "100000000", *COUNTS),
        "--count": ("100000000", *COUNTS),
        "--train": ("-1", "100000000", "1.5", *NUMBERS),
        "--tasks": ("", "nope", "RSNA,nope", ","),
        "--out": ("@/Blobs/train/good/000.png",),
    },
    "benchmark": {
        "--data": ("", "@/none", "@/Blobs/train/good/000.png"),
        "--profile": ("nope",),
        "--tasks": ("", "nope", ","),
        "--methods": ("", "foo", "d24fad,foo", ",", "d24fad,d24fad"),
        "--shots": ("0", "2,2", "x", ","),
        "--seeds": ("-1", "x", "0,0", ","),
        "--epochs": ("-1", "1.5", *NUMBERS),
        "--readings": ("nope", ",", "released,nope"),
        "--engine": ("", "nope", "ray"),
        "--workers": ("-1", "1.5", "100000000", *NUMBERS),
        "--gpus": ("-1", "1.5", *NUMBERS),
        "--threads": ("-1", "1.5", *NUMBERS),
        "--minutes": ("-1", "1.5", *NUMBERS),
        "--attempts": ("0", "-1", "1.5", *NUMBERS),
        "--engine-option": ("", "address", "address=tcp://h:1", "memory_gb=x", "partition=p", "account=a"),
        "--out": ("@/Blobs/train/good/000.png",),
    },
    "notebooks": {
        "--profile": ("nope",),
        "-p": ("", "seed", "=1", "nope=1", "seed=x"),
        "--timeout": ("-1", "inf", *NUMBERS),
        "--jobs": ("0", "-1", "1.5", *NUMBERS),
        "--checkout": ("@/none", "@"),
        "--out": ("@/Blobs/train/good/000.png",),
    },
}  # fmt: skip


def bad_lines(at: Places) -> list[list[str]]:
    """Every good line with one wrong option, which comes last and so counts."""
    good = good_lines(at)
    return [
        [*good[command], option, value.replace("@", str(at.data))]
        for command, options in WRONG.items()
        for option, values in options.items()
        for value in values
    ]
