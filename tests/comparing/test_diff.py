"""Every kind of difference between two runs is named: the first stage, session and row, and what it can come from."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from click.testing import CliRunner, Result

from backtester.cli import main
from backtester.comparing.diff import diff
from backtester.outcome.compare import Comparison
from tests.comparing.runs import edited, raised, run, with_bar

KEEP = {"keep": ["bars", "indicators", "signals"]}
BAR = dt.datetime(2024, 11, 6, 15, 0, tzinfo=dt.UTC)


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def differ(found: Comparison) -> list[str]:
    return [stage.name for stage in found.stages if not stage.same]


def can_be(found: Comparison) -> list[str]:
    """The causes that are named, but for the program: files of the checkout may change while tests run."""
    return [cause.group for cause in found.causes if cause.can_be and cause.group != "program"]


def items(found: Comparison, group: str) -> dict[str, tuple[Any, Any]]:
    return {item.name: (item.a, item.b) for cause in found.causes if cause.group == group for item in cause.items}


def close_of(lake: Path) -> float:
    day = pl.read_parquet(lake / "bars/1m/2024-11-06.parquet", glob=False)
    return float(day.filter(symbol="AAA", ts=BAR)["close"].item())


def test_two_runs_of_the_same_are_the_same(week: Path, plain: Path, tmp_path: Path) -> None:
    again = run(week, tmp_path / "again", {"backtest_config.prefetch_days": 2, "session_name": "another name"})
    found = diff(plain, again, {})
    assert found.same
    assert [cause.group for cause in found.causes if not cause.same] == ["config"]
    assert set(items(found, "config")) == {"/session_name", "/backtest_config/prefetch_days"}
    told = bt("diff", plain, again)
    assert told.exit_code == 0
    assert "the results are the same" in told.stdout
    assert "different (of no account)" in told.stdout


def test_a_changed_bar_is_found_in_the_bars_of_its_session_and_its_file_is_the_cause(week: Path, plain: Path, tmp_path: Path) -> None:
    other = run(with_bar(week, tmp_path / "lake", "AAA", BAR, volume=1.0), tmp_path / "other")
    found = diff(plain, other, {})
    assert found.first is not None
    assert (found.first.name, found.first.sessions) == ("bars", ("2024-11-06",))
    assert can_be(found) == ["data"]
    assert list(items(found, "data")) == ["bars/1m/2024-11-06"]


def test_a_changed_bar_is_named_by_symbol_bar_and_column_where_both_runs_kept_bars(week: Path, tmp_path: Path) -> None:
    before = close_of(week)
    changed = with_bar(week, tmp_path / "lake", "AAA", BAR, close=before + 0.01, high=before + 5.0)
    found = diff(run(week, tmp_path / "a", KEEP), run(changed, tmp_path / "b", KEEP), {})
    assert found.first is not None
    assert found.first.name == "bars"
    table = found.first.first_table
    assert table is not None
    assert (table.changed, table.only_a, table.only_b) == (1, 0, 0)
    assert table.first is not None
    assert table.first.a is not None
    assert table.first.b is not None
    assert (table.first.a["symbol"], table.first.a["ts"], table.first.columns) == ("AAA", BAR, ("high", "close"))
    assert (table.first.a["close"], table.first.b["close"]) == (before, before + 0.01)
    assert [row["ts"].minute for row in table.first.before_a] == [57, 58, 59]
    derived = found.stages[2].first_table
    assert derived is not None
    assert derived.first is not None
    assert derived.first.a is not None
    assert derived.first.a["interval"] == "5m"


def test_a_changed_calendar_row_is_the_first_difference_with_both_hours(week: Path, plain: Path, tmp_path: Path) -> None:
    with_bar(week, tmp_path / "lake", "AAA", BAR)
    rows = [{"session": "2024-11-07", "open": "09:30", "close": "13:00", "reason": "test"}]
    (tmp_path / "lake" / "calendar_overrides.json").write_text(json.dumps(rows))
    found = diff(plain, run(tmp_path / "lake", tmp_path / "other"), {})
    assert found.first is not None
    assert (found.first.name, found.first.first_session) == ("calendar", "2024-11-07")
    hours = "2024-11-07T14:30:00Z to 2024-11-07T21:00:00Z", "2024-11-07T14:30:00Z to 2024-11-07T18:00:00Z"
    assert items(found, "calendar rows") == {"2024-11-07": hours}
    assert can_be(found) == ["calendar rows"]
    assert f"2024-11-07: a {hours[0]}; b {hours[1]}" in bt("diff", plain, tmp_path / "other").stdout


@pytest.mark.parametrize(("changes", "stage", "pointer"), [
    ({"session_data_config.indicators": {"session": [{"name": "sma", "period": 21, "interval": "5m"}]}}, "indicators",
     "/session_data_config/indicators/session/0/period"),
    ({"strategies.0.params.fast": 6}, "signals", "/strategies/0/params/fast"),
    ({"trading_config.max_open_positions": 1}, "decisions", "/trading_config/max_open_positions"),
    ({"execution.slippage": {"bps": 3}}, "fills", "/execution/slippage/bps"),
])  # fmt: skip
def test_a_changed_key_of_the_config_is_named_by_its_pointer(
    changes: dict[str, Any], stage: str, pointer: str, week: Path, plain: Path, tmp_path: Path
) -> None:
    found = diff(plain, run(week, tmp_path / "other", changes), {})
    assert differ(found)[0] == stage
    assert can_be(found) == ["config"]
    assert list(items(found, "config")) == [pointer]
    assert (found.with_row is None) == (stage == "indicators")  # one that no strategy looks at changes no row


STRATEGY = """
from backtester import Bars, Signals, Strategy

