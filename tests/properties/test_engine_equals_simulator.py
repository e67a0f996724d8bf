"""The fast kernel against the slow simulator: every row of every table, to the last bit, however the run is cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from backtester.errors import DataError
from tests.properties.busy import busy_of
from tests.properties.engine import cuts_of, expected, play, rows_of
from tests.properties.features import ON
from tests.properties.markets import CASES, FEWER, MANY, Source, edge_of, edges, long_scene, scene_of, scenes, seeded, seeds
from tests.properties.unsure import unsure_of
from tests.scene import Scene
from tests.simulator import Stopped, simulate


def assert_agreed(scene: Scene) -> None:
    """Decisions, orders, fills, trades and equity are equal, money as whole numbers; a run that one stops, the other stops."""
    try:
        want = expected(scene, simulate(scene))
    except Stopped:
        with pytest.raises(DataError):
            play(scene)
        return
    got = play(scene)
    for name, rows in want.items():
        assert rows_of(got[name]) == rows, name


@CASES
@given(scenes())
def test_the_engine_gives_what_the_simulator_gives(scene: Scene):
    """D-01: small cases, made smaller where they differ."""
    assert_agreed(scene)


@CASES
@given(edges())
def test_the_engine_gives_what_the_simulator_gives_where_a_limit_is_met_to_the_last_unit(scene: Scene):
    """D-01."""
    assert_agreed(scene)


SHARE = 250
SHARES = [
    (make, first, min(first + SHARE, count))
    for make, count in ((scene_of, MANY), (busy_of, MANY), (unsure_of, MANY // 2), (edge_of, MANY // 2))
    for first in range(0, count, SHARE)
]  # so that several processes take part in many cases


@pytest.mark.parametrize(("make", "first", "stop"), SHARES, ids=[f"{make.__name__}-{first}" for make, first, _ in SHARES])
def test_the_engine_gives_what_the_simulator_gives_in_busy_runs(make: Callable[[Source], Scene], first: int, stop: int):
    """D-01."""
    for seed in seeds(stop)[first:]:
        try:
            assert_agreed(seeded(seed, make))
        except Exception as error:
            error.add_note(f"seeded({seed}, {make.__name__})")
            raise


@pytest.mark.parametrize("seed", range(4))
def test_a_long_run_of_many_orders_agrees_whole_and_session_by_session(seed: int):
    scene = long_scene(seed)
    assert_agreed(scene)
    whole, parts = play(scene), play(scene, tuple(cuts_of(scene)))
    assert all(whole[name].equals(parts[name]) for name in whole)


@FEWER
@given(scenes(), st.data())
def test_a_run_cut_at_any_sessions_gives_the_same_bits(scene: Scene, data: st.DataObject):
    """I-15: all ways to cut the run, of which three are tried a case."""
    try:
        whole, cuts = play(scene), cuts_of(scene)
    except DataError:  # a price that no order can fill at ends every cut of it
        reject()
    ways = [way for count in range(1, len(cuts) + 1) for way in combinations(cuts, count)]
    for way in data.draw(st.permutations(ways))[:3]:
        parts = play(scene, way)
        for name, table in whole.items():
            assert table.equals(parts[name]), (name, way)
            assert table.schema == parts[name].schema


def test_the_cases_reach_every_word_of_the_tables():
    """The random cases are worth their time: every reason, state, kind of order and flag comes up among them."""
    seen: Counter[str] = Counter()
    for seed, make in [(seed, make) for seed in range(700) for make in (scene_of, busy_of, unsure_of)]:
        try:
            result = simulate(seeded(seed, make))
        except Stopped:
            continue
        seen.update(f"{row['signal'].action} {row['reason']}" for row in result.decisions)
        seen.update(f"{order.type} {order.status} {order.reason}".strip() for order in result.orders)
        resting = [order for order in result.orders if order.role == "entry" and order.type != "market"]
        seen.update(f"resting {order.status} {order.reason}" for order in resting)
        seen.update(f"{order.role} {order.type} {order.status} {order.reason}".strip() for order in result.orders)
        seen.update("joined" for order in result.orders if order.joining and order.filled > 0.0)
        seen.update(f"rung {order.status} {order.reason}".strip() for order in result.orders if order.rung is not None)
        positions = {(trade["strategy"], trade["symbol"], trade["entry"]) for trade in result.trades}
        seen["part"] += len(result.trades) > len(positions)
        for fill in result.fills:
            flags = [*["ambiguous"] * fill["ambiguous"], *fill["flags"]]
            seen.update([*flags, " ".join(flags), f"other {fill['other_type']}"])
        seen.update(f"{trade['direction']} {trade['exit_reason'] or 'held'}" for trade in result.trades)
    assert EVERY_WORD - {word for word, count in seen.items() if count} == set()


REFUSED = (
    "low_quality", "low_confidence", "max_open_positions", "max_per_symbol", "max_per_trade", "max_buying_power", "insufficient_cash",
    "already_in_position", "below_lot", "after_last_entry", "session_closed", "no_bar_to_fill", "expired",
)  # fmt: skip
LEFT = ("approved", "no_position", "expired", "no_bar_to_fill")
EVERY_WORD = {
    *(f"{action} {reason}" for action in ("enter_long", "enter_short") for reason in ("approved", *REFUSED)),
    *(f"{action} {reason}" for action in ("exit_long", "exit_short") for reason in LEFT),
    *(f"{direction} {reason}" for direction in ("long", "short") for reason in ("signal", "stop", "target", "flat_at_close", "held")),
    "enter_short short_not_allowed", "market filled", "market partial insufficient_cash", "market cancelled insufficient_cash",
    "market cancelled max_open_positions", "market cancelled position_closed", "market expired expired", "market open no_bar_to_fill",
    "close filled", "stop filled", "stop open", "stop cancelled oco", "stop cancelled position_closed", "target filled", "target open",
    "target cancelled oco", "target cancelled position_closed", "ambiguous", "stale_close", "synthetic_quote",
}  # fmt: skip
RESTING = {
    *(f"{kind} {end}" for kind in ("limit", "stop", "stop_limit") for end in ("filled", "expired expired", "open no_bar_to_fill")),
    "resting partial insufficient_cash", "resting cancelled insufficient_cash", "resting cancelled max_open_positions",
}  # fmt: skip
OF_FEATURES: dict[str, set[str]] = {
    "parts": {
        "part", "joined", "exit limit cancelled position_closed", "exit limit cancelled flat_at_close", "exit limit cancelled replaced",
        "exit market cancelled replaced", "entry market cancelled position_closed", "entry limit cancelled position_closed",
        "enter_long position_closed", "enter_short position_closed", "exit_long below_lot", "exit_short below_lot",
    },
    "scale_out": {"rung filled", "rung open", "rung cancelled oco", "rung cancelled position_closed"},
    "targets": {"target within_threshold"},
    "participation": {
        "over_participation", "entry market partial expired", "entry market partial position_closed", "entry limit partial position_closed",
        "entry stop partial position_closed", "exit market partial expired", "exit target partial oco",
        "exit target partial position_closed", "exit stop open no_bar_to_fill",
    },
    "margin_calls": {
        "exit margin_call filled", "exit margin_call expired expired", "exit margin_call cancelled position_closed",
        "enter_long margin_call", "enter_short margin_call", "long margin_call", "short margin_call",
    },
    "session_orders": {
        *(f"{role} market_on_{place} {end}" for role in ("entry", "exit") for place in ("open", "close")
          for end in ("filled", "open no_bar_to_fill")),
        "entry market_on_open expired expired", "entry market_on_close expired expired", "exit market_on_close expired expired",
        "exit market_on_open cancelled position_closed", "exit market_on_close cancelled position_closed",
        "exit market_on_open cancelled flat_at_close", "exit market_on_open cancelled replaced",
    },
    "next_vwap": {"typical_price"},
    "size_at_fill": {"entry market cancelled below_lot"},
    "trailing_entries": {
        f"entry trailing {end}" for end in ("filled", "expired expired", "open no_bar_to_fill", "partial position_closed")
    },
    "ambiguity": {"other target", "other stop", "other trailing", "other held"},
    "drill_down": {"drilled", "ambiguous drilled"},
}  # fmt: skip
PATIENT = {
    "enter_long no_stop", "enter_short no_stop",
    "enter_long cooldown", "enter_short cooldown", "long trailing", "short trailing", "long time_stop", "short time_stop", "time filled",
    "time expired expired", "time open no_bar_to_fill", "time cancelled position_closed", "trailing filled", "trailing open",
    "trailing cancelled oco", "trailing cancelled position_closed",
}  # fmt: skip
EVERY_WORD |= RESTING | PATIENT
EVERY_WORD = EVERY_WORD.union(*(words for feature, words in OF_FEATURES.items() if feature in ON))
