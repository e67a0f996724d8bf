"""`bt audit` finds what R11 and STR-14 to STR-17 name, and nothing where all is well. Ids are those of the test plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backtester import config
from backtester.auditing.audit import audit
from backtester.auditing.verdict import Row, Verdict
from tests import configs

DAYS = {"backtest_config.start_date": "2024-11-20", "backtest_config.end_date": "2024-12-02"}
LEAKS = (
    "CentredWindow",
    "ResampleLabel",
    "Backfill",
    "GlobalNormalization",
    "ShiftMinusOne",
    "FinalHigh",
    "JoinOnStart",
    "WholeDayQuality",
)


def strategies(*names: str) -> list[dict[str, Any]]:
    return [{"name": name.lower(), "use": f"tests.auditing.leaks:{name}"} for name in names]


def audited(lake: Path, settings: dict[str, Any], **words: int) -> Verdict:
    symbols = {"session_data_config.symbols": ["AAA", "BBB"], "session_data_config.streams": ["1m"]}
    return audit(config.load(configs.config(lake, {**DAYS, **symbols, **settings})), **words)


def rows(verdict: Verdict, name: str) -> dict[str, Row]:
    return {row.check: row for row in verdict.rows if row.subject == f"strategy {name.lower()}"}


def leaking(verdict: Verdict, name: str) -> set[str]:
    return {check for check, row in rows(verdict, name).items() if row.leaks}


@pytest.fixture(scope="module")
def leaks(simulated: Path) -> Verdict:
    """The eight classic leaks and a sound strategy in one run, cut at few places."""
    return audited(simulated, {"strategies": strategies(*LEAKS, "Stumbles")}, cuts=12, changes=6)


@pytest.mark.parametrize("name", LEAKS)
def test_str_14_a_classic_leak_is_caught_by_cuts_and_by_other_futures(leaks: Verdict, name: str) -> None:
    assert not leaks.clean
    assert {"prefix cut", "future missing", "future noise"} <= leaking(leaks, name)
    first = rows(leaks, name)["prefix cut"].first
    assert first is not None
    assert first.symbol in ("AAA", "BBB")
    assert "2024-11-20" <= first.session <= "2024-12-02"
    assert first.usual != first.other
    assert first.ts is not None
    assert first.slot is not None


@pytest.mark.parametrize("name", [name for name in LEAKS if name != "GlobalNormalization"])
def test_a_leak_inside_a_session_is_not_taken_for_another_fault(leaks: Verdict, name: str) -> None:
    assert leaking(leaks, name) <= {"prefix cut", "future missing", "future noise", "future mirrored"}


def test_what_hangs_on_all_prices_hangs_on_the_batch_too(leaks: Verdict) -> None:
    assert {"one session at a time", "one symbol at a time", "calls shuffled"} <= leaking(leaks, "GlobalNormalization")


def test_a_strategy_that_raises_is_told_of_and_asked_no_more(leaks: Verdict) -> None:
    assert set(rows(leaks, "Stumbles")) == {"runs"}
    first = rows(leaks, "Stumbles")["runs"].first
    assert first is not None
    assert "a short day" in first.other


def test_a_leak_on_one_bar_in_2000_is_found_by_cuts_at_changes_and_missed_by_random_ones(simulated: Path) -> None:
    """R11: of 15,630 minutes 6 leak; 64 cuts at random do not meet them, a cut at each change of a signal does."""
    only = {"strategies": strategies("Rare"), "backtest_config.start_date": "2024-11-01", "backtest_config.end_date": "2024-12-31"}
    missed = audited(simulated, only, cuts=64, changes=0)
    assert (missed.random_cuts, missed.change_cuts, missed.clean) == (64, 0, True)
    found = audited(simulated, only, cuts=0, changes=200)
    assert leaking(found, "Rare") == {"prefix cut", "future missing", "future noise", "future mirrored"}
    first = rows(found, "Rare")["prefix cut"].first
    assert first is not None
    assert first.usual == "enter_long"


def test_a_leak_in_the_clock_layout_is_found_and_nothing_else_is_said_of_it(simulated: Path) -> None:
    found = audited(simulated, {"strategies": strategies("ClockAhead")}, cuts=4, changes=8)
    assert leaking(found, "ClockAhead") == {"prefix cut", "future missing", "future noise", "future mirrored"}


@pytest.fixture(scope="module")
def impure(simulated: Path) -> Verdict:
    """Strategies that hang on chance, on the process, on calls before, on their neighbours; and one that writes."""
    names = ("Unseeded", "Hashes", "Counts", "Remembers", "Writes", "Crowd", "ShortWarmUp")
    return audited(simulated, {"strategies": strategies(*names)}, cuts=4, changes=2)


def test_str_16_chance_without_a_seed_is_found_by_asking_twice(impure: Verdict) -> None:
    assert {"asked twice", "another process"} <= leaking(impure, "Unseeded")


def test_what_hangs_on_the_hash_of_a_text_is_found_by_another_process_alone(impure: Verdict) -> None:
    assert leaking(impure, "Hashes") == {"another process"}
    first = rows(impure, "Hashes")["another process"].first
    assert first is not None
    assert first.symbol in ("AAA", "BBB")
    assert {first.usual, first.other} == {"enter_long", "nothing"}


@pytest.mark.parametrize("name", ["Counts", "Remembers"])
def test_str_17_what_is_kept_between_calls_is_found_by_calls_in_another_order(impure: Verdict, name: str) -> None:
    assert "calls shuffled" in leaking(impure, name)


def test_a_write_into_the_inputs_is_found(impure: Verdict) -> None:
    row = rows(impure, "Writes")["inputs unchanged"]
    assert row.leaks
    assert row.first is not None
    assert row.first.other == "1m close"
    assert all(not rows(impure, name)["inputs unchanged"].leaks for name in ("Crowd", "Hashes", "ShortWarmUp"))


def test_what_compares_rows_is_found_by_asking_for_less(impure: Verdict) -> None:
    assert {"one symbol at a time", "one session at a time"} <= leaking(impure, "Crowd")


def test_str_15_a_history_declared_too_short_is_told_and_is_no_leak(impure: Verdict) -> None:
    assert leaking(impure, "ShortWarmUp") == set()
    twice, more = (rows(impure, "ShortWarmUp")[f"history x{times}"] for times in (2, 4))
    assert 0 < twice.differences <= twice.looks
    assert more.differences > 0
    assert 0.0 < twice.change < 0.02
    assert rows(impure, "Hashes")["history x2"].note == "declares no history: begins anew each session"


SOUND = {
    "session_data_config.historical.data": [{"trailing_days": 2, "intervals": ["1m"]}],
    "session_data_config.historical.indicators": {
        "usual_volume": {"type": "trailing_average", "period": "3d", "granularity": "minute", "field": "volume"},
        "range": {"type": "avg_range", "period": "5d"},
    },
    "session_data_config.indicators.session": [
        {"name": "sma", "period": 20, "interval": "1m"}, {"name": "rsi", "period": 14, "interval": "5m"},
        {"name": "pivot_points", "interval": "15m"}, {"name": "bbands", "period": 20, "interval": "1m"},
    ],
    "session_data_config.derived.min_completeness": 0.5,
}  # fmt: skip
BUILT_IN = [
    {"name": name, "use": name}
    for name in ("sma_crossover", "rsi_reversion", "opening_range_breakout", "vwap_reversion", "cross_sectional_momentum", "buy_and_hold")
]


@pytest.fixture(scope="module")
def sound(simulated: Path) -> Verdict:
    """Every built-in strategy and one that looks at all there is, over bars with holes."""
    return audited(simulated, {"strategies": [*BUILT_IN, *strategies("Sound")], **SOUND}, cuts=16, changes=6)


def test_sound_strategies_and_all_built_in_ones_are_clean(sound: Verdict) -> None:
    assert [row for row in sound.rows if row.leaks] == []
    assert sound.clean
    named = {row.subject for row in sound.rows}
    assert {f"strategy {entry['name']}" for entry in BUILT_IN} | {"strategy sound"} <= named
    assert {"indicator 1m/sma_20", "indicator 5m/rsi_14", "indicator 1m/bbands_20.upper", "historical usual_volume", "historical range",
            "bars 1m", "bars 15m"} <= named  # fmt: skip


def test_every_check_looked_at_something(sound: Verdict) -> None:
    found = rows(sound, "Sound")
    assert all(row.looks > 0 for row in found.values())
    assert found["prefix cut"].looks == found["future noise"].looks >= 16
    assert found["one session at a time"].looks == 8
    assert rows(sound, "cross_sectional_momentum").keys() & {"one symbol at a time", "rows reversed"} == set()


def test_averages_without_end_hardly_change_with_more_history(sound: Verdict) -> None:
    """RSI by Wilder's smoothing never forgets, but its declared warm-up leaves less than a millionth."""
    row = next(row for row in sound.rows if (row.subject, row.check) == ("indicator 5m/rsi_14", "history x4"))
    assert not row.leaks
    assert rows(sound, "rsi_reversion")["history x4"].differences == 0
    assert next(row for row in sound.rows if (row.subject, row.check) == ("indicator 1m/sma_20", "history x4")).differences == 0


def test_the_same_seed_finds_the_same(simulated: Path) -> None:
    only = {"strategies": strategies("ShiftMinusOne")}
    one, two, other = (audited(simulated, only, cuts=4, changes=4, seed=seed) for seed in (7, 7, 8))
    assert one == two
    assert one.seed == 7
    assert other.rows != one.rows
