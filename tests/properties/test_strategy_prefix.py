"""No strategy knows the future, nor what stands beside it: the same signals from less data, other data later, other batches.

Every built-in strategy, and one of two intervals, over random markets with gaps, thin symbols, early closes, a break and splits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.columns import OHLCV, Sessions
from backtester.market.grid import Grid
from backtester.market.resample import DerivedSettings
from backtester.signals import batch
from backtester.signals.bars import Bars
from backtester.signals.batch import Batch, View
from backtester.signals.strategies.buy_and_hold import BuyAndHold
from backtester.signals.strategies.cross_sectional_momentum import CrossSectionalMomentum
from backtester.signals.strategies.opening_range_breakout import OpeningRangeBreakout
from backtester.signals.strategies.rsi_reversion import RsiReversion
from backtester.signals.strategies.sma_crossover import SmaCrossover
from backtester.signals.strategies.vwap_reversion import VwapReversion
from backtester.signals.strategy import LIMITS, Signals, Strategy, checked, declared
from backtester.splits import Splits
from tests.market.days import sessions
from tests.signals.views import grid_of, market, splits_on, tape_as, view_of

MOST_CUTS = 200
VALUES = (2.0, 0.1, 7.0, 1.5)
FEW = settings.default.max_examples // 8  # each example is a market cut some hundred times
HOLED, EXACT = DerivedSettings(min_completeness=1e-9), DerivedSettings()


class Trend(Strategy):
    """Buys minutes above their average while the coarse bars rise."""

    period: int = 3

    @property
    def inputs(self) -> dict[str, str]:
        return {"bars": "1m", "trend": "4m"}

    @property
    def lookback(self) -> dict[str, int]:
        return {"bars": self.period, "trend": self.period}

    def signals(self, bars: Bars) -> Signals:
        trend = bars.input("trend")
        rising = trend.onto(bars, trend.close >= trend.indicator("sma", period=self.period))
        average = bars.indicator("sma", period=self.period)
        low = trend.onto(bars).low
        return Signals(enter_long=rising & (bars.close > average), exit_long=bars.close < average, stop_price=low)


class Slots(Strategy):
    """Follows a historical indicator of one value a slot, and the quality so far."""

    def signals(self, bars: Bars) -> Signals:
        usual = bars.historical("usual")
        return Signals(enter_long=(bars.close > usual) & (bars.quality > 40), exit_long=bars.close < usual, confidence=bars.quality / 100)


STRATEGIES: list[Strategy] = [
    SmaCrossover(fast=2, slow=4),
    SmaCrossover(interval="2m", fast=1, slow=3),
    RsiReversion(interval="1m", period=2),
    RsiReversion(interval="3m", period=2, low=45.0, high=55.0),
    OpeningRangeBreakout(minutes=4.0),
    OpeningRangeBreakout(interval="3m", minutes=6.0),
    VwapReversion(distance=0.05, settle_minutes=2.0),
    CrossSectionalMomentum(interval="1m", period=2, rebalance=3, top=1),
    CrossSectionalMomentum(interval="2m", period=3, rebalance=2, top=2),
    BuyAndHold(),
    Trend(),
    Slots(),
]
NAMES = [f"{strategy.__class__.__name__}-{next(iter(strategy.inputs.values()))}" for strategy in STRATEGIES]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=NAMES)

Event = tuple[Any, ...]
Pick = Callable[[View], View]


def everything(view: View) -> View:
    return view


@dataclass(frozen=True)
class Case:
    """A market, the session with which the chunk begins, how derived bars are made, and what splits on which days."""

    grid: Grid
    first: int
    completeness: DerivedSettings
    splits: Splits


def call(strategy: Strategy, case: Case, symbols: Sequence[int], pick: Pick = everything) -> list[Event]:
    """Signals of one call as (slot of the run, symbol, action, price, quality, numbers), in order."""
    grid, said = case.grid, declared(strategy, "s")
    usual = np.random.default_rng(5).integers(10, 50, (len(grid.clock.sessions), len(grid.symbols), 12)).astype(float)
    cut: list[Batch] = []
    for name, interval in said.inputs.items():
        view = pick(replace(view_of(tape_as(grid, interval, case.completeness), case.first, 9), splits=case.splits))
        chosen, lookback = np.array(symbols), said.lookback[name]
        # A session's own history is known, whatever part of the sessions a call gets.
        own = {"usual": usual[view.first : len(view.live.sessions)]}
        if strategy.layout == "clock":
            cut.append(batch.clock(view, chosen, lookback, own))
        else:
            cut.append(batch.rows(view, chosen, lookback, own, cut[0] if cut else None))
    named = {name: made.bars for name, made in zip(said.inputs, cut, strict=True)}
    for made in cut:
        made.bars.bound(named, {}, made.bars.historical_columns)
    main = cut[0]
    found = main.found(checked(strategy.signals(main.bars), main.bars, "s"))
    slot = grid.clock.offset[main.view.first + found.session] + found.base_slot
    numbers = [found.numbers[name].tolist() if name in found.numbers else [None] * len(slot) for name in LIMITS]
    columns = (slot.tolist(), found.symbol.tolist(), found.action.tolist(), found.price.tolist(), found.quality.tolist(), *numbers)
    # Bits, not values: NaN equals NaN, and -0.0 is not 0.0.
    return sorted(tuple(value.hex() if isinstance(value, float) else value for value in row) for row in zip(*columns, strict=True))


def until(events: list[Event], slot: int) -> list[Event]:
    return [event for event in events if event[0] <= slot]


def with_future(grid: Grid, slot: int, later: Grid | None) -> Grid:
    """The grid up to a slot, and from there on nothing, or the bars of another grid."""
    keep = np.arange(len(grid.clock.ts)) <= slot
    columns = {name: np.where(keep, getattr(grid, name), np.nan if later is None else getattr(later, name)) for name in OHLCV}
    return grid_of(grid.clock.sessions, columns)


def without_later_sessions(case: Case, slot: int) -> Case:
    """Truly cut: the sessions after the slot's own, and the splits on their mornings, are not there at all."""
    grid, count = case.grid, int(case.grid.clock.session[slot]) + 1
    width = int(grid.clock.offset[count])
    short = grid_of(grid.clock.sessions[:count], {name: getattr(grid, name)[:, :width] for name in OHLCV})
    return replace(case, grid=short, splits=known_by(case, slot))


