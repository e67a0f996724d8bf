"""`bt data actions`: words in, tables, JSON and exit codes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backtester.cli import main
from tests.market.test_lake import bars, lake_of

SPLIT = ["--symbol", "AAPL", "--ex-date", "2014-06-09", "--kind", "split", "--value", "7"]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake with bars of AAPL."""
    lake_of(tmp_path / "lake", bars())
    return tmp_path / "lake"


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, words)])


def add(lake: Path, *words: object) -> Result:
    return bt("actions", "add", "--lake", lake, *words)


def test_one_action_is_added_by_options_and_again_changes_nothing(lake: Path) -> None:
    assert add(lake, *SPLIT).stdout.split() == ["added", "1", "stored", "1"]
    assert json.loads(add(lake, *SPLIT, "--json").stdout) == {
        "added": 0, "replaced": 0, "unchanged": 1, "removed": 0, "stored": 1, "without_bars": [],
    }  # fmt: skip


def test_actions_are_listed_as_a_table_and_as_json(lake: Path) -> None:
    add(lake, *SPLIT)
    add(lake, *SPLIT[:2], "--ex-date", "2014-05-08", "--kind", "dividend", "--value", "3.29", "--source", "press")
    header, first, second = bt("actions", "list", "--lake", lake).stdout.splitlines()
    assert header.split() == ["symbol", "ex_date", "kind", "value", "source"]
    assert (first.split(), second.split()[:4]) == (
        ["AAPL", "2014-05-08", "dividend", "3.29", "press"],
        ["AAPL", "2014-06-09", "split", "7"],
    )
    listed = json.loads(bt("actions", "list", "--lake", lake, "--symbol", "AAPL", "--json").stdout)
    assert listed["actions"][1] == {"symbol": "AAPL", "ex_date": "2014-06-09", "kind": "split", "value": 7.0, "source": "by hand"}
    assert bt("actions", "--lake", lake).stdout == bt("actions", "list", "--lake", lake).stdout


def test_a_lake_without_actions_says_so_and_an_unknown_symbol_has_a_near_one(lake: Path) -> None:
    assert bt("actions", "list", "--lake", lake).stdout.startswith("no actions")
    add(lake, *SPLIT)
    missing = bt("actions", "list", "--lake", lake, "--symbol", "AAPLE")
    assert (missing.exit_code, "did you mean 'AAPL'" in missing.stderr) == (4, True)


def test_the_list_of_a_lake_counts_the_actions_of_each_symbol(lake: Path, tmp_path: Path) -> None:
    add(lake, *SPLIT)
    table = tmp_path / "more.csv"
    table.write_text("symbol,ex_date,kind,value\nAAPL,2014-08-07,dividend,0.47\nSPY,2014-06-20,dividend,0.93\n")
    found = add(lake, table)
    assert "the lake has no bars of SPY" in found.stderr
    assert bt("list", "--lake", lake).stdout.splitlines()[-1] == "actions: AAPL 2, SPY 1"
    assert json.loads(bt("list", "--lake", lake, "--json").stdout)["actions"] == {
        "AAPL": {"splits": 1, "dividends": 1}, "SPY": {"splits": 0, "dividends": 1},
    }  # fmt: skip


