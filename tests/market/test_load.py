"""Loading chunks of sessions: order, slices, damage, the sandbox, reading ahead."""

from __future__ import annotations

import datetime as dt
import heapq
import threading
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.columns import Sessions
from backtester.errors import DataError, ResourceError
from backtester.market import load
from backtester.market.lake import Lake
from backtester.market.load import Chunk, Reader, connect, read, unread
from backtester.market.sessions import sessions_between
from tests.market.days import sessions
from tests.market.stored import Stored, lake

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")


def days() -> Sessions:
    return sessions([390, 390, 390], opens_at=570)


def reader(made: Lake, *symbols: str, **more: Any) -> Reader:
    return Reader(made, more.pop("kind", "bars"), more.pop("interval", "1m"), tuple(symbols), **more)


def rows(found: Chunk, column: str = "close") -> list[tuple[int, str, str, float]]:
    """(session, time of day, symbol, value) of every row in order."""
    times = found.column("ts").astype("datetime64[us]")
    numbers = found.column("symbol_id").tolist()
    values = found.column(column).tolist()
    return [
        (session, str(time)[11:16], found.symbols[number], value)
        for session, time, number, value in zip(found.session_of_rows().tolist(), times, numbers, values, strict=True)
    ]


def a_lake(root: Path) -> Lake:
    """Two symbols over three days; B has no bar on the second."""
    return lake(
        root,
        [
            (DAYS[0], "09:31", "A", 2.0), (DAYS[0], "09:30", "A", 1.0), (DAYS[0], "09:30", "B", 3.0), (DAYS[0], "09:31", "B", 4.0),
            (DAYS[1], "09:30", "A", 5.0), (DAYS[2], "09:30", "B", 6.0), (DAYS[2], "09:30", "A", 7.0),
        ],
    )  # fmt: skip


def test_several_sessions_come_in_one_table_ordered_by_time_then_symbol(tmp_path: Path) -> None:
    found = read(reader(a_lake(tmp_path), "A", "B"), days())
    assert rows(found) == [
        (0, "09:30", "A", 1), (0, "09:30", "B", 3), (0, "09:31", "A", 2), (0, "09:31", "B", 4),
        (1, "09:30", "A", 5), (2, "09:30", "A", 7), (2, "09:30", "B", 6),
    ]  # fmt: skip
    assert found.first.tolist() == [0, 4, 5, 7]
    assert found.files["path"].to_list() == [f"bars/1m/{day}.parquet" for day in DAYS]
    assert found.table.schema.field("ts").type == pa.timestamp("us", "UTC")


def test_one_query_reads_a_chunk_of_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, opened = a_lake(tmp_path), []
    monkeypatch.setattr(load, "connect", lambda *arguments: opened.append(arguments) or connect(*arguments))
    read(reader(made, "A", "B"), days())
    assert len(opened) == 1


def test_a_session_is_a_slice_without_a_copy(tmp_path: Path) -> None:
    found = read(reader(a_lake(tmp_path), "A", "B"), days())
    for session in range(3):
        day = found.day(session)
        assert isinstance(day, pa.Table)
        assert day.num_rows == found.first[session + 1] - found.first[session]
        for name in found.table.column_names:
            whole, part = found.table.column(name).chunks, day.column(name).chunks
            assert {chunk.buffers()[1].address for chunk in part} <= {chunk.buffers()[1].address for chunk in whole}
    assert found.day(1).column("close").to_pylist() == [5.0]


def test_numbers_are_read_without_a_copy(tmp_path: Path) -> None:
    found = read(reader(a_lake(tmp_path), "A", "B"), days())
    assert found.table.column("close").num_chunks == 1
    chunk = found.table.column("close").chunk(0)
    values = found.column("close")
    assert values.__array_interface__["data"][0] == chunk.buffers()[1].address + chunk.offset * 8
    assert not values.flags.writeable


def test_only_the_symbols_asked_for_are_read(tmp_path: Path) -> None:
    assert rows(read(reader(a_lake(tmp_path), "B"), days())) == [(0, "09:30", "B", 3), (0, "09:31", "B", 4), (2, "09:30", "B", 6)]


def test_a_session_without_a_file_has_no_rows(tmp_path: Path) -> None:
    """DAT-07: a missing day is a matter of quality, not an error."""
    made = lake(tmp_path, [(DAYS[0], "09:30", "A", 1.0), (DAYS[2], "09:30", "A", 2.0)])
    found = read(reader(made, "A"), days())
    assert found.first.tolist() == [0, 1, 1, 2]
    assert found.day(1).num_rows == 0


