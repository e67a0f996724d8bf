"""The whole answer: what strategies saw, kept and computed columns alike, several strategies, several intervals, the clock layout."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

import backtester as bt
from backtester.cli import main
from backtester.market.action_changes import ROWS, add_actions
from backtester.outcome.digests import plain
from backtester.why.answer import why
from backtester.why.stretch import stretch
from tests.configs import config
from tests.test_pipeline import EVERYTHING
from tests.why.hand import DAY, lake, run, stamp


@pytest.fixture(scope="module")
def both(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bt.Run, bt.Run]:
    """One run with several strategies, layouts and intervals, and the same that kept its columns."""
    folder = tmp_path_factory.mktemp("both")
    kept = {**EVERYTHING, "keep": ["signals", "bars", "indicators"]}
    return bt.run(config(simulated, EVERYTHING), out=folder / "plain"), bt.run(config(simulated, kept), out=folder / "kept")


def said(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_kept_and_computed_columns_give_the_same_answers(both: tuple[bt.Run, bt.Run]) -> None:
    decisions = both[0].table("decisions")
    moments = decisions.sample(5, seed=3).with_columns(at=pl.col("ts") - pl.duration(seconds=30)).select("symbol", "at").rows()
    moments += [("AAA", dt.datetime(2024, 11, 29, 17, 59, tzinfo=dt.UTC))]
    for symbol, at in moments:
        found = [plain(why(made, symbol, at.isoformat())) for made in both]
        for answer in found:
            assert answer["warnings"] == []
            answer.pop("run"), answer.pop("sources")
        assert found[0] == found[1], (symbol, at)


def test_every_decision_is_found_at_its_bar(both: tuple[bt.Run, bt.Run]) -> None:
    """The answer at a decision's bar holds that decision, its signal at the same price, and each strategy of the run."""
    for row in both[1].table("decisions").sample(5, seed=5).iter_rows(named=True):
        answer = why(both[1], row["symbol"], (row["ts"] - dt.timedelta(seconds=1)).isoformat())
        assert [one["strategy"] for one in answer["strategies"]] == ["cross", "rsi", "momentum", "range"]
        (one,) = [one for one in answer["strategies"] if one["strategy"] == row["strategy"]]
        assert row["reason"] in [found["reason"] for found in one["decisions"]]
        assert [signal["price"] for signal in one["signals"]] == [row["price"]]


def test_a_strategy_that_does_not_look_at_the_symbol_says_so(both: tuple[bt.Run, bt.Run]) -> None:
    (one,) = why(both[0], "BBB", f"{DAY}T10:00", "rsi")["strategies"]
    assert one["verdict"] == "rsi does not look at BBB"
    assert one["inputs"] == []


TREND = """
from backtester import Signals, Strategy, indicators

class Trend(Strategy):
    inputs = {"bars": "1m", "slow": "5m"}
    lookback = {"bars": 3, "slow": 2}

    def signals(self, bars):
        slow = bars.input("slow")
        mean = indicators.sma(slow.close, 2)
        return Signals(enter_long=bars.close > slow.onto(bars, mean))
"""


def test_inputs_are_shown_as_they_were_aligned_and_indicators_as_they_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 09:43 the five minutes from 09:35 are the latest that is complete (110), those from 09:30 the ones before (100): mean 105."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trend.py").write_text(TREND)
    prices: dict[int, Any] = dict.fromkeys(range(5, 10), 110.0) | dict.fromkeys(range(10, 14), 104.0) | {14: 200.0}
    trend = [{"name": "trend", "use": f"{tmp_path}/trend.py:Trend"}]
    mean = {"session": [{"name": "sma", "period": 2, "interval": "5m"}]}
    made = run(tmp_path, {DAY: {"A": prices}}, [], strategies=trend, session_data_config__indicators=mean)
    for at, clock, value in (("09:43", "09:35", 105.0), ("09:44", "09:40", 155.0)):
        (line,) = why(made, "A", f"{DAY}T{at}")["indicators"]
        assert (line["name"], line["clock"], line["value"]) == ("sma_2", clock, value)
    (one,) = why(made, "A", f"{DAY}T09:43")["strategies"]
    seen = {found["input"]: found for found in one["inputs"]}
    assert (seen["bars"]["clock"], seen["slow"]["clock"]) == ("09:43 - 09:44", "09:35 - 09:40")
    values = {name: {value["name"]: (value["before"], value["value"]) for value in found["values"]} for name, found in seen.items()}
    assert values["slow"]["close"] == (100.0, 110.0)
    assert values["slow"]["sma(slow.close, period=2)"] == (None, 105.0)
    assert values["bars"]["sma(slow.close, period=2) onto bars"] == (105.0, 105.0)
    assert one["verdict"] == "trend asked for nothing on this bar"
    # At 09:44 the five minutes from 09:40 are complete too, with the last close of 200: mean 155.
    (one,) = why(made, "A", f"{DAY}T09:44")["strategies"]
    assert one["inputs"][1]["clock"] == "09:40 - 09:45"
    assert [value["value"] for value in one["inputs"][0]["values"] if "onto" in value["name"]] == [155.0]
    assert [signal["words"] for signal in one["signals"]] == ["enter_long: price 200, confidence 1"]
    # Bought at 09:35 already, when the mean was 100.
    assert one["verdict"] == "refused: 10 shares are held long already"


