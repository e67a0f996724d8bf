"""Trades and equity: profit, bars, excursions, marks, drawdown."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.trading.tiny import at, buy, market, play, sell

BARS = [100.0, (100.0, 104.0, 98.0, 101.0), (101.0, 110.0, 95.0, 100.0, 0.0), (102.0, 150.0, 50.0, 103.0)]


def test_a_round_trip_is_one_trade():
    """100 x 100 = 10,000 in, 100 x 102 = 10,200 out, 1 fee each way: 198, which is 1.98 % of 10,000."""
    run = play(market({"A": [BARS]}), [buy(0), sell(2)], commission={"preset": "ibkr_fixed"})
    (trade,) = run.rows("trades")
    assert (trade["trade_id"], trade["direction"], trade["quantity"], trade["is_open"]) == (1, "long", 100.0, False)
    assert (trade["entry_ts"], trade["entry_price"], trade["exit_ts"], trade["exit_price"]) == (at(1), 100.0, at(3), 102.0)
    assert (trade["pnl"], trade["return"], trade["fees"], trade["bars"], trade["exit_reason"]) == (198.0, 0.0198, 2.0, 2, "signal")


def test_excursions_leave_out_the_exit_bar_of_an_open_and_count_bars_without_volume():
    """Seen: 100, the bars of slots 1 and 2 (98 to 104, 95 to 110), and the exit at 102; never slot 3's 50 and 150."""
    (trade,) = play(market({"A": [BARS]}), [buy(0), sell(2)]).rows("trades")
    assert (trade["mae"], trade["mfe"]) == (95.0 / 100.0 - 1.0, 110.0 / 100.0 - 1.0)


def test_excursions_of_closes_leave_out_the_entry_bar_and_take_the_whole_exit_bar():
    (trade,) = play(market({"A": [BARS]}), [buy(0), sell(2)], fill="next_close").rows("trades")
    assert (trade["mae"], trade["mfe"]) == (50.0 / 101.0 - 1.0, 150.0 / 101.0 - 1.0)


def test_a_position_that_opens_and_stops_in_one_bar_has_seen_two_prices():
    run = play(market({"A": [[100.0, (100.0, 130.0, 60.0, 100.0)]]}), [buy(0)], stop_loss=0.1)
    (trade,) = run.rows("trades")
    assert (trade["bars"], trade["mae"], trade["mfe"], trade["exit_reason"]) == (0, 90.0 / 100.0 - 1.0, 0.0, "stop")


def test_excursions_are_never_on_the_wrong_side_of_the_entry():
    (trade,) = play(market({"A": [[100.0, 100.0, 110.0, 120.0]]}), [buy(0), sell(2)]).rows("trades")
    assert (trade["mae"], trade["mfe"]) == (0.0, 120.0 / 100.0 - 1.0)


def test_a_position_open_at_the_end_is_a_trade_at_its_last_mark():
    """100 x (103 - 100) - 1 fee = 299; slots 1 to 3 make two bars."""
    run = play(market({"A": [[100.0, 100.0, 103.0, None]]}), [buy(0)], commission={"minimum": 1.0})
    (trade,) = run.rows("trades")
    assert (trade["is_open"], trade["exit_ts"], trade["exit_reason"], trade["exit_price"]) == (True, None, None, 103.0)
    assert (trade["pnl"], trade["fees"], trade["bars"]) == (299.0, 1.0, 2)


def test_trades_come_as_they_close_then_the_open_ones_and_count_entries():
    both = market({"A": [[1.0] * 5], "B": [[1.0] * 5], "C": [[1.0] * 5]})
    run = play(both, [buy(0), buy(0, "C"), buy(1, "B"), sell(2, "B"), sell(3, "A")])
    assert [(row["symbol"], row["trade_id"], row["is_open"]) for row in run.rows("trades")] == [
        ("B", 3, False),
        ("A", 1, False),
        ("C", 2, True),
    ]


def test_bars_are_counted_over_sessions():
    (trade,) = play(market({"A": [[100.0, 100.0], [100.0, 100.0, 100.0]]}), [buy(0), sell(3)]).rows("trades")
    assert trade["bars"] == 3


def test_equity_has_a_row_for_every_slot_in_which_any_symbol_has_a_bar():
    run = play(
        market(
            {
                "A": [[100.0, None, None]],
                "B": [
                    [None, None, 5.0],
                ],
            }
        ),
        [],
    )
    assert run.column("equity", "ts") == [at(0), at(2)]
    assert run.column("equity", "session") == [dt.date(2025, 7, 2)] * 2


def test_equity_is_cash_plus_marks_and_drawdown_is_from_the_highest_equity():
    """I-01: after 100 at 100: 100,000; at 150: 105,000; at 45: 94,500, a tenth below 105,000."""
    run = play(market({"A": [[100.0, 100.0, 150.0, 45.0]]}), [buy(0)])
    assert run.column("equity", "cash") == [100_000.0, 90_000.0, 90_000.0, 90_000.0]
    assert run.column("equity", "equity") == [100_000.0, 100_000.0, 105_000.0, 94_500.0]
    assert run.column("equity", "gross") == run.column("equity", "net") == [0.0, 10_000.0, 15_000.0, 4_500.0]
    assert run.column("equity", "drawdown") == [0.0, 0.0, 0.0, 1.0 - 94_500.0 / 105_000.0]


def test_the_highest_equity_includes_the_starting_cash():
    """Bought at 100, marked at 90 in the same bar: 99,000 of 100,000."""
    run = play(market({"A": [[100.0, (100.0, 100.0, 90.0, 90.0)]]}), [buy(0)])
    assert run.column("equity", "drawdown")[1] == pytest.approx(0.01)
