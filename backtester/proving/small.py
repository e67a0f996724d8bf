"""The small audit inside every run: one session of one part, a few symbols, cut at a few slots; what was said up to a cut must stay.

Place in the flow: the pipeline hands over a part when it is prepared and its signals when they are known; what is kept of both is small.
Everything else is done when the run has asked its strategies for the last time, so that not even a strategy that keeps something
between calls is disturbed. Never changes a result; `bt audit` proves far more.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from backtester.columns import Ints
from backtester.errors import StrategyError
from backtester.market.load import Chunk
from backtester.market.prepare import Past
from backtester.planning import Part, Setup
from backtester.proving.cutting import Stretch, known_on, prefix
from backtester.proving.seeing import Seen, look, strategy_named
from backtester.signalling import Stopped, events_of
from backtester.signals.audit import Track, differences
from backtester.signals.calling import Call, EndedError
from backtester.signals.strategy import ACTIONS
from backtester.trading.execution import Events

LOG = logging.getLogger("backtester.audit")
SYMBOLS = 8
"""Symbols that are looked at, but where a strategy compares symbols: then all of them."""
CELLS = 40_000
"""Slots of all symbols of the session and all its cuts together, at most; a session of more is not looked at."""
CUT, ALONE = "prefix cut", "one session at a time"


@dataclass(frozen=True)
class Finding:
    """A difference: whose, by which check, in how many rows; of the first symbol, time (UTC) of the slot, and both values."""

    subject: str
    check: str
    differences: int
    symbol: str
    ts: str
    usual: str
    other: str

    def sentence(self, session: str) -> str:
        """The finding as a warning."""
        what = (
            "when later bars are taken away: it looks ahead"
            if self.check == CUT
            else "when a session is asked alone: it hangs on the batch"
        )
        first = f"{self.symbol}, {session} {self.ts} UTC, {self.usual}, then {self.other}"
        return f"audit: {self.subject} says something else {what} ({first}); bt audit shows more"


@dataclass(frozen=True)
class Small:
    """What the small audit did and found. cuts 0: nothing, for the reason in `note`."""

    cuts: int
    session: str | None = None
    symbols: Sequence[str] = ()
    checked: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    note: str = ""

    @property
    def warnings(self) -> list[str]:
        """A sentence for each finding."""
        return [finding.sentence(str(self.session)) for finding in self.findings]

    def refuse(self) -> None:
        """Raise StrategyError where something was found."""
        if self.findings:
            first = self.findings[0]
            raise StrategyError(
                "the small audit found a difference", where=first.subject, value=first.sentence(str(self.session)),
                action="nothing is published: audit.on_leak is fail; warn publishes and says so",
            )  # fmt: skip


class SmallAudit:
    """Keeps a session of the run with its signals, and judges it when the run is over. `keep` and `hear` may run on two threads.

    parts: those that the run goes through; one that is resumed does not go through all.
    """

    def __init__(self, made: Setup, parts: Sequence[Part]) -> None:
        self._made, self._cuts = made, made.config.audit.cuts
        words = f"{made.sessions.label[0]} {made.sessions.label[-1]} {' '.join(made.symbols)}"
        self._random = np.random.default_rng(int.from_bytes(hashlib.sha256(words.encode()).digest()[:4]))
        begins = [part.sessions.label[0] for part in parts if part.trade] or [None]
        self._session = begins[int(self._random.integers(len(begins)))]
        self._symbols = self._drawn()
        self._most = CELLS // max(1, made.needs.slots * len(self._symbols))
        self._stretch: Stretch | None = None
        self._heard: Events | None = None

    def wants(self, part: Part) -> bool:
        """True for the part that begins with the session that is looked at."""
        return bool(self._cuts and self._most and part.trade and part.sessions.label[0] == self._session)

    def keep(self, bars: Chunk, daily: Chunk | None, past: Past, at: int) -> None:
        """Copy what is needed of the part that is wanted; `past` is what came before it, `at` its first session in the run."""
        self._stretch = Stretch(bars, daily, past, at).part(0, 1, past).of_symbols(self._symbols)

    def hear(self, part: Part, events: Events, slots: int) -> None:
        """Keep the signals of the session, where the part begins with it; `slots`: its base slots."""
        if self._cuts and part.sessions.label[0] == self._session:
            self._heard = events.between(0, slots)

    def judge(self, call: Call, stopped: Sequence[Stopped]) -> Small:
        """Cut the session and compare. Strategies that were stopped are left out."""
        stretch, made = self._stretch, _of_symbols(self._made, self._symbols)
        if stretch is None or self._heard is None:
            return Small(0, note="switched off" if not self._cuts else self._why_not)
        places = sorted(set(range(len(made.traders))) - {one.strategy for one in stopped})
        seen, _ = look(made, stretch, call, places)
        usual, names = _tracks(made, seen, places), [self._made.symbols[at] for at in self._symbols.tolist()]
        found: dict[tuple[str, str], Finding] = {}
        run = {strategy_named(made, place): _of_strategy(self._heard, place, made) for place in places}
        self._compare(found, ALONE, _answered(run, seen), usual, np.full(len(made.symbols), np.iinfo(np.int64).max), seen)
        cuts, known = 0, replace(made, needs=known_on(made.needs, stretch.sessions.label[0]))
        for count, slots in self._slots(made, seen, usual):
            cut, _ = look(known, prefix(stretch, slots, known.needs), call, places)
            self._compare_cut(found, usual, cut, slots, seen)
            cuts += count
        small = Small(cuts, str(self._session), names, sorted(usual), list(found.values()))
        for sentence in small.warnings:
            LOG.warning(sentence)
        return small

    def _compare_cut(self, found: dict[tuple[str, str], Finding], usual: dict[str, Track], cut: Seen, slots: Ints, seen: Seen) -> None:
        """Enter what differs up to each symbol's slot, or of a strategy that compares symbols up to the first of them."""
        lowest = np.full(len(slots), slots[self._symbols].min())
        mixed = {strategy_named(cut.setup, place) for place in cut.said if _compares(cut.setup, place)}
        tracks = _tracks(cut.setup, cut, cut.said)
        for subject, track in _answered(usual, cut).items():
            self._compare(found, CUT, {subject: track}, tracks, lowest if subject in mixed else slots, seen)

    @property
    def _why_not(self) -> str:
        return "no session was left" if self._session is None else "more symbols than a small audit looks at"

    def _drawn(self) -> Ints:
        """The symbols that are looked at."""
        made = self._made
        if any(_compares(made, place) for place in range(len(made.traders))):
            return np.arange(len(made.symbols))
        return np.sort(self._random.choice(len(made.symbols), min(SYMBOLS, len(made.symbols)), replace=False))

    def _slots(self, made: Setup, seen: Seen, usual: dict[str, Track]) -> Iterator[tuple[int, Ints]]:
        """How many cuts at a time, and where each symbol is cut: every other time where there are signals, else at random.

        Symbols are cut at slots of their own, those beyond the number of cuts not at all, unless a strategy compares them.
        """
        last, together = int(seen.prepared.grid.clock.count[0]), any(_compares(made, place) for place in range(len(made.traders)))
        signals = [track for name, track in usual.items() if name.startswith("strategy ")]
        places = [(track.symbol, track.slot) for track in signals]
        symbol, slot = (np.concatenate([np.zeros(0, np.int64), *parts]) for parts in (zip(*places, strict=True) if places else ((), ())))
        cut = 0
        for number in range(self._most):
            slots = np.full(len(made.symbols), last - 1)
            chosen = [None] if together else self._symbols[: self._cuts - cut].tolist()
            for turn, one in enumerate(chosen):
                own = slot if one is None else slot[symbol == one]
                where = own if len(own) and (turn + number) % 2 == 0 else np.arange(last)
                slots[one if one is not None else self._symbols] = self._random.choice(where)
            cut += len(chosen)
            yield len(chosen), slots
            if cut >= self._cuts:
                return

    def _compare(self, found: dict[tuple[str, str], Finding], check: str, usual: dict[str, Track], other: dict[str, Track],
                 limit: Ints, seen: Seen) -> None:  # fmt: skip
        """Enter what differs; the first finding of a check and a subject stays."""
        for subject, track in usual.items():
            if subject not in other:
                found.setdefault((check, subject), Finding(subject, check, 1, "all symbols", "", "no error", "an error"))
                continue
            count, first = differences(track, other[subject], limit)
            if first is not None and (check, subject) not in found:
                ts = "" if first.slot < 0 else str(seen.prepared.grid.clock.ts[first.slot].astype("datetime64[us]"))[11:16]
                symbol = self._made.symbols[first.symbol]
                found[check, subject] = Finding(subject, check, count, symbol, ts, first.usual, first.other)


