"""A block of trials gives each of them what a run of its own gives."""

from __future__ import annotations

import gc
import json
import os
import time
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtester as bt
from backtester.config_document import read
from backtester.market import load
from backtester.market.prepare import Past
from backtester.pipeline import prepare_days, reader
from backtester.planning import setup
from backtester.sweeping.block import Block, run_block
from backtester.sweeping.figures import FIGURES
from backtester.sweeping.signaller import Common, Signaller
from backtester.sweeping.space import Space, space_of
from backtester.sweeping.variants import Base, groups, numbered, variants
from tests.configs import config, strategy

FAST, SLOW = "strategies.0.params.fast", "strategies.0.params.slow"
MARKET: dict[str, Any] = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA", "BBB"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-12-06", "prefetch_days": 7},
    "trading_config": {"min_quality": 50},
    "execution": {"sizing": {"type": "equity_fraction", "value": 0.4}, "commission": {"preset": "ibkr_fixed"}, "slippage": {"bps": 1}},
}
TWO = [{"name": "cross", "use": "sma_crossover"}, {"name": "back", "use": "rsi_reversion", "symbols": ["BBB"]}]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "settings of a strategy": ({FAST: [3, 8], SLOW: [20, 45]}, {}),
    "its interval": ({"strategies.0.params.interval": ["1m", "5m"]}, {}),
    "stops, targets and costs": (
        {"execution.stop_loss": [None, 0.002], "execution.take_profit": [None, 0.004], "execution.commission": [{}, {"bps": 3}]},
        {"execution.intrabar": "optimistic"},
    ),
    "limits and thresholds": ({"trading_config.min_quality": [50, 99.5], "trading_config.max_open_positions": [1, None]}, {}),
    "short positions, days ended flat": (
        {"execution.borrow_bps": [0, 500], "execution.flat_at_close": [False, True]},
        {"strategies": strategy("opening_range_breakout"), "account.allow_short": True},
    ),
    "two strategies in one account": ({"strategies.1.params.period": [9, 14], FAST: [4, 6]}, {"strategies": TWO}),
    "capital of their own, margin calls": (
        {"account.maintenance": [0.25, 1.0], FAST: [4, 6]},
        {
            "strategies": TWO,
            "account": {"cash": 1e5, "leverage": 4, "margin_call": "liquidate", "capital": {"cross": 7e4, "back": 3e4}},
            "execution": {"sizing": {"type": "equity_fraction", "value": 1.5}, "slippage": {"bps": 1}},
        },
    ),
    "symbols": ({"session_data_config.symbols": [["AAA"], ["AAA", "BBB"]]}, {}),
}


def block_of(lake: Path, parameters: dict[str, Any], changes: dict[str, Any], threads: int = 1) -> tuple[Space, Block]:
    space = space_of(parameters)
    base = Base(read(config(lake, MARKET | changes)), Path.cwd())
    return space, run_block(base, space, list(numbered(space, space.grid())), threads)


def test_a_config_of_a_case_changes_nothing_that_others_begin_with(simulated: Path) -> None:
    before = json.dumps(MARKET)
    config(simulated, MARKET | {FAST: 3, "execution.slippage.bps": 9, "trading_config.min_quality": 1})
    assert json.dumps(MARKET) == before


@pytest.mark.parametrize("case", CASES)
def test_every_figure_of_a_trial_is_that_of_a_run_of_its_own(case: str, simulated: Path, tmp_path: Path) -> None:
    parameters, changes = CASES[case]
    space, block = block_of(simulated, parameters, changes)
    traded = 0
    for outcome in block.outcomes:
        assert outcome.error is None
        values = dict(zip((parameter.path for parameter in space.parameters), outcome.trial.values, strict=True))
        alone = bt.run(config(simulated, MARKET | changes | values), out=tmp_path / str(outcome.trial.number))
        assert outcome.figures == {name: alone.metrics[name] for name in FIGURES}
        sessions = alone.table("sessions")
        assert outcome.equity.tolist() == sessions["equity"].to_list()
        assert block.sessions[outcome.trial.number].tolist() == sessions["session"].to_list()
        traded += outcome.figures["trades"]
    assert traded > 0


def test_threads_and_company_never_change_a_trial(simulated: Path) -> None:
    parameters = {FAST: [2, 3, 5], SLOW: [20, 30], "execution.slippage.bps": [0, 2]}
    _, one = block_of(simulated, parameters, {}, threads=1)
    _, many = block_of(simulated, parameters, {}, threads=4)
    _, alone = block_of(simulated, {FAST: [5], SLOW: [30], "execution.slippage.bps": [2]}, {})
    assert [outcome.figures for outcome in one.outcomes] == [outcome.figures for outcome in many.outcomes]
    assert one.outcomes[-1].figures == alone.outcomes[0].figures
    assert np.array_equal(one.outcomes[-1].equity, alone.outcomes[0].equity)


