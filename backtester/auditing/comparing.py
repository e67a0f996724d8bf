"""Comparing: two tracks of one subject, and what differs as a row of the book, in words that a person finds again.

Place in the flow: between what was seen and the book. Never asks a strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backtester.auditing.listening import EVER
from backtester.auditing.verdict import Book, First
from backtester.columns import Ints
from backtester.market.grid import Clock
from backtester.proving.seeing import Said, Seen
from backtester.signals.audit import Difference, Track, differences


@dataclass(frozen=True)
class Place:
    """What turns a symbol's index and a slot into words: names, and the slots of the sessions that were seen."""

    symbols: tuple[str, ...]
    clock: Clock

    def first(self, found: Difference, session: int | None = None) -> First:
        """A difference in a session of the clock; None: its slot is counted from the first session's."""
        symbol, at = self.symbols[found.symbol], found.slot
        if session is None:
            session, at = int(self.clock.session[at]), int(self.clock.slot[at])
        label = str(self.clock.sessions.label[session])
        if at < 0:
            return First(symbol, label, None, None, found.usual, found.other)
        ts = np.datetime_as_string(self.clock.ts[self.clock.offset[session] + at].astype("datetime64[us]"), unit="s")
        return First(symbol, label, f"{ts}Z", at, found.usual, found.other)


def place_of(seen: Seen) -> Place:
    """The place of what was seen."""
    return Place(seen.prepared.grid.symbols, seen.prepared.grid.clock)


def ever(symbols: int) -> Ints:
    """No limit for any symbol."""
    return np.full(symbols, EVER)


def compare(book: Book, check: str, subject: str, usual: Track, other: Track, place: Place, limit: Ints | None = None,
            session: int | None = None) -> None:  # fmt: skip
    """Enter how two tracks differ up to each symbol's slot `limit`."""
    count, found = differences(usual, other, ever(len(place.symbols)) if limit is None else limit)
    book.add(check, subject, count, None if found is None else place.first(found, session))


def compare_all(book: Book, check: str, usual: Mapping[str, Track], other: Seen, place: Place, limit: Ints, session: int) -> None:
    """Enter how what was seen of the first session of another stretch differs from what is usually seen of `session`."""
    tracks = other.tracks(0)
    for subject, track in usual.items():
        if subject in tracks:
            compare(book, check, subject, track, tracks[subject], place, limit, session)
    for at, said in other.said.items():
        subject = f"strategy {other.setup.names[at]}"
        if said.error is not None and subject in usual:
            raised(book, check, subject, said, str(place.clock.sessions.label[session]))


def raised(book: Book, check: str, subject: str, said: Said, session: str) -> None:
    """Enter that a strategy raised where it does not usually."""
    assert said.error is not None
    book.add(check, subject, 1, First(None, session, None, None, "no error", f"raised: {said.error.what}: {said.error.value}"))
