"""One writer for a folder; who comes second is told, and a writer that was killed blocks nobody."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from d24fad_lite.sole_writer import OWNER, FolderInUse, sole_writer

HOLD = """
import sys, time
from d24fad_lite.sole_writer import sole_writer
with sole_writer(sys.argv[1], "a long work"):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_told_who_the_first_is(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    told = rf"in use by process {holder.pid} \(a long work, since .*stop it, or name another folder for mine"
    with pytest.raises(FolderInUse, match=told), sole_writer(tmp_path, "mine"):
        pytest.fail("two at once")
    assert (tmp_path / OWNER).is_file()


def test_a_writer_that_was_killed_blocks_nobody_and_its_half_written_files_go(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    (tmp_path / ".partial-1").write_text("half")
    (tmp_path / ".partial-2").mkdir()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with sole_writer(tmp_path, "mine"):
        assert not list(tmp_path.glob(".partial-*"))
    assert not (tmp_path / OWNER).exists()


def test_the_same_thread_may_ask_again_and_the_folder_is_free_at_the_end(tmp_path: Path) -> None:
    with sole_writer(tmp_path / "new", "outer") as folder:
        (folder / ".partial-mine").write_text("being written")
        with sole_writer(tmp_path / "new", "inner"):
            assert (folder / OWNER).is_file()
        assert (folder / OWNER).is_file() and (folder / ".partial-mine").is_file()
    with pytest.raises(KeyError), sole_writer(tmp_path / "new", "again"):
        raise KeyError
    with sole_writer(tmp_path / "new", "once more"):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match="cannot write into '.*inner'.*choose a folder that can be written"),
        sole_writer(tmp_path / "file" / "inner", "mine"),
    ):
        pytest.fail("held")
