"""The script of docs/clusters.md for Slurm, on this machine: stand-ins for `srun` and `scontrol` run what they are given here."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import backtester as bt
from backtester.sweeping.folder import load
from tests.configs import config, strategy

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]
STAND_INS = {
    "scontrol": "printf 'one\\ntwo\\n'",
    "srun": 'while [[ "$1" == --* ]]; do shift; done\nif [ "$1" = hostname ]; then echo 127.0.0.1; else exec "$@"; fi',
    "bt": f'exec {sys.executable} -m backtester "$@"',
    "python": f'exec {sys.executable} "$@"',
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short name, for sockets; the processes that name it are ended with it."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    yield folder
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue
    shutil.rmtree(folder, ignore_errors=True)


def script(place: Path, written: Path) -> str:
    """The page's script with this machine's paths."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if "#SBATCH" in block]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    changes = {
        ". /shared/venv/bin/activate": ":", "NUMBA_CACHE_DIR=/shared/numba": "", "6379": port,
        "/shared/configs/sweep.json": str(written), "/shared/sweeps/first": str(place / "out"),
    }  # fmt: skip
    for old, new in changes.items():
        assert old in found
        found = found.replace(old, new)
    return found


def test_the_script_starts_two_nodes_and_sweeps_on_them(place: Path, simulated: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: make cluster")
    swept = config(simulated, {
        "strategies": strategy("sma_crossover"), "session_data_config.symbols": ["AAA"],
        "backtest_config": {"start_date": "2024-11-04", "end_date": "2024-11-29"},
        "sweep": {"parameters": {"strategies.0.params.fast": "2:9:1"}},
    })  # fmt: skip
    (tmp_path / "mine.json").write_text(json.dumps(swept))
    (place / "bin").mkdir()
    for name, body in STAND_INS.items():
        (place / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (place / "bin" / name).chmod(0o755)
    (place / "job").write_text(script(place, tmp_path / "mine.json"))
    path = os.pathsep.join([str(place / "bin"), str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    nodes = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "2"}
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(place), "RAY_TMPDIR": str(place), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    env = os.environ | nodes | own
    with (place / "said").open("wb") as said:
        done = subprocess.run(["/bin/bash", place / "job"], env=env, stdout=said, stderr=said, check=False, timeout=300)
    assert done.returncode == 0, (place / "said").read_text()[-2000:]
    here = bt.sweep(tmp_path / "mine.json", out=tmp_path / "here")
    assert load(place / "out").manifest["identity"]["sweep_key"] == here.manifest["identity"]["sweep_key"]
