"""Weights: what part of the equity a position shall be worth. By hand."""

from __future__ import annotations

from tests.trading.test_parts import trades
from tests.trading.tiny import Bar, buy, market, play, sell, weigh

FLAT = market({"A": [[100.0] * 6]})
MOVING = market({"A": [[100.0, 100.0, 200.0, 200.0, 50.0, 50.0]]})


def test_a_weight_buys_the_most_lots_that_it_pays_for():
    # Half of 100,000 at 100: 500; with a dollar of commission 499.
    assert play(FLAT, [weigh(0, 0.5)]).fills() == [(1, "buy", "market", 500.0, 100.0)]
    assert play(FLAT, [weigh(0, 0.5)], commission={"minimum": 1.0}).fills() == [(1, "buy", "market", 499.0, 100.0)]


def test_the_same_weight_later_sells_what_has_risen_and_buys_what_has_fallen():
    # 500 at 200 are 100,000 of an equity of 150,000: 375 shares are half of it.
    run = play(MOVING, [weigh(0, 0.5), weigh(2, 0.5), weigh(4, 0.5)])
    # At 50: 375 x 50 + 75,000 in cash is 93,750; half of it are 937.5 shares.
    assert [row[1:4] for row in run.fills()] == [("buy", "market", 500.0), ("sell", "market", 125.0), ("buy", "market", 562.0)]
    assert [row[2] for row in map(lambda row: (row["ts"], row["reason"], row["action"]), run.rows("decisions"))] == [
        "enter_long",
        "exit_long",
        "enter_long",
    ]
    assert run.column("decisions", "quantity") == [500.0, 125.0, 562.0]


def test_a_weight_of_none_leaves_and_where_nothing_is_held_a_row_says_so():
    run = play(FLAT, [weigh(0, 0.5), weigh(2, 0.0), weigh(4, 0.0)])
    assert [(row["action"], row["reason"], row["quantity"]) for row in run.rows("decisions")] == [
        ("enter_long", "approved", 500.0),
        ("exit_long", "approved", 500.0),
        ("target", "within_threshold", 0.0),
    ]
    assert trades(run, "quantity", "is_open") == [(500.0, False)]


def test_a_weight_of_the_other_sign_reverses_in_one_slot():
    run = play(FLAT, [weigh(0, 0.5), weigh(2, -0.25)], account={"allow_short": True})
    assert [row[1:4] for row in run.fills()] == [("buy", "market", 500.0), ("sell", "market", 500.0), ("sell", "market", 250.0)]
    assert trades(run, "direction", "quantity", "is_open") == [("long", 500.0, False), ("short", 250.0, True)]


def test_within_the_threshold_nothing_is_done():
    # 500 at 104 are 52,000 of 102,000: half are 490 shares, 1,040 less, about 1 % of the equity.
    bars = market({"A": [[100.0, 100.0, 104.0, 104.0]]})
    assert len(play(bars, [weigh(0, 0.5), weigh(2, 0.5)], rebalance_threshold=0.01).fills()) == 2
    near = play(bars, [weigh(0, 0.5), weigh(2, 0.5)], rebalance_threshold=0.02)
    assert near.reasons() == ["approved", "within_threshold"]
    assert near.column("decisions", "approved") == [True, False]


def test_weights_add_without_max_entries_and_one_position_each():
    run = play(FLAT, [weigh(0, 0.2), weigh(1, 0.4), weigh(2, 0.6)], risk={"max_open_positions": 1})
    assert [row[3] for row in run.fills()] == [200.0, 200.0, 200.0]
    assert run.reasons() == ["approved"] * 3


def test_checks_of_an_entry_are_those_of_any():
    low = play(FLAT, [weigh(0, 0.5, quality=50.0)])
    assert [(row["action"], row["reason"]) for row in low.rows("decisions")] == [("enter_long", "low_quality")]
    cut = play(FLAT, [weigh(0, 0.5)], risk={"max_per_trade": 10_000.0})
    assert (cut.reasons(), cut.fills()[0][3]) == (["max_per_trade"], 100.0)
    small = play(FLAT, [weigh(0, 0.0005)])
    assert small.reasons() == ["below_lot"]
    shorts = play(FLAT, [weigh(0, -0.5)])
    assert [(row["action"], row["reason"]) for row in shorts.rows("decisions")] == [("enter_short", "short_not_allowed")]


def test_a_weight_does_not_look_at_levels_of_its_own_nor_at_sizing():
    given = {"size": 7.0, "limit": 1.0, "entry_stop": 999.0, "exit_fraction": 0.1}
    run = play(FLAT, [weigh(0, 0.5, **given), weigh(2, 0.0, **given)], sizing={"type": "shares", "value": 3.0})
    assert [row[1:4] for row in run.fills()] == [("buy", "market", 500.0), ("sell", "market", 500.0)]


def test_stop_and_target_of_a_weight_are_the_positions():
    bars: list[Bar] = [100.0, 100.0, (100.0, 100.0, 80.0, 85.0)]
    run = play(market({"A": [bars]}), [weigh(0, 0.5, stop_price=95.0)])
    assert run.fills()[1] == (2, "sell", "stop", 500.0, 95.0)


def test_among_the_exits_weights_sell_before_others_buy():
    # All of A becomes B in one slot; the cash of the sale pays at the same open.
    bars = market({"A": [[100.0] * 4], "B": [[100.0] * 4]})
    run = play(bars, [weigh(0, 1.0, "A"), weigh(1, 1.0, "B"), weigh(1, 0.0, "A")])
    assert [(row["symbol"], row["side"], row["quantity"]) for row in run.rows("fills")] == [
        ("A", "buy", 1000.0),
        ("A", "sell", 1000.0),
        ("B", "buy", 1000.0),
    ]


def test_a_weight_comes_before_other_signals_of_its_symbol():
    run = play(FLAT, [buy(0, size=10.0), weigh(0, 0.5)])
    assert [(row["quantity"], row["reason"]) for row in run.rows("decisions")] == [(500.0, "approved"), (0.0, "already_in_position")]


def test_a_limit_exit_that_waits_is_replaced():
    run = play(FLAT, [weigh(0, 0.5), sell(1, limit=500.0, exit_fraction=0.5), weigh(2, 0.25)])
    assert run.orders() == [("market", "filled", None), ("limit", "cancelled", "replaced"), ("market", "filled", None)]
    assert run.fills()[-1][3] == 250.0


def test_a_run_of_weights_cut_anywhere_is_the_same():
    bars = market({"A": [[100.0, 100.0], [110.0, 90.0], [80.0, 130.0]], "B": [[50.0, 51.0], [None, 52.0], [53.0, 40.0]]})
    wishes = [weigh(t, 0.1 * (1 + t % 4), symbol) for t in range(6) for symbol in "AB"]
    whole, cut = (play(bars, wishes, cuts=cuts, fill="same_close") for cuts in ((), (1, 2)))
    assert len(whole.rows("decisions")) >= len(wishes)
    assert all(whole.frames[name].equals(cut.frames[name]) for name in whole.frames)
