"""What stops look at, and the price at which one that is met fills. 100 shares entered at 100 at the open of slot 1 unless said.

A quote is (bid open, high, low, close, ask open, high, low, close).
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from backtester.trading.execution import ExecutionSettings
from tests.trading.test_drill_down import Lake
from tests.trading.tiny import Bar, Played, buy, market, play, short

SHORT = {"allow_short": True}
FLAT: Bar = (100.0, 100.0, 100.0, 100.0)
WIDE: Bar = (100.0, 112.0, 88.0, 95.0)
NEAR = (99.0, 101.0, 92.0, 99.0, 101.0, 108.0, 99.0, 101.0)
"""A quote bar inside 92 to 101 on the bid, 99 to 108 on the ask."""


def held(
    bar: Bar, quote: tuple[float, ...] | None = None, enter: Any = buy, given: dict[str, float] | None = None, **settings: Any
) -> Played:
    """A position, and a bar with its quote."""
    quotes = {"A": [[None, None, quote]]}
    return play(market({"A": [[100.0, 100.0, bar]]}, quotes=quotes), [enter(0, **(given or {}))], account=SHORT, **settings)


def left(run: Played) -> list[tuple[str, float, str]]:
    """(type, price, flags) of what closed the position."""
    return [(row["type"], row["price"], row["flags"]) for row in run.rows("fills")][1:]


WATCH = {"stop_watch": "quote"}


def test_a_stop_looks_at_the_side_that_it_trades_with():
    """The trade bar goes down to 88 and up to 112; the bid only to 92, the ask to 108."""
    assert left(held(WIDE, NEAR, given={"stop_price": 91.0}, **WATCH)) == []
    assert left(held(WIDE, NEAR, given={"stop_price": 91.0})) == [("stop", 91.0, "")]
    assert left(held(FLAT, NEAR, given={"stop_price": 92.0}, **WATCH)) == [("stop", 92.0, "")]
    assert left(held(WIDE, NEAR, short, {"stop_price": 109.0}, **WATCH)) == []
    assert left(held(FLAT, NEAR, short, {"stop_price": 108.0}, **WATCH)) == [("stop", 108.0, "")]


def test_an_open_of_the_quote_beyond_the_stop_fills_there():
    assert left(held(FLAT, NEAR, given={"stop_price": 99.5}, **WATCH)) == [("stop", 99.0, "")]
    assert left(held(FLAT, NEAR, short, {"stop_price": 100.5}, **WATCH)) == [("stop", 101.0, "")]


@pytest.mark.parametrize("quote", [None, (99.0, float("nan"), 92.0, 99.0, 101.0, 108.0, 99.0, 101.0)])
def test_without_a_whole_quote_the_trade_bar_serves_and_the_fill_says_so(quote: Any):
    assert left(held(WIDE, quote, given={"stop_price": 91.0}, **WATCH)) == [("stop", 91.0, "synthetic_quote")]
    bare = play(market({"A": [[100.0, 100.0, WIDE]]}), [buy(0, stop_price=91.0)], **WATCH)
    assert left(bare) == [("stop", 91.0, "synthetic_quote")]


def test_a_target_looks_at_the_trade_bar():
    run = held((100.0, 105.0, 100.0, 104.0), NEAR, given={"stop_price": 91.0, "target_price": 104.0}, **WATCH)
    assert left(run) == [("target", 104.0, "")]
    both = held(WIDE, NEAR, given={"stop_price": 93.0, "target_price": 104.0}, intrabar="open_to_nearest", **WATCH)
    assert (left(both), both.column("fills", "ambiguous")) == ([("target", 104.0, "")], [False, True])


def test_a_quote_alone_fills_nothing():
    assert left(held((100.0, 100.0, 100.0, 100.0, 0.0), NEAR, given={"stop_price": 93.0}, **WATCH)) == []
    assert left(held(None, NEAR, given={"stop_price": 93.0}, **WATCH)) == []


def trailed(*quotes: Any, enter: Any = buy, **given: float) -> Played:
    """A position over bars at 100 with these quotes from slot 1 on."""
    bars: list[Bar] = [FLAT] * (1 + len(quotes))
    return play(market({"A": [bars]}, quotes={"A": [[None, *quotes]]}), [enter(0, **given)], account=SHORT, **WATCH)


UP = (100.0, 110.0, 100.0, 110.0, 101.0, 120.0, 101.0, 111.0)
DOWN = (99.0, 99.0, 80.0, 90.0, 100.0, 100.0, 90.0, 91.0)


def test_a_trailing_stop_follows_the_quotes_of_its_side():
    """A long's follows the bid's high of 110, not the ask's of 120; a short's the ask's low of 90."""
    assert left(trailed(UP, (106.0, 106.0, 104.0, 105.0, *UP[4:]), trailing_amount=5.0)) == [("trailing", 105.0, "")]
    assert left(trailed(DOWN, (*DOWN[:4], 94.0, 96.0, 94.0, 95.0), enter=short, trailing_amount=5.0)) == [("trailing", 95.0, "")]
    assert left(trailed(UP, None, trailing_amount=5.0)) == [("trailing", 100.0, "synthetic_quote")]


