"""A report comes back as it was saved; what is no report is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.files import UnreadableFile


@pytest.fixture
def report() -> EvaluationReport:
    return EvaluationReport(
        task="T",
        method="D²4FAD",
        protocol="per-image",
        shots=2,
        seed=3,
        labels=np.array([0, 1, 0, 1]),
        names=["a.png", "ö.png", "c.png", "d.png"],
        groups=[None, "p", None, "p"],
        scores=np.array([[0.1, 0.9, 0.4, 0.3], [0.2, 0.7, 0.1, 0.8]]),
        supports=np.array([[0, 4], [2, 1]]),
        support_hashes=[["h0", "h4"], ["h2", "h1"]],
        facts={"device": "cpu"},
    )


def test_a_report_is_read_as_it_was_saved_and_leaves_nothing_else_behind(
    report: EvaluationReport, tmp_path: Path
) -> None:
    folder = report.save(tmp_path / "new" / "report")
    assert sorted(path.name for path in folder.iterdir()) == ["draws.csv", "names.csv", "report.json", "scores.csv"]
    loaded = EvaluationReport.load(folder)
    assert loaded.to_dict() == report.to_dict() and loaded.ci == report.ci
    assert loaded.scores.dtype == report.scores.dtype and loaded.supports.dtype == report.supports.dtype


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "not what was expected: its content is .*, expected an object"),
        ('{"schema": 9}', "schema is 9, expected 1"),
    ],
)
def test_a_file_that_is_no_report_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        EvaluationReport.load(tmp_path)


def test_a_key_to_the_names_that_is_none_is_named(report: EvaluationReport, tmp_path: Path) -> None:
    report.save(tmp_path)
    (tmp_path / "names.csv").write_text("mine\n")
    with pytest.raises(UnreadableFile, match=r"names\.csv is not the key .*begins with \[\['mine'\]\].*move it away"):
        EvaluationReport.load(tmp_path)


def test_a_folder_without_a_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="report.json does not exist; give a folder that"):
        EvaluationReport.load(tmp_path)
