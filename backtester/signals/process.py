"""Process: one that runs a strategy's code: its start, what is said to it and by it, how long it may take, how it ended.

Place in the flow: beneath `apart`, which has strategies called in such processes, and beneath the config, which has them loaded in
one. A process that takes too long is asked where it is and killed; one that ended is noticed at once. None is left behind: `end` kills
it with all that it started, and the system does so with the run's own process. Never knows what the messages mean.
"""

from __future__ import annotations

import math
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtester.errors import ResourceError
from backtester.signals import calling, loading
from backtester.signals.calling import EndedError, LimitError
from backtester.signals.parcel import packed, receive, send, unpacked

Nest = dict[str, Any]

SAYING_SECONDS = 1.5
"""A process that was asked where it is and has not said it after so long cannot."""
MOST_WORDS = 65536
LEAVING_MILLISECONDS = 1000
"""A process whose line is closed has ended or does within this time, or else it has closed the line itself."""
ASKS_WHERE = signal.SIGUSR1
"""At this signal a process writes where it is; it is asked before it is ended for taking too long."""
START = "import sys; sys.path[:] = sys.argv[5:]; from {} import serve; serve(*map(int, sys.argv[1:5]))"
_OUTERMOST = b'  File "<string>", line 1 in <module>\n'
_FRAME = re.compile(r'  File "(.*)", line (\d+) in ')


@dataclass(frozen=True)
class Limits:
    """What one call may take: seconds of wall time, bytes beyond those of libraries and of the part's columns; None: no limit."""

    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Wait:
    """How long an answer may take (None: as long as it will), which limit that is, and what an error says.

    head and tail: the place, before and after the line of the strategy's file; duty: what its author should have seen to.
    """

    seconds: float | None
    limit: str
    head: str
    tail: str = ""
    duty: str = "signals must return"

    def where(self, line: str) -> str:
        """The place with the line of the strategy's file in it, where that is known."""
        return ", ".join(word for word in (self.head, line, self.tail) if word)


class Process:
    """One process, which answers messages, of which it is told the first at once.

    module: whose `serve` it runs; file: that of the strategy, "" where it is not known; memory: what it may hold, if there is a limit;
    who: the place that errors name. Raises ResourceError where it cannot be started.
    """

    def __init__(self, module: str, file: str, memory: int | None, who: str, first: Nest) -> None:
        if not hasattr(os, "memfd_create") or not hasattr(os, "pidfd_open"):
            action = "leave out isolate_strategies, strategy_timeout_seconds and strategy_memory"
            raise ResourceError("strategies cannot have processes of their own here", where="/resources", allowed="Linux", action=action)
        self._file, self._memory = file, memory
        try:
            self._begin(module, first)
        except OSError as error:
            raise ResourceError("a strategy's process cannot be started", where=who, value=error.strerror) from error

    def _begin(self, module: str, first: Nest) -> None:
        with ExitStack() as stack:
            self._words = os.memfd_create("last words")
            stack.callback(os.close, self._words)
            self._line, theirs = socket.socketpair()
            stack.enter_context(self._line)
            with theirs:
                self._process = _begun(module, theirs.fileno(), self._words)
            stack.callback(self._kill)
            self._life = os.pidfd_open(self._process.pid)
            stack.callback(os.close, self._life)
            self.tell(first)
            self._open = stack.pop_all()

    def end(self) -> None:
        """Kill the process and what it started, and close all that was open to it."""
        self._open.close()

    def tell(self, message: Nest) -> None:
        """Say something; that nobody is there any more is noticed where an answer is awaited."""
        number = packed(message)
        try:
            self.hand(number)
        finally:
            os.close(number)

    def hand(self, parcel: int) -> None:
        """Hand over a parcel that was packed before."""
        with suppress(ConnectionError):
            send(self._line, parcel)

    def answer(self, wait: Wait) -> Nest:
        """The next answer. Raises LimitError where it takes too long, EndedError where none can come any more."""
        poll = select.poll()
        for number in (self._line.fileno(), self._life):
            poll.register(number, select.POLLIN)
        ready = poll.poll(None if wait.seconds is None else math.ceil(wait.seconds * 1000))
        if not ready:
            raise self._too_long(wait)
        parcel = receive(self._line) if self._line.fileno() in dict(ready) else None
        if parcel is None:
            raise self._ended(wait)
        answer: Nest = unpacked(parcel, shared=False)
        return answer

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _too_long(self, wait: Wait) -> LimitError:
        os.kill(self._process.pid, ASKS_WHERE)
        latest = time.monotonic() + SAYING_SECONDS
        while time.monotonic() < latest and _OUTERMOST not in os.pread(self._words, MOST_WORDS, 0):
            time.sleep(0.01)
        frames, line = self._last_words()
        error = LimitError(
            "a strategy took too long", where=wait.where(line), value=f"no answer in {wait.seconds:g} s, so it was ended",
            allowed=f"{wait.seconds:g} s, {wait.limit}", action="look for a loop that does not end, or raise the limit",
        )  # fmt: skip
        if frames:
            error.add_note(frames)
        return error

    def _ended(self, wait: Wait) -> EndedError:
        """What became of the process; it may still be on its way out."""
        leaving = select.poll()
        leaving.register(self._life, select.POLLIN)
        leaving.poll(LEAVING_MILLISECONDS)
        found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        value, action, kind = "no answer any more", "it must leave the files alone that it did not open", EndedError
        if found is not None and found.si_code == os.CLD_EXITED:
            value, action = f"exit status {found.si_status}", f"{wait.duty}; os._exit and its like end the process"
        elif found is not None:
            value, action = f"signal {signal.Signals(found.si_status).name}", "a compiled library that it calls has crashed"
            if found.si_status == signal.SIGKILL:
                action = "the system may have been out of memory; see /resources/strategy_memory"
            elif found.si_status == signal.SIGABRT and self._memory is not None:
                action, kind = "a compiled library may have wanted more memory than /resources/strategy_memory allows", LimitError
        frames, line = self._last_words()
        error = kind("a strategy's process ended", where=wait.where(line), value=value, action=action)
        if frames:
            error.add_note(frames)
        return error

    def _last_words(self) -> tuple[str, str]:
        """Where the process was when it crashed or was asked, without the program's own frames; and the line of the strategy's file."""
        kept, line = [], ""
        for words in os.pread(self._words, MOST_WORDS, 0).decode(errors="replace").splitlines():
            frame = _FRAME.match(words)
            if frame and frame[1] in (calling.__file__, loading.__file__):
                break
            if frame and frame[1].startswith("<frozen importlib"):
                continue
            kept.append(words)
            if frame and frame[1] == self._file and not line:
                line = f"{Path(frame[1]).name}:{frame[2]}"
        return "\n".join(kept), line


def _begun(module: str, line: int, words: int) -> subprocess.Popen[bytes]:
    """The process started: with this one's search path and optimization, in a group of its own, so that Ctrl-C is not for it."""
    numbers = [str(number) for number in (line, words, os.getpid(), ASKS_WHERE.value)]
    optimized = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    places = (os.path.abspath(place) for place in sys.path)
    command = [sys.executable, "-u", *optimized, "-c", START.format(module), *numbers, *places]
    return subprocess.Popen(  # noqa: S603 (this interpreter; what it prints goes to stderr, for stdout is the command's)
        command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=(line, words), process_group=0
    )
