"""Compiled: prices asked for before they are looked at.

Place in the flow: a hundred symbols side by side are more streams of prices than a processor foresees, and waiting for them is a third
of the kernel's time; quiet.py and decisions.py say which comes next. Changes when a price is there, never what it is.
"""

from __future__ import annotations

from typing import Any

from numba import extending, types
from numba.core import cgutils

_numba: Any = extending
_code: Any = cgutils
"""Parts of numba that say little of their own types."""
LINE = 8
"""Prices that come from memory together."""


def _ahead(typing: Any, prices: Any, s: Any, t: Any) -> Any:
    """The type of a look ahead: nothing comes of it; and how it is made."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(prices)(context, builder, values[0])
        place = _code.get_item_pointer(context, builder, prices, array, values[1:])
        byte, word = _code.voidptr_t, _code.ir.IntType(32)
        kind = _code.ir.FunctionType(_code.ir.VoidType(), [byte, word, word, word])
        ask = _code.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(ask, [builder.bitcast(place, byte), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.none(prices, s, t), lower


ahead: Any = _numba.intrinsic(_ahead)
"""A compiled part: have a price of a grid (symbols, slots) come from memory meanwhile; it may lie beyond the grid."""
