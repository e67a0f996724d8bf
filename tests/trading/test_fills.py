"""Fills: when, at what price, in what order; cash."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtester.trading.execution import Market
from tests.trading.tiny import MINUTE, Bar, at, buy, market, play, sell

CALLS = {
    "15:00": 127.14,
    "15:16": 127.16,
    "15:30": 127.20,
    "15:31": 127.16,
    "15:38": 127.16,
    "15:42": 127.26,
    "15:47": 127.34,
    "15:53": 127.37,
    "15:58": 127.40,
}
"""PyAlgoTrade on SPY, 2011-01-03: the close stamp (UTC) of the bar on which a market order was sent -> the price it filled at."""


def test_a_market_order_fills_at_the_open_of_the_next_bar():
    run = play(market({"A": [[100.0, (101.0, 103.0, 99.0, 102.0), 105.0]]}), [buy(0)])
    assert run.fills() == [(1, "buy", "market", 100.0, 101.0)]
    (order,) = run.rows("orders")
    assert (order["order_id"], order["ts"], order["status"], order["reason"]) == (1, at(1), "filled", None)
    (fill,) = run.rows("fills")
    assert (fill["ts"], fill["session"]) == (at(1), dt.date(2025, 7, 2))


def test_next_close_fills_at_the_close_of_the_next_bar():
    run = play(market({"A": [[100.0, (101.0, 103.0, 99.0, 102.0)]]}), [buy(0)], fill="next_close")
    assert run.fills() == [(1, "buy", "market", 100.0, 102.0)]


def test_same_close_fills_at_the_close_of_the_signals_own_bar():
    run = play(market({"A": [[(99.0, 103.0, 99.0, 102.0), 100.0]]}), [buy(0)], fill="same_close")
    assert run.fills() == [(0, "buy", "market", 100.0, 102.0)]
    assert run.column("equity", "cash") == [89_800.0, 89_800.0]


def test_same_close_waits_for_the_next_fillable_close_where_the_bar_cannot_fill():
    bars: list[Bar] = [100.0, (100.0, 100.0, 100.0, 100.0, 0.0), None, (100.0, 106.0, 100.0, 105.0)]
    assert play(market({"A": [bars]}), [buy(1)], fill="same_close").fills() == [(3, "buy", "market", 100.0, 105.0)]


@pytest.mark.parametrize("fill", ["next_open", "next_close"])
def test_nothing_fills_where_there_is_no_bar_or_no_volume(fill: str):
    """I-11, DAT-28."""
    zero = (90.0, 90.0, 90.0, 90.0, 0.0)
    run = play(market({"A": [[100.0, None, zero, None, 110.0]]}), [buy(0)], fill=fill)
    assert run.fills() == [(4, "buy", "market", 100.0, 110.0)]


def test_a_bar_without_volume_marks_the_position():
    """DAT-28: 100 shares at 100 cost 10,000; marked at 90 they are worth 9,000."""
    run = play(market({"A": [[100.0, 100.0, (90.0, 90.0, 90.0, 90.0, 0.0)]]}), [buy(0)])
    assert run.column("equity", "equity") == [100_000.0, 100_000.0, 99_000.0]


def test_a_gtc_order_waits_over_the_night():
    run = play(market({"A": [[100.0, None], [None, 90.0]]}), [buy(0)])
    assert run.rows("fills")[0]["ts"] == at(1, session=1)
    assert run.rows("fills")[0]["session"] == dt.date(2025, 7, 3)


def test_exits_fill_before_entries_so_that_their_money_is_there():
    """10,000 in A pays for B: A is sold for 10,000, then 100 of B cost 10,000."""
    run = play(market({"A": [[100.0] * 3], "B": [[100.0] * 3]}), [buy(0), sell(1), buy(1, "B")], cash=10_000.0)
    assert [(row["symbol"], row["side"]) for row in run.rows("fills")] == [("A", "buy"), ("A", "sell"), ("B", "buy")]


def test_entries_fill_by_strategy_order_then_by_symbol():
    wishes = [buy(0, "B", "late"), buy(0, "A", "late"), buy(0, "B", "early"), buy(0, "A", "early")]
    run = play(market({"A": [[1.0, 1.0]], "B": [[1.0, 1.0]]}, strategies=("early", "late")), wishes)
    done = [("early", "A"), ("early", "B"), ("late", "A"), ("late", "B")]
    assert [(row["strategy"], row["symbol"]) for row in run.rows("fills")] == done
    assert [(row["strategy"], row["symbol"]) for row in run.rows("decisions")] == done


def test_slippage_is_against_the_trader():
    """10 bps: bought at 100 x 1.001 = 100.1, sold at 100 x 0.999 = 99.9; 0.1 x 100 shares = 10 each time."""
    run = play(market({"A": [[100.0] * 3]}), [buy(0), sell(1)], slippage={"bps": 10.0})
    assert run.column("fills", "price") == pytest.approx([100.1, 99.9], rel=1e-15)
    assert run.column("fills", "slippage") == [10.0, 10.0]
    assert run.column("fills", "value") == [10_010.0, 9_990.0]


def test_an_entry_that_cash_does_not_cover_is_cut_to_what_it_pays_for():
    """10 x 100 = 1,000 seen; at 11 the 1,000 pay for 90 (990) and not for 91 (1,001)."""
    run = play(market({"A": [[10.0, 11.0]]}), [buy(0)], cash=1000.0)
    assert run.fills() == [(1, "buy", "market", 90.0, 11.0)]
    assert run.orders() == [("market", "partial", "insufficient_cash")]
    assert run.column("orders", "quantity") == [100.0]
    assert run.reasons() == ["insufficient_cash"]
    assert run.column("decisions", "approved") == [True]
    assert run.column("equity", "cash")[-1] == 10.0


def test_the_cut_leaves_room_for_the_fee():
    """1 a share: 1,000 pay for 83 x 11 + 83 = 996, not for 84 x 12 = 1,008."""
    run = play(market({"A": [[9.0, 11.0]]}), [buy(0)], cash=1000.0, commission={"per_share": 1.0})
    assert (run.column("fills", "quantity"), run.column("fills", "fee")) == ([83.0], [83.0])


def test_an_entry_of_which_cash_pays_no_lot_is_cancelled():
    run = play(market({"A": [[10.0, 1001.0]]}), [buy(0)], cash=1000.0)
    assert (run.fills(), run.orders()) == ([], [("market", "cancelled", "insufficient_cash")])
    assert run.reasons() == ["insufficient_cash"]


def test_an_entry_finds_its_place_taken_when_the_exit_that_was_to_free_it_has_not_filled():
    """One position allowed: A's exit waits (no bar), so B's entry, approved because A was leaving, is cancelled."""
    run = play(market({"A": [[1.0, 1.0, None, 1.0]], "B": [[1.0] * 4]}), [buy(0), sell(1), buy(1, "B")], risk={"max_open_positions": 1})
    assert run.reasons() == ["approved", "approved", "max_open_positions"]
    assert run.orders() == [("market", "filled", None), ("market", "filled", None), ("market", "cancelled", "max_open_positions")]


def test_quotes_fill_at_the_ask_and_the_bid_and_a_missing_quote_is_flagged():
    quotes = [[(98.0, 98.5, 102.0, 102.5), (99.0, 99.5, 101.0, 101.5), None]]
    run = play(market({"A": [[100.0] * 3]}, quotes={"A": quotes}), [buy(0), sell(1)], price="quote")
    assert run.column("fills", "price") == [101.0, 100.0]
    assert run.column("fills", "flags") == ["", "synthetic_quote"]
    assert run.column("fills", "slippage") == [0.0, 0.0]


def test_quotes_at_the_close_are_the_closes_of_the_quote_bar():
    quotes = [[(98.0, 98.5, 102.0, 102.5), (99.0, 99.5, 101.0, 101.5), (97.0, 97.5, 103.0, 103.5)]]
    run = play(market({"A": [[100.0] * 3]}, quotes={"A": quotes}), [buy(0), sell(1)], price="quote", fill="next_close")
    assert run.column("fills", "price") == [101.5, 97.5]


def test_a_run_without_quotes_flags_every_fill_that_asked_for_them():
    run = play(market({"A": [[100.0] * 3]}), [buy(0), sell(1)], price="quote")
    assert run.column("fills", "flags") == ["synthetic_quote", "synthetic_quote"]


def test_only_a_sale_whose_fee_exceeds_its_value_takes_cash_below_zero():
    """100 x 0.01 = 1 is all the cash; the sale brings 1 and costs 2."""
    run = play(market({"A": [[0.01] * 3]}), [buy(0), sell(1)], cash=3.0, commission={"minimum": 2.0})
    assert run.column("equity", "cash") == [3.0, 0.0, -1.0]


def test_market_orders_fill_at_the_prices_of_pyalgotrade(shared_data: Path):
    """Source: ../shared/reference/parity.md."""
    day = pl.read_parquet(shared_data / "spy_2011_minute" / "SPY_201101.parquet").filter(
        pl.col("ts").is_between(dt.datetime(2011, 1, 3, 14, 30, tzinfo=dt.UTC), dt.datetime(2011, 1, 3, 20, 59, tzinfo=dt.UTC))
    )
    assert day.height == 390
    ts = day["ts"].cast(pl.Int64).to_numpy()
    spy = Market(
        ("SPY",), ("s",), ts, ts + MINUTE, np.zeros(390, np.int32), np.array(["2011-01-03"], "datetime64[D]"), ts[:1], ts[-1:] + MINUTE,
        **{name: day[name].cast(pl.Float64).to_numpy()[None] for name in ("open", "high", "low", "close", "volume")},
    )  # fmt: skip
    stamps = [int(dt.datetime.fromisoformat(f"2011-01-03T{call}:00+00:00").timestamp()) * 1_000_000 for call in CALLS]
    calls = [int(np.searchsorted(spy.end, stamp)) for stamp in stamps]
    run = play(spy, [(buy if k % 2 == 0 else sell)(t, "SPY") for k, t in enumerate(calls)])
    assert run.column("fills", "price") == list(CALLS.values())
    assert run.column("fills", "ts") == stamps
