"""The kernel's records: what an account, a position, an order, a fill consist of while they are numbers.

Place in the flow: execution.py fills in market, signals and rules, the kernel writes the rest, execution.py reads it. Never
holds a value.

Money is int64 of 1e-6 currency, prices and quantities are float64 with NaN for none, slots are slots of the run, a day is days
since 1970, sides and directions are signs. A pair is one (strategy, symbol): pair = strategy * symbols + symbol, so that pairs
in ascending order are in strategy order, then symbol order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Floats, Ints

Records = NDArray[Any]
"""An array of one of the record types below, shape (rows,)."""

# Sides and directions; actions; kinds of orders, and what an ambiguous fill might have
# been where nothing would have filled; what becomes of an order. The words are in schema.py in the same order.
BUY, SELL = 1, -1
LONG, SHORT = 1, -1
ENTER_LONG, EXIT_LONG, ENTER_SHORT, EXIT_SHORT, TO_WEIGHT, BY_WEIGHT = range(6)
MARKET, LIMIT, STOP, TARGET, TRAILING, CLOSE, STOP_LIMIT, TIME, MARKET_ON_OPEN, MARKET_ON_CLOSE, MARGIN_CALL = range(11)
HELD = 11
FILLED, PARTIAL, EXPIRED, CANCELLED, OPEN = range(5)

# Settings that are words.
NEXT_OPEN, NEXT_CLOSE, SAME_CLOSE, NEXT_VWAP = range(4)
PESSIMISTIC, OPTIMISTIC, OPEN_TO_NEAREST, DRILL_DOWN = range(4)
SHARES, NOTIONAL, EQUITY_FRACTION, RISK_FRACTION = range(4)

# Bits of a fill's flags; of a decision's.
NO_FLAGS, AMBIGUOUS, STALE_CLOSE, SYNTHETIC_QUOTE, TYPICAL_PRICE, OVER_PARTICIPATION, DRILLED = 0, 1, 2, 4, 8, 16, 32
SIZE_CUT = 1

# What an order is for; where in a bar it fills; what a size is measured by; what stops the kernel.
ENTRY, EXIT, GUARD = range(3)
AT_OPEN, AT_CLOSE = range(2)
VALUE, VALUE_AND_FEE, ACCOUNT_POWER = range(3)
NO_ERROR, TOO_LARGE, BAD_PRICE, FULL = range(4)

FIRST, NONE = 0, -1
"""The first row; no row, no order, no slot."""
LONG_AGO = -(2**62)
"""An instant before all others, us UTC."""
BLOCK = 1024
"""Records that are filled, or read, field by field at a time: few enough to stay in the processor's cache."""


def _record(integers: str, floats: str = "") -> np.dtype[np.void]:
    """A record type of named int64 and float64 fields."""
    return np.dtype([(name, np.int64) for name in integers.split()] + [(name, np.float64) for name in floats.split()])


SLOT = _record("number ts end day month session_close stop bars")
"""One base slot: its place in the run, its open and end in us UTC, its session's label and the label's month (months since 1970), its
session's close in us UTC; stop: where its session ends, counted like the slots from the start of the chunk; bars: how many slots of the
chunk, up to and including this one, have a real bar of any symbol."""

SIGNAL = _record(
    "slot pair action on_open on_close back",
    "price quality confidence size stop_loss take_profit stop_price target_price limit entry_stop entry_trail entry_trail_amount "
    "trailing_stop trailing_amount exit_fraction target",
)
"""One signal; NaN: not given. slot is counted from the start of the chunk. A weight (target) stands among the exits as TO_WEIGHT and, back
rows later, among the entries as BY_WEIGHT."""

RULES = _record(
    "fill quote sizing day flat touch intrabar allow_short no_entry_us max_buying_power max_per_trade max_per_symbol max_open_positions "
    "max_entries notional watch at_level timed max_hold_bars max_hold_us cooldown_us tiered participates anew called sums",
    "leverage slippage_bps impact_bps spread borrow_bps minimum cap_bps size stop_loss take_profit trailing_stop trailing_amount "
    "rebalance_threshold max_participation min_quality min_confidence maintenance",
)
"""The settings as numbers; stop_loss to trailing_amount NaN where there is none, cap_bps inf, limits NO_LIMIT. watch: stops
look at quotes; at_level: they fill at their level; timed: positions are held no longer than max_hold_bars slots or max_hold_us; tiered:
there is more than one tier of the commission; anew: sizes are worked out at the fill; called: positions that equity does not maintain
are sold."""

INSTRUMENT = _record("", "lot ticks")
TIER = _record("", "above per_share fee_bps")
RUNG = _record("rest", "take_profit fraction")
"""One symbol: its lot, and what the ticks of slippage are worth in currency. One tier of the commission: the rates from so many shares a
month on; the first one, above -inf, is the commission's own. One target of several: its fraction of what was entered, or all the rest."""

ACCOUNT = _record(
    "cash marks gross positions shorts guarded trailing chasing entries joining exits leaving resting resting_exits on_open on_close "
    "next_order next_trade orders fills trades equity active queued gone wanted day month tier error pair stamp",
    "moved",
)
"""The account and the kernel's counters. marks and gross: the sum of all marks, and of their absolute values; guarded: positions with
a stop or a target; trailing: those whose stop follows the price; chasing: entries whose own stop does; entries and exits: waiting orders,
joining and leaving of them: entries that add to a position, exits of all of it; resting and resting_exits: those of them that wait for a
price, and how many of these are exits; on_open and on_close: those that wait for a session's; orders to queued: rows in use; gone: pairs
may have left the lists; day: the session before the chunk; month: that of the slot; moved: shares filled in it; tier: the one whose
rates fees are of; error and pair: what stopped the kernel; stamp: the source that the compiled code was made from."""

