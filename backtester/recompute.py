"""Recompute: one session of a finished run, again, from its folder and the lake: columns, what strategies saw, signals; no trading.

Place in the flow: above the pipeline, for those who explain or compare runs. The session's history is read and nothing else of the
run. What has changed since is said first (files, sources, versions), and the digests of what came out are held against the run's
own: where they agree the columns are the run's to the last bit. Never writes, never trades.

    folder -> config.json -> setup -> the parts of one session -> Prepared -> signals, watched -> Recomputed
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from backtester import keeping
from backtester.changed import changes_of
from backtester.config import Config, of_document
from backtester.config_document import read
from backtester.digesting import digest_rows, stage_digests
from backtester.errors import CalendarError, StrategyError
from backtester.market.load import ahead
from backtester.market.prepare import Past, Prepared
from backtester.outcome.results import CONFIG
from backtester.outcome.run import Run
from backtester.pipeline import prepare_days, reader
from backtester.planning import Setup, alone, setup
from backtester.reach import day_of
from backtester.seen import seen_of
from backtester.signalling import Stopped, calls, signals
from backtester.signals.batch import Found
from backtester.signals.calling import Call, Caller, Given
from backtester.signals.watching import Watched
from backtester.trading.execution import Events


@dataclass(frozen=True)
class Recomputed:
    """One session of a run, or a part of several, computed again. Frames are in the form of schema.py where it has the table.

    at: the session's place in the run. watched: what each strategy was given and asked for, by its name; one that had been stopped
    before is not there. changes: sentences on what is not as it was when the run
    was made. digests: session, stage, digest, of_run (null where the run has none), equal.
    """

    session: dt.date
    at: int
    setup: Setup
    prepared: Prepared
    events: Events
    watched: dict[str, Watched]
    changes: tuple[str, ...]
    digests: pl.DataFrame

    @property
    def differs(self) -> list[str]:
        """The stages that did not come out as they did in the run, in the order of the stages."""
        stages: list[str] = self.digests.filter(~pl.col("equal"))["stage"].unique(maintain_order=True).to_list()
        return stages

    @property
    def warnings(self) -> list[str]:
        """What to know before believing the columns: changes, and stages that came out otherwise."""
        if not self.differs:
            return list(self.changes)
        return [*self.changes, f"computed again, session {self.session} differs from the run's own digests in: {', '.join(self.differs)}"]

    @cached_property
    def bars(self) -> pl.DataFrame:
        """The session's bars of every interval, as the table `bars` that a run keeps on request."""
        return keeping.bars_of(self.prepared)

    @cached_property
    def indicators(self) -> pl.DataFrame:
        """Configured and historical indicators, as the table `indicators` that a run keeps on request."""
        return keeping.indicators_of(self.setup, self.prepared, self.at)

    @cached_property
    def signals(self) -> pl.DataFrame:
        """Every signal before any verdict, as the table `signals` that a run keeps on request."""
        return keeping.signals_of(self.setup, self.prepared, self.events)

    @property
    def quality(self) -> pl.DataFrame:
        """The session's rows of the table `quality`."""
        return self.prepared.quality

    @property
    def gaps(self) -> pl.DataFrame:
        """The session's rows of the table `gaps`."""
        return self.prepared.gaps

    def seen(self, strategy: str, symbol: str | None = None) -> pl.DataFrame:
        """What a strategy saw of its symbols, or of one: see `seen.seen_of`."""
        return seen_of(self.watched.get(strategy, Watched()), strategy, symbol)


def recompute(run: Run, session: dt.date, lake: Path | None = None) -> Recomputed:
    """One session of a run again, over the lake that its config names, or another.

    Raises CalendarError for a day that is no session of the run, and the errors of config, data and strategies where the run could
    not be made again as it was.
    """
    whole = setup(config_of(run, lake))
    at = _place(whole, session)
    made = alone(whole, at)
    changes = tuple(changes_of(run, made))
    prepared = _prepared(made)
    seen: dict[str, Watched] = {}
    with calls(made) as call:
        events, _ = signals(made, prepared, at, _stopped(run, made, session), _watching(call, seen))
    digests = digest_rows(prepared, stage_digests(made, prepared, at), events)
    return Recomputed(session, at, made, prepared, events, seen, changes, _beside(digests, run))


