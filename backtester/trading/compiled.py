"""The kernel as machine code: its sources, its types, its stamp.

Place in the flow: `execution.trade` calls `kernel()` at its first chunk. Never imported before that: numba is heavy.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numba import from_dtype, types

from backtester.machine_code import machine_code
from backtester.trading import records as r
from backtester.trading.alone import BAR, TALLY, Ledger, Rows, Wish
from backtester.trading.alone import WHOLE as ALL_PAIRS
from backtester.trading.alone_kernel import alone as alone_source
from backtester.trading.kernel import kernel as source
from backtester.trading.plain import WHOLE, Bounds, Road, Wanted
from backtester.trading.plain_account import Sheet
from backtester.trading.plain_kernel import plain as plain_source

SOURCES = (
    "ahead.py",
    "book.py",
    "calm.py",
    "costs.py",
    "decisions.py",
    "drill.py",
    "guards.py",
    "kernel.py",
    "margin.py",
    "money.py",
    "positions.py",
    "prices.py",
    "quiet.py",
    "records.py",
    "reference.py",
    "resting.py",
    "risk.py",
    "weights.py",
)
"""The files that the machine code is made from; a change in any of them makes it anew."""
PLAIN_SOURCES = (*SOURCES, "plain_kernel.py", "plain_steps.py")
ALONE_SOURCES = (*SOURCES, "alone_kernel.py", "plain_steps.py")
"""Those of the two kernels of plain trading."""


@functools.cache
def kernel() -> Any:
    """The compiled kernel; call its `entry_point(tape, book, signals, first)` with C-contiguous arrays of exactly these types."""
    return machine_code(source(_stamp(SOURCES)), (_tape(), _book(), _array(r.SIGNAL, True), types.int64))


@functools.cache
def plain() -> Any:
    """The compiled plain kernel; call its `entry_point(road, sheet, signal, wanted, bounds)`."""
    whole, real = types.Array(types.int64, 1, "C"), types.Array(types.float64, 1, "C")
    named: Any = types.NamedTuple
    wanted = named([whole, whole, whole, real, real], Wanted)
    bounds = named([real, whole, _array(WHOLE), whole], Bounds)
    return machine_code(plain_source(_stamp(PLAIN_SOURCES)), (_road(), _sheet(), _array(r.SIGNAL), wanted, bounds))


@functools.cache
def alone() -> Any:
    """The compiled kernel of pairs that are alone; call its `entry_point(road, sheet, signal, wish, rows, ledger, first, cash)`."""
    whole, small = types.Array(types.int64, 1, "C"), types.Array(types.int32, 1, "C")
    flags, given = (types.Array(kind, 1, "C", readonly=True) for kind in (types.boolean, types.int64))
    named: Any = types.NamedTuple
    wish = named([flags] * 4 + [given] * 4, Wish)
    rows = named([given] * 5, Rows)
    ledger = named([_array(BAR, True), given, whole, whole, small, small, whole, _array(TALLY), _array(ALL_PAIRS)], Ledger)
    given_to = (_road(), _sheet(), _array(r.SIGNAL), wish, rows, ledger, types.int64, types.int64)
    return machine_code(alone_source(_stamp(ALONE_SOURCES)), given_to)


def _stamp(sources: Sequence[str]) -> int:
    """A number of the source files' contents."""
    digest = hashlib.sha256()
    for name in sources:
        digest.update((Path(__file__).parent / name).read_bytes())
    return int.from_bytes(digest.digest()[:7], "big")


def _prices() -> Any:
    return types.Array(types.float64, 2, "C", readonly=True)


def _road() -> Any:
    """The type of the market of plain trading."""
    named: Any = types.NamedTuple
    real = types.Array(types.float64, 1, "C")
    return named([_prices()] * 3 + [types.Array(types.int64, 2, "C"), real, real, _array(r.SLOT, True)], Road)


def _sheet() -> Any:
    """The type of the records of plain trading."""
    named: Any = types.NamedTuple
    whole = types.Array(types.int64, 1, "C")
    written = [_array(record) for record in (r.PAIR, r.ORDER, r.FILL, r.TRADE, r.MOMENT, r.SUMS)]
    given = [_array(record, True) for record in (r.RULES, r.INSTRUMENT, r.TIER)]
    return named([*given, _array(r.ACCOUNT), _array(r.PURSE), whole, *written], Sheet)


def _tape() -> Any:
    """The type of the kernel's market."""
    named: Any = types.NamedTuple
    return named([_prices()] * 14 + [_array(r.SLOT, True), _array(r.FINER, True), _array(r.SPAN, True)], r.Tape)


def _book() -> Any:
    """The type of the kernel's records."""
    named: Any = types.NamedTuple
    written = [_array(record) for record in (r.PAIR, r.ORDER, r.FILL, r.TRADE, r.VERDICT, r.MOMENT, r.SUMS)]
    active = types.Array(types.int64, 1, "C")
    given = [_array(record, True) for record in (r.RULES, r.INSTRUMENT, r.TIER, r.RUNG)]
    return named([*given, _array(r.ACCOUNT), _array(r.PURSE), active, active, *written, active, active, _array(r.SHARE)], r.Book)


def _array(record: Any, readonly: bool = False) -> Any:
    """An array of one record type, as numba names it."""
    return types.Array(from_dtype(record), 1, "C", readonly=readonly)
