"""Dated corrections of a calendar: what they change, and what is refused."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtester.columns import NO_BREAK, Sessions
from backtester.errors import CalendarError
from backtester.market.sessions import first_on_or_after, minutes, ordinals, rows_digest, sessions_before, sessions_between


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "calendars"


@pytest.fixture
def corrected(cache: Path, tmp_path: Path):
    """Sessions first..last of a calendar with the rows given laid over it."""

    def ask(calendar: str, first: str, last: str, *rows: Any) -> Sessions:
        path = tmp_path / "calendar_overrides.json"
        path.write_text(json.dumps(list(rows)), encoding="utf-8")
        return sessions_between(calendar, dt.date.fromisoformat(first), dt.date.fromisoformat(last), path, cache)

    return ask


def utc(instant: int) -> str:
    return str(np.datetime64(int(instant), "us").astype("datetime64[m]"))


def test_a_closed_day_is_gone_and_counts_nowhere(corrected, cache, tmp_path):
    sessions = corrected("XNYS", "2024-11-25", "2024-11-27", {"session": "2024-11-26", "closed": True})
    assert [str(label) for label in sessions.label] == ["2024-11-25", "2024-11-27"]
    assert sessions.per_year == 251
    path = tmp_path / "calendar_overrides.json"
    assert first_on_or_after("XNYS", dt.date(2024, 11, 26), path, cache) == dt.date(2024, 11, 27)
    assert str(sessions_before("XNYS", dt.date(2024, 11, 27), 1, path, cache).label[0]) == "2024-11-25"
    later = np.array(["2024-11-25", "2024-11-27"], "datetime64[D]")
    assert np.diff(ordinals("XNYS", later, path, cache)).tolist() == [1]


def test_an_early_close_is_known_as_one(corrected):
    """13:00 in New York is 18:00Z in November."""
    sessions = corrected("XNYS", "2024-11-26", "2024-11-26", {"session": "2024-11-26", "open": "09:30", "close": "13:00"})
    assert (minutes(sessions).tolist(), sessions.early.tolist(), utc(sessions.close[0])) == ([210], [True], "2024-11-26T18:00")


def test_a_wrong_early_close_can_be_taken_back(corrected):
    sessions = corrected("XNYS", "2024-11-29", "2024-11-29", {"session": "2024-11-29", "open": "09:30", "close": "16:00"})
    assert (minutes(sessions).tolist(), sessions.early.tolist()) == ([390], [False])


def test_a_session_can_be_added_and_is_early_by_the_usual_close(corrected):
    """A Saturday in summer, 09:30 to 13:00, beside sessions that close at 16:00."""
    row = {"session": "2024-07-06", "open": "09:30", "close": "13:00", "reason": "systems test"}
    sessions = corrected("XNYS", "2024-07-05", "2024-07-08", row)
    assert [str(label) for label in sessions.label] == ["2024-07-05", "2024-07-06", "2024-07-08"]
    assert sessions.early.tolist() == [False, True, False]
    assert (utc(sessions.open[1]), utc(sessions.close[1])) == ("2024-07-06T13:30", "2024-07-06T17:00")
    assert corrected("XNYS", "2024-07-06", "2024-07-06", row | {"close": "16:00"}).early.tolist() == [False]


def test_a_break_stays_as_far_as_it_lies_inside_the_new_hours(corrected):
    """Tokyo's lunch is 11:30 to 12:30, 02:30Z to 03:30Z."""
    whole, cut, none = (
        corrected("JPX", "2024-12-02", "2024-12-02", {"session": "2024-12-02", "open": opened, "close": closed})
        for opened, closed in (("10:00", "15:30"), ("12:00", "15:30"), ("09:00", "11:30"))
    )
    assert (utc(whole.break_start[0]), utc(whole.break_end[0]), minutes(whole).tolist()) == ("2024-12-02T02:30", "2024-12-02T03:30", [270])
    assert (utc(cut.break_start[0]), minutes(cut).tolist()) == ("2024-12-02T03:00", [180])
    assert (none.break_start[0], none.break_end[0], minutes(none).tolist()) == (NO_BREAK, NO_BREAK, [150])


def test_an_overnight_session_opens_on_the_day_before(corrected):
    """17:00 to 12:00 in Chicago, that is 23:00Z to 18:00Z: 19 hours."""
    sessions = corrected(
        "CMEGlobex_EnergyAndMetals", "2024-11-26", "2024-11-26", {"session": "2024-11-26", "open": "17:00", "close": "12:00"}
    )
    assert (utc(sessions.open[0]), utc(sessions.close[0])) == ("2024-11-25T23:00", "2024-11-26T18:00")
    assert (minutes(sessions).tolist(), sessions.early.tolist()) == ([1140], [True])


def test_the_end_of_the_day_is_24_00(corrected):
    sessions = corrected("24/7", "2024-03-09", "2024-03-10", {"session": "2024-03-09", "open": "06:00", "close": "24:00"})
    assert minutes(sessions).tolist() == [1080, 1440]


