"""The compiled kernel: kept on disk, loaded quickly or in the ordinary way, with the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from backtester.trading import compiled

LOAD = """
import sys
from backtester.trading import compiled
compiled.kernel()
print("numba.np.arraymath" in sys.modules)
"""


def loaded(cache: Path, project: Path) -> bool:
    """Whether a new process had to prepare numba's compiler to get at the kernel."""
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(project)}
    done = subprocess.run([sys.executable, "-c", LOAD], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


def test_the_second_process_loads_the_kernel_without_the_compiler(tmp_path: Path, project: Path):
    assert loaded(tmp_path, project)
    assert not loaded(tmp_path, project)


def test_a_numba_that_keeps_its_cache_differently_compiles_in_the_ordinary_way():
    assert compiled._from_disk(SimpleNamespace(), ()) is None


def test_without_a_folder_for_the_cache_the_kernel_is_compiled_anew(monkeypatch: pytest.MonkeyPatch):
    """CLI-14: no home, nothing writable."""
    real, asked = compiled.numba.njit, []

    def refusing(*given, **options):
        asked.append(options.get("cache", False))
        if options.pop("cache", False):
            return lambda function: (_ for _ in ()).throw(RuntimeError("cannot cache function: no locator available"))
        return real(*given, **options)

    monkeypatch.setattr(compiled.numba, "njit", refusing)
    assert compiled._dispatcher().py_func.__name__ == "run_slots"
    assert asked == [True, False]


def test_the_stamp_tells_sources_apart(monkeypatch: pytest.MonkeyPatch):
    before = compiled._stamp()
    monkeypatch.setattr(compiled, "SOURCES", compiled.SOURCES[:-1])
    assert compiled._stamp() != before


def test_every_compiled_file_is_a_source():
    folder = Path(compiled.__file__).parent
    marked = {file.name for file in folder.glob("*.py") if "import compiled" in (text := file.read_text()) or "@compiled" in text}
    assert marked - {"execution.py"} <= set(compiled.SOURCES)
