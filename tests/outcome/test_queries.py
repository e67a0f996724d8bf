"""Every named query over runs and a sweep of a few literal rows; the answers are worked out by hand beside them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from backtester import schema
from backtester.outcome.ask import ask
from backtester.outcome.described import word
from backtester.outcome.held import gathered
from backtester.outcome.parameters import bound, columns, found, known
from backtester.outcome.run import Run
from backtester.sweeping.tables import EQUITY_SCHEMA, RESERVED

D = [dt.date(2025, 1, day) for day in (2, 3, 6, 7, 8, 9)]
HEAD = {"strategy": "s", "symbol": "A", "session": D[0]}


def at(day: dt.date, hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=dt.UTC)


def put(run: Path, name: str, rows: list[Mapping[str, Any]]) -> None:
    """Replace a table of a run; columns that are not given are null."""
    table = (schema.RUN_TABLES | schema.KEPT_TABLES)[name]
    columns = {column: [row.get(column) for row in rows] for column in table.names}
    pl.DataFrame(columns, schema=table.dtypes).write_parquet(run / f"{name}.parquet")


def put_sessions(run: Path, equity: list[float], start: float = 1000.0, fills: int = 0) -> None:
    before = [start, *equity[:-1]]
    put(run, "sessions", [
        {"session": day, "equity": now, "pnl": now - then, "return": (now - then) / then, "fills": fills}
        for day, now, then in zip(D, equity, before, strict=False)
    ])  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path, publish: Callable[..., Run]) -> Path:
    """A folder with two runs, `a` on New York's clocks and `b` on London's, whose tables have no rows yet."""
    (tmp_path / "runs").mkdir()
    for name, zone in (("a", "America/New_York"), ("b", "Europe/London")):
        folder = publish(tmp_path / "runs" / name).folder
        for table in schema.RUN_TABLES:
            put(folder, table, [])
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["calendar"]["timezone"] = zone
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path / "runs"


def answer(name: str, place: Path, *given: str) -> list[tuple[Any, ...]]:
    """The rows of a query, after its columns were found to be those that its header declares."""
    query = found(name)
    rows = ask(gathered([place])[0], query.text, bound(query, given)).frame()
    assert [(column.name, column.kind) for column in columns(query)] == [(each, word(dtype)) for each, dtype in rows.schema.items()]
    assert found(name).grain
    return rows.rows()


def test_these_are_the_queries() -> None:
    assert set(known()) == {
        "worst_days", "best_days", "drawdowns", "fills_by_hour", "slippage_by_symbol", "rejected_signals", "holding_times",
        "pnl_by_exit_reason", "data_gaps", "quality_by_symbol", "turnover_by_session", "compare_runs", "best_trials",
    }  # fmt: skip


def test_every_query_answers_with_nothing_where_runs_have_no_rows(runs: Path) -> None:
    for name in set(known()) - {"best_trials", "compare_runs"}:
        assert answer(name, runs) == [], name


def test_worst_and_best_days(runs: Path) -> None:
    put_sessions(runs / "a", [1010.0, 990.0, 980.0, 1015.0, 1010.0], fills=2)
    put_sessions(runs / "b", [950.0, 1000.0])
    assert answer("worst_days", runs, "n=2") == [
        ("a", 1, D[1], -20 / 1010, -20.0, 990.0, 2),
        ("a", 2, D[2], -10 / 990, -10.0, 980.0, 2),
        ("b", 1, D[0], -0.05, -50.0, 950.0, 0),
        ("b", 2, D[1], 50 / 950, 50.0, 1000.0, 0),
    ]
    assert [row[:4] for row in answer("best_days", runs, "n=1")] == [("a", 1, D[3], 35 / 980), ("b", 1, D[1], 50 / 950)]


def test_drawdowns(runs: Path) -> None:
    """a: 1,010 falls to 980 and is passed on the fourth day; 1,015 falls to 1,010, twice. b: the start's 1,000 falls to 950."""
    put_sessions(runs / "a", [1010.0, 990.0, 980.0, 1015.0, 1010.0, 1010.0])
    put_sessions(runs / "b", [950.0, 1000.0, 1000.0])
    found = answer("drawdowns", runs)
    assert [row[:2] + row[3:] for row in found] == [
        ("a", 1, 1010.0, 980.0, D[1], D[2], D[3], 2),
        ("a", 2, 1015.0, 1010.0, D[4], D[4], None, 2),
        ("b", 1, 1000.0, 950.0, D[0], D[0], D[1], 1),
    ]
    assert [row[2] for row in found] == pytest.approx([30 / 1010, 5 / 1015, 0.05], rel=1e-12)
    assert [row[:2] for row in answer("drawdowns", runs, "n=1")] == [("a", 1), ("b", 1)]


