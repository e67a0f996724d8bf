"""Statistics of round trips: of all, of each symbol, of each strategy.

Place in the flow: metrics.py feeds `Trips` with the trades table as it is written and asks at the end. Keeps only numbers: 70 bytes
a trade. Money is summed as whole numbers of 1e-6 currency units, so the order of trades does not matter.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_COLUMNS = {"pnl": np.int64, "fees": np.int64, "borrow": np.int64, "hold": np.int64, "mae": np.float64, "mfe": np.float64, "open": np.bool_}
_MINUTE = 60_000_000


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


class Trips:
    """Trades as numbers, with the symbol and strategy of each as a code."""

    def __init__(self) -> None:
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in (*_COLUMNS, "symbol", "strategy")}
        self._codes: dict[str, dict[str, int]] = {"symbol": {}, "strategy": {}}

    def add(self, trades: pl.DataFrame) -> None:
        """Append rows of the trades table."""
        if trades.is_empty():
            return
        hold = (trades["exit_ts"] - trades["entry_ts"]).dt.total_microseconds().fill_null(0)
        values = (
            micro(trades["pnl"]),
            micro(trades["fees"]),
            micro(trades["borrow"]),
            hold.to_numpy(),
            *(trades[name].to_numpy() for name in ("mae", "mfe", "is_open")),
        )
        for name, column in zip(_COLUMNS, values, strict=True):
            self._parts[name].append(column)
        for name, codes in self._codes.items():
            for word in trades[name].unique().to_list():
                codes.setdefault(word, len(codes))
            self._parts[name].append(trades[name].replace_strict(codes, return_dtype=pl.Int32).to_numpy())

    def totals(self) -> tuple[int, int]:
        """Profit of all trades, and what their fills cost, in 1e-6 units."""
        columns = self._columns()
        return exact_sum(columns["pnl"]), exact_sum(columns["fees"]) - exact_sum(columns["borrow"])

    def overall(self) -> dict[str, Any]:
        """The statistics of all trades."""
        return statistics(self._columns())

    def by(self, group: str) -> dict[str, dict[str, Any]]:
        """The statistics of each symbol or strategy that traded, sorted by name."""
        columns = self._columns()
        codes = np.concatenate([np.empty(0, np.int32), *self._parts[group]])
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(self._codes[group]) + 1))
        found = {}
        for name, code in sorted(self._codes[group].items()):
            rows = order[bounds[code] : bounds[code + 1]]
            found[name] = statistics({column: values[rows] for column, values in columns.items()})
        return found

    def _columns(self) -> dict[str, NDArray[Any]]:
        return {name: np.concatenate([np.empty(0, kind), *self._parts[name]]) for name, kind in _COLUMNS.items()}


def statistics(trades: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Figures of some trades; all but net_profit, open_trades and fees are of closed trades, None where there is none.

    net_profit         pnl of all trades, the open ones at their last mark; after fees, in currency
    win_rate           share of trades with pnl above 0
    profit_factor      gains / losses, None where nothing was lost
    expectancy         mean pnl a trade, in currency; best_trade and worst_trade are the largest and smallest pnl
    avg_hold_minutes   mean time from the entry's bar to the exit's, nights and weekends included
    avg_mae, avg_mfe   mean of the worst and best price seen while in the position, as fractions of the entry price
    """
    closed = ~trades["open"]
    pnl = trades["pnl"][closed]
    count, total = len(pnl), exact_sum(pnl)
    gains, losses = exact_sum(pnl[pnl > 0]), -exact_sum(pnl[pnl < 0])
    return {
        "net_profit": money(exact_sum(trades["pnl"])),
        "trades": count,
        "open_trades": len(closed) - count,
        "win_rate": int((pnl > 0).sum()) / count if count else None,
        "profit_factor": gains / losses if losses else None,
        "expectancy": money(total) / count if count else None,
        "best_trade": money(int(pnl.max())) if count else None,
        "worst_trade": money(int(pnl.min())) if count else None,
        "avg_hold_minutes": exact_sum(trades["hold"][closed]) / _MINUTE / count if count else None,
        "avg_mae": math.fsum(trades["mae"][closed].tolist()) / count if count else None,
        "avg_mfe": math.fsum(trades["mfe"][closed].tolist()) / count if count else None,
        "fees": money(exact_sum(trades["fees"])),
    }
