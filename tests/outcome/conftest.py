"""Tables of a small run, written by hand, and a folder that holds them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from backtester import schema
from backtester.outcome.manifest import Facts, build
from backtester.outcome.metrics import Score
from backtester.outcome.results import RunFolder
from backtester.outcome.run import Run, load

CONFIG: dict[str, Any] = {
    "session_name": "two names",
    "execution": {"fill": "next_open", "commission": {"preset": "ibkr_fixed"}, "slippage": {"bps": 1.0}},
}


def sample(table: schema.Table) -> pl.DataFrame:
    """The table's sample rows as a frame."""
    columns: dict[str, list[Any]] = {name: [row[place] for row in table.samples] for place, name in enumerate(table.names)}
    for column in table.columns:
        if column.dtype in (pl.Date, pl.Datetime):
            read = dt.date.fromisoformat if column.dtype == pl.Date else dt.datetime.fromisoformat
            columns[column.name] = [None if text is None else read(text) for text in columns[column.name]]
    return schema.frame(table, columns)


@pytest.fixture(scope="session")
def empyrical() -> Any:
    """The library that defines many of the figures; tests that compare with it are skipped where it is absent."""
    return pytest.importorskip("empyrical")


@pytest.fixture
def tables() -> dict[str, pl.DataFrame]:
    """The sample rows of every table of a run."""
    return {name: sample(table) for name, table in schema.RUN_TABLES.items()}


@pytest.fixture
def facts() -> Facts:
    """The plain facts of a run."""
    moment = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
    return Facts(
        config=CONFIG,
        config_digest="c" * 64,
        strategies=[{"name": "cross", "use": "sma_crossover", "params": {"fast": 5}, "sources": [{"path": "a.py", "sha256": "5" * 64}]}],
        files=[
            {"kind": "bars", "interval": "1m", "session": dt.date(2025, 7, 2), "path": "bars/1m/2025-07-02.parquet", "sha256": "f" * 64}
        ],
        calendar={"name": "XNYS", "digest": "d" * 64},
        policies={"fill": "next_open", "intrabar": "pessimistic"},
        started=moment,
        finished=moment + dt.timedelta(seconds=2),
        execution={"prefetch_days": 21, "threads": 2},
        counts={"bars": 1192},
        timings={"load": 0.5},
        warnings=["history of RIVN is short"],
    )


@pytest.fixture
def publish(tables: dict[str, pl.DataFrame], facts: Facts) -> Callable[..., Run]:
    """Writes the small run into a place."""

    def write(place: Path, *, force: bool = False, cash: float = 100_000.0) -> Run:
        score = Score(cash, 250.0)
        with RunFolder.claim(place, force) as folder:
            for name, rows in tables.items():
                folder.append(name, rows)
            score.add(tables)
            metrics = score.metrics(np.array([0.001, -0.002]))
            manifest = build(facts, folder.seal(), metrics)
            return load(folder.publish(manifest, metrics, CONFIG))

    return write


@pytest.fixture
def finished(tmp_path: Path, publish: Callable[..., Run]) -> Run:
    """A finished run in a folder of its own."""
    return publish(tmp_path / "done")
