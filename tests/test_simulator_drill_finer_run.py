"""What drilling down finds is what a run over the finer bars themselves finds: the same exit at the same price, wherever it drilled."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.properties.digits import Digits
from tests.properties.finer import parts_of
from tests.scene import Bar, Result, Signal
from tests.simulator import simulate
from tests.tiny import Row, buy, flat, scene, short

ENTRIES: list[dict[str, float]] = [{}, {"entry_stop": 101.0}, {"entry_stop": 99.0}, {"limit": 99.0}, {"limit": 101.0}]


def row_of(bar: Bar) -> Row:
    return (bar.open, bar.high, bar.low, bar.close, bar.volume)


def wide_bar(random: Random) -> Bar:
    """A bar of up to 12 ticks of 1 around 100."""
    low, high = 100 - random.randrange(7), 100 + random.randrange(7)
    opened, closed = random.randint(low, high), random.randint(low, high)
    return Bar(float(opened), float(high), float(low), float(closed))


def exits(result: Result) -> list[tuple[Any, ...]]:
    return [(fill["order"].type, fill["price"], fill["ambiguous"]) for fill in result.fills[1:]]


def both(entry: Signal, bar: Bar, parts: tuple[Bar, ...], held: bool) -> tuple[Result, Result]:
    """The run that drills into the bar, and the run over its parts; `held`: entered on a bar before it."""
    before: list[Row] = [flat(100.0)] * (1 + held)
    coarse = scene([*before, row_of(bar)], signals=[entry], intrabar="drill_down", allow_short=True)
    slots = [*coarse.slots[:-1], replace(coarse.slots[-1], fine={"A": parts})]
    finer = scene([*before, *map(row_of, parts)], signals=[entry], allow_short=True)
    return simulate(replace(coarse, slots=tuple(slots))), simulate(finer)


@pytest.mark.parametrize("held", [True, False], ids=["held before", "entered in the bar"])
def test_a_drilled_exit_is_that_of_a_run_over_the_finer_bars(held: bool):
    drilled = 0
    for seed in range(3000):
        random = Random(seed)
        bar = wide_bar(random)
        parts = parts_of(bar, Digits(random.getrandbits(256)), 1.0)
        whole = parts and (parts[0].open, parts[-1].close) == (bar.open, bar.close) and all(part.volume for part in parts)
        if not whole or (max(p.high for p in parts), min(p.low for p in parts)) != (bar.high, bar.low):
            continue
        up = random.choice([1.0, -1.0])
        levels = {"stop_price": 100.0 - up * random.randint(1, 4), "target_price": 100.0 + up * random.randint(1, 4)}
        entry = (buy if up > 0 else short)(0, **({} if held else random.choice(ENTRIES)), **levels)
        coarse, finer = both(entry, bar, parts, held)
        if not any("drilled" in fill["flags"] for fill in coarse.fills):
            continue
        at_open = entry.entry_stop is not None and any(part.open == entry.entry_stop for part in parts)
        if coarse.fills[0]["price"] == finer.fills[0]["price"] and not at_open:  # the finer run enters inside, as the coarse one does
            drilled += 1
            assert exits(coarse) == exits(finer), seed
    assert drilled > 100
