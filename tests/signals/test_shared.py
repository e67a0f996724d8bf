"""Indicators that trials share show each of them what it would have computed itself, to the last bit."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

from backtester.signals import indicators, shared
from backtester.signals.bars import Bars
from backtester.signals.shared import Shared

WINDOWED = sorted(name for name, spec in indicators.CATALOG.items() if spec.windowed)


def market(random: np.random.Generator, rows: int, width: int) -> dict[str, np.ndarray]:
    close = np.exp(random.normal(0, random.choice([1e-4, 0.02]), (rows, width)).cumsum(axis=1)) * random.choice([0.07, 31.0, 4e4])
    if random.random() < 0.5:
        close = np.round(close, 2) + 0.01
    if random.random() < 0.3:
        close[random.random(close.shape) < 0.01] = np.nan
    high, low = close * (1.0 + random.random(close.shape) * 0.01), close * (1.0 - random.random(close.shape) * 0.01)
    return {"open": close, "high": high, "low": low, "close": close, "volume": np.round(random.random(close.shape) * 999.0 + 1.0)}


def rows_of(columns: dict[str, np.ndarray], lookback: int, longest: int, thin: np.ndarray) -> Bars:
    """Rows that see `lookback` of the `longest` bars of history, some of them less (`thin`), as the session's first bars have it."""
    cut = {name: values[:, longest - lookback :].copy() for name, values in columns.items()}
    there = np.arange(cut["close"].shape[1]) >= np.maximum(lookback - thin, 0)[:, None]
    for values in cut.values():
        values[~there] = np.nan
    names = np.zeros((len(thin), 1), object)
    return Bars("1m", lookback, cut["close"].shape, lambda name: there.copy() if name == "valid" else cut[name].copy(), names, names)


@pytest.mark.parametrize("kind", WINDOWED)
@pytest.mark.parametrize("seed", range(6))
def test_a_shared_indicator_is_that_of_the_bars_alone(kind: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    longest, count = 90, 60
    columns, thin = market(random, 5, longest + count), random.integers(0, longest + 30, 5)
    made = Shared({("1m", b"x"): longest}, lambda _interval, _symbols, lookback: rows_of(columns, lookback, longest, thin))
    for lookback in (longest, 41, 0, 7):
        for period in random.integers(1, 100, 3).tolist():
            params = {name: period if name == "period" else value for name, value in indicators.CATALOG[kind].params.items()}
            alone, sharing = rows_of(columns, lookback, longest, thin), rows_of(columns, lookback, longest, thin)
            made.share(sharing, "1m", np.frombuffer(b"x", np.int8))
            assert sharing._shared is not None
            for output, values in alone.computed(kind, params).items():
                again = sharing.indicator(f"{kind}.{output}", **params)
                assert np.array_equal(values.view(np.int64)[~np.isnan(values)], again.view(np.int64)[~np.isnan(again)])
                assert np.array_equal(np.isnan(values), np.isnan(again))
                assert not again.flags.writeable


def test_values_far_apart_are_not_shared() -> None:
    columns = market(np.random.default_rng(1), 2, 50)
    columns["close"][0, 20] *= 1e9
    made = Shared({("1m", b"x"): 20}, lambda _interval, _symbols, lookback: rows_of(columns, lookback, 20, np.full(2, 20)))
    bars = rows_of(columns, 5, 20, np.full(2, 20))
    made.share(bars, "1m", np.frombuffer(b"x", np.int8))
    assert bars._shared is not None
    assert bars._shared(bars, "sma", {"period": 3}) is None
    assert bars._shared(bars, "roc", {"period": 3}) is None
    assert bars._shared(bars, "ema", {"period": 3}) is None
    assert bars._shared(bars, "volume_sma", {"period": 3}) is not None


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many trials with as many averages: those that were asked for first are gone."""
    columns, computed = market(np.random.default_rng(1), 2, 50), indicators.compute
    alive: list[weakref.ref[Any]] = []

    def noted(*words: Any) -> dict[str, np.ndarray]:
        found = computed(*words)
        alive.extend(weakref.ref(values if values.base is None else values.base) for values in found.values())
        return found

    monkeypatch.setattr(indicators, "compute", noted)
    monkeypatch.setattr(shared, "KEPT_BYTES", 3 * columns["close"].nbytes)
    made = Shared({("1m", b"x"): 20}, lambda _interval, _symbols, lookback: rows_of(columns, lookback, 20, np.full(2, 20)))
    for period in range(2, 12):
        bars = rows_of(columns, 5, 20, np.full(2, 20))
        made.share(bars, "1m", np.frombuffer(b"x", np.int8))
        bars.indicator("sma", period=period)
    assert len(alive) == 10
    assert sum(values() is not None for values in alive) == 3


def test_smoothing_is_not_windowed() -> None:
    """What remembers all bars of its row is no window's, and none of these is marked so."""
    assert not any(spec.windowed and spec.recursive for spec in indicators.CATALOG.values())
