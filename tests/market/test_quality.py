"""Quality, gaps and findings: literal days, and random ones against a loop over single slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester import schema
from backtester.columns import Sessions
from backtester.market.findings import findings_frame
from backtester.market.grid import Grid, place_on_slots, tape_of
from backtester.market.prepare import Past, Prepared, prepare
from backtester.market.quality import gaps_frame, gaps_of, percent_of, reconciled
from tests.market.days import MINUTE, Row, chunk, flat, grid, needs, sessions, tape

NAN = float("nan")


def prepared(days: Sessions, symbols: tuple[str, ...], rows: list[Row], **wanted: Any) -> Prepared:
    return prepare(chunk(days, symbols, rows), None, None, needs(days, **wanted), Past())[0]


def gaps(found: Grid) -> list[tuple[str, int, int, int, str]]:
    """(symbol, session, first slot, slots, kind) of every gap."""
    table = gaps_of(found.present, found.count, found.clock)
    first = table.first - found.clock.offset[table.session]
    return [
        (found.symbols[symbol], session, slot, bars, schema.GAP_KINDS[kind])
        for symbol, session, slot, bars, kind in zip(
            *(column.tolist() for column in (table.symbol, table.session, first, table.bars, table.kind)), strict=True
        )
    ]


def day(*lines: str) -> np.ndarray:
    """Closes of a day drawn as text: `b` a bar, `.` none."""
    return np.array([[10.0 if mark == "b" else NAN for mark in line] for line in lines])


def test_quality_is_100_times_actual_by_expected() -> None:
    """I-27: a perfect session has 100, an empty one 0, and an early close is expected to be short."""
    days = sessions([4, 2])
    found = grid(days, day("bbb.bb", "......"))
    assert percent_of(found.count, found.clock).tolist() == [[75, 0], [100, 0]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bbbbbb", []),
        (".bbbbb", [(0, 1, "edge_open")]),
        ("bbbb..", [(4, 2, "edge_close")]),
        ("b..bbb", [(1, 2, "inside")]),
        (".bb.b.", [(0, 1, "edge_open"), (3, 1, "inside"), (5, 1, "edge_close")]),
        ("......", [(0, 6, "session")]),
    ],
)
def test_a_gap_is_named_after_where_it_touches(line: str, expected: list[tuple[int, int, str]]) -> None:
    found = gaps(grid(sessions([6]), day(line)))
    assert [entry[2:] for entry in found] == expected


def test_a_gap_that_runs_over_the_night_is_two() -> None:
    found = gaps(grid(sessions([3, 3]), day("bb..bb")))
    assert found == [("A", 0, 2, 1, "edge_close"), ("A", 1, 0, 1, "edge_open")]


def test_what_most_symbols_miss_is_the_markets() -> None:
    """Two of three miss slots 2 and 3: an outage of the feed. C's own quiet minute at 0 is its own."""
    found = gaps(grid(sessions([6]), day("bb..bb", "bb...b", ".bbbbb")))
    assert found == [("A", 0, 2, 2, "market"), ("B", 0, 2, 3, "inside"), ("C", 0, 0, 1, "edge_open")]


def test_a_symbol_without_any_bar_does_not_make_an_outage() -> None:
    """Of the three symbols that traded one misses slot 1; D has no bar at all."""
    found = gaps(grid(sessions([3]), day("b.b", "bbb", "bbb", "...")))
    assert found == [("A", 0, 1, 1, "inside"), ("D", 0, 0, 3, "session")]


def test_two_symbols_are_no_market() -> None:
    found = gaps(grid(sessions([3]), day("b.b", "b.b")))
    assert [entry[4] for entry in found] == ["inside", "inside"]


