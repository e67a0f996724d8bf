"""Answer: why a run did or did not trade a symbol at a moment, as plain values.

Place in the flow: `bt why RUN --symbol S --at TS`. Bars and their neighbours, quality, gaps, then for each strategy what it saw, what it
asked for, the verdict, the order, the fill, the account. Everything is read from the run's tables, or computed again where they do
not hold it; nothing is judged anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from backtester.errors import UsageError, did_you_mean
from backtester.outcome.run import Run
from backtester.trading.inputs import CALLS, GIVEN
from backtester.why.account import Books
from backtester.why.became import as_it_opened, decision_of, fills_here
from backtester.why.columns import Columns, bars_around, columns_of
from backtester.why.moment import Moment, Span, base_of, moment
from backtester.why.saw import NEIGHBOURS, bar_of, indicators_of, inputs_of, neighbours, quality_of
from backtester.why.words import asked

Answer = dict[str, Any]


def why(run: Run, symbol: str, at: str, strategy: str | None = None, lake: Path | None = None) -> Answer:
    """The answer. Raises UsageError for a name the run does not know, CalendarError where it has no session then, and the errors of data
    and strategies where a column is asked for that can neither be read nor computed again.
    """
    check_names(run, symbol, strategy)
    when, base = moment(run, at), base_of(run)
    columns = columns_of(run, when.session, lake)
    books = Books.of(run, None if columns.again is None else columns.again.setup.acting)
    return {
        "run": str(run.folder),
        "symbol": symbol,
        "at": when.at,
        "local": f"{when.at.astimezone(when.zone):%Y-%m-%d %H:%M:%S %Z}",
        "session": when.session,
        "timezone": when.zone.key,
        "warnings": list(columns.warnings),
        "sources": columns.sources,
        "bar": bar_of(run, columns, symbol, base, when),
        "neighbours": neighbours(columns.bars if base != "1d" else bars_around(run, when.session, NEIGHBOURS, lake), symbol, base, when),
        "quality": quality_of(run, columns, symbol, base, when),
        "indicators": indicators_of(columns, symbol, base, when),
        "strategies": [_of_strategy(run, columns, books, symbol, entry, when, base) for entry in run.manifest["strategies"]
                       if strategy in (None, entry["name"])],
    }  # fmt: skip


def check_names(run: Run, symbol: str | None, strategy: str | None) -> None:
    """Raise UsageError for a symbol or a strategy that the run does not have."""
    for name, value, known in (
        ("symbol", symbol, run.config["session_data_config"]["symbols"]),
        ("strategy", strategy, [entry["name"] for entry in run.manifest["strategies"]]),
    ):
        if value is not None and value not in known:
            raise UsageError(f"the run has no such {name}", where=f"--{name}", value=value, action=did_you_mean(value, known))


def _of_strategy(run: Run, columns: Columns, books: Books, symbol: str, entry: Answer, when: Moment, base: str) -> Answer:
    """Everything of one strategy: from what it saw to what became of it."""
    name, main = entry["name"], next(iter(entry["inputs"].values()))
    bar = bar_of(run, columns, symbol, main, when, base)
    span = Span(bar["start"], bar["end"])
    mine = (pl.col("strategy") == name) & (pl.col("symbol") == symbol)
    decisions = books.decisions.filter(mine & (pl.col("ts") == span.end) & (pl.col("session") == when.session))
    wished = columns.signals.filter(mine)
    signals = wished.filter(pl.col("ts") == span.end)
    made: Answer = {
        "strategy": name,
        "use": entry["use"],
        "params": entry["params"],
        "bar": bar,
        "inputs": list(inputs_of(columns, name, symbol, entry["inputs"], span, when)),
        "signals": [_signal(row) for row in signals.iter_rows(named=True)],
        "decisions": [decision_of(row, books, when) for row in decisions.iter_rows(named=True)],
        "as_it_opened": as_it_opened(books, mine, span, when),
        "on_this_bar": list(fills_here(books, name, symbol, span, decisions, when)),
        "held": books.held(span.end, strategy=name, symbol=symbol).get((name, symbol), 0.0),
        "nearest": {
            "before": _nearest(wished.filter(pl.col("ts") < span.end).tail(1), when),
            "after": _nearest(wished.filter(pl.col("ts") > span.end).head(1), when),
        },
    }
    return made | {"verdict": _verdict(run, made, entry, symbol, when), "note": _note(columns)}


def _nearest(found: pl.DataFrame, when: Moment) -> Answer | None:
    """The signal of the session before or after the bar: when, and what."""
    return None if not len(found) else {"ts": found["ts"][0], "clock": when.clock(found["ts"][0]), "action": found["action"][0]}


def _signal(row: Answer) -> Answer:
    """A signal with the numbers that were given, and in words."""
    kept = ("action", "price", "confidence", "tag")
    given = {name: row[name] for name in (*GIVEN, *CALLS) if row.get(name) not in (None, False)}
    return {name: row[name] for name in kept} | given | {"words": asked(row)}


def _verdict(run: Run, made: Answer, entry: Answer, symbol: str, when: Moment) -> str:
    """The answer in one sentence."""
    if symbol not in entry["symbols"]:
        return f"{entry['name']} does not look at {symbol}"
    stops = {one["strategy"]: one for one in run.manifest["execution"].get("stopped", [])}
    if (stop := stops.get(entry["name"])) and stop["session"] <= str(when.session):
        return f"{entry['name']} was stopped in session {stop['session']}: {stop['error']}"
    if made["decisions"]:
        rows = made["decisions"]
        return "; ".join(row["words"] if len(rows) == 1 else f"{row['action']} {row['words']}" for row in rows)
    if made["bar"]["missing"] is not None and not made["signals"]:
        return f"{entry['name']} saw no {made['bar']['interval']} bar of {symbol} then"
    if made["signals"]:
        return "what it asked for changed nothing: a weight that is held already, or that nothing stands against"
    kinds = list(dict.fromkeys(f"{fill['source']}" for fill in made["on_this_bar"]))
    then = f"; on it {' and '.join(kinds)} was filled" if kinds else ""
    return f"{entry['name']} asked for nothing on this bar{then}"


def _note(columns: Columns) -> str | None:
    """What is not known of a strategy."""
    if columns.again is None:
        return "what it saw is not known: the session could not be computed again"
    return None
