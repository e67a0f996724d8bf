"""`bt data`: words in, tables, JSON and exit codes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backtester.cli import main

ROWS = "Date,Open,High,Low,Close,Volume\n2024-07-05 09:30,1,2,0.5,1.5,100\n2024-07-05 09:31,1.5,1.5,1.5,1.5,10\n"


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, words)])


def bring(root: Path, *words: object, rows: str = ROWS) -> Result:
    path = root / "bars.csv"
    path.write_text(rows)
    return bt("import", path, "--lake", root / "lake", "--format", "csv", "--symbol", "SPY", "--tz", "America/New_York", *words)


def simulate(root: Path, *words: object) -> Result:
    return bt(
        "simulate", "--lake", root / "lake", "--symbols", "BBB,AAA", "--start", "2024-07-02", "--end", "2024-07-05", "--seed", 7, *words
    )


def test_an_import_says_what_it_found_and_did(tmp_path: Path) -> None:
    result = bring(tmp_path, "--map", "ts=Date")
    assert result.exit_code == 0, result.output
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert (facts["rows_added"], facts["symbols"], facts["intervals"], facts["first_session"]) == ("2", "SPY", "bars 1m", "2024-07-05")


def test_the_same_import_again_changes_nothing(tmp_path: Path) -> None:
    bring(tmp_path)
    again = json.loads(bring(tmp_path, "--json").stdout)
    assert (again["rows_added"], again["rows_unchanged"], again["days_written"], again["days_unchanged"]) == (0, 2, 0, 1)


def test_different_bars_stop_with_4_and_are_replaced_on_request(tmp_path: Path) -> None:
    bring(tmp_path)
    other = ROWS.replace("1.5,1.5,1.5,1.5,10", "1.5,1.5,1.5,1.5,11")
    stopped = bring(tmp_path, rows=other)
    assert stopped.exit_code == 4
    assert "volume 11.0 (lake: 10.0)" in stopped.stderr
    assert json.loads(bring(tmp_path, "--replace", "--json", rows=other).stdout)["rows_replaced"] == 1


def test_an_error_names_file_line_and_value(tmp_path: Path) -> None:
    result = bring(tmp_path, "--json", rows=ROWS + "2024-07-05 09:32,1,1,1,x,1\n")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["where"] == f"{tmp_path / 'bars.csv'}, line 4"
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--symbol", "../x"], "not a symbol (--symbol)"),
        (["--tz", "America/New_Yrok"], "did you mean 'America/New_York'?"),
        (["--map", "opne=Open"], "did you mean 'open'?"),
        (["--interval", "7x"], "unknown interval (--interval)"),
        (["--interval", "1w"], "built, not stored"),
        (["--delimiter", "ab"], "not a delimiter"),
        (["--no-header", "--map", "ts=Date"], "not a position"),
        (["--stamp", "middle"], "middle"),
        (["--max-bad-rows", "-1"], "-1"),
    ],
)
def test_words_that_make_no_sense_end_with_2(tmp_path: Path, words: list[str], message: str) -> None:
    result = bring(tmp_path, *words)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("form", "word"),
    [("lean", ["--tz", "UTC"]), ("lean", ["--stamp", "close"]), ("lean", ["--map", "ts=Date"]), ("parquet", ["--decimal", ","])],
)
def test_words_that_a_format_does_not_know_end_with_2(tmp_path: Path, form: str, word: list[str]) -> None:
    result = bt("import", tmp_path, "--lake", tmp_path / "lake", "--format", form, *word)
    assert (result.exit_code, word[0] in result.stderr) == (2, True)


def test_an_unknown_calendar_ends_with_6_and_the_nearest_name(tmp_path: Path) -> None:
    result = bring(tmp_path, "--calendar", "XNYSE")
    assert result.exit_code == 6
    assert "XNYS" in result.stderr
    assert not (tmp_path / "lake").exists()


def test_a_source_that_is_not_there_ends_with_4(tmp_path: Path) -> None:
    result = bt("import", tmp_path / "gone", "--lake", tmp_path / "lake", "--format", "csv")
    assert (result.exit_code, "no such file or folder" in result.stderr) == (4, True)


def test_a_lake_in_a_place_that_cannot_be_written_ends_with_8(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    assert bring(tmp_path).exit_code == 8


def test_a_simulation_is_listed_with_its_symbols_sessions_and_rows(tmp_path: Path) -> None:
    made = simulate(tmp_path, "--quotes", "--json")
    assert json.loads(made.stdout)["rows_added"] == 2 * 2 * (390 + 210 + 390)
    listed = json.loads(bt("list", "--lake", tmp_path / "lake", "--json").stdout)
    assert [(row["kind"], row["interval"], row["symbols"], row["sessions"], row["rows"]) for row in listed["stored"]] == [
        ("bars", "1m", ["AAA", "BBB"], 3, 1980),
        ("quotes", "1m", ["AAA", "BBB"], 3, 1980),
    ]
    assert (listed["stored"][0]["first_session"], listed["stored"][0]["last_session"]) == ("2024-07-02", "2024-07-05")
    assert listed["stored"][0]["first_ts"].startswith("2024-07-02 13:30:00")


def test_a_list_for_people_is_a_table(tmp_path: Path) -> None:
    simulate(tmp_path)
    header, row = bt("list", "--lake", tmp_path / "lake").stdout.splitlines()
    assert header.split()[:4] == ["kind", "interval", "symbols", "sessions"]
    assert row.split()[:5] == ["bars", "1m", "2", "3", "1,980"]
    assert row.endswith("AAA, BBB")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--symbols", "AAA,AAA"], 2),
        (["--symbols", "AAA,B/B"], 2),
        (["--missing", "1"], 2),
        (["--interval", "5m"], 2),
        (["--seed", "-1"], 2),
        (["--end", "2024-07-01"], 2),
        (["--start", "2024/07/02"], 2),
        (["--start", "2024-07-04", "--end", "2024-07-04"], 6),
        (["--calendar", "XNYSE"], 6),
    ],
)
def test_a_simulation_that_makes_no_sense_is_refused(tmp_path: Path, words: list[str], code: int) -> None:
    assert simulate(tmp_path, *words).exit_code == code
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_missing_or_empty_lake_ends_with_4_and_says_what_to_do(tmp_path: Path, command: str) -> None:
    for lake in (tmp_path / "gone", tmp_path):
        result = bt(command, "--lake", lake)
        assert result.exit_code == 4
        assert "there is no lake" in result.stderr
        assert "bt data import or bt data simulate" in result.stderr


def test_verify_finds_nothing_in_a_sound_lake(tmp_path: Path) -> None:
    simulate(tmp_path)
    result = bt("verify", "--lake", tmp_path / "lake")
    assert (result.exit_code, result.stdout.startswith("3 files, ")) == (0, True)


def test_verify_names_a_flipped_byte_with_4_dat_04(tmp_path: Path) -> None:
    simulate(tmp_path)
    file = tmp_path / "lake/bars/1m/2024-07-03.parquet"
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    result = bt("verify", "--lake", tmp_path / "lake", "--json")
    verdict = json.loads(result.stdout)
    assert result.exit_code == 4
    assert (verdict["ok"], [row["path"] for row in verdict["damaged"]]) == (False, ["bars/1m/2024-07-03.parquet"])
    assert "fingerprint differs" in bt("verify", "--lake", tmp_path / "lake").stderr


def test_leans_sample_with_factors(shared_data: Path, tmp_path: Path) -> None:
    result = bt(
        "import", shared_data / "lean_raw_zip/minute/spy", "--lake", tmp_path / "lake", "--format", "lean",
        "--factors", shared_data / "lean_reference/factor_files/spy.csv", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["intervals"], report["sessions"], report["rows_added"]) == (["bars 1m", "quotes 1m"], 6, 4839 + 5412)


def test_a_vendors_file_without_header(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "vendor_csv/nt-spy-minute-2011_close_stamped_UTC.csv"
    result = bt("import", path, "--lake", tmp_path / "lake", "--format", "csv", "--symbol", "SPY", "--tz", "UTC", "--stamp", "close",
                "--delimiter", ";", "--no-header", "--time-format", "%Y%m%d %H%M%S", "--json")  # fmt: skip
    report = json.loads(result.stdout)
    assert (report["rows_added"], report["out_of_session"], report["sessions"]) == (14_180, 14_180 - 20 * 390, 20)
