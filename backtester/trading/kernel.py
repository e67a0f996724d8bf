"""The compiled kernel: what happens at each slot, in the order that docs/execution.md gives.

Place in the flow: `execution.trade` has it called once a chunk of sessions, through compiled.py. It visits only pairs that hold
or wait, and the signals as they come. Never allocates, never calls Python, never reorders a float operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backtester.trading import records as r
from backtester.trading import risk as why
from backtester.trading.book import (
    begin_month,
    begins_fillable,
    delist,
    dequeue,
    ends_fillable,
    ends_session,
    fillable,
    new_order,
    refuse,
    waits,
)
from backtester.trading.calm import FEWEST, is_calm, pass_calm
from backtester.trading.decisions import close_late, decide
from backtester.trading.drill import drill
from backtester.trading.guards import trail
from backtester.trading.margin import call_margins
from backtester.trading.money import apart, compiled
from backtester.trading.positions import charge_borrow, fill_exit, fill_market, widen
from backtester.trading.prices import beyond, met, price_at, turned, watched
from backtester.trading.quiet import add_up, is_quiet, mark, note, pass_by
from backtester.trading.records import Book, Records, Tape
from backtester.trading.reference import refer
from backtester.trading.resting import chase, look_at_open, look_in_bar
from backtester.trading.weights import weigh


@compiled
def due(m: Tape, b: Book, row: int, s: int, t: int, at: int) -> bool:
    """Whether a waiting order fills at a fillable bar's open or close, whatever its price."""
    order = b.orders[row]
    if order.rests:
        return False
    if order.type == r.MARKET_ON_OPEN:
        return at == r.AT_OPEN and order.day < m.slots[t].day and begins_fillable(m, s, t)
    if order.type == r.MARKET_ON_CLOSE:
        return at == r.AT_CLOSE and ends_fillable(m, s, t)
    usual: bool = at == (r.AT_OPEN if b.rules[0].fill == r.NEXT_OPEN else r.AT_CLOSE)
    return usual


@apart
def fill_waiting(m: Tape, b: Book, t: int, at: int) -> None:
    """Steps 1 and 3: market orders that are due, exits first."""
    account = b.account[0]
    if account.exits > account.resting_exits:
        for i in range(account.queued):
            pair = b.pairs[b.waiting[i]]
            if pair.exit != r.NONE and fillable(m, pair.symbol, t) and due(m, b, pair.exit, pair.symbol, t, at):
                fill_market(m, b, pair.exit, t, at)
    if account.entries > account.resting - account.resting_exits:
        for i in range(account.queued):
            pair = b.pairs[b.waiting[i]]
            if pair.entry == r.NONE or waits(b, pair):
                continue
            if fillable(m, pair.symbol, t) and due(m, b, pair.entry, pair.symbol, t, at):
                fill_market(m, b, pair.entry, t, at)


@compiled
def first_hit(rules: Any, opened: float, first: float, stop: float, target: float) -> bool:
    """Whether a bar that holds both, and opens between them, is taken to have met the stop; opened: what the stop saw of its open."""
    if rules.intrabar == r.OPEN_TO_NEAREST:
        return abs(opened - stop) <= abs(first - target)
    stop_first: bool = rules.intrabar != r.OPTIMISTIC
    return stop_first


@apart
def look_inside(m: Tape, b: Book, t: int) -> None:
    """Step 2: stops and targets. Until now only an entry at this very open can be of this slot."""
    watch = b.rules[0].watch != 0
    for i in range(b.account[0].active):
        pair = b.pairs[b.active[i]]
        s, stop, target = pair.symbol, pair.stop_level, pair.target_level
        first = pair.direction * m.open[s, t]
        worst, best = turned(pair.direction, m.low[s, t], m.high[s, t])
        opened = first
        if watch:
            opened, high, low, _, _ = watched(m, b, s, t, -pair.direction)
            opened, worst = pair.direction * opened, turned(pair.direction, low, high)[0]
        if not (worst <= stop or best >= target or opened <= stop or first >= target) or pair.quantity == 0.0 or not fillable(m, s, t):
            continue
        while look(m, b, pair, t):
            pass


@compiled
def look(m: Tape, b: Book, pair: Any, t: int) -> bool:
    """Stop and target of a position look at its bar; whether the next rung, and the stop again, shall look at it too."""
    rules, s, stop, target, left = b.rules[0], pair.symbol, pair.stop_level, pair.target_level, pair.rungs
    opened, high, low, close, synthetic = watched(m, b, s, t, -pair.direction)
    opened, first = pair.direction * opened, pair.direction * m.open[s, t]
    worst, _ = turned(pair.direction, low, high)
    _, best = turned(pair.direction, m.low[s, t], m.high[s, t])
    hit, reached = worst <= stop, beyond(rules, -best, -target)
    row, level, flags = r.NONE, first, r.AMBIGUOUS if hit and reached else r.NO_FLAGS
    if opened <= stop:
        row, level, flags = pair.stop, opened, r.NO_FLAGS
    elif first > target or (first == target and (rules.touch or pair.slot != m.slots[t].number)):
        row, flags = pair.target, r.NO_FLAGS
    elif hit and reached and rules.intrabar == r.DRILL_DOWN:
        if drill(m, b, pair, t):
            return False
        row, level = pair.stop, stop
        flags = r.AMBIGUOUS if beyond(rules, -best, -pair.target_level) else r.NO_FLAGS
    elif hit and (not reached or first_hit(rules, opened, first, stop, target)):
        row, level = pair.stop, stop
    elif reached:
        row, level = pair.target, target
    if row != r.NONE:
        seen, other = pair.direction * level, pair.stop
        if row == pair.stop:
            seen, flags, other = met(b, -pair.direction, pair.direction * stop, seen, close), flags | synthetic, pair.target
        fill_exit(m, b, row, t, r.AT_OPEN, seen, flags, other)
    more: bool = row != r.NONE and pair.quantity != 0.0 and pair.rungs < left
    return more


