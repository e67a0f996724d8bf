"""Answers of every kind of value, in every form."""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from rich.console import Console

from backtester.errors import UsageError
from backtester.outcome.answer_grid import cell, first_rows, grid_of
from backtester.outcome.answers import write_csv, write_json, write_parquet
from backtester.outcome.ask import Answer, ask
from backtester.outcome.held import gathered
from backtester.outcome.run import Run

KINDS = duckdb.connect().sql("from test_all_types()").columns
TOO_LARGE = {"hugeint", "ubigint"}


def answered(run: Run, query: str) -> Answer:
    return ask(gathered([run.folder])[0], query)


def as_grid(answer: Answer, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(grid_of(*first_rows(answer), width, ZoneInfo("America/New_York")))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_every_kind_of_value_has_a_form(finished: Run, tmp_path: Path) -> None:
    """Least and largest values, infinities, NaN and null of every type that DuckDB has."""
    assert len(KINDS) > 50
    query = "select * exclude (hugeint, ubigint) from test_all_types()"
    rows = answered(finished, query).frame()
    assert rows.columns == [kind for kind in KINDS if kind not in TOO_LARGE]
    assert set(rows.row(2)) == {None}
    lines: list[str] = []
    write_json(answered(finished, query), lines.append)
    assert [list(row) for row in json.loads("".join(lines))] == [rows.columns] * 3
    write_csv(answered(finished, query), lines.append)
    assert lines[-1].endswith("," * (rows.width - 1) + "\n")
    assert all(cell(value, ZoneInfo("UTC")) for row in rows.iter_rows() for value in row)
    stored = query.replace("ubigint)", "ubigint, empty_struct)")
    assert write_parquet(answered(finished, stored), tmp_path / "all.parquet") == 3
    assert pl.read_parquet(tmp_path / "all.parquet").schema == rows.drop("empty_struct").schema


@pytest.mark.parametrize("kind", sorted(TOO_LARGE))
def test_whole_numbers_that_do_not_fit_are_refused(kind: str, finished: Run) -> None:
    with pytest.raises(UsageError, match="64 bits"):
        answered(finished, f"select {kind} from test_all_types()").frame()


def test_instants_that_no_calendar_has_are_null(finished: Run) -> None:
    rows = answered(
        finished, "select [date '2025-01-02', 'infinity'::date] as d, timestamptz '20000-01-01' as t, 'infinity'::timestamp as s"
    )
    assert rows.frame().row(0) == ([dt.date(2025, 1, 2), None], None, None)
    assert answered(finished, "select 'infinity'::timestamptz as t").frame()["t"].to_list() == [None]


def test_what_parquet_does_not_have_is_refused(finished: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such kind"):
        write_parquet(answered(finished, "select empty_struct from test_all_types()"), tmp_path / "x.parquet")
    assert not list(tmp_path.glob("*x.parquet*"))


def test_as_many_columns_are_shown_as_fit(finished: Run) -> None:
    query = "select 'aaaaaaaaaa' as first, 12345.678 as second, '漢字漢字漢字' as third, 'x' as fourth"
    assert as_grid(answered(finished, query), 40).splitlines()[0].split() == ["first", "second", "third"]
    narrow = as_grid(answered(finished, query), 34)
    assert narrow.splitlines()[0].split() == ["first", "second"]
    assert "2 more columns: third," in narrow
    assert as_grid(answered(finished, query), 5).splitlines()[0].strip()


def test_not_all_of_very_many_columns_are_named(finished: Run) -> None:
    shown = as_grid(answered(finished, "select " + ", ".join(f"{n} as column_{n}" for n in range(60))))
    assert "column_12" in shown
    assert ", ..." in shown
    assert "column_59" not in shown


def test_instants_and_numbers_as_people_read_them(finished: Run) -> None:
    shown = as_grid(
        answered(finished, "select timestamptz '2025-07-02 13:30:00+00' as t, 1234567.891 as a, 0.000012345678 as b, true as c, null as d")
    )
    assert shown.splitlines()[1].split() == ["2025-07-02", "09:30:00-04:00", "1,234,567.89", "1.23457e-05", "yes", "-"]
