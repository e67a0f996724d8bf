"""Stopping a command: the first Ctrl-C or SIGTERM lets it clear up, the second ends it at once.

Place in the flow: around every command. Never decides what is cleared up; that is the business of `with` blocks below.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM, told apart from Ctrl-C by its exit code only."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt once; a second signal exits with 130.

    Signals that the parent told us to ignore stay ignored. After a stop the handlers stay, so that a second Ctrl-C also
    ends a program that waits for its threads.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopped = terminated = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped, terminated
        if stopped:
            os._exit(130)
        stopped, terminated = True, number == signal.SIGTERM
        raise Terminated if terminated else KeyboardInterrupt

    watched = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in watched}
    try:
        yield
    except KeyboardInterrupt as error:  # a library may have made another of ours
        if terminated and not isinstance(error, Terminated):
            raise Terminated from error
        raise
    finally:
        if not stopped:
            for number, handler in before.items():
                signal.signal(number, handler)