@apart
def flatten(m: Tape, b: Book, t: int) -> None:
    """Step 4: close what has its last fillable bar of the session here."""
    for i in range(b.account[0].active):
        number = b.active[i]
        s, side = b.pairs[number].symbol, -b.pairs[number].direction
        if b.pairs[number].quantity != 0.0 and fillable(m, s, t) and ends_fillable(m, s, t):
            seen, flags = price_at(m, b, s, t, side, r.AT_CLOSE)
            slot = m.slots[t]
            row = new_order(b, number, r.EXIT, side, r.CLOSE, b.pairs[number].quantity, slot, slot.end, m.close[s, t])
            widen(m, b, number, t)
            fill_exit(m, b, row, t, r.AT_CLOSE, seen, flags if ends_session(m, t) else flags | r.STALE_CLOSE, r.NONE)


@compiled
def outlives(m: Tape, b: Book, row: int, t: int) -> bool:
    """Whether an order is one on the open that this session made, which lives to see another one, or what is left of a guard."""
    order = b.orders[row]
    lives: bool = order.type == r.MARKET_ON_OPEN and order.day == m.slots[t].day
    return lives or (order.role == r.EXIT and (order.type == r.STOP or order.type == r.TRAILING))


@apart
def expire(m: Tape, b: Book, t: int) -> None:
    """Step 7: waiting entries expire; with day orders waiting exits too. What waits for the next open stays."""
    for i in range(b.account[0].queued):
        pair = b.pairs[b.waiting[i]]
        if pair.entry != r.NONE and not outlives(m, b, pair.entry, t):
            refuse(b, pair.entry, r.EXPIRED, why.EXPIRED, m.slots[t])
        if pair.exit != r.NONE and b.rules[0].day and not outlives(m, b, pair.exit, t):
            refuse(b, pair.exit, r.EXPIRED, why.EXPIRED, m.slots[t])


def kernel(stamp: int) -> Callable[[Tape, Book, Records, int], int]:
    """The kernel, not yet compiled. `stamp` tells its source apart: numba's cache on disk looks at one file's time and size only,
    but a number that the function closes over is part of its key.
    """

    def run_slots(tape: Tape, book: Book, signals: Records, first: int) -> int:
        """All slots of a chunk; verdicts are written from row `first` on. The slot that stopped the run, or the number of slots."""
        m, b = refer(tape), refer(book)
        account, rules, e = b.account[0], b.rules[0], r.FIRST
        account.stamp = stamp
        at = r.AT_OPEN if rules.fill == r.NEXT_OPEN else r.AT_CLOSE
        t = -1
        while t + 1 < len(m.slots):
            t += 1
            if rules.tiered and (t == 0 or ends_session(m, t - 1)):
                begin_month(b, m.slots[t].month)
            if account.shorts > 0 and rules.borrow_bps > 0.0 and (t == 0 or ends_session(m, t - 1)):
                charge_borrow(m, b, t)
            coming = signals[e].slot if e < len(signals) else len(m.slots)
            if coming > t:
                stop, until = min(coming, m.slots[t].stop), t
                if is_quiet(b):
                    until = pass_by(m, b, t, stop)
                elif stop >= t + FEWEST and is_calm(b):
                    until = pass_calm(m, b, t, stop)
                if account.error != r.NO_ERROR:
                    return until
                if until > t:
                    t = until - 1
                    continue
            if account.active > 0:
                if at == r.AT_OPEN or account.on_open > 0:
                    fill_waiting(m, b, t, r.AT_OPEN)
                near = look_at_open(m, b, t) if account.resting > 0 else 0
                if account.guarded > 0:
                    look_inside(m, b, t)
                if near > 0:
                    look_in_bar(m, b, t)
                if at == r.AT_CLOSE or account.on_close > 0:
                    fill_waiting(m, b, t, r.AT_CLOSE)
                if rules.flat and account.positions > 0:
                    flatten(m, b, t)
                if account.positions > 0:
                    mark(m, b, t)
            if rules.timed and account.positions > 0:
                close_late(m, b, t)
            if coming == t:
                while e < len(signals) and signals[e].slot == t:
                    if signals[e].action >= r.TO_WEIGHT:
                        made = weigh(m, b, signals[e], first + e, t)
                    else:
                        made = decide(m, b, signals[e], first + e, t)
                    if made != r.NONE:
                        fill_market(m, b, made, t, r.AT_CLOSE)
                    e += 1
                if rules.flat and rules.fill == r.SAME_CLOSE and account.positions > 0:
                    flatten(m, b, t)
            if account.trailing > 0:
                trail(m, b, t)
            if account.chasing > 0:
                chase(m, b, t)
            note(m, b, t, t + 1)
            if rules.called and account.positions > 0:
                call_margins(m, b, t)
            if account.entries + account.exits > 0 and (rules.day or rules.flat) and ends_session(m, t):
                expire(m, b, t)
            if account.gone > 0:
                dequeue(b)
                delist(b)
            if account.error != r.NO_ERROR:
                return t
        if rules.sums:
            add_up(b)
        return len(m.slots)

    return run_slots