def known_by(case: Case, slot: int) -> Splits:
    """The splits that are known in the slot's session."""
    clock = case.grid.clock
    known = case.splits.day <= clock.sessions.label[clock.session[slot]]
    return Splits(case.splits.day[known], case.splits.symbol[known], case.splits.value[known])


def with_later_splits(case: Case, slot: int, random: np.random.Generator) -> Splits:
    """The splits that are known in the slot's session, and others of every symbol on all mornings after it."""
    known, labels = known_by(case, slot), case.grid.clock.sessions.label
    later = labels[int(case.grid.clock.session[slot]) + 1 :].repeat(3)
    day, symbol = np.append(known.day, later), np.append(known.symbol, np.arange(len(later)) % 3)
    return Splits(day, symbol, np.append(known.value, random.choice(VALUES, len(later))))


def cuts(events: list[Event], slots: int, random: np.random.Generator) -> list[int]:
    """Where to cut: at every signal, just before it, and at random."""
    at = sorted({event[0] for event in events})
    near = sorted({slot for found in at for slot in (found, found - 1) if slot >= 0})
    if len(near) > MOST_CUTS:
        near = sorted(random.choice(near, MOST_CUTS, replace=False).tolist())
    return [*near, *random.integers(0, slots, 8).tolist()]


@st.composite
def markets(draw: st.DrawFn) -> tuple[Case, np.random.Generator]:
    """Three symbols over four days of which the last may close early, some with a break; the chunk begins on the second or third.

    Up to three splits, on the mornings of any days.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    days: Sessions = sessions([10, 12, draw(st.sampled_from([6, 12])), 12], lunch=draw(st.sampled_from([None, (3, 5)])), opens_at=570)
    grid = market(days, 3, draw(st.sampled_from([0.0, 0.05, 0.4, 0.9])), random)
    split = st.tuples(st.integers(1, 3), st.integers(0, 2), st.sampled_from(VALUES))
    splits = splits_on(days, *draw(st.lists(split, max_size=3)))
    return Case(grid, draw(st.integers(1, 2)), draw(st.sampled_from([HOLED, EXACT])), splits), random


@every_strategy
@settings(max_examples=FEW)
@given(drawn=markets())
def test_signals_of_a_prefix_are_the_first_signals_of_the_whole(strategy: Strategy, drawn: Any) -> None:
    """I-06, R11: cut at every change of a signal and at random; to the last bit."""
    case, random = drawn
    events = call(strategy, case, (0, 1, 2))
    for slot in cuts(events, len(case.grid.clock.ts), random):
        cut = replace(case, grid=with_future(case.grid, slot, None), splits=known_by(case, slot))
        assert until(call(strategy, cut, (0, 1, 2)), slot) == until(events, slot)
        if case.grid.clock.session[slot] >= case.first:
            assert until(call(strategy, without_later_sessions(cut, slot), (0, 1, 2)), slot) == until(events, slot)


@every_strategy
@settings(max_examples=FEW)
@given(drawn=markets())
def test_signals_do_not_change_with_what_happens_later(strategy: Strategy, drawn: Any) -> None:
    """I-07, R11: other bars, other gaps and other splits, after every change of a signal."""
    case, random = drawn
    events = call(strategy, case, (0, 1, 2))
    for slot in cuts(events, len(case.grid.clock.ts), random):
        later = market(case.grid.clock.sessions, 3, float(random.choice([0.0, 0.5])), random)
        changed = replace(case, grid=with_future(case.grid, slot, later), splits=with_later_splits(case, slot, random))
        assert until(call(strategy, changed, (0, 1, 2)), slot) == until(events, slot)


@every_strategy
@settings(max_examples=FEW)
@given(drawn=markets())
def test_signals_do_not_depend_on_the_batch(strategy: Strategy, drawn: Any) -> None:
    """SPEC 10: one session at a time, other chunks, one symbol at a time, rows reversed; the same signals to the last bit."""
    case, _ = drawn
    first, everyone = case.first, (0, 1, 2)
    events = call(strategy, case, everyone)
    count = len(case.grid.clock.sessions) - first
    alone = [call(strategy, case, everyone, lambda view, at=session: batch.one_session(view, at)) for session in range(count)]
    assert sorted(chain.from_iterable(alone)) == events

    def second_part(view: View) -> View:
        return replace(view, first=view.first + 1, back=view.back[1:])

    begin = int(case.grid.clock.offset[first + 1])
    assert call(strategy, case, everyone, second_part) == [event for event in events if event[0] >= begin]
    if strategy.layout == "bars":
        assert call(strategy, case, everyone[::-1]) == events
        single = [call(strategy, case, (line,)) for line in everyone]
        assert sorted(chain.from_iterable(single)) == events


@settings(max_examples=FEW)
@given(drawn=markets())
def test_symbols_that_are_compared_may_be_named_in_any_order(drawn: Any) -> None:
    """I-13: the clock layout has symbols by name; what else the chunk holds changes nothing."""
    case, random = drawn
    grid, strategy = case.grid, CrossSectionalMomentum(interval="1m", period=2, rebalance=1, top=1)
    two = call(strategy, case, (0, 2))
    columns = {name: getattr(grid, name).copy() for name in OHLCV}
    for name, values in columns.items():
        values[1] = getattr(market(grid.clock.sessions, 3, 0.2, np.random.default_rng(int(random.integers(9)))), name)[1]
    assert call(strategy, replace(case, grid=grid_of(grid.clock.sessions, columns)), (0, 2)) == two


class Leaky(Strategy):
    """Looks at a later bar."""

    ahead: int = 1

    def signals(self, bars: Bars) -> Signals:
        later = np.full(bars.shape, np.nan)
        later[..., : -self.ahead] = bars.close[..., self.ahead :]
        return Signals(enter_long=later > bars.close)


class Peak(Strategy):
    """Knows the highest close of the whole session."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=bars.close == np.nanmax(bars.close, axis=-1, keepdims=True, initial=-1.0))


