"""What a question's time means: UTC and the exchange's own, daylight saving, sessions that are none, bars that are missing."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import backtester as bt
from backtester.errors import BacktesterError, CalendarError, UsageError
from backtester.market.simulate import Simulation, simulate
from backtester.why.answer import why
from backtester.why.stretch import stretch
from tests.configs import config, strategy
from tests.why.hand import DAY, run

FRIDAY, MONDAY = "2024-11-01", "2024-11-04"
"""The last session of summer time and the first of winter time."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bt.Run:
    """Bars A of three sessions; on the second one the minutes of 10:00 to 10:02 are missing, B has none on the third."""
    holes = dict.fromkeys(range(30, 33))
    days = {FRIDAY: {"A": {}, "B": {}}, MONDAY: {"A": holes, "B": {}}, DAY: {"A": {}, "B": dict.fromkeys(range(390))}}
    return run(tmp_path_factory.mktemp("moments"), days, [(FRIDAY, "A", 30, "enter_long", {}), (MONDAY, "A", 33, "exit_long", {})])


@pytest.mark.parametrize(
    ("local", "utc", "start"),
    [
        (f"{FRIDAY}T10:00", f"{FRIDAY}T14:00Z", "2024-11-01T14:00:00+00:00"),
        (f"{DAY}T10:00", f"{DAY}T15:00Z", "2024-11-05T15:00:00+00:00"),
        (f"{DAY} 10:00:59.9", f"{DAY}T16:00:59+01:00", "2024-11-05T15:00:00+00:00"),
    ],
)
def test_local_time_and_utc_name_the_same_bar_on_both_sides_of_a_dst_change(local: str, utc: str, start: str, made: bt.Run) -> None:
    """A time between two bars means the one that holds it."""
    bars = [why(made, "A", text)["bar"] for text in (local, utc)]
    assert bars[0] == bars[1]
    assert bars[0]["start"].isoformat() == start
    assert bars[0]["clock"] == "10:00 - 10:01"


def test_a_signal_is_found_by_the_exchanges_clock_in_winter_and_in_summer(made: bt.Run) -> None:
    for at, action in ((f"{FRIDAY}T10:00", "enter_long"), (f"{MONDAY}T10:03", "exit_long")):
        (one,) = why(made, "A", at)["strategies"]
        assert [row["action"] for row in one["decisions"]] == [action]


def test_a_missing_bar_says_so_with_the_gap_that_it_belongs_to(made: bt.Run) -> None:
    answer = why(made, "A", f"{MONDAY}T10:01:30")
    assert answer["bar"]["missing"] == "it belongs to a gap of 3 bars from 10:00 to 10:03 (inside)"
    assert [line["clock"] for line in answer["neighbours"]] == ["09:57", "09:58", "09:59", "10:03", "10:04", "10:05"]
    # 30 of the 32 minutes to then.
    assert answer["quality"]["as_of"] == pytest.approx(100 * 30 / 32)
    assert answer["quality"]["gaps"] == [{"start": "10:00", "end": "10:03", "bars": 3, "kind": "inside"}]
    assert answer["strategies"][0]["verdict"] == "told saw no 1m bar of A then"


def test_a_session_without_a_bar_of_the_symbol_is_one_gap(made: bt.Run) -> None:
    answer = why(made, "B", f"{DAY}T10:00")
    assert answer["bar"]["missing"] == "it belongs to a gap of 390 bars from 09:30 to 16:00 (session: the whole session)"
    assert answer["quality"]["as_of"] == 0


@pytest.mark.parametrize(
    ("symbol", "at", "kind", "words"),
    [
        ("C", f"{DAY}T10:00", UsageError, "no such symbol.*known: A, B"),
        ("A", "ten", UsageError, r"this is no time \(--at\).*2024-11-05T10:02"),
        ("A", DAY, UsageError, "a day, not a time"),
        ("A", "2024-11-03T01:30", UsageError, "shows this time twice.*2024-11-03T05:30Z or 2024-11-03T06:30Z"),
        ("A", "2024-03-10T02:30", UsageError, "never shows this time"),
        ("A", "2024-11-03T10:00", CalendarError, "no session.*Sunday 2024-11-03.*the one before is 2024-11-01, the next is 2024-11-04"),
        ("A", "2024-10-31T10:00", CalendarError, "no session of the run.*the run begins later, the next is 2024-11-01"),
        ("A", "2024-11-06T10:00", CalendarError, "the one before is 2024-11-05, the run ends before"),
        ("A", f"{DAY}T09:29:59", CalendarError, "session 2024-11-05 is open from 09:30 to 16:00"),
        ("A", f"{DAY}T21:00Z", CalendarError, "open from 09:30 to 16:00; what was decided on its last bar: ask for that bar"),
    ],
)
def test_what_cannot_be_asked_is_answered_clearly(symbol: str, at: str, kind: type[BacktesterError], words: str, made: bt.Run) -> None:
    with pytest.raises(kind, match=words):
        why(made, symbol, at)


def test_an_unknown_strategy_is_answered_with_the_nearest(made: bt.Run) -> None:
    with pytest.raises(UsageError, match=r"no such strategy.*did you mean 'told'"):
        why(made, "A", f"{DAY}T10:00", "tolt")


def test_a_daily_run_takes_a_day_for_its_bar(tmp_path: Path) -> None:
    """Its neighbours are the sessions beside it; a weekend lies between the first two here."""
    simulate(tmp_path / "lake", Simulation(("A",), dt.date(2024, 9, 2), dt.date(2024, 10, 31), seed=1, interval="1d"))
    changes = {
        "backtest_config.start_date": "2024-10-01",
        "backtest_config.end_date": "2024-10-31",
        "session_data_config.symbols": ["A"],
        "session_data_config.streams": ["1d"],
        "strategies": strategy("sma_crossover", interval="1d", fast=2, slow=5),
    }
    daily = bt.run(config(tmp_path / "lake", changes), out=tmp_path / "run")
    answer = why(daily, "A", "2024-10-10")
    assert answer["bar"]["missing"] is None
    days = ["2024-10-07", "2024-10-08", "2024-10-09", "09:30", "2024-10-11", "2024-10-14", "2024-10-15"]
    assert [line["clock"][:10] for line in answer["neighbours"]] == days
    names = {value["name"] for value in answer["strategies"][0]["inputs"][0]["values"]}
    assert {"sma(period=2)", "sma(period=5)"} <= names
    kept = bt.run(config(tmp_path / "lake", {**changes, "keep": ["bars", "signals"]}), out=tmp_path / "kept")
    assert why(kept, "A", "2024-10-10")["neighbours"] == answer["neighbours"]
    with pytest.raises(CalendarError, match=r"no session of the run.*Saturday 2024-10-12"):
        why(daily, "A", "2024-10-12")


@pytest.mark.parametrize("text", ["9999-12-31T23:59", "0001-01-01T00:00+14:00", "9999-12-31T23:59-01:00"])
def test_a_time_beyond_all_calendars_is_no_time(text: str, made: bt.Run) -> None:
    with pytest.raises(UsageError, match="no time"):
        why(made, "A", text)


def test_a_stretch_to_the_end_of_all_calendars_is_refused(made: bt.Run) -> None:
    with pytest.raises(UsageError, match="no time"):
        stretch(made, "2024-11-01", "9999-12-31")
