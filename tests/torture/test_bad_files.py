"""A file that is not what it should be: one type of error, in a sentence that names the file; nothing is believed."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from bad_files import doors
from tally import SEED, SHARE, count

from d24fad_lite.files import UnreadableFile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

# What a file may as well hold: facts that nothing depends on; other values that are possible; and settings that are
# absent, which files had before the setting existed, so that they have its default.
HARMLESS = r"""(?x)
    ^(format|schema)\ is\ true$ | ^(trained_on|versions|warning|draws|n_|auroc|ci|average_precision|f1_max|pixel_auroc)
    | ^(settings|facts|task|method|protocol|seed|weights_source|mean|std)
    | ^config\.\w+\ is\ absent$ | ^config\.(temperature|lambda_\w+|blur_sigma|seed)\ is\ a\ number$
    | ^config\.(weights)\ is\ a\ text$ | ^config\.(normalize|align_corners|stop_gradient)\ is\ true$
    | ^history\.best_epoch\ is\ null$
"""


def test_no_loader_believes_a_spoilt_file(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    wrong, tried, rng = [], 0, np.random.default_rng([SEED, 9])
    for number, door in enumerate(doors(tiny_root, tmp_path)):
        for kind, path in door.spoilt(tmp_path / f"door {number}"):
            if rng.random() > SHARE:
                continue
            tried += 1
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    door.read(path)
            except UnreadableFile as error:
                if path.name not in str(error) or len(str(error)) > 1500:
                    wrong.append(f"{door.name}, {kind}: says {str(error)[:200]!r}")
            except Exception as error:
                wrong.append(f"{door.name}, {kind}: {type(error).__name__}: {str(error)[:160]}")
            else:
                if not re.search(HARMLESS, kind):
                    wrong.append(f"{door.name}, {kind}: believed")
    assert not wrong, f"{len(wrong)} of {tried}:\n" + "\n".join(wrong)
    count("spoilt files at five doors", tried)
