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
from backtester.trading.finer import NOTHING, Drilled
from backtester.trading.records import Records

Columns = dict[str, NDArray[Any]]
ALL = slice(None)


@dataclass(frozen=True)
class Outcome:
    """What happened in a chunk of sessions: six tables as columns, named as in schema.py, in the order of docs/execution.md.

    Words are codes: strategy, symbol and tag are places in the tuples of names; side and direction signs; action, type, status,
    exit_reason (the type of the order that closed it) and reason (risk.REASONS) codes of records.py; flags bits; NONE or NaN
    where there is nothing. drilled: bars looked into. Money is int64 of 1e-6 currency, ts int64 us UTC, session datetime64[D].
    """

    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    tags: tuple[str, ...] = ()
    decisions: Columns = field(default_factory=dict)
    orders: Columns = field(default_factory=dict)
    fills: Columns = field(default_factory=dict)
    ambiguity: Columns = field(default_factory=dict)
    trades: Columns = field(default_factory=dict)
    equity: Columns = field(default_factory=dict)
    drilled: Drilled = NOTHING


def orders(rows: Records, width: int, which: Ints | slice = ALL) -> Columns:
    """Some orders (all of them) as they stand; `width` is the number of symbols."""
    found = split(rows, "id pair day ts side type quantity filled limit stop status reason seen")
    columns = {"order_id": found.pop("id"), "price_seen": found.pop("seen"), **_owner(found, width), **found}
    return {name: values[which] for name, values in columns.items()}


def resolved(rows: Records) -> Ints:
    """Which orders ended, by the slot that ended them, then by number."""
    ended = np.flatnonzero(rows["status"] != r.OPEN)
    return ended[np.argsort(rows["slot"][ended], kind="stable")]


def fills(rows: Records, width: int) -> Columns:
    """Executions as they came."""
    found = split(rows, "order pair day ts side quantity price value fee slippage type flags other other_type")
    return {"order_id": found.pop("order"), **_owner(found, width), **found}


def ambiguity(rows: Records, width: int) -> Columns:
    """Ambiguous executions as they came, with what their trades earned and would have earned."""
    found = split(rows[rows["flags"] & r.AMBIGUOUS != 0], "order trade pair day ts type quantity price other_type other pnl other_pnl")
    pnl, other = found["pnl"], found.pop("other_pnl")
    bounds = {"pnl_other": other, "pnl_low": np.minimum(pnl, other), "pnl_high": np.maximum(pnl, other)}
    return {"order_id": found.pop("order"), "trade_id": found.pop("trade"), **_owner(found, width), **found, **bounds}


def closed_trades(rows: Records, width: int) -> Columns:
    """Round trips as they closed."""
    found = split(
        rows,
        "id pair order direction entry_ts entry_price exit_ts exit_price quantity pnl fees borrow income type value entry_slot exit_slot "
        "low high",
    )
    value, entry, long = found.pop("value"), found["entry_price"], found["direction"] == r.LONG
    low, high = np.minimum(found.pop("low") / entry - 1.0, 0.0), np.maximum(found.pop("high") / entry - 1.0, 0.0)
    worked = {
        "bars": found.pop("exit_slot") - found.pop("entry_slot"),
        "mae": np.where(long, low, 0.0 - high),
        "mfe": np.where(long, high, 0.0 - low),
        "return": np.divide(found["pnl"], value, out=np.full(len(rows), np.nan), where=value != 0),
        "is_open": np.zeros(len(rows), bool),
    }
    names = {"trade_id": "id", "order_id": "order", "exit_reason": "type", "dividends": "income"}
    renamed = {name: found.pop(field) for name, field in names.items()}
    return renamed | _owner(found, width) | found | worked


def open_trades(pairs: Records, slots: int, width: int) -> Columns:
    """Positions still held after `slots` slots, as trades marked at the last close, by number."""
    numbers = np.flatnonzero(pairs["quantity"] != 0.0)
    numbers = numbers[np.argsort(pairs["trade"][numbers])]
    held = pairs[numbers]
    trades = np.zeros(len(held), r.TRADE)
    trades["id"], trades["pair"], trades["direction"] = held["trade"], numbers, held["direction"]
    trades["order"], trades["type"] = r.NONE, r.NONE
    trades["entry_ts"], trades["exit_ts"], trades["entry_slot"], trades["exit_slot"] = held["ts"], r.NONE, held["slot"], slots - 1
    trades["value"], trades["borrow"], trades["fees"] = held["value"], held["borrow"], held["fee"] + held["borrow"]
    trades["pnl"], trades["income"] = held["direction"] * (held["mark"] - held["value"]) - trades["fees"] + held["income"], held["income"]
    for name, source in (("entry_price", "price"), ("exit_price", "last"), ("quantity", "quantity"), ("low", "low"), ("high", "high")):
        trades[name] = held[source]
    return closed_trades(trades, width) | {"is_open": np.ones(len(held), bool)}


def equity(moments: Records, ts: Ints, session: NDArray[np.datetime64], peak: int) -> Columns:
    """The account slot by slot; `peak` is the highest equity before."""
    found = split(moments, "cash marks gross")
    total = found["cash"] + found["marks"]
    drawdown = 1.0 - total / np.maximum(np.maximum.accumulate(total), peak)
    money = {"cash": found["cash"], "equity": total, "gross": found["gross"], "net": found["marks"]}
    return {"ts": ts, "session": session, **money, "drawdown": drawdown}


def no_decisions() -> Columns:
    """The columns of decisions, without rows."""
    whole = {name: np.zeros(0, np.int64) for name in ("ts", "reason", "approved", "order_id", "flags")}
    small = {name: np.zeros(0, np.int32) for name in ("strategy", "symbol", "tag")}
    number = {name: np.zeros(0) for name in ("quantity", "price", "confidence", "quality")}
    return whole | small | number | {"session": np.zeros(0, "datetime64[D]"), "action": np.zeros(0, np.int8)}


def split(rows: Records, names: str) -> Columns:
    """Some fields as columns of their own, block by block, so that each record comes from memory once."""
    columns = {name: np.empty(len(rows), rows.dtype[name]) for name in names.split()}
    for first in range(0, len(rows), r.BLOCK):
        block = rows[first : first + r.BLOCK]
        for name, values in columns.items():
            values[first : first + r.BLOCK] = block[name]
    return columns


def _owner(found: Columns, width: int) -> Columns:
    """Strategy and symbol from the pair, the session from the day, which both leave the columns."""
    strategy, symbol = np.divmod(found.pop("pair"), width)
    owner: Columns = {"strategy": strategy.astype(np.int32), "symbol": symbol.astype(np.int32)}
    if "day" in found:
        owner["session"] = found.pop("day").view("datetime64[D]")
    return owner
