"""Became: what came of a signal: verdict, order, fills, guards, trades, and the account around them.

Place in the flow: the second half of an answer, from the run's own tables. Never trades.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import polars as pl

from backtester.why.account import Books
from backtester.why.moment import Moment, Span
from backtester.why.words import decided, filled, ordered

Answer = dict[str, Any]


def decision_of(row: Answer, books: Books, when: Moment) -> Answer:
    """A decision in words, its order, fills, guards, trades, and the account around it."""
    made: Answer = {**row, "words": decided(row, books, when.clock), "orders": [], "fills": [], "guards": [], "trades": []}
    key = row["strategy"], row["symbol"]
    if row["order_id"] is None:
        step = row["ts"] - dt.timedelta(microseconds=1)
        return made | {"account": books.account(key, row["ts"], step)}
    orders = books.orders.filter(pl.col("order_id") == row["order_id"])
    fills = books.fills.filter(pl.col("order_id") == row["order_id"]).sort("ts")
    made["orders"] = [{**order, "words": ordered(order)} for order in orders.iter_rows(named=True)]
    made["fills"] = [_fill(fill, books, when) for fill in fills.iter_rows(named=True)]
    if not len(fills):
        return made | {"account": books.account(key, row["ts"], row["ts"] - dt.timedelta(microseconds=1))}
    if row["action"].startswith("enter"):
        made["guards"] = list(_guards(books, key, fills))
    mine = (pl.col("strategy") == key[0]) & (pl.col("symbol") == key[1])
    came = books.trades.filter(mine & ((pl.col("order_id") == row["order_id"]) | pl.col("entry_ts").is_in(fills["ts"].implode())))
    made["trades"] = came.drop("strategy", "symbol").to_dicts()
    return made | {"account": books.account(key, fills["ts"][0], fills["ts"][-1])}


def as_it_opened(books: Books, mine: pl.Expr, span: Span, when: Moment) -> list[Answer]:
    """What was decided on the bar before and stands at this bar's very open in the tables."""
    rows = books.decisions.filter(mine & (pl.col("ts") == span.start)).iter_rows(named=True)
    return [{"ts": row["ts"], "action": row["action"], "words": decided(row, books, when.clock)} for row in rows]


def fills_here(books: Books, strategy: str, symbol: str, span: Span, decisions: pl.DataFrame, when: Moment) -> Iterator[Answer]:
    """What was filled on the bar, and where it came from: a decision of an earlier bar, or the position's own stop or target."""
    mine = (pl.col("strategy") == strategy) & (pl.col("symbol") == symbol)
    for fill in books.fills.filter(mine & (pl.col("ts") >= span.start) & (pl.col("ts") < span.end)).iter_rows(named=True):
        maker = books.decisions.filter(pl.col("order_id") == fill["order_id"])
        if len(maker) and maker["ts"][0] == span.end:
            continue  # same_close: the decision above tells it
        order = books.orders.filter(pl.col("order_id") == fill["order_id"]).row(0, named=True)
        kind = str(order["type"]).replace("_", " ")
        source = f"the order decided at {when.clock(maker['ts'][0])}" if len(maker) else f"a {kind} order of the position"
        yield _fill(fill, books, when) | {"order_id": fill["order_id"], "source": source, "decided": maker["ts"][0] if len(maker) else None,
                                          "account": books.account((strategy, symbol), fill["ts"], fill["ts"])}  # fmt: skip


def _fill(fill: Answer, books: Books, when: Moment) -> Answer:
    return {**fill, "clock": when.clock(fill["ts"]), "words": filled(fill, books.config["execution"])}


def _guards(books: Books, key: tuple[str, str], fills: pl.DataFrame) -> Iterator[Answer]:
    """The stop and the targets that an entry's first fill made: as its slot opens, or as it ends where it filled at a close."""
    first, late = fills["ts"][0], books.config["execution"]["fill"] != "next_open" and fills["type"][0] == "market"
    late = late or fills["type"][0] == "market_on_close"
    following = books.equity.filter(pl.col("ts") > first)["ts"]
    made = pl.col("ts").is_between(first, following[0], closed="right") if late and len(following) else pl.col("ts") == first
    own = (pl.col("strategy") == key[0]) & (pl.col("symbol") == key[1]) & (pl.col("order_id") > fills["order_id"][0])
    orders = books.orders.filter(own & made & pl.col("type").is_in(["stop", "trailing", "target"])).sort("order_id")
    yield from ({**order, "words": ordered(order)} for order in orders.iter_rows(named=True))
