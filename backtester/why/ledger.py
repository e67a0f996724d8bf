"""Ledger: how often each reason was given, by symbol and hour, and what the refused entries would have earned.

Place in the flow: `bt why RUN --reasons`. Goes over the run once, a part of its sessions at a time, in flat memory. docs/why.md states
what "would have earned" means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from backtester.outcome.run import Run
from backtester.trading.settings import ExecutionSettings
from backtester.why.columns import acting_of
from backtester.why.following import Follower
from backtester.why.moment import zone_of
from backtester.why.parts import parts_of

Answer = dict[str, Any]
KEY = ("reason", "approved", "symbol", "hour")
GROUPS = {"reason": pl.String(), "approved": pl.Boolean(), "symbol": pl.String(), "hour": pl.Int8(), "group": pl.Int64()}
SUMS = ("decisions", "refused", "priced", "micro")
ENTRIES = ("enter_long", "enter_short")
DEFINITION = (
    "pnl: what the refused entries would have earned, each alone and at the size it wanted, filled by the run's rule and costs and held "
    "to the strategy's next exit signal, or to the end of the {until}"
)


def reasons(run: Run, lake: Path | None = None) -> Answer:
    """The answer: totals by reason, by symbol and by hour of the exchange's day, and rows of all of them.

    decisions: how many; refused: of them entries of which nothing was filled; priced: of those the ones that could be followed; pnl:
    of the priced ones together, null where there is none.
    """
    rules = ExecutionSettings.model_validate_json(json.dumps(run.config["execution"]))
    follower = Follower(run, rules, acting_of(run, lake))
    parts, zone, dead = parts_of(run, lake), zone_of(run).key, _never_filled(run)
    groups: dict[tuple[Any, ...], int] = {}
    counts: dict[int, list[int]] = {}
    for part in parts:
        rows = _described(part.decisions, zone, dead)
        counted = rows.group_by(KEY, maintain_order=True).agg(pl.len(), pl.col("refused").sum())
        for *key, decisions, refused in counted.iter_rows():
            both = counts.setdefault(groups.setdefault(tuple(key), len(groups)), [0, 0])
            both[0], both[1] = both[0] + decisions, both[1] + refused
        numbers = pl.DataFrame([(*key, group) for key, group in groups.items()], schema=GROUPS, orient="row")
        follower.follow(rows.filter("refused").join(numbers, on=KEY, how="left"), part)
    follower.finish()
    found = []
    for place, group in groups.items():
        own = (*counts[group], *follower.earned.get(group, (0, 0)))
        found.append(dict(zip(KEY, place, strict=True)) | dict(zip(SUMS, own, strict=True)))
    return {
        "run": str(run.folder),
        "timezone": zone,
        "definition": DEFINITION.format(until="session" if rules.flat_at_close else "run"),
        "notes": list(_notes(run, rules)),
        "warnings": parts.warnings,
        "totals": _summed(found, "reason", "approved"),
        "by_symbol": _summed(found, "symbol"),
        "by_hour": _summed(found, "hour"),
        "rows": _summed(found, *KEY),
    }


def _described(decisions: pl.DataFrame, zone: str, dead: pl.Series) -> pl.DataFrame:
    """With the hour of the exchange's day in which the signal's bar ended, and whether it is an entry of which nothing was filled."""
    local = (pl.col("ts") - pl.duration(microseconds=1)).dt.convert_time_zone(zone)
    entry, unfilled = pl.col("action").is_in(ENTRIES), pl.col("order_id").is_in(dead.implode()).fill_null(False)
    return decisions.with_columns(
        pl.col("strategy", "symbol", "action", "reason").cast(pl.String),
        hour=local.dt.hour().cast(pl.Int8),
        refused=entry & (~pl.col("approved") | unfilled),
    )


def _never_filled(run: Run) -> pl.Series:
    """Orders that ended without a fill."""
    orders = pl.scan_parquet(run.folder / "orders.parquet", glob=False).filter(pl.col("filled") == 0)
    return orders.select("order_id").collect(engine="in-memory")["order_id"]


def _summed(found: list[Answer], *names: str) -> list[Answer]:
    """Counts and money added up over everything but some names, the most frequent first."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in found:
        kept = sums.setdefault(tuple(row[name] for name in names), [0, 0, 0, 0])
        for place, name in enumerate(SUMS):
            kept[place] += row[name]
    order = sorted(sums, key=lambda key: (key[0],) if names == ("hour",) else (-sums[key][0], *map(str, key)))
    return [
        dict(zip(names, key, strict=True))
        | {"decisions": sums[key][0], "refused": sums[key][1], "priced": sums[key][2], "pnl": sums[key][3] / 1e6 if sums[key][2] else None}
        for key in order
    ]


def _notes(run: Run, rules: ExecutionSettings) -> Iterator[str]:
    """What is simpler than in the run."""
    yield "stops, targets and limits of the account do not act"
    yield "entries with a limit or stop of their own, on_open and on_close are counted and not priced"
    if rules.quoted:
        yield "prices are those of trades: quotes and spreads are left out"
    if rules.fill == "next_vwap":
        yield "a bar's mean price is (high + low + close) / 3"
    if rules.commission.figures.tiers:
        yield "commissions are those of the first tier"
    if run.config["account"]["capital"]:
        yield "sizes by equity are of what each strategy began with"
    if rules.borrow_bps:
        yield "borrow is left out"
