"""Listening: a pass over a run that asks every strategy once and keeps no more than digests, and where signals change.

Place in the flow: the first pass of an audit, and all that its other process does. Never cuts, never judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from backtester.columns import Ints
from backtester.config import Config
from backtester.intervals import Interval
from backtester.market import load
from backtester.market.prepare import Past, Prepared, prepare
from backtester.outcome.digests import array_digest
from backtester.pipeline import reader
from backtester.planning import Setup, setup
from backtester.proving.cutting import Stretch
from backtester.proving.seeing import Seen, seen_of
from backtester.signals.audit import Track, changes
from backtester.signals.calling import Call

EVER = np.iinfo(np.int64).max
DEEPER = (2, 4)
"""How many times the history that is declared an audit looks at too."""


@dataclass
class Sketch:
    """What a pass heard: of each subject a digest of every session; of each strategy, by its place in the config, where its signals
    change, shape (2, places): session of the run, base slot; bars: stored rows read.
    """

    digests: dict[str, list[str]] = field(default_factory=dict)
    changes: dict[int, Ints] = field(default_factory=dict)
    bars: int = 0


def setup_of(config: Config) -> Setup:
    """The run as an audit looks at it: with history enough for the deepest look. Raises what `planning.setup` raises."""
    return setup(config, deeper=(1, *DEEPER))


def stretches(made: Setup) -> Iterator[tuple[Stretch, Prepared]]:
    """The parts of a run in order, as the run reads and prepares them."""
    past, done = Past(), 0
    for loaded in load.ahead(reader(made), made.parts):
        stretch = Stretch(loaded.bars, loaded.daily, past, done)
        prepared, past = prepare(loaded.bars, None, loaded.daily, made.needs, past)
        if loaded.part.trade:
            yield stretch, prepared
            done += len(stretch.sessions)


def listened(made: Setup, call: Call, heard: Callable[[int, int], None] | None = None) -> Sketch:
    """Ask every strategy once, part by part; `heard` is told of sessions and rows so far. A strategy that raises is not asked again."""
    sketch, places = Sketch(), list(range(len(made.traders)))
    cells: dict[int, list[Ints]] = {place: [] for place in places}
    for stretch, prepared in stretches(made):
        seen = seen_of(made, prepared, stretch.at, call, places)
        places = [place for place, said in seen.said.items() if said.found is not None]
        for place in places:
            cells[place].append(_changes(made, seen, place, stretch.at))
        for session in range(len(stretch.sessions)):
            for subject, track in spoken(seen, session).items():
                sketch.digests.setdefault(subject, []).append(digest(track))
        sketch.bars += stretch.bars.table.num_rows
        if heard is not None:
            heard(stretch.at + len(stretch.sessions), sketch.bars)
    sketch.changes = {place: np.concatenate([np.zeros((2, 0), np.int64), *found], axis=1) for place, found in cells.items()}
    return sketch


def spoken(seen: Seen, session: int) -> dict[str, Track]:
    """What strategies and indicators say of a session; bars are left out."""
    return {subject: track for subject, track in seen.tracks(session).items() if not subject.startswith("bars ")}


def digest(track: Track) -> str:
    """The digest of a track, whatever the order of its rows."""
    whole = track.ordered()
    columns = {name: values.tolist() if values.dtype == object else values for name, values in whole.columns.items()}
    return array_digest({"symbol": whole.symbol, "slot": whole.slot, "part": whole.part, **columns})


def _changes(made: Setup, seen: Seen, place: int, at: int) -> Ints:
    """Where the signals of a strategy change in a part, in sessions of the run."""
    found = seen.said[place].found
    assert found is not None
    main, base = Interval(next(iter(made.traders[place].inputs.values()))), Interval(made.needs.base)
    step = main.step_us // base.step_us if main.is_intraday and base.is_intraday else 1
    session, slot = changes(found, step)
    inside = slot < seen.prepared.grid.clock.count[session]
    return np.stack([session[inside] + at, slot[inside]])