def test_rows_of_gaps_say_from_when_to_when() -> None:
    days = sessions([360], lunch=(2, 62))
    found = grid(days, np.where(np.isin(np.arange(300), [1, 2]), NAN, 10.0)[None, :])
    table = gaps_frame(gaps_of(found.present, found.count, found.clock), found.clock, ("A",))
    opened = int(days.open[0])
    assert table["start"].to_physical().to_list() == [opened + MINUTE]
    assert table["end"].to_physical().to_list() == [opened + 63 * MINUTE]
    assert table.select("bars", "kind", "interval", "reconciled").rows() == [(2, "inside", "1m", None)]


def naive_gaps(found: Grid) -> list[tuple[str, int, int, int, str]]:
    """Every gap with its kind, by looking at one slot at a time."""
    out = []
    for session in range(len(found.clock.sessions)):
        slots = [t for t in range(len(found.clock.ts)) if found.clock.session[t] == session]
        active = [line for line in range(len(found.symbols)) if any(found.present[line, t] for t in slots)]
        outage = {t for t in slots if len(active) >= 3 and sum(not found.present[line, t] for line in active) > len(active) / 2}
        for line, symbol in enumerate(found.symbols):
            run: list[int] = []
            for t in [*slots, None]:
                if t is not None and not found.present[line, t]:
                    run.append(t)
                    continue
                if run:
                    kind = "inside"
                    if len(run) == len(slots):
                        kind = "session"
                    elif all(t in outage for t in run):
                        kind = "market"
                    elif run[0] == slots[0]:
                        kind = "edge_open"
                    elif run[-1] == slots[-1]:
                        kind = "edge_close"
                    out.append((symbol, session, slots.index(run[0]), len(run), kind))
                run = []
    return out


@st.composite
def markets(draw: st.DrawFn) -> tuple[Sessions, np.ndarray]:
    """Sessions with closes and holes, up to five symbols."""
    minutes = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    lines = draw(st.integers(1, 5))
    share = draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = sum(minutes)
    close = np.where(random.random((lines, width)) < share, NAN, 10.0)
    if draw(st.booleans()):
        close[: lines - 1, random.integers(0, width)] = NAN
    return sessions(minutes), close


@settings(max_examples=150)
@given(markets())
def test_gaps_are_those_that_a_loop_over_slots_finds(market: tuple[Sessions, np.ndarray]) -> None:
    """I-28: the gaps cover exactly the missing slots, with kinds, ordered by session, symbol and start."""
    days, close = market
    found = grid(days, close)
    seen = gaps(found)
    assert seen == naive_gaps(found)
    assert sum(entry[3] for entry in seen) == int(np.isnan(close).sum())


