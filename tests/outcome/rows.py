"""Literal rows of a run's tables, as tests of figures write them; what a test does not say is plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from backtester.outcome.metrics import Score
from backtester.schema import AMBIGUITY, EQUITY, FILLS, SESSIONS, TRADES, frame

OPEN = 1_751_463_000_000_000  # 2025-07-02 13:30 UTC, a Wednesday, 09:30 in New York
MINUTE, DAY = 60_000_000, 86_400_000_000
FIRST = np.datetime64("2025-07-02")


def sessions(*equity: float, start: float = 1000.0) -> pl.DataFrame:
    """Sessions that end at these equities."""
    before, rows = np.array([start, *equity[:-1]]), len(equity)
    return frame(
        SESSIONS,
        {
            "session": FIRST + np.arange(rows),
            "open": OPEN + DAY * np.arange(rows),
            "close": OPEN + DAY * np.arange(rows) + 390 * MINUTE,
            "early_close": np.zeros(rows, bool),
            **{name: np.zeros(rows, np.int64) for name in ("bars", "expected", "fills")},
            "pnl": np.array(equity) - before,
            "equity": np.array(equity),
            "return": np.divide(np.array(equity), before, out=np.full(rows, np.nan), where=before > 0) - 1,
            **{name: np.zeros(rows) for name in SESSIONS.names if name.startswith("seconds_")},
        },
    )


def slots(*equity: float, gross: tuple[float, ...] = (), net: tuple[float, ...] | None = None) -> pl.DataFrame:
    """Rows of the equity table; `net` is `gross` where it is not given."""
    rows = len(equity)
    held = np.array(gross or [0.0] * rows)
    signed = held if net is None else np.array(net)
    values = {"cash": np.array(equity) - signed, "equity": np.array(equity), "gross": held, "net": signed, "drawdown": np.zeros(rows)}
    return frame(EQUITY, {"ts": OPEN + MINUTE * np.arange(rows), "session": np.full(rows, FIRST), **values})


def fill(order_id: int, side: str, price: float, quantity: float = 10.0, **more: Any) -> pl.DataFrame:
    """One execution."""
    row = {
        "order_id": order_id,
        "strategy": "s",
        "symbol": "A",
        "side": side,
        "quantity": quantity,
        "price": price,
        "value": price * quantity,
        "fee": 0.0,
        "slippage": 0.0,
        "type": "market",
        "ambiguous": False,
        "flags": "",
    } | more
    return frame(FILLS, {name: [value] for name, value in row.items()} | {"session": np.array([FIRST]), "ts": np.array([OPEN])})


def doubt(pnl: float, other: float, other_type: str = "target") -> pl.DataFrame:
    """An ambiguous fill of a stop: what its trade earned, and would have earned otherwise."""
    row = {
        "order_id": 2, "trade_id": 1, "strategy": "s", "symbol": "A", "type": "stop", "quantity": 10.0, "price": 95.0,
        "other_type": other_type, "other": 110.0, "pnl": pnl, "pnl_other": other, "pnl_low": min(pnl, other), "pnl_high": max(pnl, other),
    }  # fmt: skip
    return frame(AMBIGUITY, {name: [value] for name, value in row.items()} | {"session": np.array([FIRST]), "ts": np.array([OPEN])})


def trade(pnl: float, *, minutes: int = 5, is_open: bool = False, entry: int = OPEN, **more: Any) -> pl.DataFrame:
    """One round trip of a share bought at 10."""
    row = {
        "trade_id": 1,
        "strategy": "s",
        "symbol": "A",
        "direction": "long",
        "entry_price": 10.0,
        "exit_price": 11.0,
        "quantity": 1.0,
        "pnl": pnl,
        "return": pnl / 10.0,
        "fees": 0.5,
        "borrow": 0.0,
        "dividends": 0.0,
        "bars": minutes,
        "mae": -0.02,
        "mfe": 0.04,
        "is_open": is_open,
    } | more
    ends = {"entry_ts": np.array([entry]), "exit_ts": np.array([-1 if is_open else entry + minutes * MINUTE])}
    return frame(TRADES, {name: [value] for name, value in row.items()} | ends)


def measured(cash: float = 1000.0, zone: str = "UTC", **tables: pl.DataFrame) -> dict[str, Any]:
    """The key figures of these tables."""
    score = Score(cash, 252.0, zone)
    score.add(tables)
    return score.metrics()
