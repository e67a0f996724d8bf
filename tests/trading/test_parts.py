"""Positions of several fills: entries that add, exits of a part, and what follows the quantity. By hand."""

from __future__ import annotations

from tests.trading.tiny import Bar, Played, buy, cover, market, play, sell, short

FLAT = market({"A": [[100.0, 100.0, 110.0, 120.0, 120.0, 130.0]]})
TWICE = {"max_entries": 2}


def trades(run: Played, *names: str) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in names) for row in run.rows("trades")]


def test_a_second_entry_adds_and_the_entry_price_is_the_average():
    # 100 at 100 and 300 at 110 are 43,000 for 400: 107.5. All sold at 120: 48,000 - 43,000.
    run = play(FLAT, [buy(0), buy(1, size=300.0), sell(2)], risk=TWICE)
    assert trades(run, "trade_id", "order_id", "quantity", "entry_price", "exit_price", "pnl", "bars") == [
        (1, 3, 400.0, 107.5, 120.0, 5000.0, 2)
    ]
    assert run.column("trades", "return") == [5000.0 / 43_000.0]
    assert run.column("orders", "filled") == run.column("orders", "quantity") == [100.0, 300.0, 400.0]


def test_max_entries_is_the_most_and_one_by_default():
    once = play(FLAT, [buy(0), buy(1)])
    assert once.reasons() == ["approved", "already_in_position"]
    twice = play(FLAT, [buy(0), buy(1), buy(2)], risk=TWICE)
    assert twice.reasons() == ["approved", "approved", "already_in_position"]


def test_an_entry_that_adds_is_no_position_more():
    run = play(FLAT, [buy(0), buy(1)], risk=TWICE | {"max_open_positions": 1})
    assert run.reasons() == ["approved", "approved"]
    assert trades(run, "quantity", "is_open") == [(200.0, True)]


def test_a_position_of_the_other_direction_is_not_added_to():
    run = play(FLAT, [buy(0), short(1)], risk=TWICE, account={"allow_short": True})
    assert run.reasons() == ["approved", "already_in_position"]


def test_marks_after_an_adding_fill_are_its_price_until_the_close():
    # 100 bought at 100, 100 more at 110 in a bar that closes at 112:
    bars: list[Bar] = [100.0, 100.0, (110.0, 112.0, 110.0, 112.0)]
    run = play(market({"A": [bars]}), [buy(0), buy(1)], risk=TWICE)
    # cash 100,000 - 10,000 - 11,000 = 79,000; 200 at 112 = 22,400.
    assert run.column("equity", "cash")[-1] == 79_000.0
    assert run.column("equity", "equity")[-1] == 101_400.0


def test_an_exit_of_a_part_is_a_trade_of_its_own_and_the_rest_goes_on():
    fees = {"per_share": 0.0, "minimum": 1.0}
    run = play(FLAT, [buy(0), sell(1, exit_fraction=0.25), sell(3)], commission=fees)
    # 25 of 100 sold at 110: 250 - a quarter of the entry's dollar - its own; then 75 at 120: 1500 - 0.75 - 1.
    assert trades(run, "trade_id", "order_id", "quantity", "pnl", "fees", "bars") == [
        (1, 2, 25.0, 248.75, 1.25, 1),
        (2, 3, 75.0, 1498.25, 1.75, 3),
    ]
    assert run.column("decisions", "quantity") == [100.0, 25.0, 75.0]
    assert run.column("trades", "return") == [248.75 / 2500.0, 1498.25 / 7500.0]


def test_shares_of_what_was_paid_are_rounded_and_the_last_part_takes_the_rest():
    # The entry's fee of 1 over three thirds of 3 shares: rint(1e6 / 3) = 333,333, then rint(666,667 / 2) = 333,334 (half to even), 333,333.
    third = play(FLAT, [buy(0, size=3.0), sell(1, exit_fraction=0.4), sell(2, exit_fraction=0.5), sell(3)], commission={"minimum": 1.0})
    assert trades(third, "quantity", "fees") == [(1.0, 1.333333), (1.0, 1.333334), (1.0, 1.333333)]


