"""Short positions: the mirror of long ones, reversal, borrow. 100 shares at 100 unless said; 100,000 in cash."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.tiny import Bar, Played, Wish, at, buy, cover, market, play, sell, short

SHORT = {"allow_short": True}


def held(*bars: Bar, wishes: tuple[Wish, ...] = (), **settings: Any) -> Played:
    """A short position entered at the open of slot 1, then the bars."""
    return play(market({"A": [[100.0, *bars]]}), [short(0), *wishes], account=SHORT, **settings)


def covered(run: Played) -> list[tuple[str, float]]:
    """(type, price) of the purchases."""
    return [(kind, price) for _, side, kind, _, price in run.fills() if side == "buy"]


def test_a_short_sells_first_and_gains_as_the_price_falls():
    """100 x 100 = 10,000 received, 100 x 90 = 9,000 paid: 1,000 more, a tenth of the entry's value."""
    run = held(100.0, 90.0, wishes=(cover(1),))
    assert run.fills() == [(1, "sell", "market", 100.0, 100.0), (2, "buy", "market", 100.0, 90.0)]
    (trade,) = run.rows("trades")
    assert (trade["direction"], trade["pnl"], trade["return"], trade["exit_reason"]) == ("short", 1000.0, 0.1, "signal")
    assert run.column("equity", "cash") == [100_000.0, 110_000.0, 101_000.0]


def test_the_account_holds_the_negative_value_of_a_short():
    """Cash 110,000 and a debt of 100 x 105: equity 99,500."""
    run = play(market({"A": [[100.0, (100.0, 105.0, 100.0, 105.0)]]}), [short(0)], account=SHORT)
    (row,) = run.rows("equity")[1:]
    assert (row["cash"], row["equity"], row["gross"], row["net"]) == (110_000.0, 99_500.0, 10_500.0, -10_500.0)
    assert run.rows("trades")[0]["pnl"] == -500.0


def test_costs_go_against_a_short_on_both_sides():
    """Sold at 100 x 0.999 = 99.9, bought at 100 x 1.001 = 100.1: 9,990 - 10,010 and two fees of 1."""
    run = held(100.0, 100.0, wishes=(cover(1),), slippage={"bps": 10.0}, commission={"minimum": 1.0})
    assert [price for *_, price in run.fills()] == [pytest.approx(99.9), pytest.approx(100.1)]
    assert run.column("trades", "pnl") == [-22.0]
    assert run.column("trades", "fees") == [2.0]
    assert run.column("fills", "slippage") == [10.0, 10.0]


def test_quotes_sell_at_the_bid_and_cover_at_the_ask():
    quotes = [[(99.0, 99.0, 101.0, 101.0)] * 3]
    run = play(market({"A": [[100.0] * 3]}, quotes={"A": quotes}), [short(0), cover(1)], account=SHORT, price="quote")
    assert run.column("fills", "price") == [99.0, 101.0]


@pytest.mark.parametrize(
    ("bar", "settings", "wanted"),
    [
        ((101.0, 105.0, 101.0, 104.0), {"stop_loss": 0.05}, [("stop", 105.0)]),
        ((107.0, 108.0, 101.0, 102.0), {"stop_loss": 0.05}, [("stop", 107.0)]),
        ((101.0, 104.9, 101.0, 104.0), {"stop_loss": 0.05}, []),
        ((100.0, 100.0, 74.0, 76.0), {"take_profit": 0.25}, [("target", 75.0)]),
        ((100.0, 100.0, 75.0, 76.0), {"take_profit": 0.25}, []),
        ((100.0, 100.0, 75.0, 76.0), {"take_profit": 0.25, "limit_fill": "touch"}, [("target", 75.0)]),
        ((70.0, 71.0, 60.0, 65.0), {"take_profit": 0.25}, [("target", 70.0)]),
        ((75.0, 75.0, 75.0, 75.0), {"take_profit": 0.25}, [("target", 75.0)]),
        ((100.0, 130.0, 70.0, 100.0), {"take_profit": 0.25, "stop_loss": 0.25}, [("stop", 125.0)]),
        ((100.0, 130.0, 70.0, 100.0), {"take_profit": 0.25, "stop_loss": 0.25, "intrabar": "optimistic"}, [("target", 75.0)]),
    ],
)
def test_stops_lie_above_a_short_and_targets_below(bar: Bar, settings: dict[str, Any], wanted: list[tuple[str, float]]):
    assert covered(held(100.0, bar, **settings)) == wanted


def test_a_target_on_the_bar_of_the_entry_itself():
    """Entered at an open of 75, its target: only a lower price fills it, unless a touch is enough."""
    bars = {"A": [[100.0, 75.0]]}
    assert covered(play(market(bars), [short(0, target_price=75.0)], account=SHORT)) == []
    assert covered(play(market(bars), [short(0, target_price=75.0)], account=SHORT, limit_fill="touch")) == [("target", 75.0)]
    assert covered(play(market(bars), [short(0, target_price=80.0)], account=SHORT)) == [("target", 75.0)]
    assert covered(play(market(bars), [short(0, stop_price=75.0)], account=SHORT)) == [("stop", 75.0)]


def test_mae_and_mfe_of_a_short_are_turned_round():
    """Seen between entry and exit: 80 to 125 against 100; as a long -0.2 and 0.25."""
    run = held(100.0, (100.0, 125.0, 80.0, 100.0), 100.0, wishes=(cover(2),))
    (trade,) = run.rows("trades")
    assert (trade["mae"], trade["mfe"]) == (-0.25, pytest.approx(0.2))
    calm = held(100.0, 100.0, wishes=(cover(1),)).rows("trades")[0]
    assert (str(calm["mae"]), str(calm["mfe"])) == ("0.0", "0.0")


