"""A run in chunks, what is refused, and invariants that tie runs to each other."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtester.errors import DataError, InternalError
from backtester.trading.execution import AccountSettings, Carry, Events, ExecutionSettings, trade
from backtester.trading.risk import RiskSettings
from tests.trading.tiny import Bar, Wish, at, buy, events, market, play, sell

ACTIONS = ("enter_long", "enter_long", "exit_long", "enter_short")
SETTINGS: list[dict[str, Any]] = [
    {},
    {"fill": "next_close", "stop_loss": 0.03, "take_profit": 0.03},
    {"fill": "same_close", "flat_at_close": True, "slippage": {"bps": 5.0}},
    {"time_in_force": "day", "commission": {"preset": "ibkr_fixed"}},
    {"flat_at_close": True, "stop_loss": 0.02, "sizing": {"type": "equity_fraction", "value": 0.3}},
]


@st.composite
def bars(draw: st.DrawFn) -> Bar:
    """A hole, or a bar around 100 of whole prices, now and then without volume."""
    low = draw(st.integers(95, 104))
    high = low + draw(st.integers(0, 4))
    opened, closed = draw(st.integers(low, high)), draw(st.integers(low, high))
    bar = (float(opened), float(high), float(low), float(closed), draw(st.sampled_from([0.0, 5.0, 5.0, 5.0, 5.0])))
    return draw(st.sampled_from([None, bar, bar, bar]))


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(SETTINGS), st.lists(st.integers(1, 5), min_size=2, max_size=4))
def test_a_run_in_any_chunks_of_sessions_gives_the_same_bits(data: st.DataObject, chosen: dict[str, Any], lengths: list[int]):
    """I-15: every way to cut the run; tables, and what is carried on."""
    whole = market({symbol: [[data.draw(bars()) for _ in range(n)] for n in lengths] for symbol in "AB"}, strategies=("s", "z"))
    tag = st.sampled_from(["", "x", "y"])
    wish = st.builds(Wish, st.integers(0, sum(lengths) - 1), st.sampled_from(ACTIONS), st.sampled_from("AB"), st.sampled_from("sz"), tag)
    wishes = data.draw(st.lists(wish, max_size=12))
    risk = {"max_per_symbol": 20_000.0, "max_open_positions": 3}
    once = play(whole, wishes, cash=25_000.0, risk=risk, **chosen)
    for count in range(1, len(lengths)):
        for cuts in combinations(range(1, len(lengths)), count):
            parts = play(whole, wishes, cash=25_000.0, cuts=cuts, risk=risk, **chosen)
            for name, frame in once.frames.items():
                assert frame.equals(parts.frames[name]), (name, cuts)
            for part in fields(Carry):
                assert str(getattr(once.carry, part.name)) == str(getattr(parts.carry, part.name)), (part.name, cuts)


def test_zero_signals_leave_the_equity_as_it_was():
    """I-33."""
    run = play(market({"A": [[100.0, 200.0, 50.0]]}), [])
    assert run.column("equity", "equity") == [100_000.0] * 3
    assert [run.frames[name].height for name in ("decisions", "orders", "fills", "trades")] == [0, 0, 0, 0]


def test_buy_and_hold_earns_the_ratio_of_prices_less_costs():
    """I-34: 1,000 shares bought at 100 with all the money, worth 1.25 times as much, less 5 of commission."""
    run = play(market({"A": [[100.0, 100.0, 125.0]]}), [buy(0, size=1000.0)], cash=100_005.0, commission={"per_share": 0.005})
    assert run.column("equity", "equity")[-1] == 125_000.0
    assert run.column("equity", "equity")[-1] == 100_005.0 - 5.0 + 100_000.0 * 0.25


def test_volume_without_a_participation_limit_changes_nothing():
    """I-30."""
    some = market({"A": [[(100.0, 103.0, 97.0, 101.0, 5.0)] * 4]})
    wishes = [buy(0), sell(1), buy(2)]
    one, other = (play(replace(some, volume=some.volume * scale), wishes, stop_loss=0.02) for scale in (1.0, 1e6))
    assert all(frame.equals(other.frames[name]) for name, frame in one.frames.items())


@pytest.mark.parametrize("field", ["per_share", "bps", "minimum"])
def test_a_higher_fee_never_raises_the_final_equity(field: str):
    """I-35."""
    some, wishes = market({"A": [[100.0, 101.0, 102.0, 103.0, 104.0]]}), [buy(0), sell(1), buy(2), sell(3)]
    finals = [play(some, wishes, commission={field: fee}).column("equity", "equity")[-1] for fee in (0.0, 0.5, 1.0, 5.0)]
    assert finals == sorted(finals, reverse=True)
    assert len(set(finals)) == 4


def test_no_fill_is_before_its_decision_nor_on_its_bar():
    """I-08."""
    run = play(market({"A": [[100.0] * 6]}), [buy(0), sell(2), buy(3)])
    made = {row["order_id"]: row["ts"] for row in run.rows("decisions")}
    assert [(made[row["order_id"]], row["ts"]) for row in run.rows("fills")] == [(at(1), at(1)), (at(3), at(3)), (at(4), at(4))]


def test_signals_are_decided_in_one_order_however_they_come():
    both = market({"A": [[1.0, 1.0]], "B": [[1.0, 1.0]]}, strategies=("s", "z"))
    wishes = [buy(0, "B", "z"), sell(0, "A", "z"), buy(0, "A", "s"), buy(0, "A", "z"), sell(0, "B", "s")]
    assert play(both, wishes).frames["decisions"].equals(play(both, wishes[::-1]).frames["decisions"])


def test_sorting_signals_that_are_sorted_hands_back_the_same():
    found = events(market({"A": [[1.0, 1.0]]}), [buy(0), sell(1)])
    assert found.sorted() is found
    assert len(Events.none().sorted()) == 0


def test_what_is_carried_cannot_be_written_to():
    some = market({"A": [[100.0, 100.0, None]]})
    _, carry = trade(
        some, events(some, [buy(0), sell(1)]), Carry.start(10**11, 1, 1), ExecutionSettings(), RiskSettings(), AccountSettings(cash=1.0)
    )
    for values in (carry.pairs, carry.orders, *carry.decisions.values()):
        assert len(values)
        assert not values.flags.writeable


def test_trading_leaves_its_input_as_it_was():
    """I-43, for the market and the carry."""
    some = market({"A": [[100.0, 100.0, 100.0]]})
    before, carry = some.close.copy(), Carry.start(10**11, 1, 1)
    pairs = carry.pairs.copy()
    trade(some, events(some, [buy(0)]), carry, ExecutionSettings(), RiskSettings(), AccountSettings(cash=1.0))
    assert np.array_equal(some.close, before)
    assert np.array_equal(carry.pairs, pairs)


@pytest.mark.parametrize("price", [0.0, -5.0])
def test_a_fill_at_a_price_that_is_not_above_zero_stops_the_run_and_says_where(price: float):
    """DAT-25."""
    with pytest.raises(DataError, match=r"not above zero \(symbol A, strategy s, bar 2025-07-02T13:31:00"):
        play(market({"A": [[100.0, price]]}), [buy(0)])
    with pytest.raises(DataError, match="not above zero"):
        play(market({"A": [[100.0, 100.0]]}), [buy(0, price=price)])


def test_an_amount_larger_than_an_account_stops_the_run_before_it_wraps():
    """100 shares at 1e14 would be 1e22 millionths, more than an int64 holds."""
    with pytest.raises(DataError, match=r"too large to account for \(symbol A, strategy s, bar 2025-07-02T13:32:00"):
        play(market({"A": [[100.0, 100.0, 1e14]]}), [buy(0)])
    with pytest.raises(DataError, match="too large to account for"):
        play(market({"A": [[100.0, 100.0, (1e14, 1e14, 100.0, 100.0)]]}), [buy(0), sell(1)])


def test_sizes_no_account_can_pay_are_refused_not_wrapped():
    for wish in (buy(0, size=1e300), buy(0, size=1e12), buy(0, size=1e18)):
        assert play(market({"A": [[100.0, 100.0]]}), [wish]).reasons() == ["insufficient_cash"]
    assert play(market({"A": [[1.0, 1.0]]}), [buy(0)], sizing={"type": "notional", "value": 1e300}).reasons() == ["insufficient_cash"]


def test_a_size_is_at_most_two_to_the_53_lots():
    huge = {"sizing": {"type": "notional", "value": 1e300}}
    assert play(market({"A": [[1e-9, 1e-9]]}), [buy(0)], lot=1e-9, **huge).column("orders", "quantity") == [2.0**53 * 1e-9]


def test_a_price_that_explodes_after_the_decision_cuts_the_entry():
    """1e300 x 100 is beyond all money: no lot is left."""
    assert play(market({"A": [[100.0, 1e300]]}), [buy(0)]).orders() == [("market", "cancelled", "insufficient_cash")]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"symbols": ("B", "A")}, "symbols are not sorted"),
        ({"symbols": ("A",)}, "symbols or strategies changed"),
        ({"close": np.zeros((2, 5))}, "prices of another shape"),
        ({"end": np.zeros(1, np.int64)}, "slots of different lengths"),
    ],
)
def test_a_market_that_does_not_fit_is_a_defect(change: dict[str, Any], what: str):
    some = replace(market({"A": [[1.0, 1.0]], "B": [[1.0, 1.0]]}), **change)
    with pytest.raises(InternalError, match=what):
        trade(some, Events.none(), Carry.start(1, 1, 2), ExecutionSettings(), RiskSettings(), AccountSettings(cash=1.0))


@pytest.mark.parametrize("change", [{"t": 2}, {"t": -1}, {"symbol": 1}, {"strategy": 1}, {"action": 5}])
def test_a_signal_outside_of_its_chunk_is_a_defect(change: dict[str, int]):
    """STR-23."""
    some = market({"A": [[1.0, 1.0]]})
    good = events(some, [buy(0)])
    bad = replace(good, **{name: np.full_like(getattr(good, name), value) for name, value in change.items()})
    with pytest.raises(InternalError, match="a signal outside of its chunk"):
        trade(some, bad, Carry.start(1, 1, 1), ExecutionSettings(), RiskSettings(), AccountSettings(cash=1.0))


def test_arrays_of_other_kinds_give_the_same():
    """float32 and not contiguous prices are read as the numbers that they are."""
    some, wishes = market({"A": [[100.0, 101.0, 102.0]], "B": [[1.0, 2.0, 3.0]]}), [buy(0), buy(0, "B")]
    odd = replace(some, close=some.close.astype(np.float32), open=np.asfortranarray(some.open), volume=some.volume.astype(np.int64))
    one, other = play(some, wishes), play(odd, wishes)
    assert all(frame.equals(other.frames[name]) for name, frame in one.frames.items())
