"""Tapes cut into rows, and wishes turned back into events, against a loop over single bars."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.columns import NO_TIME, OHLCV, Tape
from backtester.market.resample import DerivedSettings
from backtester.signals import batch
from backtester.signals.batch import Batch, View
from backtester.signals.strategy import BOOLEANS, Signals, checked
from tests.market.days import MINUTE, sessions
from tests.signals.views import grid_of, market, splits_on, tape_as, view_of

NAN = float("nan")
EMPTY = {"ts": NO_TIME, "end": NO_TIME, "slot": -1, "base_slot": -1, "complete": False}
COLUMNS = (*OHLCV, "quality", "ts", "end", "slot", "base_slot", "complete", "minutes_to_close", "minutes_from_open")


def bars_by_session(tape: Tape, line: int, session: int) -> list[dict[str, Any]]:
    """The bars of one symbol in one session, each as a dict."""
    begin = int(tape.start[session, line])
    out = []
    for row in range(begin, begin + int(tape.count[session, line])):
        bar = {name: tape.column(name)[row].item() for name in COLUMNS if not name.startswith("minutes")}
        bar["minutes_to_close"] = (int(tape.sessions.close[session]) - bar["end"]) / MINUTE
        bar["minutes_from_open"] = (bar["end"] - int(tape.sessions.open[session])) / MINUTE
        out.append(bar)
    return out


def in_terms_of(view: View, session: int, line: int, before: int, bar: dict[str, Any]) -> dict[str, Any]:
    """A bar of the session `before` as `session` sees it: split by split, one day after the other."""
    labels, product = view.live.sessions.label, 1.0
    for day, symbol, value in zip(view.splits.day, view.splits.symbol, view.splits.value, strict=True):
        if symbol == line and labels[before] < day <= labels[session]:
            product *= value
    prices = {name: bar[name] / product for name in ("open", "high", "low", "close")}
    return bar | prices | {"volume": bar["volume"] * product}


def naive_rows(view: View, symbols: list[int], lookback: int) -> dict[tuple[int, int], list[dict[str, Any] | None]]:
    """(session of the chunk, symbol) -> its row, one bar at a time; None where there is no bar."""
    chosen: dict[tuple[int, int], tuple[list[Any], list[Any]]] = {}
    for line in symbols:
        for session in range(view.first, len(view.live.sessions)):
            today = bars_by_session(view.live, line, session)
            if not today:
                continue
            history: list[Any] = []
            for before in range(max(session - int(view.back[session - view.first, line]), 0), session):
                history += [in_terms_of(view, session, line, before, bar) for bar in bars_by_session(view.seen, line, before)]
            if not view.look_back:
                history = [bar | {"quality": 100.0} for bar in history]
            chosen[session - view.first, line] = (history[len(history) - min(lookback, len(history)) :], today)
    most = max((len(today) for _, today in chosen.values()), default=0)
    return {
        key: [None] * (lookback - len(history)) + history + today + [None] * (most - len(today)) for key, (history, today) in chosen.items()
    }


def assert_rows(cut: Batch, expected: dict[tuple[int, int], list[dict[str, Any] | None]], width: int) -> None:
    assert list(zip(cut.session.tolist(), cut.symbol.tolist(), strict=True)) == list(expected)
    assert cut.bars.shape == (len(expected), width)
    for name in COLUMNS:
        wanted = [[EMPTY.get(name, NAN) if bar is None else bar[name] for bar in row] for row in expected.values()]
        found = cut.bars.column(name)
        np.testing.assert_array_equal(found, np.array(wanted).reshape(found.shape), name)


@st.composite
def views(draw: st.DrawFn, intervals: tuple[str, ...] = ("1m", "2m", "3m")) -> View:
    """A market of up to three symbols with holes, early closes and whole sessions missing, cut somewhere."""
    minutes = draw(st.lists(st.integers(2, 8), min_size=2, max_size=6))
    days = sessions(minutes, opens_at=570)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lines = draw(st.integers(1, 3))
    share = draw(st.sampled_from([0.0, 0.3, 0.8]))
    interval = draw(st.sampled_from(intervals))
    made = market(days, lines, share, random)
    live = tape_as(made, interval)
    first = draw(st.integers(0, len(minutes) - 1))
    back = random.integers(0, 4, (len(minutes) - first, lines))
    seen = tape_as(market(days, lines, share, random), interval) if draw(st.booleans()) else None
    view = view_of(live, first, back, seen, draw(st.booleans()))
    drawn = st.tuples(st.integers(0, len(minutes)), st.integers(0, lines - 1), st.sampled_from([2.0, 0.1, 7.0, 1.5]))
    return replace(view, splits=splits_on(days, *draw(st.lists(drawn, max_size=4))))


@settings(max_examples=150)
@given(view=views(), lookback=st.integers(0, 12), reverse=st.booleans())
def test_rows_are_those_of_a_loop_over_bars(view: View, lookback: int, reverse: bool) -> None:
    """Thin symbols, the limit of sessions back, early closes; NaN at the ends and never inside."""
    symbols = list(range(len(view.live.symbols)))[:: -1 if reverse else 1]
    expected = naive_rows(view, symbols, lookback)
    cut = batch.rows(view, np.array(symbols), lookback, {})
    assert_rows(cut, expected, lookback + max((len(row) - lookback for row in expected.values()), default=0))
    there = cut.bars.valid
    assert (np.diff(there.astype(int), axis=1) != 0).sum(axis=1).max(initial=0) <= 2
    assert cut.bars.symbol[:, 0].tolist() == [view.live.symbols[line] for _, line in expected]
    assert cut.bars.session[:, 0].tolist() == [view.live.sessions.label[view.first + session].item() for session, _ in expected]


@settings(max_examples=80)
@given(view=views(), lookback=st.integers(0, 12))
def test_one_session_alone_has_the_same_rows(view: View, lookback: int) -> None:
    """Bit for bit, and NaN where the longest session of the whole batch made the rows longer."""
    symbols = np.arange(len(view.live.symbols))
    for cut in (batch.rows, batch.clock):
        together = cut(view, symbols, lookback, {})
        for session in range(len(view.live.sessions) - view.first):
            alone = cut(batch.one_session(view, session), symbols, lookback, {})
            rows = together.session == session
            width = alone.bars.shape[-1]
            for name in COLUMNS:
                whole = together.bars.column(name)[rows]
                assert whole[..., :width].tobytes() == alone.bars.column(name).tobytes()
                beyond = whole[..., width:]
                np.testing.assert_array_equal(beyond, np.full_like(beyond, EMPTY.get(name, NAN)))


@settings(max_examples=80)
@given(view=views(), lookback=st.integers(0, 12))
def test_the_clock_layout_has_a_column_a_slot(view: View, lookback: int) -> None:
    """History goes back slot by slot over the sessions before, as far as each symbol may look; NaN in gaps."""
    symbols = np.arange(len(view.live.symbols))[::-1]
    cut = batch.clock(view, symbols, lookback, {})
    slots = view.bars.tolist()
    width = lookback + max(slots[view.first :])
    assert cut.bars.shape == (len(slots) - view.first, len(symbols), width)
    for row, session in enumerate(range(view.first, len(slots))):
        for place, line in enumerate(symbols.tolist()):
            line_of_slots: list[dict[str, Any] | None] = []
            for other in range(session + 1):
                filled: list[dict[str, Any] | None] = [None] * slots[other]
                if other == session or other >= session - int(view.back[row, line]):
                    for stored in bars_by_session(view.live if other == session else view.seen, line, other):
                        bar = in_terms_of(view, session, line, other, stored)
                        filled[bar["slot"]] = bar if view.look_back or other == session else bar | {"quality": 100.0}
                line_of_slots += filled
            history, today = line_of_slots[: -slots[session]], line_of_slots[-slots[session] :]
            history = ([None] * lookback + history)[len(history) :]
            today += [None] * (width - lookback - len(today))
            for name in COLUMNS:
                wanted = [EMPTY.get(name, NAN) if bar is None else bar[name] for bar in history + today]
                np.testing.assert_array_equal(cut.bars.column(name)[row, place], wanted, name)
    assert cut.bars.symbol[0, :, 0].tolist() == [view.live.symbols[line] for line in symbols]


def test_a_thin_symbol_has_its_bars_side_by_side() -> None:
    """Three bars in a day of six slots, four the day before: the lookback of five is not filled, and no NaN stands inside."""
    days = sessions([6, 6])
    close = np.array([[1, NAN, 2, 3, NAN, 4, NAN, 5, NAN, 6, 7, NAN]])
    grid = grid_of(days, dict.fromkeys(OHLCV, close))
    bars = batch.rows(view_of(tape_as(grid, "1m"), 1, 1), np.array([0]), 5, {}).bars
    np.testing.assert_array_equal(bars.close, [[NAN, 1, 2, 3, 4, 5, 6, 7]])
    assert bars.slot.tolist() == [[-1, 0, 2, 3, 5, 1, 3, 4]]
    assert bars.minutes_from_open[0, 5:].tolist() == [2, 4, 5]
    assert bars.minutes_to_close[0, 5:].tolist() == [4, 2, 1]
    assert bars.quality[0, 5:].tolist() == [50, 50, 60]


def test_a_session_sees_only_so_many_sessions_back() -> None:
    days = sessions([2, 2, 2])
    grid = grid_of(days, dict.fromkeys(OHLCV, np.arange(6.0)[None, :]))
    tape = tape_as(grid, "1m")
    for back, expected in ((0, [NAN, NAN, NAN, 4, 5]), (1, [NAN, 2, 3, 4, 5]), (2, [1, 2, 3, 4, 5])):
        np.testing.assert_array_equal(batch.rows(view_of(tape, 2, back), np.array([0]), 3, {}).bars.close, [expected])
        np.testing.assert_array_equal(batch.clock(view_of(tape, 2, back), np.array([0]), 3, {}).bars.close[0], [expected])


def test_history_is_in_the_terms_of_the_rows_own_session() -> None:
    """7:1 on the third day: the first day's 70 and 77 are 10 and 11 to it, and what they were to the second; volumes sevenfold."""
    days = sessions([2, 2, 2, 2])
    close = np.array([[70.0, 77, 84, 91, 14, 15, 16, 17]])
    grid = grid_of(days, dict.fromkeys(OHLCV, close))
    view = replace(view_of(tape_as(grid, "1m"), 1, 2), splits=splits_on(days, (2, 0, 7.0)))
    expected = [[NAN, NAN, 70, 77, 84, 91], [10, 11, 12, 13, 14, 15], [12, 13, 14, 15, 16, 17]]
    volumes = [[NAN, NAN, 70, 77, 84, 91], [490, 539, 588, 637, 14, 15], [588, 637, 14, 15, 16, 17]]
    for bars in (batch.rows(view, np.array([0]), 4, {}).bars, batch.clock(view, np.array([0]), 4, {}).bars):
        np.testing.assert_array_equal(bars.close.reshape(3, 6), expected)
        np.testing.assert_array_equal(bars.open.reshape(3, 6), expected)
        np.testing.assert_array_equal(bars.volume.reshape(3, 6), volumes)
        assert bars.slot.reshape(3, 6)[1].tolist() == [0, 1, 0, 1, 0, 1]
    assert view.live.close.tolist() == close[0].tolist()


