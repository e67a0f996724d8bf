"""Small files of the user's own: lines are whole, whoever else writes and whatever a crash has left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backtester import home


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    file = tmp_path / "new" / "x.jsonl"
    for value in ({"a": 1}, {"b": "naïve \udcff\n"}):
        home.append(file, value)
    assert home.lines(file) == [{"a": 1}, {"b": "naïve \udcff\n"}]
    assert file.read_text().count("\n") == 2
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_torn_line_loses_itself_alone(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"a": 1}\n{"b": ')
    home.append(file, {"c": 3})
    assert home.lines(file) == [{"a": 1}, {"c": 3}]


def test_lines_that_are_no_objects_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b'[1]\nnull\n\xff\xfe\n{"a": 1}\n' + b"[" * 100_000 + b"\n")
    assert home.lines(file) == [{"a": 1}]
    assert home.lines(tmp_path / "absent") == []
    assert home.lines(tmp_path) == []


def test_many_writers_lose_no_line(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: home.append(file, {"n": n, "pad": "x" * 900}), range(200)))
    assert sorted(line["n"] for line in home.lines(file)) == list(range(200))


def test_the_place_is_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BT_DATA_HOME", str(tmp_path / "own"))
    assert home.place("f") == tmp_path / "own" / "f"
    monkeypatch.delenv("BT_DATA_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert home.place("f") == tmp_path / "xdg" / "backtester" / "f"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home.place("f") == tmp_path / ".local" / "share" / "backtester" / "f"
