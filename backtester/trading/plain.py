"""Plain trading: what most trials of a sweep ask for, traded from event to event by a kernel of its own.

Place in the flow: accounts.py asks here first. Settings, signals, market and account say whether a chunk is plain: market orders that
fill at the next open or close, nothing that guards a position, one purse, one entry a position. Whatever is not goes through the
kernel of a run, and so does what this one gives up. The money is the same to the last digit. Never keeps a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from backtester.columns import Floats, Ints
from backtester.trading import inputs, records
from backtester.trading.execution import AccountSettings, Carry, ExecutionSettings
from backtester.trading.inputs import Given
from backtester.trading.plain_account import Held, nothing, sheet_of
from backtester.trading.records import Records, Tape
from backtester.trading.risk import RiskSettings

FREE = {
    "fill", "sizing", "size", "notional", "allow_short", "leverage", "touch", "intrabar", "no_entry_us", "rebalance_threshold",
    "maintenance", "max_buying_power", "max_per_trade", "max_per_symbol", "max_open_positions", "cooldown_us", "min_quality",
    "min_confidence", "slippage_bps", "borrow_bps", "minimum", "cap_bps", "sums",
}  # fmt: skip
"""Rules that may say anything; all others must be as they are where a config does not name them."""
WHOLE = np.dtype([(name, np.int64) for name in ("held", "short", "entries", "fees")])
"""Sums over all pairs: the most that positions, and the short ones of them, can be worth; values of waiting entries; fees of what waits."""


class Wanted(NamedTuple):
    """Plain signals in the order of decision, shape (events,): slot of the chunk, pair, action, price seen, quality."""

    slot: Ints
    pair: Ints
    action: Ints
    price: Floats
    quality: Floats

    def sorted(self) -> Wanted:
        """In the order of decision; those of one slot, role, pair and direction as given."""
        exits = (self.action == records.EXIT_LONG) | (self.action == records.EXIT_SHORT)
        pairs = int(self.pair.max(initial=0)) + 1
        key = ((self.slot * 2 + 1 - exits) * pairs + self.pair) * 2 + (self.action > records.EXIT_LONG)
        if bool((key[1:] >= key[:-1]).all()):
            return self
        order = np.argsort(key, kind="stable")
        return Wanted(self.slot[order], self.pair[order], self.action[order], self.price[order], self.quality[order])


class Road(NamedTuple):
    """The market of a chunk as plain trading reads it; few arrays, for the kernel hands them on by value. Of each slot, shape (symbols,
    slots): open and close; last: the last real close until its end (NaN: none in the chunk); fillable: the first fillable slot from it on,
    with one column more: as many as there are slots where there is none. Of each symbol: top, the highest close; bottom, the lowest price.
    """

    open: Floats
    close: Floats
    last: Floats
    fillable: Ints
    top: Floats
    bottom: Floats
    slots: Records


class Bounds(NamedTuple):
    """What may be held at most, so that what is far from any limit needs no marks. Of each pair: top, the highest price at which it may be
    marked; most, what its position is worth at most. whole: one row of WHOLE. waiting: the pairs that wait, ascending.
    """

    top: Floats
    most: Ints
    whole: Records
    waiting: Ints


@dataclass(frozen=True)
class Course:
    """What plain trading asks of a chunk's market beside its tape; the same for all trials. bars and suited: what `alone.bars_of` and
    `suits` keep.
    """

    tape: Tape
    bars: dict[tuple[int, int], tuple[Any, Records]] = field(default_factory=dict)
    suited: dict[bytes, bool] = field(default_factory=dict)

    @cached_property
    def road(self) -> Road:
        """The market, with what stands before and after each slot."""
        close, slots = self.tape.close, np.arange(self.tape.close.shape[1])
        real = ~np.isnan(close)
        last = close
        if not real.all():
            place = np.maximum.accumulate(np.where(real, slots, 0), axis=1)
            last = np.ascontiguousarray(np.take_along_axis(close, place, axis=1))
        fills = np.full((len(close), len(slots) + 1), len(slots))
        fills[:, :-1] = np.where(real & (self.tape.volume > 0.0), slots, len(slots))
        fillable = np.ascontiguousarray(np.minimum.accumulate(fills[:, ::-1], axis=1)[:, ::-1])
        return Road(self.tape.open, close, last, fillable, self.highest, self.lowest, self.tape.slots)

    @cached_property
    def ends(self) -> Ints:
        """The slot after the last one of each session; shape (sessions,)."""
        return np.unique(self.tape.slots["stop"])

    @cached_property
    def day(self) -> int:
        """The label of the last session, days since 1970; NONE where there is no slot."""
        return int(self.tape.slots["day"][-1]) if len(self.tape.slots) else records.NONE

    @cached_property
    def lowest(self) -> Floats:
        """The lowest price at which each symbol can be marked or traded; shape (symbols,)."""
        found: Floats = np.fmin(*(np.fmin.reduce(prices, axis=1, initial=np.inf) for prices in (self.tape.open, self.tape.close)))
        return found

    @cached_property
    def highest(self) -> Floats:
        """The highest close of each symbol; shape (symbols,)."""
        found: Floats = np.fmax.reduce(self.tape.close, axis=1, initial=0.0)
        return found


def allows(given: Given, carry: Carry) -> bool:
    """Whether the settings are plain."""
    rules = given.rules[0]
    usual = inputs.rules(ExecutionSettings(), RiskSettings(), AccountSettings(cash=1.0))[0]
    for name in records.RULES.names or ():
        if name not in FREE and rules[name] != usual[name] and not (np.isnan(rules[name]) and np.isnan(usual[name])):
            return False
    shorts = bool(rules["allow_short"]) and rules["borrow_bps"] > 0.0
    words = rules["fill"] in (records.NEXT_OPEN, records.NEXT_CLOSE) and rules["sizing"] != records.RISK_FRACTION
    return bool(words) and not shorts and len(given.tiers) == 1 and not len(given.rungs) and not carry.purses


def suits(course: Course, given: Given) -> bool:
    """Whether a market is plain: no price is at or below zero, and no mark can be nil."""
    key = given.instruments.tobytes()
    if key not in course.suited:
        course.suited[key] = bool((course.lowest * given.instruments["lot"] * 1e6 >= 1.0).all())
    return course.suited[key]


def fits(carry: Carry, given: Given) -> bool:
    """Whether an account is plain, after whatever it has been through; after plain trading it always is."""
    lots, orders = given.instruments["lot"], carry.orders
    held = carry.pairs[carry.pairs["quantity"] != 0.0]
    kinds = (orders["type"] == records.MARKET) & ((orders["role"] == records.ENTRY) | (orders["leaves"] != 0))
    other = orders["joins"] + orders["anew"] + orders["rests"]
    return bool(
        (kinds & (other == 0) & (orders["filled"] == 0.0)).all()
        and ((held["stop"] == records.NONE) & (held["target"] == records.NONE) & (held["adds"] == 1)).all()
        and np.isnan(held["trailing_stop"]).all()
        and np.isnan(held["trailing_amount"]).all()
        and (held["quantity"] >= lots[held["symbol"]]).all()
    )


def trade(course: Course, wanted: Wanted, held: Held, given: Given, sums: Records) -> tuple[Held, Ints] | None:
    """Trade a chunk: the account after it, and equity at the ends of sessions (1e-6 currency); sums are added to.

    None where it asks for more than plain trading does: then sums may hold anything.
    """
    from backtester.trading import compiled  # numba is heavy: not before the first chunk

    sheet, after = sheet_of(given, held, sums, len(course.ends))
    pairs, account = sheet.pairs, after.account[0]
    account["equity"], account["wanted"] = 0, 0
    highest = course.highest[pairs["symbol"]]
    top = np.where(pairs["quantity"] != 0.0, np.fmax(highest, pairs["last"]), highest)
    bounds = Bounds(top, np.empty(len(pairs), np.int64), np.zeros(1, WHOLE), np.empty(len(pairs), np.int64))
    compiled.plain().entry_point(course.road, sheet, records.copied(nothing()), wanted, bounds)
    return None if account["error"] != records.NO_ERROR else (after, sheet.moments["cash"].copy())
