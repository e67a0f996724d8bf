"""A market that never was: the same everywhere, and each part of it independent of the rest."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from backtester.errors import CalendarError, DataError
from backtester.market import simulate as simulation
from backtester.market.lake import Lake
from backtester.market.simulate import Simulation, simulate

MONDAY, FRIDAY = dt.date(2024, 11, 25), dt.date(2024, 11, 29)
"""A week with Thanksgiving (no session) and an early close after it."""


DIGEST = "c1d1ac656cf53f57b639d0c03a8c41a853f456df8cf1d4abc0a2ea76c67b9446"


def made(
    root: Path, symbols: tuple[str, ...] = ("AAA", "BBB"), start: dt.date = MONDAY, end: dt.date = FRIDAY, **words: Any
) -> pl.DataFrame:
    """The bars of a simulation, sorted by (symbol, ts), with their session."""
    words = {"seed": 7, "interval": "1m"} | words
    simulate(root, Simulation(symbols, start, end, **words))
    return stored(root, "bars", words["interval"])


def stored(root: Path, kind: str, interval: str) -> pl.DataFrame:
    lake = Lake.open(root)
    days = lake.files(kind, interval)["session"]  # type: ignore[arg-type]
    frames = [lake.read(kind, interval, np.datetime64(day)).with_columns(session=pl.lit(day)) for day in days]  # type: ignore[arg-type]
    return pl.concat(frames).sort("symbol", "ts")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    return made(tmp_path_factory.mktemp("market") / "lake")


def test_every_session_has_all_its_slots_and_early_closes_are_early(market: pl.DataFrame) -> None:
    counts = market.group_by("symbol", "session").len().sort("symbol", "session")
    assert counts.filter(symbol="AAA").select("session", "len").rows() == [
        (dt.date(2024, 11, 25), 390), (dt.date(2024, 11, 26), 390), (dt.date(2024, 11, 27), 390), (dt.date(2024, 11, 29), 210),
    ]  # fmt: skip


def test_prices_are_whole_cents_above_zero_and_contain_open_and_close(market: pl.DataFrame) -> None:
    prices = market.select("open", "high", "low", "close")
    assert prices.equals(prices.select((pl.all() * 100).round(0).map_batches(lambda cents: pl.Series(cents.to_numpy() / 100.0))))
    assert (market["low"] > 0).all()
    assert market.filter(
        (pl.col("high") < pl.max_horizontal("open", "close")) | (pl.col("low") > pl.min_horizontal("open", "close"))
    ).is_empty()
    assert (market["volume"] > 0).all()


def test_volume_is_larger_at_both_ends_of_the_day(market: pl.DataFrame) -> None:
    by_slot = market.filter(pl.col("session") == MONDAY).group_by("symbol", maintain_order=True).agg("volume")["volume"]
    for volume in by_slot:
        first, middle, last = volume.head(60).mean(), volume.slice(165, 60).mean(), volume.tail(60).mean()
        assert first > 1.5 * middle < last * 1.5  # type: ignore[operator]


def test_nights_leave_gaps_and_minutes_hardly_any(market: pl.DataFrame) -> None:
    one = market.filter(symbol="AAA").with_columns(gap=(pl.col("open") / pl.col("close").shift() - 1).abs())
    night = one.filter(pl.col("session") != pl.col("session").shift())["gap"]
    minute = one.filter(pl.col("session") == pl.col("session").shift())["gap"]
    assert night.mean() > 5 * minute.mean()  # type: ignore[operator]


def test_symbols_move_together_but_not_alike(tmp_path: Path) -> None:
    bars = made(tmp_path, tuple("ABCDEF"), end=MONDAY)
    returns = np.stack([np.diff(np.log(bars.filter(symbol=name)["close"].to_numpy())) for name in "ABCDEF"])
    pairs = np.corrcoef(returns)[np.triu_indices(6, 1)]
    assert 0.2 < pairs.mean() < 0.8
    assert pairs.max() < 0.95


def test_the_same_words_give_the_same_bytes_in_another_process(tmp_path: Path, project: Path) -> None:
    words = ["AAA,BBB", "2024-11-25", "2024-11-26"]
    code = (
        "import sys, datetime as dt; from pathlib import Path; from backtester.market.simulate import Simulation, simulate\n"
        "simulate(Path(sys.argv[1]), Simulation(tuple(sys.argv[2].split(',')), *map(dt.date.fromisoformat, sys.argv[3:5]), 7, missing=0.1))"
    )
    for name, settings in (("a", {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"}), ("b", {"PYTHONHASHSEED": "2", "POLARS_MAX_THREADS": "1"})):
        environment = os.environ | settings | {"PYTHONPATH": str(project)}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name), *words], cwd=tmp_path, env=environment, check=True)
    first, second = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.parquet")} for name in "ab"
    )
    assert first == second
    assert len(first) == 3


def test_the_values_are_those_of_every_other_machine(market: pl.DataFrame) -> None:
    """A digest of the values (not of Parquet's bytes), fixed when the generator was made: no machine and no version may change it."""
    columns = [market["ts"].to_physical().to_numpy().astype("<i8").tobytes()]
    columns += [market[name].to_numpy().astype("<f8").tobytes() for name in ("open", "high", "low", "close", "volume")]
    assert hashlib.sha256(b"".join(columns)).hexdigest() == DIGEST


def test_one_symbols_prices_by_hand_in_pythons_own_numbers(market: pl.DataFrame) -> None:
    """The module's formula, one point after the other in Python's integers and floats, which are the same everywhere."""
    seed, day, own = 7, (MONDAY - dt.date(1970, 1, 1)).days, simulation._traits(7, "AAA")

    def shocks(symbol: str, role: int, number: int, count: int, counter: int) -> list[int]:
        key = hashlib.sha256(f"backtester market 1\n{seed}\n{symbol}".encode()).digest()[:16]
        philox = np.random.Philox(key=int.from_bytes(key, "little"), counter=[counter, number + 2**20, role, 0])
        return [sum((int(raw) >> shift) & 0xFFFF for shift in (0, 16, 32, 48)) - 131_070 for raw in philox.random_raw(count)]

    def level(symbol: str, last: int) -> int:
        """The 730 shocks of a night and a day each up to number `last`, counted from day -2**20."""
        start = (last - 730) // 4 * 4
        drawn = dict(enumerate(shocks(symbol, 4, 0, 740, start // 4), start))
        return sum(drawn[number] * (110, 170)[number % 2] for number in range(last - 729, last + 1))

    def mixed(market_part: int, own_part: int) -> int:
        return (own.beta * market_part + own.own * own_part) >> 8

    night = 2 * (day + 2**20)
    opening, closing = (mixed(level("", last), level("AAA", last)) for last in (night, night + 1))
    points = list(zip(shocks("", 0, day, 1560, 0), shocks("AAA", 0, day, 1560, 0), strict=True))
    walk, total = [], 0
    for number, (of_market, of_symbol) in enumerate(points):
        smile = 160 + 256 * (2 * (number // 4) - 389) ** 2 // 389**2
        total += mixed(of_market * 96 >> 4, of_symbol * 96 >> 4) * smile >> 8
        walk.append(total)
    missed = closing - opening - (walk[-1] - walk[0])
    cents = []
    for number, value in enumerate(walk):
        growth = 1.0 + (opening + value - walk[0] + missed * number // 1559) * 2.0**-34
        for _ in range(4):
            growth *= growth
        cents.append(round(growth * own.base))
    bars = market.filter(pl.col("session") == MONDAY, symbol="AAA")
    for name, choose in (("open", lambda four: four[0]), ("high", max), ("low", min), ("close", lambda four: four[3])):
        assert bars[name].to_list() == [choose(cents[place : place + 4]) / 100 for place in range(0, 1560, 4)]


def test_another_seed_is_another_market(tmp_path: Path, market: pl.DataFrame) -> None:
    assert not made(tmp_path, seed=8)["close"].equals(market["close"])


def test_another_symbol_changes_no_other_symbols_bars(tmp_path: Path, market: pl.DataFrame) -> None:
    more = made(tmp_path, ("AAB", "BBB", "ZZZ", "AAA"))
    assert more.filter(pl.col("symbol").is_in(["AAA", "BBB"])).equals(market)


@pytest.mark.parametrize(("start", "end"), [(dt.date(2024, 11, 26), FRIDAY), (dt.date(2024, 11, 20), dt.date(2024, 12, 3))])
def test_another_start_or_end_changes_no_sessions_bars(tmp_path: Path, market: pl.DataFrame, start: dt.date, end: dt.date) -> None:
    other = made(tmp_path, start=start, end=end)
    both = (pl.col("session") >= max(start, MONDAY)) & (pl.col("session") <= FRIDAY)
    assert other.filter(both).equals(market.filter(both))


def test_missing_bars_are_left_out_and_the_others_stay_as_they_are(tmp_path: Path, market: pl.DataFrame) -> None:
    thin = made(tmp_path, missing=0.1)
    assert thin.equals(market.join(thin, on=["symbol", "ts"], how="semi"))
    assert 0.08 < 1 - len(thin) / len(market) < 0.12


def test_more_missing_bars_are_the_same_and_more(tmp_path: Path) -> None:
    few, many = made(tmp_path / "a", missing=0.05), made(tmp_path / "b", missing=0.2)
    assert many.join(few, on=["symbol", "ts"], how="anti").is_empty()


def test_a_daily_bar_sums_up_the_minutes_of_its_session(tmp_path: Path, market: pl.DataFrame) -> None:
    days = made(tmp_path, interval="1d")
    minutes = market.group_by("symbol", "session", maintain_order=True).agg(
        pl.col("ts").first(),
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
    )
    assert days.select(minutes.columns).equals(minutes)


def test_seconds_fill_their_sessions(tmp_path: Path) -> None:
    bars = made(tmp_path, ("AAA",), FRIDAY, FRIDAY, interval="1s")
    assert len(bars) == 210 * 60
    assert bars["ts"].diff().drop_nulls().unique().to_list() == [dt.timedelta(seconds=1)]


def test_quotes_stand_around_the_trades(tmp_path: Path, market: pl.DataFrame) -> None:
    bars = made(tmp_path, quotes=True)
    assert bars.equals(market)
    both = stored(tmp_path, "quotes", "1m").join(bars, on=["symbol", "ts"])
    assert len(both) == len(bars)
    for part in ("open", "high", "low", "close"):
        spread = (both[f"ask_{part}"] - both[f"bid_{part}"]).round(2)
        assert set(spread.unique()) <= {0.01, 0.02, 0.03}
        assert ((both[f"bid_{part}"] <= both[part]) & (both[part] <= both[f"ask_{part}"])).all()
    assert (both["bid_size"] % 100 == 0).all()


def test_a_lunch_break_has_no_bars(tmp_path: Path) -> None:
    bars = made(tmp_path, ("7203",), dt.date(2024, 11, 1), dt.date(2024, 11, 1), calendar="JPX")
    local = bars["ts"].dt.convert_time_zone("Asia/Tokyo").dt.strftime("%H:%M").to_list()
    assert (len(local), local[0], local[149], local[150], local[-1]) == (300, "09:00", "11:29", "12:30", "14:59")


def test_a_day_of_a_market_that_never_closes(tmp_path: Path) -> None:
    assert len(made(tmp_path, ("BTC",), dt.date(2024, 11, 2), dt.date(2024, 11, 2), calendar="24/7")) == 1440


def test_prices_stay_near_their_base_for_decades(tmp_path: Path) -> None:
    bars = pl.concat(
        made(tmp_path / str(year), tuple("ABCDEF"), dt.date(year, 6, 3), dt.date(year, 6, 7), interval="1d") for year in (1995, 2024, 2090)
    )
    spread = bars.group_by("symbol").agg(pl.col("close").max() / pl.col("close").min())["close"]
    assert spread.max() < 8  # type: ignore[operator]


def test_simulating_again_changes_nothing_and_another_seed_stops(tmp_path: Path) -> None:
    made(tmp_path)
    assert simulate(tmp_path, Simulation(("AAA", "BBB"), MONDAY, FRIDAY, 7)).unchanged == 2 * (3 * 390 + 210)
    with pytest.raises(DataError, match="different bars"):
        simulate(tmp_path, Simulation(("AAA",), MONDAY, FRIDAY, 8))
    assert simulate(tmp_path, Simulation(("AAA",), MONDAY, FRIDAY, 8), replace=True).replaced > 1300


def test_no_session_between_the_dates_is_an_error_of_the_calendar_cfg_23(tmp_path: Path) -> None:
    with pytest.raises(CalendarError, match=r"no session to simulate .*2024-11-30 to 2024-12-01"):
        simulate(tmp_path / "lake", Simulation(("AAA",), dt.date(2024, 11, 30), dt.date(2024, 12, 1), 7))
    assert not (tmp_path / "lake").exists()