def test_fills_by_hour_of_the_exchanges_clock(runs: Path) -> None:
    """14:30 UTC in January is 9:30 in New York and 14:30 in London."""
    fill = HEAD | {"side": "buy", "quantity": 1.0, "price": 100.0, "value": 1000.0, "fee": 1.0, "slippage": 0.5}
    put(
        runs / "a", "fills", [fill | {"ts": at(D[0], 14, 30)}, fill | {"ts": at(D[1], 14, 59), "side": "sell"}, fill | {"ts": at(D[0], 15)}]
    )
    put(runs / "b", "fills", [fill | {"ts": at(D[0], 14, 30), "value": 0.0}])
    assert answer("fills_by_hour", runs) == [
        ("a", 9, 2, 1, 1, 2000.0, 2.0, 1.0, 5.0),
        ("a", 10, 1, 1, 0, 1000.0, 1.0, 0.5, 5.0),
        ("b", 14, 1, 1, 0, 0.0, 1.0, 0.5, None),
    ]


def test_slippage_by_symbol(runs: Path) -> None:
    fill = HEAD | {"ts": at(D[0], 15), "value": 1000.0, "fee": 2.0, "slippage": 0.1}
    put(runs / "a", "fills", [fill, fill | {"slippage": 0.2}, fill | {"symbol": "B", "slippage": 0.4, "fee": 0.0}])
    assert answer("slippage_by_symbol", runs) == [
        ("a", "B", 1, 1000.0, 0.4, 4.0, 0.0, 0.0),
        ("a", "A", 2, 2000.0, 0.3, 1.5, 4.0, 20.0),
    ]


def test_rejected_signals(runs: Path) -> None:
    made = HEAD | {"ts": at(D[0], 15), "action": "enter_long", "approved": False, "reason": "low_quality"}
    put(runs / "a", "decisions", [
        made, made | {"symbol": "B", "ts": at(D[1], 16)}, made | {"reason": "below_lot"}, made | {"approved": True, "reason": "approved"},
        made | {"action": "exit_long", "reason": "no_position"},
    ])  # fmt: skip
    assert answer("rejected_signals", runs) == [
        ("a", "s", "enter_long", "low_quality", 2, 0.5, 2, at(D[0], 15), at(D[1], 16)),
        ("a", "s", "enter_long", "below_lot", 1, 0.25, 1, at(D[0], 15), at(D[0], 15)),
        ("a", "s", "exit_long", "no_position", 1, 1.0, 1, at(D[0], 15), at(D[0], 15)),
    ]


def trade(minutes: int | None, **more: Any) -> dict[str, Any]:
    exit_ts = None if minutes is None else at(D[0], 15) + dt.timedelta(minutes=minutes)
    return {
        "strategy": "s",
        "symbol": "A",
        "direction": "long",
        "entry_ts": at(D[0], 15),
        "exit_ts": exit_ts,
        "is_open": minutes is None,
    } | more


def test_holding_times(runs: Path) -> None:
    """Of 1, 2, 3 and 10 minutes a quarter is 1 at most, half 2, nine tenths 10; their mean is 4. An open trade does not count."""
    put(runs / "a", "trades", [*(trade(minutes) for minutes in (3, 10, 1, 2)), trade(None), trade(60, direction="short")])
    assert answer("holding_times", runs) == [
        ("a", "s", "long", 4, 1.0, 1.0, 2.0, 10.0, 10.0, 4.0),
        ("a", "s", "short", 1, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0),
    ]


def test_pnl_by_exit_reason(runs: Path) -> None:
    stop, target = {"exit_reason": "stop", "fees": 1.0}, {"exit_reason": "target", "fees": 0.5}
    put(runs / "a", "trades", [
        trade(1, pnl=-10.1, **stop), trade(1, pnl=-0.2, **stop), trade(1, pnl=0.1, **stop), trade(1, pnl=0.0, **stop),
        trade(1, pnl=20.0, **target), trade(None, pnl=99.0),
    ])  # fmt: skip
    assert answer("pnl_by_exit_reason", runs) == [
        ("a", "stop", 4, 1, 0.25, -10.2, -2.55, -10.1, 0.1, 4.0),
        ("a", "target", 1, 1, 1.0, 20.0, 20.0, 20.0, 20.0, 0.5),
    ]


def test_data_gaps(runs: Path) -> None:
    gap = {"symbol": "A", "session": D[0], "interval": "1m", "start": at(D[0], 15), "end": at(D[0], 15, 3), "bars": 3, "kind": "inside"}
    put(runs / "a", "gaps", [gap, gap | {"symbol": "B", "bars": 7, "reconciled": True}, gap | {"symbol": "C", "bars": 1}])
    whole = answer("data_gaps", runs)
    assert whole[0] == ("a", 1, "B", D[0], "1m", "inside", at(D[0], 15), at(D[0], 15, 3), 7, True)
    assert [row[1:3] for row in whole] == [(1, "B"), (2, "A"), (3, "C")]
    assert [row[2] for row in answer("data_gaps", runs, "n=2")] == ["B", "A"]
    assert [row[1:3] for row in answer("data_gaps", runs, "symbol=C")] == [(1, "C")]
    assert answer("data_gaps", runs, "symbol=' OR 1=1 --") == []


