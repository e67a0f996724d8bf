"""The audit: proofs, on a config's own data, that no strategy and no indicator of it knows the future or hangs on what it must not.

    setup       as for a run, with more history for the warm-up             planning
    listen      one pass: digests, and where signals change                 listening, another (the same in another process)
    places      where to cut                                                places
    each part   asked again, otherwise, with more history                   asking
                every session alone, cut, and with other futures            cuts
    verdict     one row for each check and subject                          verdict

Place in the flow: above the pipeline, whose own reading, preparing and calling it uses; a part is in memory at a time, as in a run.
Never trades, never writes into a lake or a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from backtester.auditing.another import Another, track_from, tracks_of
from backtester.auditing.asking import Asker, deepened
from backtester.auditing.comparing import Place, ever
from backtester.auditing.cuts import Cutter
from backtester.auditing.listening import DEEPER, Sketch, digest, listened, setup_of, spoken, stretches
from backtester.auditing.places import places_of
from backtester.auditing.verdict import Book, First, Verdict
from backtester.config import Config
from backtester.market.grid import clock_of
from backtester.pipeline import Progress
from backtester.planning import Setup, check_memory, expected_memory, no_bars
from backtester.proving.seeing import Seen, seen_of, strategy_named
from backtester.signalling import calls
from backtester.signals.audit import differences

CUTS, CHANGES, SEED = 64, 200, 1


def audit(
    config: Config, *, cuts: int = CUTS, changes: int = CHANGES, seed: int = SEED, progress: Callable[[Progress], None] | None = None
) -> Verdict:
    """Cut at so many random slots, and where signals change (of each strategy at most `changes`); the same seed cuts at the same places.

    Raises the errors of a run, before and while its data is read; what a strategy raises is a row of the verdict.
    """
    made, book, random = setup_of(config), Book(), np.random.default_rng(seed)
    check_memory(made, expected_memory(made))
    total = 2 * len(made.sessions)

    def tell(done: int, bars: int) -> None:
        if progress is not None:
            progress(Progress(done, total, bars))

    with ExitStack() as stack:
        other = stack.enter_context(Another(config))
        call = stack.enter_context(calls(made))
        sketch = listened(made, call, tell)
        if not sketch.bars:
            raise no_bars(made)
        deeper = {times: stack.enter_context(calls(deepened(made, times))) for times in DEEPER}
        where = places_of(made, sketch, cuts, changes, random)
        asker, cutter = Asker(made, call, book, random), Cutter(made, call, book, random)
        places, bars = list(range(len(made.traders))), sketch.bars
        for stretch, prepared in stretches(made):
            seen = seen_of(made, prepared, stretch.at, call, places)
            places = _that_run(book, seen, stretch.sessions.label)
            asker.part(seen, stretch.at, places)
            _as_before(book, seen, sketch, stretch.at)
            for times, deep in deeper.items():
                asker.deeper(seen, stretch.at, deep, times, places)
            cutter.sessions(stretch, seen, where.slots, places)
            bars += stretch.bars.table.num_rows
            tell(len(made.sessions) + stretch.at + len(stretch.sessions), bars)
        _elsewhere(book, made, sketch, other.answer())
    return Verdict(seed, len(made.sessions), where.random, where.changes, book.rows())


def _that_run(book: Book, seen: Seen, labels: NDArray[np.datetime64]) -> list[int]:
    """The strategies that say something of a part; the others are entered, and not asked any more."""
    places = []
    for place, said in seen.said.items():
        subject = strategy_named(seen.setup, place)
        if said.error is None:
            places.append(place)
            book.add("runs", subject)
        else:
            first = First(None, str(labels[0]), None, None, "signals", f"{said.error.what}: {said.error.value}")
            book.add("runs", subject, 1, first, note=str(said.error.where or ""))
    return places


def _as_before(book: Book, seen: Seen, sketch: Sketch, at: int) -> None:
    """What is said now is what the first pass heard."""
    for session, label in enumerate(seen.prepared.sessions.label):
        for subject, track in spoken(seen, session).items():
            heard = sketch.digests.get(subject, [])
            same = at + session < len(heard) and digest(track) == heard[at + session]
            book.add("asked twice", subject, 0 if same else 1, None if same else _of_session(str(label)))


def _elsewhere(book: Book, made: Setup, sketch: Sketch, heard: Mapping[str, Sequence[str]]) -> None:
    """What the other process heard is what this one did; where not, both are asked for the first session that differs."""
    for subject, digests in sketch.digests.items():
        unlike = [at for at, one in enumerate(digests) if at >= len(heard.get(subject, ())) or heard[subject][at] != one]
        first = _looked_up(made, subject, unlike[0]) if unlike else None
        book.add("another process", subject, len(unlike), first, looks=len(digests))


def _looked_up(made: Setup, subject: str, session: int) -> First:
    """The first row of a session that another process hears otherwise."""
    days = made.sessions[session : session + 1]
    with Another(made.config, session) as other:
        here, there = (found.get(subject) for found in (tracks_of(made.config, session), other.answer()))
    if here is None or there is None:
        return First(None, str(days.label[0]), None, None, *("an error" if one is None else "no error" for one in (here, there)))
    _, found = differences(track_from(here), track_from(there), ever(len(made.symbols)))
    if found is None:
        return _of_session(str(days.label[0]))
    return Place(made.symbols, clock_of(days, made.needs.base)).first(found, 0)


def _of_session(label: str) -> First:
    return First(None, label, None, None, "one thing", "another")
