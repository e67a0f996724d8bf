"""Walk-forward: parameters chosen on one window of sessions are judged on the next, and what the choices earned is chained.

Place in the flow: `bt walkforward` calls `walk_forward`. Each window's choice is a sweep with a folder of its own, each judgement a run
with all its tables: what is there already is not made again. Never looks at a session to judge on before the choice is made.

    folds/000/     the sweep of the first window          folds.parquet     one row a fold
    tests/000/     the run that judges its best trial     walk.parquet      one row a session: fold, equity, return
                                                          walk.json         figures of the whole; written last
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester import folds, pipeline
from backtester.atomic import commit
from backtester.changed import changes_of
from backtester.config import Config
from backtester.outcome import ratios
from backtester.outcome.growth import growth
from backtester.outcome.results import is_run
from backtester.outcome.run import Run
from backtester.outcome.run import load as load_run
from backtester.planning import setup
from backtester.reach import day_of
from backtester.sweeping.definition import Sweep
from backtester.sweeping.figures import FIGURES
from backtester.sweeping.folder import write_json, writer
from backtester.sweeping.sweep import ranked
from backtester.sweeping.tables import combination_of
from backtester.sweeping.variants import Base
from backtester.sweeping.walk_plan import WalkPlan
from backtester.trading.costs import micro

WALK, FOLDS, EQUITY = "walk.json", "folds.parquet", "walk.parquet"
WALK_SCHEMA = {"fold": pl.Int64(), "session": pl.Date(), "equity": pl.Float64(), "return": pl.Float64()}

Days = tuple[np.datetime64, np.datetime64]
"""First and last session of a window."""


@dataclass(frozen=True)
class Fold:
    """One window: its days, the trial chosen on the first, and what it earned on the second; None where no trial had an objective."""

    number: int
    train: Days
    test: Days
    chosen: Mapping[str, Any] | None
    judged: Run | None


@dataclass(frozen=True)
class Walk:
    """All folds, the chained equity (a row a session), its figures, and how many trials of its sweeps failed."""

    folds: pl.DataFrame
    equity: pl.DataFrame
    figures: Mapping[str, Any]
    failed: int


def walk_forward(plan: WalkPlan) -> Walk:
    """Walk through rolling or anchored windows into the plan's folder, going on where an earlier call of the same was stopped.

    Raises ConfigError where no window fits, the errors of `run_sweep` (OutputError where another sweep stands in a fold's folder) and of
    `pipeline.run`.
    """
    sweep, settings, out = plan.sweep, plan.settings, plan.out
    opened = setup(sweep.config)
    labels, cash = opened.sessions.label, sweep.config.account.cash
    assert settings.train is not None
    assert settings.test is not None
    windows = folds.walk_forward(
        len(labels), settings.train, settings.test, settings.step, anchored=settings.kind == "anchored", purge=settings.purge, partial=True
    )
    done: list[Fold] = []
    failed = 0
    for number, window in enumerate(windows):
        train, test = _days(labels, window.train), _days(labels, window.test)
        within = _within(sweep, train)
        swept = plan.swept(within, out / "folds" / f"{number:03}", number, len(windows))
        failed += swept.manifest["counts"]["failed"]
        ranks = ranked(within, swept.trials)
        best = None if ranks.is_empty() else ranks.row(0, named=True)
        judged = None if best is None else _judged(sweep, best, test, cash, out / "tests" / f"{number:03}")
        done.append(Fold(number, train, test, best, judged))
        cash = cash if judged is None else judged.metrics["final_equity"]
    return _written(_walk(sweep, done, opened.sessions.per_year, failed), out)


def _written(walk: Walk, out: Path) -> Walk:
    """Put the tables and, last, the figures on disk."""
    for name, rows in ((FOLDS, walk.folds), (EQUITY, walk.equity)):
        commit(out / name, writer(rows))
    write_json(out / WALK, walk.figures)
    return walk


def _days(labels: NDArray[np.datetime64], sessions: range) -> Days:
    return labels[sessions[0]], labels[sessions[-1]]


def _dates(days: Days) -> dict[str, str]:
    return {"backtest_config.start_date": str(day_of(days[0])), "backtest_config.end_date": str(day_of(days[1]))}


def _within(sweep: Sweep, days: Days) -> Sweep:
    """The sweep over some days only."""
    document = sweep.base.document | {"backtest_config": sweep.base.document["backtest_config"] | _plain(_dates(days))}
    base = Base(document, sweep.base.root, sweep.base.lake)
    dates = sweep.config.backtest_config.model_copy(update={"start_date": day_of(days[0]), "end_date": day_of(days[1])})
    return replace(sweep, base=base, config=_with(sweep.config, dates), settings=sweep.settings.model_copy(update={"keep_best": 0}))


def _plain(values: Mapping[str, str]) -> dict[str, str]:
    return {path.rpartition(".")[2]: value for path, value in values.items()}


def _with(config: Config, dates: Any) -> Config:
    return config.model_copy(update={"backtest_config": dates})


def _judged(sweep: Sweep, best: Mapping[str, Any], days: Days, cash: float, out: Path) -> Run:
    """The run of the chosen trial over the sessions after its window, with the cash that the folds before it left.

    One that stands there is believed where all that it was made of is as it was.
    """
    values = dict(zip((parameter.path for parameter in sweep.space.parameters), combination_of(sweep.space, best), strict=True))
    config = sweep.base.config(values | _dates(days) | _money(sweep.config.account.capital, cash))
    if is_run(out):
        before = load_run(out)
        if before.manifest["config"]["digest"] == config.digest and not any(changes_of(before, setup(config))):
            return before
    return pipeline.run(config, out, force=True)


def _money(capital: Mapping[str, float], cash: float) -> dict[str, Any]:
    """The cash of a test; strategies with capital of their own share it as they shared what the walk began with.

    >>> _money({"a": 1000.0, "b": 2000.0}, 100.0)
    {'account.cash': 100.0, 'account.capital': {'a': 33.333333, 'b': 66.666667}}
    """
    sums = [0.0, *accumulate(capital.values())]
    bounds = [round(micro(cash) * (part / (sums[-1] or 1.0))) for part in sums]
    shares = {name: (last - first) / 1e6 for name, (first, last) in zip(capital, pairwise(bounds), strict=True)}
    return {"account.cash": cash} | ({"account.capital": shares} if shares else {})


def _walk(sweep: Sweep, done: list[Fold], per_year: float, failed: int) -> Walk:
    start, rows, cash = sweep.config.account.cash, [], sweep.config.account.cash
    for fold in done:
        if fold.judged is not None:
            table = fold.judged.table("sessions").select("session", "equity", "return")
            rows.append(table.select(pl.lit(fold.number, pl.Int64).alias("fold"), pl.all()))
            cash = fold.judged.metrics["final_equity"]
    equity = (
        pl.concat(rows) if rows else pl.DataFrame(schema={"fold": pl.Int64, "session": pl.Date, "equity": pl.Float64, "return": pl.Float64})
    )
    table = pl.DataFrame([_row(sweep, fold) for fold in done], infer_schema_length=None)
    values = equity["equity"].to_numpy()
    figures = growth(ratios.returns(values, start), cash / start - 1.0, values, start, per_year)
    return Walk(table, equity, {"final_equity": cash, **figures, **_drift(sweep, table)}, failed)


def _row(sweep: Sweep, fold: Fold) -> dict[str, Any]:
    """A fold as a row: its days, what was chosen, the figures in the sample (in_) and out of it (out_)."""
    head = {
        "fold": fold.number,
        "train_start": day_of(fold.train[0]), "train_end": day_of(fold.train[1]),
        "test_start": day_of(fold.test[0]), "test_end": day_of(fold.test[1]),
    }  # fmt: skip
    chosen, judged = fold.chosen or {}, {} if fold.judged is None else fold.judged.metrics
    values = {name: chosen.get(name) for name in ("trial", *sweep.space.names)}
    return head | values | {f"in_{name}": chosen.get(name) for name in FIGURES} | {f"out_{name}": judged.get(name) for name in FIGURES}


def _drift(sweep: Sweep, table: pl.DataFrame) -> dict[str, Any]:
    """How steady the choices were and how much of what the windows promised was kept.

    changes: folds that chose another value than the fold before, by parameter; efficiency: mean annual return out of the sample over
    that in it; kept: share of folds whose objective out of the sample was above 0.
    """
    made = table.filter(pl.col("trial").is_not_null())
    changes = {name: int((made[name] != made[name].shift(1)).slice(1).sum()) for name in sweep.space.names} if made.height > 1 else {}
    inside, outside = (made[f"{side}_annual_return"].drop_nulls().mean() for side in ("in", "out"))
    figure = sweep.objective[0]
    judged = made[f"out_{figure}"].drop_nulls()
    return {
        "folds": table.height,
        "changes": changes,
        "efficiency": outside / inside if isinstance(inside, float) and isinstance(outside, float) and inside > 0 else None,
        "kept": float((judged > 0).mean()) if judged.len() else None,  # type: ignore[arg-type]
    }
