"""The compiled kernel: kept on disk, loaded without the compiler, made anew with its sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def test_the_stamp_tells_sources_apart() -> None:
    assert compiled._stamp(compiled.SOURCES) != compiled._stamp(compiled.SOURCES[:-1])


def test_every_compiled_file_is_a_source():
    folder = Path(compiled.__file__).parent
    marked = {file.name for file in folder.glob("*.py") if "import compiled" in (text := file.read_text()) or "@compiled" in text}
    assert marked - {"execution.py", "accounts.py", "plain.py", "alone.py"} <= {*compiled.PLAIN_SOURCES, *compiled.ALONE_SOURCES}
