"""Facts: everything that the manifest says of a run beside its results.

Place in the flow: the end of the run. Never measures anything: the tally was kept while the run went.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from backtester import schema
from backtester.columns import Sessions
from backtester.market import sessions as calendars
from backtester.outcome.digests import table_digest
from backtester.outcome.manifest import Facts
from backtester.planning import Setup
from backtester.proving.small import Small
from backtester.reach import Trader
from backtester.recording import Tally
from backtester.signalling import Stopped


def facts(setup: Setup, tally: Tally, stopped: Sequence[Stopped], audited: Small, started: dt.datetime) -> Facts:
    """Everything that the manifest says of the run beside its results."""
    config = setup.config
    strategies = [_strategy(setup, trader) for trader in setup.traders]
    files = pl.concat(tally.files).unique(subset=["path"], maintain_order=True) if tally.files else pl.DataFrame()
    known = setup.lake.actions
    calendar = {
        "name": setup.calendar,
        "timezone": setup.sessions.timezone,
        "version": calendars.library_version(),
        "digest": calendars.rows_digest(setup.sessions),
        "sessions_per_year": setup.sessions.per_year,
        "rows": _rows(setup.sessions),
    }
    return Facts(
        config=config.resolved(),
        config_digest=config.digest,
        strategies=strategies,
        files=files.drop("symbols", strict=False).to_dicts(),
        actions=None if known is None else {name: known[name] for name in ("path", "rows", "bytes", "sha256")},
        calendar=calendar,
        policies=_policies(setup),
        started=started,
        finished=dt.datetime.now(dt.UTC),
        status=5 if stopped else 0,
        streams=[asdict(stream) for stream in setup.requirements.streams],
        execution={
            "prefetch_days": setup.prefetch_days, "threads": config.resources.threads, "chunks": len(setup.parts),
            "isolated": config.resources.apart,
            "resumed": tally.resumed,
            "audit": asdict(audited),
            "stopped": [
                {"strategy": setup.names[one.strategy], "session": str(one.session), "error": str(one.error)} for one in stopped
            ],
        },
        counts={
            "stored_rows": tally.rows, "bars": tally.bars, "derived_bars": tally.derived, "signals": tally.signals,
            "daily_bars_from_lake": tally.stored_days,
            "daily_bars_built": tally.built_days,
            **{f"derived_bars_left_out_{name}": number for name, number in tally.dropped.items()},
        },
        timings={**{f"seconds_{phase}": took for phase, took in tally.seconds.items()}, **tally.rates},
        warnings=[
            *audited.warnings, *setup.warnings, *tally.said, *_grave(tally), *_left_out(tally), *_blind(tally), *_stops(setup, stopped),
        ],
    )  # fmt: skip


def _strategy(setup: Setup, trader: Trader) -> dict[str, Any]:
    source = trader.described.source
    return {
        "name": trader.entry.name,
        "use": trader.entry.use,
        "params": dict(trader.described.params),
        "symbols": [setup.symbols[place] for place in trader.symbols],
        "lookback": dict(trader.lookback),
        "inputs": dict(trader.inputs),
        "sources": [{"path": source.file, "sha256": source.digest}],
        "seed": None,
    }


def _grave(tally: Tally) -> list[str]:
    """One sentence for every kind of finding that puts the whole result in doubt."""
    said = []
    for rows in pl.concat(tally.grave).partition_by("kind", maintain_order=True) if tally.grave else []:
        first = rows.row(0, named=True)
        more = f" and {len(rows) - 1:,} more like it" if len(rows) > 1 else ""
        where = f"{first['symbol']} on {first['session']}"
        said.append(f"{first['kind']} in the bars of {where} ({first['detail']}){more}; see the table findings")
    return said


def _left_out(tally: Tally) -> list[str]:
    return [
        f"{number:,} {'bars' if number > 1 else 'bar'} of {name} {'were' if number > 1 else 'was'} not made because slots were missing"
        for name, number in tally.dropped.items()
        if number
    ]


def _blind(tally: Tally) -> list[str]:
    return [
        f"{name} has no value in {number:,} symbol-session{'s' if number > 1 else ''} for lack of history"
        for name, number in tally.blind.items()
        if number
    ]


def _stops(setup: Setup, stopped: Sequence[Stopped]) -> list[str]:
    return [f"incomplete: strategy {setup.names[one.strategy]} was stopped on {one.session}: {one.error}" for one in stopped]


def _rows(days: Sessions) -> list[list[str]]:
    instants = [np.datetime_as_string(column.astype("datetime64[us]"), unit="s") for column in (days.open, days.close)]
    return [[str(label), f"{opened}Z", f"{closed}Z"] for label, opened, closed in zip(days.label, *instants, strict=True)]


def _policies(setup: Setup) -> dict[str, Any]:
    execution = setup.config.execution
    return {
        "fill": execution.fill,
        "optimistic": execution.fill == "same_close",
        "price": execution.price,
        "intrabar": execution.intrabar,
        "stop_watch": execution.stop_watch,
        "stop_fill": execution.stop_fill,
        "duplicates": "the first row of a slot counts",
        "missing": "a bar with a value that is not a number is missing; nothing is filled forward",
        "rounding": "each product once, half to even, to 1e-6",
        "money_scale": 1_000_000,
        "annualization": setup.sessions.per_year,
        "min_completeness": setup.needs.settings.min_completeness,
        "quality": setup.needs.look,
        "actions": table_digest(schema.CORPORATE_ACTIONS, [setup.applied]) if len(setup.applied) else None,
        "historical_quality": setup.config.session_data_config.historical.enable_quality,
    }
