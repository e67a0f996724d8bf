"""The contract of a strategy: settings, inputs, lookback, and one method from columns to columns.

Place in the flow: pipeline hands Bars of a whole chunk of symbol-sessions to `signals` in one call and checks what comes
back. Never trades, never keeps state between calls.

    class Breakout(Strategy):
        \"\"\"Buys a close above the highest high of the last `period` bars.\"\"\"
        interval: str = "5m"
        period: int = 20
        @property
        def lookback(self): return self.period + 1
        def signals(self, bars): ...
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

from backtester.errors import ConfigError, StrategyError, did_you_mean
from backtester.intervals import Interval
from backtester.signals.bars import Bars

BOOLEANS = ("enter_long", "exit_long", "enter_short", "exit_short")
TARGET = "target"
ACTIONS = (*BOOLEANS, TARGET)
CALLS = ("on_open", "on_close")
ENTRIES = ("enter_long", "enter_short")
TRAILS = ("entry_trail", "entry_trail_amount")
LIMITS = {
    "confidence": (0.0, 1.0, "a fraction from 0 to 1"),
    "size": (0.0, np.inf, "shares, above 0"),
    "stop_loss": (0.0, 1.0, "a fraction of the entry price between 0 and 1; a price level goes into stop_price"),
    "take_profit": (0.0, 10.0, "a fraction of the entry price between 0 and 10; a price level goes into target_price"),
    "stop_price": (0.0, np.inf, "a price above 0"),
    "target_price": (0.0, np.inf, "a price above 0"),
    "limit": (0.0, np.inf, "a price above 0"),
    "entry_stop": (0.0, np.inf, "a price above 0"),
    "entry_trail": (0.0, 1.0, "a fraction of the price between 0 and 1; a distance in currency goes into entry_trail_amount"),
    "entry_trail_amount": (0.0, np.inf, "a distance in currency, above 0"),
    "trailing_stop": (0.0, 1.0, "a fraction of the price between 0 and 1; a distance in currency goes into trailing_amount"),
    "trailing_amount": (0.0, np.inf, "a distance in currency, above 0"),
    "exit_fraction": (0.0, 1.0, "the part of the position to sell, above 0, at most 1"),
}


@dataclass(frozen=True)
class Signals:
    """What a strategy wants: columns shaped like its bars (the history columns are not read).

    enter_long exit_long enter_short exit_short are booleans; target, given instead of them, is the weight that the position shall have in
    the equity, from -leverage to leverage (NaN: no wish). confidence (fraction), size (shares), stop_loss and take_profit
    (fractions of the entry price), stop_price and target_price (price levels), limit and entry_stop (price levels at which the order
    itself may fill, or from which on it does), entry_trail (fraction of the price) and entry_trail_amount (currency) for a stop of the
    entry's own that follows the price, trailing_stop and trailing_amount for the position's, and exit_fraction (the part of the position
    that an exit sells) are columns or one number; NaN: not given. on_open and on_close (booleans, columns or one)
    make the order wait for the next session's open, or for a session's close. tags is one text, or a column of texts, that decisions
    carry.
    """

    enter_long: ArrayLike | None = None
    exit_long: ArrayLike | None = None
    enter_short: ArrayLike | None = None
    exit_short: ArrayLike | None = None
    target: ArrayLike | None = None
    confidence: ArrayLike | None = None
    size: ArrayLike | None = None
    stop_loss: ArrayLike | None = None
    take_profit: ArrayLike | None = None
    stop_price: ArrayLike | None = None
    target_price: ArrayLike | None = None
    limit: ArrayLike | None = None
    entry_stop: ArrayLike | None = None
    entry_trail: ArrayLike | None = None
    entry_trail_amount: ArrayLike | None = None
    trailing_stop: ArrayLike | None = None
    trailing_amount: ArrayLike | None = None
    exit_fraction: ArrayLike | None = None
    on_open: ArrayLike | None = None
    on_close: ArrayLike | None = None
    tags: Any = None


if TYPE_CHECKING:
    _usual = property
else:

    class _usual:
        """What an instance has unless its class says otherwise, by a property, a plain attribute or a setting of that name.

        A property would hide a setting: it goes before the values of an instance, and pydantic would take it for a default.
        """

        def __init__(self, make):
            self._make = make

        def __get__(self, instance, owner=None):
            if instance is None:
                raise AttributeError(self._make.__name__)
            return self._make(instance)


class Strategy(BaseModel):
    """The base of every strategy; a subclass adds settings as typed, defaulted fields and writes `signals`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True,
        ignored_types=(int, dict, str, _usual), protected_namespaces=(),
    )  # fmt: skip
    layout: ClassVar[Literal["bars", "clock"]] = "bars"

    @_usual
    def inputs(self) -> Mapping[str, str]:
        """Name -> interval of each input; the first is the one that `signals` is shaped like."""
        return {"bars": getattr(self, "interval", "1m")}

    @_usual
    def lookback(self) -> int | Mapping[str, int]:
        """Bars of history before the session's first bar: one number, or one for each input."""
        return 0

    def signals(self, bars: Bars) -> Signals:
        """Wishes for each bar, from columns to columns; shape (rows, lookback + bars)."""
        raise NotImplementedError

    def lookback_of(self, name: str) -> int:
        """Bars of history of one input."""
        asked = self.lookback
        return int(asked.get(name, 0)) if isinstance(asked, Mapping) else int(asked)


