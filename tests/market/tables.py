"""Small files of a vendor, brought into a lake, and what the lake then holds."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backtester.market.importers import mapping
from backtester.market.importers.table import Layout
from backtester.market.importers.times import Stamps
from backtester.market.imports import ImportReport, Request, import_files
from backtester.market.lake import Lake
from backtester.market.rows import Policy

HEADER = "ts,open,high,low,close,volume\n"
NEW_YORK = Stamps("America/New_York")


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def bring(root: Path, path: Path, *, calendar: str | None = None, policy: Policy | None = None, **words: Any) -> ImportReport:
    """Import one file as text or Parquet; words go to its layout, the symbol is SPY unless said otherwise."""
    form = "parquet" if path.suffix == ".parquet" or path.is_dir() else "csv"
    layout = Layout(**({"symbol": "SPY", "stamps": Stamps("UTC")} | words))
    request = Request((path,), form, layout=layout, policy=policy or Policy(), calendar=calendar)  # type: ignore[arg-type]
    return import_files(root / "lake", request)


def csv(root: Path, text: str | bytes, name: str = "bars.csv") -> Path:
    path = root / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def parquet(root: Path, name: str = "bars.parquet", **columns: Any) -> Path:
    """One bar of SPY at 2019-02-11 14:30 UTC, with columns changed (None: left out)."""
    plain: dict[str, Any] = {"symbol": ["SPY"], "ts": [utc("2019-02-11 14:30")], **{name: [1.0] for name in mapping.BARS}} | columns
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({name: values for name, values in plain.items() if values is not None}).write_parquet(path)
    return path


def stored(root: Path, kind: str = "bars", interval: str = "1m") -> pl.DataFrame:
    lake = Lake.open(root / "lake")
    days = lake.files(kind, interval)["session"]  # type: ignore[arg-type]
    return pl.concat(lake.read(kind, interval, np.datetime64(day)) for day in days)  # type: ignore[arg-type]
