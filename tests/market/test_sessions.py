"""Sessions against known answers, exchange_calendars and Lean's market hours (TESTPLAN CAL-01..10, D-09)."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from backtester.columns import NO_BREAK, Sessions
from backtester.errors import CalendarError
from backtester.market.sessions import (
    calendar_for,
    doubts,
    first_on_or_after,
    known_calendars,
    last_on_or_before,
    minutes,
    ordinals,
    rows_digest,
    sessions_before,
    sessions_between,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "calendars"


def days(sessions: Sessions) -> list[str]:
    return [str(label) for label in sessions.label]


def utc(instants: np.ndarray) -> list[str]:
    return [f"{np.datetime64(int(instant), 'us').astype('datetime64[m]')}Z" for instant in instants]


def between(cache: Path, calendar: str, first: str, last: str) -> Sessions:
    return sessions_between(calendar, dt.date.fromisoformat(first), dt.date.fromisoformat(last), cache=cache)


@pytest.mark.parametrize("day", ["2024-07-03", "2024-11-29", "2024-12-24", "2025-07-03"])
def test_an_early_close_in_new_york_has_210_minutes(cache, day):
    """CAL-02."""
    sessions = between(cache, "XNYS", day, day)
    assert (minutes(sessions).tolist(), sessions.early.tolist()) == ([210], [True])


def test_new_york_rests_on_the_day_of_mourning(cache):
    assert days(between(cache, "XNYS", "2025-01-08", "2025-01-10")) == ["2025-01-08", "2025-01-10"]


def test_new_york_keeps_390_minutes_when_its_clocks_change(cache):
    """CAL-04: 14:30Z in winter, 13:30Z in summer, from the Monday after the change."""
    spring = between(cache, "XNYS", "2024-03-08", "2024-03-11")
    autumn = between(cache, "XNYS", "2024-11-01", "2024-11-04")
    assert utc(spring.open) == ["2024-03-08T14:30Z", "2024-03-11T13:30Z"]
    assert utc(autumn.open) == ["2024-11-01T13:30Z", "2024-11-04T14:30Z"]
    assert set(minutes(spring)) | set(minutes(autumn)) == {390}


def test_london_changes_its_clocks_weeks_after_new_york(cache):
    """CAL-04: in the fortnight between, London opens 5.5 hours before New York, not 6.5."""
    day = ["2024-03-08", "2024-03-20", "2024-04-02"]
    opens = {name: [utc(between(cache, name, one, one).open)[0][11:] for one in day] for name in ("XLON", "XNYS")}
    assert opens == {"XLON": ["08:00Z", "08:00Z", "07:00Z"], "XNYS": ["14:30Z", "13:30Z", "13:30Z"]}


def test_tokyo_closes_half_an_hour_later_since_5_november_2024_and_neither_close_is_early(cache):
    """CAL-05."""
    sessions = between(cache, "JPX", "2024-11-01", "2024-11-05")
    assert utc(sessions.close) == ["2024-11-01T06:00Z", "2024-11-05T06:30Z"]
    assert minutes(sessions).tolist() == [300, 330]
    assert not sessions.early.any()


def test_hong_kong_breaks_for_lunch(cache):
    """CAL-06: 12:00 to 13:00, that is 04:00Z to 05:00Z, counts no minute."""
    sessions = between(cache, "HKEX", "2024-07-02", "2024-07-02")
    assert (utc(sessions.break_start), utc(sessions.break_end)) == (["2024-07-02T04:00Z"], ["2024-07-02T05:00Z"])
    assert minutes(sessions).tolist() == [330]


def test_a_half_day_that_ends_with_the_morning_has_no_break(cache):
    sessions = between(cache, "XHKG", "2024-12-24", "2024-12-24")
    assert (sessions.break_start[0], sessions.break_end[0], sessions.early[0]) == (NO_BREAK, NO_BREAK, True)
    assert minutes(sessions).tolist() == [150]


def test_a_break_that_a_market_gave_up_is_gone(cache):
    """Seoul traded through lunch from 2000-05-22 on; the library's schedule goes on listing the break."""
    sessions = between(cache, "XKRX", "2000-05-19", "2000-05-22")
    assert (sessions.break_start != NO_BREAK).tolist() == [True, False]


def test_a_market_that_never_closes_has_the_utc_day_as_session(cache):
    """CAL-09."""
    sessions = between(cache, "24/7", "2024-03-09", "2024-03-11")
    assert utc(sessions.open) == ["2024-03-09T00:00Z", "2024-03-10T00:00Z", "2024-03-11T00:00Z"]
    assert (sessions.close[:-1] == sessions.open[1:]).all()
    assert minutes(sessions).tolist() == [1440] * 3
    assert (sessions.timezone, sessions.per_year) == ("UTC", 366.0)


