"""Small lakes in temporary folders, as tests need them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl

from backtester import schema
from backtester.market.change import changing
from backtester.market.lake import Kind, Lake

Stored = tuple[str, str, str, float]


def lake(root: Path, rows: list[Stored], *, kind: Kind = "bars", interval: str = "1m") -> Lake:
    """A lake with these rows (session, time of day UTC, symbol, number) beside what it held before; every column holds the number."""
    table = schema.BARS if kind == "bars" else schema.QUOTES
    columns: dict[str, Any] = {
        "session": [dt.date.fromisoformat(row[0]) for row in rows],
        "ts": [dt.datetime.fromisoformat(f"{row[0]}T{row[1]}+00:00") for row in rows],
        "symbol": [row[2] for row in rows],
        "source": ["test"] * len(rows),
        "flags": [0] * len(rows),
        **{name: [row[3] for row in rows] for name, dtype in table.dtypes.items() if dtype == pl.Float64},
    }
    with changing(root) as change:
        change.add(kind, interval, pl.DataFrame(columns, schema={"session": pl.Date(), **table.dtypes}))
    return Lake.open(root)