def test_another_value_stops_with_4_and_replaces_on_request(lake: Path) -> None:
    add(lake, *SPLIT)
    other = [*SPLIT[:-1], "6"]
    stopped = add(lake, *other)
    assert (stopped.exit_code, "--replace" in stopped.stderr) == (4, True)
    assert json.loads(add(lake, *other, "--replace", "--json").stdout)["replaced"] == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([*SPLIT[:-1], "0"], 4, "a split that is not above zero"),
        ([*SPLIT[:-1], "nan"], 4, "not a number"),
        ([*SPLIT[:-1], "seven"], 2, "seven"),
        ([*SPLIT[:2], "--ex-date", "2014-06-07", *SPLIT[4:]], 4, "the nearest session is 2014-06-06"),
        ([*SPLIT[:2], "--ex-date", "2014/06/09", *SPLIT[4:]], 2, "YYYY-MM-DD"),
        ([*SPLIT[:4], "--kind", "merger", *SPLIT[6:]], 2, "merger"),
        (SPLIT[:6], 2, "--value"),
        ([], 2, "name a file, or give --symbol, --ex-date, --kind, --value"),
        (["actions.csv", *SPLIT[:2]], 2, "beside files"),
        (["actions.csv", "--source", "x"], 2, "beside files"),
        (["gone.csv"], 4, "no such file or folder"),
        ([*SPLIT, "--calendar", "XNYSE"], 6, "XNYS"),
    ],
)
def test_words_that_make_no_sense_end_with_their_code(lake: Path, words: list[str], code: int, message: str) -> None:
    found = add(lake, *words)
    assert (found.exit_code, message in found.stderr) == (code, True), found.stderr
    assert "Traceback" not in found.stderr
    assert not (lake / "actions.parquet").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["actions"], "name a command"),
        (["actions", "--lake", "x", "list"], "write bt data actions list --lake x"),
        (["actions", "--json", "list", "--lake", "x"], "write bt data actions list --json"),
        (["actions", "remove", "--lake", "x"], "give --symbol, or --all"),
        (["actions", "remove", "--lake", "x", "--all", "--symbol", "A"], "all actions, and some of them"),
        (["actions", "import-lean", "--lake", "x"], "SOURCE"),
    ],
)
def test_commands_without_their_words_end_with_2(words: list[str], message: str) -> None:
    found = bt(*words)
    assert (found.exit_code, message in found.stderr) == (2, True), found.stderr


def test_actions_are_removed_one_and_all(lake: Path) -> None:
    add(lake, *SPLIT)
    assert bt("actions", "remove", "--lake", lake, "--symbol", "AAPL", "--kind", "dividend").stdout.split() == ["stored", "1"]
    assert bt("actions", "remove", "--lake", lake, *SPLIT[:6]).stdout.split() == ["removed", "1", "stored", "0"]
    add(lake, *SPLIT)
    assert json.loads(bt("actions", "remove", "--lake", lake, "--all", "--json").stdout)["removed"] == 1


@pytest.mark.parametrize("command", [["add", *SPLIT], ["list"], ["remove", "--all"], ["import-lean", "."]])
def test_actions_without_a_lake_end_with_4(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "spy.csv").write_text("20501231,1,1,0\n")
    words = [tmp_path / "spy.csv" if word == "." else word for word in command]
    found = bt("actions", *words, "--lake", tmp_path / "gone")
    assert (found.exit_code, "there is no lake" in found.stderr) == (4, True), found.stderr


def test_a_damaged_file_is_named_by_list_and_verify_with_4(lake: Path) -> None:
    add(lake, *SPLIT)
    (lake / "actions.parquet").write_bytes(b"x")
    for command in (["list"], ["verify"], ["actions", "list"]):
        found = bt(*command, "--lake", lake)
        assert (found.exit_code, "actions.parquet" in found.stderr) == (4, True), found.stderr


def test_leans_factor_files_bring_apples_split(shared_data: Path, lake: Path) -> None:
    files = shared_data / "lean_reference/factor_files"
    found = json.loads(bt("actions", "import-lean", files / "aapl.csv", "--lake", lake, "--json").stdout)
    assert (found["added"], found["stored"]) == (4 + 35, 39)
    assert json.loads(bt("actions", "import-lean", files / "aapl.csv", "--lake", lake, "--json").stdout)["unchanged"] == 39
    listed = bt("actions", "list", "--lake", lake, "--symbol", "AAPL").stdout.splitlines()
    assert [line.split()[:4] for line in listed if " split " in line][2] == ["AAPL", "2014-06-09", "split", "7"]
