"""Finished runs to compare: made over a small simulated lake, or copies of one with something edited by hand."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

import backtester as bt
from backtester.market.change import changing
from backtester.market.lake import Lake
from backtester.market.simulate import Simulation, simulate
from backtester.outcome.digests import table_digest
from backtester.schema import RUN_TABLES
from tests.configs import config, strategy

FIRST, LAST = dt.date(2024, 11, 4), dt.date(2024, 11, 8)


def small_lake(root: Path) -> Path:
    """Two symbols, two weeks of minutes."""
    simulate(root, Simulation(("AAA", "BBB"), dt.date(2024, 10, 28), LAST, seed=7))
    return root


def written(lake: Path, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A config over one week: averages of 5-minute bars, with costs."""
    base = {
        "strategies": strategy("sma_crossover", interval="5m", fast=5, slow=20),
        "session_data_config.symbols": ["AAA", "BBB"],
        "session_data_config.indicators": {"session": [{"name": "sma", "period": 20, "interval": "5m"}]},
        "backtest_config": {"start_date": str(FIRST), "end_date": str(LAST)},
        "execution": {"sizing": {"type": "notional", "value": 10000}, "commission": {"preset": "ibkr_fixed"}},
    }
    return config(lake, base | dict(changes or {}))


def run(lake: Path, out: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """A run's folder."""
    return bt.run(written(lake, changes), out=out, force=True).folder


def with_bar(lake: Path, root: Path, symbol: str, ts: dt.datetime, **values: float) -> Path:
    """A copy of the lake in which one bar has other values."""
    shutil.copytree(lake, root)
    day = Lake.open(root).read("bars", "1m", ts.date())  # type: ignore[arg-type]
    own = (pl.col("symbol") == symbol) & (pl.col("ts") == ts)
    changed = day.filter(own).with_columns(**{name: pl.lit(value) for name, value in values.items()}, session=pl.lit(ts.date()))
    assert len(changed) == 1
    with changing(root, replace=True) as change:
        change.add("bars", "1m", changed)
    return root


def edited(
    folder: Path, place: Path, table: str | None = None, change: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    manifest: Callable[[dict[str, Any]], None] | None = None, metrics: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """A copy of a run with a table, its manifest or its metrics changed by hand; digests are made to fit."""
    shutil.copytree(folder, place)
    said = json.loads((place / "manifest.json").read_text())
    if table is not None and change is not None:
        rows = change(pl.read_parquet(place / f"{table}.parquet"))
        rows.write_parquet(place / f"{table}.parquet")
        said["results"]["tables"][table] |= {"rows": len(rows), "digest": table_digest(RUN_TABLES[table], [rows])}
    if manifest is not None:
        manifest(said)
    (place / "manifest.json").write_text(json.dumps(said))
    if metrics is not None:
        own = json.loads((place / "metrics.json").read_text())
        (place / "metrics.json").write_text(json.dumps(own | dict(metrics)))
    return place


def raised(column: str, row: int, by: float) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A change of one number of a table."""
    here = pl.int_range(pl.len()) == row
    return lambda rows: rows.with_columns(pl.when(here).then(pl.col(column) + by).otherwise(pl.col(column)).alias(column))
