"""What all tests share: where the real market data is, and a home of their own for caches."""

from __future__ import annotations

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


pytest_plugins = ["tests.lakes"]
