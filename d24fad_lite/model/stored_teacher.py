"""The teacher of a stored detector, exactly as it was saved or not at all."""

from __future__ import annotations

from torch import nn

from d24fad_lite.model.backbones import rebuilt_backbone
from d24fad_lite.model.checkpoint import CheckpointError
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.storage import StoredDetector
from d24fad_lite.model.teacher import Teacher


def stored_teacher(stored: StoredDetector, config: D24FADConfig, given: nn.Module | None) -> Teacher:
    """Build the teacher of a detector's file and fill it with the tensors that the file holds.

    Parameters
    ----------
    stored : the parts of the file
    config : its settings, see `storage.config_of`
    given : a `Teacher` for a file that does not hold its teacher's tensors; a module of one's own is in `config`

    Raises
    ------
    CheckpointError : the tensors are of another architecture, or another teacher comes out than was saved.
    ValueError : settings of which no teacher can be built.
    """
    c, path = config, stored.path
    weights_are_stored = bool(stored.teacher_tensors) and isinstance(c.teacher, str)
    architecture = stored.teacher.architecture
    if isinstance(given, Teacher) and not stored.teacher_tensors:
        teacher = given
    elif weights_are_stored and architecture is not None:  # the name alone does not say how to build it; the file does
        network = rebuilt_backbone(architecture, str(c.teacher), c.image_size)
        teacher = Teacher(network, image_size=c.image_size, normalize=c.normalize)
    else:
        weights = "random" if weights_are_stored else c.weights
        teacher = Teacher(c.teacher, weights, c.image_size, c.normalize, c.seed)
    if stored.teacher_tensors:
        teacher.restore(stored.teacher_tensors, stored.teacher, f"the teacher in {path}")
    if teacher.fingerprint() != stored.teacher.fingerprint:
        raise CheckpointError(
            f"{path} was trained with another teacher than the one at hand "
            f"({c.teacher}, weights {c.weights!r}); its scores would be meaningless"
        )
    return teacher
