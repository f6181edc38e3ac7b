from __future__ import annotations

from importlib.metadata import version


def test_check_names_the_versions_and_walks_the_whole_path(d24fad) -> None:
    result = d24fad("check")
    assert result.code == 0, result.err
    assert f"torch {version('torch')}" in result.out and f"timm {version('timm')}" in result.out
    done = [line.split(":")[0].split(maxsplit=1)[1] for line in result.out.splitlines() if line.startswith("ok ")]
    assert done == ["draw samples", "train on HIS", "evaluate on RSNA", "predict a folder"]
    assert result.out.endswith("everything works\n")


def test_check_names_the_step_that_fails_and_exits_with_1(d24fad, monkeypatch) -> None:
    from d24fad_lite.data.samples import world

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(world, "write_samples", full_disk)
    result = d24fad("check")
    assert result.code == 1 and "FAILED  draw samples: no space left" in result.err
    assert "everything works" not in result.out


def test_check_without_the_test_only_reports(d24fad) -> None:
    result = d24fad("check", "--no-test")
    assert result.code == 0 and result.out.startswith("system ") and "ok " not in result.out
