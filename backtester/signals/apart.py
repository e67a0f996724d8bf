"""Apart: each strategy called in a process of its own, so that one that hangs, ends its process or takes all memory harms no other.

Place in the flow: phase 5 of a day, in the place of `calling.call`, only where the config asks for it. Columns go over in memory that
both share, events come back, and the bits are the same. A process that takes too long is killed, one that ended is noticed at once;
the next call starts another. None is left behind: leaving the `with` block ends all, and the system ends them with the run's process.

    run                                       a strategy's process
    start ------------------------------->    load
    given: columns of the part ---------->    (maps them, copies nothing)
    call: symbols, one session or all --->    signals
    found, or error  <--------------------
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
import weakref
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from backtester.errors import ResourceError
from backtester.signals import calling
from backtester.signals.batch import Found
from backtester.signals.calling import Caller, EndedError, Given, LimitError, file_of, place_of
from backtester.signals.messages import Nest, Origin, error_of, found_of, of_caller, of_given, wanted
from backtester.signals.parcel import packed, receive, send, unpacked

LOADING_SECONDS = 120.0
"""A strategy that was loaded in the run's process, and is not after so long in its own, never will be."""
SAYING_SECONDS = 1.5
"""A process that was asked where it is and has not said it after so long cannot."""
MOST_WORDS = 65536
LEAVING_MILLISECONDS = 1000
"""A process whose line is closed has ended or does within this time, or else it has closed the line itself."""
ASKS_WHERE = signal.SIGUSR1
"""At this signal a process writes where it is; it is asked before it is ended for taking too long."""
START = "import sys; sys.path[:] = sys.argv[5:]; from backtester.signals.child import serve; serve(*map(int, sys.argv[1:5]))"
_OUTERMOST = b'  File "<string>", line 1 in <module>\n'
_FRAME = re.compile(r'  File "(.*)", line (\d+) in ')


@dataclass(frozen=True)
class Limits:
    """What one call may take: seconds of wall time, bytes beyond those of libraries and of the part's columns; None: no limit."""

    seconds: float | None = None
    memory: int | None = None


class Apart:
    """The processes of a run's strategies; use it in a `with` block, which starts and ends them."""

    def __init__(self, callers: Sequence[Caller], origins: Sequence[Origin], limits: Limits) -> None:
        self._callers, self._limits, self._wanted = callers, limits, wanted(callers)
        self._origins = {caller.name: origin for caller, origin in zip(callers, origins, strict=True)}
        self._running: dict[str, Process] = {}
        self._given: weakref.ref[Given] | None = None
        self._parcel: int | None = None

    def call(self, caller: Caller, given: Given, only: int | None = None) -> Found:
        """One call of a strategy's `signals` over all sessions, or over one of them.

        Raises StrategyError: EndedError where its process ended, LimitError where it took more time or memory than it may.
        """
        try:
            process = self._running.get(caller.name) or self._start(caller)
            process.show(given, self._shown(given))
            return process.call(caller, given, only)
        except EndedError:
            self._running.pop(caller.name).end()
            raise
        except OSError as error:
            what, where = "columns cannot be handed to a strategy's process", f"strategy {caller.name}"
            raise ResourceError(what, where=where, value=error.strerror, action="see how much memory is free") from error

    def __enter__(self) -> Apart:
        try:
            for caller in self._callers:
                self._start(caller)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _start(self, caller: Caller) -> Process:
        if not hasattr(os, "memfd_create") or not hasattr(os, "pidfd_open"):
            action = "leave out isolate_strategies, strategy_timeout_seconds and strategy_memory"
            raise ResourceError("strategies cannot have processes of their own here", where="/resources", allowed="Linux", action=action)
        try:
            process = self._running[caller.name] = Process(caller, self._origins[caller.name], self._limits)
        except OSError as error:
            raise ResourceError("a strategy's process cannot be started", where=f"strategy {caller.name}", value=error.strerror) from error
        return process

    def _shown(self, given: Given) -> int:
        """The parcel of what is given, made once for all strategies."""
        if self._parcel is None or self._given is None or self._given() is not given:
            self._forget()
            self._parcel, self._given = packed({"given": of_given(given, self._wanted)}), weakref.ref(given)
        return self._parcel

    def _end(self) -> None:
        while self._running:
            self._running.popitem()[1].end()
        self._forget()

    def _forget(self) -> None:
        if self._parcel is not None:
            os.close(self._parcel)
            self._parcel = None