def test_a_futures_session_bears_the_day_on_which_it_ends(cache):
    """Monday's session of crude oil opens on Sunday at 17:00 Chicago and closes at 16:00; 23 hours, then an hour of halt."""
    sessions = between(cache, "CMEGlobex_EnergyAndMetals", "2024-11-25", "2024-11-26")
    assert utc(sessions.open) == ["2024-11-24T23:00Z", "2024-11-25T23:00Z"]
    assert utc(sessions.close) == ["2024-11-25T22:00Z", "2024-11-26T22:00Z"]
    assert minutes(sessions).tolist() == [1380, 1380]


@pytest.mark.parametrize(("name", "judge"), [("XNYS", "XNYS"), ("XLON", "XLON"), ("JPX", "XTKS"), ("XTSE", "XTSE"), ("XETR", "XETR"),
                                             ("NYSE", "XNYS"), ("LSE", "XLON"), ("TSX", "XTSE")])  # fmt: skip
def test_exchange_calendars_says_the_same_from_2007_to_2026(cache, name, judge):
    """D-09: sessions, opens, closes, breaks and early closes; no exception is listed because there is none."""
    judges = pytest.importorskip("exchange_calendars")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        market = judges.get_calendar(judge, start="2007-01-01", end="2026-12-31")
        schedule, early = market.schedule, market.early_closes
    mine = between(cache, name, "2007-01-01", "2026-12-31")
    assert days(mine) == [str(day.date()) for day in schedule.index]
    for column in ("open", "close", "break_start", "break_end"):
        instants = schedule[column].dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
        expected = np.where(schedule[column].isna(), NO_BREAK, instants)
        assert np.array_equal(getattr(mine, column), expected), column
    assert days(mine[mine.early]) == [str(day.date()) for day in early]


def test_lean_knows_the_same_holidays_and_early_closes_of_new_york(cache, shared_data):
    """Lean's market hours, 2000 to 2028; its early close of 2017-12-24 is a Sunday and counts for nothing."""
    database = json.loads((shared_data / "lean_reference" / "market-hours-database.json").read_text(encoding="utf-8"))
    lean = database["entries"]["Equity-usa-[*]"]
    first, last = dt.date(2000, 1, 1), dt.date(2028, 12, 31)
    holidays, early = ({dt.datetime.strptime(day, "%m/%d/%Y").date() for day in lean[key]} for key in ("holidays", "earlyCloses"))
    weekdays = [day for n in range((last - first).days + 1) if (day := first + dt.timedelta(n)).weekday() < 5]
    mine = sessions_between("XNYS", first, last, cache=cache)
    assert mine.label.tolist() == [day for day in weekdays if day not in holidays]
    assert mine.label[mine.early].tolist() == [day for day in weekdays if day in early and day > first]


def test_the_calendar_follows_from_exchange_group_and_asset_class(cache):
    assert calendar_for("US_EQUITY", "EQUITY") == "XNYS"
    assert calendar_for("CRYPTO", "CRYPTO") == "24/7"
    assert calendar_for("FOREX", "SPOT") == "FOREX"
    assert calendar_for("COMMODITIES", "FUTURES") in known_calendars(cache)


def test_a_calendar_named_in_the_config_wins(cache):
    assert calendar_for("US_EQUITY", "EQUITY", "XLON", cache=cache) == "XLON"


@pytest.mark.parametrize("pair", [("US_EQUITY", "EQUITY"), ("CRYPTO", "CRYPTO"), ("FOREX", "FOREX"), ("COMMODITIES", "FUTURES")])
def test_every_market_has_sessions(cache, pair):
    assert len(between(cache, calendar_for(*pair), "2024-03-04", "2024-03-08")) == 5


def test_every_name_that_is_known_is_accepted(cache):
    """Also those that differ in the case of their letters alone, as FOREX and Forex."""
    names = known_calendars(cache)
    assert [calendar_for("US_EQUITY", "EQUITY", name, cache=cache) for name in names] == list(names)


def test_names_that_differ_in_case_alone_have_the_same_sessions(cache):
    assert rows_digest(between(cache, "FOREX", "2024-03-04", "2024-03-15")) == rows_digest(
        between(cache, "Forex", "2024-03-04", "2024-03-15")
    )


def test_a_pair_without_a_calendar_is_refused_with_the_pairs_that_have_one():
    with pytest.raises(CalendarError, match=r"MARS with EQUITY; allowed: US_EQUITY with EQUITY, .* name a calendar"):
        calendar_for("MARS", "EQUITY")