PURSE = _record("cash marks gross")
"""What a strategy with capital of its own has: its cash, and its marks as the account's. There are none where all strategies share the
account's cash; else one a strategy, and the account's figures are their sums."""

SHARE = _record("slot", "lots")
"""What is left of a symbol's share of a bar: the slot that it is of, and lots that orders may still fill."""

PAIR = _record(
    "value fee borrow income ts start freed trade listed queued adds rungs slot stop target entry exit symbol direction mark at_close",
    "quantity low high stop_level target_level last price trailing_stop trailing_amount entered",
)
"""One pair. quantity 0: no position, whatever direction says; mark: its value without a sign; value and fee: the entry's; borrow: paid so
far; income: dividends so far, below 0 where they were paid; ts: the open of the entry's slot; start: from when it is held; at_close:
the slot at whose close it was entered, or NONE; adds: orders that have entered it; entered: all that was ever bought into it; freed: the
end of the slot in which the last position was closed; stop, target, entry, exit: rows of its orders, or NONE; rungs: targets that have
not filled where there are several, whose rows follow each other from target on; low and high: prices seen; stop_level and target_level:
times the direction, so that a short is looked at like a long; trailing_stop and trailing_amount: how far behind the price the stop
follows, or NaN; last: the last close; listed: the pair stands in the active list; queued: in the waiting
one. What is looked at in every bar stands side by side."""

ORDER = _record(
    "id status reason ts day slot decision value fee pair side type role rests looked triggered joins leaves anew",
    "limit stop trail trail_amount quantity filled lots seen stop_loss take_profit stop_price target_price trailing_stop trailing_amount",
)
"""One order. rests: it waits for a price; looked: the last slot at whose open it did, or NONE; triggered: a stop-limit order has met its
stop; joins: an entry that adds to a position; leaves: an exit of all of it; anew: its size is worked out at its fill; slot: the one that
resolved it, or NONE; decision: its decision's row, or NONE; value and fee: what an entry expects to cost; limit and stop: its own levels;
trail and trail_amount: how far an entry's stop is from the price; filled: of its quantity; lots: what is left of an entry; stop_loss to
trailing_amount: what the signal gave for the position to come."""

FILL = _record("order pair side type ts day slot value fee slippage flags tier trade pnl other_pnl other_type", "quantity price other")
TRADE = _record(
    "id pair order direction type entry_ts exit_ts entry_slot exit_slot value pnl fees borrow income",
    "entry_price exit_price quantity low high",
)
VERDICT = _record("action reason approved order flags written part", "quantity")
MOMENT = _record("slot cash marks gross")
"""One execution (other and other_type: what an ambiguous one might have been; trade, pnl, other_pnl: its trade and what that earned, or
would have; tier: the one whose rates it paid); one closed position, or part of one (order and type: those of what closed it; value: the
entry's); what became of one signal (written: there is a row of it; part: a weight
has sold a part); the account after one slot."""


SUMS = _record(
    "rows invested long short row_worth trades wins best worst value_high value_low fees_high fees_low slippage_high slippage_low "
    "gains_high gains_low total_high total_low hold_high hold_low borrow_high borrow_low income_high income_low"
)
"""What trials of a sweep keep of a chunk, in place of rows. rows: slots with a bar; invested, long, short: those of them with any, a long,
a short position; row_worth: equity at the last of them. Of fills value, fees and slippage, of closed trades how many, those with a
profit, their profit (gains) and all profit (total), the largest and the smallest, microseconds held, borrow, dividends. A sum is
high * 2**LIMB + low, so that it never overflows."""
LIMB = 32
FINER = _record("", "open high low close")
SPAN = _record("key first last")
"""A finer bar; where those of one bar stand, its key being slot of the chunk * symbols + symbol."""


def copied(rows: Records) -> Records:
    """A copy of records that may be written to; by bytes, for numpy copies records field by field, which takes ten times as long."""
    return np.ascontiguousarray(rows).view(f"V{rows.itemsize}").copy().view(rows.dtype)


class Tape(NamedTuple):
    """The chunk's market: prices (symbols, slots), NaN where there is no bar; quotes and vwap of shape (0, 0) where there
    are none; the finer bars that were read of some bars, and where those of each stand, in the order of their keys.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    bid_open: Floats
    bid_high: Floats
    bid_low: Floats
    bid_close: Floats
    ask_open: Floats
    ask_high: Floats
    ask_low: Floats
    ask_close: Floats
    vwap: Floats
    slots: Records
    finer: Records
    spans: Records


class Book(NamedTuple):
    """All records of a chunk. rules and account have one row, instruments one a symbol, purses none or one a strategy; active lists the
    pairs that hold or wait, ascending, waiting those for which an entry or an exit does.
    """

    rules: Records
    instruments: Records
    tiers: Records
    rungs: Records
    account: Records
    purses: Records
    active: Ints
    waiting: Ints
    pairs: Records
    orders: Records
    fills: Records
    trades: Records
    verdicts: Records
    moments: Records
    sums: Records
    wanted: Ints
    used: Ints
    shares: Records