@dataclass(frozen=True)
class Declared:
    """What a strategy says of itself before any data is read: interval and bars of history of each input, by its name; its layout."""

    inputs: Mapping[str, str]
    lookback: Mapping[str, int]
    layout: Literal["bars", "clock"] = "bars"


def declared(strategy: Strategy, name: str) -> Declared:
    """What strategy `name` declares, checked. Raises StrategyError where inputs, lookback, layout or `signals` are not as they must be."""
    where = f"strategy {name}"
    try:
        inputs, lookback = strategy.inputs, strategy.lookback
    except Exception as error:  # both are the author's code and may raise anything
        raise StrategyError("inputs or lookback cannot be read", where=where, value=f"{type(error).__name__}: {error}") from error
    _check_signals(strategy, where)
    if "layout" in type(strategy).model_fields:
        raise StrategyError("layout is not a setting", where=where, action='write it without a type: layout = "clock"')
    if strategy.layout not in ("bars", "clock"):
        raise StrategyError("unknown layout", where=where, value=repr(strategy.layout), allowed="bars, clock")
    if not isinstance(inputs, Mapping) or not inputs or not all(isinstance(word, str) for pair in inputs.items() for word in pair):
        allowed = 'at least one name and its interval: {"bars": "5m"}'
        raise StrategyError("inputs are not names with intervals", where=where, value=repr(inputs), allowed=allowed)
    try:
        for interval in inputs.values():
            Interval.parse(interval)
    except ConfigError as error:
        raise StrategyError(error.what, where=f"{where}, inputs", value=error.value, allowed=error.allowed) from error
    asked = lookback if isinstance(lookback, Mapping) else dict.fromkeys(inputs, lookback)
    if unknown := [key for key in asked if key not in inputs]:
        raise StrategyError("lookback of an input that is not declared", where=where, value=repr(unknown[0]),
                            action=did_you_mean(str(unknown[0]), inputs))  # fmt: skip
    bars = {key: _bars(asked.get(key, 0), f"{where}, lookback of {key}") for key in inputs}
    return Declared(dict(inputs), bars, strategy.layout)


def _bars(value: Any, where: str) -> int:
    try:
        count = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = -1
    if count < 0:
        raise StrategyError("not a number of bars", where=where, value=repr(value), allowed="a whole number from 0")
    return count


def _check_signals(strategy: Strategy, where: str) -> None:
    """Raise StrategyError unless `signals` can be called with the bars."""
    allowed = "def signals(self, bars): ..."
    if type(strategy).signals is Strategy.signals:
        raise StrategyError("the strategy has no signals method", where=where, value=type(strategy).__name__, allowed=allowed)
    if _takes_bars(type(strategy)):
        return
    try:
        inspect.signature(strategy.signals).bind(None)
    except TypeError as error:
        raise StrategyError("signals cannot be called with bars", where=where, value=str(error), allowed=allowed) from error


