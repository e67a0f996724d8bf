"""A change of the lake appears whole, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtester.atomic import KILLED
from backtester.errors import DataError, OutputError
from backtester.market.change import Counts, changing
from backtester.market.lake import Lake
from backtester.market.verify import verify
from tests.market.test_lake import DAY, NEXT, bars, lake_of


def content(root: Path) -> dict[str, bytes]:
    """All files below a folder but the lock, by path."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != ".lock"}


def closes(root: Path, symbol: str = "AAPL", day: object = DAY) -> list[float]:
    frame = Lake.open(root).read("bars", "1m", np.datetime64(day))
    return frame.filter(symbol=symbol)["close"].to_list()


def add(root: Path, frame: pl.DataFrame, replace: bool = False) -> Counts:
    with changing(root, replace=replace) as change:
        return change.add("bars", "1m", frame)


def add_and_stop(root: Path, *frames: pl.DataFrame) -> None:
    with changing(root) as change:
        for frame in frames:
            change.add("bars", "1m", frame)
        raise ValueError("stop")


def test_the_same_rows_again_change_nothing(tmp_path: Path) -> None:
    add(tmp_path, bars())
    before = content(tmp_path)
    assert add(tmp_path, bars()) == Counts(files_unchanged=1, unchanged=2)
    assert add(tmp_path, bars(), replace=True) == Counts(files_unchanged=1, unchanged=2)
    assert content(tmp_path) == before


def test_another_symbol_joins_the_day_and_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    add(tmp_path, bars("AAPL"))
    assert add(tmp_path, bars("MSFT", closes=(5.0,))) == Counts(files=1, added=1)
    assert (closes(tmp_path, "AAPL"), closes(tmp_path, "MSFT")) == ([10.0, 11.0], [5.0])


def test_more_bars_of_a_symbol_join_those_it_has(tmp_path: Path) -> None:
    add(tmp_path, bars(closes=(10.0,)))
    assert add(tmp_path, bars(closes=(10.0, 11.0, 12.0))) == Counts(files=1, added=2, unchanged=1)
    assert closes(tmp_path) == [10.0, 11.0, 12.0]


def test_different_bars_of_the_same_symbol_and_time_stop(tmp_path: Path) -> None:
    add(tmp_path, bars())
    before = content(tmp_path)
    with pytest.raises(DataError, match=r"different bars .*AAPL 2025-07-02T13:31:00Z.*close 12\.0 \(lake: 11\.0\).*1 such rows.*--replace"):
        add(tmp_path, bars(closes=(10.0, 12.0)))
    assert content(tmp_path) == before


def test_different_bars_replace_the_old_ones_on_request(tmp_path: Path) -> None:
    add(tmp_path, pl.concat([bars(), bars("MSFT")]))
    assert add(tmp_path, bars(closes=(10.0, 12.0)), replace=True) == Counts(files=1, replaced=1, unchanged=1)
    assert (closes(tmp_path), closes(tmp_path, "MSFT")) == ([10.0, 12.0], [10.0, 11.0])


def test_another_source_text_of_the_same_values_is_no_difference(tmp_path: Path) -> None:
    add(tmp_path, bars())
    assert add(tmp_path, bars().with_columns(source=pl.lit("other"))).unchanged == 2


def test_missing_sizes_of_quotes_equal_missing_sizes(tmp_path: Path) -> None:
    sides = {f"{side}_{part}": 1.0 for side in ("bid", "ask") for part in ("open", "high", "low", "close")}
    frame = bars().select("symbol", "ts", "session", "source", "flags", **{name: pl.lit(value) for name, value in sides.items()})
    frame = frame.with_columns(bid_size=pl.lit(None, pl.Float64), ask_size=pl.lit(None, pl.Float64))
    for expected in (Counts(files=1, added=2), Counts(files_unchanged=1, unchanged=2)):
        with changing(tmp_path) as change:
            assert change.add("quotes", "1m", frame) == expected


def test_optional_columns_are_kept_where_rows_bring_them(tmp_path: Path) -> None:
    add(tmp_path, bars("AAPL").with_columns(vwap=pl.lit(10.5)))
    add(tmp_path, bars("MSFT"))
    frame = Lake.open(tmp_path).read("bars", "1m", np.datetime64(DAY))
    assert frame.select("symbol", "vwap").rows() == [("AAPL", 10.5), ("AAPL", 10.5), ("MSFT", None), ("MSFT", None)]


def test_two_rows_of_one_bar_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two rows for one bar"):
        add(tmp_path, pl.concat([bars(), bars()]))


def test_a_daily_bar_is_one_a_session_whatever_its_time(tmp_path: Path) -> None:
    first = bars(closes=(10.0,))
    with changing(tmp_path) as change:
        change.add("bars", "1d", first)
    with pytest.raises(DataError, match="different bars"), changing(tmp_path) as change:
        change.add("bars", "1d", first.with_columns(pl.col("ts").dt.offset_by("1h")))


def test_a_bar_that_stands_in_another_sessions_file_is_refused(tmp_path: Path) -> None:
    add(tmp_path, bars())
    with pytest.raises(DataError, match=r"another session's file \(bars/1m/2025-07-02\.parquet\).*--calendar"):
        add(tmp_path, bars().with_columns(session=pl.lit(NEXT)))


