"""Finer bars: a chunk is traded, and traded again with the finer bars that it turned out to ask for, until it asks for no more.

Place in the flow: execution.py and accounts.py call the kernel through `settled`. The kernel cannot know beforehand which bars it must
look into: where a fill may have happened in more than one order it notes the bar, and they are all read at once. Each attempt begins from
the same account, so that what it wanted on a way that it did not go does no harm. Never reads a file: reading is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from backtester.columns import Floats, Ints
from backtester.trading import records
from backtester.trading.records import Book, Tape

Fine = tuple[Ints, Floats, Floats, Floats, Floats]
"""Finer bars with a close and volume, in the order of place and time: place (which of the bars asked for), open, high, low, close."""
Reading = Callable[[Ints, Ints, Ints], Fine]
"""Finds the finer bars of some bars: their symbols, opens and ends (us UTC), all of shape (bars,)."""


class Drilled(NamedTuple):
    """The bars that a chunk has looked into: symbols and opens, shape (bars,)."""

    symbol: Ints
    ts: Ints


NOTHING = Drilled(np.zeros(0, np.int64), np.zeros(0, np.int64))


def settled(tape: Tape, attempt: Callable[[Tape], tuple[Book, int]], reading: Reading | None) -> tuple[Book, int, Drilled]:
    """What the last attempt at a chunk has made, the slot that stopped it, and the bars that it looked into."""
    width, keys = tape.close.shape[0], np.zeros(0, np.int64)
    while True:
        book, slot = attempt(tape)
        asked = np.unique(book.wanted[: book.account[0]["wanted"]])
        if reading is None or not len(asked):
            used = keys[book.used != 0]
            return book, slot, Drilled(used % max(width, 1), tape.slots["ts"][used // max(width, 1)])
        symbol, at = asked % width, asked // width
        tape = joined(tape, asked, reading(symbol, tape.slots["ts"][at], tape.slots["end"][at]))
        keys = tape.spans["key"]


def joined(tape: Tape, asked: Ints, fine: Fine) -> Tape:
    """The tape with the finer bars of some bars more."""
    place, *prices = fine
    bars = np.zeros(len(place), records.FINER)
    for name, values in zip(("open", "high", "low", "close"), prices, strict=False):
        bars[name] = values
    spans = np.empty(len(asked), records.SPAN)
    spans["key"] = asked
    spans["first"], spans["last"] = (len(tape.finer) + np.searchsorted(place, np.arange(len(asked)), side) for side in ("left", "right"))
    spans = np.concatenate((tape.spans, spans))
    return tape._replace(finer=np.concatenate((tape.finer, bars)), spans=spans[np.argsort(spans["key"], kind="stable")])
