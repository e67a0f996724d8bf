"""`bt sql` and `bt query` on the command line."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import backtester
from backtester.cli import main
from tests.configs import config, strategy

CHANGES = {
    "strategies": strategy("sma_crossover"),
    "session_data_config.symbols": ["AAA"],
    "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-08"},
    "trading_config": {"min_quality": 50},
    "sweep": {"parameters": {"strategies.0.params.fast": "2:6:2"}, "objective": "total_return"},
}


@pytest.fixture(scope="module")
def results(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of a week, and a sweep of three trials."""
    folder = tmp_path_factory.mktemp("results")
    document = config(simulated, CHANGES)
    backtester.sweep(document, out=folder / "sweep")
    backtester.run({name: value for name, value in document.items() if name != "sweep"}, out=folder / "week")
    return folder


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_an_answer_is_a_table_that_says_how_many_rows_are_not_shown(results: Path) -> None:
    equity = pl.read_parquet(results / "week" / "equity.parquet")
    done = bt("sql", results / "week", "select ts, equity from equity order by ts")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ts", "equity"]
    assert len(lines) == 42
    assert lines[1].split() == ["2024-11-04", "14:30:00Z", "100,000.00"]
    assert lines[-1] == f"40 of {equity.height:,} rows (--limit shows more)"
    few = bt("sql", results / "week", "select ts from equity order by ts", "--limit", 2, "--tz", "America/New_York")
    assert few.stdout.splitlines()[1].strip() == "2024-11-04 09:30:00-05:00"


def test_columns_that_do_not_fit_are_named(results: Path) -> None:
    done = bt("sql", results / "week", "from trades")
    assert "more columns: " in done.stdout
    assert "is_open" in done.stdout.splitlines()[-1]
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 160


def test_csv_has_every_row_with_instants_in_utc(results: Path) -> None:
    fills = pl.read_parquet(results / "week" / "fills.parquet")
    done = bt("sql", results / "week", "select ts, symbol, price, ambiguous, other from fills", "--csv")
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["ts", "symbol", "price", "ambiguous", "other"]
    expected = [
        [ts.strftime("%Y-%m-%dT%H:%M:%SZ"), symbol, price, "false", ""]
        for ts, symbol, price in fills.select("ts", "symbol", "price").rows()
    ]
    assert [[row[0], row[1], float(row[2]), *row[3:]] for row in rows[1:]] == expected


def test_json_is_a_list_of_objects(results: Path) -> None:
    done = bt("sql", results / "week", "select ts, session, price, null as n, 'nan'::double as x, [1, 2] as l from fills limit 2", "--json")
    rows = json.loads(done.stdout)
    fills = pl.read_parquet(results / "week" / "fills.parquet").head(2)
    assert [row["price"] for row in rows] == fills["price"].to_list()
    assert rows[0]["ts"] == fills["ts"][0].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert rows[0]["session"] == str(fills["session"][0])
    assert (rows[0]["n"], rows[0]["x"], rows[0]["l"]) == (None, None, [1, 2])
    assert json.loads(bt("sql", results / "week", "select 1 where false", "--json").stdout) == []


def test_parquet_is_written_whole_and_never_over_a_file_by_itself(results: Path, tmp_path: Path) -> None:
    file = tmp_path / "fills.parquet"
    words = ("sql", results / "week", "select * from fills", "--parquet", file)
    assert bt(*words).exit_code == 0
    written = pl.read_parquet(file)
    assert written.drop("run").equals(pl.read_parquet(results / "week" / "fills.parquet"))
    second = bt(*words)
    assert second.exit_code == 8
    assert "stands already" in second.stderr
    assert bt(*words, "--force", "--limit", 1).exit_code == 0
    assert pl.read_parquet(file).height == 1
    wrong = bt("sql", results / "week", "select error('no') from fills", "--parquet", file, "--force")
    assert wrong.exit_code == 2
    assert pl.read_parquet(file).height == 1
    assert [path.name for path in tmp_path.iterdir()] == ["fills.parquet"]
    assert bt("sql", results / "week", "select 1", "--parquet", tmp_path / "no" / "x.parquet").exit_code == 8


def test_an_answer_has_one_form(results: Path) -> None:
    done = bt("sql", results / "week", "select 1", "--csv", "--json")
    assert done.exit_code == 2
    assert "--csv and --json" in done.stderr


def test_without_a_query_the_tables_are_said_with_grain_and_columns(results: Path) -> None:
    done = bt("sql", results)
    assert done.exit_code == 0, done.output
    assert "fills  (one execution;" in done.stdout
    assert "trials  (one trial; 3 rows)" in done.stdout
    assert "paid or received, slippage in it, currency a share" in done.stdout
    tables = {table["name"]: table for table in json.loads(bt("sql", results, "--json").stdout)}
    assert {"fills", "equity", "metrics", "manifest", "trials", "trial_equity", "evidence"} <= set(tables)
    assert [column["name"] for column in tables["trials"]["columns"]][:4] == ["run", "trial", "key", "fast"]
    assert {column["type"] for table in tables.values() for column in table["columns"]} == {
        "text",
        "int64",
        "float64",
        "bool",
        "date",
        "timestamp",
    }


def test_runs_and_sweeps_of_a_folder_are_asked_together(results: Path) -> None:
    done = bt("sql", results, "select run from metrics union all select distinct run from trials order by run", "--csv")
    assert done.stdout.splitlines() == ["run", "sweep", "week"]


