"""What is recorded of the machine: facts by an allow-list, never a secret."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest

from backtester.outcome import environment as module
from backtester.outcome.environment import environment, libraries, program


def test_only_allowed_variables_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-14."""
    monkeypatch.setenv("BT_CANARY_TOKEN", "BT_CANARY_7f3a")
    monkeypatch.setenv("POLARS_MAX_THREADS", "2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "BT_CANARY_aws")
    found = environment()
    assert "BT_CANARY" not in json.dumps([found, program(), libraries()])
    assert found["variables"]["POLARS_MAX_THREADS"] == "2"


def test_python_and_libraries_have_their_exact_versions() -> None:
    """STR-22."""
    assert environment()["python"] == platform.python_version()
    assert libraries()["numpy"] == np.__version__


def test_a_library_that_is_not_installed_is_null() -> None:
    assert module.version_of("no-such-distribution") is None


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@e"]
    return subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_tells_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "first")
    clean = module._checkout(tmp_path)
    assert clean == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False, "difference": None}
    (tmp_path / "a.py").write_text("2\n")
    changed = module._checkout(tmp_path)
    assert (changed["commit"], changed["dirty"], len(changed["difference"])) == (clean["commit"], True, 64)


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path) -> None:
    assert module._checkout(tmp_path) == {"commit": None, "dirty": None, "difference": None}