def test_a_symbol_without_a_bar_in_a_session_has_no_row_there_but_a_line_on_the_clock() -> None:
    days = sessions([2, 2])
    grid = grid_of(days, dict.fromkeys(OHLCV, np.array([[1.0, 2, NAN, NAN], [5, 6, 7, 8]])))
    view = view_of(tape_as(grid, "1m"), 0, 1)
    cut = batch.rows(view, np.arange(2), 0, {})
    assert list(zip(cut.session.tolist(), cut.symbol.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 1)]
    assert np.isnan(batch.clock(view, np.arange(2), 0, {}).bars.close[1, 0]).all()


def test_rows_like_those_of_another_batch_keep_their_place() -> None:
    """A coarse input has a row wherever the first input has one, of NaN where it has no bar."""
    days = sessions([4, 4])
    close = np.array([[1, NAN, 2, 3, 4, 5, 6, 7], [NAN, NAN, NAN, NAN, 5, 6, 7, 8]])
    grid = grid_of(days, dict.fromkeys(OHLCV, close))
    main = batch.rows(view_of(tape_as(grid, "1m"), 0, 1), np.arange(2), 0, {})
    other = batch.rows(view_of(tape_as(grid, "4m", DerivedSettings()), 0, 1), np.arange(2), 1, {}, main)
    assert (other.session.tolist(), other.symbol.tolist()) == (main.session.tolist(), main.symbol.tolist())
    assert other.symbol.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(other.bars.close, [[NAN, NAN], [NAN, 7], [NAN, 8]])