def test_a_row_for_another_calendar_changes_nothing(corrected, cache):
    sessions = corrected("XNYS", "2024-11-25", "2024-11-29", {"session": "2024-11-26", "closed": True, "calendar": "XLON"})
    plain = sessions_between("XNYS", dt.date(2024, 11, 25), dt.date(2024, 11, 29), cache=cache)
    assert rows_digest(sessions) == rows_digest(plain)


def test_corrections_are_part_of_the_rows_digest(corrected):
    plain = corrected("XNYS", "2024-11-25", "2024-11-29")
    closed = corrected("XNYS", "2024-11-25", "2024-11-29", {"session": "2024-11-26", "closed": True})
    assert rows_digest(plain) != rows_digest(closed)


def test_a_file_that_is_not_there_corrects_nothing(cache, tmp_path):
    assert len(sessions_between("XNYS", dt.date(2024, 11, 25), dt.date(2024, 11, 29), tmp_path / "absent.json", cache)) == 4


DAY = {"session": "2024-11-26"}
HOURS = {"open": "09:30", "close": "13:00"}


@pytest.mark.parametrize(("row", "message"), [
    ({}, r"not a date \(.* at /0/session\)"),
    ({"session": "26.11.2024", "closed": True}, r'not a date .*got "26.11.2024"; allowed: YYYY-MM-DD'),
    ({"session": "2024-02-30", "closed": True}, "not a date"),
    ({"session": 20241126, "closed": True}, "not a date"),
    (DAY, r"not a time of day \(.* at /0/open\): got null"),
    (DAY | {"open": "09:30"}, r"at /0/close\): got null"),
    (DAY | {"closed": False}, "'closed' is not true"),
    (DAY | {"closed": 1}, "'closed' is not true"),
    (DAY | {"closed": True} | HOURS, "a closed session has no hours"),
    (DAY | HOURS | {"close": "9:30"}, "not a time of day"),
    (DAY | HOURS | {"close": "24:01"}, "not a time of day"),
    (DAY | HOURS | {"close": "13:60"}, "not a time of day"),
    (DAY | HOURS | {"close": 13}, "not a time of day"),
    (DAY | HOURS | {"open": "24:00"}, "cannot open at 24:00"),
    (DAY | HOURS | {"open": "13:00"}, "closes before it opens"),
    (DAY | HOURS | {"open": "16:00"}, "closes before it opens"),
    (DAY | HOURS | {"clsoe": "13:00"}, "unknown key .*did you mean 'close'"),
    (DAY | HOURS | {"calendar": 3}, r"not text \(.* at /0/calendar\)"),
    ("2024-11-26", "not an object"),
    ({"session": "2024-03-10", "open": "02:30", "close": "13:00"}, "the clocks skip this time .*2024-03-10 02:30"),
])  # fmt: skip
def test_a_row_that_makes_no_sense_is_refused_with_its_place(corrected, row, message):
    with pytest.raises(CalendarError, match=message):
        corrected("XNYS", "2024-11-25", "2024-11-29", row)


def test_a_session_corrected_twice_is_refused(corrected):
    with pytest.raises(CalendarError, match=r"corrected twice \(.* at /1\): got 2024-11-26"):
        corrected("XNYS", "2024-11-25", "2024-11-29", DAY | {"closed": True}, DAY | HOURS)


def test_sessions_that_overlap_are_refused(corrected):
    row = {"session": "2024-11-26", "open": "15:00", "close": "16:00"}
    with pytest.raises(CalendarError, match=r"overlap \(.* at /0\): got 2024-11-25 and 2024-11-26"):
        corrected("CMEGlobex_EnergyAndMetals", "2024-11-25", "2024-11-26", row | {"open": "15:30", "close": "15:29"})


@pytest.mark.parametrize(("content", "message"), [
    (b"", "are not JSON"), (b"[{'session': 1}]", "are not JSON"), (b'{"session": "2024-11-26"}', "are not a list"),
    (b"[" * 100_000, "are not JSON"), (b"\xff\xfe[", "are not JSON"),
    (b'[{"session": "2024-11-26", "closed": true, "closed": true}]', "a key stands twice"),
])  # fmt: skip
def test_a_file_that_is_no_list_of_rows_is_refused_with_its_name(cache, tmp_path, content, message):
    path = tmp_path / "calendar_overrides.json"
    path.write_bytes(content)
    with pytest.raises(CalendarError, match=message) as caught:
        sessions_between("XNYS", dt.date(2024, 11, 25), dt.date(2024, 11, 29), path, cache)
    assert caught.value.where == str(path)


def test_a_folder_in_place_of_the_file_is_refused(cache, tmp_path):
    (tmp_path / "calendar_overrides.json").mkdir()
    with pytest.raises(CalendarError, match="cannot read calendar overrides"):
        sessions_between("XNYS", dt.date(2024, 11, 25), dt.date(2024, 11, 29), tmp_path / "calendar_overrides.json", cache)
