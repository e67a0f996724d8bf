"""Accounts of trials: the kernel without tables; of each chunk only sums are kept.

Place in the flow: `sweeping` trades the same chunk for many trials, each with settings and an account of its own. What is the same
for all of them is made once, in `Stretch`. The same kernel as a run's, and so the same money to the last digit. Never keeps a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from backtester.columns import Ints
from backtester.trading import accounting, inputs, records, rows
from backtester.trading.adjustments import Act, acts_of, adjusted, piece_of
from backtester.trading.costs import micro
from backtester.trading.execution import AccountSettings, Carry, Events, ExecutionSettings, Market, after_chunk, stopped
from backtester.trading.records import Records, Tape
from backtester.trading.risk import RiskSettings


@dataclass(frozen=True)
class Stretch:
    """Whole sessions between two sessions with corporate actions, as the kernel reads them.

    acts: what acts at its start; first and last: its slots in the chunk; ends: the last slot of each session, as slots of the run.
    """

    market: Market
    tape: Tape
    acts: tuple[Act, ...]
    first: int
    last: int
    ends: Ints


def stretches(market: Market, carry: Carry, actions: pl.DataFrame) -> list[Stretch]:
    """A chunk cut where corporate actions act; `carry` is that of any account before the chunk."""
    acts = acts_of(actions, market, carry) if len(actions) else []
    cuts = sorted({0, *(act.session for act in acts), len(market.labels)})
    found, before = [], carry.slots
    for first, stop in pairwise(cuts):
        piece, begin, end = (market, 0, len(market.ts)) if len(cuts) == 2 else piece_of(market, first, stop)
        ends = before + np.flatnonzero(np.append(piece.session[1:] != piece.session[:-1], True))
        tape = inputs.tape(piece, before)
        found.append(Stretch(piece, tape, tuple(act for act in acts if act.session == first), begin, end, ends))
        before += end - begin
    return found


class Account:
    """One trial's account, from its start to its end; money in 1e-6 currency.

    equity: at each session's end. value, fees and slippage: sums over fills. rows: slots with a bar; invested, long, short: those of
    them with any, a long, a short position. trades, wins, gains, total, best, worst, hold: closed trades, those with a profit, their
    profit, the profit of all, the largest, the smallest, microseconds held. borrow, dividends: of all trades, open ones too.
    """

    def __init__(self, execution: ExecutionSettings, risk: RiskSettings, account: AccountSettings, strategies: int, symbols: Sequence[str]):
        self._execution = execution
        self._given = inputs.given(execution, risk, account, symbols)
        self.carry = Carry.start(micro(account.cash), strategies, len(symbols))
        self.start = self.carry.cash
        self.equity: list[int] = []
        self.value = self.fees = self.slippage = self.borrow = self.dividends = 0
        self.rows = self.invested = self.long = self.short = 0
        self.trades = self.wins = self.gains = self.total = self.hold = 0
        self.best, self.worst = -(2**63), 2**63
        self.open_trades = self.open_pnl = 0

    def trade(self, parts: Sequence[Stretch], events: Events) -> None:
        """One chunk: its stretches in order, and its signals in the order of decision. Raises the errors of `execution.trade`."""
        for part in parts:
            for act in part.acts:
                self.carry = adjusted(self.carry, act, self._execution)
            own = events if len(parts) == 1 else events.between(part.first, part.last)
            self._trade(part, own)

    def _trade(self, part: Stretch, events: Events) -> None:
        from backtester.trading import compiled  # numba is heavy: not before the first chunk

        market, carry = part.market, self.carry
        book = inputs.book(events, carry, self._given, len(market.ts), len(market.labels))
        slot = compiled.kernel().entry_point(part.tape, book, inputs.signals(events, carry.width), 0)
        ended = book.account[0]
        if ended["error"] != records.NO_ERROR:
            raise stopped(market, int(ended["error"]), int(ended["pair"]), slot)
        fills, trades, moments = book.fills[: ended["fills"]], book.trades[: ended["trades"]], book.moments[: ended["equity"]]
        book.orders["decision"][: ended["orders"]] = records.NONE
        self.carry, _ = after_chunk(market, carry, book, rows.no_decisions(), ())
        accounting.check_profit(self.carry)
        self._add_moments(moments, part.ends, carry.cash + carry.marks)
        self.value, self.fees, self.slippage = (
            kept + _sum(fills[name]) for name, kept in (("value", self.value), ("fee", self.fees), ("slippage", self.slippage))
        )
        if len(trades):
            self._add_trades(trades)

    def _add_moments(self, moments: Records, ends: Ints, before: int) -> None:
        worth, gross, net = moments["cash"] + moments["marks"], moments["gross"], moments["marks"]
        last = np.searchsorted(moments["slot"], ends, side="right")
        self.equity += np.concatenate(([before], worth))[last].tolist()
        self.rows += len(moments)
        self.invested += int(np.count_nonzero(gross))
        self.long += int(np.count_nonzero(gross > -net))
        self.short += int(np.count_nonzero(gross > net))

    def _add_trades(self, trades: Records) -> None:
        pnl = trades["pnl"]
        won = pnl > 0
        self.trades += len(pnl)
        self.wins += int(np.count_nonzero(won))
        self.gains += _sum(pnl[won])
        self.total += _sum(pnl)
        self.best, self.worst = max(self.best, int(pnl.max())), min(self.worst, int(pnl.min()))
        self.hold += _sum(trades["exit_ts"] - trades["entry_ts"])
        self.borrow += _sum(trades["borrow"])
        self.dividends += _sum(trades["income"])

    def finish(self) -> None:
        """The end of the run: positions still held count as trades marked at the last close."""
        still = rows.open_trades(self.carry.pairs, self.carry.slots, self.carry.width)
        self.open_trades = len(still["pnl"])
        self.open_pnl = _sum(still["pnl"])
        self.borrow += _sum(still["borrow"])
        self.dividends += _sum(still["dividends"])


def _sum(values: Ints) -> int:
    """The sum of money amounts, exactly: what a chunk can add up to may be beyond an int64."""
    return sum(values.tolist()) if len(values) and int(np.abs(values).max()) > 2**62 // len(values) else int(values.sum())
