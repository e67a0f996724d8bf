"""What is to be walked: a sweep, the windows to choose and to judge on, the folder, and where trials run.

Place in the flow: made by `bt walkforward`, read by `walk` and `cross`. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backtester.config_sweep import WalkForwardSettings
from backtester.errors import OutputError
from backtester.outcome.differences import differences, listed
from backtester.outcome.digests import plain
from backtester.sweeping.definition import Sweep
from backtester.sweeping.folder import MANIFEST, PLAN, SweepRun
from backtester.sweeping.folder import load as load_sweep
from backtester.sweeping.identity import identity
from backtester.sweeping.local import local
from backtester.sweeping.sweep import Engine, SweepProgress, run_sweep


@dataclass(frozen=True)
class WalkPlan:
    """A walk: `progress` hears the window, how many there are, and how far its sweep is."""

    sweep: Sweep
    settings: WalkForwardSettings
    out: Path
    engine: Engine = local
    progress: Callable[[int, int, SweepProgress], None] | None = None

    def swept(self, sweep: Sweep, out: Path, window: int, windows: int) -> SweepRun:
        """The sweep of a window: loaded where it is done, finished where it was stopped, else made. OutputError where it is another."""
        if not (out / MANIFEST).exists():
            told = self.progress
            heard = None if told is None else lambda reached: told(window, windows, reached)
            return run_sweep(sweep, out, resume=(out / PLAN).exists(), engine=self.engine, progress=heard)
        made = load_sweep(out)
        if changed := differences(made.manifest["plan"], plain(identity(sweep.base, sweep.config, sweep.space))):
            action = "choose another place for the walk"
            raise OutputError("what stands there is another sweep", where=str(out), value=listed(changed), action=action)
        return made
