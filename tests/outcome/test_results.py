"""A run's folder: refused, claimed, written in pieces, shown in one step; a death at any step leaves the old run whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from backtester import schema
from backtester.atomic import FAIL_AT, KILLED
from backtester.errors import InternalError, OutputError, ResourceError
from backtester.outcome import results, swap, writer
from backtester.outcome.results import RunFolder, is_run
from backtester.outcome.run import Run, load
from backtester.outcome.writer import TableWriter

ROOT = Path(__file__).resolve().parents[2]
FILES = {"manifest.json", "metrics.json", "config.json", *(f"{name}.parquet" for name in schema.RUN_TABLES)}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_published_run_holds_every_table_and_the_three_documents(finished: Run) -> None:
    assert names(finished.folder) == FILES
    assert names(finished.folder.parent) == {"done"}


def test_a_run_that_is_not_published_leaves_nothing(tmp_path: Path, tables: dict[str, pl.DataFrame]) -> None:
    folder = RunFolder.claim(tmp_path / "done")
    folder.append("fills", tables["fills"])
    folder.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert names(tmp_path) == set()


def test_while_a_run_is_written_no_readers_pattern_sees_it(tmp_path: Path, tables: dict[str, pl.DataFrame]) -> None:
    with RunFolder.claim(tmp_path / "done") as folder:
        folder.append("fills", tables["fills"])
        assert [path for path in tmp_path.glob("*") if not path.name.startswith(".")] == []
        assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_published_run_is_as_open_as_the_umask_lets_it_be(tmp_path: Path, publish: Callable[..., Run]) -> None:
    """S-19: closed while it is written, the user's own choice afterwards."""
    before = os.umask(0o027)
    try:
        run = publish(tmp_path / "done")
    finally:
        os.umask(before)
    assert run.folder.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in run.folder.iterdir()} == {0o640}


def test_a_complete_run_is_not_overwritten_without_force(finished: Run, publish: Callable[..., Run]) -> None:
    """CLI-03."""
    before = finished.metrics
    with pytest.raises(OutputError, match=r"complete run.*--force"):
        publish(finished.folder)
    assert load(finished.folder).metrics == before
    assert names(finished.folder.parent) == {"done"}


def test_with_force_the_old_run_is_replaced(finished: Run, publish: Callable[..., Run]) -> None:
    (finished.folder / "note.txt").write_text("old")
    run = publish(finished.folder, force=True, cash=200_000.0)
    assert run.metrics["net_profit"] == pytest.approx(-99_805.54)
    assert names(finished.folder) == FILES
    assert names(finished.folder.parent) == {"done"}


def test_with_force_the_old_run_stands_until_the_new_one_is_complete(finished: Run) -> None:
    with RunFolder.claim(finished.folder, force=True) as folder:
        folder.seal()
        finished.verify()
    assert is_run(finished.folder)


def test_without_an_exchange_of_names_two_renames_replace_the_old_run(
    finished: Run, publish: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "_exchange", lambda first, second: False)
    publish(finished.folder, force=True, cash=200_000.0).verify()
    assert names(finished.folder.parent) == {"done"}


def test_an_empty_folder_is_a_free_place(tmp_path: Path, publish: Callable[..., Run]) -> None:
    (tmp_path / "done").mkdir()
    publish(tmp_path / "done").verify()


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_not_a_run_is_never_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "manifest.json").write_text('{"name": "somebody else\'s"}')
    with pytest.raises(OutputError, match="not a run"):
        RunFolder.claim(tmp_path / "thesis", force)
    assert names(tmp_path) == {"thesis"}


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """CLI-04."""
    (tmp_path / "done").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        RunFolder.claim(tmp_path / "done")


@pytest.mark.parametrize(("parent", "what"), [("missing", "does not exist"), ("file", "is not a folder")])
def test_a_place_without_a_parent_is_refused(tmp_path: Path, parent: str, what: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=what):
        RunFolder.claim(tmp_path / parent / "done")


def test_a_missing_parent_is_made_where_that_is_asked_for(tmp_path: Path) -> None:
    RunFolder.claim(tmp_path / "runs" / "deep" / "done", make_parent=True).abandon()
    assert names(tmp_path / "runs") == {"deep"}
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written"):
        RunFolder.claim(tmp_path / "file" / "runs" / "done", make_parent=True)


