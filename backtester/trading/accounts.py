"""Accounts of trials: the kernel without tables; of each chunk only sums are kept.

Place in the flow: `sweeping` trades the same chunk for many trials, each with settings and an account of its own. What is the same
for all of them is made once, in `Stretch`. The same kernel as a run's, and so the same money to the last digit. Never keeps a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from backtester.columns import Ints
from backtester.trading import accounting, alone, inputs, plain, plain_account, records, rows
from backtester.trading.adjustments import Act, acts_of, adjusted, piece_of
from backtester.trading.alone import Rows, Seen, Wish
from backtester.trading.costs import micro
from backtester.trading.execution import AccountSettings, Carry, Events, ExecutionSettings, Market, after_chunk, stopped
from backtester.trading.finer import Reading, settled
from backtester.trading.inputs import Given
from backtester.trading.plain import Course, Wanted
from backtester.trading.plain_account import Held, Since
from backtester.trading.records import Book, Records, Tape
from backtester.trading.risk import RiskSettings

COUNTS = ("rows", "invested", "long", "short", "trades", "wins", "best", "worst")
AMOUNTS = ("value", "fees", "slippage", "gains", "total", "hold", "borrow")
SO_FAR = ("row_worth", "best", "worst")
"""Sums that are numbers; that are kept in two parts; that go on from chunk to chunk, where others are added up."""


@dataclass(frozen=True)
class Stretch:
    """Whole sessions between two sessions with corporate actions, as the kernels read them.

    acts: what acts at its start; first and last: its slots in the chunk.
    """

    market: Market
    tape: Tape
    acts: tuple[Act, ...]
    first: int
    last: int
    course: Course


@dataclass(frozen=True)
class Asked:
    """The signals of a chunk: as wishes in columns, strategy by strategy, and as plain ones in the order of decision, both None where they
    are not; and as what they always can be, in the order of decision.
    """

    wishes: Callable[[], Sequence[tuple[Wish, Rows, Seen]] | None]
    plain: Callable[[], Wanted | None]
    events: Callable[[], Events]


def stretches(market: Market, carry: Carry, actions: pl.DataFrame) -> list[Stretch]:
    """A chunk cut where corporate actions act; `carry` is that of any account before the chunk."""
    acts = acts_of(actions, market, carry) if len(actions) else []
    cuts = sorted({0, *(act.session for act in acts), len(market.labels)})
    found, before = [], carry.slots
    for first, stop in pairwise(cuts):
        piece, begin, end = (market, 0, len(market.ts)) if len(cuts) == 2 else piece_of(market, first, stop)
        acting = tuple(act for act in acts if act.session == first)
        tape = inputs.tape(piece, before)
        found.append(Stretch(piece, tape, acting, begin, end, Course(tape)))
        before += end - begin
    return found


@dataclass(frozen=True)
class Sums:
    """What an account came to; money in 1e-6 currency.

    equity: at each session's end. value, fees and slippage: sums over fills. rows: slots with a bar; invested, long, short: those of
    them with any, a long, a short position. trades, wins, gains, total, best, worst, hold: closed trades, those with a profit, their
    profit, the profit of all, the largest, the smallest, microseconds held. borrow, dividends: of all trades, open ones too.
    """

    start: int
    equity: Ints
    rows: int
    invested: int
    long: int
    short: int
    trades: int
    wins: int
    best: int
    worst: int
    open_trades: int
    value: int
    fees: int
    slippage: int
    gains: int
    total: int
    hold: int
    borrow: int
    dividends: int


@dataclass(frozen=True)
class Terms:
    """What all accounts of the same settings share: the settings, as records too, and how each begins.

    plain: whether they are; alone: whether pairs can be traded one by one.
    """

    execution: ExecutionSettings
    given: Given
    start: Carry
    plain: bool
    alone: bool


def terms(
    execution: ExecutionSettings, risk: RiskSettings, account: AccountSettings, strategies: Sequence[str], symbols: Sequence[str]
) -> Terms:
    """The terms of settings, for accounts of these strategies and symbols."""
    given = inputs.given(execution, risk, account, symbols)
    given.rules["sums"] = True
    start = Carry.start(micro(account.cash), len(strategies), len(symbols), account.purses(strategies))
    return Terms(execution, given, start, plain.allows(given, start), alone.suits(given))


class Account:
    """One trial's account, from its start to its end; money in 1e-6 currency.

    plain: its settings are; ordered and general: chunks that the plain kernel in the order of decision, and that of a run have traded.
    """

    def __init__(self, terms: Terms):
        self._execution, self._given, self._carry, self._alone = terms.execution, terms.given, terms.start, terms.alone
        self._held: Held | None = None
        self._since = Since()
        self.plain, self.ordered, self.general = terms.plain, 0, 0
        self.start = self._carry.cash
        self._ends: list[Ints] = []
        self._sums = np.zeros(1, records.SUMS)
        for name, value in (("row_worth", self.start), ("best", -(2**63)), ("worst", 2**63 - 1)):
            self._sums[name] = value
        self._realized = 0

    @property
    def carry(self) -> Carry:
        """What passes to the next chunk."""
        if self._held is not None and self._since.slots:
            realized = whole(self._sums, "total")
            self._carry = plain_account.carry_of(self._held, self._carry, self._since, realized - self._realized)
            self._since, self._realized = Since(), realized
        return self._carry

    def trade(self, parts: Sequence[Stretch], asked: Asked, reading: Reading | None = None) -> None:
        """One chunk: its stretches in order, and its signals; `reading` finds finer bars.

        Raises the errors of `execution.trade`.
        """
        if self.plain and len(parts) == 1 and not parts[0].acts and self._traded(parts[0], asked):
            return
        carry, self.general = self.carry, self.general + 1
        self._held, events = None, asked.events()
        for part in parts:
            for act in part.acts:
                carry = adjusted(carry, act, self._execution)
            own = events if len(parts) == 1 else events.between(part.first, part.last)
            carry = self._trade(part, carry, own.halved(), reading)
        self._carry, self._realized = carry, whole(self._sums, "total")

    def _traded(self, part: Stretch, asked: Asked) -> bool:
        """Trade a plain chunk; whether it was one."""
        if not plain.suits(part.course, self._given):
            return False
        if self._held is None:
            if not plain.fits(self._carry, self._given):
                return False
            self._held = plain_account.held_of(self._carry)
        found, sums = None, records.copied(self._sums)
        if self._alone and (wishes := asked.wishes()) is not None:
            found = alone.trade(part.course, wishes, self._held, self._given, sums)
        if found is None and (wanted := asked.plain()) is not None:
            sums, self.ordered = records.copied(self._sums), self.ordered + 1
            found = plain.trade(part.course, wanted, self._held, self._given, sums)
        if found is None:
            return False
        (self._held, equity), self._sums = found, sums
        self._since = self._since.then(part.market, part.course.day)
        self._ends.append(equity)
        return True

    def _trade(self, part: Stretch, carry: Carry, events: Events, reading: Reading | None) -> Carry:
        """Trade a stretch with the kernel of a run: what passes to the next one."""
        from backtester.trading import compiled  # numba is heavy: not before the first chunk

        market = part.market
        signals = inputs.signals(events, carry.width)

        def attempt(tape: Tape) -> tuple[Book, int]:  # that knew itself would keep the chunk in a circle
            for more in inputs.FOURFOLD:
                book = inputs.book(events, carry, self._given, len(market.ts), len(market.labels), len(tape.spans), more)
                for name in SO_FAR:
                    book.sums[name] = self._sums[name]
                slot = compiled.kernel().entry_point(tape, book, signals, 0)
                if book.account[0]["error"] != records.FULL:
                    break
            return book, slot

        book, slot, _ = settled(part.tape, attempt, reading)
        ended, sums = book.account[0], book.sums
        if ended["error"] != records.NO_ERROR:
            raise stopped(market, int(ended["error"]), int(ended["pair"]), slot)
        book.orders["decision"][: ended["orders"]] = records.NONE
        after, _ = after_chunk(market, carry, book, rows.no_decisions(), (), whole(sums, "total"))
        accounting.check_profit(after)
        self._ends.append(book.moments["cash"][: ended["equity"]].copy())
        for name in records.SUMS.names or ():
            self._sums[name] = sums[name] if name in SO_FAR else self._sums[name] + sums[name]
        return after

    def finish(self) -> Sums:
        """The end of the run: what it comes to. Positions still held count as trades marked at the last close."""
        carry = self._carry
        if self._held is not None:
            carry = plain_account.ended(self._held, carry, whole(self._sums, "total") - self._realized)
        accounting.check_profit(carry)
        still = carry.pairs[carry.pairs["quantity"] != 0.0]
        one = {name: int(self._sums[name][0]) for name in COUNTS}
        two = {name: whole(self._sums, name) for name in AMOUNTS}
        two["borrow"] += sum(still["borrow"].tolist())
        dividends = whole(self._sums, "income") + sum(still["income"].tolist())
        equity = np.concatenate([np.zeros(0, np.int64), *self._ends])
        return Sums(start=self.start, equity=equity, open_trades=len(still), dividends=dividends, **one, **two)


def whole(sums: Records, name: str) -> int:
    """A sum that the kernels keep in two parts."""
    return (int(sums[f"{name}_high"][0]) << records.LIMB) + int(sums[f"{name}_low"][0])