def test_a_part_below_a_lot_is_refused_and_one_of_all_of_it_leaves():
    run = play(FLAT, [buy(0, size=3.0), sell(1, exit_fraction=0.3), sell(2, exit_fraction=1.0)])
    assert run.reasons() == ["approved", "below_lot", "approved"]
    assert run.column("decisions", "quantity") == [3.0, 0.0, 3.0]
    assert trades(run, "quantity", "is_open") == [(3.0, False)]


def test_a_short_is_covered_in_parts():
    run = play(FLAT, [short(0), cover(1, exit_fraction=0.5), cover(2)], account={"allow_short": True})
    assert trades(run, "direction", "quantity", "pnl") == [("short", 50.0, -500.0), ("short", 50.0, -1000.0)]


def test_a_waiting_exit_is_replaced_by_another():
    run = play(FLAT, [buy(0), sell(1, limit=500.0, exit_fraction=0.5), sell(2, exit_fraction=0.2)])
    assert run.orders()[1:] == [("limit", "cancelled", "replaced"), ("market", "filled", None)]
    assert run.reasons() == ["approved", "approved", "approved"]
    assert trades(run, "quantity", "is_open") == [(20.0, False), (80.0, True)]


def test_an_exit_without_a_limit_is_not_replaced():
    bars: list[Bar] = [100.0, 100.0, None, None, 100.0]
    run = play(market({"A": [bars]}), [buy(0), sell(1), sell(2, exit_fraction=0.5)])
    assert run.reasons() == ["approved", "approved", "no_position"]


def test_a_leaving_exit_cancels_an_entry_that_would_add():
    bars: list[Bar] = [100.0, 100.0, None, 100.0]
    run = play(market({"A": [bars]}), [buy(0), buy(1), sell(2)], risk=TWICE)
    assert run.orders() == [("market", "filled", None), ("market", "cancelled", "position_closed"), ("market", "filled", None)]
    assert run.reasons() == ["approved", "position_closed", "approved"]


def test_what_closes_the_position_cancels_an_entry_that_would_add():
    bars: list[Bar] = [100.0, 100.0, (100.0, 100.0, 80.0, 85.0)]
    run = play(market({"A": [bars]}), [buy(0), buy(1, limit=70.0)], risk=TWICE, stop_loss=0.1)
    assert run.orders()[1:] == [("stop", "filled", None), ("limit", "cancelled", "position_closed")]
    assert run.reasons() == ["approved", "position_closed"]


def test_stop_and_target_follow_the_quantity():
    bars: list[Bar] = [100.0, 100.0, 104.0, 104.0, (104.0, 104.0, 80.0, 85.0)]
    run = play(market({"A": [bars]}), [buy(0), buy(1), sell(2, exit_fraction=0.25)], risk=TWICE, stop_loss=0.1, take_profit=0.5)
    stop, target = (row for row in sorted(run.rows("orders"), key=lambda row: row["order_id"]) if row["type"] in ("stop", "target"))
    assert (stop["quantity"], stop["filled"], stop["stop"]) == (150.0, 150.0, 90.0)
    assert (target["quantity"], target["filled"], target["status"], target["reason"]) == (150.0, 0.0, "cancelled", "oco")


def test_an_adding_signal_moves_the_levels_it_gives_itself():
    bars: list[Bar] = [100.0, 100.0, 120.0, (120.0, 121.0, 104.0, 110.0)]
    # The average entry is 110; stop_loss 0.05 of it is 104.5. The config's own 10 % of 110 would be 99.
    run = play(market({"A": [bars]}), [buy(0), buy(1, stop_loss=0.05)], risk=TWICE, stop_loss=0.1)
    assert run.fills()[-1] == (3, "sell", "stop", 200.0, 110.0 * 0.95)
    still = play(market({"A": [bars]}), [buy(0), buy(1)], risk=TWICE, stop_loss=0.1)
    assert [row["stop"] for row in still.rows("orders") if row["type"] == "stop"] == [90.0]


def test_an_adding_signal_makes_the_levels_that_are_missing():
    bars: list[Bar] = [100.0, 100.0, 110.0, (110.0, 131.0, 109.0, 130.0)]
    run = play(market({"A": [bars]}), [buy(0), buy(1, target_price=130.0, stop_price=90.0)], risk=TWICE)
    assert run.orders()[2:] == [("stop", "cancelled", "oco"), ("target", "filled", None)]
    assert run.fills()[-1] == (3, "sell", "target", 200.0, 130.0)