def test_the_root_is_no_place() -> None:
    with pytest.raises(OutputError, match="cannot be a result's place"):
        RunFolder.claim(Path("/"))


def test_a_read_only_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-08, CLI-04: also where the tests run as a user whom modes do not stop."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match="Read-only file system"):
        RunFolder.claim(tmp_path / "done")


def test_a_link_leads_to_the_place_it_points_to(tmp_path: Path, publish: Callable[..., Run]) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    publish(tmp_path / "link")
    assert is_run(tmp_path / "there")
    assert (tmp_path / "link").is_symlink()


def test_too_little_room_is_found_before_anything_is_read(tmp_path: Path) -> None:
    """CLI-04."""
    with pytest.raises(ResourceError, match=r"bytes free; allowed: 1000000000000000000 bytes"):
        RunFolder.claim(tmp_path / "done", needed_bytes=10**18)
    assert names(tmp_path) == set()


def test_a_full_disk_is_a_resource_error_with_the_bytes_needed(tmp_path: Path, tables: dict[str, pl.DataFrame]) -> None:
    """F-06."""
    table = TableWriter(schema.FILLS, tmp_path / "fills.parquet", Path("/dev/full").open("wb"))  # noqa: SIM115 the writer closes it
    with pytest.raises(ResourceError, match=r"No space left.*at least \d+ bytes"):
        table.add(pl.concat([tables["fills"]] * 30_000))
    table.drop()


