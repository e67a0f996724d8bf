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

import os
import weakref
from collections.abc import Sequence
from types import TracebackType

from backtester.errors import ResourceError
from backtester.signals.batch import Found
from backtester.signals.calling import Caller, EndedError, Given, cut, span_of
from backtester.signals.messages import Nest, error_of, found_of, of_caller, of_given, wanted, watched_of
from backtester.signals.parcel import packed
from backtester.signals.process import Limits, Process, Wait

LOADING_SECONDS = 120.0
"""A strategy that was loaded before, and is not after so long in the process that calls it, never will be."""
SERVES = "backtester.signals.child"


class Apart:
    """The processes of a run's strategies; use it in a `with` block, which starts and ends them.

    shared: one process for all strategies of a file, which it is given one after the other; else each has its own from the start.
    """

    def __init__(self, callers: Sequence[Caller], limits: Limits, *, shared: bool = False) -> None:
        self._callers, self._limits, self._shared, self._wanted = callers, limits, shared, wanted(callers)
        self._running: dict[str, Called] = {}
        self._given: weakref.ref[Given] | None = None
        self._parcel: int | None = None

    def call(self, caller: Caller, given: Given, only: int | None = None) -> Found:
        """One call of a strategy's `signals` over all sessions, or over one of them.

        Raises StrategyError: EndedError where its process ended, LimitError where it took more time or memory than it may.
        """
        try:
            process = self._running.get(self._whose(caller)) or self._start(caller)
            process.show(given, self._shown(given))
            return process.call(caller, given, only)
        except EndedError:
            self._running.pop(self._whose(caller)).end()
            raise
        except OSError as error:
            what, where = "columns cannot be handed to a strategy's process", f"strategy {caller.name}"
            raise ResourceError(what, where=where, value=error.strerror, action="see how much memory is free") from error

    def __enter__(self) -> Apart:
        try:
            for caller in () if self._shared else self._callers:
                self._start(caller)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _start(self, caller: Caller) -> Called:
        process = self._running[self._whose(caller)] = Called(caller, self._limits)
        return process

    def _whose(self, caller: Caller) -> str:
        """Whose process calls a strategy: its file's, or its own."""
        return caller.origin.use if self._shared else caller.name

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


class Called(Process):
    """The process in which a strategy is called, or one after the other that come from one file."""

    def __init__(self, caller: Caller, limits: Limits) -> None:
        self._limits, self._ready, self._held = limits, False, (caller.name, caller.origin)
        self._seen: weakref.ref[Given] | None = None
        super().__init__(SERVES, caller.origin.path, limits.memory, f"strategy {caller.name}", self._loading(caller))

    def _loading(self, caller: Caller) -> Nest:
        warm = self._limits.seconds is not None or self._limits.memory is not None
        return {"caller": of_caller(caller), "memory": self._limits.memory, "warm": warm}

    def show(self, given: Given, parcel: int) -> None:
        """Hand over what may be seen, where that is new."""
        if self._seen is None or self._seen() is not given:
            self._seen = weakref.ref(given)
            self.hand(parcel)

    def call(self, caller: Caller, given: Given, only: int | None) -> Found:
        """The events of a call. Raises what the strategy raised; EndedError or LimitError where nothing can come any more."""
        place = f"strategy {caller.name}", span_of(given.days if only is None else given.days[only : only + 1])
        if self._held != (caller.name, caller.origin):
            self._held, self._ready = (caller.name, caller.origin), False
            self.tell(self._loading(caller))
        if not self._ready:
            loaded = self.answer(Wait(LOADING_SECONDS, "while it was loaded", *place))
            if "error" in loaded:
                raise EndedError(**{name: loaded["error"][name] for name in ("what", "where", "value", "allowed", "action")})
            self._ready = True
        self.tell({"symbols": caller.symbols, "only": only, "watch": caller.watched is not None})
        answer = self.answer(Wait(self._limits.seconds, "/resources/strategy_timeout_seconds", *place))
        if caller.watched is not None:
            inputs = {name: batch.bars for name, batch in cut(caller, given, only).items()}
            watched_of(answer.get("asked", []), caller.watched, inputs)
        if "error" in answer:
            raise error_of(answer["error"])
        return found_of(answer["found"])