@pytest.mark.parametrize(("name", "near"), [("NYSEE", "'NYSE'"), ("xnys", "'XNYS'"), ("24-7", "'24/7'")])
def test_an_unknown_calendar_is_refused_with_the_nearest_names(cache, name, near):
    """CAL-01."""
    with pytest.raises(CalendarError, match=f"did you mean .*{near}") as caught:
        between(cache, name, "2024-01-01", "2024-01-31")
    assert caught.value.exit_code == 6
    with pytest.raises(CalendarError, match=near):
        calendar_for("US_EQUITY", "EQUITY", name, cache=cache)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "X" * 5000, "XNYS\x00", "TradingCalendar"])
def test_a_strange_name_is_an_unknown_calendar(cache, name):
    with pytest.raises(CalendarError, match="unknown calendar"):
        between(cache, name, "2024-01-01", "2024-01-31")


def test_a_calendar_that_the_library_names_but_cannot_list_is_refused(cache):
    with pytest.raises(CalendarError, match="cannot list these sessions"):
        between(cache, "ASEX", "2024-01-01", "2024-01-31")


def test_years_that_no_calendar_knows_are_refused(cache):
    with pytest.raises(CalendarError, match="allowed: 1900-01-01 to 2199-12-31"):
        between(cache, "XNYS", "1776-07-04", "1776-07-05")


def test_reversed_dates_are_refused(cache):
    with pytest.raises(CalendarError, match="reversed"):
        between(cache, "XNYS", "2024-02-01", "2024-01-01")


def test_a_weekend_holds_no_session(cache):
    sessions = between(cache, "XNYS", "2024-01-06", "2024-01-07")
    assert (len(sessions), sessions.per_year) == (0, 252.0)


def test_both_ends_of_a_window_belong_to_it(cache):
    assert days(between(cache, "XNYS", "2024-01-02", "2024-01-04")) == ["2024-01-02", "2024-01-03", "2024-01-04"]


def test_sessions_a_year_is_the_mean_of_the_years_touched(cache):
    """New York held 253 sessions in 2020, 252 in 2021 and 251 in 2022."""
    assert between(cache, "XNYS", "2020-06-01", "2020-06-02").per_year == 253
    assert between(cache, "XNYS", "2020-12-01", "2022-01-31").per_year == pytest.approx((253 + 252 + 251) / 3, rel=1e-15)


def test_the_sessions_before_a_day_end_on_the_day_before(cache):
    """2025-01-01 and 2025-01-09 are holidays."""
    found = sessions_before("XNYS", dt.date(2025, 1, 10), 6, cache=cache)
    assert days(found) == ["2024-12-31", "2025-01-02", "2025-01-03", "2025-01-06", "2025-01-07", "2025-01-08"]


def test_many_sessions_before_a_day_reach_over_many_years(cache):
    found = sessions_before("XNYS", dt.date(2025, 1, 1), 252 * 5 + 253 + 250, cache=cache)
    assert (len(found), days(found)[-1]) == (252 * 5 + 253 + 250, "2024-12-31")
    assert np.array_equal(found.label, between(cache, "XNYS", days(found)[0], "2024-12-31").label)


def test_no_session_before_a_day_is_an_empty_answer(cache):
    assert len(sessions_before("XNYS", dt.date(2025, 1, 10), 0, cache=cache)) == 0


def test_more_sessions_than_the_calendar_has_are_refused(cache):
    with pytest.raises(CalendarError, match="not so many sessions before this day"):
        sessions_before("24/5", dt.date(1901, 1, 1), 1000, cache=cache)


def test_a_start_moves_to_the_next_session_and_an_end_to_the_last_one(cache):
    assert first_on_or_after("XNYS", dt.date(2024, 12, 25), cache=cache) == dt.date(2024, 12, 26)
    assert first_on_or_after("XNYS", dt.date(2024, 12, 26), cache=cache) == dt.date(2024, 12, 26)
    assert last_on_or_before("XNYS", dt.date(2025, 1, 1), cache=cache) == dt.date(2024, 12, 31)
    assert last_on_or_before("XNYS", dt.date(2024, 12, 31), cache=cache) == dt.date(2024, 12, 31)


def test_sessions_are_counted_from_the_first_of_2000(cache):
    """New York's first session of 2000 was 3 January; 252 sessions later came 2001-01-02, one before 1999-12-31."""
    labels = np.array(["2001-01-02", "2000-01-03", "1999-12-31", "2000-01-04"], "datetime64[D]")
    assert ordinals("XNYS", labels, cache=cache).tolist() == [252, 0, -1, 1]