@settings(max_examples=60)
@given(data=st.data(), market=markets())
def test_fewer_bars_never_raise_quality_and_duplicates_change_nothing(data: st.DataObject, market: tuple[Sessions, np.ndarray]) -> None:
    """I-27, I-28: quality lies in [0, 100]; expected - missing = actual; rows outside and duplicates are counted beside it."""
    days, close = market
    found = grid(days, close)
    symbols = found.symbols
    rows = [
        flat(days, int(found.clock.session[t]), int(found.clock.slot[t]), symbols[line], float(close[line, t]))
        for line, t in zip(*np.nonzero(found.present), strict=True)
    ]
    whole = prepared(days, symbols, rows).quality
    again = data.draw(st.lists(st.sampled_from(rows), max_size=5)) if rows else []
    late = [flat(days, 0, float((days.close[0] - days.open[0]) // MINUTE + extra)) for extra in range(data.draw(st.integers(0, 3)))]
    noisy = prepared(days, symbols, rows + again + late).quality
    fewer = prepared(days, symbols, rows[: data.draw(st.integers(0, len(rows)))]).quality
    assert whole["quality"].is_between(0, 100).all()
    assert whole["quality"].to_list() == (100 * whole["actual"] / whole["expected"]).to_list()
    assert noisy.drop("out_of_session", "duplicates").equals(whole.drop("out_of_session", "duplicates"))
    assert (noisy["duplicates"].sum(), noisy["out_of_session"].sum()) == (len(again), len(late))
    assert (fewer["quality"] <= whole["quality"]).all()


def test_a_row_of_quality_says_how_many_gaps_and_how_long() -> None:
    days = sessions([6, 4])
    rows = [flat(days, 0, minute) for minute in (1, 2, 4)]
    table = prepared(days, ("A",), rows).quality
    opened = int(days.open[0])
    assert table.select("expected", "actual", "quality", "gaps", "longest_gap").rows() == [(6, 3, 50, 3, 1), (4, 0, 0, 1, 4)]
    assert table["first_ts"].to_physical().to_list() == [opened + MINUTE, None]
    assert table["last_ts"].to_physical().to_list() == [opened + 4 * MINUTE, None]


def test_derived_intervals_take_the_quality_of_their_base() -> None:
    """SPEC 7: one of four minutes is missing; of two 2m bars one can be made."""
    days = sessions([4])
    table = prepared(days, ("A",), [flat(days, 0, minute) for minute in (0, 1, 3)], derived=("2m",)).quality
    rows = table.select("interval", "expected", "actual", "quality", "gaps").rows()
    assert rows == [("1m", 4, 3, 75, 1), ("2m", 2, 1, 75, 1)]


def test_gaps_are_those_of_the_base_alone() -> None:
    days = sessions([4])
    table = prepared(days, ("A",), [flat(days, 0, minute) for minute in (0, 1, 3)], derived=("2m",)).gaps
    assert table.select("interval", "bars").rows() == [("1m", 1)]


def test_with_session_quality_switched_off_nothing_is_looked_for() -> None:
    """SPEC 7: gap_filler.enable_session_quality=false gives 100 without looking."""
    days = sessions([4])
    found = prepared(days, ("A",), [flat(days, 0, 0), flat(days, 0, 2, price=1000.0)], look=False)
    assert found.quality.select("actual", "quality", "gaps").rows() == [(2, 100, 0)]
    assert (len(found.gaps), len(found.findings)) == (0, 0)
    assert found.tapes["1m"].quality.tolist() == [100, 100]
    assert found.percent.tolist() == [[100]]


def findings(
    days: Sessions,
    symbols: tuple[str, ...],
    rows: list[Row],
    before: list[float] | None = None,
    splits: Sequence[tuple[int, int, float]] = (),
) -> pl.DataFrame:
    found = place_on_slots(chunk(days, symbols, rows), "1m")
    return findings_frame(found, tape_of(found), np.full(len(symbols), NAN) if before is None else np.array(before), splits)


def seen(table: pl.DataFrame) -> list[tuple[str, str, float]]:
    return list(table.select("symbol", "kind", "value").iter_rows())


def ohlc(days: Sessions, minute: int, open_: float, high: float, low: float, close: float, session: int = 0) -> Row:
    return session, int(days.open[session]) + minute * MINUTE, "A", open_, high, low, close, 100.0


def test_rows_that_do_not_count_are_findings() -> None:
    """One row a symbol, session and kind: where it was first seen, and how many."""
    days = sessions([4])
    bad = (0, int(days.open[0]) + MINUTE, "A", NAN, 1.0, 1.0, 1.0, 1.0)
    rows = [flat(days, 0, minute) for minute in (0, 0, 0.5, 2.5, 4, 5)] + [bad]
    table = findings(days, ("A",), rows)
    assert seen(table) == [("A", "duplicate", 1), ("A", "invalid", 1), ("A", "off_grid", 2), ("A", "out_of_session", 2)]
    assert ((table["ts"].to_physical() - int(days.open[0])) / MINUTE).to_list() == [0, 1, 0.5, 4]


@pytest.mark.parametrize(("open_", "high", "low", "close"), [(10, 9, 8, 8.5), (9, 10, 9.5, 9.75), (9, 10, 8, 10.5), (9, 10, 8, 7.5)])
def test_an_open_or_close_outside_high_and_low_is_a_finding(open_: float, high: float, low: float, close: float) -> None:
    """DAT-26."""
    days = sessions([3])
    rows = [flat(days, 0, 0, price=9.0), ohlc(days, 1, open_, high, low, close), ohlc(days, 2, 9, 10, 8, 9)]
    table = findings(days, ("A",), rows)
    assert seen(table) == [("A", "ohlc_violation", 1)]
    assert table["ts"].to_physical().to_list() == [int(days.open[0]) + MINUTE]


def test_a_price_at_or_below_zero_is_a_finding() -> None:
    """DAT-25."""
    days = sessions([3])
    rows = [ohlc(days, 0, 1, 1, 0, 1), ohlc(days, 1, 1, 1, -1, 1), ohlc(days, 2, 1, 1, 0.5, 1)]
    assert seen(findings(days, ("A",), rows)) == [("A", "non_positive_price", 2)]


def test_bars_without_volume_are_a_finding() -> None:
    """DAT-28."""
    days = sessions([3])
    rows = [flat(days, 0, 0), flat(days, 0, 1, volume=0.0), flat(days, 0, 2, volume=0.0)]
    assert seen(findings(days, ("A",), rows)) == [("A", "zero_volume", 2)]


@pytest.mark.parametrize(
    ("prices", "kind", "ratio"),
    [
        ((10.0, 70.0), "unadjusted_split", 7.0),
        ((71.0, 10.0), "unadjusted_split", 10.0 / 71.0),
        ((10.0, 100.0), "unadjusted_split", 10.0),
        ((20.0, 10.1), "unadjusted_split", 10.1 / 20.0),
        ((10.0, 16.0), "jump", 1.6),
        ((10.0, 62.0), "jump", 6.2),
        ((10.0, 14.0), None, 1.4),
        ((16.0, 10.0), "jump", 0.625),
        ((10.0, 16.0, 100.0), "jump", 6.25),
    ],
)
def test_a_close_far_from_the_one_before_is_a_finding(prices: tuple[float, ...], kind: str | None, ratio: float) -> None:
    """DAT-29: the ratio of a known split is told apart; the largest of a session is reported."""
    days = sessions([3])
    table = findings(days, ("A",), [flat(days, 0, minute, price=price) for minute, price in enumerate(prices)])
    assert seen(table) == ([] if kind is None else [("A", kind, ratio)])


def test_a_jump_over_night_belongs_to_the_morning() -> None:
    days = sessions([2, 2])
    rows = [flat(days, 0, 1, price=10.0), flat(days, 1, 0, price=70.0)]
    table = findings(days, ("A",), rows)
    assert seen(table) == [("A", "unadjusted_split", 7)]
    assert table["session"].to_list() == days.label[1:].tolist()


def test_a_jump_from_before_the_chunk_is_seen_in_it() -> None:
    days = sessions([2])
    rows = [flat(days, 0, 1, "A", 70.0), flat(days, 0, 0, "B", 70.0)]
    assert seen(findings(days, ("A", "B"), rows, [10.0, NAN])) == [("A", "unadjusted_split", 7)]


def test_a_known_split_explains_its_jump_and_no_other() -> None:
    """DAT-29: 70 before a 7:1 split and 10.5 after it is no finding, for one symbol and on one morning."""
    days = sessions([2, 2])
    rows = [flat(days, 0, 1, "A", 70.0), flat(days, 1, 0, "A", 10.5), flat(days, 0, 1, "B", 70.0), flat(days, 1, 0, "B", 10.0)]
    assert seen(findings(days, ("A", "B"), rows, splits=[(1, 0, 7.0)])) == [("B", "unadjusted_split", 1 / 7)]
    assert seen(findings(days, ("A", "B"), rows, splits=[(0, 0, 7.0), (1, 1, 7.0)])) == [("A", "jump", 0.15)]


def test_a_split_on_a_morning_without_bars_explains_the_jump_of_the_next_bar() -> None:
    days = sessions([2, 2, 2])
    rows = [flat(days, 0, 1, "A", 70.0), flat(days, 2, 1, "A", 10.0)]
    assert seen(findings(days, ("A",), rows, splits=[(1, 0, 7.0)])) == []
    assert seen(findings(days, ("A",), rows[1:], [70.0], splits=[(0, 0, 7.0)])) == []
    assert seen(findings(days, ("A",), rows[:1], splits=[(1, 0, 7.0)])) == []


def test_a_split_that_the_prices_do_not_show_is_a_finding() -> None:
    """The prices were adjusted before they came, or the split is wrong."""
    days = sessions([2, 2])
    table = findings(days, ("A",), [flat(days, 0, 1, "A", 10.0), flat(days, 1, 0, "A", 10.1)], splits=[(1, 0, 7.0)])
    assert seen(table) == [("A", "unadjusted_split", 10.1 / (10.0 / 7))]
    assert table["detail"].to_list() == ["a split of 7 among the lake's actions, which its prices do not show"]


def test_prices_of_one_symbol_are_no_jump_for_the_next() -> None:
    days = sessions([2])
    assert seen(findings(days, ("A", "B"), [flat(days, 0, 1, "A", 10.0), flat(days, 0, 0, "B", 1000.0)])) == []


def test_thirty_bars_that_repeat_open_high_low_and_close_are_stale() -> None:
    """29 are not; the run begins with the first of the equal bars, and the longest of a session counts."""
    days = sessions([100])
    rows = [ohlc(days, minute, 10, 11, 9, 10) for minute in range(30)]
    table = findings(days, ("A",), [*rows, *(ohlc(days, 30 + minute, 10, 10, 10, 10) for minute in range(31))])
    assert seen(table) == [("A", "stale", 31)]
    assert table["ts"].to_physical().to_list() == [int(days.open[0]) + 30 * MINUTE]
    assert seen(findings(days, ("A",), rows)) == [("A", "stale", 30)]
    assert seen(findings(days, ("A",), rows[:29])) == []


def test_bars_with_one_close_but_other_highs_are_not_stale() -> None:
    days = sessions([100])
    assert seen(findings(days, ("A",), [ohlc(days, minute, 10, 11 + minute % 2, 9, 10) for minute in range(60)])) == []


def test_a_stale_run_ends_with_the_session() -> None:
    days = sessions([20, 20])
    rows = [flat(days, session, minute) for session in (0, 1) for minute in range(20)]
    assert seen(findings(days, ("A",), rows)) == []


def test_findings_are_ordered_by_session_symbol_and_kind() -> None:
    days = sessions([2, 2])
    rows = [flat(days, 1, 0, "A", volume=0.0), flat(days, 0, 0, "B", volume=0.0), flat(days, 0, 0, "A", -1.0, volume=0.0)]
    table = findings(days, ("A", "B"), rows)
    assert [(str(session)[-1], symbol, kind) for session, symbol, kind in table.select("session", "symbol", "kind").iter_rows()] == [
        ("1", "A", "non_positive_price"), ("1", "A", "zero_volume"), ("1", "B", "zero_volume"), ("2", "A", "zero_volume"),
    ]  # fmt: skip


def test_a_gap_is_reconciled_where_the_days_own_volume_is_there() -> None:
    """SPEC 7: 300 of a daily 300 agree, 200 of 300 do not, and a symbol without a daily bar is not known."""
    days = sessions([4])
    close = np.array([[5.0, np.nan, 5, 5], [5, np.nan, np.nan, 5], [5, 5, np.nan, 5]])
    volume = np.where(np.isnan(close), np.nan, 100.0)
    found = grid(days, close, volume=volume)
    daily = tape(days, np.array([[5.0], [5.0], [np.nan]]), "1d")
    object.__setattr__(daily, "volume", np.array([300.0, 300.0]))
    gaps = gaps_of(found.present, found.count, found.clock)
    rows = gaps_frame(gaps, found.clock, found.symbols, reconciled(found, daily))
    assert dict(zip(rows["symbol"], rows["reconciled"], strict=True)) == {"A": True, "B": False, "C": None}
