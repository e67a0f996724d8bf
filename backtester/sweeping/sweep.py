"""A sweep from its definition to its tables: what is done already, what an engine still runs, what is kept.

Place in the flow: `bt sweep` and `backtester.sweep` call `run_sweep`. A block is on disk before it counts. The result never depends
on the engine, nor on how often the sweep was begun.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from backtester import pipeline
from backtester.errors import OutputError
from backtester.outcome.environment import environment, libraries, maker, program
from backtester.planning import Setup, setup
from backtester.sweeping.definition import Sweep
from backtester.sweeping.evidence import evidence
from backtester.sweeping.folder import SweepFolder, SweepRun
from backtester.sweeping.identity import identity, sweep_key
from backtester.sweeping.local import local
from backtester.sweeping.search import Search, search_of
from backtester.sweeping.tables import DONE, FAILED, Tables, combination_of, digest, trials_schema
from backtester.sweeping.trial_ledger import counted, subject
from backtester.sweeping.variants import Trial

BAR_TRIALS_A_BLOCK = 2_000_000_000
MOST_TRIALS_A_BLOCK = 2_000


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is: trials on disk, in all, and on disk before it began; bars that trials have walked since; the best trial."""

    done: int
    total: int
    before: int
    bar_trials: int
    best: tuple[int, float] | None


Running = Callable[[Sequence[Sequence[Trial]]], Iterator[Tables]]
"""Runs blocks of trials and yields the tables of each, or of parts of one, as they end, in any order."""
Engine = Callable[[Sweep, Callable[[int], None]], AbstractContextManager[Running]]
"""What runs a sweep's blocks while it is open; the function hears of bars that trials walked."""


def run_sweep(
    sweep: Sweep,
    out: Path,
    *,
    force: bool = False,
    resume: bool = False,
    engine: Engine = local,
    progress: Callable[[SweepProgress], None] | None = None,
) -> SweepRun:
    """Run a sweep into the folder `out`. Raises the errors of `backtester.errors`; finished blocks stay on disk then."""
    started, clock = dt.datetime.now(dt.UTC), time.perf_counter()
    plan = identity(sweep.base, sweep.config, sweep.space)
    search, schema, opened = search_of(sweep), trials_schema(sweep.space), setup(sweep.config)
    with SweepFolder.claim(out, plan | maker(), force=force, resume=resume) as folder:
        finished = folder.trials(schema)
        watch = _Watch(sweep, search.total, finished, progress)
        with engine(sweep, watch.walked) as running:
            for rows, equity in _searched(sweep, search, opened, finished, running):
                folder.add(rows, equity)
                watch.add(rows)
        table, equity = folder.trials(schema), folder.equity()
        best = ranked(sweep, table)["trial"].to_list()
        for number in best[: sweep.settings.keep_best]:
            row = table.row(by_predicate=pl.col("trial") == number, named=True)
            _run_again(sweep, row, folder.path / "best" / f"{number:06}")
        seconds = time.perf_counter() - clock
        manifest = _manifest(sweep, plan, table, equity, started, seconds, watch.bar_trials)
        ever = counted(subject(sweep.config, plan), manifest["identity"]["sweep_key"], table.height)
        found = evidence(sweep, table, equity, best[0], ever, opened.sessions.per_year) if best else {}
        return folder.publish(table, equity, found, manifest, sweep.config.resolved())


def _searched(sweep: Sweep, search: Search, opened: Setup, finished: pl.DataFrame, running: Running) -> Iterator[Tables]:
    """The tables of all trials that are not done already, generation after generation; the search hears of each in trial order."""
    done = _heard(sweep, finished)
    while trials := search.ask():
        for trial in trials:
            if trial.number in done and done[trial.number][0] != trial.key:
                action = "choose another place, or use --force"
                raise OutputError("the search asks for another trial than the one on disk", where=f"trial {trial.number}", action=action)
        left = [trial for trial in trials if trial.number not in done]
        for rows, equity in running(blocks_of(sweep, opened, left)):
            done |= _heard(sweep, rows)
            yield rows, equity
        search.tell({trial.number: done[trial.number][1] for trial in trials})


