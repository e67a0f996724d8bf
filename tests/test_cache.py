"""The cache of sessions: the same results with and without, whatever is kept, damaged, missing or foreign. Ids are the test plan's."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

import backtester as bt
from backtester.cli import main
from backtester.errors import DataError
from backtester.market import day_files, load
from backtester.market.day_files import DayFiles, clear, entries, folder_of_user
from backtester.market.simulate import Simulation, simulate
from tests.configs import config, strategy
from tests.stopped import everything, stop
from tests.test_pipeline import EVERYTHING

SMALL: dict[str, Any] = {
    "session_data_config.symbols": ["AAA", "BBB"],
    "session_data_config.streams": ["1m", "5m"],
    "backtest_config.start_date": "2024-11-01",
    "backtest_config.end_date": "2024-11-12",
    "strategies": strategy("sma_crossover"),
    "trading_config": {"min_quality": 50},
    "audit.cuts": 0,  # the small audit reads its session for itself
}
AHEAD = """
import numpy as np
from backtester import Signals, Strategy

class Ahead(Strategy):
    def signals(self, bars):
        later = np.roll(bars.close, -1, axis=-1)
        return Signals(enter_long=later > bars.close, exit_long=later < bars.close)
"""
CACHED = {"resources.cache": True}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, of this test alone; the calendar's years are taken from the user's own."""
    from backtester.market import calendar_cache

    years = calendar_cache.default_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if years is not None and years.is_dir():
        shutil.copytree(years, tmp_path / "xdg" / "backtester" / "calendars")
    return tmp_path / "xdg" / "backtester" / "sessions"


