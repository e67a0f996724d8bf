"""Combinatorial purged cross-validation of a sweep: parameters chosen on some sessions are judged on all others, in every way.

Place in the flow: `bt walkforward` with windows of kind `combinatorial`. One sweep over all sessions; each choice of test folds takes
the trial that was best on the sessions left to train on, and the tests of all choices on end make paths, each of which judges every
session once. What a trial held when a fold began or ended is not closed: purge and embargo say how far that reaches.

    sweep/          the sweep over all sessions          choices.parquet    one row a choice of test folds
    cross.json      figures of the paths; written last   paths.parquet      one row a path and session: fold, trial, return, equity
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from backtester import folds
from backtester.atomic import commit
from backtester.columns import Floats, Ints
from backtester.errors import ConfigError, did_you_mean
from backtester.outcome import ratios
from backtester.outcome.growth import growth
from backtester.planning import setup
from backtester.sweeping.definition import Sweep
from backtester.sweeping.evidence import returns_of
from backtester.sweeping.folder import write_json, writer
from backtester.sweeping.walk_plan import WalkPlan

CROSS, CHOICES, PATHS = "cross.json", "choices.parquet", "paths.parquet"
OBJECTIVES = ("total_return", "annual_return", "volatility", "sharpe", "sortino", "omega", "calmar", "max_drawdown", "ulcer_index")
"""Figures that returns alone give: what a choice of sessions can be judged by."""


@dataclass(frozen=True)
class Cross:
    """Choices, paths, the figures over all paths, and how many trials of the sweep failed."""

    choices: pl.DataFrame
    paths: pl.DataFrame
    figures: dict[str, Any]
    failed: int


def cross_validate(plan: WalkPlan) -> Cross:
    """Cross-validate a sweep into the plan's folder; a sweep that stands there already is not made again.

    Raises ConfigError for folds that do not fit and for an objective that returns alone do not give, and the errors of `run_sweep`.
    """
    sweep, settings, out = plan.sweep, plan.settings, plan.out
    figure, largest = sweep.objective
    if figure not in OBJECTIVES:
        action = did_you_mean(figure, OBJECTIVES)
        raise ConfigError("returns of single sessions do not give this objective", where="/sweep/objective", value=figure, action=action)
    opened = setup(sweep.config)
    labels, per_year = opened.sessions.label, opened.sessions.per_year
    assert settings.folds is not None
    assert settings.tests is not None
    combined = folds.combinatorial(len(labels), settings.folds, settings.tests, purge=settings.purge, embargo=settings.embargo)
    made = plan.swept(sweep, out / "sweep", 0, 1)
    numbers, returns = returns_of(made.trials, made.equity, labels)
    if not len(numbers):
        raise ConfigError("no trial has returns", where="/sweep", value=f"{made.trials.height:,} trials failed or went broke")
    chosen = np.array([_best(returns[choice.train], figure, largest, per_year) for choice in combined.choices], np.int64)
    choices = _choices(sweep, made.trials, combined, chosen, numbers, returns, figure, per_year)
    paths = [_path(combined, row, chosen, numbers, returns, place) for place, row in enumerate(combined.paths)]
    start = sweep.config.account.cash
    table = pl.concat(path.with_columns(session=pl.Series(labels.astype("datetime64[D]")).cast(pl.Date)) for path in paths)
    table = table.with_columns(equity=(pl.col("return") + 1.0).cum_prod().over("path") * start)
    columns = ("path", "session", "fold", "trial", "return", "equity")
    found = Cross(choices, table.select(columns), _figures(paths, figure, per_year), made.manifest["counts"]["failed"])
    commit(out / CHOICES, writer(found.choices))
    commit(out / PATHS, writer(found.paths))
    write_json(out / CROSS, found.figures)
    return found


def _value(figure: str, returns: Floats, per_year: float) -> float | None:
    """One figure of returns a session."""
    worth = np.asarray(np.cumprod(1.0 + returns), np.float64)
    simple: dict[str, Callable[[], float | None]] = {
        "total_return": lambda: float(worth[-1]) - 1.0,
        "volatility": lambda: ratios.volatility(returns, per_year),
        "sharpe": lambda: ratios.sharpe(returns, per_year),
        "sortino": lambda: ratios.sortino(returns, per_year),
        "omega": lambda: ratios.omega(returns),
        "max_drawdown": lambda: ratios.drawdown(worth, 1.0)[0],
    }
    if figure in simple:
        return simple[figure]()
    found: float | None = growth(returns, float(worth[-1]) - 1.0, worth, 1.0, per_year)[figure]
    return found


def _best(returns: Floats, figure: str, largest: bool, per_year: float) -> int:
    """The column with the best figure, the first of equals; -1 where none has it."""
    values = [_value(figure, np.ascontiguousarray(column), per_year) for column in returns.T]
    worst = -math.inf if largest else math.inf
    known = np.array([worst if value is None else value for value in values])
    place = int(known.argmax() if largest else known.argmin())
    return place if values[place] is not None else -1


def _choices(
    sweep: Sweep,
    trials: pl.DataFrame,
    combined: folds.Combinations,
    chosen: Ints,
    numbers: Ints,
    returns: Floats,
    figure: str,
    per_year: float,
) -> pl.DataFrame:
    """A row a choice: its test folds, the trial taken and its values, the objective in the sample and out of it."""
    rows = []
    for place, choice in enumerate(combined.choices):
        column = int(chosen[place])
        head = {"choice": place, "tests": " ".join(map(str, choice.folds)), "trained_on": len(choice.train)}
        if column < 0:
            rows.append(head | {"trial": None} | dict.fromkeys((*sweep.space.names, f"in_{figure}", f"out_{figure}")))
            continue
        values = trials.row(by_predicate=pl.col("trial") == int(numbers[column]), named=True)
        judged = np.concatenate([returns[test, column] for test in choice.tests])
        rows.append(
            head
            | {name: values[name] for name in ("trial", *sweep.space.names)}
            | {f"in_{figure}": _value(figure, returns[choice.train, column], per_year), f"out_{figure}": _value(figure, judged, per_year)}
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _path(combined: folds.Combinations, row: Ints, chosen: Ints, numbers: Ints, returns: Floats, place: int) -> pl.DataFrame:
    """The sessions of one path: each fold judged by the choice that belongs to it; a choice without a trial earns nothing."""
    pieces = []
    for fold, choice in enumerate(row.tolist()):
        column, sessions = int(chosen[choice]), combined.folds[fold]
        earned = returns[sessions, column] if column >= 0 else np.zeros(len(sessions))
        trial = int(numbers[column]) if column >= 0 else None
        pieces.append(pl.DataFrame({"fold": fold, "trial": pl.Series([trial] * len(sessions), dtype=pl.Int64), "return": earned}))
    return pl.concat(pieces).select(pl.lit(place).alias("path"), pl.all())


def _figures(paths: list[pl.DataFrame], figure: str, per_year: float) -> dict[str, Any]:
    """The objective of each path, and its mean, smallest and largest."""
    values = [_value(figure, path["return"].to_numpy(), per_year) for path in paths]
    known = [value for value in values if value is not None]
    return {
        "objective": figure,
        "paths": len(paths),
        "values": values,
        "mean": math.fsum(known) / len(known) if known else None,
        "lowest": min(known) if known else None,
        "highest": max(known) if known else None,
    }