@pytest.mark.parametrize("cut", [batch.rows, batch.clock])
def test_a_batch_without_sessions_or_bars_is_empty(cut: Any) -> None:
    days = sessions([2])
    tape = tape_as(grid_of(days, dict.fromkeys(OHLCV, np.full((1, 2), NAN))), "1m")
    for first in (0, 1):
        made = cut(view_of(tape, first, 0), np.array([0]), 3, {"day": np.ones((1 - first, 1))})
        assert (made.bars.close.size == 0) or np.isnan(made.bars.close).all()
        shape = made.bars.shape
        assert len(made.found(checked(Signals(enter_long=np.zeros(shape, np.bool_)), made.bars, "s")).symbol) == 0


def test_with_quality_of_history_switched_off_its_bars_show_100() -> None:
    """SPEC 7: historical.enable_quality=false; the session's own quality stays."""
    days = sessions([2, 2])
    tape = tape_as(grid_of(days, dict.fromkeys(OHLCV, np.array([[NAN, 1.0, NAN, 2.0]]))), "1m")
    for look_back, expected in ((True, [50, 50]), (False, [100, 50])):
        view = view_of(tape, 1, 1, look_back=look_back)
        assert batch.rows(view, np.array([0]), 1, {}).bars.quality.tolist() == [expected]
        assert batch.clock(view, np.array([0]), 2, {}).bars.quality[0, 0, [1, 3]].tolist() == expected


