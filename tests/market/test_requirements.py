"""Which stored interval a run reads, and what is said of every stream."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtester.columns import Sessions
from backtester.errors import ConfigError, DataError
from backtester.market.lake import Lake
from backtester.market.requirements import Requirements, base_of, has_all, missing_symbols, requirements
from tests.market.days import sessions
from tests.market.stored import lake

DAYS = ("2024-01-01", "2024-01-02")


def days() -> Sessions:
    return sessions([390, 390], opens_at=570)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A lake with 1m and 1d bars of A, and 1m bars of B."""
    lake(tmp_path, [(DAYS[0], "09:30", "A", 1.0), (DAYS[0], "09:30", "B", 1.0), (DAYS[1], "09:30", "A", 1.0)])
    lake(tmp_path, [(DAYS[0], "09:30", "A", 1.0)], interval="1d")
    return tmp_path


def asked(root: Path, *streams: str, needed: dict[str, str] | None = None, symbols: tuple[str, ...] = ("A",)) -> Requirements:
    return requirements(streams, needed or {}, Lake.open(root), days(), symbols)


@pytest.mark.parametrize(
    ("wanted", "has_daily", "base"),
    [
        (["1s"], False, "1s"),
        (["5s"], True, "1s"),
        (["90s"], False, "1s"),
        (["1m"], True, "1m"),
        (["7m"], False, "1m"),
        (["1h"], True, "1m"),
        (["4h", "1d"], True, "1m"),
        (["5m", "30s"], False, "1s"),
        (["1d", "5s"], True, "1s"),
        (["1d"], True, "1d"),
        (["1d"], False, "1m"),
        (["1d", "1w", "5d"], True, "1d"),
        (["1d", "1w"], False, "1m"),
        (["5d"], True, "1d"),
        (["1w"], False, "1d"),
        (["1w", "1m"], True, "1m"),
        (["1w", "1s"], True, "1s"),
    ],
)
def test_the_base_is_the_smallest_interval_that_satisfies_all(wanted: list[str], has_daily: bool, base: str) -> None:
    """SPEC 4.2, every line of it."""
    assert base_of(wanted, has_daily) == base
    assert base_of(reversed(wanted), has_daily) == base


def test_every_stream_is_marked_with_its_reason(stored: Path) -> None:
    found = asked(stored, "1m", "5m", "ticks", "quotes", needed={"15m": "strategy cross", "5m": "indicator sma"})
    assert (found.base, found.derived, found.quotes) == ("1m", ("5m", "15m"), False)
    assert [(stream.stream, stream.mark, stream.reason) for stream in found.streams] == [
        ("1m", "STREAMED", "read from the lake"),
        ("5m", "GENERATED", "derived from 1m; needed by indicator sma"),
        ("15m", "GENERATED", "derived from 1m; needed by strategy cross"),
        ("quotes", "GENERATED", "no quote bars in the lake: bid = ask = close of the latest bar"),
        ("ticks", "IGNORED", "ticks are unsupported"),
    ]


def test_stored_quotes_are_streamed(stored: Path) -> None:
    lake(stored, [(DAYS[0], "09:30", "A", 1.0)], kind="quotes")
    found = asked(stored, "1m", "quotes")
    assert found.quotes
    assert [(stream.mark, stream.reason) for stream in found.streams[1:]] == [("STREAMED", "quote bars of 1m from the lake")]


def test_an_interval_that_only_a_strategy_needs_is_read_too(stored: Path) -> None:
    found = asked(stored, needed={"1m": "strategy cross"})
    assert (found.base, [stream.mark for stream in found.streams]) == ("1m", ["STREAMED"])
    assert found.streams[0].reason == "read from the lake; needed by strategy cross"


def test_daily_streams_read_the_lakes_daily_bars(stored: Path) -> None:
    found = asked(stored, "1d", "1w")
    assert (found.base, found.derived) == ("1d", ("1w",))


def test_a_base_that_the_lake_lacks_is_an_error_with_this_text(stored: Path) -> None:
    """SPEC 4.3: no silent fallback; the text to the letter."""
    with pytest.raises(DataError) as caught:
        asked(stored, "1m", "5m", "5s")
    assert str(caught.value).startswith("Required interval 1s not available for A (needed to build 5s, 1m, 5m)")
    assert caught.value.exit_code == 4
    assert caught.value.what == "Required interval 1s not available for A (needed to build 5s, 1m, 5m)"


def test_a_base_that_nothing_is_built_from_is_named_alone(stored: Path) -> None:
    with pytest.raises(DataError) as caught:
        asked(stored, "1s")
    assert caught.value.what == "Required interval 1s not available for A"


def test_the_symbols_without_the_base_are_listed(stored: Path) -> None:
    """DAT-06: all of them, in order, and what the lake has instead."""
    with pytest.raises(DataError) as caught:
        asked(stored, "1m", symbols=("Z", "A", "C", "B"))
    assert caught.value.what == "Required interval 1m not available for C, Z"
    assert "1m (2 symbols)" in str(caught.value)


def test_daily_bars_of_some_symbols_are_no_fallback(stored: Path) -> None:
    """B has no daily bars; that it has minutes does not quietly change the base."""
    with pytest.raises(DataError, match="Required interval 1d not available for B"):
        asked(stored, "1d", symbols=("A", "B"))


def test_a_symbol_that_misses_a_day_is_there_all_the_same(stored: Path) -> None:
    """DAT-07: B has no bar on the second day."""
    assert asked(stored, "1m", symbols=("A", "B")).base == "1m"
    assert missing_symbols(Lake.open(stored), "bars", "1m", days()[1:], ["A", "B"]) == ["B"]
    assert has_all(Lake.open(stored), "1m", days(), ["A", "B"]).tolist() == [True, False]
    assert has_all(Lake.open(stored), "1m", days(), ["A"]).tolist() == [True, True]
    assert has_all(Lake.open(stored), "1h", days(), ["A"]).tolist() == [False, False]


@pytest.mark.parametrize(
    ("streams", "what"),
    [(("quotes",), "only quotes are wanted"), ((), "no interval is wanted"), (("ticks",), "no interval is wanted")],
)
def test_without_a_bar_interval_there_is_no_base(stored: Path, streams: tuple[str, ...], what: str) -> None:
    """SPEC 4.5."""
    with pytest.raises(ConfigError, match=what):
        asked(stored, *streams)


def test_streams_asked_for_twice_are_marked_once(stored: Path) -> None:
    assert [stream.stream for stream in asked(stored, "5m", "1m", "5m", "ticks", "ticks").streams] == ["1m", "5m", "ticks"]


def test_intervals_of_one_length_are_ordered_by_name(stored: Path) -> None:
    """I-18: an order out of a set would change with the hash seed."""
    wanted = ("60m", "1h", "120m", "2h", "1m", "180m", "3h")
    assert asked(stored, *wanted).derived == ("1h", "60m", "120m", "2h", "180m", "3h")