def _of_symbols(made: Setup, symbols: Ints) -> Setup:
    """The run with strategies that trade some of their symbols."""
    return replace(made, traders=tuple(replace(trader, symbols=np.intersect1d(trader.symbols, symbols)) for trader in made.traders))


def _answered(tracks: dict[str, Track], seen: Seen) -> dict[str, Track]:
    """The tracks without those of strategies whose process did not live, or last, long enough to answer: nothing is known of them."""
    ended = {strategy_named(seen.setup, place) for place, said in seen.said.items() if isinstance(said.error, EndedError)}
    return {name: track for name, track in tracks.items() if name not in ended}


def _compares(made: Setup, place: int) -> bool:
    """Whether a strategy sees symbols side by side."""
    return made.traders[place].described.declared.layout == "clock"


def _tracks(made: Setup, seen: Seen, places: Collection[int]) -> dict[str, Track]:
    """Bars, indicators and signals of the session; signals as the run takes them."""
    found = replace(seen, said={}).tracks(0)
    spoke = [(place, said.found) for place, said in seen.said.items() if said.found is not None]
    events = events_of(made, seen.prepared, spoke)
    return found | {strategy_named(made, place): _of_strategy(events, place, made) for place, _ in spoke}


def _of_strategy(events: Events, place: int, made: Setup) -> Track:
    """The signals of one strategy for its symbols in one session."""
    own = np.flatnonzero((events.strategy == place) & np.isin(events.symbol, made.traders[place].symbols))
    left_out = ("t", "strategy", "symbol", "action", "tag", "tags")
    columns: dict[str, Any] = {item.name: getattr(events, item.name)[own] for item in fields(events) if item.name not in left_out}
    words = np.array([*events.tags, ""], dtype=object)
    columns["tag"] = words[events.tag[own]]
    return Track(events.symbol[own].astype(np.int64), events.t[own], events.action[own].astype(np.int64), ACTIONS, columns)
