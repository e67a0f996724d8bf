"""Time and memory of whole processes.

Each run is a process of its own, from start to exit; its figures are those that the operating system kept for it and for the
processes that it waited for (`wait4`, called by launch.py). Never measures inside a program, so that all programs are measured alike.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Sample:
    """One process: wall and processor seconds, peak resident memory in MB, and what it printed."""

    wall: float
    cpu: float
    peak_mb: float
    output: str


@dataclass(frozen=True)
class Measured:
    """Several runs of one command."""

    samples: tuple[Sample, ...]

    @property
    def wall(self) -> float:
        """Median of the wall times, in seconds."""
        return statistics.median(sample.wall for sample in self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The shortest and the longest wall time, in seconds."""
        times = [sample.wall for sample in self.samples]
        return min(times), max(times)

    @property
    def cpu(self) -> float:
        """Median of the processor times, in seconds."""
        return statistics.median(sample.cpu for sample in self.samples)

    @property
    def peak_mb(self) -> float:
        """Largest peak of resident memory, in MB."""
        return max(sample.peak_mb for sample in self.samples)

    @property
    def printed(self) -> dict[str, Any]:
        """The last line that the last run printed, read as JSON; nothing where it is none."""
        lines = self.samples[-1].output.strip().splitlines()
        return dict(json.loads(lines[-1])) if lines and lines[-1].startswith("{") else {}


def once(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Sample:
    """Run one process to its end. RuntimeError with the end of its output where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        report, output = Path(folder, "report.json"), Path(folder, "output.txt")
        words = [sys.executable, "-S", LAUNCHER, report, *command]
        with output.open("w") as file:
            subprocess.run(words, check=True, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        figures, text = json.loads(report.read_text()), output.read_text(errors="replace")
    if figures["code"] != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {figures['code']}:\n{text[-2000:]}")
    return Sample(figures["wall"], figures["cpu"], figures["peak_mb"], text)


def measure(command: Sequence[str | Path], runs: int, *, warm: bool = True, env: Mapping[str, str] | None = None) -> Measured:
    """Run a command `runs` times, after one more that is not counted (it fills caches of files and compiled code)."""
    if warm:
        once(command, env)
    return Measured(tuple(once(command, env) for _ in range(runs)))
