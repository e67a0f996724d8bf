"""The slow simulator where stops look at quotes, or fill at the close of the bar that met them: literal bars, answers found by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.scene import Bar, Quote, Result, Scene
from tests.simulator import simulate
from tests.tiny import Row, buy, fills, flat, scene, sell, short

CALM = [flat(100.0), flat(100.0)]
CLOSE = {"stop_fill": "close"}
WATCH = {"stop_watch": "quote"}
Side = tuple[float, float, float, float]


def quoted(bid: Side, ask: Side) -> Quote:
    """A quote bar of two sides of open, high, low, close."""
    return Quote(bid[0], bid[3], ask[0], ask[3], bid_high=bid[1], bid_low=bid[2], ask_high=ask[1], ask_low=ask[2])


def steady(bid: float, ask: float) -> Quote:
    return quoted((bid,) * 4, (ask,) * 4)


def last(result: Result) -> tuple[object, ...]:
    fill = result.fills[-1]
    return fill["t"], fill["order"].type, fill["price"], fill["ambiguous"], ",".join(fill["flags"])


def run(*rows: Row, signals: list[Any], quotes: dict[int, Quote] | None = None, **rules: Any) -> Result:
    return simulate(scene([*CALM, *rows], signals=signals, quotes=quotes, **rules))


# The close of the bar that met it


@pytest.mark.parametrize(
    ("bar", "price"),
    [
        ((100.0, 101.0, 97.0, 97.5), 97.5),  # met inside, the close is worse
        ((100.0, 101.0, 97.0, 99.5), 98.0),  # met inside, the level is worse
        ((96.0, 97.0, 95.0, 95.5), 95.5),  # met at the open: level and close count, not the open
        ((96.0, 99.0, 95.0, 99.0), 98.0),
        ((96.0, 97.0, 95.0, 97.0), 97.0),
    ],
)
def test_a_stop_fills_at_the_worse_of_its_level_and_the_close(bar: Row, price: float):
    assert last(run(bar, signals=[buy(0, stop_price=98.0)], **CLOSE)) == (2, "stop", price, False, "")
    trailing = run(bar, signals=[buy(0, trailing_amount=2.0)], **CLOSE)
    assert last(trailing) == (2, "trailing", price, False, "")
    mirrored = (200.0 - bar[0], 200.0 - bar[2], 200.0 - bar[1], 200.0 - bar[3])
    turned = run(mirrored, signals=[short(0, stop_price=102.0)], allow_short=True, **CLOSE)
    assert last(turned) == (2, "stop", 200.0 - price, False, "")


@pytest.mark.parametrize(
    ("levels", "bar", "kind", "price"),
    [
        ({"entry_stop": 102.0}, (100.0, 104.0, 99.0, 103.0), "stop", 103.0),
        ({"entry_stop": 102.0}, (100.0, 104.0, 99.0, 101.0), "stop", 102.0),
        ({"entry_stop": 102.0}, (103.0, 104.0, 99.0, 99.0), "stop", 102.0),
        ({"entry_trail": 0.02}, (103.0, 104.0, 99.0, 103.5), "trailing", 103.5),
        ({"entry_stop": 102.0, "limit": 103.0}, (100.0, 104.0, 99.0, 103.5), "stop_limit", 102.0),
        ({"limit": 99.5}, (100.0, 104.0, 99.0, 103.5), "limit", 99.5),
    ],
)
def test_of_entries_stops_do_and_limits_and_stop_limits_do_not(levels: dict[str, float], bar: Row, kind: str, price: float):
    result = simulate(scene([flat(100.0), bar], signals=[buy(0, **levels)], **CLOSE))
    assert fills(result) == [(1, kind, 100.0, price)]


def test_a_target_fills_at_its_level_and_slippage_comes_on_top_of_the_close():
    target = run((100.0, 106.0, 100.0, 101.0), signals=[buy(0, target_price=105.0)], **CLOSE)
    assert last(target) == (2, "target", 105.0, False, "")
    result = run((100.0, 100.0, 96.0, 96.0), signals=[buy(0, stop_price=98.0)], slippage_bps=100.0, **CLOSE)
    assert last(result)[2] == 96.0 * 0.99
    assert result.fills[-1]["slippage"] == 96_000_000


def test_an_entry_at_the_open_is_one_at_the_open_whatever_it_pays():
    # met at the open of 103, paid 104 (the close); its stop at 101 is first looked at in this very bar, and closes it at 101
    bar = (103.0, 105.0, 100.0, 104.0)
    result = simulate(scene([flat(100.0), bar], signals=[buy(0, entry_stop=102.0, stop_price=101.0)], **CLOSE))
    assert [fill["price"] for fill in result.fills] == [104.0, 101.0]
    assert [fill["ambiguous"] for fill in result.fills] == [False, False]


def test_a_position_stopped_in_the_bar_that_it_was_entered_inside_of_leaves_at_the_worst():
    bar = (100.0, 103.0, 97.0, 97.5)
    result = simulate(scene([flat(100.0), bar], signals=[buy(0, entry_stop=102.0, stop_price=98.0)], **CLOSE))
    assert [(fill["price"], fill["ambiguous"]) for fill in result.fills] == [(102.0, False), (97.5, True)]
    above = simulate(scene([flat(100.0), (100.0, 101.0, 97.0, 99.5)], signals=[buy(0, limit=98.0, stop_price=99.0)], **CLOSE))
    assert [fill["price"] for fill in above.fills] == [98.0, 98.0]


def test_the_other_price_of_an_ambiguous_fill_is_the_stops_at_the_close():
    guards = {"stop_price": 98.0, "target_price": 102.0}
    result = run((100.0, 103.0, 97.0, 97.5), signals=[buy(0, **guards)], intrabar="optimistic", **CLOSE)
    assert (last(result), result.fills[-1]["other"], result.fills[-1]["other_type"]) == ((2, "target", 102.0, True, ""), 97.5, "stop")


def finer(made: Scene, t: int, *bars: tuple[float, float, float, float]) -> Scene:
    slots = list(made.slots)
    slots[t] = replace(slots[t], fine={"A": tuple(Bar(*bar) for bar in bars)})
    return replace(made, slots=tuple(slots))


def test_of_a_bar_that_finer_ones_decide_the_close_is_the_finer_ones():
    made = scene(
        [*CALM, (100.0, 103.0, 95.0, 101.0)], signals=[buy(0, stop_price=98.0, target_price=102.0)], intrabar="drill_down", **CLOSE
    )
    result = simulate(finer(made, 2, (100.0, 100.0, 95.0, 96.0), (96.0, 103.0, 96.0, 101.0)))
    assert last(result) == (2, "stop", 96.0, False, "drilled")


# Quotes


def test_a_stop_that_sells_looks_at_the_bid_and_a_target_at_the_trades():
    quotes = {2: quoted((99.0, 99.0, 97.0, 98.5), (101.0, 106.0, 101.0, 101.0))}
    signal = buy(0, stop_price=98.0, target_price=105.0)
    result = run(flat(100.0), signals=[signal], quotes=quotes, **WATCH)
    assert last(result) == (2, "stop", 98.0, False, "")
    assert len(run(flat(100.0), signals=[signal], quotes=quotes).fills) == 1
    unmet = run((100.0, 100.0, 90.0, 90.0), signals=[signal], quotes={2: steady(99.0, 101.0)}, **WATCH)
    assert len(unmet.fills) == 1


def test_a_stop_that_buys_looks_at_the_ask():
    quotes = {2: quoted((99.0, 99.0, 99.0, 99.0), (101.0, 103.0, 101.0, 101.0))}
    covered = run(flat(100.0), signals=[short(0, stop_price=102.0)], quotes=quotes, allow_short=True, **WATCH)
    assert last(covered) == (2, "stop", 102.0, False, "")
    entered = run(flat(100.0), signals=[buy(1, entry_stop=103.0)], quotes=quotes, **WATCH)
    assert last(entered) == (2, "stop", 103.0, False, "")


def test_a_gap_fills_at_the_open_of_the_side_and_a_close_at_its_close():
    quotes = {2: quoted((96.0, 97.0, 95.0, 95.5), (103.0, 105.0, 103.0, 104.0))}
    prices = [
        [last(run(flat(100.0), signals=[signal], quotes=quotes, **WATCH, **rules))[2] for rules in ({}, CLOSE)]
        for signal in (buy(0, stop_price=98.0), buy(1, entry_stop=102.0))
    ]
    assert prices == [[96.0, 95.5], [103.0, 104.0]]


@pytest.mark.parametrize(
    ("price", "flags"),
    [("trade", "synthetic_quote"), ("quote", "synthetic_quote")],
)
def test_without_a_quote_the_trade_bar_serves_and_the_fill_says_so(price: str, flags: str):
    quotes = {0: steady(99.0, 101.0), 1: steady(100.0, 100.0)}
    result = run((100.0, 100.0, 97.0, 99.0), signals=[buy(0, stop_price=98.0)], quotes=quotes, price=price, **WATCH)
    assert last(result) == (2, "stop", 98.0, False, flags)
    half = {2: Quote(99.0, 99.0, 101.0, 101.0, bid_high=99.0)}  # the bid's low is missing
    assert last(run((100.0, 100.0, 97.0, 99.0), signals=[buy(0, stop_price=98.0)], quotes=half, **WATCH))[2:] == (98.0, False, flags)


def test_a_slot_without_a_bar_that_fills_fills_nothing():
    quotes = {2: steady(90.0, 91.0), 3: steady(90.0, 91.0)}
    result = run(None, flat(100.0, 0.0), signals=[buy(0, stop_price=98.0)], quotes=quotes, **WATCH)
    assert len(result.fills) == 1


def test_a_stop_limit_looks_at_the_trades():
    quotes = {2: steady(110.0, 111.0)}
    result = run(flat(100.0), signals=[buy(1, entry_stop=102.0, limit=103.0)], quotes=quotes, **WATCH)
    assert result.fills == []


def test_trailing_levels_follow_the_side_that_they_look_at():
    # the bid's high of 104 leaves 102; the trades of slot 3 reach 120, the bid stays; at slot 4 the bid's low is 101.5
    quotes = {1: steady(100.0, 101.0), 2: quoted((100.0, 104.0, 100.0, 103.0), (101.0, 130.0, 101.0, 104.0)), 3: steady(103.0, 104.0),
              4: quoted((103.0, 103.0, 101.5, 102.5), (104.0, 104.0, 103.0, 103.0))}  # fmt: skip
    rows = [flat(100.0), (100.0, 120.0, 100.0, 100.0), flat(100.0)]
    result = run(*rows, signals=[buy(0, trailing_amount=2.0)], quotes=quotes, **WATCH)
    assert last(result) == (4, "trailing", 102.0, False, "")


def test_a_trailing_entry_follows_the_ask_at_the_slots_of_real_bars():
    # 100 + 2; the ask falls to 97 where nothing trades: not followed; then to 98: 100; at slot 4 the ask reaches 100.5
    quotes = {1: steady(99.0, 101.0), 2: steady(96.0, 97.0), 3: quoted((97.0, 97.0, 97.0, 97.0), (99.0, 99.0, 98.0, 98.0)),
              4: quoted((97.0, 97.0, 97.0, 97.0), (98.0, 100.5, 98.0, 100.25))}  # fmt: skip
    rows = [None, flat(100.0), flat(90.0)]
    result = run(*rows, signals=[buy(0, entry_trail_amount=2.0)], quotes=quotes, **WATCH)
    assert last(result) == (4, "trailing", 100.0, False, "")
    closed = run(*rows, signals=[buy(0, entry_trail_amount=2.0)], quotes=quotes, **WATCH, **CLOSE)
    assert last(closed) == (4, "trailing", 100.25, False, "")


def test_both_levels_met_by_their_own_bars_are_ambiguous():
    quotes = {2: quoted((100.0, 100.0, 97.0, 98.5), (101.0, 101.0, 101.0, 101.0))}
    guards = [buy(0, stop_price=98.0, target_price=103.0)]
    policies = ("pessimistic", "optimistic", "open_to_nearest")
    found = [last(run((101.0, 104.0, 101.0, 102.0), signals=guards, quotes=quotes, intrabar=p, **WATCH))[1:4] for p in policies]
    # the bid's open of 100 is 2 from the stop, the trade's open of 101 is 2 from the target: the stop on a tie
    assert found == [("stop", 98.0, True), ("target", 103.0, True), ("stop", 98.0, True)]


def test_the_spread_of_slippage_is_paid_on_top():
    quotes = {2: quoted((98.0, 98.0, 97.0, 98.0), (99.0, 99.0, 99.0, 99.0))}
    result = run(flat(100.0), signals=[buy(0, stop_price=97.5)], quotes=quotes, slippage_spread=0.5, **WATCH)
    assert last(result) == (2, "stop", 97.0, False, "")


def test_the_rest_of_a_stop_leaves_as_the_market_does():
    quotes = {2: steady(97.0, 98.0), 3: steady(90.0, 91.0)}
    made = run(flat(100.0, 100.0), flat(100.0, 1e6), signals=[buy(0, stop_price=98.0, size=1.0), sell(3)], quotes=quotes,
               max_participation=1.0, **WATCH)  # fmt: skip
    assert last(made) == (2, "stop", 97.0, False, "")
    thin = simulate(scene([flat(100.0), flat(100.0, 1e6), flat(100.0, 60.0), flat(99.0, 1e6)], signals=[buy(0, stop_price=98.0)],
                          quotes=quotes, max_participation=1.0, **WATCH))  # fmt: skip
    assert fills(thin)[1:] == [(2, "stop", 60.0, 97.0), (3, "stop", 40.0, 99.0)]
