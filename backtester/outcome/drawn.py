"""Means of all trials over drawn sessions, as machine code: most of what a test of superiority takes.

Place in the flow: `superiority` asks here for each part of its draws. Importing this file imports numba, which is heavy.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import types

from backtester.columns import Floats, Ints
from backtester.machine_code import machine_code

_SIGNATURE = (types.Array(types.float64, 2, "C"), types.Array(types.int64, 2, "C"), types.Array(types.float64, 2, "C"))


def means(values: Floats, rows: Ints) -> Floats:
    """The mean of every trial over the sessions of each row: shape (rows, trials).

    values: C-contiguous, shape (sessions, trials); rows: sessions, shape (rows, sessions), in any order. A mean adds up sessions from
    the oldest to the newest, one that was drawn n times as n times its value.
    """
    lines, count = rows.shape
    flat = (rows + np.arange(lines)[:, None] * count).ravel()
    times = np.bincount(flat, minlength=lines * count).reshape(lines, count)
    total = np.zeros((lines, values.shape[1]))
    _code().entry_point(values, times, total)
    return np.asarray(total / count, np.float64)


@functools.cache
def _code() -> Any:
    return machine_code(_add, _SIGNATURE)


def _add(values: Floats, times: Ints, total: Floats) -> None:
    """Add `times` the values of each session to every line of `total`; what was not drawn would add 0."""
    for line in range(times.shape[0]):
        sums = total[line]
        for session in range(times.shape[1]):
            often = times[line, session]
            if often:
                row = values[session]
                for trial in range(len(row)):
                    sums[trial] += often * row[trial]
