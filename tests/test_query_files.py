"""The query files and their headers."""

from __future__ import annotations

import re

import duckdb
import pytest

from backtester import query_files
from backtester.errors import InternalError, UsageError

HEADER = "-- purpose: sums\n-- parameters:\n--   least  int64, the smallest value\n-- columns:\n--   total  int64, sum\n-- grain: one row\n"
TEXT = HEADER + "select sum(x)::bigint as total from (values (1), (5), (9)) as t(x) where x >= $least\n"


def test_a_header_gives_purpose_parameters_columns_and_grain() -> None:
    found = query_files.parse("sums", TEXT)
    assert (found.purpose, found.grain, found.text) == ("sums", "one row", TEXT)
    assert found.parameters == (query_files.Field("least", "int64, the smallest value"),)
    assert found.columns == (query_files.Field("total", "int64, sum"),)


def test_the_text_runs_as_it_stands_with_bound_values() -> None:
    assert duckdb.connect().execute(query_files.parse("sums", TEXT).text, {"least": 5}).fetchall() == [(14,)]


def test_a_header_without_grain_is_refused() -> None:
    with pytest.raises(InternalError, match="not complete"):
        query_files.parse("x", "-- purpose: a\n-- parameters: none\n-- columns:\n--   a  int64\nselect 1 as a\n")


def test_a_header_line_of_no_known_kind_is_refused() -> None:
    with pytest.raises(InternalError, match="says nothing known"):
        query_files.parse("x", "-- purpose: a\n-- aim: b\nselect 1\n")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a*", "", "no_such_query", "x; drop table y"])
def test_a_name_that_is_no_query_is_refused_before_any_file_is_read(name: str) -> None:
    """S-02, S-03: a query's name never becomes a path or SQL text."""
    with pytest.raises(UsageError, match="unknown query"):
        query_files.query(name)


def test_every_query_has_a_full_header_and_binds_just_the_parameters_it_declares() -> None:
    """S-03."""
    for name in query_files.names():
        found = query_files.describe(name)
        assert found.purpose, name
        assert found.grain, name
        assert found.columns, name
        body = "\n".join(line for line in found.text.splitlines() if not line.lstrip().startswith("--"))
        tables = {field.name for field in found.parameters if field.meaning.startswith("a table")}
        assert set(re.findall(r"\$(\w+)", body)) == {field.name for field in found.parameters} - tables, name
        assert all(re.search(rf"\b(FROM|JOIN) {table}\b", body, re.IGNORECASE) for table in tables), name
        assert len(duckdb.extract_statements(body)) == 1, name


def test_no_python_file_formats_sql(project) -> None:
    """S-03: SQL lives in queries/ or in a plain literal; an f-string or a join that starts a statement does not pass."""
    start = re.compile(r"""\bf("{3}|'{3}|"|')\s*((?i:select|insert|copy|attach|create)|WITH|FROM|SET)\s""")
    found = [path.name for path in (project / "backtester").rglob("*.py") if start.search(path.read_text(encoding="utf-8"))]
    assert found == []
