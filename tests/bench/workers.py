"""What a sweep's engines cost: `python -m tests.bench.workers CONFIG --param PATH=VALUES ... --engine workers --count 2 [--trials N]`.

Prints one JSON object: start-up, seconds a trial and worker after it (wall and processor), processor seconds of the coordinator, bytes
that travel, memory. Rates are taken after the first block of every worker; processor seconds are right on a busy machine, too.
tests/bench/cores.py reckons from such objects what a thousand cores would wait for.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from backtester.market.lake import Lake
from backtester.sweeping.definition import Sweep, sweep_of
from backtester.sweeping.local import local
from backtester.sweeping.sweep import Engine, Running, run_sweep
from backtester.sweeping.tables import Tables
from backtester.sweeping.task import packed
from backtester.sweeping.variants import Trial
from backtester.sweeping.workers import Workers

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Mark:
    """A block that came in: when (wall seconds), its trials, processor seconds so far of the workers and of the coordinator."""

    at: float
    trials: int
    workers: float
    coordinator: float


@dataclass
class Watched:
    """An engine that notes when its blocks come in, and what they weigh."""

    engine: Engine
    begun: float = field(default_factory=time.perf_counter)
    marks: list[Mark] = field(default_factory=list)
    bytes_back: int = 0
    kept: float = 0.0
    watching: float = 0.0  # processor seconds that the watching itself takes
    worker_peak_mb: float = 0.0

    @contextmanager
    def __call__(self, sweep: Sweep, progress: Callable[[int], None]) -> Iterator[Running]:
        """The engine's own, watched."""
        inner: AbstractContextManager[Running] = self.engine(sweep, progress)
        with inner as running:
            yield lambda blocks: self._noted(running(blocks))

    def _noted(self, tables: Iterator[Tables]) -> Iterator[Tables]:
        for rows, equity in tables:
            now, cpu = time.perf_counter(), time.process_time()
            found = list(_workers())
            self.worker_peak_mb = max([self.worker_peak_mb, *(peak for _, peak in found)])
            self.marks.append(Mark(now - self.begun, rows.height, sum(seconds for seconds, _ in found), cpu - self.watching))
            self.bytes_back += _weight(rows) + _weight(equity)
            self.watching += time.process_time() - cpu
            waiting = time.perf_counter()
            yield rows, equity
            self.kept += time.perf_counter() - waiting


def _weight(rows: pl.DataFrame) -> int:
    buffer = io.BytesIO()
    rows.write_ipc(buffer)
    return len(buffer.getvalue())


