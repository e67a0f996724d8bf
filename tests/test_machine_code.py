"""Machine code: from disk where there is some, compiled in the ordinary way where there is none or it cannot be kept."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
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


def test_code_from_disk_needs_nothing_of_the_compiler_which_still_works_after_it(tmp_path: Path) -> None:
    program = (
        "import sys, numba, numpy as np\n"
        "from numba.core.runtime.nrt import rtsys\n"
        "from backtester.outcome import drawn\n"
        "print(drawn.means(np.array([[1.0], [4.0]]), np.array([[0, 1], [1, 1]])).tolist(), rtsys._init)\n"
        "print(numba.njit(lambda number: number + 1)(2), rtsys._init)\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    words = [sys.executable, "-c", program]
    first, second = (subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == "[[2.5], [4.0]] True\n3 True\n"
    assert second == "[[2.5], [4.0]] False\n3 True\n"


@pytest.mark.parametrize("damage", [b"", b"not a pickle", b"cnumpy\nno_such_name\n."], ids=["empty", "damaged", "names that are gone"])
def test_code_that_cannot_be_read_is_made_again(damage: bytes, tmp_path: Path) -> None:
    """As after a change of version, when the file on disk speaks of classes that stand elsewhere by now."""
    program = (
        "import numpy as np\n"
        "from backtester.outcome import drawn\n"
        "print(drawn.means(np.array([[1.0], [4.0]]), np.array([[0, 1], [1, 1]])).tolist())\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    words = [sys.executable, "-c", program]
    subprocess.run(words, env=environment, capture_output=True, check=True)
    (index,) = tmp_path.rglob("*.nbi")
    good = index.read_bytes()
    version = pickle.dumps(pickle.loads(good))
    index.write_bytes(version + damage)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[[2.5], [4.0]]\n"
    assert index.read_bytes() == good


def test_numba_is_entered_by_its_front_door() -> None:
    """Where threads come in at once, one by `numba` and one by `numba.core`, Python hands out modules that are not made yet."""
    seen = 0
    for path in (Path(machine_code.__file__).parent).rglob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]) and words[1].split(".")[0] == "numba":
                assert words[1] == "numba", f"{path}: {line}"
                seen += 1
                break
    assert seen > 3
