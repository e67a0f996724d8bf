"""Lakes that several tests read, made once a test run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from backtester.market.action_changes import ROWS, add_actions
from backtester.market.importers.table import Layout
from backtester.market.imports import Request, import_files
from backtester.market.simulate import Simulation, simulate


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four symbols, 2024-11-01 to 2024-12-31 (DST change on 11-03, early closes on 11-29 and 12-24), 1 % of the bars missing."""
    root = tmp_path_factory.mktemp("simulated") / "lake"
    simulate(root, Simulation(("AAA", "BBB", "CCC", "DDD"), dt.date(2024, 10, 1), dt.date(2024, 12, 31), seed=7, missing=0.01))
    return root


@pytest.fixture(scope="session")
def lean_raw(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lean's own zips of SPY, minute trades and quotes, prices multiplied by SPY's factor file."""
    root = tmp_path_factory.mktemp("lean") / "lake"
    factors = shared_data / "lean_reference" / "factor_files" / "spy.csv"
    import_files(root, Request((shared_data / "lean_raw_zip" / "minute" / "spy",), "lean", factors=factors))
    return root


@pytest.fixture(scope="session")
def lean_daily(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lean's own zip of SPY's daily bars, prices multiplied by SPY's factor file."""
    root = tmp_path_factory.mktemp("lean_daily") / "lake"
    factors = shared_data / "lean_reference" / "factor_files" / "spy.csv"
    import_files(root, Request((shared_data / "lean_raw_zip" / "daily" / "spy.zip",), "lean", factors=factors))
    return root


@pytest.fixture(scope="session")
def lean_aapl(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lean's own zips of AAPL around its 7:1 split of 2014-06-09, minute trades and quotes at raw prices, and the split."""
    root = tmp_path_factory.mktemp("lean_aapl") / "lake"
    import_files(root, Request((shared_data / "lean_raw_zip" / "minute" / "aapl",), "lean"))
    split = [("AAPL", dt.date(2014, 6, 9), "split", 7.0, "lean", "")]
    add_actions(root, pl.DataFrame(split, schema=ROWS, orient="row"), "XNYS")
    return root


@pytest.fixture(scope="session")
def lean_2013(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SPY, AIG, BAC, IBM, GOOG and others of Lean, minute trades and quotes with extended hours, raw prices."""
    root = tmp_path_factory.mktemp("lean_2013") / "lake"
    for kind in ("lean_usa_minute", "lean_usa_quote_minute"):
        import_files(root, Request((shared_data / kind,), "parquet"))
    return root


@pytest.fixture(scope="session")
def us_2019(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve US symbols, 2019-02-11 to 15, regular hours."""
    root = tmp_path_factory.mktemp("us_2019") / "lake"
    import_files(root, Request((shared_data / "us_2019_minute",), "parquet"))
    return root


@pytest.fixture(scope="session")
def spy_2011(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SPY of January 2011 as a vendor wrote it: `;`, UTC, stamped at the bar's close."""
    from backtester.market.importers.times import Stamps

    root = tmp_path_factory.mktemp("spy_2011") / "lake"
    layout = Layout(
        symbol="SPY",
        delimiter=";",
        header=False,
        mapped={},
        stamps=Stamps(zone="UTC", at_close=True, format="%Y%m%d %H%M%S"),
    )
    import_files(root, Request((shared_data / "vendor_csv" / "nt-spy-minute-2011_close_stamped_UTC.csv",), "csv", layout=layout))
    return root
