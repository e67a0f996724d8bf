"""A chunk of sessions as trading gets it: the market, the signals, the account as carried so far. Values, and nothing else.

Place in the flow: the pipeline makes market and signals, `execution.trade` takes a `Carry` and hands on the next. Never trades.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtester.columns import Bools, Floats, Ints
from backtester.errors import InternalError
from backtester.trading import inputs, records, rows
from backtester.trading.records import Records
from backtester.trading.rows import Columns


@dataclass(frozen=True)
class Market:
    """A chunk of sessions of all symbols of the run (symbols sorted by name, strategies in the config's order).

    ts and end (slots,) int64: open and end of each slot, us UTC; session (slots,) int32: place in labels; labels (sessions,)
    datetime64[D], session_open and session_close (sessions,) int64 us UTC. Prices and volume (symbols, slots) float64, NaN where
    there is no bar; quotes and vwap the same, or None where the run has none. Sessions are whole.
    """

    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    ts: Ints
    end: Ints
    session: NDArray[np.int32]
    labels: NDArray[np.datetime64]
    session_open: Ints
    session_close: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    bid_open: Floats | None = None
    bid_high: Floats | None = None
    bid_low: Floats | None = None
    bid_close: Floats | None = None
    ask_open: Floats | None = None
    ask_high: Floats | None = None
    ask_low: Floats | None = None
    ask_close: Floats | None = None
    vwap: Floats | None = None


@dataclass(frozen=True)
class Events:
    """Signals as columns of shape (events,). t: the slot of the chunk at whose end the signal is available; action: 0 enter_long,
    1 exit_long, 2 enter_short, 3 exit_short, 4 target (a weight); floats are NaN where not given; on_open, on_close: the order is one
    on a session's open or close; tag: place in tags, or -1.
    """

    t: Ints
    strategy: NDArray[np.int32]
    symbol: NDArray[np.int32]
    action: NDArray[np.int8]
    price: Floats
    quality: Floats
    confidence: Floats
    size: Floats
    stop_loss: Floats
    take_profit: Floats
    stop_price: Floats
    target_price: Floats
    limit: Floats
    entry_stop: Floats
    entry_trail: Floats
    entry_trail_amount: Floats
    trailing_stop: Floats
    trailing_amount: Floats
    exit_fraction: Floats
    target: Floats
    on_open: Bools
    on_close: Bools
    tag: NDArray[np.int32]
    tags: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.t)

    @classmethod
    def none(cls) -> Events:
        """No signals."""
        whole, small, empty = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0)
        numbers: dict[str, Any] = dict.fromkeys(("price", "quality", "confidence", *inputs.GIVEN), empty)
        calls: dict[str, Any] = dict.fromkeys(inputs.CALLS, np.zeros(0, np.bool_))
        return cls(t=whole, strategy=small, symbol=small, action=np.zeros(0, np.int8), tag=small, **numbers, **calls)

    def between(self, first: int, stop: int) -> Events:
        """The signals of the slots first <= t < stop, counted from the first."""
        own = self._rows((self.t >= first) & (self.t < stop))
        return replace(own, t=own.t - first)

    def sorted(self) -> Events:
        """In the order of decision: by slot, exits first, by strategy, symbol, weights before long before short, then as given."""
        exits = (records.EXIT_LONG, records.EXIT_SHORT, records.TO_WEIGHT)
        entry, long = ~np.isin(self.action, exits), self.action <= records.EXIT_LONG
        kind = np.where(self.action >= records.TO_WEIGHT, 0, np.where(long, 1, 2))
        strategies, symbols = (int(column.max(initial=0)) + 1 for column in (self.strategy, self.symbol))
        key = (((self.t * 2 + entry) * strategies + self.strategy) * symbols + self.symbol) * 3 + kind
        if bool((key[1:] >= key[:-1]).all()):
            return self
        return self._rows(np.argsort(key, kind="stable"))

    def halved(self) -> Events:
        """In the order of decision, each weight twice: what it sells among the exits, what it buys (BY_WEIGHT) among the entries."""
        weights = np.flatnonzero(self.action == records.TO_WEIGHT)
        if not len(weights):
            return self.sorted()
        twice = self._rows(np.concatenate((np.arange(len(self)), weights)))
        action = twice.action.copy()
        action[len(self) :] = records.BY_WEIGHT
        return replace(twice, action=action).sorted()

    def _rows(self, rows: Ints | Bools) -> Events:
        """Some of the signals; what is one array under several names stays one."""
        columns = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "tags"}
        taken = {place: values[rows] for place, values in {id(values): values for values in columns.values()}.items()}
        return Events(**{name: taken[id(values)] for name, values in columns.items()}, tags=self.tags)


@dataclass(frozen=True)
class Carry:
    """All that passes from one chunk of sessions to the next: a frozen value, so that a run cut at any session equals the whole.

    Money in 1e-6 currency. pairs: the positions (records.PAIR, one row a strategy and symbol); orders: those still open; decisions:
    the columns of the decisions held back, from the first whose order still waits; slots: slots of the run so far; day: label of the
    last session, days since 1970, or NONE; realized: profit of the trades closed so far; peak: highest equity so far; moved: shares
    filled in the last session's month, where the commission has tiers; purses: cash of each strategy, where they do not share it; width:
    number of symbols; symbols and strategies: their names, known from the first chunk on.
    """

    start_cash: int
    cash: int
    marks: int
    peak: int
    slots: int
    day: int
    next_order: int
    next_trade: int
    realized: int
    width: int
    pairs: Records
    orders: Records
    decisions: Columns
    moved: float = 0.0
    purses: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()

    @classmethod
    def start(cls, cash_micro: int, n_strategies: int, n_symbols: int, purses: tuple[int, ...] = ()) -> Carry:
        """The account before the first slot; purses: what each strategy has of the cash, where they share none."""
        if purses and (len(purses) != n_strategies or sum(purses) != cash_micro):
            raise InternalError("purses are not the account's cash", value=purses, allowed=f"{n_strategies} with {cash_micro} in all")
        pairs = np.zeros(n_strategies * n_symbols, records.PAIR)
        pairs["symbol"], pairs["freed"] = np.arange(len(pairs)) % n_symbols, records.LONG_AGO
        for name in ("stop", "target", "entry", "exit", "at_close", "trade", "slot", "ts"):
            pairs[name] = records.NONE
        orders = np.zeros(0, records.ORDER)
        day = records.NONE
        held = rows.no_decisions()
        return cls(cash_micro, cash_micro, 0, cash_micro, 0, day, 1, 1, 0, n_symbols, kept(pairs), kept(orders), held, purses=purses)


def kept(values: NDArray[Any]) -> NDArray[Any]:
    """The array, closed to writing."""
    values.setflags(write=False)
    return values
