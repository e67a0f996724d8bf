"""Limit, stop and stop-limit orders: at the open, inside the bar, what guards a position entered inside. 100 shares."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.tiny import Bar, Played, at, buy, cover, market, play, sell, short

SHORT = {"allow_short": True}


def rest(*bars: Bar, enter: Any = buy, given: dict[str, float], **settings: Any) -> Played:
    """An order made at a close of 100, then the bars."""
    return play(market({"A": [[100.0, *bars]]}), [enter(0, **given)], account=SHORT, **settings)


def filled(run: Played) -> list[tuple[int, str, float]]:
    """(minute, type, price) of every fill."""
    return [(minute, kind, price) for minute, _, kind, _, price in run.fills()]


BUY_LIMIT: list[tuple[Bar, str, float | None]] = [
    ((97.0, 99.0, 96.0, 98.0), "through", 97.0),
    ((98.0, 99.0, 98.0, 99.0), "through", None),
    ((98.0, 99.0, 98.0, 99.0), "touch", 98.0),
    ((100.0, 101.0, 97.0, 99.0), "through", 98.0),
    ((100.0, 101.0, 98.0, 99.0), "through", None),
    ((100.0, 101.0, 98.0, 99.0), "touch", 98.0),
    ((97.0, 99.0, 96.0, 98.0, 0.0), "through", None),
]


@pytest.mark.parametrize(("bar", "policy", "price"), BUY_LIMIT)
def test_a_limit_order_waits_for_a_price_beyond_its_limit(bar: Bar, policy: str, price: float | None):
    """Limit 98 for a buy; for a sale of the bar turned upside down round 100, 102."""
    wanted = [] if price is None else [(1, "limit", price)]
    assert filled(rest(bar, given={"limit": 98.0}, limit_fill=policy)) == wanted
    o, h, low, c, *volume = bar
    turned = (200.0 - o, 200.0 - low, 200.0 - h, 200.0 - c, *volume)
    mirrored = [] if price is None else [(1, "limit", 200.0 - price)]
    assert filled(rest(turned, enter=short, given={"limit": 102.0}, limit_fill=policy)) == mirrored


@pytest.mark.parametrize(
    ("bar", "price"),
    [((103.0, 104.0, 102.0, 103.0), 103.0), ((102.0, 102.0, 102.0, 102.0), 102.0), ((100.0, 102.0, 99.0, 101.0), 102.0),
     ((100.0, 101.9, 99.0, 101.0), None)],
)  # fmt: skip
def test_a_stop_order_follows_the_price(bar: Bar, price: float | None):
    """Stop 102 for a buy, 98 for a sale of the bar turned upside down; slippage of 100 bps against both."""
    wanted = [] if price is None else [(1, "stop", price * 1.01)]
    assert filled(rest(bar, given={"entry_stop": 102.0}, slippage={"bps": 100.0})) == wanted
    o, h, low, c = bar[:4]
    turned = (200.0 - o, 200.0 - low, 200.0 - h, 200.0 - c)
    mirrored = [] if price is None else [(1, "stop", (200.0 - price) * 0.99)]
    assert filled(rest(turned, enter=short, given={"entry_stop": 98.0}, slippage={"bps": 100.0})) == mirrored


@pytest.mark.parametrize(
    ("bars", "given", "wanted"),
    [
        ([(102.0, 103.0, 101.0, 102.0)], {"entry_stop": 102.0, "limit": 103.0}, [(1, 102.0)]),
        ([(104.0, 104.0, 103.0, 103.5)], {"entry_stop": 102.0, "limit": 103.0}, []),
        ([(104.0, 104.0, 102.5, 103.5)], {"entry_stop": 102.0, "limit": 103.0}, [(1, 103.0)]),
        ([(100.0, 102.5, 99.0, 101.0)], {"entry_stop": 102.0, "limit": 103.0}, [(1, 102.0)]),
        ([(100.0, 102.5, 99.0, 101.0)], {"entry_stop": 102.0, "limit": 101.0}, []),
        ([(100.0, 102.5, 99.0, 101.0), (101.5, 102.0, 100.5, 101.0)], {"entry_stop": 102.0, "limit": 101.0}, [(2, 101.0)]),
        ([(100.0, 102.5, 99.0, 101.0), (100.5, 102.0, 100.5, 101.0)], {"entry_stop": 102.0, "limit": 101.0}, [(2, 100.5)]),
        ([(104.0, 104.0, 103.0, 103.5), (101.0, 101.0, 101.0, 101.0)], {"entry_stop": 102.0, "limit": 103.0}, [(2, 101.0)]),
        ([(100.0, 101.0, 99.0, 101.0), (101.0, 101.0, 101.0, 101.0)], {"entry_stop": 102.0, "limit": 103.0}, []),
    ],
)
def test_a_stop_limit_order_is_a_limit_order_once_it_has_met_its_stop(
    bars: list[Bar], given: dict[str, float], wanted: list[tuple[int, float]]
):
    """Without slippage on either side of the market."""
    run = rest(*bars, given=given, slippage={"bps": 100.0})
    assert filled(run) == [(minute, "stop_limit", price) for minute, price in wanted]
    turned = [tuple(200.0 - bar[k] for k in (0, 2, 1, 3)) for bar in bars]
    mirrored = rest(*turned, enter=short, given={name: 200.0 - level for name, level in given.items()}, slippage={"bps": 100.0})
    assert filled(mirrored) == [(minute, "stop_limit", 200.0 - price) for minute, price in wanted]


@pytest.mark.parametrize("fill", ["next_open", "next_close", "same_close"])
def test_it_looks_from_the_bar_after_its_signal_whatever_fill_says(fill: str):
    run = play(market({"A": [[(100.0, 100.0, 90.0, 100.0), 97.0]]}), [buy(0, limit=98.0)], fill=fill)
    assert filled(run) == [(1, "limit", 97.0)]
    (row,) = run.rows("orders")
    assert (row["type"], row["limit"], row["stop"], row["price_seen"], row["status"]) == ("limit", 98.0, None, 100.0, "filled")


def test_the_levels_stand_in_the_orders():
    run = rest(given={"limit": 105.0, "entry_stop": 104.0})
    assert [(row["type"], row["limit"], row["stop"], row["status"], row["reason"]) for row in run.rows("orders")] == [
        ("stop_limit", 105.0, 104.0, "open", "no_bar_to_fill")
    ]
    assert run.reasons() == ["no_bar_to_fill"]


def test_a_resting_order_survives_the_cut_of_a_run_with_its_trigger():
    bars = market({"A": [[100.0, (100.0, 103.0, 99.0, 101.5)], [(101.5, 102.0, 100.5, 101.0)]]})
    whole, cut = (play(bars, [buy(0, entry_stop=102.0, limit=101.0)], cuts=cuts) for cuts in ((), (1,)))
    assert [row[2:] for row in whole.fills()] == [("stop_limit", 100.0, 101.0)]
    assert all(frame.equals(cut.frames[name]) for name, frame in whole.frames.items())


def test_it_waits_as_an_entry_does():
    """No second entry beside it; it counts in the limits; day orders expire."""
    bars = market({"A": [[100.0, 100.0, 100.0], [90.0]]})
    assert play(bars, [buy(0, limit=95.0), buy(1)]).reasons() == ["approved", "already_in_position"]
    day = play(bars, [buy(0, limit=95.0)], time_in_force="day")
    assert day.orders() == [("limit", "expired", "expired")]
    assert play(bars, [buy(0, limit=95.0)]).fills() == [(1440, "buy", "limit", 100.0, 90.0)]


def test_an_exit_may_rest_too_and_ends_with_its_position():
    """Another exit takes its place; a stop closes the position and cancels it; entry_stop means nothing to it."""
    bars: list[Bar] = [100.0, 100.0, (100.0, 104.0, 99.0, 103.0), (104.0, 106.0, 100.0, 104.0)]
    run = play(market({"A": [bars]}), [buy(0), sell(1, limit=105.0, entry_stop=50.0)])
    assert filled(run)[1:] == [(3, "limit", 105.0)]
    replaced = play(market({"A": [bars]}), [buy(0), sell(1, limit=105.0), sell(2)])
    assert filled(replaced)[1:] == [(3, "market", 104.0)]
    assert replaced.reasons() == ["approved", "approved", "approved"]
    assert replaced.orders()[1:] == [("limit", "cancelled", "replaced"), ("market", "filled", None)]
    assert run.column("trades", "exit_reason") == ["signal"]
    stopped = play(market({"A": [[100.0, 100.0, (100.0, 100.0, 80.0, 90.0)]]}), [buy(0), sell(1, limit=105.0)], stop_loss=0.1)
    assert stopped.orders()[2] == ("limit", "cancelled", "position_closed")


def test_a_short_may_be_covered_at_a_limit():
    run = play(market({"A": [[100.0, 100.0, (99.0, 99.0, 94.0, 96.0)]]}), [short(0), cover(1, limit=95.0)], account=SHORT)
    assert filled(run)[1:] == [(2, "limit", 95.0)]


def test_a_reversal_enters_only_once_the_exit_has_filled():
    """The exit rests at 105; the entry's limit of 110 for a sale is met while it waits, and does not fill."""
    bars: list[Bar] = [100.0, 100.0, (100.0, 104.0, 99.0, 103.0), (111.0, 112.0, 111.0, 112.0)]
    run = play(market({"A": [bars]}), [buy(0), sell(1, limit=105.0), short(1, limit=110.0)], account=SHORT)
    assert filled(run)[1:] == [(3, "limit", 111.0), (3, "limit", 111.0)]


