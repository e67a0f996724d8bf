"""The kernel as machine code: compiled once, kept on disk by numba, loaded without numba's compiler.

Place in the flow: `execution.trade` calls `kernel()` at its first chunk. Never imported before that: numba is heavy.

numba prepares its whole compiler (a quarter of a second) before it looks into its cache. `_from_disk` looks first, which takes
some hundredths; where that is not possible the ordinary way serves, with the same machine code.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import numba
from numba import from_dtype, types

from backtester.trading import records as r
from backtester.trading.kernel import kernel as source

SOURCES = ("book.py", "costs.py", "kernel.py", "records.py", "risk.py")
"""The files that the machine code is made from; a change in any of them makes it anew."""


@functools.cache
def kernel() -> Any:
    """The compiled kernel; call its `entry_point(tape, book, signals, first)` with C-contiguous arrays of exactly these types."""
    dispatcher = _dispatcher()
    signature = _signature()
    found = _from_disk(dispatcher, signature)
    if found is not None:
        return found
    dispatcher.compile(signature)
    return dispatcher.overloads[signature]


def _dispatcher() -> Any:
    """The kernel as numba wraps it; without a cache where no folder for it can be written."""
    function, jit = source(_stamp()), functools.partial(numba.njit, error_model="numpy", _nrt=False, no_cfunc_wrapper=True)
    try:
        return jit(cache=True)(function)
    except RuntimeError:
        return jit()(function)


def _stamp() -> int:
    """A number of the source files' contents."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    return int.from_bytes(digest.digest()[:7], "big")


def _signature() -> tuple[Any, ...]:
    """The types of the kernel's arguments."""
    prices = types.Array(types.float64, 2, "C", readonly=True)
    named: Any = types.NamedTuple
    tape = named([prices] * 9 + [_array(r.SLOT, True)], r.Tape)
    written = [_array(record) for record in (r.PAIR, r.ORDER, r.FILL, r.TRADE, r.VERDICT, r.MOMENT)]
    active = types.Array(types.int64, 1, "C")
    book = named([_array(r.RULES, True), _array(r.ACCOUNT), active, *written], r.Book)
    return (tape, book, _array(r.SIGNAL, True), types.int64)


def _array(record: Any, readonly: bool = False) -> Any:
    """An array of one record type, as numba names it."""
    return types.Array(from_dtype(record), 1, "C", readonly=readonly)


def _from_disk(dispatcher: Any, signature: tuple[Any, ...]) -> Any:
    """What numba's cache holds for the signature, or None; also None where this numba keeps its cache differently."""
    try:
        from numba.core.compiler_lock import global_compiler_lock
        from numba.core.registry import cpu_target
        from numba.core.runtime.nrt import rtsys

        look, context = dispatcher._cache._load_overload, cpu_target.target_context
    except (ImportError, AttributeError):
        return None
    with global_compiler_lock:
        rtsys.initialize(context)
        return look(signature, context)
