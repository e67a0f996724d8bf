"""Bars looked at again in finer ones. 100 shares bought at 100; stop 90, target 110 unless said; a bar is (open, high, low, close)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.trading.tiny import MINUTE, Bar, Played, at, buy, market, play, short

Finer = dict[int, Sequence[tuple[float, ...]]]
"""Finer bars (open, high, low, and close where it matters) of some slots of A."""
WIDE: Bar = (100.0, 115.0, 85.0, 104.0)
STOP_FIRST = [(100.0, 101.0, 99.0), (99.0, 99.0, 88.0), (99.0, 112.0, 99.0)]
TARGET_FIRST = [(100.0, 101.0, 99.0), (101.0, 112.0, 100.0), (99.0, 99.0, 85.0)]


class Lake:
    """Hands out finer bars, and remembers which slots were asked for."""

    def __init__(self, finer: Finer) -> None:
        self.finer, self.asked = finer, list[int]()

    def __call__(self, symbol: Any, begin: Any, finish: Any) -> tuple[Any, Any, Any, Any, Any]:
        assert (finish - begin == MINUTE).all()
        assert (symbol == 0).all()
        slots = [(int(ts) - at(0)) // MINUTE for ts in begin]
        self.asked += slots
        rows = [(place, *bar, bar[0])[:5] for place, slot in enumerate(slots) for bar in self.finer.get(slot, ())]
        columns = np.array(rows, np.float64).reshape(-1, 5).T
        return columns[0].astype(np.int64), columns[1], columns[2], columns[3], columns[4]


def run(bars: list[Bar], wish: Any, finer: Finer, **settings: Any) -> Played:
    return play(market({"A": [bars]}), [wish], account={"allow_short": True}, reading=Lake(finer), intrabar="drill_down", **settings)


def exits(run: Played) -> list[tuple[str, float, bool, str]]:
    """(type, price, ambiguous, flags) of every fill but the first."""
    return [(row["type"], row["price"], row["ambiguous"], row["flags"]) for row in run.rows("fills")][1:]


LEVELS = {"stop_price": 90.0, "target_price": 110.0}
HELD: list[Bar] = [100.0, 100.0, WIDE, 104.0]


@pytest.mark.parametrize(
    ("finer", "wanted"),
    [
        (STOP_FIRST, ("stop", 90.0, False, "drilled")),
        (TARGET_FIRST, ("target", 110.0, False, "drilled")),
        ([(100.0, 100.0, 95.0), (89.0, 111.0, 85.0)], ("stop", 89.0, False, "drilled")),  # by (a): it opens beyond the stop
        ([(100.0, 100.0, 95.0), (112.0, 115.0, 85.0)], ("target", 112.0, False, "drilled")),
        ([(100.0, 100.0, 95.0), (100.0, 115.0, 85.0)], ("stop", 90.0, True, "drilled")),  # one finer bar that holds both
        ([(100.0, 110.0, 95.0), (100.0, 100.0, 90.5)], ("stop", 90.0, True, "")),  # the seconds do not show what the minute says
        ([], ("stop", 90.0, True, "")),
    ],
)
def test_the_first_finer_bar_that_meets_one_of_them_decides(finer: Any, wanted: tuple[Any, ...]):
    assert exits(run(HELD, buy(0, **LEVELS), {2: finer})) == [wanted]


def test_a_touch_is_enough_where_the_run_says_so():
    finer = {2: [(100.0, 110.0, 95.0), (95.0, 95.0, 85.0)]}
    assert exits(run(HELD, buy(0, **LEVELS), finer, limit_fill="touch")) == [("target", 110.0, False, "drilled")]
    assert exits(run(HELD, buy(0, **LEVELS), finer)) == [("stop", 90.0, False, "drilled")]


def test_a_position_entered_at_the_open_was_entered_at_the_open_of_the_first_finer_bar():
    """A target equal to the open is not yet reached in the first finer bar, but at the open of the next."""
    wish = buy(0, stop_price=90.0, target_price=100.0)
    first = {1: [(100.0, 100.0, 99.0), (100.0, 115.0, 85.0)]}
    assert exits(run([100.0, WIDE], wish, first)) == [("target", 100.0, False, "drilled")]
    down = {1: [(100.0, 100.0, 89.0), (100.0, 115.0, 85.0)]}
    assert exits(run([100.0, WIDE], wish, down)) == [("stop", 90.0, False, "drilled")]


def test_a_short_is_mirrored():
    wish = short(0, stop_price=110.0, target_price=90.0)
    assert exits(run(HELD, wish, {2: STOP_FIRST})) == [("target", 90.0, False, "drilled")]
    assert exits(run(HELD, wish, {2: TARGET_FIRST})) == [("stop", 110.0, False, "drilled")]


def test_only_ambiguous_bars_are_asked_for_and_each_once():
    """Slot 4 meets the target alone, slot 6 the stop by its open."""
    lake = Lake({2: TARGET_FIRST})
    bars: list[Bar] = [100.0, 100.0, WIDE, 100.0, (100.0, 115.0, 99.0, 100.0), 100.0, (80.0, 115.0, 80.0, 100.0)]
    wishes = [buy(t, **LEVELS) for t in (0, 2, 4)]
    made = play(market({"A": [bars]}), wishes, reading=lake, intrabar="drill_down")
    assert [row[:2] for row in exits(made) if row[0] != "market"] == [("target", 110.0), ("target", 110.0), ("stop", 80.0)]
    assert lake.asked == [2]


def test_what_a_drilled_bar_changes_may_ask_for_another():
    """The second position, entered at the open of slot 3, is looked into as well."""
    lake = Lake({2: TARGET_FIRST, 3: STOP_FIRST})
    made = play(market({"A": [[100.0, 100.0, WIDE, WIDE]]}), [buy(0, **LEVELS), buy(2, **LEVELS)], reading=lake, intrabar="drill_down")
    assert [row for row in exits(made) if row[0] != "market"] == [("target", 110.0, False, "drilled"), ("stop", 90.0, False, "drilled")]
    assert lake.asked == [2, 3]


def test_without_finer_bars_it_is_pessimistic():
    bars = market({"A": [HELD]})
    plain = play(bars, [buy(0, **LEVELS)])
    alone = play(bars, [buy(0, **LEVELS)], intrabar="drill_down")
    assert all(frame.equals(alone.frames[name]) for name, frame in plain.frames.items())


def test_costs_are_those_of_the_bar():
    made = run(HELD, buy(0, **LEVELS), {2: STOP_FIRST}, slippage={"bps": 100.0, "impact_bps": 10.0})
    assert made.column("fills", "price")[1] == 90.0 * 0.99 - 90.0 * 0.001 * 10.0


ENTRY: Bar = (100.0, 115.0, 85.0, 104.0)


@pytest.mark.parametrize(
    ("given", "finer", "wanted"),
    [
        # stop entry at 105: the fall to 85 came before it
        ({"entry_stop": 105.0}, [(100.0, 100.0, 85.0), (100.0, 106.0, 100.0), (106.0, 106.0, 100.0)], []),
        # it came after it
        ({"entry_stop": 105.0}, [(100.0, 106.0, 100.0), (100.0, 100.0, 85.0)], [("stop", 90.0, False, "drilled")]),
        # and so did the target, which looks at later finer bars too
        ({"entry_stop": 105.0}, [(100.0, 106.0, 100.0), (106.0, 115.0, 106.0), (99.0, 99.0, 85.0)], [("target", 110.0, False, "drilled")]),
        # within the finer bar that enters nothing is certain
        ({"entry_stop": 105.0}, [(100.0, 106.0, 85.0)], [("stop", 90.0, True, "drilled")]),
        # a limit at 95 is passed on the way to the stop
        ({"limit": 95.0}, [(100.0, 112.0, 96.0), (96.0, 96.0, 85.0)], [("stop", 90.0, False, "drilled")]),
        ({"limit": 95.0}, [(100.0, 112.0, 85.0)], [("stop", 90.0, True, "drilled")]),
        ({"limit": 95.0}, [(100.0, 100.0, 94.0), (94.0, 112.0, 94.0), (94.0, 94.0, 85.0)], [("target", 110.0, False, "drilled")]),
        # nothing meets the entry
        ({"entry_stop": 105.0}, [(100.0, 104.0, 85.0)], [("stop", 90.0, True, "")]),
    ],
)
def test_an_entry_inside_a_bar_counts_from_the_finer_bar_that_meets_it(given: Any, finer: Any, wanted: list[Any]):
    assert exits(run([100.0, ENTRY, 104.0], buy(0, **LEVELS, **given), {1: finer})) == wanted


def test_its_stop_is_no_better_than_the_entry():
    """A limit at 88 below the stop at 90."""
    made = run([100.0, ENTRY], buy(0, limit=88.0, **LEVELS), {1: [(100.0, 112.0, 95.0), (95.0, 95.0, 85.0)]})
    assert made.column("fills", "price") == [88.0, 88.0]


def test_after_a_rung_the_next_one_looks_from_the_same_finer_bar_on():
    """Half at 105 and half at 110: both in the second finer bar, or the stop before the second."""
    rungs = ({"take_profit": 0.05, "fraction": 0.5}, {"take_profit": 0.1, "fraction": 0.5})
    up = {2: [(100.0, 101.0, 99.0), (101.0, 112.0, 100.0), (99.0, 99.0, 85.0)]}
    made = exits(run(HELD, buy(0, stop_price=90.0), up, scale_out=rungs))
    assert [(kind, pytest.approx(price), sure, flags) for kind, price, sure, flags in made] == [
        ("target", 105.0, False, "drilled"), ("target", 110.0, False, "drilled"),
    ]  # fmt: skip
    down = {2: [(100.0, 106.0, 99.0), (99.0, 99.0, 85.0), (85.0, 115.0, 85.0)]}
    assert [row[0] for row in exits(run(HELD, buy(0, stop_price=90.0), down, scale_out=rungs))] == ["target", "stop"]
    unseen = {2: [(100.0, 106.0, 99.0)]}
    assert exits(run(HELD, buy(0, stop_price=90.0), unseen, scale_out=rungs))[1] == ("stop", 90.0, True, "")