def test_a_change_that_fails_leaves_no_trace_of_a_new_lake(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "lake"
    with pytest.raises(ValueError, match="stop"):
        add_and_stop(root, bars())
    assert list(tmp_path.iterdir()) == []


def test_a_change_that_fails_leaves_an_old_lake_as_it_was(tmp_path: Path) -> None:
    lake_of(tmp_path, bars())
    before = content(tmp_path)
    with pytest.raises(ValueError, match="stop"):
        add_and_stop(tmp_path, bars("MSFT"), bars(day=NEXT))
    assert content(tmp_path) == before


def test_a_second_change_at_the_same_time_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with changing(tmp_path) as change:
        change.add("bars", "1m", bars())
        with pytest.raises(OutputError, match=rf'being changed by another process .*"pid": {os.getpid()}.*"since"'), changing(tmp_path):
            pass
    assert closes(tmp_path) == [10.0, 11.0]


def test_a_lake_that_cannot_be_written_is_an_error_of_output(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    with pytest.raises(OutputError):
        add(tmp_path / "lake", bars())


FULL = """
import resource, sys
from pathlib import Path
from tests.market.test_change import add
from tests.market.test_lake import NEXT, bars
add(Path(sys.argv[1]), bars(day=NEXT))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    add(Path(sys.argv[1]), bars("MSFT"))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_is_an_error_of_resources_and_leaves_no_part_f_06(tmp_path: Path, project: Path) -> None:
    """The limit on a file's size stands for a full disk: the writer meets it in the middle of a file."""
    told = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.startswith("ResourceError the file could not be written")
    assert set(content(tmp_path)) == {"catalog.parquet", "bars/1m/2025-07-03.parquet"}
    assert verify(Lake.open(tmp_path)).damaged == {}


def test_a_damaged_day_is_not_merged_into(tmp_path: Path) -> None:
    add(tmp_path, pl.concat([bars("AAPL"), bars("MSFT")]))
    (tmp_path / "bars/1m/2025-07-02.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match=r"only with --replace"):
        add(tmp_path, pl.concat([bars("AAPL"), bars("MSFT")]))
    with pytest.raises(DataError, match=r"it would lose MSFT"):
        add(tmp_path, bars("AAPL"), replace=True)


@pytest.mark.parametrize("damage", [b"x", None])
def test_a_damaged_or_lost_day_is_made_whole_by_importing_all_of_it_again(tmp_path: Path, damage: bytes | None) -> None:
    add(tmp_path, pl.concat([bars("AAPL"), bars("MSFT")]))
    file = tmp_path / "bars/1m/2025-07-02.parquet"
    file.unlink() if damage is None else file.write_bytes(damage)
    add(tmp_path, pl.concat([bars("AAPL"), bars("MSFT")]), replace=True)
    assert verify(Lake.open(tmp_path)).damaged == {}
    assert closes(tmp_path, "MSFT") == [10.0, 11.0]


CHILD = """
import sys
from pathlib import Path
from tests.market.test_change import add
from tests.market.test_lake import DAY, NEXT, bars
import polars as pl
add(Path(sys.argv[1]), pl.concat([bars("AAPL", DAY, (20.0, 21.0)), bars("AAPL", NEXT, (30.0,))]), replace=True)
"""

OLD_OR_NEW = [
    ("write:2025-07-02.parquet", "old"),
    ("sync:2025-07-03.parquet", "old"),
    ("write:catalog.parquet", "old"),
    ("sync:catalog.parquet", "old"),
    ("replace:catalog.parquet", "old"),
    ("done:catalog.parquet", "new"),
    ("committed", "new"),
    ("replace:2025-07-02.parquet", "new"),
    ("replace:2025-07-03.parquet", "new"),
]


@pytest.mark.parametrize(("step", "state"), OLD_OR_NEW)
def test_an_import_killed_at_any_step_leaves_the_old_lake_or_the_new_one_f_02(tmp_path: Path, project: Path, step: str, state: str) -> None:
    lake_of(tmp_path, bars("AAPL"), bars("MSFT"))
    killed = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        cwd=project,
        env=os.environ | {"BT_FAIL_AT": step, "PYTHONPATH": str(project)},
        check=False,
    )
    assert killed.returncode == KILLED
    lake = Lake.open(tmp_path)
    assert verify(lake).damaged == {}
    assert lake.files("bars", "1m")["session"].to_list() == ([DAY] if state == "old" else [DAY, NEXT])
    assert closes(tmp_path) == ([10.0, 11.0] if state == "old" else [20.0, 21.0])
    assert closes(tmp_path, "MSFT") == [10.0, 11.0]

    # The next change finishes or clears what was left, whatever it brings itself.
    add(tmp_path, bars("TSLA"))
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {".lock", "catalog.parquet", "2025-07-02.parquet"} | ({"2025-07-03.parquet"} if state == "new" else set())
    lake = Lake.open(tmp_path)
    assert verify(lake).damaged == {}
    assert closes(tmp_path) == ([10.0, 11.0] if state == "old" else [20.0, 21.0])


def test_an_undisturbed_lake_and_one_repaired_after_a_kill_are_equal_to_the_byte_f_01(tmp_path: Path, project: Path) -> None:
    rows = pl.concat([bars("AAPL", DAY, (20.0, 21.0)), bars("AAPL", NEXT, (30.0,))])
    lake_of(tmp_path / "a", rows)
    environment = os.environ | {"BT_FAIL_AT": "sync:2025-07-03.parquet", "PYTHONPATH": str(project)}
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "b")], cwd=project, env=environment, check=False)
    lake_of(tmp_path / "b", rows)
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_order_of_imports_does_not_show_in_the_files(tmp_path: Path, order: tuple[int, ...]) -> None:
    parts = [bars("B"), bars("A", NEXT), pl.concat([bars("A"), bars("C")])]
    lake_of(tmp_path / "once", *parts)
    for number in order:
        add(tmp_path / "apart", parts[number])
    assert content(tmp_path / "once") == content(tmp_path / "apart")
