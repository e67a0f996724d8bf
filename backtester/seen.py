"""Seen: what a strategy was given and has asked for, as one tidy frame.

Place in the flow: from what was watched in a call to rows that can be read, filtered and compared. Never computes a column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.columns import OHLCV
from backtester.signals.bars import Bars
from backtester.signals.watching import Watched
from backtester.table import INSTANT

COLUMNS = (*OHLCV, "quality", "complete")
FORM: dict[str, Any] = {
    "strategy": pl.String(),
    "input": pl.String(),
    "interval": pl.String(),
    "symbol": pl.String(),
    "session": pl.Date(),
    "ts": INSTANT,
    "end": INSTANT,
    "kind": pl.String(),
    "name": pl.String(),
    "value": pl.Float64(),
}
"""Columns of the frame; kind is column, historical, or asked; value is null where there is none, 1 or 0 of a boolean."""


def seen_of(watched: Watched, strategy: str, symbol: str | None = None) -> pl.DataFrame:
    """Every value that a strategy saw: one row a bar of an input and column.

    Bars are those of the session, and the last one before it where the strategy has history. `ts` and `end` are the bar's own;
    on another input's bar a strategy sees the latest with an `end` not after its own.
    """
    frames = [
        _frame(bars, {"strategy": strategy, "input": name}, kind, label, values, cells)
        for name, bars in watched.inputs.items()
        for cells in [_cells(bars, symbol)]
        for kind, label, values in _columns(watched, name)
    ]
    return pl.concat([pl.DataFrame(schema=FORM), *frames])


def _columns(watched: Watched, own: str) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Kind, name and values of everything that was there on the bars of an input."""
    bars = watched.inputs[own]
    for name in COLUMNS:
        yield "column", name, bars.column(name)
    for name, values in watched.historical[own].items():
        yield "historical", name, values
    for asked in watched.asked:
        if asked.bars is bars:
            yield "asked", asked.label, asked.values


def _cells(bars: Bars, symbol: str | None) -> tuple[NDArray[np.intp], ...]:
    """Where the bars are that the frame shows."""
    shown = bars.valid & (np.arange(bars.shape[-1]) >= bars.lookback - 1)
    if symbol is not None:
        shown &= bars.symbol == symbol
    return np.nonzero(shown)


def _frame(
    bars: Bars, names: Mapping[str, str], kind: str, label: str, values: NDArray[Any], cells: tuple[NDArray[np.intp], ...]
) -> pl.DataFrame:
    def of(column: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(column, bars.shape)[cells]

    columns = {
        **{name: pl.repeat(word, len(cells[0]), dtype=pl.String, eager=True) for name, word in names.items()},
        "interval": pl.repeat(bars.interval, len(cells[0]), dtype=pl.String, eager=True),
        "symbol": pl.Series(of(bars.symbol).tolist(), dtype=pl.String),
        "session": pl.Series(of(bars.session)),
        "ts": pl.Series(of(bars.ts)).cast(INSTANT),
        "end": pl.Series(of(bars.end)).cast(INSTANT),
        "kind": pl.repeat(kind, len(cells[0]), dtype=pl.String, eager=True),
        "name": pl.repeat(label, len(cells[0]), dtype=pl.String, eager=True),
        "value": pl.Series(of(values).astype(np.float64)).fill_nan(None),
    }
    return pl.DataFrame(columns, schema_overrides=FORM).select(list(FORM))
