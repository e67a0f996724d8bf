"""Machine code: from disk where there is some, compiled in the ordinary way where there is none or it cannot be kept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numba.core import types

from backtester import machine_code

SIGNATURE = (types.Array(types.float64, 1, "C"), types.float64)


def add(values: Any, number: float) -> None:
    for place in range(len(values)):
        values[place] += number


def test_a_numba_that_keeps_its_cache_differently_compiles_in_the_ordinary_way() -> None:
    assert machine_code._from_disk(SimpleNamespace(), ()) is None


def test_without_a_folder_for_the_cache_the_function_is_compiled_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-14: no home, nothing writable."""
    real, asked = machine_code.numba.njit, []

    def refusing(*given: Any, **options: Any) -> Any:
        asked.append(options.get("cache", False))
        if options.pop("cache", False):
            return lambda function: (_ for _ in ()).throw(RuntimeError("cannot cache function: no locator available"))
        return real(*given, **options)

    monkeypatch.setattr(machine_code.numba, "njit", refusing)
    values = np.array([1.0, 2.0])
    machine_code.machine_code(add, SIGNATURE).entry_point(values, 0.5)
    assert values.tolist() == [1.5, 2.5]
    assert asked[:2] == [True, False]
    assert not any(asked[1:])


def test_another_error_of_the_compiler_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**options: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(machine_code.numba, "njit", broken)
    with pytest.raises(RuntimeError, match="something else"):
        machine_code.machine_code(add, SIGNATURE)