class Reads:
    """Counts what is read of the lake: sessions, of how many symbols."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: list[tuple[int, tuple[str, ...]]] = []
        own = load.read

        def read(reader: load.Reader, sessions: Any) -> load.Chunk:
            self.found.append((len(sessions), reader.symbols))
            return own(reader, sessions)

        monkeypatch.setattr(load, "read", read)

    def __call__(self) -> list[tuple[int, tuple[str, ...]]]:
        found, self.found = self.found, []
        return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def small(lake: Path, **changes: Any) -> dict[str, Any]:
    return config(lake, {**SMALL, **CACHED, **changes})


def test_a_run_is_the_same_with_and_without_the_cache_and_reads_nothing_twice(
    simulated: Path, tmp_path: Path, folder: Path, reads: Reads
) -> None:
    """Everything at once: early closes, missing bars, history, indicators of minutes and days, kept columns."""
    asked = {**EVERYTHING, "keep": ["signals", "bars", "indicators"], "audit.cuts": 0}
    whole = everything(bt.run(config(simulated, asked), out=tmp_path / "without"))
    for days in (None, 1, 7, 1000):
        changes = asked | {"backtest_config.prefetch_days": days} | CACHED
        reads()
        assert everything(bt.run(config(simulated, changes), out=tmp_path / f"{days}")) == whole
        assert bool(reads()) == (days is None), "only the first run reads the lake"
    assert all(entry.path.stat().st_mode & 0o777 == 0o600 for entry in entries(folder))
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_does_not_count_is_kept_too(tmp_path: Path, reads: Reads) -> None:
    """Rows outside the session, off the grid, not whole, twice in one slot: the table findings has them from the cache as well."""
    from backtester.market.change import changing

    lake = tmp_path / "lake"
    simulate(lake, Simulation(("AAA", "BBB"), dt.date(2024, 11, 4), dt.date(2024, 11, 5), seed=7))
    day = pl.read_parquet(lake / "bars" / "1m" / "2024-11-04.parquet")
    odd = [("13:00:00", 5.0), ("15:30:07", 5.0), ("15:31:00", float("nan")), ("23:10:00", 5.0)]
    instants = [pl.lit(f"2024-11-04T{at}").str.to_datetime(time_unit="us", time_zone="UTC") for at, _ in odd]
    rows = pl.concat([day.head(1).with_columns(ts=ts, close=pl.lit(close)) for ts, (_, close) in zip(instants, odd, strict=True)])
    kept = day.filter(~((pl.col("symbol") == "AAA") & pl.col("ts").is_in(rows["ts"].implode())))
    shutil.rmtree(lake)
    with changing(lake) as change:
        change.add("bars", "1m", pl.concat([kept, rows]).sort("symbol", "ts").with_columns(session=pl.lit(dt.date(2024, 11, 4))))
    asked = {"backtest_config.start_date": "2024-11-04", "backtest_config.end_date": "2024-11-04"}
    whole = bt.run(config(lake, {**SMALL, **asked}), out=tmp_path / "without")
    assert {"out_of_session", "off_grid", "invalid"} <= set(whole.table("findings")["kind"])
    for name in ("first", "second"):
        reads()
        assert everything(bt.run(small(lake, **asked), out=tmp_path / name)) == everything(whole)
    assert reads() == []


def test_one_symbol_more_reads_that_symbol_alone_and_fewer_read_nothing(simulated: Path, tmp_path: Path, reads: Reads) -> None:
    bt.run(small(simulated), out=tmp_path / "two")
    assert reads() == [(1, ("AAA", "BBB")), (8, ("AAA", "BBB"))], "a session of history, and the run's"
    for names in (["AAA", "BBB", "CCC"], ["CCC"], ["DDD", "AAA"]):
        asked = {"session_data_config.symbols": names}
        whole = bt.run(config(simulated, {**SMALL, **asked}), out=tmp_path / f"without{names[0]}{len(names)}")
        reads()
        assert everything(bt.run(small(simulated, **asked), out=tmp_path / f"{names[0]}{len(names)}")) == everything(whole)
        assert {symbols for _, symbols in reads()} == ({("CCC",)} if len(names) == 3 else {("DDD",)} if "DDD" in names else set())


def test_a_changed_day_is_made_anew_alone(simulated: Path, tmp_path: Path, reads: Reads) -> None:
    lake, other = tmp_path / "lake", tmp_path / "other"
    shutil.copytree(simulated, lake)
    bt.run(small(lake), out=tmp_path / "before")
    simulate(other, Simulation(("AAA", "BBB", "CCC", "DDD"), dt.date(2024, 10, 1), dt.date(2024, 12, 31), seed=8, missing=0.01))
    catalog = pl.read_parquet(lake / "catalog.parquet")
    path = "bars/1m/2024-11-06.parquet"
    changed = pl.read_parquet(other / "catalog.parquet").filter(path=path)
    shutil.copyfile(other / path, lake / path)
    pl.concat([catalog.filter(pl.col("path") != path), changed]).sort("kind", "interval", "session").write_parquet(lake / "catalog.parquet")
    whole = bt.run(config(lake, SMALL), out=tmp_path / "without")
    reads()
    assert everything(bt.run(small(lake), out=tmp_path / "after")) == everything(whole)
    assert reads() == [(1, ("AAA", "BBB"))]


def test_another_close_of_a_session_is_another_session(simulated: Path, tmp_path: Path, reads: Reads) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(simulated, lake)
    bt.run(small(lake), out=tmp_path / "before")
    early = [{"session": "2024-11-06", "open": "09:30", "close": "13:00"}]
    (lake / "calendar_overrides.json").write_text(json.dumps(early), encoding="utf-8")
    whole = bt.run(config(lake, SMALL), out=tmp_path / "without")
    reads()
    assert everything(bt.run(small(lake), out=tmp_path / "after")) == everything(whole)
    assert reads() == [(1, ("AAA", "BBB"))]


def test_settings_that_come_after_the_grid_need_nothing_new(simulated: Path, tmp_path: Path, reads: Reads) -> None:
    bt.run(small(simulated), out=tmp_path / "before")
    asked = {"session_data_config.derived": {"min_completeness": 0.5}, "session_data_config.streams": ["1m", "15m"], "account.cash": 5000,
             "strategies": strategy("rsi_reversion", interval="15m", period=5)}  # fmt: skip
    whole = bt.run(config(simulated, {**SMALL, **asked}), out=tmp_path / "without")
    reads()
    assert everything(bt.run(small(simulated, **asked), out=tmp_path / "after")) == everything(whole)
    assert sum(sessions for sessions, _ in reads()) == len(whole.manifest["data"]["files"]) - 9, "only more history than before"
    assert everything(bt.run(small(simulated, **asked), out=tmp_path / "again")) == everything(whole)
    assert reads() == []


@pytest.mark.parametrize("damage", ["truncated", "poisoned", "emptied", "other arrays"])
def test_s_16_what_was_not_what_was_written_is_dropped_with_a_warning_and_made_anew(
    damage: str, simulated: Path, tmp_path: Path, folder: Path, reads: Reads
) -> None:
    before = everything(bt.run(small(simulated), out=tmp_path / "before"))
    victim = next(entry for entry in entries(folder) if entry.session == "2024-11-07").path
    content = bytearray(victim.read_bytes())
    if damage == "poisoned":
        at = bytes(content).find(np.float64(bt.load(tmp_path / "before").table("fills")["price"][0]).tobytes())
        content[at if at >= 0 else len(content) // 2] ^= 1
    elif damage == "other arrays":
        content = bytearray(next(entry for entry in entries(folder) if entry.session == "2024-11-08").path.read_bytes())
    victim.write_bytes({"truncated": content[: len(content) // 2], "emptied": b""}.get(damage, bytes(content)))
    reads()
    run = bt.run(small(simulated), out=tmp_path / "after")
    told = "the cache's file of 1m 2024-11-07 was not what was written: it was dropped and is made anew"
    assert run.manifest["execution"]["warnings"][0] == told
    after = everything(run)
    assert {**after, "warnings": before["warnings"]} == before
    assert reads() == [(1, ("AAA", "BBB"))]
    assert everything(bt.run(small(simulated), out=tmp_path / "again")) == before


def test_the_lakes_own_file_is_verified_also_where_the_cache_has_the_session(simulated: Path, tmp_path: Path) -> None:
    """DAT-04, R7."""
    lake = tmp_path / "lake"
    shutil.copytree(simulated, lake)
    bt.run(small(lake), out=tmp_path / "before")
    day = lake / "bars" / "1m" / "2024-11-06.parquet"
    content = bytearray(day.read_bytes())
    content[len(content) // 3] ^= 1
    day.write_bytes(content)
    with pytest.raises(DataError, match="2024-11-06"):
        bt.run(small(lake), out=tmp_path / "after")


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_s_16_a_folder_that_others_may_write_to_is_not_used(simulated: Path, tmp_path: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    run = bt.run(small(simulated), out=tmp_path / "run")
    assert "others may write into it" in run.manifest["execution"]["warnings"][0]
    assert entries(folder) == []


def test_without_a_place_or_on_a_full_disk_the_run_goes_on(
    simulated: Path, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = everything(bt.run(config(simulated, SMALL), out=tmp_path / "without"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(day_files, "_write", full)
        run = bt.run(small(simulated), out=tmp_path / "full")
    assert "No space left" in run.manifest["execution"]["warnings"][0]
    assert everything(run)["key"] == whole["key"]
    assert [path for path in folder.iterdir() if path.suffix != ".lock"] == []
    monkeypatch.setattr("backtester.pipeline.folder_of_user", lambda: None)
    assert everything(bt.run(small(simulated), out=tmp_path / "nowhere"))["key"] == whole["key"]


def test_what_was_not_used_for_the_longest_time_goes_first(tmp_path: Path) -> None:
    files = DayFiles(tmp_path / "cache", 10_000_000)
    for number in range(6):
        files.keep(f"{number:032}", "1m", f"2024-01-0{number + 1}", {"a": np.zeros(100_000)})
    for entry in entries(tmp_path / "cache"):
        os.utime(entry.path, (1_000_000 + int(entry.key), 1_000_000 + int(entry.key)))
    assert DayFiles(tmp_path / "cache", 10_000_000).find(f"{0:032}") is not None, "used again"
    DayFiles(tmp_path / "cache", 2_500_000).trim()
    assert sorted(int(entry.key) for entry in entries(tmp_path / "cache")) == [0, 4, 5]


def test_a_run_keeps_the_cache_below_its_limit(simulated: Path, tmp_path: Path, folder: Path) -> None:
    bt.run(small(simulated, **{"resources.cache_size": 150_000}), out=tmp_path / "run")
    assert 0 < sum(entry.bytes for entry in entries(folder)) <= 150_000


def test_a_sweep_reads_the_cache_too(simulated: Path, tmp_path: Path, folder: Path, reads: Reads) -> None:
    asked = {**SMALL, "backtest_config.end_date": "2024-11-20"}
    values = {"strategies.0.params.fast": [3, 5, 8]}
    plain = bt.sweep(config(simulated, asked), out=tmp_path / "plain", parameters=values).trials.drop("seconds")
    first = bt.sweep(config(simulated, asked | CACHED), out=tmp_path / "first", parameters=values).trials.drop("seconds")
    reads()
    again = bt.sweep(config(simulated, asked | CACHED), out=tmp_path / "again", parameters=values).trials.drop("seconds")
    assert plain.equals(first)
    assert plain.equals(again)
    assert reads() == []


def test_the_small_audit_finds_with_the_cache_what_it_finds_without(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ahead.py").write_text(AHEAD, encoding="utf-8")
    asked = {"strategies": strategy("ahead.py:Ahead"), "audit.cuts": 8}
    whole = bt.run(config(simulated, {**SMALL, **asked}), out=tmp_path / "without")
    assert "audit: strategy only" in whole.manifest["execution"]["warnings"][0]
    for name in ("first", "second"):
        assert everything(bt.run(small(simulated, **asked), out=tmp_path / name)) == everything(whole)


def test_a_stopped_run_goes_on_with_the_cache(simulated: Path, tmp_path: Path) -> None:
    each = {"resources.checkpoint_seconds": 0, "backtest_config.prefetch_days": 1}
    whole = everything(bt.run(config(simulated, SMALL), out=tmp_path / "without"))
    stop(small(simulated, **each), tmp_path / "run", 3)
    assert everything(bt.run(small(simulated, **each), out=tmp_path / "run", resume=True)) == whole


def test_sessions_of_another_calendar_than_the_lakes_are_read_as_ever(simulated: Path, tmp_path: Path, folder: Path) -> None:
    """A UTC day's bars stand in files named by the exchange's sessions: no file speaks for one of them."""
    asked = {"exchange_group": "CRYPTO", "asset_class": "CRYPTO", "backtest_config.end_date": "2024-11-05"}
    lake = tmp_path / "lake"
    simulate(lake, Simulation(("AAA", "BBB"), dt.date(2024, 11, 1), dt.date(2024, 11, 6), seed=7, calendar="CME_Equity"))
    whole = bt.run(config(lake, {**SMALL, **asked}), out=tmp_path / "without")
    assert whole.table("sessions")["bars"].sum() > 0
    assert everything(bt.run(small(lake, **asked), out=tmp_path / "with")) == everything(whole)


def invoked(*words: str) -> Any:
    found = CliRunner().invoke(main, list(words), prog_name="bt")
    assert found.exit_code == 0, found.output
    return found


def test_the_commands_keep_list_and_clear(simulated: Path, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config(simulated, SMALL)), encoding="utf-8")
    assert json.loads(invoked("cache", "list", "--json").stdout)["intervals"] == []
    invoked("run", str(path), "--cache", "--out", str(tmp_path / "run"), "--quiet")
    held = json.loads(invoked("cache", "list", "--json").stdout)
    assert held["folder"] == str(folder) == str(folder_of_user())
    (row,) = held["intervals"]
    assert (row["interval"], row["last"], row["bytes"]) == ("1m", "2024-11-12", sum(entry.bytes for entry in entries(folder)))
    assert "2024-11-12" in invoked("cache", "list").stdout
    assert json.loads(invoked("cache", "clear", "--older-than", "1h", "--json").stdout) == {"files": 0, "bytes": 0}
    assert json.loads(invoked("cache", "clear", "--json").stdout) == {"files": row["files"], "bytes": row["bytes"]}
    assert clear(folder) == (0, 0)
    wrong = CliRunner().invoke(main, ["cache", "clear", "--older-than", "soon"], prog_name="bt")
    assert wrong.exit_code == 2
    assert "30d or 12h" in wrong.output
