"""What the results of `gpu.py` say in sentences, each made from its figures; and the rows that they come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]


def shares(results: dict) -> list[tuple[tuple[str, str], float, float]]:
    """((work, precision), TFLOP/s, share of the matrix product's) of the kit's best passes and of training steps."""
    peak = {r["precision"]: r["tflop_per_s"] for r in rows_of(results, "peaks") if r["what"] == "matrix product"}
    gflop = results["sections"].get("peaks", {}).get("gflop_per_image", {})
    found = []
    kit = [r for r in rows_of(results, "images") if r["layout"] == "kit" and r["part"] in ("teacher", "student")]
    for (teacher, part, precision), group in groups_of(kit, "teacher", "part", "precision").items():
        best = max(group, key=lambda r: r["images_per_s"])
        rate = best["images_per_s"] * gflop[teacher][part] / 1e3
        found.append(((f"{teacher}, {part}, batch {best['batch']}", precision), rate, rate / peak[precision]))
    steps = [r for r in rows_of(results, "training") if r["features"] == "CPU"]
    counted = {(r["teacher"], r["shots"], r["episodes"]): r["gflop"] for r in steps if "gflop" in r}
    for r in steps:
        key = (r["teacher"], r["shots"], r["episodes"])
        if key in counted:
            rate = counted[key] / r["ms"]
            found.append(((f"{key[0]}, step K={key[1]}, {key[2]}", r["precision"]), rate, rate / peak[r["precision"]]))
    return found


def findings(results: dict) -> list[str]:
    """Sentences that follow from the tables; one whose rows are missing is left out."""
    sentences = []
    for sentence in (_found_best, _found_layout, _found_step, _found_share, _found_switch, _found_whole):
        try:
            sentences.append(sentence(results))
        except (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError):
            continue
    return ["## What was found", "", *(f"- {text}" for text in sentences if text), ""]


def _found_best(results: dict) -> str:
    parts = []
    for teacher in results["setting"]["teachers"]:
        part = f"evaluation K={max(results['setting']['eval_shots'])}"
        rows = where(rows_of(results, "images"), teacher=teacher, part=part)
        best, shipped = max(rows, key=_rate), max(where(rows, layout="default"), key=_rate)
        cpu = where(rows_of(results, "processor"), teacher=teacher, part=part)
        beside = f", {_rate(best) / _rate(cpu[0]):.0f} times the processor's" if cpu else ""
        parts.append(
            f"{teacher} at most {_rate(best):,.0f} images/s ({best['precision']}, {best['layout']}, "
            f"batch {best['batch']}){beside}; as shipped, images from the processor, at most {_rate(shipped):,.0f}"
        )
    reading = [_rate(r) for r in rows_of(results, "loading") if r["what"] == "sample images, first decode"]
    slow = (
        f" Files are first read at {reading[0]:,.0f} images/s: the card waits wherever it would be faster."
        if reading
        else ""
    )
    return f"Whole evaluation with {max(results['setting']['eval_shots'])} supports: " + "; ".join(parts) + "." + slow


def _found_layout(results: dict) -> str:
    teacher, batch = results["setting"]["teachers"][0], max(results["setting"]["batches"])
    rows = where(rows_of(results, "images"), teacher=teacher, part="teacher", batch=batch)
    texts = []
    for precision in ("fp32", "tf32", "bf16"):
        rate = {r["layout"]: _rate(r) for r in where(rows, precision=precision)}
        base = rate["contiguous"]
        texts.append(f"{rate['channels_last'] / base:.2f} and {rate['kit'] / base:.2f} in {precision}")
    return (
        f"Against the default layout, channels_last and the kit's folded channels_last give, for the teacher {teacher} "
        f"at batch {batch}, these factors: {'; '.join(texts)}."
    )


def _found_step(results: dict) -> str:
    teacher = results["setting"]["teachers"][0]
    shots = results["setting"]["train_shots"][0]
    rows = where(rows_of(results, "training"), teacher=teacher, shots=shots)
    own = where(rows, episodes="independent", features="CPU")
    ms = ", ".join(f"{r['precision']} {r['ms']:.1f} ms" for r in own)
    base = own[-1]
    other = where(rows, episodes="in-batch", features="CPU", precision=base["precision"])[0]
    card = where(rows, episodes="independent", features="device", precision=base["precision"])[0]
    return (
        f"A training step of {teacher} at K={shots} takes {ms}; in {base['precision']}, in-batch episodes "
        f"{other['ms']:.1f} ms, and with the cached features on the card {card['ms']:.1f} ms."
    )


def _found_share(results: dict) -> str:
    found = shares(results)
    (high, precision), _, most = max(found, key=lambda s: s[2])
    (low, other), _, least = min(found, key=lambda s: s[2])
    return (
        f"Of the card's measured matrix-product rate, the kit reaches at most {100 * most:.0f} % ({high}, {precision}) "
        f"and at least {100 * least:.1f} % ({low}, {other})."
    )


def _found_switch(results: dict) -> str:
    rows = rows_of(results, "switches")
    texts = [
        f"{r['switch']} ({r['teacher']}, batch {r['batch']}) gives {r['ratio']:.2f} times the speed, "
        + (f"and pays after {r['pays_after_images']:,} images" if r["pays_after_images"] else "and never pays")
        for r in rows
    ]
    return "; ".join(texts)[:1].upper() + "; ".join(texts)[1:] + "." if texts else ""


def _found_whole(results: dict) -> str:
    w = results["sections"]["whole"]
    rows = where(w["rows"], reading="released")
    values = "; ".join(f"{r['state']} {r['auroc']:.3f} [{r['ci'][0]:.3f}, {r['ci'][1]:.3f}]" for r in rows)
    return (
        f"{w['epochs']} epochs on {w['images']} synthetic images took {w['seconds_fit']:.0f} s; image AUROC of the "
        f"task left out, released reading: {values}."
    )


def rows_of(results: dict, section: str) -> list[Row]:
    return results["sections"].get(section, {}).get("rows", [])


def where(rows: Iterable[Row], **values: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def groups_of(rows: Iterable[Row], *names: str) -> dict[tuple, list[Row]]:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def _rate(row: Row) -> float:
    return row["images_per_s"]
