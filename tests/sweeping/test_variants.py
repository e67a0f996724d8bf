"""The configs of trials, and which of them share what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backtester.config_document import read
from backtester.errors import ConfigError
from backtester.sweeping.space import space_of
from backtester.sweeping.variants import Base, Group, groups, key_of, numbered, variants
from tests.configs import config, strategy

MARKET: dict[str, Any] = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-15"},
}
SLOW, FAST = "strategies.0.params.slow", "strategies.0.params.fast"


def grouped(lake: Path, parameters: dict[str, Any]) -> list[Group]:
    space = space_of(parameters)
    made, refused = variants(Base(read(config(lake, MARKET)), Path.cwd()), space, numbered(space, space.grid()))
    assert not refused
    return groups(made)


def test_trials_that_differ_in_a_strategy_are_one_group_that_calls_each_variant_once(simulated: Path) -> None:
    (group,) = grouped(simulated, {FAST: [2, 3], SLOW: [20], "account.cash": [50_000, 100_000]})
    assert [entry.params["fast"] for entry in group.config.strategies] == [2, 3]
    assert group.entries == ((0,), (0,), (1,), (1,))
    assert [variant.config.account.cash for variant in group.variants] == [50_000, 100_000, 50_000, 100_000]


def test_trials_of_other_intervals_share_what_is_read_where_the_base_is_the_same(simulated: Path) -> None:
    (group,) = grouped(simulated, {"strategies.0.params.interval": ["1m", "5m", "15m"]})
    assert [entry.params["interval"] for entry in group.config.strategies] == ["1m", "5m", "15m"]


def test_trials_of_other_symbols_or_days_are_groups_of_their_own(simulated: Path) -> None:
    found = grouped(simulated, {"session_data_config.symbols": [["AAA"], ["BBB"]], FAST: [2, 3]})
    assert [group.config.session_data_config.symbols for group in found] == [("AAA",), ("BBB",)]
    assert [len(group.variants) for group in found] == [2, 2]


def test_a_trial_whose_values_no_config_can_have_is_told_apart(simulated: Path) -> None:
    space = space_of({FAST: [0, 2]})
    made, refused = variants(Base(read(config(simulated, MARKET)), Path.cwd()), space, numbered(space, space.grid()))
    assert [variant.trial.values for variant in made] == [(2,)]
    ((trial, error),) = refused
    assert trial.number == 0
    assert isinstance(error, ConfigError)
    assert "/strategies/0/params/fast" in str(error)


def test_a_key_names_the_values_and_not_the_order_of_the_parameters() -> None:
    one, other = space_of({FAST: [2], SLOW: [20]}), space_of({SLOW: [20], FAST: [2]})
    assert key_of(one, (2, 20)) == key_of(other, (20, 2)) != key_of(one, (20, 2))
    assert len(key_of(one, (2, 20))) == 16


def test_a_path_that_leads_nowhere_is_refused(simulated: Path) -> None:
    base = Base(read(config(simulated, MARKET)), Path.cwd())
    with pytest.raises(ConfigError, match="no such list item"):
        base.config({"strategies.7.params.fast": 2})
