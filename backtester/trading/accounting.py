"""The accounting identity: every figure of the account is worked out a second time, another way, and must be equal.

Place in the flow: execution.py calls it after every chunk. It knows fills and market only, nothing of how the kernel
keeps its sums. Never corrects anything: a break is a defect of the program (InternalError).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Floats, Ints
from backtester.errors import InternalError
from backtester.trading import records as r
from backtester.trading.records import Records
from backtester.trading.rows import split

if TYPE_CHECKING:
    from backtester.trading.chunk import Carry, Market

MANY_LOTS, SLACK, TINY = 2.0**50, 1e-9, 1e-15
"""So many lots cannot be told from their neighbours any more; a quantity off a whole number of lots by less than SLACK of a lot and TINY of
what it is the sum of is off by a rounding."""


FEW = 2**16
"""Numbers up to which sorting is a matter of two bytes."""


class _Held(NamedTuple):
    """Positions at the ends of sessions: whose, which end, the direction, the value at the last real close."""

    pair: Ints
    end: Ints
    direction: Ints
    value: Ints


def check_chunk(market: Market, before: Carry, after: Carry, fills: Records, moments: Records, borrow_bps: float, lots: Floats) -> None:
    """Cash, marks and profit of a chunk from its fills; InternalError where one differs by a millionth.

    Cash after each slot is the cash before the chunk plus what the fills until then moved, less what short positions have cost
    overnight. The marks at each session's end are the positions that the fills have left, at the last real closes. Equity is the
    start plus the profit of closed trades plus that of open positions. lots: the lot of each symbol.
    """
    if len(fills) and fills["fee"].min() < 0:
        raise _broken("a fee below zero", int(fills["fee"].min()), 0)
    lasts = np.append(market.session[1:] != market.session[:-1], True)
    ends = before.slots + np.flatnonzero(lasts)
    of = split(fills, "pair slot side quantity value fee")
    pairs, quantities = _positions(before, of["pair"], of["slot"], of["side"] * of["quantity"], ends, lots)
    _equal("positions do", quantities[:, -1], (after.pairs["quantity"] * after.pairs["direction"])[pairs])
    held = _held(market, before, pairs, quantities, ends)
    payers, begins, charges = _charges(market, before, held, ends, borrow_bps)
    paid = -of["side"] * of["value"] - of["fee"]
    again = before.cash + _until(of["slot"], paid, moments["slot"]) - _until(begins, charges, moments["slot"])
    _equal("cash does", moments["cash"], again)
    _equal("cash at the end does", np.array([after.cash]), np.array([before.cash + int(paid.sum()) - int(charges.sum())]))
    if after.purses:
        purses = np.array(before.purses, np.int64)
        np.add.at(purses, np.concatenate((payers, of["pair"])) // before.width, np.concatenate((-charges, paid)))
        _equal("purses do", np.array(after.purses), purses)
    rows = np.searchsorted(moments["slot"], ends, side="right")
    for name, first, signs in (("marks", before.marks, held.direction), ("gross", _gross(before), np.ones_like(held.direction))):
        again = np.zeros(len(ends), np.int64)
        np.add.at(again, held.end, signs * held.value)
        _equal(f"{name} does", np.concatenate(([first], moments[name]))[rows], again)
    check_profit(after)


def check_profit(carry: Carry) -> None:
    """Equity is the starting cash plus the profit of closed trades plus that of open positions; cash is what is in all purses."""
    if carry.purses:
        _equal("purses do", np.array([carry.cash]), np.array([sum(carry.purses)]))
    held = carry.pairs[carry.pairs["quantity"] != 0.0]
    gained = held["direction"] * (held["mark"] - held["value"]) - held["fee"] - held["borrow"] + held["income"]
    _equal("equity does", np.array([carry.cash + carry.marks]), np.array([carry.start_cash + carry.realized + int(gained.sum())]))


def _gross(carry: Carry) -> int:
    """The absolute value of all positions."""
    return int(carry.pairs["mark"][carry.pairs["quantity"] != 0.0].sum())


def _until(slot: Ints, amount: Ints, at: Ints) -> Ints:
    """The sum of the amounts of slots up to each of the slots `at`."""
    if (slot[1:] < slot[:-1]).any():
        order = np.argsort(slot, kind="stable")
        slot, amount = slot[order], amount[order]
    sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(amount)))
    found: Ints = sums[np.searchsorted(slot, at, side="right")]
    return found


def _positions(before: Carry, pair: Ints, slot: Ints, moved: Floats, ends: Ints, lots: Floats) -> tuple[Ints, Floats]:
    """The pairs that held or traded, and what each held (with its sign) at every slot of `ends`: (pairs,) and (pairs, ends).

    pair, slot, moved: whose fill, when, and how much with its sign; shape (fills,).
    """
    start = before.pairs["quantity"] * before.pairs["direction"]
    known = start != 0.0
    known[pair] = True
    pairs, place = np.flatnonzero(known), np.cumsum(known) - 1
    order = np.argsort(pair.astype(np.uint16) if len(start) <= FEW else pair, kind="stable")
    pair, slot, moved = pair[order], slot[order], moved[order]
    first, own, lot = np.searchsorted(pair, pairs), start[pairs], lots[pairs % len(lots)]
    if not len(moved):
        return pairs, np.repeat(own[:, None], len(ends), axis=1)
    reach = int(ends[-1]) + 1
    last = np.searchsorted(pair * reach + slot, pairs[:, None] * reach + ends, side="right")
    found = _in_lots(moved, place[pair], first, own, lot)
    if found is None:
        found = _one_by_one(moved, np.append(first[1:], len(moved)), first, own, lot)
    return pairs, np.where(last > first[:, None], found[np.maximum(last - 1, 0)], own[:, None])


def _in_lots(moved: Floats, pair: Ints, first: Ints, own: Floats, lot: Floats) -> Floats | None:
    """What a pair holds after each fill, added up as whole numbers of lots; None where it is not, or there are too many to be exact."""
    starts, steps = np.rint(own / lot), np.rint(moved / lot[pair])
    sums = np.concatenate(([0.0], np.cumsum(steps)))
    held = starts[pair] + (sums[1:] - sums[first][pair])
    quantities, lots, units = np.concatenate((own, moved)), np.concatenate((starts, steps)), np.concatenate((lot, lot[pair]))
    whole = np.abs(lots * units - quantities) <= SLACK * units + TINY * np.abs(quantities)
    few = max(np.abs(held).max(initial=0.0), np.abs(steps).max(initial=0.0), np.abs(sums).max()) < MANY_LOTS
    return held * lot[pair] if whole.all() and few else None


def _one_by_one(moved: Floats, stop: Ints, first: Ints, own: Floats, lot: Floats) -> Floats:
    """The same as sums of floats, each a whole number of lots where it is but for a rounding."""
    held = np.empty(len(moved))
    for begin, end, quantity, unit in zip(first.tolist(), stop.tolist(), own.tolist(), lot.tolist(), strict=True):
        for row, step in enumerate(moved[begin:end].tolist(), begin):
            reach = SLACK * unit + TINY * (abs(quantity) + abs(step))
            quantity += step
            whole = round(quantity / unit) * unit
            held[row] = quantity = whole if abs(whole - quantity) <= reach else quantity
    return held


def _held(market: Market, before: Carry, pairs: Ints, quantities: Floats, ends: Ints) -> _Held:
    """Every position at every slot of `ends`, valued."""
    row, end = np.nonzero(quantities)
    quantity = quantities[row, end]
    closes = _last_closes(market, before, pairs[row], ends[end] - before.slots)
    return _Held(pairs[row], end, np.sign(quantity).astype(np.int64), np.rint(closes * np.abs(quantity) * 1e6).astype(np.int64))


def _charges(market: Market, before: Carry, held: _Held, ends: Ints, borrow_bps: float) -> tuple[Ints, Ints, Ints]:
    """What each short position paid for the nights before a session: its pair, that session's first slot, and the amount."""
    labels = market.labels.astype("datetime64[D]").astype(np.int64)
    days = np.concatenate(([before.day], labels[market.session[ends - before.slots]]))
    short = (before.pairs["quantity"] != 0.0) & (before.pairs["direction"] == r.SHORT)
    night = (held.direction == r.SHORT) & (held.end < len(ends) - 1)
    session = np.concatenate((np.zeros(int(short.sum()), np.int64), held.end[night] + 1))
    value = np.concatenate((before.pairs["mark"][short], held.value[night])).astype(np.float64)
    amount = np.rint(value * (borrow_bps / 10000.0) * (days[session + 1] - days[session]) / 360)
    pair = np.concatenate((np.flatnonzero(short), held.pair[night]))
    return pair, np.concatenate(([before.slots], ends + 1))[session], amount.astype(np.int64)


def _last_closes(market: Market, before: Carry, pair: Ints, slot: Ints) -> Floats:
    """Each pair's last real close until a slot of the chunk, or the one carried into the chunk."""
    symbol = pair % len(market.symbols)
    closes = market.close[symbol, slot]
    for s in np.unique(symbol[np.isnan(closes)]):
        missing = np.flatnonzero(np.isnan(closes) & (symbol == s))
        real = np.flatnonzero(~np.isnan(market.close[s]))
        place = np.searchsorted(real, slot[missing], side="right") - 1
        known = place >= 0
        closes[missing[known]] = market.close[s, real[place[known]]]
        closes[missing[~known]] = before.pairs["last"][pair[missing[~known]]]
    return closes


def _equal(what: str, kept: NDArray[Any], again: NDArray[Any]) -> None:
    """Raise where two ways to a figure part."""
    if not np.array_equal(kept, again):
        row = int(np.flatnonzero(kept != again)[0])
        raise _broken(f"the account's {what} not add up", kept[row].item(), again[row].item())


def _broken(what: str, kept: float, again: float) -> InternalError:
    return InternalError(
        what, where="accounting identity", value=f"{kept} and {again} (1e-6 currency, or shares)", action="please report this run"
    )