def test_quality_by_symbol(runs: Path) -> None:
    row = {
        "symbol": "A", "session": D[0], "interval": "1m", "expected": 400, "actual": 390, "quality": 97.5, "gaps": 2, "longest_gap": 8,
        "out_of_session": 1, "duplicates": 0,
    }  # fmt: skip
    bad = {"session": D[1], "expected": 200, "actual": 150, "quality": 75.0, "longest_gap": 30, "duplicates": 3}
    put(runs / "a", "quality", [row, row | bad, row | {"symbol": "B"}])
    assert answer("quality_by_symbol", runs) == [
        ("a", "A", "1m", 2, 600, 540, 90.0, 75.0, D[1], 4, 30, 2, 3),
        ("a", "B", "1m", 1, 400, 390, 97.5, 97.5, D[0], 2, 8, 1, 0),
    ]


def test_turnover_by_session(runs: Path) -> None:
    put_sessions(runs / "a", [1000.0, 0.0])
    fill = HEAD | {"ts": at(D[0], 15), "value": 250.0, "fee": 1.0, "slippage": 0.25}
    put(runs / "a", "fills", [fill, fill | {"side": "sell"}])
    assert answer("turnover_by_session", runs) == [
        ("a", D[0], 2, 500.0, 1000.0, 0.5, 2.0, 0.5),
        ("a", D[1], 0, 0.0, 0.0, None, 0.0, 0.0),
    ]


def test_compare_runs(runs: Path) -> None:
    for name, figures in (
        ("a", {"sharpe": 1.5, "trades": 10, "calmar": None, "omega": None}),
        ("b", {"sharpe": None, "trades": 13, "calmar": 2.0, "omega": None}),
    ):
        (runs / name / "metrics.json").write_text(json.dumps(figures | {"by_symbol": {"A": {"trades": 1}}}))
    assert answer("compare_runs", runs) == [
        ("calmar", "b", 2.0, None, None),
        ("sharpe", "a", 1.5, 1.5, 0.0),
        ("sharpe", "b", None, 1.5, None),
        ("trades", "a", 10.0, 10.0, 0.0),
        ("trades", "b", 13.0, 10.0, 3.0),
    ]
    assert answer("compare_runs", runs, "base=b") == [
        ("calmar", "b", 2.0, 2.0, 0.0),
        ("calmar", "a", None, 2.0, None),
        ("sharpe", "a", 1.5, None, None),
        ("trades", "b", 13.0, 13.0, 0.0),
        ("trades", "a", 10.0, 13.0, -3.0),
    ]


def test_best_trials(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "manifest.json").write_text(json.dumps({"identity": {"sweep_key": "0" * 64}}))
    trials = pl.DataFrame({"trial": [0, 1, 2, 3], "key": ["k"] * 4, "slow": [20, 40, 20, 40], "mode": ["x", "x", "y'; --", "y"]})
    trials = trials.with_columns(status=pl.lit("done"), error=pl.lit(None, pl.String), seconds=pl.lit(0.1))
    figures = {name: pl.lit(0.5) for name in RESERVED if name not in trials.columns and name != "run"}
    trials = trials.with_columns(**figures).with_columns(
        sharpe=pl.Series([1.0, 2.0, None, 2.0]),
        fees=pl.Series([5.0, 1.0, 0.5, 7.0]),
        trades=pl.Series([3, 4, 5, 6]),
        total_return=pl.lit(0.1),
    )
    trials.write_parquet(sweep / "trials.parquet")
    pl.DataFrame(schema=EQUITY_SCHEMA).write_parquet(sweep / "trial_equity.parquet")
    assert answer("best_trials", tmp_path) == [
        ("sweep", 1, 1, 2.0, "mode=x, slow=40", 0.1, 2.0, 0.5, 4, 1.0),
        ("sweep", 2, 3, 2.0, "mode=y, slow=40", 0.1, 2.0, 0.5, 6, 7.0),
        ("sweep", 3, 0, 1.0, "mode=x, slow=20", 0.1, 1.0, 0.5, 3, 5.0),
    ]
    cheapest = answer("best_trials", tmp_path, "figure=fees", "n=1", "smallest=true")
    assert cheapest == [("sweep", 1, 2, 0.5, "mode=y'; --, slow=20", 0.1, None, 0.5, 5, 0.5)]
    assert answer("best_trials", tmp_path, "figure=' OR 1=1 --") == []
