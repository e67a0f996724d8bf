"""The table of trades is what the fills say: rebuilt from them by a slow loop, on random runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests.properties.engine import play, rows_of
from tests.properties.markets import FEWER, long_scene, scenes
from tests.rebuilt import differences, round_trips
from tests.scene import Scene


@FEWER
@given(scenes())
def test_trades_are_the_round_trips_of_the_fills(scene: Scene) -> None:
    got = play(replace(scene, actions=()))
    assert differences(rows_of(got["fills"]), rows_of(got["trades"])) == []


@pytest.mark.parametrize("seed", range(4))
def test_so_they_are_in_a_long_run(seed: int) -> None:
    got = play(long_scene(seed))
    assert got["trades"].height > 100
    assert differences(rows_of(got["fills"]), rows_of(got["trades"])) == []


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


def test_the_loop_averages_entries_and_partial_exits() -> None:
    # 10 at 10 and 30 at 14 are 40 at 13; 15 at 20 and 25 at 12 are 600 for 40; the fees of four fills.
    (trip,), still = round_trips([fill("buy", 10, 10, 1), fill("buy", 30, 14, 2), fill("sell", 15, 20, 3), fill("sell", 25, 12, 4)])
    assert (trip.entry_price, trip.exit_price, trip.begun, trip.ended, still) == (13.0, 15.0, 1, 4, [])
    assert trip.pnl == 40 * 2_000_000 - 4_000_000


def test_the_loop_knows_shorts_and_a_fill_that_reverses() -> None:
    # Short 10 at 20; 15 bought at 18 close it (two thirds of the fee) and leave 5 long.
    (trip,), (left,) = round_trips([fill("sell", 10, 20, 1), fill("buy", 15, 18, 2)])
    assert (trip.sign, trip.pnl) == (-1, 20_000_000 - 1_666_667)
    assert (left.sign, left.held, left.entry_price, left.fees, left.number) == (1, 5, 18.0, 333_333, 2)


def test_a_difference_is_named() -> None:
    rows = [fill("buy", 10, 10, 1), fill("sell", 10, 11, 2)]
    trade = {
        "trade_id": 1, "strategy": "s", "symbol": "A", "direction": "long", "entry_ts": 1, "exit_ts": 2, "is_open": False, "quantity": 10.0,
        "fees": 2.0, "borrow": 0.0, "dividends": 0.0, "entry_price": 10.0, "exit_price": 11.0, "pnl": 8.0, "return": 0.08,
    }  # fmt: skip
    assert differences(rows, [trade]) == []
    assert differences(rows, [trade | {"pnl": 8.000001}]) == ["trade 1, pnl: 8000000 and 8000001"]
    assert differences(rows, []) == ["1 closed and 0 open, 0 in the table"]
