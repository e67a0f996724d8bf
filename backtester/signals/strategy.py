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

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

from backtester.errors import StrategyError, did_you_mean
from backtester.signals.bars import Bars

BOOLEANS = ("enter_long", "exit_long", "enter_short", "exit_short")
LIMITS = {
    "confidence": (0.0, 1.0, "a fraction from 0 to 1"),
    "size": (0.0, np.inf, "shares, above 0"),
    "stop_loss": (0.0, 1.0, "a fraction of the entry price between 0 and 1; a price level goes into stop_price"),
    "take_profit": (0.0, 10.0, "a fraction of the entry price between 0 and 10; a price level goes into target_price"),
    "stop_price": (0.0, np.inf, "a price above 0"),
    "target_price": (0.0, np.inf, "a price above 0"),
}


@dataclass(frozen=True)
class Signals:
    """What a strategy wants: columns shaped like its bars (the history columns are not read).

    enter_long exit_long enter_short exit_short are booleans. confidence (fraction), size (shares), stop_loss and take_profit
    (fractions of the entry price), stop_price and target_price (price levels) are columns or one number; NaN: not given.
    tags is one text, or a column of texts, that decisions carry.
    """

    enter_long: ArrayLike | None = None
    exit_long: ArrayLike | None = None
    enter_short: ArrayLike | None = None
    exit_short: ArrayLike | None = None
    confidence: ArrayLike | None = None
    size: ArrayLike | None = None
    stop_loss: ArrayLike | None = None
    take_profit: ArrayLike | None = None
    stop_price: ArrayLike | None = None
    target_price: ArrayLike | None = None
    tags: Any = None


class Strategy(BaseModel):
    """The base of every strategy; a subclass adds settings as typed, defaulted fields and writes `signals`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, ignored_types=(int, dict, str), protected_namespaces=()
    )
    layout: ClassVar[Literal["bars", "clock"]] = "bars"

    @property
    def inputs(self) -> Mapping[str, str]:
        """Name -> interval of each input; the first is the one that `signals` is shaped like."""
        return {"bars": getattr(self, "interval", "1m")}

    @property
    def lookback(self) -> int | Mapping[str, int]:
        """Bars of history before the session's first bar: one number, or one for each input."""
        return 0

    def signals(self, bars: Bars) -> Signals:
        """Wishes for each bar, from columns to columns; shape (rows, lookback + bars)."""
        raise StrategyError("the strategy has no signals method", where=type(self).__name__, action="write signals(self, bars)")

    def lookback_of(self, name: str) -> int:
        """Bars of history of one input."""
        asked = self.lookback
        return int(asked.get(name, 0)) if isinstance(asked, Mapping) else int(asked)


@dataclass(frozen=True)
class Source:
    """Where a strategy comes from: its entry point, the file's name, and the SHA-256 of its text."""

    use: str
    file: str
    digest: str


def built_in() -> dict[str, type[Strategy]]:
    """The strategies that come with the program, by name."""
    from backtester.signals.strategies import BUILT_IN

    found: dict[str, type[Strategy]] = {}
    for name, place in BUILT_IN.items():
        module, _, attribute = place.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
    return found


def resolve(use: str, root: Path) -> type[Strategy]:
    """The strategy class that `use` names: a built-in, `path/to/file.py:Class` (below `root`), or `package.module:Class`.

    Raises StrategyError where the file, the module or the class is missing, or is not a Strategy.
    """
    from backtester.signals.strategies import BUILT_IN

    if use in BUILT_IN:
        module, _, attribute = BUILT_IN[use].partition(":")
        return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]
    place, colon, attribute = use.rpartition(":")
    if not colon or not place or not attribute.isidentifier():
        raise StrategyError(
            "unknown strategy",
            value=repr(use),
            allowed="a built-in name, file.py:Class or package.module:Class",
            action=did_you_mean(use, BUILT_IN),
        )
    module_object = _from_file(place, root) if place.endswith(".py") else _from_package(place)
    return _class_in(module_object, attribute, use)


