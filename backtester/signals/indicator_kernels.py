"""The compiled loops beneath the indicators: rows in, rows out, each row from left to right.

Place in the flow: `indicators.py` asks for a loop by name when an indicator is first used; numba compiles it then, or reads it
from its cache on disk. All loops stay in this one file: numba notices a change only in the file that holds the loop. Never checks
a parameter, never lets an element to the right change the one it writes.

A missing value (NaN, infinite, or beyond LARGEST) ends a run; the next value begins a new one, which warms up anew.

Window sums do not drift. A sum is kept as a pair (total, rest) in which `rest` gathers the rounding errors of `total`, each known
exactly (Knuth's two-sum): the pair holds the true sum while the values of a run lie within some 15 powers of ten of each other.
So a mean is the true mean rounded once, the mean of equal values is that value, and the bits do not depend on where the row
begins. Where `rest` is no longer tiny beside `total`, as after a value that dwarfed all others, the window is added up anew.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from backtester.columns import Bools, Floats, Ints
from backtester.machine_code import LEAN, machine_code

Function = TypeVar("Function", bound=Callable[..., Any])

LARGEST = 1e100
TRUSTED = 2.0**-20
BLOCK = 256

ROWS = types.Array(types.float64, 2, "C", readonly=True)
STARTS = types.Array(types.int64, 1, "C", readonly=True)
SCRATCH = types.Array(types.float64, 1, "C")
OUTS = types.Array(types.float64, 2, "C")
FLAGS = types.Array(types.boolean, 2, "C")
WHOLE, NUMBER = types.int64, types.float64

_loops: dict[str, tuple[Callable[..., None], tuple[Any, ...]]] = {}


@cache
def kernel(name: str) -> Any:
    """The machine code of one loop, compiled or read from disk at its first use.

    Its `entry_point` is called with exactly the types that the loop declares; nothing is converted.

    Of several processes that compile at once each writes a whole file, and any of them serves all. (As gufuncs the loops would be
    in two files that know each other by a number of the process: those of two processes together crash.)
    """
    return machine_code(*_loops[name])


def load_all() -> None:
    """Compile, or read from disk, the machine code of every loop."""
    for name in _loops:
        kernel(name)


def _loop(*signature: Any) -> Callable[[Function], Function]:
    """Marks a function as a loop over rows, with the types of its arguments."""

    def mark(function: Function) -> Function:
        _loops[function.__name__] = (function, signature)
        return function

    return mark


def _inline(function: Function) -> Function:
    """Compiles a part of a loop into the loops that call it; division by zero gives inf or NaN."""
    jit: Any = numba.njit
    return cast(Function, jit(error_model="numpy", forceinline=True, no_cpython_wrapper=True, **LEAN)(function))


def _fused_code(context: Any, a: Any, b: Any, c: Any) -> Any:
    """The instruction a * b + c with one rounding, which numba does not offer by name."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


_fused = cast(Callable[[float, float, float], float], intrinsic(_fused_code))


@_inline
def _finite(value: float) -> bool:
    """Whether a value counts; those beyond LARGEST do not, so that no square and no sum overflows."""
    return abs(value) <= LARGEST


@_inline
def _two_sum(a: float, b: float) -> tuple[float, float]:
    """The rounded sum and its rounding error: together exactly a + b."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@_inline
def _window_sum(values: Floats, i: int, period: int) -> tuple[float, float]:
    """The sum of the `period` values up to and including the i-th."""
    total, rest = 0.0, 0.0
    for k in range(i - period + 1, i + 1):
        total, error = _two_sum(total, values[k])
        rest += error
    return total, rest


@_inline
def _slide(values: Floats, i: int, period: int, run: int, total: float, rest: float) -> tuple[int, float, float, bool]:
    """Takes the i-th value into a window's sum: values in the window, sum, and whether the sum was made anew."""
    value = values[i]
    if not _finite(value):
        return 0, 0.0, 0.0, True
    if run < period:
        total, error = _two_sum(total, value)
        return run + 1, total, rest + error, True
    change, error = _two_sum(value, -values[i - period])
    rest += error
    total, error = _two_sum(total, change)
    rest += error
    if abs(rest) <= abs(total) * TRUSTED:
        return run, total, rest, False
    # The sum is so much smaller than those before it that the errors of their errors could show.
    total, rest = _window_sum(values, i, period)
    return run, total, rest, True


