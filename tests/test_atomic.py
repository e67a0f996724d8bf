"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backtester.atomic import KILLED, commit, is_temporary, remove_leftovers
from backtester.errors import OutputError, ResourceError


def put(text: str):
    return lambda path: path.write_text(text) and None


def test_a_commit_puts_the_new_text_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    commit(tmp_path / "a.json", put("one"))
    commit(tmp_path / "a.json", put("two"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "two"


def test_the_temporary_file_is_private_and_unseen_by_readers_patterns_s_19(tmp_path: Path) -> None:
    seen: list[tuple[int, bool, list[Path]]] = []

    def write(path: Path) -> None:
        seen.append((path.stat().st_mode & 0o777, is_temporary(path), list(tmp_path.glob("*.parquet"))))

    commit(tmp_path / "a.parquet", write)
    assert seen == [(0o600, True, [])]


def test_a_failing_writer_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    commit(tmp_path / "a.json", put("old"))

    def write(path: Path) -> None:
        path.write_text("half")
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        commit(tmp_path / "a.json", write)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "old"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_or_failing_disk_is_an_error_of_resources_f_06_f_07(tmp_path: Path, code: int) -> None:
    def write(path: Path) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.raises(ResourceError, match=r"a\.json"):
        commit(tmp_path / "a.json", write)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_error_of_output(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"gone"):
        commit(tmp_path / "gone" / "a.json", put("x"))


CHILD = "from pathlib import Path; from backtester.atomic import commit; commit(Path('a.json'), lambda p: p.write_text('new') and None)"


@pytest.mark.parametrize(("step", "text"), [("write", "old"), ("sync", "old"), ("replace:a.*", "old"), ("done", "new")])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_file_whole_f_02(tmp_path: Path, project: Path, step: str, text: str) -> None:
    (tmp_path / "a.json").write_text("old")
    environment = os.environ | {"BT_FAIL_AT": step, "PYTHONPATH": str(project)}
    ended = subprocess.run([sys.executable, "-c", CHILD], cwd=tmp_path, env=environment, check=False)
    assert ended.returncode == KILLED
    assert (tmp_path / "a.json").read_text() == text
    assert len(list(tmp_path.glob("*.json"))) == 1
    assert remove_leftovers(tmp_path) == (0 if step == "done" else 1)
    assert len(list(tmp_path.iterdir())) == 1
