"""Stretch: everything that happened between two moments, in the order of time.

Place in the flow: `bt why RUN --between FROM TO`. Signals, decisions, orders and fills of the run's own tables as one table; signals that
the run did not keep are computed again, session by session. Never judges anything anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from backtester.errors import BacktesterError, CalendarError, UsageError
from backtester.outcome.run import Run
from backtester.recompute import recompute
from backtester.why.account import Books
from backtester.why.answer import check_names
from backtester.why.columns import acting_of, kept_of
from backtester.why.moment import edge, zone_of
from backtester.why.words import asked, decided, filled, ordered

Answer = dict[str, Any]
RANKS = ("signal", "decision", "order", "fill", "guard")
"""What stands first of several things at one instant."""
GUARDS = ("stop", "trailing", "target")


def stretch(
    run: Run, first: str, last: str, symbol: str | None = None, strategy: str | None = None, lake: Path | None = None
) -> Answer:  # fmt: skip
    """The answer: rows with ts, clock, kind, strategy, symbol, order_id and what happened, in words.

    A fill stands at the open of its bar, what is decided at the end of the bar that it was decided on. Raises UsageError, and
    CalendarError where no session of the run lies between the two.
    """
    check_names(run, symbol, strategy)
    zone = zone_of(run)
    begin, end = edge(first, zone, last=False), edge(last, zone, last=True)
    if end < begin:
        raise UsageError("the stretch ends before it begins", where="--between", value=f"{first} {last}", action="give the earlier first")
    touched = run.table("sessions").filter((pl.col("open") <= end) & (pl.col("close") >= begin))
    if not len(touched):
        raise CalendarError("no session of the run in this stretch", where="--between", value=f"{first} {last}")
    wanted = pl.col("ts").is_between(begin, end)
    for name, value in (("symbol", symbol), ("strategy", strategy)):
        wanted = wanted if value is None else wanted & (pl.col(name) == value)
    books, warnings = Books.of(run, acting_of(run, lake)), list[str]()
    found = list(_signals(run, touched["session"].to_list(), wanted, lake, warnings))
    found += [_row("decision", row, decided(row, books, lambda ts: _clock(ts, zone)))
              for row in books.decisions.filter(wanted).iter_rows(named=True)]  # fmt: skip
    of_position = pl.col("type").is_in(GUARDS) & ~pl.col("order_id").is_in(books.decisions["order_id"].drop_nulls().implode())
    found += [_row("guard" if row["guards"] else "order", row, ordered(row))
              for row in books.orders.filter(wanted).with_columns(guards=of_position).iter_rows(named=True)]  # fmt: skip
    found += [_row("fill", row, filled(row, run.config["execution"])) for row in books.fills.filter(wanted).iter_rows(named=True)]
    rows = sorted(found, key=lambda row: (row["ts"], RANKS.index(row["kind"]), row["order_id"] or 0))
    return {"run": str(run.folder), "from": begin, "to": end, "timezone": zone.key, "warnings": warnings,
            "rows": [row | {"clock": _clock(row["ts"], zone)} for row in rows]}  # fmt: skip


def _signals(run: Run, sessions: list[dt.date], wanted: pl.Expr, lake: Path | None, warnings: list[str]) -> Iterator[Answer]:
    """The signals of some sessions, kept or computed again; where neither can be had a warning says so, once."""
    for session in sessions:
        if "signals" in run.tables:
            rows = kept_of(run, "signals", session)
        else:
            try:
                again = recompute(run, session, lake)
            except BacktesterError as error:
                warnings.append(f"signals are not shown, they cannot be computed again: {error.message()}")
                return
            rows = again.signals
            warnings += [sentence for sentence in again.warnings if sentence not in warnings]
        yield from (_row("signal", row, asked(row)) for row in rows.filter(wanted).iter_rows(named=True))


def _row(kind: str, row: Answer, words: str) -> Answer:
    return {"ts": row["ts"], "kind": kind, **{name: row[name] for name in ("strategy", "symbol")}, "order_id": row.get("order_id"),
            "words": words}  # fmt: skip


def _clock(instant: dt.datetime, zone: dt.tzinfo) -> str:
    local = instant.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S}" if local.second else f"{local:%Y-%m-%d %H:%M}"