def _heard(sweep: Sweep, rows: pl.DataFrame) -> dict[int, tuple[str, float | None]]:
    """What a search hears of trials: key and objective; None of one that failed or has none."""
    columns = rows.select("trial", "key", pl.col(sweep.objective[0]).cast(pl.Float64))
    return {number: (key, value) for number, key, value in columns.iter_rows()}


def blocks_of(sweep: Sweep, opened: Setup, trials: Sequence[Trial]) -> list[Sequence[Trial]]:
    """Trials in blocks of so many bars that what a kill can lose is some seconds of work."""
    bars = max(1, len(opened.sessions) * opened.needs.slots * len(opened.symbols))
    size = sweep.settings.block or max(1, min(MOST_TRIALS_A_BLOCK, BAR_TRIALS_A_BLOCK // bars))
    return [trials[first : first + size] for first in range(0, len(trials), size)]


def ranked(sweep: Sweep, table: pl.DataFrame) -> pl.DataFrame:
    """The trials that have the objective, the best first; equally good ones in the order of the search."""
    figure, largest = sweep.objective
    return table.filter(pl.col(figure).is_not_null()).sort([figure, "trial"], descending=[largest, False])


class _Watch:
    """Counts what is on disk, for the progress."""

    def __init__(self, sweep: Sweep, total: int, finished: pl.DataFrame, progress: Callable[[SweepProgress], None] | None) -> None:
        self._sweep, self._total, self._progress = sweep, total, progress
        self._done = self._before = finished.height
        self._best = self._better(None, finished)
        self.bar_trials = 0

    def walked(self, bar_trials: int) -> None:
        """Bars that trials have walked."""
        self.bar_trials += bar_trials
        self._tell()

    def add(self, rows: pl.DataFrame) -> None:
        """A block is on disk."""
        self._done += rows.height
        self._best = self._better(self._best, rows)
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(SweepProgress(self._done, self._total, self._before, self.bar_trials, self._best))

    def _better(self, best: tuple[int, float] | None, rows: pl.DataFrame) -> tuple[int, float] | None:
        figure, largest = self._sweep.objective
        first = ranked(self._sweep, rows).head(1)
        if first.is_empty():
            return best
        found = (int(first["trial"][0]), float(first[figure][0]))
        if best is None:
            return found
        return found if (found[1] > best[1] if largest else found[1] < best[1]) else best


def _run_again(sweep: Sweep, row: Mapping[str, Any], out: Path) -> None:
    """One trial as a run of its own, with all its tables."""
    paths = (parameter.path for parameter in sweep.space.parameters)
    pipeline.run(sweep.base.config(dict(zip(paths, combination_of(sweep.space, row), strict=True))), out, force=True)


def _manifest(
    sweep: Sweep, plan: dict[str, Any], table: pl.DataFrame, equity: pl.DataFrame, started: dt.datetime, seconds: float, bar_trials: int
) -> dict[str, Any]:
    """What was swept, by what, and what came out."""
    digests = digest(table), digest(equity)
    statuses = dict(table["status"].value_counts().iter_rows())
    return {
        "identity": {
            "sweep_key": sweep_key(plan, *digests),
            "started": started.isoformat(),
            "finished": dt.datetime.now(dt.UTC).isoformat(),
        },
        "plan": plan,
        "program": program(),
        "environment": environment(),
        "libraries": libraries(),
        "results": {"trials": digests[0], "trial_equity": digests[1]},
        "counts": {"trials": table.height, DONE: statuses.get(DONE, 0), FAILED: statuses.get(FAILED, 0), "bar_trials": bar_trials},
        "timings": {"seconds": seconds, "bar_trials_a_second": round(bar_trials / seconds, 1)},
    }