def test_an_entry_whose_pair_was_held_at_the_open_does_not_look_inside_that_bar():
    """The stop frees the pair inside bar 2, whose low is below the limit of 92; the entry looks again in bar 3."""
    bars: list[Bar] = [100.0, 100.0, (100.0, 100.0, 80.0, 85.0), (91.0, 93.0, 90.0, 91.0)]
    run = play(market({"A": [bars]}), [buy(0, stop_price=95.0), sell(1, limit=120.0), buy(1, limit=92.0)])
    assert filled(run)[1:] == [(2, "stop", 95.0), (3, "limit", 91.0)]


@pytest.mark.parametrize(
    ("given", "bar", "policy", "wanted", "ambiguous"),
    [
        ({"limit": 98.0}, (100.0, 101.0, 95.0, 99.0), "pessimistic", [("limit", 98.0), ("stop", 96.0)], False),
        ({"limit": 98.0}, (100.0, 103.0, 95.0, 99.0), "pessimistic", [("limit", 98.0), ("stop", 96.0)], True),
        ({"limit": 98.0}, (100.0, 103.0, 97.0, 99.0), "pessimistic", [("limit", 98.0)], None),
        ({"entry_stop": 101.0}, (100.0, 101.5, 96.0, 99.0), "pessimistic", [("stop", 101.0), ("stop", 96.0)], True),
        ({"entry_stop": 101.0}, (100.0, 101.5, 96.0, 99.0), "open_to_nearest", [("stop", 101.0), ("stop", 96.0)], True),
        ({"entry_stop": 101.0}, (100.0, 101.5, 96.0, 99.0), "optimistic", [("stop", 101.0)], None),
    ],
)
def test_a_position_entered_inside_a_bar_meets_only_its_stop_there(
    given: dict[str, float], bar: Bar, policy: str, wanted: list[tuple[str, float]], ambiguous: bool | None
):
    """Stop 96, target 102."""
    run = rest(bar, given=given | {"stop_price": 96.0, "target_price": 102.0}, intrabar=policy)
    assert [row[1:] for row in filled(run)] == wanted
    assert run.column("fills", "ambiguous")[1:] == ([] if ambiguous is None else [ambiguous])


