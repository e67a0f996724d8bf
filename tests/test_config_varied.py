"""Configs that differ in a few values: each is the one that its whole document gives, or is refused with the same words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backtester.config import Config, of_document
from backtester.config_document import with_values
from backtester.config_varied import Varied
from backtester.errors import BacktesterError
from tests.configs import config, strategy

FAST, USE = "strategies.0.params.fast", "strategies.0.use"
EVERY: list[dict[str, Any]] = [
    {},
    {FAST: 3},
    {FAST: 4},
    {FAST: 4, "account.cash": 50_000},
    {FAST: 0},
    {FAST: 2.5},
    {FAST: True},
    {FAST: 50, "strategies.0.params.slow": 20},
    {"strategies.0.params.fats": 3},
    {"strategies.only.params.fast": 3},
    {"strategies.7.params.fast": 3},
    {"strategies.0.params.fast.more": 3},
    {USE: "sma_crosover"},
    {USE: "nowhere.py:Mine"},
    {USE: "rsi_reversion", "strategies.0.params": {}},
    {"strategies.0.symbols": ["SPY"]},
    {"strategies.0.symbols": ["SYP"]},
    {"strategies": strategy("sma_crossover", fast=7)},
    {"strategies": {}},
    {"strategies": []},
    {"strategies": [3]},
    {"account.cash": -1},
    {"account.cash": "5"},
    {"account": {"cash": 7}},
    {"account.capital": {"only": 100000}},
    {"account.capital": {"other": 100000}},
    {"execution.sizing": {"type": "equity_fraction", "value": 1.5}},
    {"execution.sizing": {"type": "equity_fraction", "value": 1.5}, "account.leverage": 2},
    {"execution.commission": {"preset": "ibkr_fixed"}},
    {"execution.slippage.bps": 2.0},
    {"execution.slipage.bps": 2.0},
    {"trading_config.max_entries": 2},
    {"trading_config.max_buying_power": 0},
    {"session_data_config.symbols": ["SPY", "QQQ"]},
    {"session_data_config.symbols": ["QQQ"], "strategies.0.symbols": ["SPY"]},
    {"session_data_config.lake": "elsewhere"},
    {"backtest_config.start_date": "2013-10-12"},
    {"backtest_config.end_date": "2013-10-10"},
    {"resources.strategy_timeout_seconds": 0},
    {"resources.threads": 2},
    {"session_name": "other"},
    {"keep": ["bars"]},
    {"unknown.section": 1},
]


def outcome(made: Any) -> Any:
    """All that is to be known of a config, or the words with which it is refused."""
    try:
        found: Config = made()
    except BacktesterError as error:
        return type(error), str(error), error.as_json()
    return found, found.digest, found.resolved(), found.warnings, found.root, found.default_out, found.session_data_config.lake


@pytest.mark.parametrize("account", [True, False], ids=["account", "buying power"])
@pytest.mark.parametrize("lake", [None, Path("other")], ids=["own lake", "other lake"])
def test_each_config_is_that_of_its_whole_document(account: bool, lake: Path | None, tmp_path: Path) -> None:
    document = config(Path("lake"), {"strategies": strategy("sma_crossover", slow=20)})
    if not account:
        del document["account"]
        document["trading_config"]["max_buying_power"] = 30_000
    before = json.dumps(document)
    varied = Varied(document, tmp_path, lake)
    for values in EVERY:
        whole = outcome(lambda values=values: of_document(with_values(document, values), tmp_path, lake=lake))
        assert outcome(lambda values=values: varied.config(values)) == whole, values
    assert json.dumps(document) == before


def test_configs_of_a_document_that_only_values_make_right(tmp_path: Path) -> None:
    document = config(Path("lake"), {"strategies": strategy("sma_crossover", fast=0)})
    varied = Varied(document, tmp_path, None)
    assert varied.config({FAST: 5}).strategies[0].params["fast"] == 5


def test_what_no_value_stands_in_is_shared(tmp_path: Path) -> None:
    varied = Varied(config(Path("lake"), {"strategies": strategy("sma_crossover")}), tmp_path, None)
    one, other = varied.config({FAST: 2, "account.cash": 500}), varied.config({FAST: 3, "account.cash": 500})
    assert one.strategies != other.strategies
    assert all(getattr(one, name) is getattr(other, name) for name in ("execution", "account", "session_data_config", "trading_config"))


def test_strategies_in_processes_of_their_own_are_asked_there(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from backtester import Signals, Strategy\n"
        "class Mine(Strategy):\n"
        "    fast: int = 3\n"
        "    def signals(self, bars):\n"
        "        return Signals()\n"
    )
    document = config(Path("lake"), {"strategies": strategy("mine.py:Mine"), "resources.isolate_strategies": True})
    made = Varied(document, tmp_path, None).config({FAST: 4})
    assert made.strategies[0].params == {"fast": 4}
    assert len(made._known) == 1