def test_nothing_stored_is_an_empty_chunk(tmp_path: Path) -> None:
    made = lake(tmp_path, [(DAYS[0], "09:30", "A", 1.0)], interval="1d")
    for found in (read(reader(made, "A"), days()), unread(reader(made, "A"), days())):
        assert found.first.tolist() == [0, 0, 0, 0]
        assert found.table.column_names == ["day", "ts", "symbol_id", "open", "high", "low", "close", "volume"]
        assert found.column("close").tolist() == []


def test_quotes_are_read_alike(tmp_path: Path) -> None:
    made = lake(tmp_path, [(DAYS[1], "09:30", "A", 1.0)], kind="quotes")
    assert rows(read(reader(made, "A", kind="quotes"), days()), "ask_close") == [(1, "09:30", "A", 1)]


def test_highs_and_lows_of_quotes_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    made = lake(tmp_path, [(DAYS[1], "09:30", "A", 1.0)], kind="quotes")
    found, none = (work(reader(made, "A", kind="quotes", ranges=True), days()) for work in (read, unread))
    names = [f"{side}_{part}" for side in ("bid", "ask") for part in ("open", "high", "low", "close")]
    assert found.table.column_names == none.table.column_names == ["day", "ts", "symbol_id", *names]
    stored = pl.read_parquet(made.root / found.files["path"][0])
    assert [found.column(name).tolist() for name in names] == [stored[name].to_list() for name in names]
    assert "bid_high" not in read(reader(made, "A", kind="quotes"), days()).table.column_names


@pytest.mark.parametrize("symbol", ["TRUE", "0700", "1E5", "INF", "nan", "NA", "A' OR 1=1 --", "*", "[AB]"])
def test_a_symbol_is_text_whatever_it_looks_like(symbol: str, tmp_path: Path) -> None:
    """DAT-34, S-03, S-04: bound as a value, never part of a query or a pattern."""
    made = lake(tmp_path, [(DAYS[0], "09:30", "TRUE", 1.0), (DAYS[0], "09:30", "0700", 2.0), (DAYS[0], "09:30", "1E5", 3.0)])
    held = {"TRUE": [1.0], "0700": [2.0], "1E5": [3.0]}
    assert read(reader(made, symbol), days()).column("close").tolist() == held.get(symbol, [])


