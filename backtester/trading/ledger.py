"""The ledger: an outcome's columns as frames, as schema.py declares them.

Place in the flow: `pipeline` calls `tables` on every outcome and hands the frames to the run's folder. Never changes a figure:
money is divided by a million, codes become words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester import schema
from backtester.table import Named, Table, frame, named
from backtester.trading import records as r
from backtester.trading.risk import REASONS
from backtester.trading.rows import Columns, Outcome

Word = Named | pl.Series | NDArray[np.bool_]
"""What may stand for a code's meaning."""
SIDES = ("sell", None, "buy")
DIRECTIONS = ("short", None, "long")
EXITS = {
    r.MARKET: "signal",
    r.LIMIT: "signal",
    r.STOP: "stop",
    r.TARGET: "target",
    r.TRAILING: "trailing",
    r.CLOSE: "flat_at_close",
    r.TIME: "time_stop",
    r.MARKET_ON_OPEN: "signal",
    r.MARKET_ON_CLOSE: "signal",
    r.MARGIN_CALL: "margin_call",
}
EXIT_REASONS = tuple(EXITS.get(code) for code in range(len(schema.ORDER_TYPES)))
OTHERS = (*schema.ORDER_TYPES, schema.HELD)
DECISION_FLAGS = ("", schema.SIZE_CUT)
FILL_FLAGS = tuple(
    ",".join(word for bit, word in enumerate(schema.FILL_FLAGS) if bits >> bit & 1) for bits in range(1 << len(schema.FILL_FLAGS))
)


def tables(outcome: Outcome) -> dict[str, pl.DataFrame]:
    """The frames decisions, orders, fills, ambiguity, trades and equity; money in account currency."""
    return {
        "decisions": _decisions(outcome),
        "orders": _orders(outcome),
        "fills": _fills(outcome),
        "ambiguity": _ambiguity(outcome),
        "trades": _trades(outcome),
        "equity": _frame(schema.EQUITY, outcome, outcome.equity, money=("cash", "equity", "gross", "net")),
    }


def _decisions(outcome: Outcome) -> pl.DataFrame:
    columns = outcome.decisions
    words: dict[str, Word] = {
        "action": named(schema.ACTIONS, columns["action"]),
        "reason": named(REASONS, columns["reason"]),
        "tag": _tags(outcome.tags, columns["tag"]),
        "flags": named(DECISION_FLAGS, columns["flags"]),
    }
    return _frame(schema.DECISIONS, outcome, columns, words | {"approved": columns["approved"] != 0})


def _orders(outcome: Outcome) -> pl.DataFrame:
    columns = outcome.orders
    words = {
        "side": named(SIDES, columns["side"] + 1),
        "type": named(schema.ORDER_TYPES, columns["type"]),
        "status": named(schema.STATUSES, columns["status"]),
        "reason": named(REASONS, columns["reason"]),
    }
    return _frame(schema.ORDERS, outcome, columns, words)


def _fills(outcome: Outcome) -> pl.DataFrame:
    columns = outcome.fills
    words = {
        "side": named(SIDES, columns["side"] + 1),
        "type": named(schema.ORDER_TYPES, columns["type"]),
        "flags": named(FILL_FLAGS, columns["flags"] >> 1),
    }
    more = {"ambiguous": columns["flags"] & r.AMBIGUOUS != 0, "other_type": named(OTHERS, columns["other_type"])}
    return _frame(schema.FILLS, outcome, columns, words | more, money=("value", "fee", "slippage"))


def _ambiguity(outcome: Outcome) -> pl.DataFrame:
    columns = outcome.ambiguity
    words = {"type": named(schema.ORDER_TYPES, columns["type"]), "other_type": named(OTHERS, columns["other_type"])}
    return _frame(schema.AMBIGUITY, outcome, columns, words, money=("pnl", "pnl_other", "pnl_low", "pnl_high"))


def _trades(outcome: Outcome) -> pl.DataFrame:
    columns = outcome.trades
    words = {"direction": named(DIRECTIONS, columns["direction"] + 1), "exit_reason": named(EXIT_REASONS, columns["exit_reason"])}
    return _frame(schema.TRADES, outcome, columns, words, money=("pnl", "fees", "borrow", "dividends"))


def _frame(
    table: Table,
    outcome: Outcome,
    columns: Columns,
    words: Mapping[str, Word] | None = None,
    money: Sequence[str] = (),
) -> pl.DataFrame:
    """The columns as a frame of the table."""
    owner = {name: named(names, columns[name]) for name, names in _names(outcome).items() if name in columns}
    currency = {name: columns[name] / 1e6 for name in money}
    return frame(table, {**columns, **currency, **owner, **(words or {})})


def _names(outcome: Outcome) -> dict[str, tuple[str, ...]]:
    return {"strategy": outcome.strategies, "symbol": outcome.symbols}


def _tags(tags: Sequence[str], codes: NDArray[np.integer]) -> pl.Series:
    """Each code's tag as text, for every outcome has other tags; null below zero and where a tag is empty."""
    words = pl.Series([*(tag or None for tag in tags), None], dtype=pl.String)
    if codes.max(initial=r.NONE) < 0:
        return words[-1:].new_from_index(0, len(codes))
    return words[pl.Series(np.where(codes < 0, len(tags), codes))]
