"""Records to columns: what came of a chunk, as numpy arrays by column name.

Place in the flow: execution.py makes an `Outcome` from the kernel's records; ledger.py turns it into frames. Never rounds, never
decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Ints
from backtester.trading import records as r
from backtester.trading.records import Records

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Outcome:
    """What happened in a chunk of sessions: five tables as columns, named as in schema.py, in the order of docs/execution.md.

    Words are codes: strategy, symbol and tag are places in the tuples of names; side and direction signs; action, type, status,
    exit_reason (the type of the order that closed it) and reason (risk.REASONS) codes of records.py; flags bits; NONE or NaN
    where there is nothing. Money is int64 of 1e-6 currency, ts int64 us UTC, session datetime64[D].
    """

    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    tags: tuple[str, ...] = ()
    decisions: Columns = field(default_factory=dict)
    orders: Columns = field(default_factory=dict)
    fills: Columns = field(default_factory=dict)
    trades: Columns = field(default_factory=dict)
    equity: Columns = field(default_factory=dict)


def orders(rows: Records, symbols: int) -> Columns:
    """Orders as they stand."""
    return {
        "order_id": _column(rows, "id"),
        **_owner(rows, symbols),
        "ts": _column(rows, "ts"),
        "side": _column(rows, "side"),
        "type": _column(rows, "type"),
        "quantity": _column(rows, "quantity"),
        "limit": _column(rows, "limit"),
        "stop": _column(rows, "stop"),
        "status": _column(rows, "status"),
        "reason": _column(rows, "reason"),
        "price_seen": _column(rows, "seen"),
    }


def resolved(rows: Records) -> Records:
    """The orders that ended, by the slot that ended them, then by number."""
    ended = rows[rows["status"] != r.OPEN]
    return ended[np.argsort(ended["slot"], kind="stable")]


def fills(rows: Records, symbols: int) -> Columns:
    """Executions as they came."""
    names = ("ts", "side", "quantity", "price", "value", "fee", "slippage", "type", "flags")
    return {"order_id": _column(rows, "order"), **_owner(rows, symbols), **{name: _column(rows, name) for name in names}}


def closed_trades(rows: Records, symbols: int) -> Columns:
    """Round trips as they closed."""
    entry, value = rows["entry_price"], rows["value"]
    return {
        "trade_id": _column(rows, "id"),
        "strategy": _strategy(rows, symbols),
        "symbol": _symbol(rows, symbols),
        "direction": _column(rows, "side"),
        "entry_ts": _column(rows, "entry_ts"),
        "entry_price": _column(rows, "entry_price"),
        "exit_ts": _column(rows, "exit_ts"),
        "exit_price": _column(rows, "exit_price"),
        "quantity": _column(rows, "quantity"),
        "pnl": _column(rows, "pnl"),
        "return": _ratio(rows["pnl"], value),
        "fees": _column(rows, "fees"),
        "bars": rows["exit_slot"] - rows["entry_slot"],
        "mae": rows["low"] / entry - 1.0,
        "mfe": rows["high"] / entry - 1.0,
        "exit_reason": _column(rows, "type"),
        "is_open": np.zeros(len(rows), bool),
    }


def open_trades(pairs: Records, slots: int, symbols: int) -> Columns:
    """Positions still held after `slots` slots, as trades marked at the last close, by number."""
    numbers = np.flatnonzero(pairs["quantity"] != 0.0)
    numbers = numbers[np.argsort(pairs["trade"][numbers])]
    held = pairs[numbers]
    trades = np.zeros(len(held), r.TRADE)
    trades["id"], trades["pair"], trades["side"], trades["type"] = held["trade"], numbers, r.BUY, r.NONE
    trades["entry_ts"], trades["exit_ts"], trades["entry_slot"], trades["exit_slot"] = held["ts"], r.NONE, held["slot"], slots - 1
    trades["value"], trades["pnl"], trades["fees"] = held["value"], held["mark"] - held["value"] - held["fee"], held["fee"]
    for name, source in (("entry_price", "price"), ("exit_price", "last"), ("quantity", "quantity"), ("low", "low"), ("high", "high")):
        trades[name] = held[source]
    return closed_trades(trades, symbols) | {"is_open": np.ones(len(held), bool)}


def equity(moments: Records, ts: Ints, session: NDArray[np.datetime64], peak: int) -> Columns:
    """The account slot by slot; `peak` is the highest equity before."""
    total = moments["cash"] + moments["marks"]
    highest = np.maximum.accumulate(np.concatenate(([peak], total)))[1:]
    return {
        "ts": ts,
        "session": session,
        "cash": _column(moments, "cash"),
        "equity": total,
        "gross": _column(moments, "marks"),
        "net": _column(moments, "marks"),
        "drawdown": 1.0 - total / highest,
    }


def no_decisions() -> Columns:
    """The columns of decisions, without rows."""
    whole = {name: np.zeros(0, np.int64) for name in ("ts", "reason", "approved", "order_id", "flags")}
    small = {name: np.zeros(0, np.int32) for name in ("strategy", "symbol", "tag")}
    number = {name: np.zeros(0) for name in ("quantity", "price", "confidence", "quality")}
    return whole | small | number | {"session": np.zeros(0, "datetime64[D]"), "action": np.zeros(0, np.int8)}


def part(columns: Columns, some: slice) -> Columns:
    """Some rows of a table, copied."""
    return {name: values[some].copy() for name, values in columns.items()}


def _column(rows: Records, name: str) -> NDArray[Any]:
    return np.ascontiguousarray(rows[name])


def _strategy(rows: Records, symbols: int) -> NDArray[np.int32]:
    return (rows["pair"] // symbols).astype(np.int32)


def _symbol(rows: Records, symbols: int) -> NDArray[np.int32]:
    return (rows["pair"] % symbols).astype(np.int32)


def _owner(rows: Records, symbols: int) -> Columns:
    """Strategy, symbol and session of orders and fills."""
    return {
        "strategy": _strategy(rows, symbols),
        "symbol": _symbol(rows, symbols),
        "session": np.ascontiguousarray(rows["day"]).view("datetime64[D]"),
    }


def _ratio(part: Ints, whole: Ints) -> NDArray[np.float64]:
    """part / whole, NaN where the whole is nothing."""
    known = whole != 0
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=known)
