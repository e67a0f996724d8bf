"""Asking: the strategies of a part asked again in other ways that must not matter, and with more history, which must hardly.

Place in the flow: the second pass of an audit, inside a part, on the columns that the run itself sees. Never cuts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backtester.auditing.comparing import Place, compare, place_of, raised
from backtester.auditing.verdict import Book, First
from backtester.columns import Ints
from backtester.errors import StrategyError
from backtester.outcome.digests import array_digest
from backtester.planning import Setup
from backtester.proving.seeing import Said, Seen, ask, strategy_named
from backtester.reach import Trader
from backtester.signalling import caller_of, configured, given_of
from backtester.signals.audit import Track, differences, largest_change, track_of
from backtester.signals.calling import Call

MOST_SYMBOLS = 20
MOST_SHUFFLED = 12


@dataclass(frozen=True)
class Asker:
    """What it takes to ask the strategies of a part again."""

    made: Setup
    call: Call
    book: Book
    random: np.random.Generator

    def part(self, seen: Seen, at: int, places: Sequence[int]) -> None:
        """All checks of one part; `at` is its first session in the run."""
        where = place_of(seen)
        for place in places:
            subject, usual = strategy_named(self.made, place), seen.whole(seen.said[place])
            self._again(subject, usual, seen, at, place, where)
            for check, said, symbols in self._otherwise(seen, at, place):
                self._enter(check, subject, _only(usual, symbols), seen, said, where)
        self._shuffled(seen, at, places, where)

    def deeper(self, seen: Seen, at: int, call: Call, times: int, places: Sequence[int]) -> None:
        """Strategies and configured indicators with so many times the history that they ask for; `call` calls such strategies."""
        made, check, where = deepened(self.made, times), f"history x{times}", place_of(seen)
        for place in places:
            if not any(self.made.traders[place].lookback.values()):
                self.book.add(check, strategy_named(made, place), looks=0, note="declares no history: begins anew each session")
                continue
            said = ask(made, seen.prepared, at, call, place)
            subject, usual = strategy_named(made, place), seen.whole(seen.said[place])
            if said.found is None:
                raised(self.book, check, subject, said, str(where.clock.sessions.label[0]))
            else:
                self._told(check, subject, usual, seen.whole(said), where)
        long = configured(self.made, seen.prepared, at, times)
        wide = replace(seen, own=long, said={})
        for name in long:
            for session in range(len(seen.prepared.sessions)):
                usual, other = (of.tracks(session)[f"indicator {name}"] for of in (seen, wide))
                self._told(check, f"indicator {name}", usual, other, where, session)

    def _told(self, check: str, subject: str, usual: Track, other: Track, where: Place, session: int | None = None) -> None:
        """Enter what more history changes, and by how much at most."""
        count, found = differences(usual, other, np.full(len(where.symbols), np.iinfo(np.int64).max))
        first = None if found is None else where.first(found, session)
        rows = len({*usual.keys(), *other.keys()})
        self.book.add(check, subject, count, first, looks=rows, change=largest_change(usual, other) if count else 0.0)

    def _again(self, subject: str, usual: Track, seen: Seen, at: int, place: int, where: Place) -> None:
        """The same call twice, and whether it writes into what it gets."""
        self._enter("asked twice", subject, usual, seen, ask(self.made, seen.prepared, at, self.call, place), where)
        if self.made.config.resources.apart:
            self.book.add("inputs unchanged", subject, looks=0, note="it has a process of its own, with columns of its own")
            return
        written = self._written(seen, at, place)
        first = First(None, str(where.clock.sessions.label[0]), None, None, "as given", ", ".join(written)) if written else None
        self.book.add("inputs unchanged", subject, len(written), first)

    def _written(self, seen: Seen, at: int, place: int) -> list[str]:
        """Names of columns that are not what they were before a call."""
        trader = self.made.traders[place]
        given = replace(given_of(self.made, seen.prepared, at), cuts={})
        before = _digests(seen, trader)
        try:
            self.call(caller_of(self.made, trader), given, None)
        except StrategyError:
            return []
        after = _digests(seen, trader)
        assert given.cuts is not None
        return [name for name, digest in before.items() if after[name] != digest] + [
            f"{batch.bars.interval} {name}" for batch in given.cuts.values() for name in batch.bars.altered()
        ]

    def _otherwise(self, seen: Seen, at: int, place: int) -> Iterator[tuple[str, Said, Ints | None]]:
        """Calls that must say the same: check, what was said, and of which symbols (None: all)."""
        trader = self.made.traders[place]
        if trader.described.declared.layout == "clock" or len(trader.symbols) < 2:
            return
        yield "rows reversed", self._of(seen, at, place, trader.symbols[::-1]), None
        few = trader.symbols
        if len(few) > MOST_SYMBOLS:
            few = np.sort(self.random.choice(few, MOST_SYMBOLS, replace=False))
        for symbol in few:
            yield "one symbol at a time", self._of(seen, at, place, np.array([symbol])), np.array([symbol])

    def _of(self, seen: Seen, at: int, place: int, symbols: Ints) -> Said:
        """What a strategy says of some symbols alone."""
        caller = replace(caller_of(self.made, self.made.traders[place]), symbols=symbols)
        try:
            return Said(self.call(caller, given_of(self.made, seen.prepared, at), None))
        except StrategyError as error:
            return Said(None, error)

    def _shuffled(self, seen: Seen, at: int, places: Sequence[int], where: Place) -> None:
        """Sessions one by one in an order of chance, all strategies mixed."""
        count = len(seen.prepared.sessions)
        drawn = self.random.choice(count, min(MOST_SHUFFLED, count), replace=False).tolist()
        calls = [(place, session) for place in places for session in drawn]
        zero = np.zeros(count, np.int64)
        for index in self.random.permutation(len(calls)).tolist():
            place, session = calls[index]
            subject, usual = strategy_named(self.made, place), seen.said[place].found
            said = ask(self.made, seen.prepared, at, self.call, place, session)
            assert usual is not None
            if said.found is None:
                raised(self.book, "calls shuffled", subject, said, str(where.clock.sessions.label[session]))
                continue
            one, two = (track_of(found, zero, session) for found in (usual, said.found))
            compare(self.book, "calls shuffled", subject, one, two, where, session=session)

    def _enter(self, check: str, subject: str, usual: Track, seen: Seen, said: Said, where: Place) -> None:
        if said.found is None:
            raised(self.book, check, subject, said, str(where.clock.sessions.label[0]))
        else:
            compare(self.book, check, subject, usual, seen.whole(said), where)


def deepened(made: Setup, times: int) -> Setup:
    """The same run with strategies that ask for so many times their history."""

    def deeper(trader: Trader) -> Trader:
        known = trader.described.declared
        lookback = {name: times * bars for name, bars in known.lookback.items()}
        return replace(trader, described=replace(trader.described, declared=replace(known, lookback=lookback)))

    return replace(made, traders=tuple(deeper(trader) for trader in made.traders))


def _only(track: Track, symbols: Ints | None) -> Track:
    """The rows of some symbols."""
    if symbols is None:
        return track
    own = np.isin(track.symbol, symbols)
    columns = {name: values[own] for name, values in track.columns.items()}
    return Track(track.symbol[own], track.slot[own], track.part[own], track.parts, columns)


def _digests(seen: Seen, trader: Trader) -> dict[str, str]:
    """A digest of every column of the market that a strategy's rows are cut from."""
    columns = {f"bars {interval}": dict.fromkeys(("open", "high", "low", "close", "volume", "quality", "ts", "end"))
               for interval in trader.inputs.values()}  # fmt: skip
    found = {
        f"{subject} {name}": array_digest({name: seen.prepared.tapes[subject.removeprefix("bars ")].column(name)})
        for subject, names in columns.items()
        for name in names
    }
    return found | {f"historical {name}": array_digest({name: values}) for name, values in seen.prepared.historical.items()}
