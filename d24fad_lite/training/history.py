"""What happened during training, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class History:
    """Losses per epoch.

    Attributes
    ----------
    rows : list of dict
        Per epoch: `epoch` (from 1), `loss`, `loss_tsd`, `loss_ssd` (means over the queries), `val_loss` (NaN without
        validation; normal images of the training tasks only) and `seconds`.
    best_epoch : int or None
        Epoch of the lowest validation loss; None without validation.
    kept_epoch : int
        The epoch (from 1) whose weights the model holds: the best one where `patience` was given, else the last.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    kept_epoch: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def to_frame(self) -> pd.DataFrame:
        """One row per epoch."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    @property
    def final_loss(self) -> float:
        """Training loss of the last epoch; IndexError before the first one."""
        return float(self.rows[-1]["loss"])
