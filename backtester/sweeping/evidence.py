"""How much of the best trial's result is luck: figures over all trials of a sweep, worked out without being asked.

Place in the flow: the end of a sweep, over its two tables; the formulas are those of `outcome` (docs/overfitting.md). Never chooses
another best trial, and never changes a figure of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.columns import Floats, Ints
from backtester.outcome import cscv, overfitting, ratios
from backtester.outcome.bootstrap import Resampling, automatic_block
from backtester.outcome.intervals import intervals
from backtester.outcome.stability import stability
from backtester.outcome.superiority import superiority
from backtester.sweeping.definition import Sweep
from backtester.sweeping.space import Parameter
from backtester.sweeping.tables import shown
from backtester.sweeping.values import Listed

BLOCKS = 12
"""Blocks of sessions that cross-validation chooses halves of: 924 choices."""
DRAWS = 1000
SEED = 1
"""Of the bootstrap: fixed, so that a sweep's evidence is decided by its trials."""


def evidence(sweep: Sweep, trials: pl.DataFrame, equity: pl.DataFrame, best: int, ever: int, per_year: float) -> dict[str, Any]:
    """Figures of the best trial beside all others; None where one has no meaning.

    trials and equity: the tables; best: the number of the best trial; ever: how many trials have ever been made of the same market
    and strategies, these included. Trials that failed, went broke or have other sessions are left out of the returns, not of the counts.
    """
    returns, place = _returns(trials, equity, best)
    base: dict[str, Any] = {"best": best, "objective": sweep.settings.objective, "trials": trials.height, "trials_ever": ever}
    found = None if returns is None else overfitting.track(returns[:, place])
    if returns is None or found is None:
        return base | {"compared": 0 if returns is None else returns.shape[1]}
    variance = overfitting.sharpe_variance(returns) if returns.shape[1] > 1 else None
    effective = overfitting.effective_trials(returns)
    block = automatic_block(returns[:, [place]]) or 1.0
    draws = Resampling(len(returns), min(max(block, 1.0), float(len(returns))), DRAWS, SEED)
    tested = superiority(returns, None, draws)
    halves = cscv.overfitting(returns, BLOCKS)
    spread = intervals(returns[:, place], draws, per_year)
    return base | {
        "compared": returns.shape[1],
        "effective_trials": effective,
        "probabilistic_sharpe": overfitting.probabilistic_sharpe(found),
        "minimum_track_record": overfitting.minimum_track_record(found),
        "deflated_sharpe": {
            "effective": None if variance is None or effective is None else overfitting.deflated_sharpe(found, effective, variance),
            "trials": None if variance is None else overfitting.deflated_sharpe(found, trials.height, variance),
            "trials_ever": None if variance is None else overfitting.deflated_sharpe(found, max(ever, trials.height), variance),
        },
        "overfitting": None if halves is None else {name: getattr(halves, name) for name in ("probability", "slope", "r_squared", "loss")},
        "superiority": None if tested is None else {
            name: getattr(tested, name) for name in ("reality_check", "lower", "consistent", "upper")
        },
        "intervals": {name: None if part is None else asdict(part) for name, part in spread.items()},
        "stability": _stability(sweep, trials, best),
    }  # fmt: skip


def returns_of(trials: pl.DataFrame, equity: pl.DataFrame, labels: NDArray[np.datetime64]) -> tuple[Ints, Floats]:
    """The numbers of the trials that have just these sessions and were never broke, and their returns, shape (sessions, trials).

    trials and equity: the tables, sorted by trial.
    """
    cash = (trials["final_equity"] - trials["net_profit"]).round(6)
    starts = dict(zip(trials["trial"].to_list(), cash.to_list(), strict=True))
    trial, count = equity["trial"].to_numpy(), len(labels)
    ends = np.flatnonzero(np.diff(trial, append=-1)) + 1
    first = (ends - count)[np.diff(ends, prepend=0) == count]  # the first rows of those with so many sessions
    rows = first[:, None] + np.arange(count)
    same = (equity["session"].to_numpy()[rows] == labels.astype("datetime64[D]")).all(axis=1)
    columns, numbers = [], []
    for number, worth in zip(trial[first[same]].tolist(), equity["equity"].to_numpy()[rows[same]], strict=True):
        made = ratios.returns(worth, starts[number])
        if made is not None:
            columns.append(made)
            numbers.append(number)
    return np.array(numbers, np.int64), np.stack(columns, axis=1) if columns else np.zeros((count, 0))


def _returns(trials: pl.DataFrame, equity: pl.DataFrame, best: int) -> tuple[Floats | None, int]:
    """Returns of the trials that have the best one's sessions, shape (sessions, trials), and the best one's column."""
    labels = equity.filter(trial=best)["session"].to_numpy()
    numbers, returns = returns_of(trials, equity, labels)
    if best not in numbers:
        return None, 0
    return returns, int(np.flatnonzero(numbers == best)[0])


def _stability(sweep: Sweep, trials: pl.DataFrame, best: int) -> Mapping[str, Any] | None:
    """The best trial beside its neighbours on the grid; None for other searches."""
    if sweep.settings.search != "grid":
        return None
    steps = np.stack([_steps(parameter, trials[parameter.name]) for parameter in sweep.space.parameters], axis=1)
    figure, largest = sweep.objective
    objective = trials[figure].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    found = stability(steps, objective if largest else -objective)[trials["trial"].to_list().index(best)]
    return {name: value for name, value in asdict(found).items() if name in ("neighbours", "drop")} | {
        name: _signed(getattr(found, name), largest) for name in ("mean", "lowest", "highest")
    }


def _steps(parameter: Parameter, column: pl.Series) -> Ints:
    """The place of each value among the parameter's; values without an order (words, switches) have no neighbours."""
    assert isinstance(parameter.values, Listed)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in parameter.values.values)
    order = sorted(parameter.values.values) if numbers else parameter.values.values
    places = {shown(parameter, value): place * (1 if numbers else 2) for place, value in enumerate(order)}
    return np.array([places[value] for value in column.to_list()], np.int64)


def _signed(value: float | None, largest: bool) -> float | None:
    return value if largest or value is None else -value
