"""Child: the process of one strategy. It loads the strategy, then answers one call after the other until it is ended.

Place in the flow: started by `apart`, which alone speaks with it. Never reads a lake, never trades, and never outlives the run:
the system ends it with the process that started it, even where that one is killed.

    from the run     caller (once, or whenever it is another), given (once a part), only and symbols (each call)
    to the run       ready or error (to each caller), found or error (to each call)
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from backtester.errors import StrategyError
from backtester.signals.calling import Caller, Given, LimitError, call, place_of
from backtester.signals.loading import Origin, resolve, source_of
from backtester.signals.messages import Nest, given_of, of_error, of_found, of_watched
from backtester.signals.parcel import packed, receive, send, unpacked
from backtester.signals.strategy import Declared
from backtester.signals.watching import Watched

_ENDS_WITH_ITS_PARENT = 1
"""PR_SET_PDEATHSIG of <sys/prctl.h>."""
LIBRARIES_BYTES = 1_000_000_000
"""Room for what a strategy's file imports."""
_LIKELY_TO_GO = Path("/proc/self/oom_score_adj")
"""Where the system runs out of memory, this process goes before the run's."""


def serve(number: int, words: int, parent: int, asks_where: int, answers: Callable[[socket.socket], None] | None = None) -> None:
    """Load and answer over the socket `number` until the other side is gone, by `answers` or as this module does.

    At a crash, and when it is asked by the signal `asks_where`, the process writes where it is into the file `words`.
    """
    del sys.argv[1:]
    ctypes.CDLL(None).prctl(_ENDS_WITH_ITS_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        return
    with suppress(OSError):
        _LIKELY_TO_GO.write_text("500", encoding="ascii")
    faulthandler.enable(words, all_threads=False)
    faulthandler.register(asks_where, words, all_threads=False)
    with socket.socket(fileno=number) as line:
        (answers or _answer_all)(line)


def _answer_all(line: socket.socket) -> None:
    """Load a strategy whenever one is named, and call the last that was."""
    caller: Caller | None = None
    given: Given | None = None
    ceiling: int | None = None
    memory: int | None = None
    while (number := receive(line)) is not None:
        message = unpacked(number, shared=True)
        if "given" in message:
            given = given_of(message["given"])
        elif "caller" in message:
            memory = message["memory"]
            try:
                with beneath(while_loading(memory)):
                    caller = _loaded(message["caller"])
            except StrategyError as error:
                answer(line, {"error": of_error(error, None)})
                return
            if message["warm"]:
                _warm()
            ceiling = _held() + memory if ceiling is None and memory is not None else ceiling
            answer(line, {"ready": True})
        else:
            assert caller is not None
            assert given is not None
            asked = replace(caller, symbols=message["symbols"], watched=Watched() if message["watch"] else None)
            answer(line, _called(asked, given, message["only"], memory, ceiling))


def answer(line: socket.socket, message: Nest) -> None:
    """Say something to the run."""
    number = packed(message)
    send(line, number)
    os.close(number)


def _loaded(message: Nest) -> Caller:
    """The strategy as the run loaded it; StrategyError where that is not possible any more."""
    where, origin = f"strategy {message['name']}", Origin(**message["origin"])
    kind = resolve(origin.use, Path(origin.root))
    if source_of(origin.use, kind).digest != origin.digest:
        raise StrategyError("the strategy's file was changed while the run went", where=where, action="run again")
    try:
        strategy = kind.model_validate_json(origin.params)
    except Exception as error:  # the checks of a strategy's fields are its author's code and may raise anything
        value = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StrategyError("the strategy refuses in its own process what it took before", where=where, value=value) from error
    columns = {
        interval: {name: (indicator, params, output) for name, (indicator, params, output) in held.items()}
        for interval, held in message["columns"].items()
    }
    known = Declared(**message["declared"])
    return Caller(message["name"], strategy, known, origin, message["symbols"], columns, message["advice"], message["leverage"])


def _warm() -> None:
    """Load the indicators' loops: they, and compiling them once a machine, are neither a strategy's time nor its memory."""
    from backtester.signals.indicator_kernels import load_all  # numba is heavy

    load_all()


def _called(caller: Caller, given: Given, only: int | None, memory: int | None, ceiling: int | None) -> Nest:
    """What a call found, or the error that it raised."""
    place = place_of(caller, given.days if only is None else given.days[only : only + 1])
    try:
        with beneath(ceiling):
            found = call(caller, given, only)
        return {"found": of_found(found), "asked": [] if caller.watched is None else of_watched(caller.watched)}
    except KeyboardInterrupt:  # raised by the strategy: the user's own goes to the run alone
        error = StrategyError("a strategy raised an error", where=place, value="KeyboardInterrupt", action=caller.advice)
    except StrategyError as raised:
        error = raised
        if ceiling is not None and isinstance(raised.__cause__, MemoryError):
            error = _too_much(raised.__cause__, raised.where or place, memory)
    except MemoryError as raised:
        error = _too_much(raised, place, memory)
    return {"error": of_error(error, caller)}


def _too_much(cause: MemoryError, where: str, memory: int | None) -> StrategyError:
    allowed = "what the system gives" if memory is None else f"{memory:,} bytes, /resources/strategy_memory"
    said = (str(cause).splitlines() or [type(cause).__name__])[0]
    error = LimitError(
        "a strategy wanted too much memory", where=where, value=said, allowed=allowed, action="raise the limit, or hold less"
    )
    error.__cause__ = cause
    return error


@contextmanager
def beneath(ceiling: int | None) -> Iterator[None]:
    """The process cannot hold more than so many bytes of its own meanwhile.

    RLIMIT_DATA and not RLIMIT_AS, which also counts what libraries with threads only reserve, and so ends them at random.
    """
    if ceiling is None:
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (ceiling if most == resource.RLIM_INFINITY else min(ceiling, most), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def while_loading(memory: int | None) -> int | None:
    """The most that the process may hold while it loads a strategy that may hold `memory` beyond libraries: those are loaded then."""
    return None if memory is None else _held() + memory + LIBRARIES_BYTES


def _held() -> int:
    """Bytes that the process holds of its own: what the system counts for RLIMIT_DATA."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return int(status["VmData"].removesuffix("kB")) * 1024
