"""What all tests share: where the real market data is, and a home of their own for caches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data beside the project; the test is skipped where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("real market data is not beside this checkout (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def _own_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trials of tests are not counted among the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BT_DATA_HOME", str(tmp_path_factory.mktemp("home")))
        yield


pytest_plugins = ["tests.lakes"]
