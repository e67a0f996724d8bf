"""`bt calendar`: the table, the JSON, the warnings and the errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backtester.cli import main


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for the cache, one for all tests."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def bt(home, monkeypatch):
    """Runs `bt calendar` with the words given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))

    def ask(*words: str) -> Result:
        return CliRunner().invoke(main, ["calendar", *words])

    return ask


def test_a_week_with_a_holiday_and_an_early_close_is_a_table_with_a_total(bt):
    """CAL-02: Thanksgiving 2024, in New York time."""
    done = bt("XNYS", "2024-11-25", "2024-11-29")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()[:-1]] == [
        ["session", "open", "close", "minutes", "early", "break"],
        ["2024-11-25", "09:30", "16:00", "390", "-", "-"],
        ["2024-11-26", "09:30", "16:00", "390", "-", "-"],
        ["2024-11-27", "09:30", "16:00", "390", "-", "-"],
        ["2024-11-29", "09:30", "13:00", "210", "early", "-"],
    ]
    assert done.stdout.splitlines()[-1] == "4 sessions, 1,380 minutes, 1 early; XNYS, America/New_York"


def test_a_lunch_break_is_shown(bt):
    assert bt("JPX", "2024-11-05", "2024-11-05").stdout.splitlines()[1].split() == [
        "2024-11-05", "09:00", "15:30", "330", "-", "11:30-12:30",
    ]  # fmt: skip


def test_a_day_that_never_closes_ends_at_24_00(bt):
    """CAL-09."""
    done = bt("24/7", "2024-03-10", "2024-03-10")
    assert done.stdout.splitlines()[1].split() == ["2024-03-10", "00:00", "24:00", "1,440", "-", "-"]
    assert done.stdout.splitlines()[-1] == "1 session, 1,440 minutes, 0 early; 24/7, UTC"


def test_an_open_on_the_day_before_is_shown_with_its_date(bt):
    done = bt("CMEGlobex_EnergyAndMetals", "2024-11-25", "2024-11-25")
    assert done.stdout.splitlines()[1].split()[:4] == ["2024-11-25", "2024-11-24", "17:00", "16:00"]


def test_a_weekend_has_no_session(bt):
    done = bt("XNYS", "2024-01-06", "2024-01-07")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "0 sessions, 0 minutes, 0 early; XNYS, America/New_York")


def test_json_holds_the_hours_of_the_exchange_with_their_offset(bt):
    done = bt("JPX", "2024-11-01", "2024-11-05", "--json")
    told = json.loads(done.stdout)
    assert told["sessions"][1] == {
        "session": "2024-11-05", "open": "2024-11-05T09:00:00+09:00", "close": "2024-11-05T15:30:00+09:00", "minutes": 330, "early": False,
        "break": ["2024-11-05T11:30:00+09:00", "2024-11-05T12:30:00+09:00"],
    }  # fmt: skip
    assert (told["count"], told["minutes"], told["early"], told["warnings"], told["timezone"]) == (2, 630, 0, [], "Asia/Tokyo")
    assert (len(told["rows_digest"]), told["per_year"]) == (64, 245)


def test_a_range_beyond_the_known_holidays_is_warned_of_as_provisional(bt):
    """CAL-10: on stderr beside a table, inside the JSON otherwise."""
    done = bt("XNYS", "2035-01-01", "2035-01-31")
    assert done.exit_code == 0
    assert done.stderr.startswith("warning: provisional: holidays and hours of XNYS are not known after")
    told = bt("XNYS", "2035-01-01", "2035-01-31", "--json")
    assert told.stderr == ""
    assert "provisional" in json.loads(told.stdout)["warnings"][0]


def test_an_unknown_name_is_answered_with_the_nearest_ones(bt):
    """CAL-01."""
    done = bt("NYSEE", "2024-01-01", "2024-01-31")
    assert (done.exit_code, done.stdout) == (6, "")
    assert done.stderr.startswith("error: unknown calendar: got 'NYSEE'")
    assert "'NYSE'" in done.stderr
    told = json.loads(bt("NYSEE", "2024-01-01", "2024-01-31", "--json").stdout)
    assert (told["error"], told["exit_code"]) == ("calendar", 6)


@pytest.mark.parametrize(("words", "message"), [
    (["XNYS", "03/04/2024", "2024-01-31"], "'03/04/2024' is not a date; use YYYY-MM-DD"),
    (["XNYS", "20240102", "2024-01-31"], "use YYYY-MM-DD"),
    (["XNYS", "2024-W01-1", "2024-01-31"], "use YYYY-MM-DD"),
    (["XNYS", "2024-01-02", "2024-02-30"], "'2024-02-30' is no day of the calendar"),
    (["XNYS", "2024-01-02", "0000-01-01"], "no day of the calendar"),
    (["XNYS", "2024-02-01", "2024-01-01"], "'2024-01-01' is before START '2024-02-01'"),
    (["XNYS", "2024-02-01"], "Missing argument 'END'"),
    ([], "Missing argument 'NAME'"),
    (["XNYS", "2024-01-01", "2024-01-02", "--lake", "/nowhere/at/all"], "does not exist"),
])  # fmt: skip
def test_words_that_make_no_sense_end_with_code_2(bt, words, message):
    done = bt(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_year_that_no_calendar_knows_ends_with_code_6(bt):
    assert bt("XNYS", "1776-07-04", "1776-07-05").exit_code == 6


def test_the_overrides_of_a_lake_are_applied(bt, tmp_path):
    (tmp_path / "calendar_overrides.json").write_text('[{"session": "2024-11-26", "closed": true}]', encoding="utf-8")
    done = bt("XNYS", "2024-11-25", "2024-11-27", "--lake", str(tmp_path))
    assert [line.split()[0] for line in done.stdout.splitlines()[1:-1]] == ["2024-11-25", "2024-11-27"]


def test_a_bad_override_ends_with_code_6_and_its_place(bt, tmp_path):
    (tmp_path / "calendar_overrides.json").write_text('[{"session": "2024-11-26"}]', encoding="utf-8")
    done = bt("XNYS", "2024-11-25", "2024-11-27", "--lake", str(tmp_path))
    assert done.exit_code == 6
    assert "calendar_overrides.json at /0/open" in done.stderr


def test_help_ends_with_an_example(bt):
    assert bt("--help").stdout.strip().endswith("bt calendar XNYS 2024-11-25 2024-11-29")
