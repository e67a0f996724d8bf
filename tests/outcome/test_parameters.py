"""Parameters of queries: what users type becomes values, and is never SQL."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from backtester.errors import UsageError
from backtester.outcome.parameters import bound, found, parameters
from backtester.query_files import Field, Query

KINDS = Query(
    "kinds",
    "every kind",
    tuple(
        Field(*pair)
        for pair in (
            ("i", "int64 = 10, a"), ("f", "float64 = 0.5, b"), ("t", "text = null, c"), ("b", "bool = false, d"), ("d", "date, e"),
            ("s", "timestamp = 2025-01-01, f"),
        )
    ),
    (),
    "one row",
    "select 1",
)  # fmt: skip


def test_values_have_the_kinds_that_the_header_says() -> None:
    given = ["i=-3", "f=1e-3", "t=' OR 1=1 --", "b=true", "d=2025-07-02", "s=2025-07-02T13:30:00Z"]
    assert bound(KINDS, given) == {
        "i": -3, "f": 0.001, "t": "' OR 1=1 --", "b": True, "d": dt.date(2025, 7, 2), "s": dt.datetime(2025, 7, 2, 13, 30, tzinfo=dt.UTC),
    }  # fmt: skip
    defaults = bound(KINDS, ["d=2025-07-02"])
    assert defaults | {"d": None} == {"i": 10, "f": 0.5, "t": None, "b": False, "d": None, "s": dt.datetime(2025, 1, 1, tzinfo=dt.UTC)}


def test_text_may_hold_a_sign_of_equality_and_may_be_empty() -> None:
    assert bound(KINDS, ["d=2025-07-02", "t=a=b"])["t"] == "a=b"
    assert bound(KINDS, ["d=2025-07-02", "t="])["t"] == ""


@pytest.mark.parametrize(
    "given", ["i=1.5", "i=9223372036854775808", "i=", "f=nan", "f=1e999", "b=yes", "d=2025-13-01", "s=noon", "t=\udcff", "x=1", "i", "=1"]
)
def test_a_value_of_another_kind_is_refused(given: str) -> None:
    with pytest.raises(UsageError):
        bound(KINDS, ["d=2025-07-02", given])


def test_a_parameter_without_a_default_must_be_given() -> None:
    with pytest.raises(UsageError, match="needs a value"):
        bound(KINDS, [])


def test_a_line_that_declares_no_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="not declared"):
        parameters(Query("x", "y", (Field("n", "number, how many"),), (), "one row", ""))


def test_a_file_without_a_header_takes_any_name_and_tells_numbers(tmp_path: Path) -> None:
    file = tmp_path / "own.sql"
    file.write_text("select $a")
    query = found(str(file))
    assert bound(query, ["a=5", "b=-2.5", "c=1e3", "d=five", "e=0x10", "f="]) == {
        "a": 5,
        "b": -2.5,
        "c": 1000.0,
        "d": "five",
        "e": "0x10",
        "f": "",
    }


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.sql").write_bytes(b"\xff\xfe")
    for word in (str(tmp_path / "x.sql"), str(tmp_path), "no/such/file"):
        with pytest.raises(UsageError, match="cannot be read"):
            found(word)


@pytest.mark.parametrize("text", ["99999999999999999999", "-9223372036854775809", "1e999", "a\udc80"])
def test_a_value_for_a_query_without_a_header_that_nothing_can_hold_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be bound"):
        bound(Query("own", "", (), (), "", "select $n"), [f"n={text}"])