def test_a_count_does_not_depend_on_the_window(cache):
    labels = between(cache, "JPX", "2023-05-01", "2024-05-01").label
    whole = ordinals("JPX", labels, cache=cache)
    assert np.array_equal(whole, np.arange(whole[0], whole[0] + len(labels)))
    assert np.array_equal(ordinals("JPX", labels[100:120], cache=cache), whole[100:120])


def test_a_day_without_session_cannot_be_counted(cache):
    with pytest.raises(CalendarError, match=r"not a session.*2024-12-25"):
        ordinals("XNYS", np.array(["2024-12-24", "2024-12-25"], "datetime64[D]"), cache=cache)
    assert ordinals("XNYS", np.zeros(0, "datetime64[D]"), cache=cache).shape == (0,)


def test_equal_rows_have_equal_digests_and_one_minute_changes_them(cache):
    week = between(cache, "XNYS", "2024-11-25", "2024-11-29")
    assert rows_digest(week) == rows_digest(between(cache, "NYSE", "2024-11-23", "2024-12-01"))
    assert rows_digest(week) != rows_digest(week[:3])
    moved = Sessions(**{**vars(week), "close": week.close - np.array([0, 0, 0, 60_000_000])})
    assert rows_digest(week) != rows_digest(moved)


def test_years_made_one_by_one_equal_years_made_together(tmp_path, cache):
    together = between(tmp_path / "together", "XHKG", "2009-01-01", "2012-12-31")
    parts = [between(tmp_path / "apart", "XHKG", f"{year}-01-01", f"{year}-12-31") for year in (2011, 2009, 2012, 2010)]
    for column in ("label", "open", "close", "break_start", "break_end", "early"):
        joined = np.concatenate([getattr(parts[place], column) for place in (1, 3, 0, 2)])
        assert np.array_equal(getattr(together, column), joined), column


def test_a_range_beyond_the_known_holidays_is_provisional(cache):
    """CAL-10."""
    told = doubts("XNYS", dt.date(2024, 1, 1), dt.date(2035, 12, 31), cache=cache)
    assert len(told) == 1
    assert told[0].startswith("provisional: holidays and hours of XNYS are not known after 20")
    assert doubts("XNYS", dt.date(2010, 1, 1), dt.date(2025, 12, 31), cache=cache) == ()


def test_a_tabulated_calendar_is_provisional_beyond_its_table(cache):
    """CAL-10: Shanghai's holidays are decreed year by year."""
    assert "provisional" in doubts("XSHG", dt.date(2029, 1, 1), dt.date(2029, 1, 31), cache=cache)[0]
    assert "not known before 1990-12-03" in doubts("XSHG", dt.date(1990, 1, 1), dt.date(1990, 12, 31), cache=cache)[0]


def test_a_calendar_without_holidays_is_never_provisional(cache):
    assert doubts("24/7", dt.date(2035, 1, 1), dt.date(2035, 12, 31), cache=cache) == ()


def test_days_on_which_two_packages_differ_are_named(cache):
    """CAL-07: on the typhoon day 2023-09-01 one package closes Hong Kong and the other does not."""
    told = doubts("HKEX", dt.date(2023, 8, 1), dt.date(2023, 9, 3), cache=cache)
    assert told == (
        "disputed: HKEX and XHKG, two calendars of one market, differ on 2023-09-01; settle such days in calendar_overrides.json",
    )
    assert doubts("HKEX", dt.date(2023, 8, 1), dt.date(2023, 8, 31), cache=cache) == ()


def test_an_override_settles_a_disputed_day(cache, tmp_path):
    """CAL-07."""
    overrides = tmp_path / "calendar_overrides.json"
    overrides.write_text('[{"session": "2023-09-01", "closed": true, "calendar": "HKEX"}]', encoding="utf-8")
    assert doubts("HKEX", dt.date(2023, 8, 1), dt.date(2023, 9, 3), overrides, cache) == ()


def test_what_the_library_warns_of_never_reaches_the_user(tmp_path):
    """The library's own code is deprecated under newer pandas; with warnings as errors a cold process must still answer."""
    program = (
        "import datetime, pathlib, sys, warnings\n"
        "from backtester.market.sessions import sessions_between\n"
        "warnings.simplefilter('error')\n"
        "for name in ('NYSE', 'XHKG', 'XKRX'):\n"
        "    print(len(sessions_between(name, datetime.date(2024, 1, 2), datetime.date(2024, 1, 3), cache=pathlib.Path(sys.argv[1]))))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "cold")], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["2", "2", "2"], "")
