"""A worker of `bt regress check`: runs baselines one after the other in a process that was started with a variant's environment.

Place in the flow: `check` starts it, hands it one task on stdin and reads a line of JSON for each baseline from stdout. What strategies
print goes to stderr. Never decides what becomes of a difference.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backtester.comparing.baseline import Baseline, read
from backtester.errors import BacktesterError, InternalError

_ENDS_WITH_ITS_PARENT = 1
"""PR_SET_PDEATHSIG of <sys/prctl.h>."""


def main() -> None:
    """Answer the task on stdin: {"files": [...], "changes": [...], "tolerances": [...], "keep": folder or null}."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started us decides
    ctypes.CDLL(None).prctl(_ENDS_WITH_ITS_PARENT, signal.SIGKILL)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task = json.loads(sys.stdin.read())
    with out:
        for file in task["files"]:
            out.write(json.dumps(checked(Path(file), task)) + "\n")
            out.flush()


def checked(file: Path, task: Mapping[str, Any]) -> dict[str, Any]:
    """What came of one baseline: state (`same`, `differs`, `error`), lines, seconds, and the exit code of an error."""
    begun = time.perf_counter()
    try:
        found = _found(read(file), task)
    except BacktesterError as error:
        found = {"state": "error", "lines": [error.message()], "exit_code": error.exit_code}
    except Exception as error:
        known = InternalError(f"internal error, {type(error).__name__}: {error}")
        found = {"state": "error", "lines": [known.message()], "exit_code": known.exit_code}
    return {"file": str(file), "seconds": time.perf_counter() - begun, **found}


def _found(baseline: Baseline, task: Mapping[str, Any]) -> dict[str, Any]:
    """Run the baseline's config and compare."""
    from backtester import pipeline
    from backtester.outcome.compare_cells import tolerances
    from backtester.outcome.compare_record import compare_record
    from backtester.outcome.compare_text import as_json, headline, lines

    config = baseline.load(*task["changes"])
    with tempfile.TemporaryDirectory(prefix="bt-regress-") as folder:
        place = Path(folder) / baseline.name if task["keep"] is None else Path(task["keep"]) / baseline.name
        run = pipeline.run(config, place, force=True)
        found = compare_record(baseline.record, str(baseline.path), run, tolerances(task["tolerances"]), baseline.idle(run.config),
                               None if task["keep"] else "run again")  # fmt: skip
        return {
            "state": "same" if found.same else "differs",
            "headline": headline(found),
            "lines": lines(found),
            "comparison": None if found.same else as_json(found),
            "notes": list(found.notes),
            "trades": run.metrics["trades"],
            "differ": [cause.group for cause in found.causes if any(not item.idle for item in cause.items)],
            "result_key": run.result_key,
        }


if __name__ == "__main__":
    main()