@_inline
def _divided(total: float, rest: float, divisor: float, inverse: float) -> tuple[float, float]:
    """(total + rest) / divisor rounded once, and what the rounding left."""
    near = total * inverse
    part = (_fused(-near, divisor, total) + rest) / divisor
    quotient = near + part
    return quotient, part - (quotient - near)


@_inline
def _means(values: Floats, period: int, mean: Floats, left: Floats) -> None:
    """Means of each window as mean + left, which together are twice as precise; NaN where there is none."""
    divisor, inverse = float(period), 1.0 / period
    run, total, rest = 0, 0.0, 0.0
    for i in range(values.size):
        run, total, rest, _ = _slide(values, i, period, run, total, rest)
        mean[i], left[i] = np.nan, np.nan
        if run == period:
            # What is left of equal sums must be equal too, however a sum lies in its two parts.
            whole, error = _two_sum(total, rest)
            mean[i], left[i] = _divided(whole, error, divisor, inverse)


@_loop(ROWS, WHOLE, OUTS)
def mean(rows: Floats, period: int, outs: Floats) -> None:
    """The mean of each window."""
    divisor, inverse = float(period), 1.0 / period
    for row in range(len(rows)):
        values, out = rows[row], outs[row]
        run, total, rest = 0, 0.0, 0.0
        for i in range(values.size):
            run, total, rest, _ = _slide(values, i, period, run, total, rest)
            out[i] = _divided(total, rest, divisor, inverse)[0] if run == period else np.nan


@_loop(ROWS, STARTS, WHOLE, OUTS)
def cut(rows: Floats, begins: Ints, offset: int, outs: Floats) -> None:
    """The columns of rows from `offset` on, NaN before each row's own begin."""
    for row in range(len(outs)):
        wide, out = rows[row], outs[row]
        for i in range(min(begins[row], out.size)):
            out[i] = np.nan
        for i in range(begins[row], out.size):
            out[i] = wide[offset + i]


@_loop(ROWS, WHOLE, OUTS)
def weighted(rows: Floats, period: int, outs: Floats) -> None:
    """The mean of each window with weights 1, 2, ... period from its oldest to its newest value."""
    most, divisor = float(period), 0.5 * period * (period + 1.0)
    for row in range(len(rows)):
        values, out = rows[row], outs[row]
        run, total, rest, top, low = 0, 0.0, 0.0, 0.0, 0.0
        for i in range(values.size):
            before, before_rest = total, rest
            run, total, rest, anew = _slide(values, i, period, run, total, rest)
            out[i] = np.nan
            if run < period:
                continue
            if anew:
                top, low = _ramp_sum(values, i, period)
            else:
                # Every weight falls by one, so the old sum goes; the new value comes in with the full weight.
                share = most * values[i]
                top, first = _two_sum(top, share)
                top, second = _two_sum(top, -before)
                low += (first + second) + (_fused(most, values[i], -share) - before_rest)
            out[i] = _divided(top, low, divisor, 1.0 / divisor)[0]


@_inline
def _ramp_sum(values: Floats, i: int, period: int) -> tuple[float, float]:
    """The sum of the last `period` values with weights 1, 2, ... period."""
    total, rest = 0.0, 0.0
    for k in range(period):
        value, weight = values[i - period + 1 + k], k + 1.0
        share = weight * value
        total, error = _two_sum(total, share)
        rest += error + _fused(weight, value, -share)
    return total, rest


