"""Round trips as they come: of all, of each symbol, strategy, direction, weekday and hour of the entry.

Place in the flow: metrics.py feeds `Trips` with the trades table as it is written and asks for `figures` at the end. Keeps only
numbers: 60 bytes a trade. Never knows a formula; those stand in trade_statistics.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.outcome.money import exact_sum, micro
from backtester.outcome.trade_statistics import Sums, overall, statistics
from backtester.table import categories, enumerated

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOURS = tuple(f"{hour:02}" for hour in range(24))
WORDS = ("symbol", "strategy", "direction")
GROUPS = (*WORDS, "weekday", "hour")

_KEPT = {
    "pnl": np.int64, "fees": np.int64, "hold": np.int64, "mae": np.float64, "mfe": np.float64, "return": np.float64,
    "symbol": np.int32, "strategy": np.int32, "direction": np.int8, "weekday": np.int8, "hour": np.int8,
}  # fmt: skip
_HOUR, _DAY = 3_600_000_000, 86_400_000_000
_THURSDAY = 3  # the weekday of day 0, 1970-01-01


class Trips:
    """Trades as numbers, each with the codes of its groups; `zone` is the exchange's, for the weekday and hour of entries.

    borrow is what holding shorts overnight has cost (a part of the trades' fees), dividends what positions have received, in 1e-6 units.
    """

    def __init__(self, zone: str = "UTC") -> None:
        self._zone, self.borrow, self.dividends = zone, 0, 0
        self._closed: dict[str, list[NDArray[Any]]] = {name: [np.empty(0, kind)] for name, kind in _KEPT.items()}
        self._open: dict[str, list[NDArray[Any]]] = {name: [np.empty(0, kind)] for name, kind in _KEPT.items()}
        self._codes: dict[str, dict[str, int]] = {word: {} for word in WORDS}
        self._codes |= {"weekday": _numbered(WEEKDAYS), "hour": _numbered(HOURS)}

    def add(self, trades: pl.DataFrame) -> None:
        """Append rows of the trades table."""
        self.borrow += exact_sum(micro(trades["borrow"]))
        self.dividends += exact_sum(micro(trades["dividends"]))
        if trades["is_open"].any():
            self._keep(self._closed, trades.filter(~pl.col("is_open")))
            self._keep(self._open, trades.filter("is_open"))
        elif trades.height:
            self._keep(self._closed, trades)

    def totals(self) -> tuple[int, int]:
        """Profit of all trades, and what their fills cost, in 1e-6 units."""
        stores = _whole(self._closed), _whole(self._open)
        pnl, fees = (sum(exact_sum(store[name]) for store in stores) for name in ("pnl", "fees"))
        return pnl, fees - self.borrow

    def figures(self) -> tuple[dict[str, Any], dict[str, dict[str, dict[str, Any]]]]:
        """The statistics of all trades, and those of every group: {"symbol": {"AAPL": {...}, ...}, "hour": {"09": ...}, ...}.

        Groups stand by name, weekdays and hours by the clock; only those with a trade.
        """
        closed, still = _whole(self._closed), _whole(self._open)
        sums = Sums(closed, still)
        one = np.zeros(len(closed["pnl"]), np.intp), np.zeros(len(still["pnl"]), np.intp)
        everything = statistics(sums, *one, 1)[0] | overall(closed["pnl"])
        return everything, {
            group: self._by(group, statistics(sums, closed[group], still[group], len(self._codes[group]))) for group in GROUPS
        }

    def _by(self, group: str, found: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        known = self._codes[group]
        named = {name: found[code] for name, code in (sorted(known.items()) if group in WORDS else known.items())}
        return {name: figures for name, figures in named.items() if figures["trades"] or figures["open_trades"]}

    def _keep(self, store: dict[str, list[NDArray[Any]]], trades: pl.DataFrame) -> None:
        given = trades.with_columns(enumerated(trades[word]) for word in WORDS)
        entry, local = pl.col("entry_ts"), pl.col("entry_ts").dt.convert_time_zone(self._zone).dt.replace_time_zone(None)
        rows = given.select(  # in one step: polars takes longer to start a step than to do it
            pl.col("pnl", "fees", "mae", "mfe", "return"),
            pl.col(WORDS).to_physical(),
            (pl.col("exit_ts").to_physical() - entry.to_physical()).fill_null(0).alias("hold"),
            local.to_physical().alias("local"),
        )
        days, within = np.divmod(rows["local"].to_numpy(), _DAY)
        values = {
            "pnl": micro(rows["pnl"]),
            "fees": micro(rows["fees"]),
            **{name: rows[name].to_numpy() for name in ("hold", "mae", "mfe", "return")},
            **{word: self._numbers(word, categories(given[word]))[rows[word].to_numpy()] for word in WORDS},
            "weekday": (days + _THURSDAY) % 7,
            "hour": within // _HOUR,
        }
        for name, kind in _KEPT.items():
            store[name].append(values[name].astype(kind, copy=False))

    def _numbers(self, word: str, names: Sequence[str]) -> NDArray[np.int32]:
        """The number of each name; names are numbered as they come."""
        known = self._codes[word]
        return np.array([known.setdefault(name, len(known)) for name in names], np.int32)


def _whole(store: dict[str, list[NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """All rows; their parts become one, so that the next call costs nothing."""
    for parts in store.values():
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
    return {name: parts[0] for name, parts in store.items()}


def _numbered(names: Sequence[str]) -> dict[str, int]:
    return {name: code for code, name in enumerate(names)}