@dataclass(frozen=True)
class Whole:
    """A whole run computed again, part by part, in flat memory; go over it once. changes: as of `Recomputed`."""

    run: Run
    setup: Setup
    changes: tuple[str, ...]

    def __iter__(self) -> Iterator[Recomputed]:
        past, at, stopped = Past(), 0, list[Stopped]()
        with calls(self.setup) as call:
            for loaded in ahead(reader(self.setup), self.setup.parts):
                prepared, past = prepare_days(self.setup, loaded, past)
                if not loaded.part.trade:
                    continue
                events, stopped = signals(self.setup, prepared, at, stopped, call)
                digests = digest_rows(prepared, stage_digests(self.setup, prepared, at), events)
                yield Recomputed(day_of(prepared.sessions.label[0]), at, self.setup, prepared, events, {}, (), _beside(digests, self.run))
                at += len(prepared.sessions)


def config_of(run: Run, lake: Path | None = None) -> Config:
    """The run's config as it was resolved, its strategies where they were found then. Raises ConfigError, StrategyError."""
    document = read(run.folder / CONFIG)
    files = [str(entry["use"]).rpartition(":")[0] for entry in document["strategies"]]
    folders = [os.path.dirname(file) for file in files if file.endswith(".py")]
    root = Path(os.path.commonpath(folders)) if folders else run.folder
    return of_document(document, root, run.folder.name, lake)


def recompute_all(run: Run, lake: Path | None = None) -> Whole:
    """A whole run again, without trading. Raises as `recompute` does."""
    made = setup(config_of(run, lake))
    return Whole(run, made, tuple(changes_of(run, made)))


def _place(made: Setup, session: dt.date) -> int:
    """The session's place in the run."""
    labels = made.sessions.label
    place = int(np.searchsorted(labels, np.datetime64(session, "D")))
    if place == len(labels) or labels[place] != np.datetime64(session, "D"):
        raise CalendarError("no session of the run", where=f"calendar {made.calendar}", value=session,
                            allowed=f"sessions from {labels[0]} to {labels[-1]}")  # fmt: skip
    return place


def _prepared(made: Setup) -> Prepared:
    """The session's columns; the parts before it are prepared only for what it may look back to."""
    read, past = reader(made), Past()
    for part in made.parts:
        prepared, past = prepare_days(made, read(part), past)
    return prepared


def _watching(call: Call, seen: dict[str, Watched]) -> Call:
    """The same way of calling strategies, which notes in `seen`, by strategy, what the first call of each saw."""

    def watching(caller: Caller, given: Given, only: int | None) -> Found:
        if caller.name in seen:
            return call(caller, given, only)
        seen[caller.name] = Watched()
        return call(replace(caller, watched=seen[caller.name]), given, only)

    return watching


def _stopped(run: Run, made: Setup, session: dt.date) -> list[Stopped]:
    """The strategies that were stopped in a session before: the run did not call them any more."""
    return list(_stopped_before(run, made, session))


def _stopped_before(run: Run, made: Setup, session: dt.date) -> Iterator[Stopped]:
    for one in run.manifest["execution"].get("stopped", []):
        if one["session"] < str(session) and one["strategy"] in made.names:
            yield Stopped(made.names.index(one["strategy"]), np.datetime64(one["session"]), StrategyError(str(one["error"])))


def _beside(digests: pl.DataFrame, run: Run) -> pl.DataFrame:
    """The digests beside those of the run."""
    own = run.table("digests").rename({"digest": "of_run"})
    both = digests.join(own, on=["session", "stage"], how="left", maintain_order="left")
    return both.with_columns(equal=pl.col("digest").eq_missing(pl.col("of_run")))
