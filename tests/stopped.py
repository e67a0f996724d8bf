"""Runs that are stopped on their way, by their user or by a kill, and gone on with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import backtester as bt
from backtester import pipeline
from backtester.config import load
from backtester.pipeline import Progress


class After:
    """A user who stops the run after so many sessions."""

    def __init__(self, sessions: int) -> None:
        self.sessions = sessions

    def __call__(self, progress: Progress) -> None:
        if progress.done >= self.sessions:
            raise KeyboardInterrupt


def stop(document: dict[str, Any] | Path, out: Path, sessions: int, resume: bool = False) -> str:
    """Run until the user stops it; what he is told."""
    try:
        pipeline.run(load(document), out, resume=resume, progress=After(sessions))
    except KeyboardInterrupt as error:
        return "; ".join(getattr(error, "__notes__", ()))
    raise AssertionError("nobody stopped the run")


def start(path: Path, out: Path, *words: str, fail_at: str = "") -> subprocess.Popen[str]:
    """The run as a process of its own, which ends at a step if one is named (see atomic.py)."""
    command = [sys.executable, "-m", "backtester", "run", str(path), "--out", str(out), "--quiet", *words]
    environment = {**os.environ, "BT_FAIL_AT": fail_at}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def hidden(out: Path) -> list[str]:
    """Names of what lies beside the run's place, but for its lock."""
    return sorted(path.name for path in out.parent.glob(f".{out.name}.*") if path.suffix != ".lock")


def everything(run: bt.Run) -> dict[str, Any]:
    """All of a run that a stop must not change."""
    manifest = run.manifest
    return {
        "key": run.result_key,
        "stages": manifest["results"]["stages"],
        "tables": {name: (stored["rows"], stored["digest"]) for name, stored in manifest["results"]["tables"].items()},
        "metrics": run.metrics,
        "files": sorted(manifest["data"]["files"], key=lambda file: str(file["path"])),
        "counts": manifest["counts"],
        "warnings": manifest["execution"]["warnings"],
        "stopped": manifest["execution"]["stopped"],
        "status": manifest["identity"]["status"],
    }


def written(folder: Path, document: dict[str, Any]) -> Path:
    """A config as a file."""
    path = folder / "config.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