def test_a_derived_bar_that_was_not_made_says_what_it_lacked(tmp_path: Path) -> None:
    made = run(tmp_path, {DAY: {"A": {12: None}}}, [], strategies=[{"name": "cross", "use": "sma_crossover", "params": {"interval": "5m"}}])
    (one,) = why(made, "A", f"{DAY}T09:41")["strategies"]
    assert one["bar"]["missing"] == "4 of 5 bars of 1m stand in it, and derived.min_completeness is 1"
    assert one["verdict"] == "cross saw no 5m bar of A then"


def test_without_its_lake_a_run_that_kept_its_columns_is_explained_as_far_as_they_go(tmp_path: Path) -> None:
    wishes = [(DAY, "A", 5, "enter_long", {})]
    for name, keep in (("kept", ["signals", "bars"]), ("plain", [])):
        run(tmp_path / name, {DAY: {"A": {}}}, wishes, keep=keep)
        shutil.rmtree(tmp_path / name / "lake")
    (one,) = why(bt.load(tmp_path / "kept" / "run"), "A", stamp(DAY, 5))["strategies"]
    assert one["verdict"] == "approved: buy 10"
    assert one["note"] == "what it saw is not known: the session could not be computed again"
    result = said("why", tmp_path / "plain" / "run", "--symbol", "A", "--at", stamp(DAY, 5))
    assert (result.exit_code, "there is no lake" in result.stderr) == (4, True)


def test_a_stretch_holds_everything_in_the_order_of_time(tmp_path: Path) -> None:
    """Bought on 09:36, stopped on 09:50; the fill stands at its bar's open, what follows the signal at the end of the signal's bar."""
    made = run(
        tmp_path, {DAY: {"A": {20: (99, 99, 90, 92)}}}, [(DAY, "A", 5, "enter_long", {}), (DAY, "A", 30, "exit_long", {})],
        execution__stop_loss=0.05,
    )  # fmt: skip
    answer = stretch(made, f"{DAY}T09:30", f"{DAY}T16:00")
    assert [(row["clock"][-5:], row["kind"], row["words"]) for row in answer["rows"]] == [
        ("09:36", "signal", "enter_long: price 100, confidence 1"),
        ("09:36", "decision", "approved: buy 10"),
        ("09:36", "order", "buy 10, market: filled"),
        ("09:36", "fill", "buy 10 at 100.00, value 1,000.00, fee 0.00, at the open of its bar"),
        ("09:36", "guard", "sell 10, stop at 95.00: filled"),
        ("09:50", "fill", "sell 10 at 95.00, value 950.00, fee 0.00, by a stop order"),
        ("10:01", "signal", "exit_long: price 100, confidence 1"),
        ("10:01", "decision", "refused: no position to sell, or its exit waits already"),
    ]
    assert stretch(made, DAY, DAY)["rows"] == answer["rows"]
    assert [row["kind"] for row in stretch(made, f"{DAY}T14:50Z", f"{DAY}T14:50Z")["rows"]] == ["fill"]


def test_an_entry_that_waits_for_a_stop_is_an_order_and_no_guard(tmp_path: Path) -> None:
    """The minute of 09:40 reaches 101, where the entry waits; its own stop, five percent below, guards what it bought."""
    wishes = [(DAY, "A", 5, "enter_long", {"entry_stop": 101.0})]
    made = run(tmp_path, {DAY: {"A": {10: (100, 102, 100, 100)}}}, wishes, execution__stop_loss=0.05)
    rows = stretch(made, DAY, DAY)["rows"]
    assert [(row["clock"][-5:], row["kind"], row["words"]) for row in rows[2:]] == [
        ("09:36", "order", "buy 10, stop at 101.00: filled"),
        ("09:40", "fill", "buy 10 at 101.00, value 1,010.00, fee 0.00, by a stop order"),
        ("09:40", "guard", "sell 10, stop at 95.95: open"),
    ]
    (one,) = why(made, "A", f"{DAY}T09:40")["strategies"]
    assert one["verdict"] == "told asked for nothing on this bar; on it the order decided at 09:36 was filled"


def test_a_stretch_of_several_sessions_is_the_same_with_kept_signals(both: tuple[bt.Run, bt.Run]) -> None:
    rows = [stretch(made, "2024-11-04", "2024-11-06", symbol="AAA", strategy="cross")["rows"] for made in both]
    assert rows[0] == rows[1]
    assert {row["kind"] for row in rows[0]} == {"signal", "decision", "order", "fill", "guard"}
    assert [row["ts"] for row in rows[0]] == sorted(row["ts"] for row in rows[0])