@_loop(ROWS, WHOLE, NUMBER, OUTS)
def smooth(rows: Floats, period: int, weight: float, outs: Floats) -> None:
    """Exponential smoothing with `weight` for the newest value, begun with the mean of the first `period` values."""
    divisor, inverse = float(period), 1.0 / period
    for row in range(len(rows)):
        values, out = rows[row], outs[row]
        run, total, rest, average = 0, 0.0, 0.0, 0.0
        for i in range(values.size):
            value = values[i]
            out[i] = np.nan
            if not _finite(value):
                run, total, rest = 0, 0.0, 0.0
            elif run < period:
                total, error = _two_sum(total, value)
                rest += error
                run += 1
                if run == period:
                    average = _divided(total, rest, divisor, inverse)[0]
                    out[i] = average
            else:
                average += weight * (value - average)
                out[i] = average


@_loop(ROWS, WHOLE, OUTS)
def strength(rows: Floats, period: int, outs: Floats) -> None:
    """Wilder's relative strength: 100 x rises / (rises + falls), both smoothed; 50 where nothing moved."""
    inverse = 1.0 / period
    for row in range(len(rows)):
        values, out = rows[row], outs[row]
        run, up, down = 0, 0.0, 0.0
        for i in range(values.size):
            out[i] = np.nan
            if not _finite(values[i]):
                run, up, down = 0, 0.0, 0.0
                continue
            change = values[i] - values[i - 1] if run > 0 else 0.0
            rise, fall = max(change, 0.0), max(-change, 0.0)
            if run <= period:
                up, down = up + rise, down + fall
                if run == period:
                    up, down = up / period, down / period
                run += 1
            else:
                up, down = up + (rise - up) * inverse, down + (fall - down) * inverse
            if run > period:
                out[i] = 100.0 * (up / (up + down)) if up + down > 0.0 else 50.0


@_loop(ROWS, WHOLE, SCRATCH, OUTS, OUTS)
def deviation(rows: Floats, period: int, left: Floats, means: Floats, outs: Floats) -> None:
    """The mean of each window, and its population standard deviation from squares around that mean, so never below zero."""
    for row in range(len(rows)):
        values, mean, out = rows[row], means[row], outs[row]
        _means(values, period, mean, left)
        for first in range(0, values.size, BLOCK):
            last = min(first + BLOCK, values.size)
            out[first:last] = 0.0
            for back in range(min(period, last)):
                _add_gaps(values, mean, left, out, first, last, back, True)
            for i in range(first, last):
                out[i] = np.sqrt(out[i] / period)


@_loop(ROWS, WHOLE, SCRATCH, SCRATCH, OUTS)
def cci(rows: Floats, period: int, mean: Floats, left: Floats, outs: Floats) -> None:
    """The value's distance from its window's mean in 0.015 mean absolute deviations; 0 where all are equal."""
    for row in range(len(rows)):
        values, out = rows[row], outs[row]
        _means(values, period, mean, left)
        for first in range(0, values.size, BLOCK):
            last = min(first + BLOCK, values.size)
            out[first:last] = 0.0
            for back in range(min(period, last)):
                _add_gaps(values, mean, left, out, first, last, back, False)
            for i in range(first, last):
                gap, scale = (values[i] - mean[i]) - left[i], 0.015 * (out[i] / period)
                out[i] = gap / scale if scale != 0.0 else 0.0


@_inline
def _add_gaps(values: Floats, mean: Floats, left: Floats, sums: Floats, first: int, last: int, back: int, squared: bool) -> None:
    """For each i in [first, last) adds to `sums` the distance (squared or not) of the value `back` steps before from i's mean.

    Elements side by side rather than windows one by one: the processor takes several at once, and each sum keeps its order.
    """
    begin = max(first, back)
    old = values[begin - back : last - back]
    centre, rest, part = mean[begin:last], left[begin:last], sums[begin:last]
    for j in range(old.size):
        gap = (old[j] - centre[j]) - rest[j]
        part[j] += gap * gap if squared else abs(gap)


