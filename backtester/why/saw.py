"""Saw: what there was to see at a moment: bars, what is missing, quality, and each strategy's inputs as they were aligned then.

Place in the flow: the first half of an answer. Never looks beyond the moment, but where it says so (the bars after it).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from backtester.market.prepare import LONG
from backtester.outcome.run import Run
from backtester.why.columns import Columns
from backtester.why.moment import Moment, Span

Answer = dict[str, Any]
NEIGHBOURS = 3
"""Bars shown on either side of the one that was asked for."""


def bar_of(run: Run, columns: Columns, symbol: str, interval: str, when: Moment, base: str | None = None) -> Answer:
    """The bar of an interval that holds the moment; where it is missing, the gap that it belongs to."""
    span = when.bar(interval, base or interval)
    found = _own(columns.bars, symbol, interval).filter((pl.col("end") > span.start) & (pl.col("end") <= span.end))
    if len(found):  # a bar of days begins in a session before
        span = Span(min(span.start, found["ts"][0]), span.end)
    place = {"interval": interval, "start": span.start, "end": span.end, "clock": f"{when.clock(span.start)} - {when.clock(span.end)}"}
    if len(found):
        return place | {"missing": None} | {name: value for name, value in found.row(0, named=True).items() if name not in ("ts", "end")}
    return place | {"missing": _missing(run, columns, symbol, interval, base or interval, span, when)}


def neighbours(bars: pl.DataFrame, symbol: str, base: str, when: Moment) -> list[Answer]:
    """The bars around the moment that there are; a bar that is asked for is among them, marked."""
    own, span = _own(bars, symbol, base), when.bar(base, base)
    before = own.filter(pl.col("ts") < span.start).tail(NEIGHBOURS)
    here = own.filter((pl.col("ts") >= span.start) & (pl.col("ts") < span.end))
    after = own.filter(pl.col("ts") >= span.end).head(NEIGHBOURS)
    shown = pl.concat([before, here, after]).iter_rows(named=True)
    return [{"asked": span.start <= row["ts"] < span.end, "clock": when.clock(row["ts"]), **row} for row in shown]


def quality_of(run: Run, columns: Columns, symbol: str, base: str, when: Moment) -> Answer:
    """Quality then, as the run knew it or would have, at the session's end, and the session's gaps."""
    end = when.bar(base, base).end
    known = _own(columns.bars, symbol, base).filter(pl.col("end") <= end)
    of_session = run.table("quality").filter(
        (pl.col("symbol") == symbol) & (pl.col("session") == when.session) & (pl.col("interval") == base)
    )
    gaps = run.table("gaps").filter((pl.col("symbol") == symbol) & (pl.col("session") == when.session) & (pl.col("interval") == base))
    here = known.filter(pl.col("end") == end)
    look = run.config["session_data_config"]["gap_filler"]["enable_session_quality"]
    return {
        "as_of": here["quality"][0] if len(here) else 100.0 * len(known) / when.slots(base) if look else 100.0,
        "by": when.clock(end),
        "looked": look,
        "min_quality": run.config["trading_config"]["min_quality"],
        "session": of_session["quality"][0] if len(of_session) else None,
        "gaps": [{"start": when.clock(gap["start"]), "end": when.clock(gap["end"]), "bars": gap["bars"], "kind": gap["kind"]}
                 for gap in gaps.sort("start").iter_rows(named=True)],
    }  # fmt: skip


def indicators_of(columns: Columns, symbol: str, base: str, when: Moment) -> list[Answer]:
    """The config's indicators, each on the latest bar of its interval that was complete when the base bar was; historical ones by the
    clock.
    """
    end = when.bar(base, base).end
    words = [pl.col(name).cast(pl.String) for name in ("symbol", "interval")]
    ends = columns.bars.with_columns(words).filter(pl.col("symbol") == symbol).select("interval", "ts", "end")
    own = columns.indicators.with_columns(words).filter(pl.col("symbol") == symbol).with_columns(pl.col("name").cast(pl.String))
    known = own.join(ends, on=["interval", "ts"], how="left", maintain_order="left")
    there = (pl.col("end") <= end) | ((pl.col("interval") == "historical") & (pl.col("ts") < end))
    latest = known.filter(there).sort("ts", maintain_order=True).group_by("interval", "name", maintain_order=True).last()
    return [{"interval": row["interval"], "name": row["name"], "ts": row["ts"], "clock": when.clock(row["ts"]), "value": row["value"]}
            for row in latest.sort("interval", "name").iter_rows(named=True)]  # fmt: skip


def inputs_of(columns: Columns, strategy: str, symbol: str, inputs: dict[str, str], span: Span, when: Moment) -> Iterator[Answer]:
    """Each input as the strategy saw it when its bar was complete: the latest bar available, its values, and those of the bar before."""
    if columns.again is None:
        return
    seen = columns.again.seen(strategy, symbol)
    main = next(iter(inputs), None)
    here = seen.filter((pl.col("input") == main) & (pl.col("end") > span.start) & (pl.col("end") <= span.end))
    for name, interval in inputs.items():
        if not len(here):
            return
        bars = seen.filter((pl.col("input") == name) & (pl.col("end") <= here["end"][-1]))
        stamps = bars["ts"].unique().sort().tail(2).to_list()
        if not stamps:
            yield {"input": name, "interval": interval, "ts": None, "clock": "nothing was available yet", "values": []}
            continue
        now = bars.filter(pl.col("ts") == stamps[-1])
        past = dict(bars.filter(pl.col("ts") == stamps[0]).select("name", "value").iter_rows()) if len(stamps) > 1 else {}
        values = [{"kind": row["kind"], "name": row["name"], "before": past.get(row["name"]), "value": row["value"]}
                  for row in now.iter_rows(named=True)]  # fmt: skip
        clock = f"{when.clock(now['ts'][0])} - {when.clock(now['end'][0])}"
        yield {"input": name, "interval": interval, "ts": now["ts"][0], "end": now["end"][0], "clock": clock, "values": values}


def _missing(run: Run, columns: Columns, symbol: str, interval: str, base: str, span: Span, when: Moment) -> str:
    """Why there is no bar."""
    if interval in LONG:
        return f"none ends with this session, or days are missing in it; derived.min_completeness is {_least(run):g}"
    if interval != base:
        there = _own(columns.bars, symbol, base).filter((pl.col("ts") >= span.start) & (pl.col("ts") < span.end))
        return f"{len(there)} of {when.inside(span, base)} bars of {base} stand in it, and derived.min_completeness is {_least(run):g}"
    gaps = run.table("gaps").filter(
        (pl.col("symbol") == symbol) & (pl.col("session") == when.session) & (pl.col("interval") == base)
        & (pl.col("start") < span.end) & (pl.col("end") > span.start)
    )  # fmt: skip
    if not len(gaps):
        return "the lake holds none that counts (see the table findings)"
    gap = gaps.row(0, named=True)
    kind = {"market": ", as of most symbols", "session": ": the whole session"}.get(gap["kind"], "")
    agrees = {None: "", True: "; its volume agrees with the daily bar's", False: "; its volume does not agree with the daily bar's"}
    edges = f"from {when.clock(gap['start'])} to {when.clock(gap['end'])}"
    return (
        f"it belongs to a gap of {gap['bars']} bar{'s' if gap['bars'] > 1 else ''} {edges} ({gap['kind']}{kind}){agrees[gap['reconciled']]}"
    )


def _least(run: Run) -> float:
    """How much of a derived bar must be there."""
    return float(run.config["session_data_config"]["derived"]["min_completeness"])


def _own(bars: pl.DataFrame, symbol: str, interval: str) -> pl.DataFrame:
    """The bars of a symbol and interval."""
    return bars.filter((pl.col("symbol") == symbol) & (pl.col("interval") == interval)).drop("symbol", "session", "interval")