def _workers() -> Iterator[tuple[float, float]]:
    """Processor seconds and peak MB of each process that runs trials for this one."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
            if "backtester.sweeping.worker" not in words and not words.startswith("ray::"):
                continue
            ours = f"\0{os.getpid()}\0" in words or words.startswith("ray::")  # a worker is told whose it is
            if not ours:
                continue
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            status = (folder / "status").read_text()
        except OSError:
            continue
        peak = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
        yield (int(fields[11]) + int(fields[12])) / TICKS, int(peak.split()[1]) / 1024


def measured(sweep: Sweep, engine: Engine, count: int, out: Path) -> dict[str, Any]:
    """Run the sweep and say what it cost."""
    watched, outside = Watched(engine), engine is not local
    begun_cpu = time.process_time()
    found = run_sweep(sweep, out, engine=watched, force=True)
    wall, cpu = time.perf_counter() - watched.begun, time.process_time() - begun_cpu - watched.watching
    marks, trials = watched.marks, found.trials
    return {
        "trials": trials.height,
        "lost": sweep_size(sweep) - trials.height,
        "failed": found.manifest["counts"]["failed"],
        "workers": count,
        "blocks": len(marks),
        "trials_a_block": round(trials.height / len(marks)),
        "wall_seconds": round(wall, 2),
        "keeping_seconds_a_block": watched.kept / len(marks),
        "first_block_seconds": round(marks[0].at, 2),
        "worker_seconds_by_its_first_block": marks[count - 1].workers / count if len(marks) >= count else None,
        "coordinator_seconds_at_the_end": round(cpu - (marks[-1].coordinator - begun_cpu), 2),
        **(_rates(marks[count - 1 :], count, outside) if len(marks) > count else {}),
        "coordinator_peak_mb": round(_peak_mb(), 1),
        "worker_peak_mb": round(watched.worker_peak_mb, 1),
        "bytes_out_a_trial": round(_bytes_out(sweep, marks[0].trials), 1),
        "bytes_back_a_trial": round(watched.bytes_back / trials.height, 1),
        "bytes_on_disk_a_trial": round(sum(path.stat().st_size for path in out.glob("*.parquet")) / trials.height, 1),
        "lake_bytes_a_task": lake_bytes(sweep),
        "sessions": int(found.equity["session"].n_unique()),
        "sweep_key": found.manifest["identity"]["sweep_key"],
    }


def _rates(marks: Sequence[Mark], count: int, outside: bool) -> dict[str, float | None]:
    """What trials take after the first of these blocks came in; `outside`: other processes run them."""
    first, last, after = marks[0], marks[-1], sum(mark.trials for mark in marks[1:])
    ours = last.coordinator - first.coordinator
    theirs = last.workers - first.workers if outside else ours
    return {
        "trials_a_second_and_worker": round(after / (last.at - first.at) / count, 2),
        "trials_a_processor_second": round(after / theirs, 2),
        "worker_seconds_a_trial": theirs / after,
        "coordinator_seconds_a_trial": ours / after if outside else None,
    }


def sweep_size(sweep: Sweep) -> int:
    """How many trials the sweep was asked for."""
    return len(sweep.trials())


def _peak_mb() -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def _bytes_out(sweep: Sweep, size: int) -> float:
    trials: Sequence[Trial] = sweep.trials()[:size]
    return len(packed(sweep, trials, threads=1)) / len(trials)


def lake_bytes(sweep: Sweep) -> int:
    """Bytes of the lake's files that one task reads: those of the base interval in the window, whole, for they are hashed."""
    days = sweep.config.backtest_config
    catalog = Lake.open(sweep.config.lake).catalog
    minutes = (pl.col("kind") == "bars") & (pl.col("interval") == "1m")
    files = catalog.filter(minutes & pl.col("session").is_between(days.start_date, days.end_date))
    return int(files["bytes"].sum())


def engine_of(name: str, count: int, address: str | None) -> Engine:
    """The engine of a name."""
    if name == "workers":
        return Workers(count)
    if name == "ray":
        from backtester.sweeping.ray_engine import Ray

        return Ray(address, count)
    return local


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("config", type=Path)
    words.add_argument("--param", action="append", default=[])
    words.add_argument("--set", action="append", default=[], dest="overrides")
    words.add_argument("--engine", choices=["local", "workers", "ray"], default="local")
    words.add_argument("--count", type=int, default=1, help="processes; threads of engine local")
    words.add_argument("--trials", type=int)
    words.add_argument("--block", type=int)
    words.add_argument("--address")
    asked = words.parse_args()
    overrides = [*asked.overrides, f"resources.threads={asked.count}"]
    changes = {"trials": asked.trials, "block": asked.block, "objective": "total_return"}
    sweep = sweep_of(asked.config, overrides=overrides, parameters=asked.param, changes=changes)
    folder = Path(tempfile.mkdtemp(prefix="bench-workers-"))
    workers = 1 if asked.engine == "local" else asked.count
    try:
        found = measured(sweep, engine_of(asked.engine, asked.count, asked.address), workers, folder / "out")
    finally:
        shutil.rmtree(folder)
    print(json.dumps({"engine": asked.engine, "count": asked.count} | found, indent=2))


if __name__ == "__main__":
    main()
