"""The slow simulator where a bar does not tell what came first: literal bars, both answers found by hand."""

from __future__ import annotations

import pytest

from tests.scene import Result
from tests.simulator import simulate
from tests.tiny import buy, flat, scene, short

BOTH = (100.0, 120.0, 80.0, 110.0, 400.0)
LEVELS = {"stop_price": 90.0, "target_price": 115.0}
ENTERED = {"stop_price": 97.0, "target_price": 103.0}


def last(result: Result) -> tuple[object, ...]:
    """Type and price of the last fill, and what it might have been."""
    fill = result.fills[-1]
    assert fill["ambiguous"] == (fill["other"] is not None)
    return fill["order"].type, fill["price"], fill["other_type"], fill["other"]


@pytest.mark.parametrize(
    ("intrabar", "slippage", "want"),
    [
        ("pessimistic", {}, ("stop", 90.0, "target", 115.0)),
        ("optimistic", {}, ("target", 115.0, "stop", 90.0)),
        ("pessimistic", {"slippage_ticks": 4.0, "tick": 0.25}, ("stop", 89.0, "target", 115.0)),
        ("optimistic", {"slippage_ticks": 4.0, "tick": 0.25}, ("target", 115.0, "stop", 89.0)),
        ("optimistic", {"impact_bps": 100.0}, ("target", 115.0, "stop", 90.0 - 0.45)),  # 90 x 1 percent x the root of 100 / 400
    ],
)
def test_of_a_bar_with_both_levels_the_other_one_would_have_filled_after_slippage(
    intrabar: str, slippage: dict[str, float], want: tuple[object, ...]
):
    rows = [flat(100.0), flat(100.0, 400.0), BOTH]
    assert last(simulate(scene(rows, signals=[buy(0, **LEVELS)], intrabar=intrabar, **slippage))) == want


def test_a_short_is_the_mirror_and_a_trailing_stop_is_named():
    rows = [flat(100.0), flat(100.0), BOTH]
    sold = simulate(scene(rows, signals=[short(0, stop_price=115.0, target_price=90.0)], allow_short=True, slippage_ticks=100.0))
    assert last(sold) == ("stop", 116.0, "target", 90.0)
    trails = [buy(0, trailing_amount=10.0, target_price=115.0)]
    assert last(simulate(scene(rows, signals=trails, intrabar="optimistic"))) == ("target", 115.0, "trailing", 90.0)


def test_a_fill_that_a_bar_tells_for_sure_has_no_other():
    rows = [flat(100.0), flat(100.0), (85.0, 120.0, 80.0, 110.0)]
    assert last(simulate(scene(rows, signals=[buy(0, **LEVELS)]))) == ("stop", 85.0, None, None)


@pytest.mark.parametrize(
    ("entry", "levels", "want"),
    [
        ({"entry_stop": 101.0}, {"stop_price": 97.0}, ("stop", 97.0, "held", 99.5)),
        ({"entry_stop": 101.0}, ENTERED, ("stop", 97.0, "target", 103.0)),
        ({"entry_stop": 101.0}, {"stop_price": 97.0, "target_price": 110.0}, ("stop", 97.0, "held", 99.5)),
        ({"limit": 98.0}, ENTERED, ("stop", 97.0, "target", 103.0)),
        ({"limit": 98.0}, {"stop_price": 97.0}, ("stop", 97.0, None, None)),
    ],
)
def test_a_stop_in_the_bar_that_entered_might_have_been_a_target_or_nothing(
    entry: dict[str, float], levels: dict[str, float], want: tuple[object, ...]
):
    result = simulate(scene([flat(100.0), (100.0, 104.0, 96.0, 99.5)], signals=[buy(0, **entry, **levels)]))
    assert last(result) == want


def test_the_other_of_a_rung_is_the_stop_at_the_price_of_so_many_shares():
    # the rung sells 25 of 100; with a volume of 400 the root of 25 / 400 is 0.25: 90 x 1 percent x 0.25 = 0.225
    rows = [flat(100.0), flat(100.0, 400.0), BOTH]
    rules = {"scale_out": ((0.1, 0.25), (0.5, 0.75)), "intrabar": "optimistic", "impact_bps": 100.0}
    result = simulate(scene(rows, signals=[buy(0, stop_price=90.0)], **rules))
    first = result.fills[1]
    assert (first["order"].type, first["quantity"], first["other_type"], first["other"]) == ("target", 25.0, "stop", 90.0 - 0.225)
    stop = result.fills[2]  # the rest: its level is hit, and the second rung is far
    assert (stop["order"].type, stop["quantity"], stop["ambiguous"], stop["other"]) == ("stop", 75.0, False, None)