def test_entries_by_a_stop_look_at_quotes_too():
    """A buy at the ask: open 101, high 108. The trailing one follows the ask's low of 99."""
    bars: list[Bar] = [FLAT] * 3
    quotes = {"A": [[None, NEAR, (99.0, 99.0, 99.0, 99.0, 100.0, 104.5, 100.0, 104.0)]]}

    def bought(**given: float) -> list[tuple[Any, ...]]:
        return [fill[:1] + fill[4:] for fill in play(market({"A": [bars]}, quotes=quotes), [buy(0, **given)], **WATCH).fills()]

    assert bought(entry_stop=108.0) == [(1, 108.0)]
    assert bought(entry_stop=100.5) == [(1, 101.0)]
    assert bought(entry_stop=109.0) == []
    assert bought(entry_trail_amount=5.25) == [(1, 105.25)]
    assert bought(entry_trail_amount=8.5) == []
    assert bought(entry_trail_amount=9.0) == []
    assert bought(entry_stop=108.0, limit=109.0) == []
    low = {"A": [[None, (*NEAR[:4], 101.0, 104.0, 99.0, 101.0), (99.0, 99.0, 99.0, 99.0, 100.0, 104.5, 100.0, 104.0)]]}
    assert play(market({"A": [bars]}, quotes=low), [buy(0, entry_trail_amount=5.0)], **WATCH).fills()[0][0::4] == (2, 104.0)


def test_a_position_entered_inside_a_bar_gets_its_stop_looked_at_by_quotes():
    """Bought at a limit of 96 in the trade bar; the bid goes down to 92: a stop of 93 is hit, one of 91 is not."""
    bar, quotes = (100.0, 100.0, 88.0, 99.0), {"A": [[None, NEAR]]}
    for stop, fills in ((93.0, 2), (91.0, 1)):
        run = play(market({"A": [[100.0, bar]]}, quotes=quotes), [buy(0, limit=96.0, stop_price=stop)], **WATCH)
        assert [fill[4] for fill in run.fills()] == [96.0, stop][:fills]


CLOSE = {"stop_fill": "close"}


@pytest.mark.parametrize(
    ("bar", "price"),
    [
        ((100.0, 100.0, 88.0, 89.0), 89.0),
        ((100.0, 100.0, 88.0, 95.0), 90.0),
        ((85.0, 96.0, 80.0, 95.0), 90.0),  # an open beyond it: the level and the close alone count
        ((85.0, 86.0, 80.0, 81.0), 81.0),
    ],
)
def test_a_stop_that_is_met_fills_at_the_worse_of_its_level_and_the_close(bar: Bar, price: float):
    assert left(held(bar, given={"stop_price": 90.0}, **CLOSE)) == [("stop", price, "")]
    mirrored = tuple(200.0 - bar[k] for k in (0, 2, 1, 3))  # type: ignore[index]
    assert left(held(mirrored, enter=short, given={"stop_price": 110.0}, **CLOSE)) == [("stop", 200.0 - price, "")]
    assert left(held(bar, given={"trailing_amount": 10.0}, **CLOSE)) == [("trailing", price, "")]
    assert left(held(bar, given={"stop_price": 90.0}, slippage={"bps": 100.0}, **CLOSE)) == [("stop", price * 0.99, "")]


def test_the_close_is_that_of_the_quote_that_was_looked_at():
    quote = (99.0, 99.0, 89.0, 89.5, 101.0, 101.0, 101.0, 101.0)
    assert left(held(FLAT, quote, given={"stop_price": 90.0}, **WATCH, **CLOSE)) == [("stop", 89.5, "")]


def test_entries_by_a_stop_fill_so_too_and_targets_and_stop_limits_do_not():
    def bought(bar: Bar, **given: float) -> list[float]:
        return [fill[4] for fill in play(market({"A": [[100.0, bar]]}), [buy(0, **given)], **CLOSE).fills()]

    assert bought((100.0, 110.0, 100.0, 108.0), entry_stop=105.0) == [108.0]
    assert bought((100.0, 110.0, 100.0, 101.0), entry_stop=105.0) == [105.0]
    assert bought((107.0, 110.0, 100.0, 101.0), entry_trail_amount=5.0) == [105.0]
    assert bought((100.0, 110.0, 100.0, 108.0), entry_stop=105.0, limit=106.0) == [105.0]
    assert left(held((100.0, 110.0, 100.0, 101.0), given={"target_price": 105.0}, **CLOSE)) == [("target", 105.0, "")]


def test_a_position_stopped_in_the_bar_that_it_was_entered_inside_is_sold_at_the_worst():
    """Bought at a limit of 96, its stop of 98 at once met: at 96, or the close where that is lower."""
    for close, price in ((99.0, 96.0), (91.0, 91.0)):
        run = play(market({"A": [[100.0, (100.0, 100.0, 90.0, close)]]}), [buy(0, limit=96.0, stop_price=98.0)], **CLOSE)
        assert [fill[4] for fill in run.fills()] == [96.0, price]


def test_what_an_ambiguous_fill_might_have_been_is_at_the_close_too():
    run = held(WIDE, given={"stop_price": 96.0, "target_price": 110.0}, intrabar="optimistic", **CLOSE)
    assert left(run) == [("target", 110.0, "")]
    assert run.column("fills", "other")[1] == 95.0


def test_a_finer_bar_has_its_own_close():
    lake = Lake({2: [(100.0, 101.0, 99.0, 100.0), (99.0, 99.0, 89.0, 89.5), (100.0, 112.0, 100.0, 112.0)]})
    wish = buy(0, stop_price=90.0, target_price=110.0)
    run = play(market({"A": [[100.0, 100.0, WIDE]]}), [wish], reading=lake, intrabar="drill_down", **CLOSE)
    assert left(run) == [("stop", 89.5, "drilled")]


def test_finer_quotes_are_not_looked_at():
    with pytest.raises(ValidationError, match="finer quotes are not looked at"):
        ExecutionSettings(intrabar="drill_down", stop_watch="quote")
