"""One session of a finished run again: the run's own columns to the last bit, and what has changed since is said."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import backtester as bt
from backtester.errors import CalendarError, DataError
from backtester.market.simulate import Simulation, simulate
from backtester.recompute import recompute
from tests.configs import config, strategy
from tests.test_pipeline import EVERYTHING

DAY = dt.date(2024, 11, 5)
SMALL = {
    "backtest_config.start_date": "2024-11-01",
    "backtest_config.end_date": "2024-11-08",
    "session_data_config.symbols": ["AAA", "BBB"],
    "session_data_config.streams": ["1m", "5m"],
}


@pytest.fixture(scope="module")
def kept(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> bt.Run:
    """A run with every kind of history and several strategies, that kept its columns."""
    changes = {**EVERYTHING, "keep": ["signals", "bars", "indicators"]}
    return bt.run(config(simulated, changes), out=tmp_path_factory.mktemp("kept") / "run")


@pytest.fixture
def lake(simulated: Path, tmp_path: Path) -> Path:
    """A lake of one's own."""
    shutil.copytree(simulated, tmp_path / "lake")
    return tmp_path / "lake"


def of_day(run: bt.Run, table: str, day: dt.date) -> pl.DataFrame:
    return run.table(table).filter(pl.col("session") == day)


def test_every_session_comes_out_as_it_did_in_the_run(kept: bt.Run) -> None:
    """The run was cut into parts of many sessions, this is one alone: bit-equal digests of every stage."""
    for day in kept.table("sessions")["session"]:
        assert recompute(kept, day).warnings == [], day


@pytest.mark.parametrize("day", [dt.date(2024, 11, 1), dt.date(2024, 11, 4), dt.date(2024, 11, 29), dt.date(2024, 12, 6)])
def test_its_tables_are_those_that_the_run_kept(day: dt.date, kept: bt.Run) -> None:
    """The run's first and last session, the first after a DST change, an early close."""
    found = recompute(kept, day)
    for table in ("bars", "indicators", "signals", "quality", "gaps"):
        assert_frame_equal(getattr(found, table), of_day(kept, table, day), check_dtypes=False, categorical_as_str=True)


def test_what_a_strategy_saw_is_what_its_bars_were(kept: bt.Run) -> None:
    found = recompute(kept, DAY).seen("rsi", "CCC")
    closes = found.filter((pl.col("name") == "close") & (pl.col("session") == DAY) & (pl.col("ts").dt.date() == DAY))
    bars = of_day(kept, "bars", DAY).filter((pl.col("interval") == "5m") & (pl.col("symbol") == "CCC"))
    assert closes["value"].to_list() == bars["close"].to_list()
    assert closes["ts"].to_list() == bars["ts"].to_list()
    assert set(found["symbol"]) == {"CCC"}


def test_every_indicator_that_a_strategy_asks_for_is_noted(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for through its bars, as a function under any name, on columns of its own, and across inputs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "asks.py").write_text(
        "from backtester import Signals, Strategy, indicators\n"
        "from backtester.signals.indicators import ema as smooth\n"
        "class Asks(Strategy):\n"
        "    @property\n"
        "    def inputs(self): return {'bars': '1m', 'slow': '5m'}\n"
        "    lookback = 10\n"
        "    def signals(self, bars):\n"
        "        slow = bars.input('slow')\n"
        "        mean = smooth(bars.close, period=3)\n"
        "        half = indicators.sma((bars.high + bars.low) / 2, 4)\n"
        "        upper = bars.indicator('bbands.upper', period=5)\n"
        "        trend = slow.onto(bars, indicators.sma(slow.close, 2))\n"
        "        both = slow.onto(bars)\n"
        "        rising = indicators.crosses_above(mean, trend)\n"
        "        return Signals(enter_long=rising & (both.close > 0) & (half > 0) & (upper > 0))\n"
    )
    run = bt.run(config(simulated, {**SMALL, "strategies": strategy("asks.py:Asks")}), out=tmp_path / "run")
    found = recompute(run, DAY)
    assert found.warnings == []
    assert [asked.label for asked in found.watched["only"].asked] == [
        "ema(close, period=3)",
        "sma(..., period=4)",
        "bbands.upper(period=5)",
        "sma(slow.close, period=2)",
        "sma(slow.close, period=2) onto bars",
        "crosses_above(ema(close, period=3), sma(slow.close, period=2) onto bars)",
    ]
    seen = found.seen("only", "AAA").filter(pl.col("end") > pl.lit(dt.datetime(2024, 11, 5, 15, tzinfo=dt.UTC)))
    closes, means = (seen.filter((pl.col("input") == "slow") & (pl.col("name") == name)) for name in ("close", "sma(slow.close, period=2)"))
    want = (closes["value"].to_numpy()[1:] + closes["value"].to_numpy()[:-1]) / 2
    assert np.allclose(means["value"].to_numpy()[1:], want, rtol=1e-15)
    fires = seen.filter(pl.col("name").str.starts_with("crosses_above") & (pl.col("value") == 1))
    signals = found.signals.filter((pl.col("symbol") == "AAA") & (pl.col("ts") > dt.datetime(2024, 11, 5, 15, tzinfo=dt.UTC)))
    assert fires["end"].to_list() == signals["ts"].to_list()
    assert fires.height > 5


