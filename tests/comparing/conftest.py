"""A small lake and a run over it, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.comparing import runs


@pytest.fixture(scope="session")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake."""
    return runs.small_lake(tmp_path_factory.mktemp("week") / "lake")


@pytest.fixture(scope="session")
def plain(week: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the plain config over it."""
    return runs.run(week, tmp_path_factory.mktemp("plain") / "run")
