"""Blocks of a sweep on disk become whole tables, whatever was written twice or out of order."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl

from backtester.sweeping.folder import SweepFolder
from backtester.sweeping.tables import EQUITY_SCHEMA

SCHEMA = {"trial": pl.Int64(), "status": pl.String()}
DAYS = [dt.date(2024, 1, 2), dt.date(2024, 1, 3)]


def tables(numbers: list[int], level: float, failed: int | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of some trials whose equity is at a level; one that failed has none."""
    status = ["failed" if number == failed else "done" for number in numbers]
    equity = [(number, day, level + number) for number in numbers if number != failed for day in DAYS]
    return pl.DataFrame({"trial": numbers, "status": status}, schema=SCHEMA), pl.DataFrame(equity, schema=EQUITY_SCHEMA, orient="row")


def test_trials_that_stand_in_two_blocks_count_once_and_come_whole_from_one(tmp_path: Path) -> None:
    with SweepFolder.claim(tmp_path / "out", {"a": 1}, force=False, resume=False) as folder:
        folder.add(*tables([0, 3, 5], 100.0, failed=3))
        folder.add(*tables([3, 4, 5], 200.0))
        folder.add(*tables([1, 2], 300.0))
        trials, equity = folder.trials(SCHEMA), folder.equity()
    assert trials.rows() == [(0, "done"), (1, "done"), (2, "done"), (3, "failed"), (4, "done"), (5, "done")]
    assert equity.rows() == [
        (number, day, level + number) for number, level in ((0, 100.0), (1, 300.0), (2, 300.0), (4, 200.0), (5, 100.0)) for day in DAYS
    ]


def test_a_sweep_of_which_nothing_is_done_has_empty_tables(tmp_path: Path) -> None:
    with SweepFolder.claim(tmp_path / "out", {"a": 1}, force=False, resume=False) as folder:
        assert (folder.trials(SCHEMA).height, folder.equity().height) == (0, 0)
