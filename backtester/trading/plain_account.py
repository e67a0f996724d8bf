"""The account of plain trading: what lies between two chunks, from and to what a run carries.

Place in the flow: accounts.py keeps one for each trial; plain.py and alone.py trade with copies of it, which count only where all of a
chunk could be traded so. Never trades.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from backtester.columns import Ints
from backtester.trading import records
from backtester.trading.execution import Carry, Market
from backtester.trading.inputs import GIVEN, Given
from backtester.trading.records import Records

LINKS = ("entry", "exit")
"""Fields of a pair that name its waiting orders: the rows 2 * pair and 2 * pair + 1."""

NO_PURSES = np.zeros(0, records.PURSE)


class Sheet(NamedTuple):
    """The records of a chunk that plain trading needs; as those of `records.Book`."""

    rules: Records
    instruments: Records
    tiers: Records
    account: Records
    purses: Records
    active: Ints
    pairs: Records
    orders: Records
    fills: Records
    trades: Records
    moments: Records
    sums: Records


@cache
def _blank(pairs: int) -> Records:
    """Room for the two orders of each pair, with what never differs; to be copied."""
    orders = np.zeros(2 * pairs, records.ORDER)
    for name in records.ORDER.names or ():
        if records.ORDER[name] == np.float64:
            orders[name] = np.nan
    orders["filled"], orders["lots"] = 0.0, 0.0
    orders["status"], orders["type"] = records.OPEN, records.MARKET
    for name in ("reason", "slot", "decision", "looked"):
        orders[name] = records.NONE
    orders["pair"] = np.repeat(np.arange(pairs), 2)
    orders["role"] = np.tile([records.ENTRY, records.EXIT], pairs)
    orders["leaves"] = np.tile([0, 1], pairs)
    return orders


@cache
def nothing() -> Records:
    """Room for one signal, with what plain ones do not give; to be copied."""
    signal = np.zeros(1, records.SIGNAL)
    for name in GIVEN:
        signal[name] = np.nan
    signal["confidence"] = 1.0
    return signal


class Held(NamedTuple):
    """An account between two chunks: its pairs; its waiting orders, the entry's and the exit's of each pair in the rows 2 * pair and
    2 * pair + 1; its figures, one row; the pairs that hold or wait. fills and trades: room for one, which says nothing.
    """

    pairs: Records
    orders: Records
    account: Records
    active: Ints
    fills: Records
    trades: Records


class Since(NamedTuple):
    """The chunks that an account has been through: how many slots, the label of the last session (days since 1970), whose they were."""

    slots: int = 0
    day: int = records.NONE
    symbols: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()

    def then(self, market: Market, day: int) -> Since:
        """One chunk more, whose last session is of that day."""
        day = day if len(market.ts) else self.day
        return Since(self.slots + len(market.ts), day, market.symbols, market.strategies)


def held_of(carry: Carry) -> Held:
    """The account as carried."""
    pairs, waits = records.copied(carry.pairs), carry.orders
    orders, account, active = records.copied(_blank(len(pairs))), np.zeros(1, records.ACCOUNT), np.zeros(len(pairs), np.int64)
    rows = 2 * waits["pair"] + (waits["role"] == records.EXIT)
    orders[rows] = waits
    for name in LINKS:
        own = pairs[name] != records.NONE
        pairs[name][own] = rows[pairs[name][own]]
    _open(account, pairs, active, carry)
    return Held(pairs, orders, account, active, np.zeros(1, records.FILL), np.zeros(1, records.TRADE))


def carry_of(held: Held, carry: Carry, since: Since, realized: int) -> Carry:
    """What passes to the next chunk; `carry` is what passed to the first of those since then, realized what was earned in them. Orders and
    open trades are numbered in the order of decision and of fills.
    """
    account, pairs = held.account[0], records.copied(held.pairs)
    waiting = np.concatenate([pairs[name][pairs[name] != records.NONE] for name in LINKS])
    found = held.orders[waiting]
    order = np.lexsort((found["pair"], -found["leaves"], found["ts"]))
    orders, place = found[order], np.full(len(held.orders) + 1, records.NONE)
    orders["id"] = np.sort(orders["id"])
    place[waiting[order]] = np.arange(len(order))
    for name in LINKS:
        pairs[name] = place[pairs[name]]
    kept = np.flatnonzero(pairs["quantity"] != 0.0)
    pairs["trade"][kept[np.lexsort((kept, pairs["slot"][kept]))]] = np.sort(pairs["trade"][kept])
    for made in (pairs, orders):
        made.setflags(write=False)
    return replace(
        carry, cash=int(account["cash"]), marks=int(account["marks"]), slots=carry.slots + since.slots, day=since.day,
        next_order=int(account["next_order"]), next_trade=int(account["next_trade"]), realized=carry.realized + realized,
        pairs=pairs, orders=orders, symbols=since.symbols, strategies=since.strategies,
    )  # fmt: skip


def ended(held: Held, carry: Carry, realized: int) -> Carry:
    """The account after the last chunk, without what a next one would need; carry and realized as of `carry_of`."""
    account = held.account[0]
    return replace(carry, cash=int(account["cash"]), marks=int(account["marks"]), realized=carry.realized + realized, pairs=held.pairs)


def sheet_of(given: Given, held: Held, sums: Records, sessions: int) -> tuple[Sheet, Held]:
    """Records to trade a chunk of so many sessions with, and the account as it will be afterwards; sums are added to."""
    pairs, orders, account = records.copied(held.pairs), records.copied(held.orders), records.copied(held.account)
    after = Held(pairs, orders, account, held.active.copy(), held.fills, held.trades)
    moments = np.empty(sessions, records.MOMENT)
    own = after.account, NO_PURSES, after.active, after.pairs, after.orders, after.fills, after.trades
    return Sheet(given.rules, given.instruments, given.tiers, *own, moments, sums), after


def _open(account: Records, pairs: Records, active: Ints, carry: Carry) -> None:
    """The account and the active pairs as carried."""
    held = pairs["quantity"] != 0.0
    entries, exits = (pairs[name] != records.NONE for name in LINKS)
    found = np.flatnonzero(held | entries)
    active[: len(found)] = found
    pairs["listed"] = held | entries
    leaving = int(exits.sum())
    for name, value in (
        ("cash", carry.cash),
        ("marks", carry.marks),
        ("gross", pairs["mark"][held].sum()),
        ("positions", held.sum()),
        ("shorts", (held & (pairs["direction"] == records.SHORT)).sum()),
        ("entries", entries.sum()),
        ("exits", leaving),
        ("leaving", leaving),
        ("next_order", carry.next_order),
        ("next_trade", carry.next_trade),
        ("active", len(found)),
    ):
        account[name] = value
