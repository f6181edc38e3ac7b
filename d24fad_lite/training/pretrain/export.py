"""Put a pre-trained teacher among the embedded weights."""

from __future__ import annotations

from pathlib import Path

from d24fad_lite.files import file_sha256, read_json, write_json
from d24fad_lite.model.checkpoint import read_tensors, write_tensors
from d24fad_lite.model.weights.embedded import CATALOG, FOLDER, quantize

LIMIT = 12_000_000  # bytes of one teacher, so that the package stays small


def export(teacher: str | Path, folder: Path = FOLDER) -> Path:
    """Store the result of `pretrain` as int8 in `folder` and enter it into the catalog there, with its sha256.

    Parameters
    ----------
    teacher : path
        A file that `pretrain` wrote.
    folder : path
        Where embedded weights lie; default: those of the package.

    Returns
    -------
    Path of the stored weights.

    Raises
    ------
    CheckpointError
        A file that `pretrain` did not write.
    ValueError
        Weights that are too large to ship, or a catalog that is not JSON.
    """
    tensors, facts = read_tensors(teacher)
    architecture = facts["recipe"]["architecture"]
    shipped = {name: t for name, t in tensors.items() if not name.endswith("num_batches_tracked")}
    path = write_tensors(folder / f"{architecture}.safetensors", quantize(shipped), facts)
    size = path.stat().st_size
    if size > LIMIT:
        path.unlink()
        raise ValueError(
            f"{architecture} takes {size / 1e6:.1f} MB as int8, more than the {LIMIT / 1e6:.0f} MB that "
            "the package may carry; choose a smaller architecture"
        )
    catalog_file = folder / CATALOG
    catalog = read_json(catalog_file) if catalog_file.is_file() else {}
    catalog[architecture] = {"file": path.name, "bytes": size, "sha256": file_sha256(path), **facts}
    write_json(catalog_file, dict(sorted(catalog.items())), indent=1)
    return path
