"""Accounts of trials: the kernel without tables; of each chunk only sums are kept.

Place in the flow: `sweeping` trades the same chunk for many trials, each with settings and an account of its own. What is the same
for all of them is made once, in `Stretch`. The same kernel as a run's, and so the same money to the last digit. Never keeps a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl

from backtester.trading import accounting, inputs, records, rows
from backtester.trading.adjustments import Act, acts_of, adjusted, piece_of
from backtester.trading.costs import micro
from backtester.trading.execution import AccountSettings, Carry, Events, ExecutionSettings, Market, after_chunk, stopped
from backtester.trading.finer import Reading, settled
from backtester.trading.records import Book, Tape
from backtester.trading.risk import RiskSettings


@dataclass(frozen=True)
class Stretch:
    """Whole sessions between two sessions with corporate actions, as the kernel reads them.

    acts: what acts at its start; first and last: its slots in the chunk.
    """

    market: Market
    tape: Tape
    acts: tuple[Act, ...]
    first: int
    last: int


def stretches(market: Market, carry: Carry, actions: pl.DataFrame) -> list[Stretch]:
    """A chunk cut where corporate actions act; `carry` is that of any account before the chunk."""
    acts = acts_of(actions, market, carry) if len(actions) else []
    cuts = sorted({0, *(act.session for act in acts), len(market.labels)})
    found, before = [], carry.slots
    for first, stop in pairwise(cuts):
        piece, begin, end = (market, 0, len(market.ts)) if len(cuts) == 2 else piece_of(market, first, stop)
        acting = tuple(act for act in acts if act.session == first)
        found.append(Stretch(piece, inputs.tape(piece, before), acting, begin, end))
        before += end - begin
    return found


class Account:
    """One trial's account, from its start to its end; money in 1e-6 currency.

    equity: at each session's end. value, fees and slippage: sums over fills. rows: slots with a bar; invested, long, short: those of
    them with any, a long, a short position. trades, wins, gains, total, best, worst, hold: closed trades, those with a profit, their
    profit, the profit of all, the largest, the smallest, microseconds held. borrow, dividends: of all trades, open ones too.
    """

    def __init__(
        self, execution: ExecutionSettings, risk: RiskSettings, account: AccountSettings, strategies: Sequence[str], symbols: Sequence[str]
    ):
        self._execution = execution
        self._given = inputs.given(execution, risk, account, symbols)
        self._given.rules["sums"] = True
        self.carry = Carry.start(micro(account.cash), len(strategies), len(symbols), account.purses(strategies))
        self.start = self.carry.cash
        self.equity: list[int] = []
        self.value = self.fees = self.slippage = self.borrow = self.dividends = 0
        self.rows = self.invested = self.long = self.short = 0
        self.trades = self.wins = self.gains = self.total = self.hold = 0
        self.best, self.worst = -(2**63), 2**63 - 1
        self.open_trades = 0

    def trade(self, parts: Sequence[Stretch], events: Events, reading: Reading | None = None) -> None:
        """One chunk: its stretches in order, and its signals in the order of decision; `reading` finds finer bars.

        Raises the errors of `execution.trade`.
        """
        for part in parts:
            for act in part.acts:
                self.carry = adjusted(self.carry, act, self._execution)
            own = events if len(parts) == 1 else events.between(part.first, part.last)
            self._trade(part, own.halved(), reading)

    def _trade(self, part: Stretch, events: Events, reading: Reading | None) -> None:
        from backtester.trading import compiled  # numba is heavy: not before the first chunk

        market, carry = part.market, self.carry
        signals, before = inputs.signals(events, carry.width), self.equity[-1] if self.equity else self.start

        def attempt(tape: Tape, more: int = 1) -> tuple[Book, int]:
            book = inputs.book(events, carry, self._given, len(market.ts), len(market.labels), len(tape.spans), more)
            for name, value in (("row_worth", before), ("best", self.best), ("worst", self.worst)):
                book.sums[name] = value
            slot = compiled.kernel().entry_point(tape, book, signals, 0)
            return attempt(tape, 4 * more) if book.account[0]["error"] == records.FULL else (book, slot)

        book, slot, _ = settled(part.tape, attempt, reading)
        ended, sums = book.account[0], book.sums[0]
        if ended["error"] != records.NO_ERROR:
            raise stopped(market, int(ended["error"]), int(ended["pair"]), slot)
        book.orders["decision"][: ended["orders"]] = records.NONE
        self.carry, _ = after_chunk(market, carry, book, rows.no_decisions(), (), _whole(sums, "total"))
        accounting.check_profit(self.carry)
        self.equity += book.moments["cash"][: ended["equity"]].tolist()
        self._add(sums)

    def _add(self, sums: Any) -> None:
        """The sums of one chunk."""
        for name in ("rows", "invested", "long", "short", "trades", "wins"):
            setattr(self, name, getattr(self, name) + int(sums[name]))
        for name in ("value", "fees", "slippage", "gains", "total", "hold", "borrow"):
            setattr(self, name, getattr(self, name) + _whole(sums, name))
        self.dividends += _whole(sums, "income")
        self.best, self.worst = int(sums["best"]), int(sums["worst"])

    def finish(self) -> None:
        """The end of the run: positions still held count as trades marked at the last close."""
        still = rows.open_trades(self.carry.pairs, self.carry.slots, self.carry.width)
        self.open_trades = len(still["pnl"])
        self.borrow += sum(still["borrow"].tolist())
        self.dividends += sum(still["dividends"].tolist())


def _whole(sums: Any, name: str) -> int:
    """A sum that the kernel keeps in two parts."""
    return (int(sums[f"{name}_high"]) << records.LIMB) + int(sums[f"{name}_low"])
