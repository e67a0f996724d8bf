"""The sandbox of queries: TESTPLAN's probes, and names and values that would be SQL. S-03 to S-07, S-14, S-22, R14."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

import backtester as bt
from backtester.errors import DataError, UsageError
from backtester.outcome.ask import Limits, sandbox
from backtester.outcome.run import Run

Publish = Callable[..., Run]

df_secret = pl.DataFrame({"secret": ["canary"]})
"""What a replacement scan would find."""

PROBES = {
    "passwd": "select * from read_csv('/etc/passwd', header = false)",
    "passwd as text": "select * from read_text('/etc/passwd')",
    "passwd by name": "select * from '/etc/passwd'",
    "environment": "select * from read_blob('/proc/self/environ')",
    "traversal": "select * from read_parquet('{run}/../other/fills.parquet')",
    "another run": "select * from read_parquet('{other}/fills.parquet')",
    "its own file": "select * from read_parquet('{run}/fills.parquet')",
    "symlink": "select * from read_parquet('{run}/link.parquet')",
    "symlink as text": "select * from read_text('{run}/link.txt')",
    "copy": "copy fills to '{run}/copy.csv'",
    "copy over a table": "copy fills to '{run}/fills.parquet'",
    "copy in a with": "with x as (copy fills to '{run}/copy.csv' (use_tmp_file false)) select * from x",
    "copy over a table in a with": "with x as (copy fills to '{run}/fills.parquet' (use_tmp_file false)) select * from x",
    "copy to the database's own name": "with x as (copy fills to ':memory:' (use_tmp_file false)) select * from x",
    "copy to its log": "with x as (copy fills to ':memory:.wal' (use_tmp_file false)) select * from x",
    "copy to its temporary folder": "with x as (copy fills to '.tmp/x' (use_tmp_file false)) select * from x",
    "copy to a device": "with x as (copy fills to '/dev/stdout' (use_tmp_file false)) select * from x",
    "copy from": "copy metrics from '/etc/passwd'",
    "attach": "attach '{run}/new.db'",
    "attach in a query": "select * from query('attach ''{run}/new.db''')",
    "sniff": "select * from sniff_csv('/etc/passwd')",
    "install": "install httpfs",
    "load": "load httpfs",
    "load a file": "load '{run}/x.duckdb_extension'",
    "replacement scan": "select * from df_secret",
    "replacement scan of a local": "select * from local_secret",
    "glob": "select * from glob('/etc/*')",
    "glob of runs": "select * from read_parquet('{run}/*.parquet')",
    "metadata": "select * from parquet_metadata('{other}/fills.parquet')",
    "network": "select * from 'http://127.0.0.1:9/x.parquet'",
    "setting": "set threads = 1",
    "setting of access": "set enable_external_access = true",
    "reset": "reset enable_external_access",
    "pragma": "pragma enable_logging",
    "call": "call pragma_version()",
    "export": "export database '{run}/out'",
    "import": "import database '{run}'",
    "create": "create table t as select 1",
    "create view": "create or replace temp view fills as select 1",
    "insert": "insert into metrics select * from metrics",
    "insert in a with": "with x as (insert into fills select * from fills returning *) select * from x",
    "delete": "delete from fills",
    "drop": "drop view fills",
    "explain analyze": "explain analyze select * from fills",
    "secret": "create secret s (type s3)",
    "variable": "set variable x = 1",
    "prepare": "prepare x as select 1",
    "use": "use memory",
    "checkpoint": "checkpoint",
    "vacuum": "vacuum",
    "begin": "begin",
    "two at once": "select 1; copy fills to '{run}/copy.csv'",
}


def test_a_query_reads_and_writes_nothing_but_the_tables(tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    """R14, S-05 to S-07: every probe is refused in one sentence, and every file is as it was."""
    local_secret = df_secret
    run, other = publish(tmp_path / "run"), publish(tmp_path / "other")
    (run.folder / "link.parquet").symlink_to(other.folder / "fills.parquet")
    (run.folder / "link.txt").symlink_to("/etc/passwd")
    (tmp_path / ".tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    answers: dict[str, object] = {}
    for probe, query in PROBES.items():
        try:
            answers[probe] = run.sql(query.format(run=run.folder, other=other.folder))
        except UsageError as refused:
            if "\n" in str(refused):
                answers[probe] = str(refused)
        if contents(tmp_path) != before:
            answers[probe] = "wrote"
    assert answers == {}
    assert local_secret.height == 1


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_probes_would_succeed_without_the_sandbox(tmp_path: Path, publish: Publish) -> None:
    """A probe that fails for another reason proves nothing."""
    run = publish(tmp_path / "run")
    free = duckdb.connect()
    assert free.execute(PROBES["passwd as text"]).fetchall()
    assert free.execute(PROBES["sniff"]).fetchall()
    assert free.execute("select * from df_secret").fetchall() == [("canary",)]
    free.execute("create table fills as select 1 as a")
    free.execute(PROBES["copy in a with"].format(run=run.folder))
    assert (run.folder / "copy.csv").exists()


def test_no_function_of_duckdb_reads_a_file(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R14: every function that there is, given a path."""
    (tmp_path / "secret").write_text("canary,canary\ncanary,canary\n")
    monkeypatch.chdir(tmp_path)
    listed = "select distinct function_name as name, function_type as kind from duckdb_functions() order by all"
    known = [row for row in finished.sql(listed).rows() if row[1] in ("scalar", "table", "macro", "table_macro")]
    assert len(known) > 500
    connection, answers = sandbox(Limits()), []
    for name, kind in known:
        for argument in ("'secret'", f"'{tmp_path}/secret'", f"['{tmp_path}/secret']", "'*'"):
            text = f'from "{name}"({argument}) limit 9' if kind.startswith("table") else f'select "{name}"({argument})'
            try:
                answers.append((text, str(connection.execute(text).fetchmany(9))))
            except duckdb.InternalException:
                connection = sandbox(Limits())
            except (duckdb.Error, RuntimeError):
                continue
    assert len(answers) > 100
    assert [answer for answer in answers if "canary" in answer[1]] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done", "secret"]


