"""Tapes put end to end: the history before a chunk and the chunk itself.

Place in the flow: phase 2 of a day. A pool of the last sessions passes from one chunk to the next, so that a session sees the
same history however the run is cut. Never reads data.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import TAPE_COLUMNS, Floats, LazyTape, Sessions, Tape, woven


def joined(first: Tape, second: Tape) -> Tape:
    """Two tapes of the same interval and symbols, one after the other in time."""
    count = np.concatenate([first.count, second.count])
    bounds = [_bounds(part) for part in (first, second)]

    def both(name: str) -> NDArray[Any]:
        return woven([first.column(name), second.column(name)], bounds)

    makers = {name: partial(both, name) for name in TAPE_COLUMNS}
    return LazyTape(first.interval, first.symbols, adjoined(first.sessions, second.sessions), count, makers)


def latest(past: Tape | None, tape: Tape, sessions: int) -> Tape:
    """The last `sessions` sessions of what came before and of a tape, with columns of its own."""
    own = tape.between(max(len(tape.sessions) - sessions, 0), len(tape.sessions))
    more = sessions - len(own.sessions)
    if past is None or more <= 0:
        return own
    both = joined(past.between(max(len(past.sessions) - more, 0), len(past.sessions)), own)
    return both.between(0, len(both.sessions))


def adjoined(first: Sessions, second: Sessions) -> Sessions:
    """Sessions one after the other; those of the second must be later."""
    names = ("label", "open", "close", "break_start", "break_end", "early")
    columns = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    return Sessions(calendar=second.calendar, timezone=second.timezone, per_year=second.per_year, **columns)


def by_session(tape: Tape, first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the bars from session `first` on, session by session (symbols in order inside one), and where each begins."""
    owner = tape.per_bar(np.arange(len(tape.sessions), dtype=np.uint16 if len(tape.sessions) < 65536 else np.int64))
    order = np.argsort(owner, kind="stable")
    sizes = tape.count.sum(axis=1, dtype=np.int64)
    begin = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    return order, begin[first:]


def last_close(tape: Tape, before: Floats) -> Floats:
    """Each symbol's latest close on the tape, or what it was `before` where the tape has none; shape (symbols,)."""
    bars = tape.count.sum(axis=0, dtype=np.int64)
    end = np.cumsum(bars)
    out = before.copy()
    some = bars > 0
    out[some] = tape.close[end[some] - 1]
    return out


def _bounds(tape: Tape) -> NDArray[np.int64]:
    """First and past-the-last row of each symbol, shape (symbols, 2)."""
    bars = tape.count.sum(axis=0, dtype=np.int64)
    end = np.cumsum(bars)
    return np.stack([end - bars, end], axis=1)