def test_under_a_profiler_nothing_is_noted_and_nothing_changes(kept: bt.Run) -> None:
    import cProfile

    with cProfile.Profile():
        found = recompute(kept, DAY)
    assert found.warnings == []
    assert found.watched["cross"].asked == []
    assert found.seen("cross", "AAA").height > 0


def test_strategies_are_found_from_any_folder(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files below the config's folder; the run lies elsewhere, and so do we."""
    for name in ("one", "two"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "own.py").write_text(
            "from backtester import Signals, Strategy\nclass Own(Strategy):\n"
            "    def signals(self, bars):\n        return Signals(enter_long=bars.slot == 3)\n"
        )
    own = [{"name": name, "use": f"{name}/own.py:Own"} for name in ("one", "two")]
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config(simulated, {**SMALL, "strategies": own})))
    run = bt.run(tmp_path / "mine" / "config.json", out=tmp_path / "elsewhere" / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = recompute(run, DAY)
    assert (found.warnings, found.signals.height) == ([], 4)


def test_a_strategy_in_a_process_of_its_own_is_called_there(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it saw and asked for there is what it would have seen and asked for here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.py").write_text(
        "from backtester import Signals, Strategy\n"
        "class One(Strategy):\n"
        "    def signals(self, bars):\n"
        "        return Signals(enter_long=bars.close > bars.indicator('sma', period=5))\n"
    )
    both = [*strategy("one.py:One"), {"name": "cross", "use": "sma_crossover"}]
    found = {}
    for apart in (True, False):
        run = bt.run(
            config(simulated, {**SMALL, "strategies": both, "resources": {"isolate_strategies": apart}}), out=tmp_path / f"{apart}"
        )
        found[apart] = recompute(run, DAY)
        assert found[apart].warnings == []
    for name in ("only", "cross"):
        assert_frame_equal(*(found[apart].seen(name, "AAA") for apart in (True, False)))
    assert [asked.label for asked in found[True].watched["only"].asked] == ["sma(period=5)"]


def test_a_strategy_that_was_stopped_is_not_called_again(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "breaks.py").write_text(
        "import numpy as np\n"
        "from backtester import Signals, Strategy\n"
        "class Breaks(Strategy):\n"
        "    def signals(self, bars):\n"
        "        if (bars.session == np.datetime64('2024-11-05')).any():\n"
        "            raise ValueError('no')\n"
        "        return Signals(enter_long=bars.slot == 3)\n"
    )
    run = bt.run(config(simulated, {**SMALL, "strategies": strategy("breaks.py:Breaks")}), out=tmp_path / "run")
    for day, called in ((4, True), (5, True), (6, False)):
        found = recompute(run, dt.date(2024, 11, day))
        assert found.warnings == []
        assert ("only" in found.watched) == called
        assert found.signals.height == (2 if day == 4 else 0)


@pytest.mark.parametrize("day", [dt.date(2024, 11, 3), dt.date(2024, 10, 31), dt.date(2024, 11, 11)])
def test_a_day_that_is_no_session_of_the_run_is_a_calendar_error(day: dt.date, kept: bt.Run, simulated: Path, tmp_path: Path) -> None:
    """A Sunday; the sessions before and after the run."""
    run = bt.run(config(simulated, SMALL), out=tmp_path / "run")
    with pytest.raises(CalendarError, match=r"no session of the run.*2024-11-01 to 2024-11-08"):
        recompute(run, day)


def test_another_lake_with_the_same_bars_changes_nothing(lake: Path, simulated: Path, tmp_path: Path) -> None:
    run = bt.run(config(simulated, SMALL), out=tmp_path / "run")
    assert recompute(run, DAY, lake).warnings == []


def test_another_lake_with_other_bars_is_told_apart(simulated: Path, tmp_path: Path) -> None:
    """Each file that differs is named, and the stages that came out otherwise."""
    run = bt.run(config(simulated, {**SMALL, "strategies": strategy("sma_crossover", interval="5m")}), out=tmp_path / "run")
    simulate(tmp_path / "other", Simulation(("AAA", "BBB", "CCC"), dt.date(2024, 10, 28), dt.date(2024, 11, 8), seed=8))
    found = recompute(run, DAY, tmp_path / "other")
    assert any("bars/1m/2024-11-05.parquet has changed" in change for change in found.changes)
    assert found.differs == ["bars", "derived", "quality", "signals"]
    assert "2024-11-05 differs from the run's own digests in: bars, derived, quality, signals" in found.warnings[-1]


def test_only_files_of_the_session_and_its_history_count(lake: Path, tmp_path: Path) -> None:
    """A later session's file may be another: it cannot have been seen."""
    run = bt.run(config(lake, SMALL), out=tmp_path / "run")
    simulate(tmp_path / "other", Simulation(("AAA", "BBB", "CCC", "DDD"), dt.date(2024, 11, 8), dt.date(2024, 11, 8), seed=8))
    catalog = pl.read_parquet(lake / "catalog.parquet")
    other = pl.read_parquet(tmp_path / "other" / "catalog.parquet")
    mixed = catalog.filter(pl.col("session") != dt.date(2024, 11, 8)).vstack(other).sort("kind", "interval", "session")
    mixed.write_parquet(lake / "catalog.parquet", statistics=False)
    shutil.copy(tmp_path / "other" / "bars" / "1m" / "2024-11-08.parquet", lake / "bars" / "1m" / "2024-11-08.parquet")
    assert recompute(run, DAY).warnings == []
    assert "2024-11-08.parquet has changed" in recompute(run, dt.date(2024, 11, 8)).changes[0]


def test_a_damaged_file_is_a_data_error(lake: Path, tmp_path: Path) -> None:
    run = bt.run(config(lake, SMALL), out=tmp_path / "run")
    day = lake / "bars" / "1m" / "2024-11-05.parquet"
    content = bytearray(day.read_bytes())
    content[len(content) // 3] ^= 1
    day.write_bytes(content)
    with pytest.raises(DataError, match=r"2024-11-05\.parquet"):
        recompute(run, DAY)


def test_changed_sources_versions_and_config_are_said(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = (
        "from backtester import Signals, Strategy\nclass One(Strategy):\n"
        "    def signals(self, bars):\n        return Signals(enter_long=bars.slot == {})\n"
    )
    (tmp_path / "one.py").write_text(code.format(3))
    run = bt.run(config(simulated, {**SMALL, "strategies": strategy("one.py:One")}), out=tmp_path / "run")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    manifest["libraries"]["polars"] = "1.0"
    manifest["environment"]["python"] = "3.0"
    (run.folder / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "one.py").write_text(code.format(4))
    found = recompute(bt.load(run.folder), DAY)
    heads = [change.split(" (")[0].split(",")[0] for change in found.changes]
    assert heads == ["the source of strategy only", "polars was 1.0", "Python was 3.0"]
    assert found.differs == ["signals"]
    held = json.loads((run.folder / "config.json").read_text())
    held["trading_config"]["min_quality"] = 10
    (run.folder / "config.json").write_text(json.dumps(held))
    assert recompute(bt.load(run.folder), DAY).changes[0].startswith("config.json is not what the manifest holds")