def test_a_trailing_stop_is_moved_only_where_that_is_tighter():
    bars: list[Bar] = [100.0, 100.0, 100.0, 100.0, (100.0, 100.0, 50.0, 60.0)]
    looser = play(market({"A": [bars]}), [buy(0), buy(1, stop_price=80.0)], risk=TWICE, trailing_stop=0.1)
    assert looser.fills()[-1] == (4, "sell", "trailing", 200.0, 90.0)
    tighter = play(market({"A": [bars]}), [buy(0), buy(1, stop_price=95.0)], risk=TWICE, trailing_stop=0.1)
    assert tighter.fills()[-1] == (4, "sell", "trailing", 200.0, 95.0)


def test_an_adding_entry_inside_the_bar_leaves_its_levels_to_the_next():
    """The limit of 95 is met inside slot 2, whose low of 90 lies below the stop that comes with it."""
    bars: list[Bar] = [100.0, 100.0, (100.0, 100.0, 90.0, 96.0), (96.0, 97.0, 92.0, 93.0)]
    run = play(market({"A": [bars]}), [buy(0), buy(1, limit=95.0, stop_price=93.0)], risk=TWICE)
    assert run.fills()[1:] == [(2, "buy", "limit", 100.0, 95.0), (3, "sell", "stop", 200.0, 93.0)]


def test_what_stays_of_a_position_counts_against_the_limits():
    # 100 at 100 held, 50 of them going: 5,000 stay; 100 more at 100 are 15,000 in the symbol.
    bars: list[Bar] = [100.0, 100.0, 100.0]
    wishes = [buy(0), sell(1, exit_fraction=0.5), buy(1)]
    fits = play(market({"A": [bars]}), wishes, risk=TWICE | {"max_per_symbol": 15_000.0})
    assert fits.reasons() == ["approved", "approved", "approved"]
    beyond = play(market({"A": [bars]}), wishes, risk=TWICE | {"max_per_symbol": 14_999.0})
    assert beyond.reasons() == ["approved", "approved", "max_per_symbol"]


def test_mae_and_mfe_are_of_the_average_price_and_of_the_prices_seen_until_then():
    bars: list[Bar] = [100.0, 100.0, (120.0, 130.0, 110.0, 120.0), 99.0, 150.0]
    run = play(market({"A": [bars]}), [buy(0), buy(1), sell(2, exit_fraction=0.5), sell(3)], risk=TWICE)
    # Average 110. Seen until the first exit at 99: 100, 120, [110, 130]; the rest sees 99 as slot 3's bar and its own 150.
    assert trades(run, "mae", "mfe") == [(99.0 / 110.0 - 1.0, 130.0 / 110.0 - 1.0), (99.0 / 110.0 - 1.0, 150.0 / 110.0 - 1.0)]


def test_a_run_cut_between_the_parts_is_the_same():
    bars = market({"A": [[100.0, 100.0], [110.0, 120.0], [115.0, 125.0], [130.0, 130.0]]})
    wishes = [buy(0), buy(1), sell(2, exit_fraction=0.5), buy(3), sell(4, limit=126.0, exit_fraction=0.5), sell(6)]
    whole, cut = (play(bars, wishes, risk={"max_entries": 3}, cuts=cuts, stop_loss=0.2) for cuts in ((), (1, 2, 3)))
    assert len(whole.rows("trades")) == 3
    assert all(whole.frames[name].equals(cut.frames[name]) for name in whole.frames)


def test_a_fraction_of_many_small_lots_is_its_whole_lots():
    """33,463.2 / 0.001 is a little less than 33,463,200 in floats: all of it is all of it, and half of it 16,731,600 lots."""
    for fraction, sold in ((1.0, 33463.2), (0.5, 16731.6)):
        run = play(market({"A": [[1.0] * 4]}), [buy(0, size=33463.2004), sell(1, exit_fraction=fraction)], lot=0.001)
        assert run.column("fills", "quantity") == [33463.2, sold]
        assert run.column("trades", "is_open") == ([False] if fraction == 1.0 else [False, True])