def test_a_trial_that_raises_fails_alone(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picky.py").write_text(
        "from backtester import Bars, Signals, Strategy\n"
        "class Picky(Strategy):\n"
        "    limit: int = 3\n"
        "    def signals(self, bars: Bars) -> Signals:\n"
        "        assert self.limit < 5, 'too much'\n"
        "        return Signals(enter_long=bars.close > self.limit)\n"
    )
    monkeypatch.chdir(tmp_path)
    _, block = block_of(simulated, {"strategies.0.params.limit": [3, 7, 4, 0.5]}, {"strategies": strategy("picky.py:Picky")})
    assert [outcome.error is None for outcome in block.outcomes] == [True, False, True, False]
    assert "too much" in str(block.outcomes[1].error)
    assert "/strategies/0/params/limit" in str(block.outcomes[3].error)


APART = """
import os
from pathlib import Path
from backtester import Signals, Strategy

Path(f"loaded{os.getpid()}").touch()

class Mine(Strategy):
    interval: str = "5m"
    period: int = 3
    does: str = "well"

    @property
    def lookback(self):
        return self.period

    def signals(self, bars):
        if self.does == "ends" and (bars.session == bars.session.max()).any():
            os._exit(3)
        while self.does == "loops":
            pass
        average = bars.indicator("sma", period=self.period)
        return Signals(enter_long=bars.close > average, exit_long=bars.close < average)
"""


def test_trials_whose_strategy_has_a_process_of_its_own_give_the_same_and_fail_alone(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STR-05, STR-06, F-05: nothing of the file runs here; one trial ends its process, one is ended."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(APART, encoding="utf-8")
    parameters = {"strategies.0.params.period": [3, 5], "strategies.0.params.does": ["well", "ends", "loops"]}
    limits = {
        "strategies": strategy("mine.py:Mine"),
        "resources": {"strategy_timeout_seconds": 3},
        "backtest_config.end_date": "2024-11-08",
    }
    _, apart = block_of(simulated, parameters, limits, threads=2)
    assert not (tmp_path / f"loaded{os.getpid()}").exists()
    said = [outcome.error for outcome in apart.outcomes]
    assert (said[0], said[3]) == (None, None)
    for ended, looped in ((said[1], said[2]), (said[4], said[5])):
        assert ended is not None
        assert looped is not None
        assert "got exit status 3; signals must return" in ended
        assert "no answer in 3 s" in looped
    sound = {"strategies.0.params.period": [3, 5]}
    _, together = block_of(simulated, sound, limits | {"resources": {}})
    assert [outcome.figures for outcome in together.outcomes] == [apart.outcomes[place].figures for place in (0, 3)]
    assert [outcome.equity.tolist() for outcome in together.outcomes] == [apart.outcomes[place].equity.tolist() for place in (0, 3)]


def test_nothing_of_a_part_outlives_it_in_a_circle(simulated: Path) -> None:
    """Columns of a part are large: they go with the last that knows them, not when the collector comes by."""
    space = space_of({FAST: [3, 4], SLOW: [20, 30]})
    made, _ = variants(Base(read(config(simulated, MARKET)), Path.cwd()), space, list(numbered(space, space.grid())))
    group = groups(made)[0]
    opened = setup(group.config)
    chunk = next(load.ahead(reader(opened), opened.parts))
    signaller = Signaller(opened, prepare_days(opened, chunk, Past())[0], 0, Common())
    forked = signaller.fork()
    for entries in group.entries:
        forked.asked(entries, None)
    bars = [weakref.ref(cut.bars) for cut in forked._given.cuts.values()]  # type: ignore[union-attr]
    gc.disable()
    try:
        del forked
        assert [ref() for ref in bars] == [None] * len(bars)
    finally:
        gc.enable()
    assert len(bars) == 2


RESTLESS = """
import os
import time
import warnings
from pathlib import Path

from backtester import Signals, Strategy

HERE = Path(__file__).parent


def until(done):
    end = time.monotonic() + 5.0
    while not done() and time.monotonic() < end:
        time.sleep(0.001)


class Restless(Strategy):
    which: int = 0

    @property
    def lookback(self):
        return 1 + (self.which > 0)

    def signals(self, bars):
        mark = lambda name: HERE / f"{name} {bars.session[0, 0]}"
        if self.which == 0:
            os.environ["TZ"] = "Asia/Tokyo"
            time.tzset()
            os.chdir("/")
            warnings.simplefilter("error")
            mark("changed").touch()
            until(mark("second").exists)
        elif self.which == 1:
            until(mark("changed").exists)
        else:
            mark("second").touch()
            until(lambda: os.getcwd() != "/")
        return Signals()
"""


def test_str_21_what_trials_of_two_threads_change_of_the_process_is_put_back(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that begins while another has changed the process, and ends after it, leaves nothing of that behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    before = time.timezone, list(warnings.filters)
    (tmp_path / "restless.py").write_text(RESTLESS, encoding="utf-8")
    days = {"start_date": "2024-11-25", "end_date": "2024-11-26", "prefetch_days": 1}
    changes = {"strategies": strategy("restless.py:Restless"), "backtest_config": days}
    try:
        _, block = block_of(simulated, {"strategies.0.params.which": [0, 1, 2]}, changes, threads=2)
        assert [outcome.error for outcome in block.outcomes] == [None, None, None]
        assert sorted(path.name.split()[0] for path in tmp_path.glob("* *")) == ["changed"] * 2 + ["second"] * 2
        assert Path.cwd() == tmp_path
        assert (time.timezone, list(warnings.filters)) == before
    finally:
        monkeypatch.undo()
        time.tzset()
