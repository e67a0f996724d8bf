"""A chunk prepared for strategies: what later sessions see of a day, and that cutting a run into chunks changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester import schema
from backtester.columns import OHLCV, TAPE_COLUMNS, Sessions, Tape
from backtester.market.actions import splits_of
from backtester.market.history import HistoricalIndicatorSettings
from backtester.market.load import Chunk
from backtester.market.prepare import Needs, Past, Prepared, prepare
from backtester.market.resample import DerivedSettings
from backtester.market.tapes import joined, last_close, latest
from tests.market.days import MINUTE, Row, chunk, flat, needs, sessions, tape

NAN = float("nan")


def part(whole: Chunk, first: int, stop: int) -> Chunk:
    """Some sessions of a chunk, as a chunk of their own."""
    low, high = int(whole.first[first]), int(whole.first[stop])
    table = whole.table.slice(low, high - low)
    return Chunk(whole.sessions[first:stop], whole.symbols, table, whole.first[first : stop + 1] - low, pl.DataFrame(), 0.0)


def day(days: Sessions, session: int, closes: list[float], symbol: str = "A") -> list[Row]:
    """A minute bar for every number that is one."""
    return [flat(days, session, minute, symbol, close) for minute, close in enumerate(closes) if not np.isnan(close)]


def test_derived_intervals_stand_beside_the_base() -> None:
    days = sessions([4, 4])
    rows = day(days, 0, [1, 2, 3, 4]) + day(days, 1, [5, NAN, 7, 8])
    made, _ = prepare(chunk(days, ("A",), rows), None, None, needs(days, derived=("2m", "1d")), Past())
    assert {name: tape.close.tolist() for name, tape in made.tapes.items()} == {"1m": [1, 2, 3, 4, 5, 7, 8], "2m": [2, 4, 8], "1d": [4]}
    assert {name: left.ravel().tolist() for name, left in made.dropped.items()} == {"2m": [0, 1], "1d": [0, 1]}
    assert [column.tolist() for column in made.last_slots["2m"]] == [[2, 2], [1, 3, 1, 3]]
    assert [column.tolist() for column in made.last_slots["1d"]] == [[1, 1], [3, 3]]


def test_later_sessions_see_the_lakes_own_daily_bar_and_the_session_itself_its_built_one() -> None:
    """SPEC 8: the lake has an official close of 99 for the first day, and none for the second."""
    days = sessions([2, 2])
    rows = day(days, 0, [1, 2]) + day(days, 1, [3, 4])
    own = chunk(days, ("A",), [flat(days, 0, 0, price=99.0)])
    made, _ = prepare(chunk(days, ("A",), rows), None, own, needs(days, derived=("1d",), daily_depth=1), Past())
    assert made.tapes["1d"].close.tolist() == [2, 4]
    assert made.seen["1d"].close.tolist() == [99, 4]
    assert made.seen["1d"].end.tolist() == days.close.tolist()
    assert made.seen["1d"].base_slot.tolist() == [1, 1]
    assert made.stored_days == 1


def test_a_daily_bar_of_the_lake_is_seen_even_where_none_could_be_built() -> None:
    """The day has a hole, so no bar of 1d is made of it; the lake has its own."""
    days = sessions([3, 3])
    rows = day(days, 0, [1, NAN, 2]) + day(days, 1, [3, 4, 5])
    own = chunk(days, ("A",), [flat(days, 0, 0, price=99.0)])
    made, _ = prepare(chunk(days, ("A",), rows), None, own, needs(days, derived=("1d",)), Past())
    assert made.tapes["1d"].close.tolist() == [5]
    assert made.seen["1d"].close.tolist() == [99, 5]


def test_daily_values_of_history_take_a_day_with_holes_as_it_is() -> None:
    """Too little data of a day is no reason to have none; a day without a bar has none."""
    days = sessions([3, 3, 3])
    rows = day(days, 0, [1, NAN, 2]) + day(days, 2, [3, 4, 5])
    asked = {"before": HistoricalIndicatorSettings(type="trailing_average", period="1d")}
    made, _ = prepare(chunk(days, ("A",), rows), None, None, needs(days, historical=asked, daily_depth=2), Past())
    np.testing.assert_array_equal(made.historical["before"], [[NAN], [2], [NAN]])


def test_an_indicator_of_one_value_a_minute_is_spread_over_the_seconds() -> None:
    """Each second of a minute has its minute's value."""
    days = sessions([2, 2])
    rows = [
        (session, int(days.open[session]) + second * MINUTE // 60, "A", price, price, price, price, 1.0)
        for session in (0, 1)
        for second, price in enumerate([1.0] * 60 + [2.0] * 60)
    ]
    asked = {"usual": HistoricalIndicatorSettings(type="trailing_average", period="1d", granularity="minute")}
    wanted = needs(days, base="1s", derived=("1m",), historical=asked, depth={"1m": 1}, slots=120)
    made, _ = prepare(chunk(days, ("A",), rows), None, None, wanted, Past())
    assert made.historical["usual"].shape == (2, 1, 120)
    assert made.historical["usual"][1, 0].tolist() == [1.0] * 60 + [2.0] * 60


def test_quotes_come_on_the_slots_of_the_bars() -> None:
    days = sessions([2])
    rows = day(days, 0, [1, 2])
    quotes = chunk(days, ("A",), [flat(days, 0, 1, price=7.0)])
    names = ["day", "ts", "symbol_id", "bid_open", "bid_close", "ask_open", "ask_close", "left"]
    quotes = Chunk(days, ("A",), quotes.table.rename_columns(names), quotes.first, quotes.files, 0.0)
    made, _ = prepare(chunk(days, ("A",), rows), quotes, None, needs(days), Past())
    assert made.quotes is not None
    np.testing.assert_array_equal(made.quotes["ask_close"], [[NAN, 7]])
    assert prepare(chunk(days, ("A",), rows), None, None, needs(days), Past())[0].quotes is None


def test_tapes_end_to_end_are_the_tape_of_both() -> None:
    days = sessions([3, 2, 3, 3])
    close = np.where(np.random.default_rng(2).random((3, 11)) < 0.3, NAN, np.arange(33.0).reshape(3, 11))
    close[1, :5] = NAN
    whole = tape(days, close)
    for cut, at in ((1, 3), (2, 5), (3, 8)):
        first, second = tape(days[:cut], close[:, :at]), tape(days[cut:], close[:, at:])
        assert_same(joined(first, second), whole)
        assert_same(latest(None, whole, 4 - cut), second)
        assert_same(latest(first, second, 4 - cut), second)
        assert_same(latest(first, second, 4), whole)
        assert_same(latest(first, second, 9), whole)
        assert_same(latest(first, second, 5 - cut), whole.between(cut - 1, 4))
    assert len(latest(None, whole, 0)) == 0


def test_the_last_close_is_kept_where_a_chunk_has_none() -> None:
    days = sessions([3])
    found = last_close(tape(days, np.array([[1.0, 2, NAN], [NAN, NAN, NAN], [NAN, NAN, NAN]])), np.array([7.0, 8.0, NAN]))
    np.testing.assert_array_equal(found, [2, 8, NAN])


def assert_same(found: Tape, expected: Tape) -> None:
    assert found.symbols == expected.symbols
    for name in (*TAPE_COLUMNS, "start", "count"):
        left, right = getattr(found, name), getattr(expected, name)
        assert left.tobytes() == right.tobytes(), name
        assert (left.dtype, left.shape) == (right.dtype, right.shape), name
    assert found.sessions.label.tolist() == expected.sessions.label.tolist()


HISTORICAL = {
    "volume": HistoricalIndicatorSettings(type="trailing_average", period="3d", field="volume", skip_early_close=True),
    "gaps": HistoricalIndicatorSettings(type="gap_stats", period="2d"),
    "weekly": HistoricalIndicatorSettings(type="high_low", period="1w"),
    "usual": HistoricalIndicatorSettings(type="trailing_average", period="2d", granularity="minute"),
}
DEPTH = {"1m": 3, "2m": 2, "1d": 21, "5d": 7, "1w": 14}


def parts_of(whole: tuple[Chunk, Chunk], wanted: Needs, cuts: list[int]) -> list[Prepared]:
    """The chunks between the cuts, prepared one after the other."""
    past, out = Past(), []
    for first, stop in zip([0, *cuts], [*cuts, len(whole[0].sessions)], strict=True):
        made, past = prepare(part(whole[0], first, stop), None, part(whole[1], first, stop), wanted, past)
        out.append(made)
    return out


def history_of(made: Prepared, interval: str, session: int, depth: int) -> list[Any]:
    """What session `session` of a chunk sees of an interval: its own bars, and those of `depth` sessions before it."""
    live, seen, at = made.tapes[interval], made.seen[interval], made.first(interval) + session
    before = seen.between(max(at - depth, 0), at)
    return [(part.column(name).tobytes(), part.count.tobytes()) for part in (before, live.between(at, at + 1)) for name in TAPE_COLUMNS]


def slots_of(made: Prepared, interval: str, session: int) -> list[int]:
    """The base slots at whose ends the bars of a session are available."""
    counts, last = made.last_slots[interval]
    at = made.first(interval) + session
    return last[int(counts[:at].sum()) :][: int(counts[at])].tolist()  # type: ignore[no-any-return]


def split_on(days: Sessions, *splits: tuple[str, int, float]) -> pl.DataFrame:
    """Actions: splits of symbols on the mornings of sessions."""
    columns = {"symbol": [split[0] for split in splits], "ex_date": days.label[[split[1] for split in splits]]}
    columns |= {"kind": ["split"] * len(splits), "value": [split[2] for split in splits], "source": ["test"] * len(splits)}
    return schema.frame(schema.CORPORATE_ACTIONS, columns)


@settings(max_examples=25)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), least=st.sampled_from([1.0, 0.5]), look=st.booleans())
def test_sessions_are_the_same_however_a_run_is_cut(data: st.DataObject, seed: int, least: float, look: bool) -> None:
    """I-15: tapes with their history, daily and weekly bars, historical indicators, quality, gaps, findings; to the last bit."""
    random = np.random.default_rng(seed)
    minutes = [6, 6, 4, 6, 6, 6, 5, 6, 6, 6, 6, 4, 6, 6, 6, 6]
    days = sessions(minutes)
    share = float(random.choice([0.0, 0.1, 0.5]))
    rows = [
        (session, int(days.open[session]) + minute * MINUTE, symbol, *random.integers(1, 40, 4).astype(float).tolist(), 5.0)
        for session, length in enumerate(minutes) for minute in range(length) for symbol in "ABC"
        if random.random() >= share and not (symbol == "C" and session in (3, 4))
    ]  # fmt: skip
    own = [flat(days, session, 0, symbol, 50.0) for session in range(16) for symbol in "AB" if random.random() < 0.4]
    whole = chunk(days, ("A", "B", "C"), rows), chunk(days, ("A", "B", "C"), own)
    actions = split_on(days, ("A", 6, 2.0), ("C", 3, 3.0), ("C", 4, 0.25), ("B", 0, 2.0), ("B", 11, 7.0))
    wanted = needs(
        days, derived=("2m", "1d", "5d", "1w"), settings=DerivedSettings(min_completeness=least), look=look, historical=HISTORICAL,
        depth=DEPTH, daily_depth=9, ordinal=np.arange(16) + 3,
        actions=actions, splits=splits_of(actions, ("A", "B", "C")),
    )  # fmt: skip
    cuts = sorted(data.draw(st.sets(st.integers(1, 15), min_size=1, max_size=6)))
    together, apart = parts_of(whole, wanted, [])[0], parts_of(whole, wanted, cuts)
    for name in ("quality", "gaps", "findings"):
        assert pl.concat([getattr(made, name) for made in apart]).equals(getattr(together, name)), name
    for name, values in together.historical.items():
        assert np.concatenate([made.historical[name] for made in apart]).tobytes() == values.tobytes(), name
    assert np.concatenate([made.percent for made in apart]).tobytes() == together.percent.tobytes()
    session = 0
    for made in apart:
        for place in range(len(made.sessions)):
            for interval, depth in DEPTH.items():
                assert history_of(made, interval, place, depth) == history_of(together, interval, session, depth), interval
                assert slots_of(made, interval, place) == slots_of(together, interval, session)
            session += 1
    assert sum(made.stored_days for made in apart) == together.stored_days
    assert {name: sum(int(made.dropped[name].sum()) for made in apart) for name in together.dropped} == {
        name: int(left.sum()) for name, left in together.dropped.items()
    }


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_symbol_is_the_same_whichever_others_stand_beside_it(seed: int) -> None:
    """I-13: bars, quality and history of A and C; what kind a gap is depends on the market, and so on the others."""
    random = np.random.default_rng(seed)
    days = sessions([6, 5, 6, 6, 6])
    rows = [
        (session, int(days.open[session]) + minute * MINUTE, symbol, *random.integers(1, 40, 4).astype(float).tolist(), 5.0)
        for session in range(5) for minute in range(6) for symbol in "ABC" if random.random() < 0.8
    ]  # fmt: skip
    asked = {"volume": HistoricalIndicatorSettings(type="trailing_average", period="2d"), "usual": HISTORICAL["usual"]}
    wanted = needs(days, derived=("2m", "1d"), historical=asked, depth={"1m": 2, "1d": 2}, daily_depth=4)
    every = prepare(chunk(days, ("A", "B", "C"), rows), None, None, wanted, Past())[0]
    two = prepare(chunk(days, ("A", "C"), [row for row in rows if row[2] != "B"]), None, None, wanted, Past())[0]
    for interval in ("1m", "2m", "1d"):
        for mine, other in ((0, 0), (1, 2)):
            for name in TAPE_COLUMNS:
                left = [bars(two.tapes[interval], session, mine, name) for session in range(5)]
                assert left == [bars(every.tapes[interval], session, other, name) for session in range(5)]
    for name, values in two.historical.items():
        assert values.tobytes() == np.ascontiguousarray(every.historical[name][:, [0, 2]]).tobytes()
    assert two.quality.cast({"symbol": pl.String}).equals(every.quality.cast({"symbol": pl.String}).filter(pl.col("symbol") != "B"))


