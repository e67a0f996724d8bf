"""Factor files of Lean: what multiplies raw prices so that splits and dividends leave no jump.

Place in the flow: applied to checked rows before they are filed, where `--factors` is given; the source column then says so.
Never touches volumes, sizes or dates.

    20130102,0.8646266,1,146.06      date, price factor, split factor, reference price: holds up to and including its date
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.errors import DataError
from backtester.market.importers.source import read_bytes

PRICES = (
    "open",
    "high",
    "low",
    "close",
    "vwap",
    *(f"{side}_{part}" for side in ("bid", "ask") for part in ("open", "high", "low", "close")),
)


@dataclass(frozen=True)
class Factors:
    """One symbol's factors: dates (datetime64[D], rising) and price factor x split factor, shape (rows,); name tells the source."""

    path: Path
    name: str
    dates: NDArray[np.datetime64]
    factor: NDArray[np.float64]

    @classmethod
    def read(cls, path: Path) -> Factors:
        """The factors of a file. Raises DataError that names the line."""
        content = read_bytes(path)
        rows = []
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if line.strip():
                rows.append(_row(line, f"{path}, line {number}"))
        if not rows:
            raise DataError("a factor file without rows", where=str(path))
        rows.sort()
        dates = np.array([day for day, _ in rows], "datetime64[D]")
        return cls(path, f"{path.name}@{hashlib.sha256(content).hexdigest()[:12]}", dates, np.array([factor for _, factor in rows]))

    def apply(self, frame: pl.DataFrame, days: pl.Series) -> pl.DataFrame:
        """Prices times the factor of the first row dated on or after each bar's day. DataError where a bar is later than all rows."""
        day = days.to_numpy().astype("datetime64[D]")
        place = np.searchsorted(self.dates, day, side="left")
        if (place == len(self.dates)).any():
            raise DataError("a factor file that ends before the bars", where=str(self.path), value=f"last row {self.dates[-1]}",
                            allowed=f"a row dated on or after {day.max()}")  # fmt: skip
        factor = pl.Series(self.factor[place])
        return frame.with_columns(
            *(pl.col(name) * factor for name in PRICES if name in frame.columns),
            source=pl.col("source") + f" factors:{self.name}",
        )


def _row(line: str, where: str) -> tuple[dt.date, float]:
    """Date and combined factor of one line."""
    fields = line.split(",")
    try:
        day = dt.datetime.strptime(fields[0].strip(), "%Y%m%d").date()
        factor = float(fields[1]) * float(fields[2])
    except (ValueError, IndexError) as error:
        raise DataError("not a row of a factor file", where=where, value=repr(line[:80]),
                        allowed="YYYYMMDD,price factor,split factor[,reference price]") from error  # fmt: skip
    if not (np.isfinite(factor) and factor > 0):
        raise DataError("a factor that is not above zero", where=where, value=repr(line[:80]))
    return day, factor
