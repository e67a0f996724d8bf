"""The calendar years on disk: warm processes, damage, places that cannot be written, several processes at once."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backtester.market import calendar_cache as disk
from backtester.market import sessions as room
from backtester.market.calendar_cache import CalendarYear, default_folder, read_year, write_year
from backtester.market.sessions import library_version, sessions_between

YEAR = (dt.date(2024, 1, 1), dt.date(2024, 12, 31))
ASK = "import datetime as d, sys; from backtester.market.sessions import *; "
PRINT = "print(rows_digest(sessions_between('XNYS', d.date(2024, 1, 1), d.date(2024, 12, 31)))); "


def run(program: str, environment: dict[str, str]) -> str:
    """What a fresh process prints; its environment holds nothing of a home but what is given."""
    bare = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME", "USERPROFILE")}
    done = subprocess.run([sys.executable, "-c", program], env=bare | environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    return room.rows_digest(sessions_between("XNYS", *YEAR, cache=tmp_path_factory.mktemp("digest") / "cache"))


@pytest.fixture
def warm(tmp_path: Path) -> Path:
    """A folder that holds New York's 2024."""
    sessions_between("XNYS", *YEAR, cache=tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every question to the library an error."""

    def refuse(*_: object) -> None:
        raise AssertionError("the library was asked")

    monkeypatch.setattr(room, "_from_library", refuse)


def file_of(folder: Path) -> Path:
    return folder / library_version() / "XNYS-2024.json"


def test_a_warm_process_imports_neither_the_calendar_library_nor_pandas_nor_polars(tmp_path, digest):
    heavy = "print(sorted({'pandas', 'pandas_market_calendars', 'exchange_calendars', 'polars', 'pyarrow', 'duckdb'} & set(sys.modules)))"
    home = {"XDG_CACHE_HOME": str(tmp_path)}
    known = "calendar_for('US_EQUITY', 'EQUITY', 'XNYS'); "
    run(ASK + PRINT + known, home)
    assert run(ASK + PRINT + known + heavy, home).split() == [digest, "[]"]


def test_a_year_is_asked_of_the_library_once(warm, no_library):
    assert len(sessions_between("XNYS", *YEAR, cache=warm)) == 252


def test_only_years_that_are_absent_are_made(warm, monkeypatch):
    asked = []
    real = room._from_library
    monkeypatch.setattr(
        room, "_from_library", lambda name, first, last, names: asked.append((first, last)) or real(name, first, last, names)
    )
    sessions_between("XNYS", dt.date(2022, 1, 1), dt.date(2025, 1, 1), cache=warm)
    sessions_between("XNYS", dt.date(2021, 1, 1), dt.date(2025, 1, 1), cache=warm)
    assert asked == [(2022, 2025), (2021, 2021)]


@pytest.mark.parametrize("damage", [
    lambda data: b"",
    lambda data: data[: len(data) // 2],
    lambda data: data.replace(b"1735", b"1736", 1),
    lambda data: bytes([data[0] ^ 1]) + data[1:],
    lambda data: b"\x00" * len(data),
    lambda data: b"[" * 100_000,
])  # fmt: skip
def test_a_damaged_file_is_made_anew(warm, digest, damage):
    path = file_of(warm)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert room.rows_digest(sessions_between("XNYS", *YEAR, cache=warm)) == digest
    assert path.read_bytes() == whole


@pytest.mark.parametrize("change", [
    {"calendar": "XLON"}, {"year": 2023}, {"version": "0.0"}, {"format": 0}, {"rows": [[1, 2], [3]]}, {"rows": None},
    {"rows": [[10**30] * 6]},
    {"timezone": None, "disputed": 3},
])  # fmt: skip
def test_a_whole_file_that_says_something_else_is_made_anew(warm, digest, change):
    import hashlib

    path = file_of(warm)
    whole = path.read_bytes()
    text = json.dumps(json.loads(whole.partition(b"\n")[2]) | change).encode()
    path.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    assert room.rows_digest(sessions_between("XNYS", *YEAR, cache=warm)) == digest
    assert path.read_bytes() == whole


def test_another_library_version_does_not_read_these_years(warm, monkeypatch):
    year = read_year(warm, library_version(), "XNYS", 2024)
    assert year is not None
    assert read_year(warm, "pandas_market_calendars-9.9.9", "XNYS", 2024) is None


def test_a_year_comes_back_as_it_was_stored(tmp_path):
    rows = np.array([[19000], [1], [2], [-1], [-1], [2]], np.int64)
    year = CalendarYear("24/7 % ü", "UTC", 2022, rows, "1990-01-01", None, ("2022-01-07",))
    write_year(tmp_path / "cache", "1", year)
    found = read_year(tmp_path / "cache", "1", "24/7 % ü", 2022)
    assert found is not None
    assert np.array_equal(found.rows, rows)
    assert (found.timezone, found.known_from, found.known_until, found.disputed) == ("UTC", "1990-01-01", None, ("2022-01-07",))


def test_a_year_without_sessions_is_kept_too(tmp_path, monkeypatch):
    """The Investors Exchange did not exist in 1950."""
    assert len(sessions_between("IEX", dt.date(1950, 1, 1), dt.date(1950, 12, 31), cache=tmp_path / "cache")) == 0
    monkeypatch.setattr(room, "_from_library", None)
    assert len(sessions_between("IEX", dt.date(1950, 1, 1), dt.date(1950, 12, 31), cache=tmp_path / "cache")) == 0


def test_a_process_without_a_home_works_without_a_cache(digest):
    """CLI-14."""
    assert run(ASK + PRINT, {}).split() == [digest]


@pytest.mark.parametrize("place", ["file", "below a file", "missing device"])
def test_a_home_that_cannot_be_written_is_done_without(tmp_path, digest, place):
    """CLI-14."""
    (tmp_path / "file").write_text("")
    home = {"file": tmp_path / "file", "below a file": tmp_path / "file" / "home", "missing device": Path("/proc/nowhere")}[place]
    assert run(ASK + PRINT, {"HOME": str(home)}).split() == [digest]


def test_a_full_disk_is_done_without(tmp_path, digest, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "_fill", full)
    assert room.rows_digest(sessions_between("XNYS", *YEAR, cache=tmp_path / "cache")) == digest
    assert not list((tmp_path / "cache").rglob("*.*json*"))


def test_a_folder_where_a_file_should_stand_is_done_without(tmp_path, digest):
    file_of(tmp_path / "cache").mkdir(parents=True)
    (tmp_path / "cache").chmod(0o700)
    assert room.rows_digest(sessions_between("XNYS", *YEAR, cache=tmp_path / "cache")) == digest


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_the_cache_is_its_owners_alone_and_one_open_to_others_is_not_read(warm, tmp_path):
    """S-16, S-19."""
    assert (warm.stat().st_mode & 0o777, file_of(warm).stat().st_mode & 0o777) == (0o700, 0o600)
    warm.chmod(0o777)
    assert read_year(warm, library_version(), "XNYS", 2024) is None


def test_processes_that_fill_one_cache_at_once_leave_whole_files(tmp_path, digest):
    program = ASK + PRINT
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    started = [subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[0].strip() for process in started] == [digest] * 4
    folder = tmp_path / "backtester" / "calendars" / library_version()
    assert sorted(path.name for path in folder.iterdir()) == ["XNYS-2024.json", "names.json"]


def test_the_cache_stands_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/ada")
    assert default_folder() == Path("/var/cache/ada/backtester/calendars")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == Path("/home/ada/.cache/backtester/calendars")
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("USERPROFILE", raising=False)
    assert default_folder() is None
