"""The manifest: what it records, and the key that changes with what must match and with nothing else."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

import pytest

from backtester.outcome.manifest import Facts, build, result_key
from backtester.outcome.results import Sealed
from backtester.outcome.writer import Stored

SEALED = Sealed({"fills": Stored(3, 999, "1" * 64)}, {"bars": "2" * 64})
METRICS = {"sharpe": 1.25, "trades": 3}


def key(facts: Facts, sealed: Sealed = SEALED, metrics: dict[str, Any] = METRICS) -> str:
    return str(build(facts, sealed, metrics)["identity"]["result_key"])


def test_every_group_is_there_and_is_plain_json(facts: Facts) -> None:
    manifest = build(facts, SEALED, METRICS)
    groups = "identity program environment libraries config strategies data calendar execution policies results counts timings"
    assert set(manifest) == set(groups.split())
    json.dumps(manifest, allow_nan=False)


def test_the_lakes_actions_are_recorded_beside_its_files(facts: Facts) -> None:
    known = {"path": "actions.parquet", "rows": 2, "bytes": 900, "sha256": "a" * 64}
    assert build(dataclasses.replace(facts, actions=known), SEALED, METRICS)["data"]["actions"] == known
    assert build(facts, SEALED, METRICS)["data"]["actions"] is None


def test_the_key_can_be_got_again_from_the_manifest_as_written(facts: Facts) -> None:
    manifest = build(facts, SEALED, METRICS)
    assert result_key(json.loads(json.dumps(manifest))) == manifest["identity"]["result_key"]


SAME: list[dict[str, Any]] = [
    {"timings": {"load": 99.0}},
    {"execution": {"prefetch_days": 1, "threads": 8}},
    {"started": dt.datetime(1999, 1, 1, tzinfo=dt.UTC)},
    {"config": {"session_data_config": {"lake": "/elsewhere"}}},
    {"counts": {"bars": 1}},
    {"warnings": []},
    {"actions": {"path": "actions.parquet", "rows": 2, "sha256": "a" * 64}},
]


@pytest.mark.parametrize("change", SAME, ids=lambda change: next(iter(change)))
def test_what_may_differ_stays_out_of_the_key(facts: Facts, change: dict[str, Any]) -> None:
    assert key(dataclasses.replace(facts, **change)) == key(facts)


def test_run_ids_differ_and_keys_do_not(facts: Facts) -> None:
    first, second = (build(facts, SEALED, METRICS)["identity"] for _ in range(2))
    assert first["run_id"] != second["run_id"]
    assert first["result_key"] == second["result_key"]


def test_the_folder_of_a_strategy_and_of_the_lake_stay_out_of_the_key(facts: Facts) -> None:
    here = [{"name": "x", "use": "/home/me/cross.py:Cross", "sources": [{"path": "/home/me/cross.py", "sha256": "5" * 64}]}]
    there = [{"name": "x", "use": "../cross.py:Cross", "sources": [{"path": "../cross.py", "sha256": "5" * 64}]}]
    files = [dict(file, path="other/name.parquet") for file in facts.files]
    assert key(dataclasses.replace(facts, strategies=here)) == key(dataclasses.replace(facts, strategies=there, files=files))


DIFFERENT: list[dict[str, Any]] = [
    {"config_digest": "0" * 64},
    {"strategies": [{"name": "cross", "use": "sma_crossover", "params": {"fast": 6}, "sources": [{"path": "a.py", "sha256": "5" * 64}]}]},
    {"strategies": [{"name": "cross", "use": "sma_crossover", "params": {"fast": 5}, "sources": [{"path": "a.py", "sha256": "6" * 64}]}]},
    {"files": [{"kind": "bars", "interval": "1m", "session": "2025-07-02", "sha256": "e" * 64}]},
    {"calendar": {"name": "XNYS", "digest": "e" * 64}},
    {"policies": {"fill": "same_close"}},
]


@pytest.mark.parametrize("change", DIFFERENT, ids=lambda change: next(iter(change)))
def test_what_must_match_changes_the_key(facts: Facts, change: dict[str, Any]) -> None:
    assert key(dataclasses.replace(facts, **change)) != key(facts)


def test_results_change_the_key(facts: Facts) -> None:
    assert key(facts, Sealed({"fills": Stored(3, 999, "9" * 64)}, SEALED.stages)) != key(facts)
    assert key(facts, Sealed(SEALED.tables, {"bars": "9" * 64})) != key(facts)
    assert key(facts, metrics={"sharpe": 1.26, "trades": 3}) != key(facts)


def test_the_size_of_a_file_stays_out_of_the_key(facts: Facts) -> None:
    assert key(facts, Sealed({"fills": Stored(3, 5, "1" * 64)}, SEALED.stages)) == key(facts)


def test_the_order_of_files_does_not_matter(facts: Facts) -> None:
    files = [*facts.files, {"kind": "bars", "interval": "1m", "session": dt.date(2025, 7, 3), "sha256": "a" * 64}]
    assert key(dataclasses.replace(facts, files=files)) == key(dataclasses.replace(facts, files=files[::-1]))