@settings(max_examples=25)
@given(data=st.data(), threads=st.sampled_from([1, 2]))
def test_the_merge_is_that_of_python(data: st.DataObject, threads: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """I-26, D-10: sorted by (session, ts, symbol), a permutation of what is stored; equal to heapq.merge and to polars' sort."""
    cell = st.tuples(st.sampled_from(DAYS), st.integers(0, 30), st.sampled_from(["A", "B", "a", "AA"]))
    drawn = data.draw(st.lists(cell, unique=True, min_size=1, max_size=60))
    stored: list[Stored] = [(day, f"09:{minute:02}", symbol, float(number)) for number, (day, minute, symbol) in enumerate(drawn)]
    symbols = ("A", "AA", "B", "a")
    found = read(reader(lake(tmp_path_factory.mktemp("lake"), stored), *symbols, threads=threads), days())
    seen = [(DAYS[session], time, symbol, value) for session, time, symbol, value in rows(found)]
    merged = heapq.merge(*(sorted(row for row in stored if row[2] == symbol) for symbol in symbols), key=lambda row: row[:3])
    assert seen == list(merged)
    frame = pl.DataFrame(stored, schema=["day", "time", "symbol", "number"], orient="row")
    assert seen == frame.sort("day", "time", "symbol").rows()


def test_threads_and_sessions_a_query_change_nothing(simulated: Path) -> None:
    """I-15, I-16: four symbols over three weeks of a simulated market."""
    found = sessions_between("XNYS", dt.date(2024, 11, 18), dt.date(2024, 12, 6))
    made = Lake.open(simulated)
    symbols = ("AAA", "BBB", "CCC", "DDD")
    whole = read(reader(made, *symbols, threads=1), found)
    assert read(reader(made, *symbols, threads=2), found).table.equals(whole.table)
    parts = [read(reader(made, *symbols), found[first : first + 4]) for first in range(0, len(found), 4)]
    for name in whole.table.column_names[1:]:
        assert np.concatenate([part.column(name) for part in parts]).tobytes() == whole.column(name).tobytes()
    assert np.concatenate([np.diff(part.first) for part in parts]).tolist() == np.diff(whole.first).tolist()


def test_rows_that_are_stored_twice_come_in_one_order_whatever_the_threads(tmp_path: Path) -> None:
    """R3: imports let none in; a file of another program may hold some."""
    made = lake(tmp_path, [(DAYS[0], "09:30", "A", 1.0)])
    path = tmp_path / "bars/1m/2024-01-01.parquet"
    table = pl.read_parquet(path)
    values = np.random.default_rng(1).permutation(200_000).astype(float)
    frame = pl.concat([table] * 200_000).with_columns(close=pl.Series(values)).to_arrow().cast(pq.read_schema(path))
    pq.write_table(frame, path, row_group_size=5_000)
    orders = {read(reader(made, "A", verify="off", threads=threads), days()).column("close").tobytes() for threads in (1, 2, 2, 2)}
    assert len(orders) == 1


def test_a_bar_that_was_filed_with_another_day_stays_with_that_day(tmp_path: Path) -> None:
    """The query orders by time alone; a stray bar must not tear a session in two."""
    made = lake(tmp_path, [(DAYS[0], "09:30", "A", 1.0), (DAYS[1], "09:30", "A", 2.0), (DAYS[1], "09:31", "A", 3.0)])
    path = tmp_path / f"bars/1m/{DAYS[0]}.parquet"
    late = dt.datetime.fromisoformat(f"{DAYS[1]}T09:30:30+00:00")
    table = pl.concat([pl.read_parquet(path), pl.read_parquet(path).with_columns(ts=pl.lit(late), close=9.0)])
    pq.write_table(table.to_arrow().cast(pq.read_schema(path)), path)
    found = read(reader(made, "A", verify="off"), days())
    assert rows(found) == [(0, "09:30", "A", 1.0), (0, "09:30", "A", 9.0), (1, "09:30", "A", 2.0), (1, "09:31", "A", 3.0)]
    assert found.first.tolist() == [0, 2, 4, 4]


def damaged(root: Path, how: str) -> Lake:
    made = a_lake(root)
    path = root / "bars/1m/2024-01-02.parquet"
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        flipped = bytearray(content)
        flipped[len(content) // 3] ^= 1
        path.write_bytes({"empty": b"", "cut": content[:-20], "text": b"symbol,ts\n" * 50, "flipped": bytes(flipped)}[how])
    return made


@pytest.mark.parametrize("how", ["empty", "cut", "text", "flipped", "missing"])
def test_a_damaged_file_is_named(how: str, tmp_path: Path) -> None:
    """DAT-01 to DAT-04, F-09, F-11: exit code 4, and no other file is named."""
    with pytest.raises(DataError, match=r"bars/1m/2024-01-02\.parquet") as caught:
        read(reader(damaged(tmp_path, how), "A", "B"), days())
    assert caught.value.exit_code == 4
    assert str(caught.value).count(".parquet") == 1


@pytest.mark.parametrize("how", ["empty", "cut", "text", "missing"])
def test_a_damaged_file_is_named_even_where_nothing_is_verified(how: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"bars/1m/2024-01-02\.parquet"):
        read(reader(damaged(tmp_path, how), "A", "B", verify="off"), days())


def test_a_file_without_a_column_is_named_with_it(tmp_path: Path) -> None:
    """DAT-08."""
    made = a_lake(tmp_path)
    path = tmp_path / "bars/1m/2024-01-02.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["high"]), path)
    with pytest.raises(DataError, match=r"2024-01-02\.parquet.*high"):
        read(reader(made, "A", "B", verify="off"), days())


def test_a_file_with_a_column_of_another_kind_is_named_with_it(tmp_path: Path) -> None:
    """DAT-11, R8: a number is never read out of a text."""
    made = a_lake(tmp_path)
    path = tmp_path / "bars/1m/2024-01-02.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("close")
    pq.write_table(table.set_column(place, "close", table.column("close").cast(pa.string())), path)
    with pytest.raises(DataError, match=r"2024-01-02\.parquet.*close"):
        read(reader(made, "A", "B", verify="off"), days())


def test_a_naive_time_is_refused(tmp_path: Path) -> None:
    """DAT-13, DAT-14: an instant without a time zone is none."""
    made = a_lake(tmp_path)
    path = tmp_path / "bars/1m/2024-01-02.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "ts", table.column("ts").cast(pa.timestamp("us"))), path)
    with pytest.raises(DataError, match=r"2024-01-02\.parquet.*ts"):
        read(reader(made, "A", "B", verify="off"), days())


def test_too_little_memory_is_said(simulated: Path) -> None:
    found = sessions_between("XNYS", dt.date(2024, 11, 1), dt.date(2024, 12, 31))
    with pytest.raises(ResourceError, match="prefetch_days"):
        read(reader(Lake.open(simulated), "AAA", "BBB", "CCC", "DDD", max_memory=1_000_000), found)


SECRET = pa.table({"secret": [1]})


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd', header = false, delim = ':')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_text('$ROOT/../outside.txt')",
        "SELECT * FROM read_text('$ROOT/link.txt')",
        "COPY (SELECT 1) TO '$ROOT/../written.parquet'",
        "ATTACH '$ROOT/../other.duckdb'",
        "SELECT * FROM SECRET",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET python_enable_replacements = true",
        "SET allowed_directories = ['/']",
        "SET TimeZone = 'Asia/Tokyo'",
    ],
)
def test_a_query_cannot_leave_the_lake(statement: str, tmp_path: Path) -> None:
    """R14, S-02, S-05, S-06, S-07: what lies outside is neither read nor written, and the settings are locked."""
    root = tmp_path / "lake"
    root.mkdir()
    (tmp_path / "outside.txt").write_text("outside")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "inside.txt").write_text("inside")
    connection = connect(1, None, [root])
    assert connection.execute("SELECT content FROM read_text($file)", {"file": str(root / "inside.txt")}).fetchone() == ("inside",)
    with pytest.raises(duckdb.Error):
        connection.execute(statement.replace("$ROOT", str(root))).fetchall()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "outside.txt"]


