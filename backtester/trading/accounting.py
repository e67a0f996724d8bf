"""The accounting identity: every figure of the account is worked out a second time, another way, and must be equal.

Place in the flow: execution.py calls it after every chunk. It knows fills, trades and market only, nothing of how the kernel
keeps its sums. Never corrects anything: a break is a defect of the program (InternalError).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Floats, Ints
from backtester.errors import InternalError
from backtester.trading import records as r
from backtester.trading.records import Records

if TYPE_CHECKING:
    from backtester.trading.execution import Carry, Market


class _Held(NamedTuple):
    """Positions held at the ends of sessions: which end, the direction, the value at the last real close."""

    end: Ints
    direction: Ints
    value: Ints


def check_chunk(market: Market, before: Carry, after: Carry, fills: Records, trades: Records, moments: Records, borrow_bps: float) -> None:
    """Cash, marks and profit of a chunk from its fills; InternalError where one differs by a millionth.

    Cash after each slot is the cash before the chunk plus what the fills until then moved, less what short positions have cost
    overnight. The marks at each session's end are the positions open by the list of trades, at the last real closes. Equity is the
    start plus the profit of closed trades plus that of open positions.
    """
    if len(fills) and fills["fee"].min() < 0:
        raise _broken("a fee below zero", int(fills["fee"].min()), 0)
    lasts = np.append(market.session[1:] != market.session[:-1], True)
    ends = before.slots + np.flatnonzero(lasts)
    held = _held(market, before, after, trades, ends)
    begins, charges = _charges(market, before, held, ends, borrow_bps)
    slots = np.concatenate((begins, fills["slot"]))
    moves = np.concatenate((-charges, -fills["side"] * fills["value"] - fills["fee"]))
    order = np.argsort(slots, kind="stable")
    moved = np.cumsum(np.concatenate(([before.cash], moves[order])))
    _equal("cash", moments["cash"], moved[np.searchsorted(slots[order], moments["slot"], side="right")])
    _equal("cash at the end", np.array([after.cash]), moved[-1:])
    rows = np.searchsorted(moments["slot"], ends, side="right")
    for name, first, signs in (("marks", before.marks, held.direction), ("gross", _gross(before), np.ones_like(held.direction))):
        again = np.zeros(len(ends), np.int64)
        np.add.at(again, held.end, signs * held.value)
        _equal(name, np.concatenate(([first], moments[name]))[rows], again)
    check_profit(after)


def check_profit(carry: Carry) -> None:
    """Equity is the starting cash plus the profit of closed trades plus that of open positions."""
    held = carry.pairs[carry.pairs["quantity"] != 0.0]
    gained = held["direction"] * (held["mark"] - held["value"]) - held["fee"] - held["borrow"] + held["income"]
    _equal("equity", np.array([carry.cash + carry.marks]), np.array([carry.start_cash + carry.realized + int(gained.sum())]))


def _gross(carry: Carry) -> int:
    """The absolute value of all positions."""
    return int(carry.pairs["mark"][carry.pairs["quantity"] != 0.0].sum())


def _held(market: Market, before: Carry, after: Carry, trades: Records, ends: Ints) -> _Held:
    """Every position at every slot of `ends`, from the trades closed in the chunk and the positions open after it."""
    still = np.flatnonzero(after.pairs["quantity"] != 0.0)
    pair = np.concatenate((trades["pair"], still))
    entry = np.concatenate((trades["entry_slot"], after.pairs["slot"][still]))
    left = np.concatenate((trades["exit_slot"], np.full(len(still), after.slots)))
    quantity = np.concatenate((trades["quantity"], after.pairs["quantity"][still]))
    direction = np.concatenate((trades["direction"], after.pairs["direction"][still]))
    first, last = np.searchsorted(ends, entry), np.searchsorted(ends, left)
    held = np.repeat(np.arange(len(pair)), last - first)
    end = np.arange(len(held)) - np.repeat(np.cumsum(last - first) - (last - first), last - first) + first[held]
    closes = _last_closes(market, before, pair[held], ends[end] - before.slots)
    return _Held(end, direction[held], np.rint(closes * quantity[held] * 1e6).astype(np.int64))


def _charges(market: Market, before: Carry, held: _Held, ends: Ints, borrow_bps: float) -> tuple[Ints, Ints]:
    """What each short position paid for the nights before a session: that session's first slot, and the amount."""
    labels = market.labels.astype("datetime64[D]").astype(np.int64)
    days = np.concatenate(([before.day], labels[market.session[ends - before.slots]]))
    short = (before.pairs["quantity"] != 0.0) & (before.pairs["direction"] == r.SHORT)
    night = (held.direction == r.SHORT) & (held.end < len(ends) - 1)
    session = np.concatenate((np.zeros(int(short.sum()), np.int64), held.end[night] + 1))
    value = np.concatenate((before.pairs["mark"][short], held.value[night])).astype(np.float64)
    amount = np.rint(value * (borrow_bps / 10000.0) * (days[session + 1] - days[session]) / 360)
    return np.concatenate(([before.slots], ends + 1))[session], amount.astype(np.int64)


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


def _equal(what: str, kept: Ints, again: NDArray[np.int64]) -> None:
    """Raise where two ways to a figure part."""
    if not np.array_equal(kept, again):
        row = int(np.flatnonzero(kept != again)[0])
        raise _broken(f"the account's {what} does not add up", int(kept[row]), int(again[row]))


def _broken(what: str, kept: int, again: int) -> InternalError:
    return InternalError(what, where="accounting identity", value=f"{kept} and {again} (1e-6 currency)", action="please report this run")