@pytest.mark.parametrize(
    ("words", "code", "said_"),
    [
        (("--at", f"{DAY}T10:00"), 2, "--at needs --symbol"),
        ((), 2, "give one of --at"),
        (("--at", f"{DAY}T10:00", "--symbol", "AAA", "--reasons"), 2, "give one of --at"),
        (("--reasons", "--symbol", "AAA"), 2, "whole run"),
        (("--between", f"{DAY}T11:00", f"{DAY}T10:00"), 2, "ends before it begins"),
        (("--between", "2024-11-02", "2024-11-03"), 6, "no session of the run in this stretch"),
        (("--symbol", "AAA", "--at", "2024-11-03T10:00"), 6, "no session of the run"),
        (("--symbol", "XXX", "--at", f"{DAY}T10:00"), 2, "no such symbol"),
    ],
)
def test_wrong_words_end_with_their_exit_code(words: tuple[str, ...], code: int, said_: str, both: tuple[bt.Run, bt.Run]) -> None:
    result = said("why", both[1].folder, *words)
    assert (result.exit_code, said_ in result.stderr) == (code, True), result.stderr


@pytest.mark.parametrize(
    "words", [("--symbol", "AAA", "--at", f"{DAY}T10:30"), ("--between", f"{DAY}T10:00", f"{DAY}T10:20"), ("--reasons",)]
)
def test_it_prints_a_hundred_columns_or_json(words: tuple[str, ...], both: tuple[bt.Run, bt.Run]) -> None:
    shown = said("why", both[1].folder, *words)
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert all(line == line.rstrip() for line in lines)
    held = json.loads(said("why", both[1].folder, *words, "--json").stdout)
    assert held["run"] == str(both[1].folder)


def test_a_name_in_brackets_is_a_name(tmp_path: Path) -> None:
    made = run(tmp_path, {DAY: {"A": {}}}, {"[red]told": [(DAY, "A", 5, "enter_long", {})]})
    shown = said("why", made.folder, "--symbol", "A", "--at", stamp(DAY, 5)).stdout
    assert shown.startswith("A at 2024-11-05 09:35:00 EST")
    assert "[red]told (" in shown


def test_what_is_held_over_a_split_is_in_new_shares(tmp_path: Path) -> None:
    """20 shares bought before 2 for 1 are 40 after it."""
    half = dict.fromkeys(range(390), 50.0)
    days = {DAY: {"A": {}}, "2024-11-06": {"A": half}}
    lake(tmp_path / "lake", days)
    add_actions(tmp_path / "lake", pl.DataFrame([("A", dt.date(2024, 11, 6), "split", 2.0, "", "")], schema=ROWS, orient="row"), "XNYS")
    made = run(tmp_path, days, [(DAY, "A", 5, "enter_long", {"size": 20}), ("2024-11-06", "A", 5, "enter_long", {})])
    assert why(made, "A", f"{DAY}T15:59")["strategies"][0]["held"] == 20
    (one,) = why(made, "A", stamp("2024-11-06", 5))["strategies"]
    assert (one["held"], one["verdict"]) == (40, "refused: 40 shares are held long already")
    assert stretch(made, "2024-11-06", "2024-11-06")["rows"][-1]["words"] == one["verdict"]


def test_a_run_that_decided_nothing_says_so(tmp_path: Path) -> None:
    made = run(tmp_path, {DAY: {"A": {}}}, {})
    assert "the run has no strategy" in said("why", made.folder, "--symbol", "A", "--at", stamp(DAY, 5)).stdout
    assert "the run decided nothing" in said("why", made.folder, "--reasons").stdout


def test_fills_at_quotes_name_their_side(lean_2013: Path, tmp_path: Path) -> None:
    """Real quotes of SPY: what was bought has the ask's open of its minute, what was sold the bid's."""
    changes = {"execution.price": "quote", "strategies": [{"name": "cross", "use": "sma_crossover", "params": {"interval": "5m"}}]}
    made = bt.run(config(lean_2013, changes), out=tmp_path / "run")
    quotes = pl.concat([pl.read_parquet(path) for path in sorted((lean_2013 / "quotes" / "1m").glob("*.parquet"))])
    for side, column in (("buy", "ask_open"), ("sell", "bid_open")):
        fill = made.table("fills").filter((pl.col("side") == side) & (pl.col("flags") == "")).row(0, named=True)
        want = quotes.filter((pl.col("symbol") == "SPY") & (pl.col("ts") == fill["ts"]))[column][0]
        (one,) = why(made, "SPY", fill["ts"].isoformat())["strategies"]
        words = one["on_this_bar"][0]["words"]
        assert words.startswith(f"{side} 100 at {want:.2f}")
        assert words.endswith(f"at the {'ask' if side == 'buy' else 'bid'} at the open of its bar")
