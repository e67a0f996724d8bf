"""What a sweep on many cores would wait for: `python -m tests.bench.cores LARGE.json SMALL.json`.

LARGE and SMALL are what tests/bench/workers.py printed for large and for small blocks; from the two the cost of a task and of a trial
are told apart. Prints a table: rows by cores and trials, the wall time, and which of these is the longest:

    trading        trials of a core, the reading and preparing of its tasks, and its start
    coordinator    handing out, receiving and keeping, one after the other
    lake           bytes that all tasks read, at the speed of the shared storage
    link           bytes that travel to and from the coordinator

Everything beyond two cores is reckoned, not measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORES = (2, 16, 64, 256, 1000)
TRIALS = (10_000, 1_000_000)


@dataclass(frozen=True)
class Costs:
    """Seconds: of a worker's start, of a task and of a trial there, of a task and of a trial at the coordinator, of a trial at the end.

    Bytes: of a trial that travel, that the coordinator holds, of the lake that a task reads.
    """

    start: float
    task: float
    trial: float
    coordinator_task: float
    coordinator_trial: float
    end_trial: float
    travel: float
    held: float
    lake: float


@dataclass(frozen=True)
class Reckoned:
    """One row: cores, trials, trials a task, seconds of each, and of all."""

    cores: int
    trials: int
    size: int
    trading: float
    coordinator: float
    lake: float
    link: float
    end: float
    memory_mb: float

    @property
    def wall(self) -> float:
        """The longest of what goes on side by side, and the end."""
        return max(self.trading, self.coordinator, self.lake, self.link) + self.end

    @property
    def longest(self) -> str:
        """Which of them that is."""
        return max(("trading", "coordinator", "lake", "link"), key=lambda name: getattr(self, name))


def costs_of(large: dict[str, Any], small: dict[str, Any]) -> Costs:
    """Costs of tasks and trials from two measurements of the same sweep with blocks of two sizes."""
    sizes = [float(found["trials_a_block"]) for found in (large, small)]
    there, here = ([float(found[name]) for found in (large, small)] for name in ("worker_seconds_a_trial", "coordinator_seconds_a_trial"))
    task, trial = _parts(sizes, there)
    ours_task, ours_trial = _parts(sizes, here)
    more = (large["coordinator_peak_mb"] - small["coordinator_peak_mb"]) * 1e6 / (large["trials"] - small["trials"])
    return Costs(
        start=max(0.0, small["worker_seconds_by_its_first_block"] - task - trial * sizes[1]),
        task=task, trial=trial, coordinator_task=ours_task, coordinator_trial=ours_trial,
        end_trial=large["coordinator_seconds_at_the_end"] / large["trials"],
        travel=large["bytes_out_a_trial"] + large["bytes_back_a_trial"], held=max(0.0, more), lake=float(large["lake_bytes_a_task"]),
    )  # fmt: skip


def _parts(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Seconds of a task and of a trial, from seconds a trial (with its share of the task's) at two sizes of tasks."""
    task = (seconds[1] - seconds[0]) / (1.0 / sizes[1] - 1.0 / sizes[0])
    return max(0.0, task), max(0.0, seconds[0] - task / sizes[0])


def reckoned(costs: Costs, cores: int, trials: int, lake_speed: float, link_speed: float) -> Reckoned:
    """The seconds of a sweep; tasks are as large as `backtester.sweeping.workers.spread` makes them."""
    from backtester.sweeping.sweep import MOST_TRIALS_A_BLOCK
    from backtester.sweeping.workers import FEW

    size = min(MOST_TRIALS_A_BLOCK, max(1, -(-trials // (4 * cores)), min(-(-trials // cores), FEW)))
    tasks = -(-trials // size)
    rounds = -(-tasks // cores)
    return Reckoned(
        cores, trials, size,
        trading=costs.start + rounds * (costs.task + size * costs.trial),
        coordinator=tasks * costs.coordinator_task + trials * costs.coordinator_trial,
        lake=tasks * costs.lake / lake_speed,
        link=trials * costs.travel / link_speed,
        end=trials * costs.end_trial,
        memory_mb=trials * costs.held / 1e6,
    )  # fmt: skip


def lines(costs: Costs, lake_speed: float, link_speed: float) -> Iterator[str]:
    """The table, in Markdown."""
    yield "| cores | trials | trials a task | trading s | coordinator s | lake s | link s | end s | wall s | longest | coordinator MB |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for trials in TRIALS:
        for cores in CORES:
            row = reckoned(costs, cores, trials, lake_speed, link_speed)
            seconds = [f"{value:,.1f}" for value in (row.trading, row.coordinator, row.lake, row.link, row.end, row.wall)]
            yield f"| {cores:,} | {trials:,} | {row.size:,} | {' | '.join(seconds)} | {row.longest} | {row.memory_mb:,.0f} |"


def main() -> None:
    """Print the costs and the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("large", type=Path)
    words.add_argument("small", type=Path)
    words.add_argument("--lake-mb-a-second", type=float, default=1000.0, help="what the shared storage gives all machines together")
    words.add_argument("--link-mb-a-second", type=float, default=125.0, help="the coordinator's network: 1 Gbit/s")
    asked = words.parse_args()
    costs = costs_of(*(json.loads(path.read_text(encoding="utf-8")) for path in (asked.large, asked.small)))
    print(", ".join(f"{name} {value:.3g}" for name, value in vars(costs).items()), end="\n\n")
    print("\n".join(lines(costs, asked.lake_mb_a_second * 1e6, asked.link_mb_a_second * 1e6)))


if __name__ == "__main__":
    main()