def test_a_stop_beyond_the_entry_inside_a_bar_fills_at_the_entry():
    """A stop at 110 above an entry at 98: it sells at 98, then slips by 100 bps."""
    run = rest((100.0, 101.0, 95.0, 99.0), given={"limit": 98.0, "stop_price": 110.0}, slippage={"bps": 100.0})
    assert [price for *_, price in filled(run)] == [98.0, 98.0 * 0.99]


def test_the_whole_bar_belongs_to_a_position_entered_inside_it():
    """Entered at 98 in a bar of 95 to 103: 95 / 98 - 1 and 103 / 98 - 1; its orders are made at the bar's open."""
    run = rest((100.0, 103.0, 95.0, 99.0), given={"limit": 98.0, "target_price": 120.0})
    (trade,) = run.rows("trades")
    assert (trade["mae"], trade["mfe"]) == (pytest.approx(95.0 / 98.0 - 1.0), pytest.approx(103.0 / 98.0 - 1.0))
    assert (trade["entry_ts"], run.rows("orders")[1]["ts"], run.rows("fills")[0]["ts"]) == (at(1), at(1), at(1))


def test_its_target_is_looked_at_from_the_next_bar_on():
    run = rest((100.0, 103.0, 97.0, 99.0), (102.0, 102.0, 101.0, 101.0), given={"limit": 98.0, "target_price": 102.0})
    assert filled(run) == [(1, "limit", 98.0), (2, "target", 102.0)]


def test_market_orders_come_before_resting_ones_at_an_open():
    """Money for one of them: A's resting limit, made first, finds it gone."""
    bars = market({"A": [[100.0, 100.0, 90.0]], "B": [[100.0, 100.0, 90.0]]})
    run = play(bars, [buy(0, "A", limit=95.0, size=5.0), buy(1, "B", size=5.0)], cash=1000.0, risk={"max_open_positions": 2})
    assert [row["symbol"] for row in run.rows("fills")] == ["B", "A"]


def test_quotes_leave_resting_orders_on_the_trade_bar():
    quotes = [[(89.0, 89.0, 111.0, 111.0)] * 2]
    run = play(market({"A": [[100.0, 97.0]]}, quotes={"A": quotes}), [buy(0, limit=98.0)], price="quote")
    assert run.column("fills", "price") == [97.0]
    assert run.column("fills", "flags") == [""]


def test_an_entry_at_its_level_is_cut_to_what_cash_pays_for():
    """Decided at 100 for 10 shares; a stop entry at 110 leaves 9."""
    run = play(market({"A": [[100.0, (100.0, 111.0, 100.0, 111.0)]]}), [buy(0, entry_stop=110.0, size=10.0)], cash=1000.0)
    assert run.fills() == [(1, "buy", "stop", 9.0, 110.0)]
    assert run.orders() == [("stop", "partial", "insufficient_cash")]