def test_a_historical_indicator_of_one_value_a_session_broadcasts() -> None:
    """Shape (rows, 1): the value of the row's own session and symbol."""
    tape = tape_as(market(sessions([3, 3]), 2, 0.0, np.random.default_rng(0)), "1m")
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    view = view_of(tape, 0, 1)
    cut = batch.rows(view, np.array([1, 0]), 2, {"day": values})
    assert cut.bars.historical("day").tolist() == [[values[session, line]] for session, line in zip(cut.session, cut.symbol, strict=True)]
    assert (cut.bars.close * cut.bars.historical("day")).shape == cut.bars.shape
    on_clock = batch.clock(view, np.array([1, 0]), 2, {"day": values}).bars
    assert on_clock.historical("day").tolist() == [[[2], [1]], [[4], [3]]]
    assert (on_clock.close * on_clock.historical("day")).shape == on_clock.shape


def test_a_historical_indicator_of_one_value_a_slot_follows_the_bars_slots() -> None:
    """Of a coarser bar the value of its last base slot; none on history."""
    days = sessions([4, 4])
    close = np.array([[1, 2, 3, 4, NAN, 6, NAN, 8]])
    grid = grid_of(days, dict.fromkeys(OHLCV, close))
    values = np.array([[[10.0, 11, 12, 13]]])
    minutes = view_of(tape_as(grid, "1m"), 1, 1)
    np.testing.assert_array_equal(batch.rows(minutes, np.array([0]), 1, {"x": values}).bars.historical("x"), [[NAN, 11, 13]])
    on_clock = batch.clock(minutes, np.array([0]), 1, {"x": values}).bars.historical("x")
    np.testing.assert_array_equal(on_clock, [[[NAN, NAN, 11, NAN, 13]]])
    twos = batch.rows(view_of(tape_as(grid, "2m"), 1, 1), np.array([0]), 0, {"x": values}).bars
    np.testing.assert_array_equal(twos.historical("x"), [[11, 13]])


Event = tuple[int, int, int, int, float, float, float, str | None]


def naive_events(cut: Batch, wishes: dict[str, np.ndarray], size: np.ndarray, tags: np.ndarray, last_slot: Any) -> list[Event]:
    """(action, session, symbol, base slot, close, quality, size, tag) of every wish, one cell at a time."""
    out: list[Event] = []
    bars = cut.bars
    for action, name in enumerate(BOOLEANS):
        for cell in np.ndindex(bars.shape):
            column = cell[-1]
            if name not in wishes or not wishes[name][cell] or column < bars.lookback:
                continue
            session = int(cut.session[cell[0]])
            if len(bars.shape) == 3:
                symbol, slot = int(cut.symbol[cell[1]]), column - bars.lookback
                if slot >= len(last_slot[session]):
                    continue
                base = int(last_slot[session][slot])
            else:
                if np.isnan(bars.close[cell]):
                    continue
                symbol, base = int(cut.symbol[cell[0]]), int(bars.column("base_slot")[cell])
            out.append((action, session, symbol, base, bars.close[cell], bars.quality[cell], size[cell], tags[cell]))
    return out


