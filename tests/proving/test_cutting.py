"""Bars cut at a slot and followed by another future; literal rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from backtester.market.prepare import Past
from backtester.proving.cutting import Stretch, known_on, prefix, with_future
from backtester.splits import Splits
from tests.market.days import MINUTE, chunk, flat, needs, sessions

DAYS = sessions([4, 4])
NEEDS = needs(DAYS)


def stretch(daily: bool = False) -> Stretch:
    """A and B over two days of four minutes; A rises by one a minute from 10, B stands at 50 and lacks minute 1 of the first day."""
    rows = [flat(DAYS, session, minute, "A", 10.0 + 4 * session + minute) for session in (0, 1) for minute in range(4)]
    rows += [flat(DAYS, session, minute, "B", 50.0) for session in (0, 1) for minute in range(4) if (session, minute) != (0, 1)]
    days = [flat(DAYS, session, 0, symbol, 30.0) for session in (0, 1) for symbol in "AB"] if daily else []
    return Stretch(chunk(DAYS, ("A", "B"), rows), chunk(DAYS, ("A", "B"), days) if daily else None, Past(), 3)


def held(made: Stretch) -> list[tuple[int, str, float]]:
    """(minute since the first open, symbol, close) of every stored bar."""
    bars = made.bars
    minutes = (bars.column("ts") - DAYS.open[0]) // MINUTE
    return [
        (int(at), "AB"[int(who)], float(close))
        for at, who, close in zip(minutes, bars.column("symbol_id"), bars.column("close"), strict=True)
    ]


def test_a_prefix_keeps_the_bar_of_its_slot_and_nothing_after_it() -> None:
    cut = prefix(stretch(), np.array([1, 1]), NEEDS)
    assert held(cut) == [(0, "A", 10.0), (0, "B", 50.0), (1, "A", 11.0)]
    assert len(cut.sessions) == 1
    assert (cut.bars.first.tolist(), cut.at) == ([0, 3], 3)


def test_each_symbol_may_be_cut_at_a_slot_of_its_own_and_before_its_first() -> None:
    assert held(prefix(stretch(), np.array([-1, 2]), NEEDS)) == [(0, "B", 50.0), (2, "B", 50.0)]


def test_a_day_of_the_lake_is_known_when_its_session_is_over() -> None:
    early, over = (prefix(stretch(daily=True), np.array([slot, 3]), NEEDS).daily for slot in (2, 3))
    assert early is not None
    assert over is not None
    assert early.column("symbol_id").tolist() == [1]
    assert over.column("symbol_id").tolist() == [0, 1]


def test_a_future_without_bars_keeps_the_past_to_the_bit() -> None:
    made = with_future(stretch(), np.array([1, 1]), NEEDS, "missing", np.random.default_rng(1))
    known = [row for row in held(made) if not np.isnan(row[2])]
    assert known == [(0, "A", 10.0), (0, "B", 50.0), (1, "A", 11.0)]
    assert len(made.sessions) == 2


def test_a_mirrored_future_falls_where_the_other_rose() -> None:
    """A is known up to 11: 12 becomes 121 / 12, and so on; B stands still and still does."""
    made = with_future(stretch(), np.array([1, 1]), NEEDS, "mirrored", np.random.default_rng(1))
    assert [close for _, symbol, close in held(made) if symbol == "A"] == pytest.approx([10, 11, *(121 / (12 + more) for more in range(6))])
    assert {close for _, symbol, close in held(made) if symbol == "B"} == {50.0}


def test_a_mirrored_bar_has_its_high_above_its_low() -> None:
    rows = [(0, int(DAYS.open[0] + minute * MINUTE), "A", 10.0, 12.0, 8.0, 10.0, 5.0) for minute in range(4)]
    made = with_future(Stretch(chunk(DAYS, ("A",), rows), None, Past(), 0), np.array([0]), NEEDS, "mirrored", np.random.default_rng(1))
    assert made.bars.column("high").tolist() == [12.0, 12.5, 12.5, 12.5]
    assert made.bars.column("low")[1:].tolist() == pytest.approx([100 / 12] * 3)


def test_noise_changes_every_later_bar_and_none_before() -> None:
    made = with_future(stretch(), np.array([1, 1]), NEEDS, "noise", np.random.default_rng(1))
    usual, noisy = held(stretch()), held(made)
    assert noisy[:3] == usual[:3]
    assert all(one != two for one, two in zip(usual[3:], noisy[3:], strict=True))


def test_symbols_that_are_not_looked_at_have_no_bars_and_keep_their_numbers() -> None:
    assert {symbol for _, symbol, _ in held(stretch().of_symbols(np.array([1])))} == {"B"}


def test_a_split_of_a_later_session_is_not_known_yet() -> None:
    splits = Splits(DAYS.label.copy(), np.array([0, 1]), np.array([2.0, 3.0]))
    actions = pl.DataFrame({"ex_date": DAYS.label.astype("datetime64[D]").tolist(), "symbol": ["A", "B"]})
    known = known_on(replace(NEEDS, splits=splits, actions=actions), DAYS.label[0])
    assert known.splits.symbol.tolist() == [0]
    assert known.actions["symbol"].to_list() == ["A"]