def source_of(use: str, kind: type[Strategy]) -> Source:
    """Entry point, file name and digest of the file that defines the class."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is None:
        return Source(use, "", "")
    path = Path(file)
    return Source(use, path.name, sha256(path.read_bytes()).hexdigest())


def _from_file(place: str, root: Path) -> Any:
    path = (root / place).resolve()
    if not any(path.is_relative_to(parent) for parent in (root.resolve(), Path.cwd().resolve())):
        raise StrategyError(
            "strategy file outside the config's folder", value=place, allowed="a path below the config's or the current folder"
        )
    if not path.is_file():
        raise StrategyError("strategy file not found", where=place, action="paths start at the config's folder")
    text = path.read_bytes()
    name = f"backtester_user_{path.stem}_{sha256(text).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise StrategyError(
            "strategy file cannot be loaded", where=_line_of(error, path), value=f"{type(error).__name__}: {error}"
        ) from error
    return module


def _from_package(place: str) -> Any:
    try:
        return importlib.import_module(place)
    except ImportError as error:
        raise StrategyError(
            "strategy module cannot be imported", where=place, value=str(error), action="install it, or name a file.py:Class"
        ) from error


def _class_in(module: Any, attribute: str, use: str) -> type[Strategy]:
    found = getattr(module, attribute, None)
    names = [
        name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy
    ]
    if found is None:
        raise StrategyError("strategy class not found", where=use, action=did_you_mean(attribute, names))
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise StrategyError(
            "not a Strategy",
            where=use,
            value=type(found).__name__,
            allowed="a subclass of backtester.Strategy",
            action=did_you_mean(attribute, names),
        )
    return found


def _line_of(error: BaseException, path: Path) -> str:
    """file:line of an error, in the user's own file where it passed there."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{path.name}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path.name}:{lines[-1]}" if lines else path.name


@dataclass(frozen=True)
class Wishes:
    """Checked signals: booleans of shape (rows, bars), numbers and tags broadcastable to it or None; history cut off."""

    booleans: Mapping[str, NDArray[np.bool_]]
    numbers: Mapping[str, NDArray[np.float64]]
    tags: NDArray[Any] | None


def checked(signals: Any, bars: Bars, name: str) -> Wishes:
    """The signals of strategy `name`, checked against its bars and cut to the session's columns.

    Raises StrategyError that names strategy, column and, where one value is at fault, its session and symbol.
    """
    if not isinstance(signals, Signals):
        raise StrategyError("signals must return Signals", where=f"strategy {name}", value=type(signals).__name__)
    booleans = {}
    for column in BOOLEANS:
        value = getattr(signals, column)
        if value is not None:
            booleans[column] = _boolean(np.asarray(value), bars, name, column)[..., bars.lookback :]
    numbers = {}
    for column in LIMITS:
        value = getattr(signals, column)
        if value is not None:
            numbers[column] = _number(value, bars, name, column)[..., bars.lookback :]
    tags = None if signals.tags is None else np.broadcast_to(np.asarray(signals.tags, dtype=object), bars.shape)[..., bars.lookback :]
    return Wishes(booleans, numbers, tags)


def _boolean(value: NDArray[Any], bars: Bars, name: str, column: str) -> NDArray[np.bool_]:
    where = f"strategy {name}, column {column}"
    if value.shape != bars.shape:
        raise StrategyError("wrong shape", where=where, value=value.shape, allowed=f"{bars.shape}, like its bars")
    if value.dtype != np.bool_:
        raise StrategyError(
            "wrong dtype", where=where, value=value.dtype, allowed="bool", action="compare, or use .astype(bool) where no NaN is left"
        )
    return value


def _number(value: Any, bars: Bars, name: str, column: str) -> NDArray[np.float64]:
    where = f"strategy {name}, column {column}"
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise StrategyError("wrong dtype", where=where, value=array.dtype, allowed="numbers")
    if array.ndim and array.shape != bars.shape:
        raise StrategyError("wrong shape", where=where, value=array.shape, allowed=f"{bars.shape} like its bars, or one number")
    wide = np.broadcast_to(array.astype(np.float64), bars.shape)
    low, high, meaning = LIMITS[column]
    closed = column == "confidence"
    bad = np.isinf(wide) | ~(np.isnan(wide) | ((wide >= low if closed else wide > low) & (wide <= high)))
    if bad.any():
        at = tuple(int(index[0]) for index in np.nonzero(bad))
        raise StrategyError("value out of range", where=f"{where}, {place_of(bars, at)}", value=float(wide[at]), allowed=meaning)
    return wide


def place_of(bars: Bars, at: tuple[int, ...]) -> str:
    """Session, symbol and column of one element, for an error message."""
    symbol = np.broadcast_to(bars.symbol, (*bars.shape[:-1], 1))[(*at[:-1], 0)]
    session = np.broadcast_to(bars.session, (*bars.shape[:-1], 1))[(*at[:-1], 0)]
    return f"session {session}, symbol {symbol}, bar {at[-1] - bars.lookback}"


def field_names(signals: type[Signals] = Signals) -> tuple[str, ...]:
    """The columns that a strategy can return."""
    return tuple(item.name for item in fields(signals))