def test_nothing_of_the_environment_shows(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-14."""
    for name in ("BT_CANARY_ONE", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "BT_CANARY_VALUE")
    for query in ("from duckdb_settings()", "from duckdb_variables()", "from manifest", "from duckdb_databases()", "from duckdb_secrets()"):
        assert "BT_CANARY" not in finished.sql(query).write_json(), query
    with pytest.raises(UsageError):
        finished.sql("select getenv('BT_CANARY_ONE')")


def test_the_settings_are_locked_and_nothing_spills_to_disk() -> None:
    connection = sandbox(Limits())
    found = dict(connection.execute("select name, value from duckdb_settings()").fetchall())
    assert found["enable_external_access"] == "false"
    assert found["lock_configuration"] == "true"
    assert found["python_enable_replacements"] == "false"
    assert found["temp_directory"] == ""
    assert found["TimeZone"] == "UTC"
    assert found["allowed_directories"] == found["allowed_paths"] == "[]"


def test_a_table_that_links_out_of_its_folder_is_refused(tmp_path: Path, publish: Publish) -> None:
    run, other = publish(tmp_path / "run"), publish(tmp_path / "other")
    (run.folder / "fills.parquet").unlink()
    (run.folder / "fills.parquet").symlink_to(other.folder / "fills.parquet")
    with pytest.raises(DataError, match="link out of its folder"):
        run.sql("from fills")


@pytest.mark.parametrize("name", ["../other/fills", "/etc/passwd", "x'); drop table y; --", "A", "fills.parquet", ""])
def test_a_manifest_names_tables_and_not_paths(name: str, tmp_path: Path, publish: Publish) -> None:
    """S-03, S-04: what a manifest says is only a name."""
    run = publish(tmp_path / "run")
    publish(tmp_path / "other")
    text = (run.folder / "manifest.json").read_text()
    (run.folder / "manifest.json").write_text(text.replace('"fills": {', f'"{name}": {{'))
    with pytest.raises(DataError, match="damaged"):
        bt.sql(run.folder, "select 1")


ODD = [
    "it's", 'a "b" c', "__proto__", "naïve ☃ 漢字", "[AB]*", "$1 $name", "%s {0}", "a;b", "--", "x..", "C:\\x", "tab\there", "line\nbreak",
    "x.parquet'); COPY fills TO 'y'; --", "' OR 1=1 --", "\u202eflip", "\x1b[31mred", "x" * 200, "null", "NaN", "=1+1",
]  # fmt: skip


def test_a_run_may_be_called_anything(finished: Run, tmp_path: Path) -> None:
    """S-03, S-04, S-22."""
    for name in ODD:
        shutil.copytree(finished.folder, tmp_path / "odd" / name)
    runs = [finished.folder, *(tmp_path / "odd" / name for name in ODD)]
    assert bt.sql(runs, "select run, count(*) as n from fills group by run").sort("run").rows() == sorted((n, 3) for n in ("done", *ODD))
    assert set(bt.sql(tmp_path / "odd", "select run from metrics")["run"]) == set(ODD)
    for name in ODD:
        assert bt.sql(runs, "select distinct run from fills where run = $run", {"run": name}).rows() == [(name,)]


def test_a_folder_whose_name_is_no_text_is_refused_in_one_line(tmp_path: Path, publish: Publish) -> None:
    run = publish(tmp_path / "plain")
    os.rename(os.fsencode(run.folder), os.fsencode(tmp_path) + b"/odd\xff")
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff"))
    assert bt.sql(place, "select run, trades from metrics").rows() == [("odd\\xff", 2)]
    with pytest.raises(DataError, match="cannot be read"):
        bt.sql(place, "from fills")


@pytest.mark.parametrize("symbol", ["AAA.parquet'); COPY fills TO 'x'; --", "' OR 1=1 --", "__proto__", "\u202e" * 3, "a" * 5_000])
def test_symbols_and_values_are_never_sql(symbol: str, tmp_path: Path, publish: Publish) -> None:
    """S-03."""
    run = publish(tmp_path / "run")
    file = run.folder / "fills.parquet"
    pl.read_parquet(file).with_columns(symbol=pl.when(pl.col("order_id") == 1).then(pl.lit(symbol)).otherwise(pl.lit("X"))).write_parquet(
        file
    )
    assert run.sql("select order_id from fills where symbol = $symbol", {"symbol": symbol}).rows() == [(1,)]
    assert run.sql("select order_id from fills where symbol = $symbol", {"symbol": "' OR 1=1 --x"}).rows() == []
    assert set(run.sql("select symbol from fills")["symbol"]) == {symbol, "X"}
