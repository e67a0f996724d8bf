"""Odd returns (none, tiny, huge losses, the same again and again) give figures or None, never NaN, infinity or a warning."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays

from backtester.outcome import overfitting
from backtester.outcome.bootstrap import Resampling, automatic_block, block_lengths
from backtester.outcome.cscv import overfitting as overfit
from backtester.outcome.intervals import intervals
from backtester.outcome.superiority import superiority

ODD = some.sampled_from([0.0, 0.01, -0.01, 0.1, -1.0, 3.0, 1e-9, 1e-160, -1e-170, 1e-300])
RETURNS = arrays.arrays(
    np.float64, some.tuples(some.integers(0, 45), some.integers(0, 4)), elements=ODD, fill=some.sampled_from([0.0, 0.1])
)


def numbers(found: Any) -> list[float]:
    """Every number within a value, however deep."""
    if dataclasses.is_dataclass(found):
        return numbers([getattr(found, field.name) for field in dataclasses.fields(found)])
    if isinstance(found, dict):
        return numbers(list(found.values()))
    if isinstance(found, list | np.ndarray):
        return [number for each in found for number in numbers(each)]
    return [] if found is None else [float(found)]


def of(returns: np.ndarray) -> list[Any]:
    """Every figure of the returns of all trials."""
    tracks = [track for column in returns.T if (track := overfitting.track(column)) is not None]
    found: list[Any] = [*tracks, overfitting.sharpe_variance(returns), overfitting.effective_trials(returns), block_lengths(returns)]
    found += [overfitting.probabilistic_sharpe(track) for track in tracks]
    found += [overfitting.minimum_track_record(track) for track in tracks]
    found += [overfitting.deflated_sharpe(track, 3.0, 0.1) for track in tracks]
    found.append(overfit(returns, 2))
    if len(returns):
        resampling = Resampling(len(returns), automatic_block(returns) or 1.0, draws=5)
        found.append(superiority(returns, None, resampling))
        found += [intervals(column, resampling, 252.0) for column in returns.T]
    return found


@given(RETURNS)
def test_odd_returns_give_finite_figures_or_none(returns: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(math.isfinite(number) for number in numbers(of(returns)))
