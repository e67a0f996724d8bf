"""Cuts: each session read alone, then with later bars taken away or changed; what was said up to the cut must stay.

Place in the flow: the second pass of an audit, inside a part. The first half of the proof is that a session alone says what it says in
its part; the second, that a session cut at a slot says up to the slot what the whole session says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backtester.auditing.comparing import Place, compare_all, ever, place_of
from backtester.auditing.verdict import Book
from backtester.planning import Setup
from backtester.proving.cutting import FUTURES, Stretch, known_on, prefix, with_future
from backtester.proving.seeing import Seen, look
from backtester.signals.audit import Track
from backtester.signals.calling import Call

SESSIONS_WITH_A_FUTURE = 2
"""A changed future reaches into the session after, which the strategy gets in the same call."""


@dataclass(frozen=True)
class Cutter:
    """What it takes to cut the sessions of a run: strategies by their place in the config, where to write, and chance."""

    made: Setup
    call: Call
    book: Book
    random: np.random.Generator

    def sessions(self, stretch: Stretch, seen: Seen, slots: dict[int, list[int]], places: Sequence[int]) -> None:
        """Every session of a part alone, and cut where it is to be cut; `seen` is the part as the run sees it."""
        past, place = stretch.past, place_of(seen)
        for session in range(len(stretch.sessions)):
            single = stretch.part(session, session + 1, past)
            alone, past = look(self.made, single, self.call, places)
            compare_all(self.book, "one session at a time", seen.tracks(session), alone, place, ever(len(place.symbols)), session)
            usual = alone.tracks(0)
            for slot in slots.get(stretch.at + session, ()):
                stop = min(session + SESSIONS_WITH_A_FUTURE, len(stretch.sessions))
                self._cut(stretch.part(session, stop, single.past), slot, usual, place, session, places)

    def _cut(self, stretch: Stretch, slot: int, usual: dict[str, Track], place: Place, session: int, places: Sequence[int]) -> None:
        """The stretch's first session cut at the end of a slot, and with other futures."""
        limit = np.full(len(place.symbols), slot)
        made = replace(self.made, needs=known_on(self.made.needs, stretch.sessions.label[0]))
        cut, _ = look(made, prefix(stretch, limit, made.needs), self.call, places)
        compare_all(self.book, "prefix cut", usual, cut, place, limit, session)
        for future in FUTURES:
            other, _ = look(self.made, with_future(stretch, limit, made.needs, future, self.random), self.call, places)
            compare_all(self.book, f"future {future}", usual, other, place, limit, session)