@settings(max_examples=80)
@given(view=views(), lookback=st.integers(0, 3), seed=st.integers(0, 2**32 - 1), on_clock=st.booleans())
def test_wishes_become_events_where_the_session_has_a_cell(view: View, lookback: int, seed: int, on_clock: bool) -> None:
    """In rows on real bars; on the clock on every slot of the session, NaN for the price where there is no bar; never on history.

    Which stands first does not matter, but for the rows' longs and shorts, each of which are in the order of decision.
    """
    random = np.random.default_rng(seed)
    cut = (batch.clock if on_clock else batch.rows)(view, np.arange(len(view.live.symbols)), lookback, {})
    shape = cut.bars.shape
    wishes = {name: random.random(shape) < 0.4 for name in BOOLEANS if random.random() < 0.7}
    size = random.integers(1, 9, shape).astype(float)
    tags = random.choice(np.array(["a", "b", None], dtype=object), shape)
    offset = np.concatenate([[0], np.cumsum(view.bars)])
    last_slot = [view.last_slot[low:high] for low, high in zip(offset[view.first : -1], offset[view.first + 1 :], strict=True)]
    found = cut.found(checked(Signals(**wishes, size=size, tags=tags), cut.bars, "s"))
    assert found.tags is not None
    columns = (found.action, found.session, found.symbol, found.base_slot, found.price, found.quality, found.numbers["size"])
    events = list(zip(*(column.tolist() for column in columns), found.tags, strict=True))
    place = operator.itemgetter(0, 1, 2, 3)
    np.testing.assert_equal(sorted(events, key=place), sorted(naive_events(cut, wishes, size, tags, last_slot), key=place))
    if not on_clock:
        for enter, leave in (("enter_long", "exit_long"), ("enter_short", "exit_short")):
            kinds = {BOOLEANS.index(enter): 1, BOOLEANS.index(leave): 0}
            order = [(session, slot, kinds[action], symbol) for action, session, symbol, slot, *_ in events if action in kinds]
            assert order == sorted(order)


def test_scalars_are_given_to_every_event() -> None:
    tape = tape_as(market(sessions([3]), 1, 0.0, np.random.default_rng(0)), "1m")
    cut = batch.rows(view_of(tape, 0, 0), np.array([0]), 0, {})
    found = cut.found(checked(Signals(enter_long=np.array([[True, False, True]]), confidence=0.75, tags="why"), cut.bars, "s"))
    assert (found.numbers["confidence"].tolist(), found.tags) == ([0.75, 0.75], ["why", "why"])
    assert found.base_slot.tolist() == [0, 2]


def test_the_last_bar_of_a_coarse_interval_ends_with_the_last_base_slot() -> None:
    """Five minutes in twos: the third bar holds one minute."""
    tape = tape_as(market(sessions([5]), 1, 0.0, np.random.default_rng(0)), "2m")
    for cut in (batch.rows, batch.clock):
        made = cut(view_of(tape, 0, 0), np.array([0]), 0, {})
        assert made.found(checked(Signals(enter_long=np.ones(made.bars.shape, np.bool_)), made.bars, "s")).base_slot.tolist() == [1, 3, 4]


def test_a_view_of_one_session_knows_nothing_later() -> None:
    tape = tape_as(market(sessions([3, 4, 5]), 2, 0.2, np.random.default_rng(0)), "1m")
    view = view_of(tape, 1, 2)
    alone = batch.one_session(view, 0)
    assert len(alone.live.sessions) == 2
    assert alone.live.ts.max() < view.live.sessions.open[2]
    assert alone.live is alone.seen
    apart = batch.one_session(replace(view, seen=tape_as(market(tape.sessions, 2, 0.2, np.random.default_rng(1)), "1m")), 1)
    assert apart.live is not apart.seen