class Crowd(Strategy):
    """Compares a row with all rows of the batch."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=bars.close > (np.nanmean(bars.close) if bars.shape[0] else 0.0))


every_proof = pytest.mark.parametrize(
    "proof", [test_signals_of_a_prefix_are_the_first_signals_of_the_whole, test_signals_do_not_change_with_what_happens_later]
)


@pytest.mark.parametrize("strategy", [Leaky(), Leaky(ahead=3), Peak()], ids=["next", "third", "peak"])
@every_proof
def test_these_tests_find_a_strategy_that_looks_ahead(strategy: Strategy, proof: Any) -> None:
    """STR-14: a proof that cannot fail proves nothing."""
    with pytest.raises(AssertionError):
        proof.hypothesis.inner_test(strategy, plain())


def test_these_tests_find_a_strategy_that_looks_sideways() -> None:
    with pytest.raises(AssertionError):
        test_signals_do_not_depend_on_the_batch.hypothesis.inner_test(Crowd(), plain())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "strategy", [STRATEGIES[0], CrossSectionalMomentum(interval="1m", period=4, rebalance=1, top=1)], ids=["rows", "clock"]
)
@every_proof
def test_these_tests_find_a_split_that_is_known_too_early(strategy: Strategy, proof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session earlier: its averages over two sessions would know."""
    honest = Splits.acting
    monkeypatch.setattr(Splits, "acting", lambda self, labels: [(session - 1, *rest) for session, *rest in honest(self, labels)])
    case, random = plain()
    with pytest.raises(AssertionError):
        proof.hypothesis.inner_test(strategy, (replace(case, splits=splits_on(case.grid.clock.sessions, (2, 0, 7.0))), random))


def plain() -> tuple[Case, np.random.Generator]:
    """A market of three days without splits, for a single try."""
    grid = market(sessions([10, 12, 12]), 3, 0.1, np.random.default_rng(3))
    return Case(grid, 1, HOLED, Splits.none()), np.random.default_rng(4)
