"""Places: where an audit cuts: at random, and where signals begin and end.

Place in the flow: between the first pass, which says where signals change, and the second, which cuts. Never reads a bar.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtester.auditing.listening import Sketch
from backtester.columns import Ints
from backtester.market.grid import clock_of
from backtester.planning import Setup


@dataclass(frozen=True)
class Places:
    """Slots at whose end is cut, by session of the run; how many of them at random, and how many where signals change."""

    slots: dict[int, list[int]]
    random: int
    changes: int


def places_of(made: Setup, sketch: Sketch, cuts: int, most_changes: int, random: np.random.Generator) -> Places:
    """So many slots at random, and of every strategy the slots where its signals change, at most so many.

    Where there are more, those are drawn.
    """
    clock = clock_of(made.sessions, made.needs.base)
    drawn = random.choice(len(clock.ts), min(cuts, len(clock.ts)), replace=False)
    chosen = [np.stack([clock.session[drawn], clock.slot[drawn]])]
    for found in sketch.changes.values():
        few = found.shape[1] <= most_changes
        chosen.append(found if few else found[:, np.sort(random.choice(found.shape[1], most_changes, replace=False))])
    changed: Ints = np.unique(np.concatenate([*chosen[1:], np.zeros((2, 0), np.int64)], axis=1), axis=1)
    every = np.unique(np.concatenate([chosen[0], changed], axis=1), axis=1)
    slots: dict[int, list[int]] = {}
    for session, slot in every.T.tolist():
        slots.setdefault(session, []).append(slot)
    return Places(slots, len(drawn), changed.shape[1])
