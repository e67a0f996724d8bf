"""Compiled: a tuple of arrays handed on as one pointer.

Place in the flow: kernel.py puts its market and its records behind a pointer once a chunk, and its parts take that. numba hands a tuple of
arrays to a function as all of their pointers, shapes and strides: more than two hundred words at every call that is not merged into its
caller. Never copies an array, never outlives the call that made it.
"""

from __future__ import annotations

from typing import Any

from numba import extending, types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate

_numba: Any = extending
_code: Any = cgutils
"""Parts of numba that say little of their own types."""


class Reference(types.Type):
    """A pointer to a named tuple; its fields are read as the tuple's own."""

    def __init__(self, held: Any) -> None:
        self.held = held
        super().__init__(name=f"{held.instance_class.__name__}{held._code}")


@_numba.register_model(Reference)
class _Model(_numba.models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Reference) -> None:
        super().__init__(manager, kind, manager.lookup(kind.held).get_value_type().as_pointer())


@_numba.infer_getattr
class _Fields(AttributeTemplate):
    key = Reference

    def generic_resolve(self, kind: Reference, name: str) -> Any:  # type: ignore[override]
        fields = kind.held.fields
        return kind.held.types[fields.index(name)] if name in fields else None


@_numba.lower_getattr_generic(Reference)  # type: ignore[untyped-decorator]
def _read(context: Any, builder: Any, kind: Reference, pointer: Any, name: str) -> Any:
    """A field, which nothing changes while there is a pointer to it."""
    place = kind.held.fields.index(name)
    field = kind.held.types[place]
    array = _code.create_struct_proxy(field)(context, builder)
    stored = context.data_model_manager[field]
    unchanging = builder.module.add_metadata([])
    for at, member in enumerate(stored._fields):
        read = builder.load(_code.gep_inbounds(builder, pointer, 0, place, at))
        read.set_metadata("invariant.load", unchanging)
        setattr(array, member, read)
    return array._getvalue()


def _refer(typing: Any, held: Any) -> Any:
    """The type of the pointer to a named tuple, and how it is made."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        written = _code.alloca_once_value(builder, values[0])
        # Nothing may be read through the pointer before all is written: no instruction, but one that the compiler cannot look through.
        same = _code.ir.FunctionType(written.type, [written.type])
        return builder.asm(same, "", "=r,0,~{memory}", [written], True)

    return Reference(held)(held), lower


refer: Any = _numba.intrinsic(_refer)
"""A compiled part: a pointer to a named tuple of arrays, good until the function that asks for it returns."""
