"""Digests: the same values give the same digest, whatever pieces, layouts or bits they come in; other values another."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import math
import struct

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as some

from backtester.outcome.digests import array_digest, canonical_json, json_digest, metrics_digest, table_digest
from backtester.schema import FILLS, FINDINGS, SESSIONS, Column, Table, frame

SMALL = Table(
    "small",
    "a row",
    (),
    (
        Column("word", pl.String(), "", empty=True),
        Column("number", pl.Float64(), "", empty=True),
        Column("count", pl.Int64(), "", empty=True),
        Column("day", pl.Date(), "", empty=True),
        Column("yes", pl.Boolean(), "", empty=True),
        Column("seconds", pl.Float64(), "", timing=True),
    ),
)


def rows(*values: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame([(*row, 1.0) for row in values], schema=SMALL.dtypes, orient="row")


ONE = ("é", 1.5, -7, dt.date(2025, 7, 2), True)
EMPTY = (None, None, None, None, None)


def sha(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_the_digest_is_what_the_canonical_form_says() -> None:
    nulls = sha(struct.pack("<q", 1))  # from row 1 on, to the end
    streams = [
        ["word", "String", sha(struct.pack("<I", 0)), nulls, ["é"]],
        ["number", "Float64", sha(struct.pack("<d", 1.5)), nulls, None],
        ["count", "Int64", sha(struct.pack("<q", -7)), nulls, None],
        ["day", "Date", sha(struct.pack("<i", (dt.date(2025, 7, 2) - dt.date(1970, 1, 1)).days)), nulls, None],
        ["yes", "Boolean", sha(b"\x01"), nulls, None],
    ]
    form = {"columns": streams, "rows": 2}
    expected = hashlib.sha256(json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
    assert table_digest(SMALL, [rows(ONE, EMPTY)]) == expected


def test_words_are_numbered_as_they_come_and_nulls_as_they_begin_and_end() -> None:
    words = ["b", None, None, "a", "b", None]
    expected = {
        "rows": 6,
        "columns": [["word", "String", sha(struct.pack("<3I", 0, 1, 0)), sha(struct.pack("<3q", 1, 3, 5)), ["b", "a"]]],
    }
    one = Table("one", "a row", (), SMALL.columns[:1])
    whole = pl.DataFrame({"word": words}, schema={"word": pl.String})
    assert table_digest(one, [whole]) == hashlib.sha256(canonical_json(expected)).hexdigest()
    assert table_digest(one, [whole.cast(pl.Enum(["c", "a", "b"]))]) == table_digest(one, [whole])


cell = some.tuples(
    some.none() | some.text(max_size=4),
    some.none() | some.floats(),
    some.none() | some.integers(-(2**63), 2**63 - 1),
    some.none() | some.dates(),
    some.none() | some.booleans(),
)


@given(some.lists(cell, max_size=8), some.lists(some.integers(0, 8), max_size=4))
def test_any_split_into_pieces_gives_the_same_digest(values: list[tuple[object, ...]], cuts: list[int]) -> None:
    whole = rows(*values)
    bounds = [0, *sorted(min(cut, whole.height) for cut in cuts), whole.height]
    pieces = [whole.slice(first, last - first) for first, last in itertools.pairwise(bounds)]
    assert table_digest(SMALL, pieces) == table_digest(SMALL, [whole])


@pytest.mark.parametrize(
    "other",
    [
        ("e", 1.5, -7, dt.date(2025, 7, 2), True),
        ("é", 1.5000000000000002, -7, dt.date(2025, 7, 2), True),
        ("é", 1.5, -8, dt.date(2025, 7, 2), True),
        ("é", 1.5, -7, dt.date(2025, 7, 3), True),
        ("é", 1.5, -7, dt.date(2025, 7, 2), False),
        ("é", None, -7, dt.date(2025, 7, 2), True),
    ],
)
def test_a_changed_value_gives_another_digest(other: tuple[object, ...]) -> None:
    assert table_digest(SMALL, [rows(other)]) != table_digest(SMALL, [rows(ONE)])


def test_null_zero_and_the_empty_text_differ() -> None:
    null = table_digest(SMALL, [rows(EMPTY)])
    zero = table_digest(SMALL, [rows((None, 0.0, None, None, None))])
    text = table_digest(SMALL, [rows(("", None, None, None, None))])
    assert len({null, zero, text}) == 3


def test_text_does_not_run_from_row_to_row() -> None:
    first = table_digest(SMALL, [rows(("ab", *EMPTY[1:]), ("c", *EMPTY[1:]))])
    assert first != table_digest(SMALL, [rows(("a", *EMPTY[1:]), ("bc", *EMPTY[1:]))])


def test_negative_zero_is_zero_and_every_nan_is_one() -> None:
    odd = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0]
    values = [rows((None, value, None, None, None)) for value in (0.0, -0.0, math.nan, odd)]
    digests = [table_digest(SMALL, [value]) for value in values]
    assert digests[0] == digests[1] != digests[2] == digests[3]


def test_timings_do_not_count() -> None:
    slow = rows(ONE).with_columns(pl.lit(9.0).alias("seconds"))
    assert table_digest(SMALL, [slow]) == table_digest(SMALL, [rows(ONE)])


def test_an_empty_table_has_a_digest_of_its_own_columns() -> None:
    assert table_digest(FILLS, []) != table_digest(SESSIONS, [])


def test_sliced_and_rechunked_text_is_the_same_text() -> None:
    table = {"symbol": ["a", "bé", "c"], "session": np.full(3, "2025-07-02", "datetime64[D]"), "kind": ["x", "y", "z"]}
    whole = frame(FINDINGS, table)
    assert table_digest(FINDINGS, [pl.concat([whole[:1], whole[1:]], rechunk=False)]) == table_digest(FINDINGS, [whole])


def test_arrays_of_other_layout_and_byte_order_are_the_same() -> None:
    values = np.arange(6.0).reshape(2, 3)
    digest = array_digest({"close": values})
    assert digest == array_digest({"close": np.asfortranarray(values)}) == array_digest({"close": values.astype(">f8")})


@pytest.mark.parametrize(
    "other",
    [
        {"open": np.arange(6.0).reshape(2, 3)},
        {"close": np.arange(6.0).reshape(3, 2)},
        {"close": np.arange(6.0, dtype=np.float32).reshape(2, 3)},
        {"close": np.arange(6).reshape(2, 3)},
    ],
)
def test_arrays_of_other_name_shape_or_kind_differ(other: dict[str, np.ndarray]) -> None:
    assert array_digest(other) != array_digest({"close": np.arange(6.0).reshape(2, 3)})


def test_hashing_arrays_leaves_them_as_they_were() -> None:
    values = np.array([-0.0, 1.0])
    array_digest({"x": values, "names": ["A", "B"], "day": np.array(["2025-07-02"], "datetime64[D]")})
    assert math.copysign(1.0, values[0]) == -1.0


def test_an_array_under_two_names_is_the_same_as_two_that_are_equal() -> None:
    values = np.array([1.0, np.nan, -0.0])
    assert array_digest({"limit": values, "stop": values}) == array_digest({"limit": values, "stop": np.array([1.0, np.nan, 0.0])})
    assert array_digest({"limit": values, "stop": values}) != array_digest({"limit": values, "stop": np.array([1.0, 1.0, 0.0])})


def test_words_beside_arrays_count() -> None:
    assert array_digest({"names": ["A", "B"]}) != array_digest({"names": ["AB"]})


def test_canonical_json_sorts_keys_and_knows_one_zero() -> None:
    assert canonical_json({"b": -0.0, "a": (1, "é")}) == '{"a":[1,"é"],"b":0.0}'.encode()


def test_canonical_json_reads_numpy_dates_and_paths() -> None:
    assert canonical_json({"n": np.float64(2.5), "d": dt.date(2025, 7, 2)}) == b'{"d":"2025-07-02","n":2.5}'


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_canonical_json_refuses_what_json_has_not(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_digest({"x": value})


def test_metrics_are_compared_at_ten_digits_and_null_is_not_zero() -> None:
    assert metrics_digest({"sharpe": 1.23456789012}) == metrics_digest({"sharpe": 1.23456789014})
    assert metrics_digest({"sharpe": 1.2345678}) != metrics_digest({"sharpe": 1.2345679})
    assert metrics_digest({"sharpe": None}) != metrics_digest({"sharpe": 0.0})
