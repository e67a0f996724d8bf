"""A finished run read back: identical to what was written, complete or refused, and whether it was tampered with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from backtester.errors import DataError, OutputError
from backtester.outcome.run import Run, load
from backtester.schema import RUN_TABLES


@pytest.mark.parametrize("name", RUN_TABLES)
def test_every_table_comes_back_as_it_was(finished: Run, tables: dict[str, pl.DataFrame], name: str) -> None:
    """I-19: dtypes, order and nulls."""
    found = finished.table(name)
    assert dict(found.schema) == RUN_TABLES[name].dtypes
    assert found.equals(tables[name], null_equal=True)


def test_an_untouched_run_is_verified(finished: Run) -> None:
    finished.verify()
    assert load(str(finished.folder)) == finished


def test_equal_runs_are_equal_and_others_are_not(finished: Run, tmp_path: Path, publish: Callable[..., Run]) -> None:
    same, other = publish(tmp_path / "same"), publish(tmp_path / "other", cash=5.0)
    assert finished == same != other
    assert len({finished, same, other}) == 2
    assert repr(finished).startswith(f"Run({str(finished.folder)!r}")


def test_a_changed_table_is_found(finished: Run, tables: dict[str, pl.DataFrame]) -> None:
    tables["fills"].with_columns(fee=pl.col("fee") + 1).write_parquet(finished.folder / "fills.parquet")
    with pytest.raises(DataError, match=r"not what its manifest says.*fills\.parquet"):
        finished.verify()


def test_a_table_with_other_columns_is_found(finished: Run, tables: dict[str, pl.DataFrame]) -> None:
    tables["fills"].drop("fee").write_parquet(finished.folder / "fills.parquet")
    with pytest.raises(DataError, match=r"fills\.parquet"):
        finished.verify()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(64) + b"PAR1"])
def test_a_damaged_table_is_named(finished: Run, content: bytes) -> None:
    (finished.folder / "fills.parquet").write_bytes(content)
    for read in (lambda: finished.table("fills"), finished.verify):
        with pytest.raises(DataError, match=r"cannot be read.*fills\.parquet") as caught:
            read()
        assert caught.value.exit_code == 4


@pytest.mark.parametrize(("file", "field"), [("metrics.json", "net_profit"), ("config.json", "session_name")])
def test_a_changed_document_is_found(finished: Run, file: str, field: str) -> None:
    path = finished.folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: 7}))
    with pytest.raises(DataError, match=file):
        load(finished.folder).verify()


def test_a_changed_manifest_is_found(finished: Run) -> None:
    path = finished.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["policies"]["fill"] = "same_close"
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json"):
        load(finished.folder).verify()


@pytest.mark.parametrize(
    ("file", "content", "kind"),
    [("manifest.json", {"identity": {"sweep_key": "0" * 64}}, "sweep"), ("walk.json", {}, "walk"), ("cross.json", {}, "walk")],
)
def test_a_sweep_or_a_walk_is_called_so(file: str, content: object, kind: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(OutputError, match=f"holds a {kind}, not a run"):
        load(tmp_path)


def test_a_folder_without_a_manifest_is_no_run(finished: Run, tmp_path: Path) -> None:
    (finished.folder / "manifest.json").unlink()
    with pytest.raises(OutputError, match=r"no complete run.*manifest\.json"):
        load(finished.folder)
    with pytest.raises(OutputError, match="no run here"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_manifest_that_cannot_be_read_is_named(finished: Run, content: str) -> None:
    (finished.folder / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=r"cannot be read.*manifest\.json"):
        load(finished.folder)


def test_a_run_of_another_form_is_refused(finished: Run) -> None:
    (finished.folder / "manifest.json").write_text('{"identity": {"manifest_version": 99}}')
    with pytest.raises(DataError, match=r"another form.*99"):
        load(finished.folder)


def test_a_missing_table_is_named(finished: Run) -> None:
    (finished.folder / "gaps.parquet").unlink()
    with pytest.raises(DataError, match=r"missing.*gaps\.parquet"):
        load(finished.folder)


def test_an_unknown_table_names_the_nearest(finished: Run) -> None:
    with pytest.raises(DataError, match="did you mean 'fills'"):
        finished.table("fill")
