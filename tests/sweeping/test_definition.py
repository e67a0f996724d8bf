"""What a sweep is, before the first trial is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtester.errors import ConfigError
from backtester.sweeping import definition
from backtester.sweeping.definition import Sweep, sweep_of
from tests.configs import config, strategy


def sweep(lake: Path, count: int, **changes: object) -> Sweep:
    """A grid of count x count x count."""
    parameters = {"strategies.0.params.fast": f"1:{count}:1", "strategies.0.params.slow": f"1:{count}:1", "account.cash": f"1:{count}:1"}
    return sweep_of(config(lake, {"strategies": strategy("sma_crossover"), "sweep": {"parameters": parameters, **changes}}))


@pytest.mark.parametrize("constraints", [[], ["fast <= slow"]])
def test_cfg_30_a_grid_that_is_too_large_is_refused_before_a_trial_is_made(
    simulated: Path, monkeypatch: pytest.MonkeyPatch, constraints: list[str]
) -> None:
    monkeypatch.setattr(definition, "MOST_TRIALS", 1000)
    monkeypatch.setattr(definition, "numbered", lambda *_: pytest.fail("a trial was made"))
    with pytest.raises(ConfigError, match="too many trials") as refused:
        sweep(simulated, 13, constraints=constraints).trials()
    assert "13 x 13 x 13 = 2,197" in refused.value.message()
    assert "1,000" in refused.value.message()


def test_a_grid_of_which_constraints_leave_few_is_taken(simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definition, "MOST_TRIALS", 1000)
    assert len(sweep(simulated, 11, constraints=["fast + 5 <= slow"]).trials()) == 11 * 21
    assert len(sweep(simulated, 13, trials=500).trials()) == 500
