"""The rolling figures: equal to pandas over each window, null before the first is full, the same however long the run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from backtester.outcome import ratios
from backtester.outcome.metrics import Score
from backtester.outcome.rolling import rolling
from backtester.schema import ROLLING, WINDOWS
from tests.outcome.rows import FIRST, sessions

PER_YEAR = 251.3
START = 1000.0


def grown(seed: int, count: int) -> np.ndarray:
    return START * np.cumprod(1.0 + np.random.default_rng(seed).normal(0.0004, 0.012, count))


def columns(equity: np.ndarray) -> dict[str, list[Any]]:
    return rolling(FIRST + np.arange(len(equity)), equity, START, PER_YEAR).to_dict(as_series=False)


@pytest.mark.parametrize("window", WINDOWS)
def test_each_window_equals_that_of_pandas(window: int) -> None:
    pandas = pytest.importorskip("pandas")
    equity = grown(1, 150)
    found, own = columns(equity), pandas.Series(np.concatenate([[START], equity]))
    returns = own.pct_change().dropna()
    mean, spread = returns.rolling(window).mean(), returns.rolling(window).std()
    wanted = {
        "return": (own / own.shift(window) - 1.0)[1:],
        "volatility": spread * math.sqrt(PER_YEAR),
        "sharpe": mean / spread * math.sqrt(PER_YEAR),
        "drawdown": own.rolling(window + 1).apply(lambda part: (1.0 - part / part.cummax()).max())[1:],
    }
    for name, values in wanted.items():
        own_way = [math.nan if value is None else value for value in found[f"{name}_{window}"]]
        assert own_way == pytest.approx(list(values), rel=1e-9, abs=1e-12, nan_ok=True)


def test_a_window_is_empty_until_it_is_full() -> None:
    found = columns(grown(2, 25))
    assert [value is None for value in found["return_20"]] == [True] * 19 + [False] * 6
    assert set(found["return_60"] + found["sharpe_60"]) == {None}
    assert set(found) == set(ROLLING.names)


def test_the_last_window_is_measured_as_a_run_of_that_length() -> None:
    equity = grown(3, 80)
    found, before = columns(equity), float(equity[59])
    part = equity[60:]
    returns = ratios.returns(part, before)
    assert returns is not None
    assert found["volatility_20"][-1] == pytest.approx(ratios.volatility(returns, PER_YEAR), rel=1e-12)
    assert found["sharpe_20"][-1] == pytest.approx(ratios.sharpe(returns, PER_YEAR), rel=1e-9)
    assert found["drawdown_20"][-1] == pytest.approx(ratios.drawdown(part, before)[0], rel=1e-12)


def test_equity_that_stands_still_has_no_sharpe_ratio() -> None:
    found = columns(np.full(30, START))
    assert (found["return_20"][-1], found["volatility_20"][-1], found["sharpe_20"][-1], found["drawdown_20"][-1]) == (0.0, 0.0, None, 0.0)


def test_a_window_in_which_nothing_was_left_is_empty() -> None:
    found = columns(np.array([*[START] * 5, 0.0, *[START] * 40]))
    assert found["return_20"][19:26] == [None] * 7  # session 5 ended at 0; from session 26 on it lies before the window
    assert found["return_20"][26:] == [0.0] * 20


def test_a_loss_of_everything_on_the_last_day_is_a_return() -> None:
    found = columns(np.array([*[START] * 29, 0.0]))
    assert (found["return_20"][-1], found["drawdown_20"][-1]) == (-1.0, 1.0)


@pytest.mark.parametrize("step", [1, 7, 100])
def test_pieces_do_not_matter(step: int) -> None:
    """I-15: to the last bit."""
    rows, score = sessions(*grown(4, 90), start=START), Score(START, PER_YEAR)
    for start in range(0, rows.height, step):
        score.add({"sessions": rows.slice(start, step)})
    assert score.rolling().equals(rolling(rows["session"].to_numpy(), rows["equity"].to_numpy(), START, PER_YEAR))


def test_a_run_without_sessions_has_no_rows() -> None:
    assert Score(START, PER_YEAR).rolling().height == 0