class Dip(Strategy):
    interval: str = "5m"
    lookback = 20
    def signals(self, bars: Bars) -> Signals:
        rsi = bars.indicator("rsi", period=5)
        return Signals(enter_long=rsi < LEVEL, exit_long=rsi > 60)
"""


def test_another_source_of_a_strategy_is_the_cause_of_other_signals(week: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    for name, level in (("a", "30"), ("b", "31")):
        file = tmp_path / name / "dip.py"
        file.parent.mkdir()
        file.write_text(STRATEGY.replace("LEVEL", level))
        monkeypatch.chdir(file.parent)
        folders.append(run(week, tmp_path / f"run_{name}", {"strategies": [{"name": "dip", "use": "dip.py:Dip"}], **KEEP}))
    found = diff(folders[0], folders[1], {})
    assert differ(found)[0] == "signals"
    assert can_be(found) == ["strategies"]
    assert list(items(found, "strategies")) == ["dip: source of dip.py:Dip"]
    assert found.first is not None
    assert found.first.first_table is not None
    assert found.first.first_table.table == "signals"


def test_another_version_of_a_library_is_the_only_cause_left(plain: Path, tmp_path: Path) -> None:
    def older(manifest: dict[str, Any]) -> None:
        manifest["libraries"]["polars"] = "1.0.0"

    other = edited(plain, tmp_path / "other", "fills", raised("price", 4, 1e-6), older)
    found = diff(plain, other, {})
    assert differ(found) == ["fills"]
    assert can_be(found) == ["libraries"]
    assert items(found, "libraries")["polars"][1] == "1.0.0"
    row = found.stages[8].first_table
    assert row is not None
    assert row.first is not None
    assert (row.first.row_a, row.first.row_b, row.first.columns) == (4, 4, ("price",))


def test_a_calendar_library_of_another_version_is_said_before_all_else(plain: Path, tmp_path: Path) -> None:
    """CAL-12, F-26."""

    def older(manifest: dict[str, Any]) -> None:
        manifest["calendar"]["version"] = manifest["calendar"]["version"].replace("pandas_market_calendars-", "pandas_market_calendars-0.")

    same = bt("diff", plain, edited(plain, tmp_path / "same", manifest=older))
    assert same.exit_code == 0
    assert same.stdout.startswith("calendar library: pandas_market_calendars a ")
    assert same.stdout.splitlines()[0].endswith("; their sessions are the same")

    def other_rows(manifest: dict[str, Any]) -> None:
        older(manifest)
        del manifest["calendar"]["rows"][2]
        manifest["calendar"]["digest"] = "0" * 64

    told = bt("diff", plain, edited(plain, tmp_path / "other", manifest=other_rows))
    assert told.exit_code == 9
    assert told.stdout.splitlines()[0].endswith("; their sessions differ, first 2024-11-06")
    assert "what can be the cause of a difference in calendar: calendar library, calendar rows" in told.stdout


def test_nothing_that_differs_among_the_causes_is_said_too(plain: Path, tmp_path: Path) -> None:
    told = bt("diff", plain, edited(plain, tmp_path / "other", "equity", raised("cash", 100, 0.01)))
    assert told.exit_code == 9
    assert "first row that differs: equity, session 2024-11-04, row 101 of a, row 101 of b" in told.stdout
    assert "nothing that a manifest holds differs" in told.stdout


def test_ratios_have_a_tolerance_and_money_has_none_unless_it_is_given_one(plain: Path, tmp_path: Path) -> None:
    near = edited(plain, tmp_path / "near", "trades", raised("mae", 2, 1e-14))
    assert diff(plain, near, {}).same
    assert "(within tolerance: trades.mae by 1e-14)" in bt("diff", plain, near).stdout
    off = edited(plain, tmp_path / "off", "trades", raised("pnl", 2, 1e-6))
    assert bt("diff", plain, off).exit_code == 9
    assert bt("diff", plain, off, "--tolerance", "trades.pnl=0,1e-5").exit_code == 0
    assert bt("diff", plain, off, "--tolerance", "trades.pnl=0,1e-7").exit_code == 9
    sharpe = edited(plain, tmp_path / "sharpe", metrics={"volatility": 0.5, "final_equity": 1.0})
    assert [name for name, _, _ in diff(plain, sharpe, {}).stages[-1].figures] == ["final_equity", "volatility"]


def test_wrong_tolerances_are_refused_with_the_nearest_name(plain: Path) -> None:
    refused = {
        "trades.pln=1": "did you mean 'pnl'?",
        "trade.pnl=1": "did you mean 'trades'?",
        "trades.pnl": "RELATIVE",
        "trades.pnl=-1": "RELATIVE",
        "trades.pnl=nan": "RELATIVE",
        "trades.symbol=1": "no such column of numbers",
        "metrics.shrape=1": "did you mean 'sharpe'?",
    }
    for text, said in refused.items():
        told = bt("diff", plain, plain, "--tolerance", text)
        assert told.exit_code == 2
        assert said in told.stderr


def test_runs_of_different_forms_end_with_code_9_and_both_versions(plain: Path, tmp_path: Path) -> None:
    """CLI-12."""

    def newer(manifest: dict[str, Any]) -> None:
        manifest["identity"]["manifest_version"] = 2

    told = bt("diff", plain, edited(plain, tmp_path / "newer", manifest=newer))
    assert told.exit_code == 9
    assert "is of version 1 and" in told.stderr
    assert "is of version 2" in told.stderr


def test_a_table_with_columns_of_its_own_is_compared_on_the_others(plain: Path, tmp_path: Path) -> None:
    other = edited(plain, tmp_path / "other", manifest=lambda manifest: manifest["results"]["tables"]["fills"].update(digest="0"))
    rows = pl.read_parquet(other / "fills.parquet")
    rows.drop("other_type").with_columns(venue=pl.lit("X")).write_parquet(other / "fills.parquet")
    told = bt("diff", plain, other)
    assert told.exit_code == 9
    assert "columns only in a: other_type, columns only in b: venue" in told.stdout


def test_what_is_no_run_is_refused(plain: Path, tmp_path: Path) -> None:
    assert bt("diff", plain, tmp_path / "none").exit_code == 8
    (tmp_path / "empty").mkdir()
    assert bt("diff", tmp_path / "empty", plain).exit_code == 8


def test_rows_of_what_both_trade_are_compared_where_symbols_differ(week: Path, plain: Path, tmp_path: Path) -> None:
    alone = run(week, tmp_path / "alone", {"session_data_config.symbols": ["AAA"], "account": {"cash": 1000000}})
    both = run(week, tmp_path / "both", {"account": {"cash": 1000000}})
    found = diff(both, alone, {})
    assert found.first is not None
    assert found.first.name == "bars"
    assert found.scope == "the symbols of both runs: AAA (only in a: BBB; only in b: none)"
    assert "decisions" not in differ(found)
    assert {"/session_data_config/symbols/1"} <= set(items(found, "config"))


def test_rows_of_all_are_compared_where_no_strategy_is_common(week: Path, plain: Path, tmp_path: Path) -> None:
    other = run(week, tmp_path / "other", {"strategies": [{"name": "hold", "use": "buy_and_hold"}]})
    found = diff(plain, other, {})
    assert {"decisions", "fills", "trades"} <= set(differ(found))
    assert {"config", "strategies"} <= set(can_be(found))


def test_a_run_over_more_sessions_differs_first_in_the_calendar(week: Path, plain: Path, tmp_path: Path) -> None:
    shorter = run(week, tmp_path / "shorter", {"backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-07"}})
    found = diff(plain, shorter, {})
    assert found.first is not None
    assert (found.first.name, found.first.sessions) == ("calendar", ("2024-11-08",))
    assert "/backtest_config/end_date" in items(found, "config")
    assert found.scope == "the 4 sessions of both runs (1 only in a, 0 only in b)"
    assert set(differ(found)) <= {"calendar", "decisions", "orders", "trades", "metrics"}  # what is open at the shorter one's end


def test_json_and_junit_hold_what_is_printed(week: Path, plain: Path, tmp_path: Path) -> None:
    other = run(week, tmp_path / "other", {"trading_config.max_open_positions": 1})
    told = bt("diff", plain, other, "--json", "--junit", tmp_path / "out.xml")
    assert told.exit_code == 9
    found = json.loads(told.stdout)
    assert (found["same"], found["first_stage"], found["first_session"]) == (False, "decisions", "2024-11-04")
    assert [cause["group"] for cause in found["causes"] if cause["can_be"]] == ["config"]
    suite = ElementTree.parse(tmp_path / "out.xml").getroot().find("testsuite")
    assert suite is not None
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == [stage["stage"] for stage in found["stages"] if not stage["same"]]
    assert suite.get("failures") == str(len(failed))
    assert len(suite) == len(found["stages"])


def test_a_table_that_an_older_release_did_not_write_is_said(plain: Path, tmp_path: Path) -> None:
    other = edited(plain, tmp_path / "other", manifest=lambda manifest: manifest["results"]["tables"].pop("rolling"))
    told = bt("diff", plain, other)
    assert told.exit_code == 0
    assert "note: b has no table rolling, which is not compared" in told.stdout


def test_a_damaged_table_ends_with_code_4_and_its_name(plain: Path, tmp_path: Path) -> None:
    other = edited(plain, tmp_path / "other", manifest=lambda manifest: manifest["results"]["tables"]["fills"].update(digest="0"))
    (other / "fills.parquet").write_bytes(b"nothing")
    told = bt("diff", plain, other)
    assert told.exit_code == 4
    assert "fills.parquet" in told.stderr