@_loop(ROWS, WHOLE, NUMBER, SCRATCH, OUTS)
def extreme(rows: Floats, period: int, sign: float, tail: Floats, outs: Floats) -> None:
    """The highest (sign 1) or lowest (sign -1) value of each window.

    Rows are cut into blocks of `period` (van Herk): a window is the tail of one block and the head of the next.
    """
    for row in range(len(rows)):
        values, out = rows[row], outs[row]
        whole, place, best = False, 0, 0.0
        for i in range(values.size):
            out[i] = np.nan
            value = sign * values[i]
            if not _finite(value):
                whole, place = False, 0
                continue
            best = value if place == 0 or value > best else best
            place += 1
            if place == period:
                out[i] = sign * best
                whole, place = True, 0
                for k in range(period):
                    other = sign * values[i - k]
                    value = other if other > value else value
                    tail[period - 1 - k] = value
            elif whole:
                out[i] = sign * (tail[place] if tail[place] > best else best)


@_loop(ROWS, WHOLE, NUMBER, OUTS)
def swing(rows: Floats, period: int, sign: float, outs: Floats) -> None:
    """A high (sign 1) or low (sign -1) that stands out from `period` values on each side, written where the last of them stands.

    It is beyond every value on its left and not short of any on its right, so that equal highs count once.
    """
    for row in range(len(rows)):
        values, out = rows[row], outs[row]
        run = 0
        for i in range(values.size):
            out[i] = np.nan
            run = run + 1 if _finite(values[i]) else 0
            if run <= 2 * period:
                continue
            middle = i - period
            peak = sign * values[middle]
            stands = True
            for k in range(1, period + 1):
                stands = sign * values[middle - k] < peak and sign * values[middle + k] <= peak
                if not stands:
                    break
            if stands:
                out[i] = values[middle]


@_loop(ROWS, ROWS, ROWS, ROWS, STARTS, OUTS)
def vwap(highs: Floats, lows: Floats, closes: Floats, volumes: Floats, starts: Ints, outs: Floats) -> None:
    """The mean typical price since column `start`, weighted by volume; bars that miss a value, or of negative volume, are left out.

    Prices are summed as distances from the first one, which keeps a constant price exact.
    """
    for row in range(len(highs)):
        high, low, close, volume, out, start = highs[row], lows[row], closes[row], volumes[row], outs[row], starts[row]
        seen, anchor, value, value_rest, weight, weight_rest = False, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(close.size):
            out[i] = np.nan
            price = close[i] + ((high[i] - close[i]) + (low[i] - close[i])) / 3.0
            if i < start or not (_finite(price) and _finite(volume[i]) and volume[i] >= 0.0):
                continue
            if not seen:
                seen, anchor = True, price
            value, error = _two_sum(value, (price - anchor) * volume[i])
            value_rest += error
            weight, error = _two_sum(weight, volume[i])
            weight_rest += error
            if weight > 0.0:
                out[i] = anchor + (value + value_rest) / (weight + weight_rest)


@_loop(ROWS, ROWS, OUTS)
def obv(closes: Floats, volumes: Floats, outs: Floats) -> None:
    """Volume added where the close rose and subtracted where it fell; begins with the first volume, leaves out what is missing."""
    for row in range(len(closes)):
        close, volume, out = closes[row], volumes[row], outs[row]
        seen, before, total, rest = False, 0.0, 0.0, 0.0
        for i in range(close.size):
            out[i] = np.nan
            if not (_finite(close[i]) and _finite(volume[i])):
                continue
            if not seen or close[i] != before:
                total, error = _two_sum(total, volume[i] if not seen or close[i] > before else -volume[i])
                rest += error
            seen, before = True, close[i]
            out[i] = total + rest


@_loop(ROWS, ROWS, FLAGS)
def crosses(lefts: Floats, rights: Floats, outs: Bools) -> None:
    """True where the left value is above the right one and was not on the bar before."""
    for row in range(len(lefts)):
        left, right, out = lefts[row], rights[row], outs[row]
        if out.size > 0:
            out[0] = False
        for i in range(1, out.size):
            out[i] = (left[i] > right[i]) & (left[i - 1] <= right[i - 1])