@functools.cache
def _takes_bars(kind: type[Strategy]) -> bool:
    """Whether `signals` is an ordinary method of the bars alone, which looking at one object of the class tells of all."""
    method = inspect.getattr_static(kind, "signals")
    if not isinstance(method, FunctionType):
        return False
    try:
        inspect.signature(method).bind(None, None)
    except TypeError:
        return False
    return True


@dataclass(frozen=True)
class Wishes:
    """Checked signals: booleans, numbers and calls of shape (rows, bars), tags broadcastable to it or None; history cut off.

    uncut: the booleans with their history, shape (rows, lookback + bars).
    """

    booleans: Mapping[str, NDArray[np.bool_]]
    numbers: Mapping[str, NDArray[np.float64]]
    tags: NDArray[Any] | None
    calls: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    uncut: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def are_plain(self) -> bool:
        """Whether they say no more than a direction; tags do not count."""
        return not self.numbers and not self.calls and TARGET not in self.booleans


def checked(signals: Any, bars: Bars, name: str, leverage: float = 1.0) -> Wishes:
    """The signals of strategy `name`, checked against its bars and cut to the session's columns. leverage: the account's.

    Raises StrategyError that names strategy, column and, where one value is at fault, its session and symbol.
    """
    if not isinstance(signals, Signals):
        raise StrategyError("signals must return Signals", where=f"strategy {name}", value=type(signals).__name__)
    uncut = {}
    for column in BOOLEANS:
        value = getattr(signals, column)
        if value is not None:
            uncut[column] = _boolean(_array(value, name, column), bars, name, column)
    booleans = {column: value[..., bars.lookback :] for column, value in uncut.items()}
    numbers = {}
    for column, limits in LIMITS.items():
        value = getattr(signals, column)
        if value is not None:
            numbers[column] = _number(value, bars, name, column, limits)[..., bars.lookback :]
    calls = {column: value for column in CALLS if (value := _call(getattr(signals, column), bars, name, column)) is not None}
    _one_way(booleans, numbers, calls, bars, name)
    if signals.target is not None:
        numbers[TARGET] = _weights(signals.target, booleans, bars, name, leverage)
        booleans = {TARGET: ~np.isnan(numbers[TARGET])}
    tags = None if signals.tags is None else _words(signals.tags, bars, name)[..., bars.lookback :]
    return Wishes(booleans, numbers, tags, calls, uncut)


def _boolean(value: NDArray[Any], bars: Bars, name: str, column: str) -> NDArray[np.bool_]:
    where = f"strategy {name}, column {column}"
    if value.shape != bars.shape:
        raise StrategyError("wrong shape", where=where, value=value.shape, allowed=f"{bars.shape}, like its bars")
    if value.dtype != np.bool_:
        raise StrategyError(
            "wrong dtype", where=where, value=value.dtype, allowed="bool", action="compare, or use .astype(bool) where no NaN is left"
        )
    return value


def _call(value: Any, bars: Bars, name: str, column: str) -> NDArray[np.bool_] | None:
    """A column of booleans, or one of them, cut to the session's columns; None where it is not given."""
    if value is None:
        return None
    array = _array(value, name, column)
    return _boolean(array if array.ndim else np.broadcast_to(array, bars.shape), bars, name, column)[..., bars.lookback :]


def _one_way(booleans: Mapping[str, Any], numbers: Mapping[str, Any], calls: Mapping[str, Any], bars: Bars, name: str) -> None:
    """Raise StrategyError where a wish asks for a session's open or close, or an entry for a trail, and for another way to fill too."""
    if not booleans or not (calls or any(column in numbers for column in TRAILS)):
        return
    given = {column: ~np.isnan(numbers[column]) for column in ("limit", "entry_stop", *TRAILS) if column in numbers}
    wished = np.logical_or.reduce(list(booleans.values()))
    entering = np.logical_or.reduce([np.zeros(wished.shape, np.bool_), *(booleans[column] for column in ENTRIES if column in booleans)])
    trails = {column: given.pop(column) & entering for column in TRAILS if column in given}
    alone = {**calls, **({next(iter(trails)): np.logical_or.reduce(list(trails.values()))} if trails else {})}
    ways = {**alone, **given}
    if not alone or len(ways) < 2:
        return
    both = wished & np.logical_or.reduce(list(alone.values())) & (np.add.reduce([way.astype(np.int8) for way in ways.values()]) > 1)
    if both.any():
        at = tuple(int(index[0]) for index in np.nonzero(both))
        where = f"strategy {name}, {place_of(bars, (*at[:-1], at[-1] + bars.lookback))}"
        asked, allowed = (
            " and ".join(column for column, way in ways.items() if way[at]),
            "one of on_open, on_close, a trail, a level of its own",
        )
        raise StrategyError("one order cannot fill in two ways", where=where, value=asked, allowed=allowed)