class Process:
    """The process of one strategy, from its start to its end."""

    def __init__(self, caller: Caller, origin: Origin, limits: Limits) -> None:
        self._file, self._limits = file_of(caller), limits
        self._ready = False
        self._seen: weakref.ref[Given] | None = None
        with ExitStack() as stack:
            self._words = os.memfd_create("last words")
            stack.callback(os.close, self._words)
            self._line, theirs = socket.socketpair()
            stack.enter_context(self._line)
            with theirs:
                self._process = _begun(theirs.fileno(), self._words)
            stack.callback(self._kill)
            self._life = os.pidfd_open(self._process.pid)
            stack.callback(os.close, self._life)
            warm = limits.seconds is not None or limits.memory is not None
            self._tell({"caller": of_caller(caller, origin), "memory": limits.memory, "warm": warm})
            self._open = stack.pop_all()

    def show(self, given: Given, parcel: int) -> None:
        """Hand over what may be seen, where that is new."""
        if self._seen is None or self._seen() is not given:
            self._seen = weakref.ref(given)
            with suppress(ConnectionError):  # an end is noticed where an answer is awaited
                send(self._line, parcel)

    def call(self, caller: Caller, given: Given, only: int | None) -> Found:
        """The events of a call. Raises what the strategy raised; EndedError or LimitError where nothing can come any more."""
        place = place_of(caller, given.days if only is None else given.days[only : only + 1])
        if not self._ready:
            loaded = self._answer(LOADING_SECONDS, "while it was loaded", place)
            if "error" in loaded:
                raise EndedError(**{name: loaded["error"][name] for name in ("what", "where", "value", "allowed", "action")})
            self._ready = True
        self._tell({"symbols": caller.symbols, "only": only})
        answer = self._answer(self._limits.seconds, "/resources/strategy_timeout_seconds", place)
        if "error" in answer:
            raise error_of(answer["error"])
        return found_of(answer["found"])

    def end(self) -> None:
        """Kill the process and what it started, and close all that was open to it."""
        self._open.close()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _tell(self, message: Nest) -> None:
        number = packed(message)
        try:
            with suppress(ConnectionError):
                send(self._line, number)
        finally:
            os.close(number)

    def _answer(self, seconds: float | None, limit: str, place: str) -> Nest:
        """The next answer, which must come within so many seconds."""
        poll = select.poll()
        for number in (self._line.fileno(), self._life):
            poll.register(number, select.POLLIN)
        ready = poll.poll(None if seconds is None else math.ceil(seconds * 1000))
        if not ready:
            raise self._too_long(seconds or 0.0, limit, place)
        parcel = receive(self._line) if self._line.fileno() in dict(ready) else None
        if parcel is None:
            raise self._ended(place)
        answer: Nest = unpacked(parcel, shared=False)
        return answer

    def _too_long(self, seconds: float, limit: str, place: str) -> LimitError:
        os.kill(self._process.pid, ASKS_WHERE)
        latest = time.monotonic() + SAYING_SECONDS
        while time.monotonic() < latest and _OUTERMOST not in os.pread(self._words, MOST_WORDS, 0):
            time.sleep(0.01)
        frames, line = self._last_words()
        error = LimitError("a strategy took too long", where=_with_line(place, line), value=f"no answer in {seconds:g} s, so it was ended",
                           allowed=f"{seconds:g} s, {limit}", action="look for a loop that does not end, or raise the limit")  # fmt: skip
        if frames:
            error.add_note(frames)
        return error

    def _ended(self, place: str) -> EndedError:
        """What became of the process; it may still be on its way out."""
        leaving = select.poll()
        leaving.register(self._life, select.POLLIN)
        leaving.poll(LEAVING_MILLISECONDS)
        found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        value, action, kind = "no answer any more", "it must leave the files alone that it did not open", EndedError
        if found is not None and found.si_code == os.CLD_EXITED:
            value, action = f"exit status {found.si_status}", "signals must return; os._exit and its like end the process"
        elif found is not None:
            value, action = f"signal {signal.Signals(found.si_status).name}", "a compiled library that it calls has crashed"
            if found.si_status == signal.SIGKILL:
                action = "the system may have been out of memory; see /resources/strategy_memory"
            elif found.si_status == signal.SIGABRT and self._limits.memory is not None:
                action, kind = "a compiled library may have wanted more memory than /resources/strategy_memory allows", LimitError
        frames, line = self._last_words()
        error = kind("a strategy's process ended", where=_with_line(place, line), value=value, action=action)
        if frames:
            error.add_note(frames)
        return error

    def _last_words(self) -> tuple[str, str]:
        """Where the process was when it crashed or was asked, without the program's own frames; and the line of the strategy's file."""
        kept, line = [], ""
        for words in os.pread(self._words, MOST_WORDS, 0).decode(errors="replace").splitlines():
            frame = _FRAME.match(words)
            if frame and frame[1] == calling.__file__:
                break
            kept.append(words)
            if frame and frame[1] == self._file and not line:
                line = f"{Path(frame[1]).name}:{frame[2]}"
        return "\n".join(kept), line


def _begun(line: int, words: int) -> subprocess.Popen[bytes]:
    """The process started: with this one's search path and optimization, in a group of its own, so that Ctrl-C is not for it."""
    numbers = [str(number) for number in (line, words, os.getpid(), ASKS_WHERE.value)]
    optimized = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    command = [sys.executable, "-u", *optimized, "-c", START, *numbers, *(os.path.abspath(place) for place in sys.path)]
    return subprocess.Popen(  # noqa: S603 (this interpreter; what it prints goes to stderr, for stdout is the command's)
        command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=(line, words), process_group=0
    )


def _with_line(place: str, line: str) -> str:
    """`strategy NAME, sessions` with the line of its file between."""
    name, _, sessions = place.rpartition(", ")
    return ", ".join(word for word in (name, line, sessions) if word)