def bars(found: Tape, session: int, line: int, name: str) -> bytes:
    begin = int(found.start[session, line])
    return found.column(name)[begin : begin + int(found.count[session, line])].tobytes()


def test_daily_bars_as_base_need_nothing_built() -> None:
    days = sessions([390, 210, 390])
    rows = [flat(days, session, 0, price=float(session + 1)) for session in range(3)]
    wanted = needs(days, base="1d", derived=("1w",), depth={"1d": 2, "1w": 7}, slots=1)
    made, _ = prepare(chunk(days, ("A",), rows), None, None, wanted, Past())
    assert made.tapes["1d"].close.tolist() == [1, 2, 3]
    assert [column.tolist() for column in made.last_slots["1d"]] == [[1, 1, 1], [0, 0, 0]]
    assert made.quality.select("interval", "expected", "actual").unique().sort("interval").rows()[0] == ("1d", 1, 1)


@pytest.mark.parametrize(
    ("split", "first"),
    [(3, (10, 14, 10, 14, 115)), (5, (70, 84, 13, 14, 25)), (0, (70, 84, 13, 14, 25))],
    ids=["inside", "after", "before"],
)
def test_a_bar_of_five_days_is_in_the_terms_of_its_last(split: int, first: tuple[float, ...]) -> None:
    """7:1 on the fourth day makes 10, 11, 12 of the 70, 77, 84 before it, and 35 of each volume of 5; between buckets it changes none."""
    days = sessions([2] * 10)
    rows = [flat(days, day, 0, price=price, volume=5.0) for day, price in enumerate([70.0, 77, 84, 13, 14, 15, 16, 17, 18, 19])]
    splits = splits_of(split_on(days, ("A", split, 7.0)), ("A",))
    wanted = needs(days, base="1d", derived=("5d",), depth={"1d": 30, "5d": 30}, slots=1, splits=splits)
    made, _ = prepare(chunk(days, ("A",), rows), None, None, wanted, Past())
    bars = list(zip(*(made.tapes["5d"].column(name).tolist() for name in OHLCV), strict=True))
    assert bars == [first, (15, 19, 15, 19, 25)]
    assert made.tapes["1d"].close.tolist() == [70, 77, 84, 13, 14, 15, 16, 17, 18, 19]


