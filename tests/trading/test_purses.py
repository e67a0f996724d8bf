"""Capital per strategy: each trades with a purse of its own, limits and rows are of the whole account. 100 shares unless said."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from backtester.errors import InternalError
from backtester.trading.adjustments import Act, adjusted
from backtester.trading.execution import Carry, ExecutionSettings
from tests.trading.tiny import Market, Played, Wish, buy, cover, market, play, sell, short, weigh

SHARES = {"capital": {"r": 6_000.0, "s": 4_000.0}}


def played(bars: list[list[Any]], *wishes: Wish, account: dict[str, Any] | None = None, **settings: Any) -> Played:
    """A run of two strategies with 6,000 and 4,000 of 10,000, over one symbol."""
    return play(two(bars), wishes, cash=10_000.0, account=SHARES | (account or {}), **settings)


def two(bars: list[list[Any]]) -> Market:
    return market({"A": bars}, strategies=("r", "s"))


def test_one_strategy_cannot_spend_the_cash_of_the_other():
    """At 100 a share r carries 60 and s 40; without capital either could have had all 100."""
    flat = [[100.0] * 4]
    assert played(flat, buy(0, strategy="r", size=60.0), buy(0, strategy="s", size=40.0)).reasons() == ["approved"] * 2
    for name, most in (("r", 60.0), ("s", 40.0)):
        assert played(flat, buy(0, strategy=name, size=most + 1.0)).reasons() == ["insufficient_cash"]
        assert play(two(flat), [buy(0, strategy=name, size=100.0)], cash=10_000.0).reasons() == ["approved"]


def test_what_the_other_holds_and_waits_for_takes_no_cash():
    """r waits for 60 shares, then holds them; s has its 4,000 all the while, and r none left."""
    wishes = [
        buy(0, strategy="r", size=60.0),
        buy(0, strategy="s", size=30.0),
        buy(2, strategy="r", size=1.0),
        buy(2, strategy="s", size=10.0),
    ]
    run = played([[100.0] * 5], *wishes, risk={"max_entries": 2})
    assert run.reasons() == ["approved", "approved", "insufficient_cash", "approved"]


def test_an_entry_is_cut_to_what_its_own_purse_carries_at_the_fill():
    """4,000 pay for 36 shares at 110 (3,960), 6,000 for 54 (5,940): 100 of cash are left in all."""
    run = played([[100.0, 110.0]], buy(0, strategy="r", size=60.0), buy(0, strategy="s", size=40.0))
    assert [row[3] for row in run.fills()] == [54.0, 36.0]
    assert run.orders() == [("market", "partial", "insufficient_cash")] * 2
    assert run.column("equity", "cash") == [10_000.0, 100.0]
    assert run.carry.purses == (60_000_000, 40_000_000)


@pytest.mark.parametrize(
    ("sizing", "sizes"),
    [
        ({"type": "equity_fraction", "value": 0.5}, [30.0, 20.0]),
        ({"type": "risk_fraction", "value": 0.02}, [12.0, 8.0]),
    ],
)
def test_sizes_are_parts_of_the_purse(sizing: dict[str, Any], sizes: list[float]):
    """Half of 6,000 and of 4,000 at 100; 2 % of them (120 and 80) over a stop 10 away."""
    run = played([[100.0] * 3], buy(0, strategy="r"), buy(0, strategy="s"), sizing=sizing, stop_loss=0.1)
    assert [row[3] for row in run.fills()] == sizes


def test_weights_are_parts_of_the_purse():
    run = played([[100.0] * 3], weigh(0, 0.5, strategy="r"), weigh(0, 1.0, strategy="s"))
    assert [row[3] for row in run.fills()] == [30.0, 40.0]


def test_what_a_strategy_has_won_is_its_own():
    """r buys 50 at 100 and sells at 120: 7,000 in its purse, 58 shares at 120; s still has 4,000: 33 of them."""
    sizing = {"type": "equity_fraction", "value": 1.0}
    wishes = [buy(0, strategy="r", size=50.0), sell(1, strategy="r"), buy(2, strategy="r"), buy(2, strategy="s")]
    run = played([[100.0, 100.0, 120.0, 120.0]], *wishes, sizing=sizing)
    assert [row[3] for row in run.fills()] == [50.0, 50.0, 58.0, 33.0]
    assert run.carry.purses == (40_000_000, 40_000_000)


def test_opposite_positions_of_two_strategies_are_not_netted():
    """Long 20 and short 20 at 100: gross counts both, net is 0, each pays its own way out at 90."""
    wishes = [buy(0, strategy="r", size=20.0), short(0, strategy="s", size=20.0), sell(2, strategy="r"), cover(2, strategy="s")]
    run = played([[100.0, 100.0, 100.0, 90.0]], *wishes, account={"allow_short": True})
    assert [(row["gross"], row["net"], row["equity"]) for row in run.rows("equity")][1] == (4_000.0, 0.0, 10_000.0)
    assert run.column("trades", "pnl") == [-200.0, 200.0]
    assert run.carry.purses == (5_800_000_000, 4_200_000_000)


def test_limits_of_trading_config_are_of_all_purses():
    """3,000 in A by r leave 1,000 of 4,000 a symbol to s, though its purse has 4,000."""
    wishes = [buy(0, strategy="r", size=30.0), buy(0, strategy="s", size=11.0)]
    for limit, reason in (("max_per_symbol", "max_per_symbol"), ("max_buying_power", "max_buying_power")):
        assert played([[100.0] * 3], *wishes, risk={limit: 4_000.0}).reasons() == ["approved", reason]
    assert played([[100.0] * 3], *wishes, risk={"max_open_positions": 1}).reasons() == ["approved", "max_open_positions"]


def test_borrow_is_paid_from_the_purse_that_is_short():
    """20 short at 100 for a night at 3,600 bps: 2,000 x 0.36 / 360 = 2."""
    run = played([[100.0, 100.0], [100.0]], short(0, strategy="s", size=20.0), account={"allow_short": True}, borrow_bps=3600.0)
    assert run.carry.purses == (6_000_000_000, 5_998_000_000)


def test_purses_pass_from_chunk_to_chunk():
    """The same run whole and cut at each session: the same rows, the same purses."""
    bars = [[100.0, 104.0, 101.0], [99.0, 98.0], [103.0, 105.0]]
    wishes = [buy(0, strategy="r"), short(1, strategy="s"), sell(3, strategy="r"), buy(4, strategy="r"), cover(5, strategy="s")]
    more: dict[str, Any] = {
        "account": SHARES | {"allow_short": True},
        "sizing": {"type": "equity_fraction", "value": 0.9},
        "borrow_bps": 50.0,
    }
    whole, cut = (play(two(bars), wishes, cash=10_000.0, cuts=cuts, **more) for cuts in ((), (1, 2)))
    assert whole.carry.purses == cut.carry.purses
    assert len(whole.rows("fills")) == 5
    for name, frame in whole.frames.items():
        assert isinstance(frame, pl.DataFrame)
        assert frame.equals(cut.frames[name]), name


def test_a_purse_of_all_the_cash_is_the_account():
    """One strategy whose capital is the account's cash trades as without."""
    bars, wishes = market({"A": [[100.0, 110.0, 90.0, 95.0]]}), [buy(0), sell(1), short(2)]
    settings: dict[str, Any] = {"cash": 9_000.0, "sizing": {"type": "equity_fraction", "value": 0.95}}
    alone = play(bars, wishes, account={"allow_short": True}, **settings)
    own = play(bars, wishes, account={"allow_short": True, "capital": {"s": 9_000.0}}, **settings)
    assert all(frame.equals(own.frames[name]) for name, frame in alone.frames.items())


def test_dividends_are_of_the_purse_that_holds():
    """0.5 a share on 30 long of r and 10 short of s: 15 for the one, 5 from the other."""
    wishes = [buy(0, strategy="r", size=30.0), short(0, strategy="s", size=10.0)]
    before = played([[100.0] * 3], *wishes, account={"allow_short": True}).carry
    after = adjusted(before, Act(0, 0, "dividend", 0.5), ExecutionSettings())
    assert before.purses == (3_000_000_000, 5_000_000_000)
    assert after.purses == (3_015_000_000, 4_995_000_000)
    assert after.cash == sum(after.purses)


def test_purses_that_are_not_the_cash_are_a_defect():
    with pytest.raises(InternalError, match="purses"):
        Carry.start(10, 2, 1, (4, 5))
    with pytest.raises(InternalError, match="purses"):
        Carry.start(10, 3, 1, (4, 6))
