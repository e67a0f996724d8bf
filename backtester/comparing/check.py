"""Check: baselines are run again, under one or several variants, and what differs is told.

Place in the flow: `bt regress check`. Processes are started anew, one a variant or more, never forked; one that dies loses the
baselines that it had not answered for, and says which. Never writes a baseline.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backtester.comparing.baseline import Baseline, find
from backtester.comparing.variants import Variant
from backtester.errors import DifferenceError, ResourceError
from backtester.outcome import junit

HEARS_CTRL_C_SECONDS = 0.2


@dataclass(frozen=True)
class Verdict:
    """What came of one baseline under one variant; state: `same`, `differs` or `error`. lines: everything about a difference."""

    name: str
    variant: str
    state: str
    seconds: float
    lines: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: dict[str, Any], variant: Variant) -> Verdict:
        """The verdict that a worker has given; see `worker.checked`."""
        return cls(Path(facts["file"]).stem, variant.name, facts["state"], facts["seconds"], tuple(facts["lines"]), facts)

    def line(self) -> str:
        """The verdict in one line."""
        under = f" ({self.variant})" if self.variant else ""
        if self.state == "error":
            return f"error    {self.name}{under}: {self.lines[0]}"
        if self.state == "differs":
            return f"DIFFERS  {self.name}{under}: {self.facts['headline']}"
        said = [f"{self.facts['trades']:,} trades", f"{self.seconds:.1f} s", *filter(None, [self._but()])]
        return f"same     {self.name}{under}: {', '.join(said)}"

    def _but(self) -> str:
        """What a result that is the same came from otherwise, but for the program, which is always another."""
        differ = ", ".join(group for group in self.facts["differ"] if group != "program")
        return "; ".join([*([f"other {differ}"] if differ else []), *self.facts["notes"]])

    def case(self) -> junit.Case:
        """The verdict for build servers."""
        name, text = f"{self.name} ({self.variant})" if self.variant else self.name, "\n".join(self.lines)
        return junit.Case(name, self.seconds, text if self.state == "differs" else "", text if self.state == "error" else "")


@dataclass(frozen=True)
class _Job:
    """Baselines that one process runs under one variant."""

    variant: Variant
    baselines: tuple[Baseline, ...]


def check(
    place: Path, variants: Sequence[Variant], *, workers: int | None = None, tolerances: Sequence[str] = (), keep: Path | None = None,
    told: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:  # fmt: skip
    """Run the baselines of a folder, or one of a file, again; verdicts in the order of variants and names.

    told: called with each verdict as it is known, one at a time. keep: a folder for the runs, below it one a variant.
    Raises OutputError and DataError as `find` does, ResourceError where no process can be started.
    """
    baselines, count = find(place), workers or os.cpu_count() or 1
    jobs = _jobs(baselines, variants, count)
    if len(jobs) > 1:
        _compile()
    with _Crew(tolerances, keep, told) as crew, ThreadPoolExecutor(count) as pool:
        try:
            work = [pool.submit(crew.run, job) for job in jobs]
            # A library's handler may restart what a signal interrupts, so that a wait without end would not hear of Ctrl-C.
            while wait(work, timeout=HEARS_CTRL_C_SECONDS, return_when=FIRST_EXCEPTION).not_done:
                if any(future.done() and future.exception() for future in work):
                    break
            found = [verdict for future in work for verdict in future.result()]
        except BaseException:
            crew.stop()  # before the pool waits for its threads
            raise
    order = {variant.name: number for number, variant in enumerate(variants)}
    return sorted(found, key=lambda verdict: (order[verdict.variant], verdict.name))


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """9 where anything differs, else the code of the first error, else 0."""
    if any(verdict.state == "differs" for verdict in verdicts):
        return DifferenceError.exit_code
    return next((int(verdict.facts["exit_code"]) for verdict in verdicts if verdict.state == "error"), 0)


def report(path: Path, place: Path, verdicts: Sequence[Verdict]) -> None:
    """Write the verdicts as JUnit's XML: one case a baseline and variant."""
    junit.write(path, f"bt regress {place}", [verdict.case() for verdict in verdicts])


def _compile() -> None:
    """Have the kernel's machine code on disk before several processes ask for it: each would compile it for itself."""
    from backtester.trading import compiled  # numba is heavy

    compiled.kernel()


def _jobs(baselines: Sequence[Baseline], variants: Sequence[Variant], workers: int) -> list[_Job]:
    """Each variant's baselines in as many parts as keep all workers busy."""
    parts = max(1, min(len(baselines), workers // len(variants)))
    return [_Job(variant, tuple(baselines[part::parts])) for variant in variants for part in range(parts)]


class _Crew:
    """The processes under way; `stop` ends them, and no other is started."""

    def __init__(self, tolerances: Sequence[str], keep: Path | None, told: Callable[[Verdict], None]) -> None:
        self._tolerances, self._keep, self._told = tolerances, keep, told
        self._lock, self._stopped = threading.Lock(), False
        self._running: set[subprocess.Popen[bytes]] = set()

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()

    def run(self, job: _Job) -> list[Verdict]:
        """The verdicts of a job: where its process dies, the baseline under way is an error and the rest goes on in another."""
        verdicts: list[Verdict] = []
        while len(verdicts) < len(job.baselines) and (process := self._start(job.variant)) is not None:
            rest = _Job(job.variant, job.baselines[len(verdicts) :])
            with process:
                for verdict in _answers(process, _task(rest, self._tolerances, self._keep), job.variant):
                    verdicts.append(self._tell(verdict))
            with self._lock:
                self._running.discard(process)
            if len(verdicts) < len(job.baselines) and not self._stopped:
                verdicts.append(self._tell(_lost(job.baselines[len(verdicts)], job.variant, process.returncode)))
        return verdicts

    def _start(self, variant: Variant) -> subprocess.Popen[bytes] | None:
        """Another process; None after a stop."""
        with self._lock:
            if self._stopped:
                return None
            process = _started(variant)
            self._running.add(process)
            return process

    def _tell(self, verdict: Verdict) -> Verdict:
        with self._lock:
            if not self._stopped:
                self._told(verdict)
        return verdict


def _lost(baseline: Baseline, variant: Variant, code: int) -> Verdict:
    """The verdict on a baseline whose process died."""
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    error = ResourceError(f"the process that ran it {how}", action="see what it said on stderr")
    return Verdict(baseline.name, variant.name, "error", 0.0, (error.message(),), {"exit_code": error.exit_code})


def _task(job: _Job, tolerances: Sequence[str], keep: Path | None) -> dict[str, Any]:
    own = None if keep is None else str(keep / (job.variant.name.replace(", ", "-").replace(" ", "_").replace("/", "_") or "runs"))
    files = [str(baseline.path) for baseline in job.baselines]
    return {"files": files, "changes": job.variant.changes, "tolerances": list(tolerances), "keep": own}


def _answers(process: subprocess.Popen[bytes], task: dict[str, Any], variant: Variant) -> Iterator[Verdict]:
    """Hand out a task; a verdict for every whole line of the answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):  # it is dead; the end of its line says so
        process.stdin.write(json.dumps(task).encode())
        process.stdin.close()
    for line in process.stdout:
        try:
            facts = json.loads(line)
        except ValueError:
            return
        yield Verdict.of(facts, variant)


def _started(variant: Variant) -> subprocess.Popen[bytes]:
    """A new interpreter with the variant's environment."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | variant.environment
    words = [sys.executable, "-m", "backtester.comparing.worker"]
    try:
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603 - our own interpreter
    except OSError as error:
        raise ResourceError("a process cannot be started", value=error.strerror) from error
