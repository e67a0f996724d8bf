"""Machine code: a function compiled by numba once, kept on disk, and read from there without numba's compiler.

Place in the flow: the lowest floor; the kernels of signals and trading ask for their code here at first use. Importing this file
imports numba, which is heavy. Never changes what a function means: it is compiled as written, without fast math.

numba prepares its whole compiler, a quarter of a second, before it looks into its cache; `_from_disk` looks first. Its cache lies in
`__pycache__` beside the function's file, in the user's cache folder where that is not writable, or where NUMBA_CACHE_DIR says;
where no such place can be written the function is compiled for this process alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

LEAN = {"_nrt": False, "no_cfunc_wrapper": True}
"""Nothing is allocated in a kernel, so numba's memory need not be prepared; working space is handed in."""

_building = threading.Lock()


def machine_code(function: Callable[..., Any], signature: tuple[Any, ...]) -> Any:
    """The compiled function; call its `entry_point` with C-contiguous arrays of exactly the signature's types.

    Division by zero gives inf or NaN; other threads run meanwhile.
    """
    with _building:
        try:
            return _built(function, signature, on_disk=True)
        except (OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "no locator available" not in str(error):
                raise
            return _built(function, signature, on_disk=False)


def _built(function: Callable[..., Any], signature: tuple[Any, ...], *, on_disk: bool) -> Any:
    jit: Any = numba.njit
    dispatcher = jit(error_model="numpy", nogil=True, cache=on_disk, **LEAN)(function)
    found = _from_disk(dispatcher, signature) if on_disk else None
    if found is not None:
        return found
    dispatcher.compile(signature)
    return dispatcher.overloads[signature]


def _from_disk(dispatcher: Any, signature: tuple[Any, ...]) -> Any:
    """What numba's cache holds for the signature, or None; also None where this numba keeps its cache differently.

    A file that cannot be read is emptied: it is damaged, or speaks of classes that another version of the program had elsewhere.
    """
    try:
        from numba.core.compiler_lock import global_compiler_lock
        from numba.core.registry import cpu_target

        look, context = dispatcher._cache._load_overload, cpu_target.target_context
    except (ImportError, AttributeError):
        return None
    with global_compiler_lock:
        try:
            return look(signature, context)
        except OSError:
            raise
        except Exception:  # whatever unpickling may raise
            dispatcher._cache.flush()
            return None


def _lowest_bit_code(context: Any, bits: Any) -> Any:
    """The instruction that counts the zeros below the lowest one, which numba does not offer by name."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


lowest_bit = cast(Callable[[int], int], intrinsic(_lowest_bit_code))
"""Which bit of a whole number other than 0 is the lowest one; only for functions that are compiled."""