def _weights(value: Any, booleans: Mapping[str, Any], bars: Bars, name: str, leverage: float) -> NDArray[np.float64]:
    """Weights, cut to the session's columns; in the clock layout those of a slot are no more than the leverage together."""
    where = f"strategy {name}, column {TARGET}"
    if booleans:
        raise StrategyError("target and booleans together", where=where, value=", ".join(booleans), allowed="either of them")
    limits = (-leverage, leverage, f"a fraction of the equity from {-leverage:g} to {leverage:g}, by account.leverage")
    weights = _number(value, bars, name, TARGET, limits)[..., bars.lookback :]
    if weights.ndim == 3:
        together = np.nansum(np.abs(weights), axis=1)
        if (over := np.argwhere(together > leverage + 1e-9)).size:
            session, slot = over[0].tolist()
            label = np.broadcast_to(bars.session, (*bars.shape[:-1], 1))[session, 0, 0]
            raise StrategyError(
                "the weights of a slot add up to more than the account carries", where=f"{where}, session {label}, bar {slot}",
                value=float(together[session, slot]), allowed=f"at most {leverage:g}, by account.leverage",
            )  # fmt: skip
    return weights


def _number(value: Any, bars: Bars, name: str, column: str, limits: tuple[float, float, str]) -> NDArray[np.float64]:
    where = f"strategy {name}, column {column}"
    array = _array(value, name, column)
    if array.dtype.kind not in "fiu":
        raise StrategyError("wrong dtype", where=where, value=array.dtype, allowed="numbers")
    if array.ndim and array.shape != bars.shape:
        raise StrategyError("wrong shape", where=where, value=array.shape, allowed=f"{bars.shape} like its bars, or one number")
    wide = np.broadcast_to(array.astype(np.float64), bars.shape)
    low, high, meaning = limits
    closed = column in ("confidence", TARGET)
    bad = np.isinf(wide) | ~(np.isnan(wide) | ((wide >= low if closed else wide > low) & (wide <= high)))
    if bad.any():
        at = tuple(int(index[0]) for index in np.nonzero(bad))
        raise StrategyError("value out of range", where=f"{where}, {place_of(bars, at)}", value=float(wide[at]), allowed=meaning)
    return wide


def _words(value: Any, bars: Bars, name: str) -> NDArray[Any]:
    """Tags as a column: one text, or texts (None: no tag) shaped like the bars."""
    where = f"strategy {name}, column tags"
    words = _array(value, name, "tags")
    if words.ndim and words.shape != bars.shape:
        raise StrategyError("wrong shape", where=where, value=words.shape, allowed=f"{bars.shape} like its bars, or one text")
    if words.dtype.kind not in "OU" or any(not isinstance(word, str | None) for word in words.ravel().tolist()):
        raise StrategyError("wrong dtype", where=where, value=words.dtype, allowed="texts, or None")
    return np.broadcast_to(words.astype(object), bars.shape)


def _array(value: Any, name: str, column: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise StrategyError("wrong shape", where=f"strategy {name}, column {column}", value="rows of different lengths") from error


def place_of(bars: Bars, at: tuple[int, ...]) -> str:
    """Session, symbol and column of one element, for an error message."""
    symbol = np.broadcast_to(bars.symbol, (*bars.shape[:-1], 1))[(*at[:-1], 0)]
    session = np.broadcast_to(bars.session, (*bars.shape[:-1], 1))[(*at[:-1], 0)]
    return f"session {session}, symbol {symbol}, bar {at[-1] - bars.lookback}"


def field_names(signals: type[Signals] = Signals) -> tuple[str, ...]:
    """The columns that a strategy can return."""
    return tuple(item.name for item in fields(signals))
