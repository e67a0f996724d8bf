"""The accounting identity: every figure of the account is worked out a second time, another way, and must be equal.

Place in the flow: execution.py calls it after every chunk. It knows fills, trades and market only, nothing of how the kernel
keeps its sums. Never corrects anything: a break is a defect of the program (InternalError).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Floats, Ints
from backtester.errors import InternalError
from backtester.trading.records import Records

if TYPE_CHECKING:
    from backtester.trading.execution import Carry, Market


def check_chunk(market: Market, before: Carry, after: Carry, fills: Records, trades: Records, moments: Records) -> None:
    """Cash, marks and profit of a chunk from its fills; InternalError where one differs by a millionth.

    Cash after each slot is the cash before the chunk plus what the fills until then moved. The marks at each session's end are the
    positions open by the list of trades, at the last real closes. Equity is the start plus the profit of closed trades plus that
    of open positions.
    """
    if len(fills) and fills["fee"].min() < 0:
        raise _broken("a fee below zero", int(fills["fee"].min()), 0)
    moved = np.cumsum(np.concatenate(([before.cash], -fills["side"] * fills["value"] - fills["fee"])))
    _equal("cash", moments["cash"], moved[np.searchsorted(fills["slot"], moments["slot"], side="right")])
    _equal("cash at the end", np.array([after.cash]), moved[-1:])
    ends = before.slots + np.flatnonzero(np.append(market.session[1:] != market.session[:-1], True))
    rows = np.searchsorted(moments["slot"], ends, side="right")
    _equal("marks", np.concatenate(([before.marks], moments["marks"]))[rows], _marks(market, before, after, trades, ends))
    check_profit(after)


def check_profit(carry: Carry) -> None:
    """Equity is the starting cash plus the profit of closed trades plus that of open positions."""
    held = carry.pairs[carry.pairs["quantity"] != 0.0]
    profit = carry.realized + int(held["mark"].sum() - held["value"].sum() - held["fee"].sum())
    _equal("equity", np.array([carry.cash + carry.marks]), np.array([carry.start_cash + profit]))


def _marks(market: Market, before: Carry, after: Carry, trades: Records, ends: Ints) -> Ints:
    """The value of all positions at the slots `ends`, from the trades closed in the chunk and the positions open after it."""
    still = np.flatnonzero(after.pairs["quantity"] != 0.0)
    pair = np.concatenate((trades["pair"], still))
    entry = np.concatenate((trades["entry_slot"], after.pairs["slot"][still]))
    left = np.concatenate((trades["exit_slot"], np.full(len(still), after.slots)))
    quantity = np.concatenate((trades["quantity"], after.pairs["quantity"][still]))
    first, last = np.searchsorted(ends, entry), np.searchsorted(ends, left)
    held = np.repeat(np.arange(len(pair)), last - first)
    end = np.arange(len(held)) - np.repeat(np.cumsum(last - first) - (last - first), last - first) + first[held]
    closes = _last_closes(market, before, pair[held], ends[end] - before.slots)
    marks = np.zeros(len(ends), np.int64)
    np.add.at(marks, end, np.rint(closes * quantity[held] * 1e6).astype(np.int64))
    return marks


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
