"""`d24fad export`: a detector with its supports as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from d24fad_lite.cli.errors import tell
from d24fad_lite.cli.options import Method, Reading, TeacherModule, require_writable, stored_teacher


def export(
    model: Annotated[Path, typer.Argument(help="model.safetensors of d24fad fit.")],
    supports: Annotated[
        list[Path],
        typer.Option(metavar="PLACE", help="Normal reference images, which go into the file: folder or file; repeat."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write, such as detector.onnx or detector.pt2.")],
    to: Annotated[str, typer.Option(help="onnx (extra d24fad_lite[export]), or torch (torch.export).")] = "onnx",
    pixels: Annotated[str, typer.Option(help="What the file takes: uint8 of 0..255, or float32 of 0..1.")] = "uint8",
    shots: Annotated[int, typer.Option(help="Draw so many of the supports; 0 takes all of them.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of that draw.")] = 0,
    reading: Reading = "",
    method: Method = "",
    alpha: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Also store the threshold of this false-alarm rate.  [default: none]"),
    ] = None,
    normals: Annotated[
        list[Path] | None,
        typer.Option(metavar="PLACE", help="Further normal images, no supports, for the threshold; repeat."),
    ] = None,
    teacher_module: TeacherModule = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write a detector and its supports as one file: an image as it was read goes in, score and map come out.

    Why: to use a detector where this package is not installed. The file resizes, normalises, compares with the supports
    and blurs by itself; it gives the raw score, and the threshold stands beside the graph as data. Before it is kept,
    it is run on images of five sizes, grey and in colour, and must give what predict gives. NOT FOR CLINICAL USE.

    \b
    Examples:
      d24fad export run/model.safetensors --supports normals --out detector.onnx
      d24fad export run/model.safetensors --supports normals --to torch --out detector.pt2
      d24fad export run/model.safetensors --supports normals --normals more --alpha 0.05 --out detector.onnx

    \b
    Reading it elsewhere:
      import json, numpy as np, onnxruntime
      from PIL import Image
      session = onnxruntime.InferenceSession("detector.onnx")
      facts = json.loads(session.get_modelmeta().custom_metadata_map["d24fad_lite"])
      image = np.asarray(Image.open("scan.png").convert("RGB"))       # uint8 [H, W, 3], any size
      score, anomaly_map = session.run(None, {"image": image})
      alarm = facts["threshold"] is not None and float(score) > facts["threshold"]
    """
    from d24fad_lite.predicting.export.export import export_detector
    from d24fad_lite.predicting.export.formats import MOST_PIXELS
    from d24fad_lite.predicting.inputs import choose_supports
    from d24fad_lite.predicting.prepared import require_model_file

    require_model_file(model)
    if out.exists() and not overwrite:
        raise FileExistsError(f"--out {out} exists; choose another file, or --overwrite to replace it")
    chosen = choose_supports(supports, shots, seed, "--shots")
    require_writable(out.parent)
    written = export_detector(
        model,
        chosen,
        out,
        to=to,
        pixels=pixels,
        reading=reading,
        method=method,
        alpha=alpha,
        normals=normals or [],
        teacher=stored_teacher(model, teacher_module),
        overwrite=overwrite,
    )
    threshold = written.facts["threshold"]
    tell(f"saved {out}: {len(chosen)} supports, takes {pixels} images [H, W, 1 or 3], sides up to {MOST_PIXELS} px")
    tell(f"tried on {written.tried} images: equal to predict within {written.difference:.0e} of a value, or of 0.03")
    tell(f"threshold {threshold:.4g}, as data beside the graph" if threshold is not None else "no threshold (--alpha)")