def test_what_is_incomplete_is_left_out_with_a_note(results: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(results, tmp_path / "all")
    shutil.copytree(results / "week", tmp_path / "all" / "broken")
    (tmp_path / "all" / "broken" / "manifest.json").unlink()
    done = bt("sql", tmp_path / "all", "select distinct run from fills", "--csv")
    assert done.stdout.splitlines() == ["run", "week"]
    assert "broken: incomplete" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("week", "select * from fils"), 2, "did you mean 'fills'?"),
        (("week", "drop table fills"), 2, "only a select"),
        (("week", "copy fills to 'x.csv'"), 2, "only a select"),
        (("week", "select * from fills", "--memory", "lots"), 2, "amount of memory"),
        (("week", "select 1", "--tz", "Mars/Base"), 2, "unknown time zone"),
        (("nowhere", "select 1"), 8, "no such folder"),
        (("week", "nowhere"), 8, "no such folder"),
        (("week", "n" * 300), 8, "no such folder"),
        (("week", "~nobody/here"), 8, "no such folder"),
        (("week", "select list(range) from range(30000000)", "--memory", "20MB"), 7, "more memory"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    results: Path, words: tuple[str, ...], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results)
    done = bt("sql", *words)
    assert done.exit_code == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    machine = bt("sql", *words, "--json")
    assert json.loads(machine.stdout)["exit_code"] == code


def test_a_query_alone_needs_a_run(results: Path) -> None:
    done = bt("sql", "select 1")
    assert done.exit_code == 2
    assert "needs results" in done.stderr


def test_a_name_cannot_steer_the_terminal(results: Path) -> None:
    """S-22."""
    done = bt("sql", results / "week", "select '\x1b[31mred\u202e' as \"a\x1b[2J\" from fills limit 1")
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


def test_texts_of_any_kind_come_through_csv_and_json_as_they_are(results: Path) -> None:
    """S-22."""
    texts = ["__proto__", 'a "b", c', "two\nlines", "\u202e\x1b[31m", "naïve ☃ 漢字", "", "'; --", "=1+1", "x" * 100_000]
    values = ", ".join("('" + text.replace("'", "''") + "')" for text in texts)
    query = f"select * from (values {values}) as t(x)"
    assert [row[0] for row in csv.reader(io.StringIO(bt("sql", results / "week", query, "--csv").stdout, newline=""))] == ["x", *texts]
    found = bt("sql", results / "week", query, "--json").stdout
    assert found.isascii()
    assert [row["x"] for row in json.loads(found)] == texts
    shown = bt("sql", results / "week", query).stdout
    assert max(map(len, shown.splitlines())) <= 160


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_answer_survives_any_locale(results: Path, encoding: str) -> None:
    env = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    words = [sys.executable, "-m", "backtester", "sql", str(results / "week"), f"select 'ü漢' as x, '{'a' * 60}' as y"]
    shown = subprocess.run(words, env=env, capture_output=True, check=True).stdout
    assert shown.splitlines()[1].startswith({"latin-1": "ü\\u6f22".encode("latin-1")}.get(encoding, "ü漢".encode()))
    assert subprocess.run([*words, "--csv"], env=env, capture_output=True, check=True).stdout.decode().splitlines()[1] == f"ü漢,{'a' * 60}"


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_long_query_can_be_stopped(results: Path, sign: signal.Signals, code: int) -> None:
    query = "select count(*) from range(100000000) a, range(1000) b where a.range * b.range % 7 = 3"
    words = [sys.executable, "-m", "backtester", "sql", str(results / "week"), query]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=_hear_signals) as process:
        time.sleep(5)
        process.send_signal(sign)
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (code, "stopped\n")


def _hear_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_queries_are_listed_described_and_asked(results: Path) -> None:
    listed = bt("query")
    assert "worst_days " in listed.stdout
    assert "load_bars" not in listed.stdout
    described = bt("query", "worst_days")
    assert "grain: one session of one run" in described.stdout
    assert "n  int64 = 10  how many of each run" in described.stdout
    done = bt("query", "worst_days", results / "week", "--param", "n=2", "--csv")
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("worst_day", "week"), "did you mean 'worst_days'?"),
        (("load_bars", "week"), "unknown query"),
        (("worst_days", "week", "--param", "m=2"), "known: n"),
        (("worst_days", "week", "--param", "n=two"), "allowed: a whole number"),
        (("worst_days", "week", "--param", "n"), "allowed: NAME=VALUE"),
        (("data_gaps", "sweep"), "there is no table 'gaps'"),
        (("nowhere.sql", "week"), "cannot be read"),
        (("own.sql", "week"), "needs a value"),
        (("broken.sql", "week"), "header"),
    ],
)
def test_what_is_wrong_with_a_named_query_is_said(
    results: Path, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results)
    header = "-- purpose: a\n-- parameters:\n--   least  float64, lowest\n-- columns:\n--   n  int64, rows\n-- grain: one row\n"
    (results / "own.sql").write_text(header + "select count(*) as n from fills where price > $least")
    (results / "broken.sql").write_text("-- purpose: a\nselect 1")
    done = bt("query", *words)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_query_of_ones_own_is_asked(results: Path, tmp_path: Path) -> None:
    fills = pl.read_parquet(results / "week" / "fills.parquet")
    own = tmp_path / "own.sql"
    own.write_text("select count(*) as n, $word as word from fills where price > $least")
    done = bt("query", own, results / "week", "--param", "least=1e2", "--param", "word=' OR 1=1 --", "--json")
    assert json.loads(done.stdout) == [{"n": fills.filter(pl.col("price") > 100).height, "word": "' OR 1=1 --"}]


def test_help_ends_with_an_example() -> None:
    for command in ("sql", "query"):
        said = bt(command, "--help").stdout
        assert "Examples:" in said
        assert said.rstrip().splitlines()[-1].strip().startswith("bt ")
