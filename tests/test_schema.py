"""The tables: what is accepted as a column, what comes back, and that the sample rows are real rows."""

from __future__ import annotations

import datetime as dt
import io

import numpy as np
import polars as pl
import pytest

from backtester import schema
from backtester.errors import InternalError
from backtester.schema import RUN_TABLES, Table, empty, frame
from backtester.table import Named

# Section 16 of the specification: table -> the columns that others rely on.
PROMISED = {
    "decisions": "strategy symbol session ts action quantity price confidence quality approved reason tag",
    "orders": "order_id strategy symbol session ts side type quantity limit stop status reason",
    "fills": "order_id strategy symbol session ts side quantity price value fee slippage type ambiguous flags",
    "trades": "trade_id strategy symbol direction entry_ts entry_price exit_ts exit_price quantity pnl return fees bars mae mfe "
    "exit_reason is_open",
    "equity": "ts session cash equity gross net drawdown",
    "sessions": "session open close early_close bars expected quality fills pnl equity return",
    "quality": "symbol session interval expected actual quality gaps longest_gap first_ts last_ts out_of_session duplicates",
    "gaps": "symbol session interval start end bars kind",
    "findings": "symbol session ts kind value detail",
}

DIGEST = {"session": np.array(["2025-07-02"], "datetime64[D]"), "stage": ["bars"], "digest": ["00"]}


def sample(table: Table) -> pl.DataFrame:
    columns: dict[str, list[object]] = {name: [row[place] for row in table.samples] for place, name in enumerate(table.names)}
    for column in table.columns:
        if column.dtype in (pl.Date, pl.Datetime):
            read = dt.date.fromisoformat if column.dtype == pl.Date else dt.datetime.fromisoformat
            columns[column.name] = [None if text is None else read(str(text)) for text in columns[column.name]]
    return frame(table, columns)


@pytest.mark.parametrize("name", PROMISED)
def test_each_table_has_the_columns_that_others_rely_on(name: str) -> None:
    assert set(PROMISED[name].split()) <= set(RUN_TABLES[name].names)


@pytest.mark.parametrize(
    "table", [*RUN_TABLES.values(), schema.BARS, schema.QUOTES, schema.CORPORATE_ACTIONS], ids=lambda table: table.name
)
def test_the_sample_rows_are_rows_of_their_table(table: Table) -> None:
    rows = sample(table)
    assert rows.height == len(table.samples) >= 1
    assert dict(rows.schema) == table.dtypes
    assert set(table.key) <= set(table.names)


@pytest.mark.parametrize("table", RUN_TABLES.values(), ids=lambda table: table.name)
def test_an_empty_table_has_all_columns(table: Table) -> None:
    assert dict(empty(table).schema) == table.dtypes
    assert frame(table, {name: [] for name in table.names}).equals(empty(table))


def test_a_session_column_is_read_from_datetime64() -> None:
    assert frame(schema.DIGESTS, DIGEST).row(0) == (dt.date(2025, 7, 2), "bars", "00")


def test_columns_come_back_in_the_order_of_the_table() -> None:
    assert frame(schema.DIGESTS, dict(reversed(DIGEST.items()))).columns == ["session", "stage", "digest"]


def fills(**changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "order_id": np.array([7]),
        "strategy": ["cross"],
        "symbol": ["TRUE"],
        "session": np.array(["2025-07-02"], "datetime64[D]"),
        "ts": np.array([1_751_463_000_000_000]),
        "side": ["buy"],
        "quantity": np.array([3]),
        "price": np.array([10.5]),
        "value": np.array([31.5]),
        "fee": np.array([0.0]),
        "slippage": np.array([0.0]),
        "type": ["market"],
        "ambiguous": np.array([False]),
        "flags": [""],
    }
    return row | changes


def test_instants_are_microseconds_utc() -> None:
    assert frame(schema.FILLS, fills())["ts"][0] == dt.datetime(2025, 7, 2, 13, 30, tzinfo=dt.UTC)


def test_whole_numbers_become_floats_and_a_symbol_stays_text() -> None:
    row = frame(schema.FILLS, fills())
    assert (row["quantity"][0], row["quantity"].dtype, row["symbol"][0]) == (3.0, pl.Float64, "TRUE")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"price": np.array([np.nan])}, "a value is missing"),
        ({"strategy": [None]}, "a value is missing"),
        ({"side": ["hold"]}, "an unknown word"),
        ({"quantity": ["3"]}, "a column of another kind"),
        ({"order_id": np.array([7.5])}, "a column of another kind"),
        ({"symbol": ["A", "B"]}, "columns of different lengths"),
        ({"quantiy": np.array([1.0])}, "no such column"),
    ],
)
def test_a_column_that_does_not_fit_is_refused(change: dict[str, object], what: str) -> None:
    with pytest.raises(InternalError, match=what):
        frame(schema.FILLS, fills(**change))


def test_an_unknown_column_names_the_nearest_one() -> None:
    with pytest.raises(InternalError, match="did you mean 'quantity'"):
        frame(schema.FILLS, fills(quantiy=np.array([1.0])))


def test_a_missing_column_is_refused_unless_it_may_be_empty() -> None:
    row = fills()
    del row["price"]
    with pytest.raises(InternalError, match="a column is missing"):
        frame(schema.FILLS, row)
    assert frame(schema.FINDINGS, {"symbol": ["A"], "session": DIGEST["session"], "kind": ["jump"]}).row(0)[2] is None


def test_nan_and_absent_mean_no_value_where_a_column_may_be_empty() -> None:
    table = Table("t", "", (), (schema.DECISIONS.column("order_id"), schema.ORDERS.column("limit"), schema.TRADES.column("exit_ts")))
    rows = frame(table, {"order_id": np.array([-1, 4]), "limit": np.array([np.nan, 2.0]), "exit_ts": np.array([-1, 0])})
    assert rows.rows() == [(None, None, None), (4, 2.0, dt.datetime(1970, 1, 1, tzinfo=dt.UTC))]


def test_timings_stay_out_of_digests() -> None:
    assert "seconds_load" not in schema.SESSIONS.digested
    assert schema.SESSIONS.digested[-1] == "return"


def test_a_code_without_a_word_is_refused() -> None:
    with pytest.raises(InternalError, match="a code without a word"):
        frame(schema.DIGESTS, DIGEST | {"stage": Named(("bars",), np.array([1]))})


@pytest.mark.parametrize("words", [3, 300])
def test_words_of_which_some_are_missing_can_be_read_from_arrow(words: int) -> None:
    tags = Named(tuple(f"w{place}" for place in range(words)), np.array([-1, words - 1, 0, -1]))
    rows = frame(schema.FINDINGS, {
        "symbol": ["A"] * 4, "session": np.full(4, "2025-07-02", "datetime64[D]"), "kind": ["x"] * 4, "detail": tags,
    })  # fmt: skip
    again = pl.read_ipc_stream(io.BytesIO(rows.write_ipc_stream(None).getvalue()))
    assert rows["detail"].to_list() == again["detail"].to_list() == [None, f"w{words - 1}", "w0", None]
