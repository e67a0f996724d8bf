"""Filing: a bar belongs to the session that the calendar says."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from backtester.market.importers.times import Stamps
from backtester.market.lake import Lake
from tests.market.tables import HEADER, NEW_YORK, bring, csv, stored


def test_bars_of_a_holiday_or_weekend_are_kept_apart_dat_36(tmp_path: Path) -> None:
    report = bring(tmp_path, csv(tmp_path, HEADER + "2025-01-09 14:30,1,1,1,1,1\n2025-01-11 14:30,1,1,1,1,1\n"))
    assert report.out_of_session == 2
    assert stored(tmp_path)["flags"].to_list() == [4, 4]
    assert Lake.open(tmp_path / "lake").catalog["session"].to_list() == [dt.date(2025, 1, 9), dt.date(2025, 1, 11)]


def test_bars_after_an_early_close_are_kept_apart_dat_37(tmp_path: Path) -> None:
    text = HEADER + "2024-11-29 12:59,1,1,1,1,1\n2024-11-29 13:00,1,1,1,1,1\n"
    bring(tmp_path, csv(tmp_path, text), stamps=NEW_YORK)
    assert stored(tmp_path)["flags"].to_list() == [0, 4]


def test_bars_outside_regular_hours_are_kept_apart_and_counted_dat_38(tmp_path: Path) -> None:
    text = HEADER + "".join(f"2024-07-05 {clock},1,1,1,1,1\n" for clock in ("04:00", "09:29", "09:30", "15:59", "16:00", "19:59", "20:01"))
    assert bring(tmp_path, csv(tmp_path, text), stamps=NEW_YORK).out_of_session == 5
    assert stored(tmp_path)["flags"].to_list() == [4, 4, 0, 0, 4, 4, 4]
    assert Lake.open(tmp_path / "lake").catalog["session"].to_list() == [dt.date(2024, 7, 5)]


def test_bars_in_a_lunch_break_are_kept_apart_cal_06(tmp_path: Path) -> None:
    text = HEADER + "".join(f"2024-11-01 {clock},1,1,1,1,1\n" for clock in ("11:29", "11:30", "12:29", "12:30"))
    bring(tmp_path, csv(tmp_path, text), stamps=Stamps("Asia/Tokyo"), calendar="JPX")
    assert stored(tmp_path)["flags"].to_list() == [0, 4, 4, 0]


def test_an_overnight_session_is_filed_under_its_label(tmp_path: Path) -> None:
    text = HEADER + "2024-07-07 18:00,1,1,1,1,1\n2024-07-08 10:00,1,1,1,1,1\n2024-07-08 18:30,1,1,1,1,1\n"
    bring(tmp_path, csv(tmp_path, text), stamps=Stamps("America/New_York"), calendar="CME_Equity")
    catalog = Lake.open(tmp_path / "lake").catalog
    assert catalog.select("session", "rows").rows() == [(dt.date(2024, 7, 8), 2), (dt.date(2024, 7, 9), 1)]


def test_a_corrected_calendar_in_the_lake_decides_what_is_in_session(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/calendar_overrides.json").write_text('[{"session": "2024-07-05", "open": "09:30", "close": "10:00"}]')
    bring(tmp_path, csv(tmp_path, HEADER + "2024-07-05 09:59,1,1,1,1,1\n2024-07-05 10:00,1,1,1,1,1\n"), stamps=NEW_YORK)
    assert stored(tmp_path)["flags"].to_list() == [0, 4]
