"""The table of trades is what the fills say: rebuilt from them by a slow loop, on random runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests.properties.busy import busy_of
from tests.properties.engine import play, rows_of
from tests.properties.every_run import lots_of
from tests.properties.features import ON
from tests.properties.markets import FEWER, MANY, long_scene, scenes, seeded, seeds
from tests.rebuilt import differences, round_trips
from tests.scene import Scene


@FEWER
@given(scenes())
def test_trades_are_the_round_trips_of_the_fills(scene: Scene) -> None:
    got = play(replace(scene, actions=()))
    assert differences(rows_of(got["fills"]), rows_of(got["trades"]), lots_of(scene)) == []


def test_so_they_are_in_busy_runs() -> None:
    parts = 0
    for seed in seeds(max(60, MANY // 5)):
        scene = replace(seeded(seed, busy_of), actions=())
        got = play(scene)
        fills, trades = rows_of(got["fills"]), rows_of(got["trades"])
        assert differences(fills, trades, lots_of(scene)) == [], f"seeded({seed})"
        parts += len({(trade["strategy"], trade["symbol"], trade["entry_ts"]) for trade in trades}) < len(trades)
    assert parts > 0 or "parts" not in ON


@pytest.mark.parametrize("seed", range(4))
def test_so_they_are_in_a_long_run(seed: int) -> None:
    scene = long_scene(seed)
    got = play(scene)
    assert got["trades"].height > 100
    assert differences(rows_of(got["fills"]), rows_of(got["trades"]), lots_of(scene)) == []


def fill(side: str, quantity: float, price: float, ts: int) -> dict[str, Any]:
    return {
        "strategy": "s",
        "symbol": "A",
        "side": side,
        "quantity": quantity,
        "price": price,
        "value": price * quantity,
        "fee": 1.0,
        "ts": ts,
    }


def test_the_loop_averages_entries_and_gives_each_part_its_share() -> None:
    # 10 at 10 and 30 at 14 are 40 at 13, worth 520 with 2 of fees; 15 sold at 20 take 195 and 0.75, 25 at 12 the rest
    (one, two), still = round_trips([fill("buy", 10, 10, 1), fill("buy", 30, 14, 2), fill("sell", 15, 20, 3), fill("sell", 25, 12, 4)])
    assert [(trip.number, trip.entry_price, trip.exit_price, trip.begun, trip.ended, trip.quantity) for trip in (one, two)] == [
        (1, 13.0, 20, 1, 3, 15), (2, 13.0, 12, 1, 4, 25),
    ]  # fmt: skip
    assert ([trip.pnl for trip in (one, two)], still) == ([105_000_000 - 1_750_000, -25_000_000 - 2_250_000], [])


def test_the_loop_knows_shorts_and_what_is_left_of_them() -> None:
    # Short 10 at 20; 4 bought at 18 leave 6 that were sold for 120 with 0.6 of the fee.
    (trip,), (left,) = round_trips([fill("sell", 10, 20, 1), fill("buy", 4, 18, 2)])
    assert (trip.sign, trip.pnl) == (-1, 8_000_000 - 1_400_000)
    assert (left.sign, left.quantity, left.entry_value, left.fees, left.number) == (-1, 6, 120_000_000, 600_000, 2)


def test_a_difference_is_named() -> None:
    rows = [fill("buy", 10, 10, 1), fill("sell", 10, 11, 2)]
    trade = {
        "trade_id": 1, "strategy": "s", "symbol": "A", "direction": "long", "entry_ts": 1, "exit_ts": 2, "is_open": False, "quantity": 10.0,
        "fees": 2.0, "borrow": 0.0, "dividends": 0.0, "entry_price": 10.0, "exit_price": 11.0, "pnl": 8.0, "return": 0.08,
    }  # fmt: skip
    assert differences(rows, [trade]) == []
    assert differences(rows, [trade | {"pnl": 8.000001}]) == ["trade 1, pnl: 8000000 and 8000001"]
    assert differences(rows, []) == ["1 closed and 0 open, 0 in the table"]
