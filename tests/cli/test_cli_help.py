from __future__ import annotations

import subprocess
import sys

import pytest

from d24fad_lite import __version__

COMMANDS = ("check", "samples", "fit", "evaluate", "predict", "benchmark", "notebooks", "pretrain")


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom d24fad_lite.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n"
        "    print(sorted({'torch', 'timm', 'pandas', 'matplotlib', 'numpy', 'papermill'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"\n  {command} " in done.stdout for command in (*COMMANDS, "convert"))
    assert done.stdout.rstrip().endswith("[]"), done.stdout[-200:]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_tells_why_with_examples_and_defaults(d24fad, command: str) -> None:
    result = d24fad(command, "--help")
    assert result.code == 0
    assert "Why: " in result.out and f"\n    d24fad {command}" in result.out and "[default: " in result.out


def test_the_help_of_predict_says_that_it_is_not_for_clinical_use(d24fad) -> None:
    assert "NOT FOR CLINICAL USE" in " ".join(d24fad("predict", "--help").out.split())


def test_version_is_the_packages(d24fad) -> None:
    assert d24fad("--version").out.strip() == __version__


def test_a_wrong_option_is_a_usage_error(d24fad) -> None:
    result = d24fad("samples", "--out", "x", "--sead", 1)
    assert result.code == 2 and "--sead" in result.err and "--seed" in result.err


def test_an_expected_error_is_one_line_and_debug_shows_where_it_came_from(d24fad, tmp_path) -> None:
    wrong = ["evaluate", "--untrained", "--data", tmp_path / "nowhere", "--task", "RSNA"]
    result = d24fad(*wrong)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"error: data folder '{tmp_path / 'nowhere'}' does not exist; check the path\n"
    with pytest.raises(FileNotFoundError):
        d24fad(*wrong, "--debug")


def test_ctrl_c_ends_any_command_with_130(d24fad, tmp_path, monkeypatch) -> None:
    from d24fad_lite.data.samples import world

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world, "_write_one", stop)
    result = d24fad("samples", "--out", tmp_path / "samples")
    assert result == (130, "", "stopped\n") and not list((tmp_path / "samples").iterdir())


def test_a_fault_of_the_program_keeps_its_traceback(d24fad, tmp_path, monkeypatch) -> None:
    from d24fad_lite.data.samples import world

    def fault(*_: object) -> None:
        raise AttributeError("a fault")

    monkeypatch.setattr(world, "_write_one", fault)
    with pytest.raises(AttributeError, match="a fault"):
        d24fad("samples", "--out", tmp_path / "samples")
