"""The tables of a sweep: one row a trial, and one row a trial and session.

Place in the flow: blocks become frames here, in the process that ran them; frames of all blocks on end are the result. What a
row says never depends on its neighbours.

    trials         trial, key, one column a parameter, status, error, seconds, one column a figure
    trial_equity   trial, session, equity
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from backtester.outcome.digests import array_digest
from backtester.sweeping.block import Block
from backtester.sweeping.figures import COUNTS, FIGURES
from backtester.sweeping.space import Combination, Parameter, Space
from backtester.sweeping.values import Drawn
from backtester.sweeping.variants import key_of

Tables = tuple[pl.DataFrame, pl.DataFrame]
"""Rows of the table of trials, and of their equity."""
DONE, FAILED = "done", "failed"
STATUSES = (DONE, FAILED)
RESERVED = ("run", "trial", "key", "status", "error", "seconds", *FIGURES)
"""Columns that no parameter may be called; `run` is a sweep's name where it is asked in SQL."""


def trials_schema(space: Space) -> dict[str, pl.DataType]:
    """Columns of the table of trials, in order."""
    head: dict[str, pl.DataType] = {"trial": pl.Int64(), "key": pl.String()}
    values = {parameter.name: dtype_of(parameter) for parameter in space.parameters}
    tail = {"status": pl.String(), "error": pl.String(), "seconds": pl.Float64()}
    return head | values | tail | {name: pl.Int64() if name in COUNTS else pl.Float64() for name in FIGURES}


EQUITY_SCHEMA = {"trial": pl.Int64(), "session": pl.Date(), "equity": pl.Float64()}


def dtype_of(parameter: Parameter) -> pl.DataType:
    """What a parameter's column holds: whole numbers, numbers, truths, or text (JSON where values are neither)."""
    if isinstance(parameter.values, Drawn):
        return pl.Int64() if parameter.values.scale == "int" else pl.Float64()
    kinds = {type(value) for value in parameter.values.values if value is not None}
    if kinds == {bool}:
        return pl.Boolean()
    if kinds == {int}:
        return pl.Int64()
    return pl.Float64() if kinds and kinds <= {int, float} else pl.String()


def shown(parameter: Parameter, value: Any) -> Any:
    """A value as its column holds it."""
    if value is None or dtype_of(parameter) != pl.String or isinstance(value, str):
        return value
    return json.dumps(value)


def trials_frame(space: Space, block: Block) -> pl.DataFrame:
    """The rows of a block's trials."""
    rows = []
    for outcome in block.outcomes:
        trial = outcome.trial
        values = [shown(parameter, value) for parameter, value in zip(space.parameters, trial.values, strict=True)]
        found = outcome.figures or {}
        status = DONE if outcome.error is None else FAILED
        rows.append((trial.number, trial.key, *values, status, outcome.error, outcome.seconds, *(found.get(name) for name in FIGURES)))
    return pl.DataFrame(rows, schema=trials_schema(space), orient="row")


def combination_of(space: Space, row: Mapping[str, Any]) -> Combination:
    """The values of a trial, from its row of the table."""
    known = [
        [row[parameter.name]]
        if isinstance(parameter.values, Drawn)
        else [value for value in parameter.values.values if shown(parameter, value) == row[parameter.name]]
        for parameter in space.parameters
    ]
    return next(combination for combination in product(*known) if key_of(space, combination) == row["key"])


def equity_frame(block: Block) -> pl.DataFrame:
    """Equity at the ends of sessions of a block's trials that were done."""
    done = [outcome for outcome in block.outcomes if outcome.error is None]
    if not done:
        return pl.DataFrame(schema=EQUITY_SCHEMA)
    sessions = [block.sessions[outcome.trial.number].astype("datetime64[D]") for outcome in done]
    numbers = np.repeat([outcome.trial.number for outcome in done], [len(labels) for labels in sessions])
    equity = np.concatenate([outcome.equity for outcome in done])
    return pl.DataFrame({"trial": numbers, "session": np.concatenate(sessions), "equity": equity}, schema=EQUITY_SCHEMA)


def digest(table: pl.DataFrame) -> str:
    """The digest of a sorted table of trials, or of their equity: of all that must be the same wherever and however it was made."""
    columns: dict[str, Any] = {}
    for series in table.drop("seconds", strict=False).iter_columns():
        columns[f"{series.name} is null"] = series.is_null().to_numpy()
        if series.dtype == pl.String:
            columns[series.name] = series.fill_null("").to_list()
        else:
            columns[series.name] = series.to_physical().fill_null(False if series.dtype == pl.Boolean else 0).to_numpy()
    return array_digest(columns)
