"""Money as whole numbers of 1e-6 currency units.

Place in the flow: the tables show currency as float64; whoever adds it up turns it back first, so that sums are exact and do not
depend on order. Never rounds anything but what a float64 of currency cannot hold.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from backtester.columns import Ints


def micro(column: pl.Series) -> Ints:
    """Currency as a whole number of 1e-6 units, int64."""
    return np.rint(column.to_numpy() * 1e6).astype(np.int64)


def exact_sum(values: Ints) -> int:
    """The sum of int64 values without overflow."""
    high, low = np.divmod(values, 1_000_000)
    return int(high.sum()) * 1_000_000 + int(low.sum())


def money(units: int) -> float:
    """Whole 1e-6 units as currency."""
    return units / 1_000_000
