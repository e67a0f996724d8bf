"""How many fills an SMA 5/20 crossover has in exact arithmetic: prices as whole cents, averages compared as whole numbers.

The figure that the programs' counts are held against in the bench's table. Never used by a test.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

FAST, SLOW = 5, 20


def fills_in_cents(folder: Path) -> int:
    """Fills over all symbols of a folder of Parquet files; a wish on a symbol's last bar has no next open and fills nothing."""
    return sum(_fills(pl.read_parquet(file)["close"].to_numpy()) for file in sorted(folder.glob("*.parquet")))


def _fills(close: NDArray[np.float64]) -> int:
    cents = np.rint(close * 100).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(cents)])
    at = np.arange(SLOW, len(total))
    # fast sum / FAST - slow sum / SLOW, times FAST * SLOW
    lead = SLOW * (total[at] - total[at - FAST]) - FAST * (total[at] - total[at - SLOW])
    wishes = np.where((lead[1:] > 0) & (lead[:-1] <= 0), 1, np.where((lead[1:] < 0) & (lead[:-1] >= 0), -1, 0))[:-1]
    crosses = wishes[wishes != 0]
    # a cross counts where it differs from the one before it; the first must be upwards
    changes = crosses[np.concatenate([[True], crosses[1:] != crosses[:-1]])] if len(crosses) else crosses
    return len(changes) - int(len(changes) > 0 and changes[0] < 0)
