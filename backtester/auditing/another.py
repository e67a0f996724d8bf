"""Another: the whole run listened to once more in a process of its own, whose strings hash differently.

Place in the flow: beside the passes of an audit. Its input is the config as JSON on stdin, its output digests, or the tracks of one
session, as JSON on stdout. It ends with the process that asked it, even where that one is killed. Never judges.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from backtester.auditing.listening import listened, setup_of, spoken, stretches
from backtester.config import Config, of_document
from backtester.errors import StrategyError
from backtester.proving.seeing import seen_of
from backtester.signalling import calls
from backtester.signals.audit import Track

START = "import sys; sys.path[:] = sys.argv[1:]; from backtester.auditing.another import serve; serve()"
_ENDS_WITH_ITS_PARENT = 1
"""PR_SET_PDEATHSIG of <sys/prctl.h>."""
ENDED = "the audit's other process ended before it answered"


class Another:
    """The other process, at work since it was made; use it in a `with` block, which ends it.

    session: what it is asked for is the tracks of this session; None: the digests of all.
    """

    def __init__(self, config: Config, session: int | None = None) -> None:
        seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
        asked = json.dumps({"config": config.resolved(), "root": str(config.root), "session": session, "parent": os.getpid()})
        words = [sys.executable, "-P", "-c", START, *sys.path]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
        self._process = subprocess.Popen(words, env={**os.environ, "PYTHONHASHSEED": seed}, **pipes)  # type: ignore[call-overload] # noqa: S603
        with suppress(BrokenPipeError):  # it has ended; `answer` says so
            self._process.stdin.write(asked)
            self._process.stdin.close()

    def answer(self) -> dict[str, Any]:
        """What it heard. Raises StrategyError where it ended without a word."""
        said = self._process.stdout.read()
        if self._process.wait() or not said:
            raise StrategyError(ENDED, value=f"exit status {self._process.returncode}", action="see what it wrote on stderr")
        found: dict[str, Any] = json.loads(said)
        return found

    def __enter__(self) -> Another:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        with suppress(BrokenPipeError):  # of words that it never read
            self._process.stdin.close()


def serve() -> None:
    """Answer the question on stdin; what a strategy prints goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who asked decides
    ctypes.CDLL(None).prctl(_ENDS_WITH_ITS_PARENT, signal.SIGKILL)
    answers, sys.stdout = sys.stdout, sys.stderr
    asked = json.load(sys.stdin)
    if os.getppid() != asked["parent"]:
        return
    config = of_document(asked["config"], Path(asked["root"]))
    answer: Any = heard(config) if asked["session"] is None else tracks_of(config, asked["session"])
    json.dump(answer, answers)
    answers.flush()


def heard(config: Config) -> dict[str, list[str]]:
    """Digests of every session of every subject."""
    made = setup_of(config)
    with calls(made) as call:
        return listened(made, call).digests


def tracks_of(config: Config, session: int) -> dict[str, Any]:
    """The tracks of one session of the run as plain values, the run listened to up to it."""
    made = setup_of(config)
    with calls(made) as call:
        for stretch, prepared in stretches(made):
            seen = seen_of(made, prepared, stretch.at, call, range(len(made.traders)))
            if session < stretch.at + len(stretch.sessions):
                return {subject: _plain(track) for subject, track in spoken(seen, session - stretch.at).items()}
    return {}


def track_from(plain: dict[str, Any]) -> Track:
    """The track that `tracks_of` made plain."""
    symbol, slot, part = (np.array(plain[name], np.int64) for name in ("symbol", "slot", "part"))
    columns = {name: np.array(values, dtype=kind) for name, (kind, values) in plain["columns"].items()}
    return Track(symbol, slot, part, plain["parts"], columns)


def _plain(track: Track) -> dict[str, Any]:
    named = {name: getattr(track, name).tolist() for name in ("symbol", "slot", "part")}
    columns = {name: ["object" if values.dtype == object else values.dtype.str, values.tolist()] for name, values in track.columns.items()}
    return {**named, "parts": list(track.parts), "columns": columns}