@pytest.mark.parametrize("number", [28, 122, 5])
def test_a_disk_that_fills_up_while_a_run_is_written_leaves_nothing(
    tmp_path: Path, tables: dict[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """F-06, F-07: full, over quota, failing."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with RunFolder.claim(tmp_path / "done") as folder:
        folder.append("fills", tables["fills"])
        monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
        with pytest.raises(ResourceError, match="bytes free"):
            folder.seal()
    assert names(tmp_path) == set()


def test_rows_of_another_table_are_refused(tmp_path: Path, tables: dict[str, pl.DataFrame]) -> None:
    with RunFolder.claim(tmp_path / "done") as folder:
        with pytest.raises(InternalError, match="no such column"):
            folder.append("fills", tables["orders"])
        with pytest.raises(InternalError, match="did you mean 'fills'"):
            folder.append("filsl", tables["fills"])


def test_sealed_tables_take_no_more_rows(tmp_path: Path, tables: dict[str, pl.DataFrame]) -> None:
    with RunFolder.claim(tmp_path / "done") as folder:
        assert folder.seal() is folder.seal()
        with pytest.raises(InternalError, match="sealed"):
            folder.append("fills", tables["fills"])


@pytest.mark.parametrize("size", [1, 2, 5, 7])
def test_any_pieces_give_the_same_file_and_digest(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch, tables: dict[str, pl.DataFrame]
) -> None:
    """I-15, I-19: row groups do not follow the pieces."""
    monkeypatch.setattr(writer, "GROUP", 4)
    rows = pl.concat([tables["fills"]] * 5)
    stored = []
    for place, step in (("whole", rows.height), ("pieces", size)):
        (tmp_path / place).mkdir()
        table = TableWriter.create(schema.FILLS, tmp_path / place)
        for start in range(0, rows.height, step):
            table.add(rows.slice(start, step))
        stored.append(table.close())
    assert stored[0] == stored[1]
    assert (tmp_path / "whole/fills.parquet").read_bytes() == (tmp_path / "pieces/fills.parquet").read_bytes()
    assert pl.read_parquet(tmp_path / "pieces/fills.parquet").equals(rows)


def test_only_columns_that_may_be_empty_are_optional_in_the_file(finished: Run) -> None:
    for name, table in schema.RUN_TABLES.items():
        fields = pq.read_schema(finished.folder / f"{name}.parquet")
        assert {field.name: field.nullable for field in fields} == {column.name: column.empty for column in table.columns}


def test_stage_digests_follow_sessions_and_stages(tmp_path: Path, tables: dict[str, pl.DataFrame]) -> None:
    with RunFolder.claim(tmp_path / "done") as folder:
        folder.append("digests", tables["digests"])
        stages = folder.seal().stages
    assert set(stages) == set(schema.STAGES)
    assert stages["bars"] != stages["derived"] == stages["signals"]


CHILD = """
    import sys
    from pathlib import Path
    from backtester.errors import BacktesterError
    from backtester.outcome.results import RunFolder
    sys.stdin.readline()
    try:
        with RunFolder.claim(Path(sys.argv[1]), force=len(sys.argv) > 2) as folder:
            folder.publish({"identity": {"result_key": "new", "manifest_version": 1}, "results": {"tables": {}}}, {}, {})
    except BacktesterError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
"""


def start(place: Path, *words: str, fail_at: str = "") -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | ({FAIL_AT: fail_at} if fail_at else {})
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(place), *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


STEPS = [
    "claimed",
    "sealed",
    "write:config.json",
    "replace:metrics.json",
    "write:manifest.json",
    "replace:manifest.json",
    "done:manifest.json",
    "swap",
    "swapped",
]


@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_any_step_leaves_a_whole_run_and_the_next_run_clears_up(finished: Run, publish: Callable[..., Run], step: str) -> None:
    """F-01, F-02."""
    old = finished.result_key
    child = start(finished.folder, "force", fail_at=step)
    child.communicate(b"\n")
    assert child.returncode == KILLED
    found = json.loads((finished.folder / "manifest.json").read_text())["identity"]["result_key"]
    assert found == ("new" if step == "swapped" else old)
    beside = names(finished.folder.parent) - {"done"}
    assert all(name.startswith(".done.") for name in beside)
    assert sum(name.endswith(".tmp") for name in beside) <= 1
    publish(finished.folder, force=True).verify()
    assert names(finished.folder.parent) == {"done"}


def test_a_death_between_two_renames_is_mended_by_the_next_claim(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-02, where names cannot be exchanged."""
    place = finished.folder
    place.rename(place.with_name(".done.0123456789abcdef.old"))
    with pytest.raises(OutputError, match="complete run"):
        RunFolder.claim(place)
    finished.verify()
    assert names(place.parent) == {"done"}


def test_a_rename_that_fails_puts_the_old_run_back(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "_exchange", lambda first, second: False)
    with pytest.raises(FileNotFoundError):
        swap.put_in_place(tmp_path / "never made", finished.folder)
    finished.verify()


def test_leftovers_of_other_places_are_left_alone(tmp_path: Path) -> None:
    for name in (".done.too.0123456789abcdef.tmp", ".other.0123456789abcdef.tmp", ".done.txt.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / ".done.fedcba9876543210.tmp").mkdir()
    RunFolder.claim(tmp_path / "done").abandon()
    assert names(tmp_path) == {".done.too.0123456789abcdef.tmp", ".other.0123456789abcdef.tmp", ".done.txt.tmp"}


def test_of_two_runs_into_one_place_one_wins(tmp_path: Path) -> None:
    """F-12, CLI-05: the other stops with exit code 8, whether it meets the lock or the finished run."""
    for turn in range(2):
        place = tmp_path / str(turn)
        pair = [start(place), start(place)]
        for child in pair:
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()
        for child in pair:
            child.communicate()
        assert sorted(child.returncode for child in pair) == [0, 8]
        assert is_run(place)
    assert names(tmp_path) == {"0", "1"}


def test_a_run_whose_lock_was_lost_does_not_publish(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "done") as folder:
        (tmp_path / ".done.lock").write_text('{"pid": 1, "host": "elsewhere", "since": "now", "birth": "", "token": "x"}')
        with pytest.raises(OutputError, match=r"lock.*lost"):
            folder.publish({}, {}, {})
    assert names(tmp_path) == {".done.lock"}


def test_user_info_in_an_address_is_not_written(tmp_path: Path) -> None:
    """S-14."""
    with RunFolder.claim(tmp_path / "done") as folder:
        folder.publish({"identity": {"result_key": ""}}, {}, {"lake": "s3://me:BT_CANARY_1@host/lake", "mail": "a@b.c"})
    assert json.loads((tmp_path / "done" / results.CONFIG).read_text()) == {"lake": "s3://host/lake", "mail": "a@b.c"}
