"""The slow simulator where finer bars tell what came first inside a bar: literal bars, answers found by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.scene import Bar, Result, Signal
from tests.simulator import simulate
from tests.tiny import Row, buy, flat, scene, short

COARSE = (100.0, 120.0, 80.0, 110.0)
BOTH = {"stop_price": 90.0, "target_price": 115.0}


def drilled(rows: list[Row], fine: list[Row], *signals: Signal, at: int = -1, **rules: object) -> Result:
    """The bar at `at` (the last one) has finer bars."""
    made = scene(rows, signals=list(signals), intrabar="drill_down", **rules)
    slots = list(made.slots)
    slots[at] = replace(slots[at], fine={"A": tuple(Bar(*row) for row in fine)})
    return simulate(replace(made, slots=tuple(slots)))


def exits(result: Result) -> list[tuple[object, ...]]:
    """(type, quantity, price, flags, other_type, other) of the fills after the first; `ambiguous` is among the flags."""
    rows = []
    for fill in result.fills[1:]:
        flags = " ".join([*["ambiguous"] * fill["ambiguous"], *fill["flags"]])
        rows.append((fill["order"].type, fill["quantity"], fill["price"], flags, fill["other_type"], fill["other"]))
    return rows


def held(fine: list[Row], **more: object) -> list[tuple[object, ...]]:
    """Bought at 100 on the bar before one that holds both levels."""
    return exits(drilled([flat(100.0), flat(100.0), COARSE], fine, buy(0, **{**BOTH, **more})))


@pytest.mark.parametrize(
    ("fine", "want"),
    [
        ([(100.0, 116.0, 99.0, 112.0), (112.0, 120.0, 80.0, 110.0)], ("target", 115.0, "drilled", None, None)),
        ([(100.0, 101.0, 89.0, 95.0), (95.0, 120.0, 80.0, 110.0)], ("stop", 90.0, "drilled", None, None)),
        ([(100.0, 110.0, 95.0, 100.0), (85.0, 120.0, 80.0, 110.0)], ("stop", 85.0, "drilled", None, None)),
        ([(100.0, 110.0, 95.0, 100.0), (118.0, 120.0, 80.0, 110.0)], ("target", 118.0, "drilled", None, None)),
        ([(100.0, 110.0, 95.0, 100.0), (115.0, 115.0, 91.0, 100.0)], ("target", 115.0, "drilled", None, None)),
        ([(100.0, 120.0, 80.0, 110.0)], ("stop", 90.0, "ambiguous drilled", "target", 115.0)),
        ([(100.0, 115.0, 91.0, 110.0), (110.0, 120.0, 80.0, 110.0)], ("stop", 90.0, "ambiguous drilled", "target", 115.0)),
        ([(100.0, 120.0, 80.0, 110.0, 0.0), (110.0, 116.0, 91.0, 110.0)], ("target", 115.0, "drilled", None, None)),
        ([], ("stop", 90.0, "ambiguous", "target", 115.0)),
        ([(100.0, 110.0, 95.0, 100.0), flat(100.0)], ("stop", 90.0, "ambiguous", "target", 115.0)),
    ],
)
def test_the_first_finer_bar_that_meets_a_level_decides(fine: list[Row], want: tuple[object, ...]):
    assert held(fine) == [(want[0], 100.0, *want[1:])]


def test_a_bar_that_tells_is_not_looked_at_more_finely():
    rows = [flat(100.0), flat(100.0), (100.0, 112.0, 80.0, 110.0)]
    assert exits(drilled(rows, [(100.0, 120.0, 99.0, 100.0)], buy(0, **BOTH))) == [("stop", 100.0, 90.0, "", None, None)]
    rows[-1] = (118.0, 120.0, 80.0, 110.0)
    assert exits(drilled(rows, [(80.0, 80.0, 80.0, 80.0)], buy(0, **BOTH))) == [("target", 100.0, 118.0, "", None, None)]


def test_a_short_is_the_mirror():
    rows = [flat(100.0), flat(100.0), COARSE]
    entry = short(0, stop_price=115.0, target_price=90.0)
    first = drilled(rows, [(100.0, 110.0, 89.0, 100.0), (100.0, 120.0, 80.0, 110.0)], entry, allow_short=True)
    assert exits(first) == [("target", 100.0, 90.0, "drilled", None, None)]
    gap = drilled(rows, [flat(100.0), (117.0, 120.0, 80.0, 110.0)], entry, allow_short=True)
    assert exits(gap) == [("stop", 100.0, 117.0, "drilled", None, None)]


def test_a_target_at_the_open_that_entered_waits_in_the_first_finer_bar_too():
    # bought at 100, the target's own price: a touch at the open is not enough, and the first finer bar goes no higher
    entry = buy(0, stop_price=90.0, target_price=100.0)
    rows, fine = [flat(100.0), COARSE], [(100.0, 100.0, 95.0, 95.0), (95.0, 99.0, 89.0, 90.0), (100.0, 120.0, 80.0, 110.0)]
    assert exits(drilled(rows, fine, entry)) == [("stop", 100.0, 90.0, "drilled", None, None)]
    assert exits(drilled(rows, fine, entry, limit_fill="touch")) == [("target", 100.0, 100.0, "", None, None)]  # the bar's own open tells
    assert exits(drilled(rows, [fine[0], fine[2]], entry)) == [("target", 100.0, 100.0, "drilled", None, None)]


def test_slippage_of_a_drilled_stop_is_that_of_its_slot():
    # 100 of the slot's 400: a root of 0.5 of 1 percent of 90 is 0.45, whatever the finer bar's volume
    rows = [flat(100.0), flat(100.0, 1e12), (*COARSE, 400.0)]
    result = drilled(rows, [(100.0, 101.0, 89.0, 95.0, 100.0)], buy(0, **BOTH), impact_bps=100.0)
    assert result.fills[1]["price"] == 90.0 - 0.45


RUNGS = {"scale_out": ((0.05, 0.25), (0.1, 0.25), (0.15, 0.5))}


@pytest.mark.parametrize(
    ("fine", "want"),
    [
        (  # the first finer bar reaches two rungs, the second the stop
            [(100.0, 112.0, 95.0, 100.0), (100.0, 120.0, 80.0, 110.0)],
            [("target", 25.0, 105.0, "drilled", None, None), ("target", 25.0, 110.0, "drilled", None, None),
             ("stop", 50.0, 90.0, "ambiguous drilled", "target", 115.0)],
        ),
        (  # a gap over two rungs: the first at the open, the second at its level
            [(112.0, 113.0, 100.0, 100.0), (100.0, 100.0, 80.0, 110.0)],
            [("target", 25.0, 112.0, "drilled", None, None), ("target", 25.0, 110.0, "drilled", None, None),
             ("stop", 50.0, 90.0, "drilled", None, None)],
        ),
        (  # a rung and the stop in one finer bar
            [(100.0, 106.0, 89.0, 100.0), (100.0, 120.0, 80.0, 110.0)], [("stop", 100.0, 90.0, "ambiguous drilled", "target", 105.0)]
        ),
        (  # nothing after the first rung fills what the bar must fill: the stop, which might have been the second rung
            [(100.0, 106.0, 95.0, 100.0)],
            [("target", 25.0, 105.0, "drilled", None, None), ("stop", 75.0, 90.0, "ambiguous", "target", 110.0)],
        ),
    ],
)  # fmt: skip
def test_after_a_rung_the_next_one_looks_from_the_same_finer_bar_on(fine: list[Row], want: list[tuple[object, ...]]):
    rows = [flat(100.0), flat(100.0), COARSE]
    levels = [
        (kind, quantity, pytest.approx(price), flags, name, other and pytest.approx(other))
        for kind, quantity, price, flags, name, other in want
    ]
    assert exits(drilled(rows, fine, buy(0, stop_price=90.0), **RUNGS)) == levels


ENTERED = (100.0, 104.0, 96.0, 99.5)


@pytest.mark.parametrize(
    ("entry", "levels", "fine", "want"),
    [
        # bought by a stop at 101 in the second finer bar; what came before it does not count
        ({"entry_stop": 101.0}, {"stop_price": 97.0}, [(100.0, 100.0, 96.0, 100.0), (100.0, 104.0, 99.0, 99.5)], []),
        ({"entry_stop": 101.0}, {"stop_price": 97.0}, [(100.0, 102.0, 98.0, 102.0), (102.0, 104.0, 96.0, 99.5)],
         [("stop", 97.0, "drilled", None, None)]),
        ({"entry_stop": 101.0}, {"stop_price": 97.0}, [(100.0, 102.0, 98.0, 102.0), (96.5, 104.0, 96.0, 99.5)],
         [("stop", 96.5, "drilled", None, None)]),
        ({"entry_stop": 101.0}, {"stop_price": 97.0}, [(100.0, 102.0, 96.5, 102.0), (102.0, 104.0, 96.0, 99.5)],
         [("stop", 97.0, "ambiguous drilled", "held", 99.5)]),
        # in the finer bar that enters the target is not looked at, but it might have been it
        ({"entry_stop": 101.0}, {"stop_price": 97.0, "target_price": 103.0}, [(100.0, 104.0, 96.0, 102.0)],
         [("stop", 97.0, "ambiguous drilled", "target", 103.0)]),
        ({"entry_stop": 101.0}, {"stop_price": 97.0, "target_price": 103.0}, [(100.0, 104.0, 98.0, 98.0), (98.0, 102.0, 96.0, 99.5)],
         [("stop", 97.0, "drilled", None, None)]),
        # in later ones it is
        ({"entry_stop": 101.0}, {"stop_price": 97.0, "target_price": 103.0}, [(100.0, 102.0, 98.0, 102.0), (102.0, 104.0, 98.0, 99.5)],
         [("target", 103.0, "drilled", None, None)]),
        ({"entry_stop": 101.0}, {"stop_price": 97.0, "target_price": 103.0}, [(100.0, 102.0, 98.0, 102.0), (102.0, 104.0, 96.0, 99.5)],
         [("stop", 97.0, "ambiguous drilled", "target", 103.0)]),
        # none enters, or there are none: as pessimistic
        ({"entry_stop": 101.0}, {"stop_price": 97.0}, [(100.0, 100.5, 96.0, 99.0)], [("stop", 97.0, "ambiguous", "held", 99.5)]),
        ({"entry_stop": 101.0}, {"stop_price": 97.0}, [], [("stop", 97.0, "ambiguous", "held", 99.5)]),
        # a stop above the entry fills at the entry's price
        ({"entry_stop": 101.0}, {"stop_price": 110.0}, [(100.0, 102.0, 98.0, 102.0)], [("stop", 101.0, "ambiguous drilled", "held", 99.5)]),
        # by a limit: unsure, and looked at, only where the bar reaches the target too
        ({"limit": 98.0}, {"stop_price": 97.0}, [(100.0, 104.0, 97.5, 100.0)], [("stop", 97.0, "", None, None)]),
        ({"limit": 98.0}, {"stop_price": 97.0, "target_price": 103.0},
         [(100.0, 104.0, 98.0, 100.0), (100.0, 100.0, 97.5, 98.0), (98.0, 103.5, 98.0, 99.5)], [("target", 103.0, "drilled", None, None)]),
        # in the finer bar that enters it is sure again where that bar does not reach the target
        ({"limit": 98.0}, {"stop_price": 97.0, "target_price": 103.0}, [(100.0, 102.0, 96.0, 100.0), (100.0, 104.0, 100.0, 99.5)],
         [("stop", 97.0, "drilled", None, None)]),
        ({"limit": 98.0}, {"stop_price": 97.0, "target_price": 103.0}, [(100.0, 104.0, 96.0, 99.5)],
         [("stop", 97.0, "ambiguous drilled", "target", 103.0)]),
        # a stop_limit triggered inside fills at its stop
        ({"entry_stop": 101.0, "limit": 102.0}, {"stop_price": 97.0}, [(100.0, 100.0, 96.0, 100.0), (100.0, 104.0, 99.0, 99.5)], []),
        # one that the open triggers is a limit order from then on
        ({"entry_stop": 99.5, "limit": 98.0}, {"stop_price": 97.0}, [(99.0, 99.0, 97.5, 98.5), (98.5, 104.0, 96.0, 99.5)],
         [("stop", 97.0, "drilled", None, None)]),
    ],
)  # fmt: skip
def test_a_position_entered_inside_a_bar_lives_from_the_finer_bar_that_enters_on(
    entry: dict[str, float], levels: dict[str, float], fine: list[Row], want: list[tuple[object, ...]]
):
    result = drilled([flat(100.0), ENTERED], fine, buy(0, **entry, **levels))
    assert exits(result) == [(kind, 100.0, *rest) for kind, *rest in want]


def test_a_stop_without_a_lot_left_in_the_bar_waits_for_the_next_bar():
    # half of the bar's 100 shares: the entry at its open has taken 50 of 100 wanted, and nothing is left for its stop
    rows = [flat(100.0), (*COARSE, 100.0)]
    result = drilled(rows, [(100.0, 101.0, 89.0, 95.0)], buy(0, **BOTH), max_participation=0.5)
    assert [fill["quantity"] for fill in result.fills] == [50.0]