def test_a_lake_beside_one_of_a_similar_name_cannot_be_read(tmp_path: Path) -> None:
    """`lake2` begins like `lake`, and is not below it."""
    for name in ("lake", "lake2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(name)
    with pytest.raises(duckdb.Error):
        connect(1, None, [tmp_path / "lake"]).execute("SELECT * FROM read_text($file)", {"file": str(tmp_path / "lake2/x.txt")}).fetchall()


@pytest.mark.parametrize(
    ("setting", "value"), [("enable_external_access", False), ("python_enable_replacements", False), ("lock_configuration", True)]
)
def test_the_sandbox_is_shut_twice(setting: str, value: bool, tmp_path: Path) -> None:
    """R14: where two settings refuse the same thing, both are made."""
    assert connect(1, None, [tmp_path]).execute("SELECT current_setting($name)", {"name": setting}).fetchone() == (value,)


def test_instants_are_utc_whatever_the_machine_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """R9, I-18."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert connect(1, None, [tmp_path]).execute("SELECT current_setting('TimeZone')").fetchone() == ("UTC",)


def test_the_next_part_is_read_while_this_one_is_worked_on() -> None:
    """The second part is being read, on another thread, before the first one is done with; the third is not."""
    begun = [threading.Event() for _ in range(3)]
    threads = []

    def read_part(part: int) -> int:
        threads.append(threading.current_thread())
        begun[part].set()
        return part * 10

    seen = []
    for made in load.ahead(read_part, range(3)):
        seen.append(made)
        if made < 20:
            assert begun[made // 10 + 1].wait(30)
        if made == 0:
            assert not begun[2].is_set()
    assert seen == [0, 10, 20]
    assert threading.current_thread() not in threads


def test_no_part_is_nothing_read() -> None:
    assert list(load.ahead(lambda part: part, [])) == []


def test_an_error_of_reading_ahead_comes_when_its_part_is_due() -> None:
    def read_part(part: int) -> int:
        if part == 1:
            raise DataError("broken")
        return part

    found = load.ahead(read_part, range(3))
    assert next(found) == 0
    with pytest.raises(DataError, match="broken"):
        next(found)


def test_a_reader_left_early_leaves_no_thread() -> None:
    before = threading.active_count()
    for _ in load.ahead(lambda part: part, range(5)):
        break
    assert threading.active_count() == before


def test_a_reader_that_was_closed_reads_again(tmp_path: Path) -> None:
    made = reader(a_lake(tmp_path), "A", "B")
    first = read(made, days())
    made.close()
    made.close()
    assert "connection" not in vars(made)
    assert rows(read(made, days())) == rows(first)