@pytest.mark.parametrize("sessions_in_week", [5, 4])
def test_weekly_bars_of_daily_bars_are_those_of_pandas(sessions_in_week: int) -> None:
    """D-05: weeks from Monday on; open, high, low, close and volume of four weeks."""
    import pandas

    labels = np.array([np.datetime64("2024-01-01") + 7 * week + day for week in range(4) for day in range(sessions_in_week)])
    days = sessions([390] * len(labels))
    days = Sessions(
        days.calendar, days.timezone, labels, labels.astype("datetime64[us]").astype(np.int64),
        labels.astype("datetime64[us]").astype(np.int64) + 390 * MINUTE, days.break_start, days.break_end, days.early, 252.0,
    )  # fmt: skip
    random = np.random.default_rng(8)
    values = random.integers(1, 90, (len(labels), 5)).astype(float)
    rows = [(place, int(days.open[place]), "A", *values[place].tolist()) for place in range(len(labels))]
    wanted = needs(days, base="1d", derived=("1w",), depth={"1d": 30, "1w": 30}, slots=1)
    made, _ = prepare(chunk(days, ("A",), rows), None, None, wanted, Past())  # type: ignore[arg-type]
    frame = pandas.DataFrame(values, columns=list(OHLCV), index=pandas.DatetimeIndex(labels.astype("datetime64[ns]")))
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    expected = frame.resample("W-SUN").agg(how)
    for name in OHLCV:
        assert made.tapes["1w"].column(name).tolist() == expected[name].tolist()


def test_without_tables_a_chunk_is_the_same_but_for_them() -> None:
    days = sessions([4, 4])
    rows = day(days, 0, [1, 2, 3, 4]) + day(days, 1, [5, NAN, 70, 8])
    asked = needs(days, derived=("2m",))
    (told, after), (silent, later) = (
        prepare(chunk(days, ("A",), rows), None, None, replace(asked, told=tables), Past()) for tables in (True, False)
    )
    for name, table in told.tapes.items():
        for column in TAPE_COLUMNS:
            assert silent.tapes[name].column(column).tolist() == table.column(column).tolist()
    assert silent.percent.tolist() == told.percent.tolist() != [[100.0], [100.0]]
    assert later.close is not None
    assert after.close is not None
    assert later.close.tolist() == after.close.tolist()
    for name in ("quality", "gaps", "findings"):
        rows_of = getattr(told, name)
        assert rows_of.height > 0
        assert getattr(silent, name).columns == rows_of.columns
        assert getattr(silent, name).is_empty()
