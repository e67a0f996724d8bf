"""SQL over results: what is asked is answered, over many runs, also of older versions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import backtester as bt
from backtester.errors import DataError, OutputError, ResourceError, UsageError
from backtester.outcome.ask import Limits, ask, sandbox
from backtester.outcome.held import gathered
from backtester.outcome.run import Run

Publish = Callable[..., Run]


def asked(*places: Path, query: str) -> pl.DataFrame:
    return ask(gathered(places)[0], query).frame()


def test_a_runs_table_has_the_name_of_its_folder_and_the_rows_of_its_file(finished: Run) -> None:
    found = finished.sql("select * from fills")
    assert found["run"].to_list() == ["done"] * 3
    assert found.drop("run").equals(finished.table("fills"))


def test_every_table_of_a_run_can_be_asked(finished: Run) -> None:
    for name in finished.tables:
        assert finished.sql(f"from {name}").drop("run").equals(finished.table(name)), name


def test_runs_are_united_in_the_order_given(tmp_path: Path, publish: Publish) -> None:
    runs = [publish(tmp_path / name) for name in ("b", "a")]
    found = bt.sql(runs, "select run, order_id from fills")
    assert found.rows() == [("b", 1), ("b", 3), ("b", 9), ("a", 1), ("a", 3), ("a", 9)]


def test_runs_folders_and_folders_above_can_be_asked_from_python(tmp_path: Path, publish: Publish) -> None:
    (tmp_path / "runs").mkdir()
    run = publish(tmp_path / "runs" / "a")
    for given in (run, tmp_path / "runs" / "a", str(tmp_path / "runs"), [run], [run, tmp_path / "runs"]):
        assert bt.sql(given, "select count(*) as n from fills")["n"].to_list() == [3]


def test_nothing_to_ask_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs results"):
        bt.sql([], "select 1")
    with pytest.raises(OutputError, match="no finished run"):
        bt.sql(tmp_path, "select 1")


def test_a_column_that_an_older_run_lacks_is_null_there(tmp_path: Path, publish: Publish) -> None:
    old, new = publish(tmp_path / "old"), publish(tmp_path / "new")
    file = old.folder / "fills.parquet"
    pl.read_parquet(file).drop("other", "other_type").with_columns(pl.col("order_id").cast(pl.Int32), then=pl.lit("x")).write_parquet(file)
    found = bt.sql([old, new], 'select run, order_id, other_type, "then" from fills')
    assert found.columns == ["run", "order_id", "other_type", "then"]
    assert found.filter(run="old").rows() == [("old", 1, None, "x"), ("old", 3, None, "x"), ("old", 9, None, "x")]
    assert found.filter(run="new")["then"].null_count() == 3
    assert found.schema["order_id"] == pl.Int64


def test_a_table_that_only_one_run_kept_is_there(tmp_path: Path, publish: Publish) -> None:
    one, two = publish(tmp_path / "one"), publish(tmp_path / "two")
    manifest = json.loads((one.folder / "manifest.json").read_text())
    manifest["results"]["tables"]["bars"] = {"rows": 1, "bytes": 1, "digest": "0"}
    (one.folder / "manifest.json").write_text(json.dumps(manifest))
    pl.DataFrame({"symbol": ["AAPL"], "close": [2.5]}).write_parquet(one.folder / "bars.parquet")
    assert bt.sql([one, two], "from bars").rows() == [("one", "AAPL", 2.5)]
    with pytest.raises(UsageError, match="there is no table 'bars'"):
        two.sql("from bars")


def test_metrics_have_a_row_a_run_and_a_column_a_figure(tmp_path: Path, publish: Publish) -> None:
    one, two = publish(tmp_path / "one"), publish(tmp_path / "two", cash=50_000.0)
    found = bt.sql([one, two], "from metrics")
    assert found["run"].to_list() == ["one", "two"]
    for run, row in zip((one, two), found.iter_rows(named=True), strict=True):
        plain = {name: value for name, value in run.metrics.items() if value is None or isinstance(value, (int, float))}
        assert {name: row[name] for name in plain} == plain
        assert row["benchmark_total_return"] == run.metrics["benchmark"]["total_return"]
    assert found.schema["trades"] == pl.Int64
    assert found.schema["sharpe"] == pl.Float64


def test_the_manifest_is_rows_of_key_and_value(finished: Run) -> None:
    found = dict(finished.sql("select key, value from manifest").iter_rows())
    assert found["identity.result_key"] == finished.result_key
    assert json.loads(found["strategies"]) == finished.manifest["strategies"]
    assert found["calendar.name"] == "XNYS"
    assert found["identity.status"] == "0"


def test_values_are_bound_to_names(finished: Run) -> None:
    assert finished.sql("select order_id from fills where symbol = $s and price > $p", {"s": "AAPL", "p": 210}).rows() == [(3,)]
    with pytest.raises(UsageError, match="Values were not provided"):
        finished.sql("select $n")


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("price > 209.52", pl.col("price") > 209.52),
        ("ts = timestamptz '2025-07-02 17:31:00+00'", pl.col("ts") == pl.datetime(2025, 7, 2, 17, 31, time_zone="UTC")),
        ("session between date '2025-07-03' and date '2025-07-04'", pl.col("session") == pl.date(2025, 7, 3)),
        ("symbol in ('RIVN', 'X')", pl.col("symbol") == "RIVN"),
        ("other is null and not ambiguous", pl.col("other").is_null() & ~pl.col("ambiguous")),
        ("flags <> ''", pl.col("flags") != ""),
        ("run = 'done' and order_id >= 3", pl.col("order_id") >= 3),
        ("run <> 'done'", pl.lit(False)),
    ],
)
def test_conditions_keep_the_rows_that_polars_keeps(finished: Run, where: str, kept: pl.Expr) -> None:
    assert finished.sql(f"select * from fills where {where}").drop("run").equals(finished.table("fills").filter(kept))


def test_rows_keep_their_order_and_sums_their_bits_however_often_asked(tmp_path: Path, publish: Publish) -> None:
    run = publish(tmp_path / "long")
    values = np.random.default_rng(5).normal(size=300_000) * 1e6
    pl.DataFrame({"x": values, "n": np.arange(300_000)}).write_parquet(run.folder / "equity.parquet", row_group_size=9_999)
    assert run.sql("select n from equity")["n"].to_list() == list(range(300_000))
    assert len({run.sql("select sum(x) from equity").item() for _ in range(5)}) == 1
    threaded = ask(gathered([run.folder])[0], "select n from equity", None, Limits(threads=2)).frame()
    assert threaded["n"].to_list() == list(range(300_000))


def test_kinds_of_an_answer_are_few(finished: Run) -> None:
    found = finished.sql(
        "select sum(order_id) as s, 1.5 as d, cast(1 as utinyint) as u, interval 2 days as i, cast('a' as enum ('a')) as e, null as n,"
        " [1, 2] as l, 'infinity'::date as f from fills"
    )
    assert found.schema == {
        "s": pl.Int64, "d": pl.Float64, "u": pl.Int64, "i": pl.String, "e": pl.String, "n": pl.String, "l": pl.List(pl.Int32), "f": pl.Date,
    }  # fmt: skip
    assert found.row(0)[:5] == (13, 1.5, 1, "2 days", "a")
    assert found["f"].to_list() == [None]


def test_columns_of_the_same_name_get_names_of_their_own(finished: Run) -> None:
    found = finished.sql("select 1 as a, 2 as a, 3 as a_1, 4 as a")
    assert found.row(0) == (1, 2, 3, 4)
    assert len(set(found.columns)) == 4


def test_a_whole_number_too_large_is_refused_not_rounded(finished: Run) -> None:
    with pytest.raises(UsageError, match="more than 64 bits"):
        finished.sql("select 9223372036854775807::hugeint + 1")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select * from fils", "there is no table 'fils': did you mean 'fills'?"),
        ("select pric from fills", "there is no column 'pric': did you mean 'price'?"),
        ("select pnl from fills", "there is no column 'pnl' in what is asked: tables that have one: ambiguity, trades, sessions"),
        ("select f.symbl from fills f", "there is no column 'symbl': did you mean 'symbol'?"),
        ("select nosuch(1)", "did you mean"),
        ("select corrupt('parquet') from fills", "the query is wrong"),
        ("selct 1", 'the query is wrong: got syntax error at or near "selct"'),
        ("select cast('x' as int)", "Could not convert string 'x' to INT32"),
        ("", "one select at a time can be asked: got nothing"),
        ("-- only a comment", "got nothing"),
        ("select 1; select 2", "got 2 statements"),
        ("select '\0'", "NUL"),
        ("select '\udcff'", "half of a pair"),
    ],
)
def test_a_wrong_query_is_one_short_sentence(finished: Run, query: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        finished.sql(query)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_an_error_in_a_late_row_is_the_users_too(finished: Run) -> None:
    with pytest.raises(UsageError, match="late"):
        finished.sql("select case when range = 200000 then error('late') else range end from range(300000)")


def test_memory_that_does_not_do_is_said(finished: Run) -> None:
    with pytest.raises(ResourceError, match="more memory than it may take"):
        bt.sql(finished, "select list(range) from range(30000000)", max_memory=20_000_000)
    with pytest.raises(UsageError, match="not an amount of memory"):
        ask(gathered([finished.folder])[0], "select 1", None, Limits(memory="lots"))


def test_a_damaged_table_is_named(finished: Run) -> None:
    file = finished.folder / "fills.parquet"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match="fills"):
        finished.sql("from fills")
    assert finished.sql("select count(*) as n from orders")["n"].to_list() == [3]


def test_a_table_with_damaged_pages_is_a_fault_of_the_data(tmp_path: Path, publish: Publish) -> None:
    run = publish(tmp_path / "a")
    file = run.folder / "equity.parquet"
    pl.DataFrame({"x": np.random.default_rng(1).normal(size=50_000)}).write_parquet(file)
    content = bytearray(file.read_bytes())
    content[5_000:5_400] = os.urandom(400)
    content[40:60] = b"\xff" * 20
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match="cannot be read"):
        run.sql("select sum(x) from equity")


@pytest.mark.parametrize(("limits", "what"), [
    (Limits(threads=0), "threads"), (Limits(threads=-1), "threads"), (Limits(memory=0), "memory"), (Limits(memory=-5), "memory"),
    (Limits(memory="much"), "memory"), (Limits(memory="-5GB"), "memory"),
])  # fmt: skip
def test_limits_that_mean_nothing_are_refused_by_their_names(limits: Limits, what: str) -> None:
    with pytest.raises(UsageError, match=f"not .* {what}"):
        sandbox(limits)
