"""Put a pre-trained teacher among the embedded weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ...model.checkpoint import read_tensors, write_tensors
from ...model.weights.embedded import CATALOG, FOLDER, quantize

LIMIT = 12_000_000  # bytes, of all that is shipped


def export(teacher: str | Path, folder: Path = FOLDER) -> Path:
    """Store the result of `pretrain` as int8 in `folder` and enter it into the catalog there, with its sha256.

    Raises CheckpointError for a file that is not such a result, ValueError where it is too large to ship.
    """
    tensors, facts = read_tensors(teacher)
    architecture = facts["recipe"]["architecture"]
    kept = {name: t for name, t in tensors.items() if not name.endswith("num_batches_tracked")}
    path = write_tensors(folder / f"{architecture}.safetensors", quantize(kept), facts)
    size = path.stat().st_size
    if size > LIMIT:
        path.unlink()
        raise ValueError(f"{architecture} takes {size / 1e6:.1f} MB as int8, more than the {LIMIT / 1e6:.0f} MB that "
                         "the package may carry; choose a smaller architecture")
    catalog_file = folder / CATALOG
    catalog = json.loads(catalog_file.read_text(encoding="utf-8")) if catalog_file.is_file() else {}
    catalog[architecture] = {"file": path.name, "bytes": size,
                             "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **facts}
    catalog_file.write_text(json.dumps(dict(sorted(catalog.items())), indent=1) + "\n", encoding="utf-8")
    return path