def test_each_exit_wants_its_own_direction():
    run = held(100.0, 100.0, 100.0, wishes=(sell(1), cover(1), cover(2)))
    assert run.reasons() == ["approved", "no_position", "approved", "no_position"]


def test_a_position_is_reversed_by_an_exit_and_an_entry_of_one_slot():
    """Both fill at the next open: 100 sold to close, 100 sold short."""
    run = play(market({"A": [[100.0, 100.0, 110.0, 105.0]]}), [buy(0), sell(1), short(1), cover(2)], account=SHORT)
    assert run.fills()[1:] == [(2, "sell", "market", 100.0, 110.0), (2, "sell", "market", 100.0, 110.0), (3, "buy", "market", 100.0, 105.0)]
    assert run.column("trades", "direction") == ["long", "short"]
    assert run.column("trades", "pnl") == [1000.0, 500.0]


def test_a_position_is_renewed_by_an_exit_and_an_entry_of_one_slot():
    run = play(market({"A": [[100.0, 100.0, 110.0]]}), [buy(0), sell(1), buy(1)], fill="same_close", risk={"max_open_positions": 1})
    assert run.fills() == [(0, "buy", "market", 100.0, 100.0), (1, "sell", "market", 100.0, 100.0), (1, "buy", "market", 100.0, 100.0)]
    assert run.reasons() == ["approved"] * 3


def test_one_waiting_entry_is_enough():
    run = play(market({"A": [[100.0, 100.0, None, 100.0]]}), [buy(0), sell(1), short(1), short(2), buy(2)], account=SHORT)
    assert run.reasons() == ["approved", "approved", "approved", "already_in_position", "already_in_position"]


def test_shorts_are_closed_with_their_session():
    run = play(market({"A": [[100.0, 100.0, 90.0], [90.0]]}), [short(0)], account=SHORT, flat_at_close=True)
    assert run.fills() == [(1, "sell", "market", 100.0, 100.0), (2, "buy", "close", 100.0, 90.0)]


def test_a_short_pays_for_its_nights():
    """10,000 x 360 bps x 1 night / 360 = 1 a night, before anything else of the session; two nights of two."""
    run = play(market({"A": [[100.0, 100.0], [100.0], [None], [100.0, 100.0]]}), [short(0), cover(4)], account=SHORT, borrow_bps=360.0)
    (trade,) = run.rows("trades")
    assert (trade["borrow"], trade["fees"], trade["pnl"]) == (3.0, 3.0, -3.0)
    assert run.column("equity", "cash") == [100_000.0, 110_000.0, 109_999.0, 109_997.0, 99_997.0]


def test_an_open_short_has_paid_too_and_longs_pay_nothing():
    both = market({"A": [[100.0, 100.0], [100.0]], "B": [[100.0, 100.0], [100.0]]})
    run = play(both, [short(0), buy(0, "B")], account=SHORT, borrow_bps=360.0)
    assert [(row["borrow"], row["pnl"], row["is_open"]) for row in run.rows("trades")] == [(1.0, -1.0, True), (0.0, 0.0, True)]


def test_borrow_is_of_the_last_mark_and_of_the_days_between_the_sessions_however_the_run_is_cut():
    """100 x 200 x 0.036 / 360 = 2, then 100 x 150: 1.5."""
    bars = market({"A": [[100.0, 200.0], [150.0], [150.0]]})
    whole, cut = (play(bars, [short(0)], cuts=cuts, account=SHORT, borrow_bps=360.0) for cuts in ((), (1, 2)))
    assert whole.column("trades", "borrow") == [3.5]
    assert all(frame.equals(cut.frames[name]) for name, frame in whole.frames.items())


def test_a_short_squeeze_leaves_equity_below_zero_and_nothing_affordable():
    """900 x 100 received; at 300 the debt is 270,000 against 190,000."""
    run = play(market({"A": [[100.0, 100.0, 300.0, 300.0]], "B": [[1.0] * 4]}), [short(0, size=900.0), buy(2, "B")], account=SHORT)
    assert run.column("equity", "equity")[2] == -80_000.0
    assert run.column("equity", "drawdown")[2] == 1.8
    assert run.reasons() == ["approved", "insufficient_cash"]


def test_shorts_count_by_their_absolute_value():
    """10,000 short and 10,000 long are 20,000 of buying power and two positions."""
    bars = market({"A": [[100.0] * 3], "B": [[100.0] * 3]})
    wishes = [short(0), buy(1, "B")]
    assert play(bars, wishes, account=SHORT, risk={"max_buying_power": 19_999.0}).reasons() == ["approved", "max_buying_power"]
    assert play(bars, wishes, account=SHORT, risk={"max_buying_power": 20_000.0}).reasons() == ["approved", "approved"]
    assert play(bars, wishes, account=SHORT, risk={"max_open_positions": 1}).reasons() == ["approved", "max_open_positions"]


def test_what_is_sold_short_is_no_money_to_spend():
    """Equity 100,000, 10,000 of it behind the short: 90,000 are left for others, though cash is 110,000."""
    bars = market({"A": [[100.0] * 3], "B": [[100.0] * 3]})
    assert play(bars, [short(0), buy(1, "B", size=900.0)], account=SHORT).reasons() == ["approved", "approved"]
    assert play(bars, [short(0), buy(1, "B", size=901.0)], account=SHORT).reasons() == ["approved", "insufficient_cash"]


def test_guards_of_a_short_buy():
    run = held(100.0, stop_loss=0.5, take_profit=0.5)
    assert [(row["type"], row["side"], row["stop"], row["limit"], row["ts"]) for row in run.rows("orders")] == [
        ("market", "sell", None, None, at(1)),
        ("stop", "buy", 150.0, None, at(1)),
        ("target", "buy", None, 50.0, at(1)),
    ]
