"""Messages: what the run and the process of a strategy tell each other, as nests for parcels and back.

Place in the flow: between `apart` and `child`, beneath both. A strategy is named by its `use` and its settings and loaded anew on the
other side; what it sees are the same columns, what it finds the same events. Never holds code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from backtester.columns import TAPE_COLUMNS, Sessions, Tape
from backtester.errors import StrategyError
from backtester.signals import indicators
from backtester.signals.bars import Bars
from backtester.signals.batch import Found, View
from backtester.signals.calling import Caller, Given, LimitError, said
from backtester.signals.watching import Asked, Watched
from backtester.splits import Splits

Nest = dict[str, Any]


def wanted(callers: Iterable[Caller]) -> dict[str, set[int]]:
    """Interval -> all numbers of bars of history that the strategies, and configured indicators for their warm-up, may look at."""
    found: dict[str, set[int]] = {}
    for caller in callers:
        for name, interval in caller.declared.inputs.items():
            own = caller.declared.lookback[name]
            more = (indicators.settled(kind, params) for kind, params, _ in caller.columns[interval].values())
            found.setdefault(interval, set()).update({own, *(own + warmup for warmup in more)})
    return found


def of_given(given: Given, asked: Mapping[str, set[int]]) -> Nest:
    """What may be seen, with the histories that are asked for."""
    views = {}
    for interval, lookbacks in asked.items():
        by = {str(lookback): given.view(interval, lookback) for lookback in sorted(lookbacks)}
        one = next(iter(by.values()))
        views[interval] = {
            "live": _of_tape(one.live),
            "seen": None if one.seen is one.live else _of_tape(one.seen),
            "first": one.first,
            "bars": one.bars,
            "last_slot": one.last_slot,
            "look_back": one.look_back,
            "splits": fields_of(one.splits),
            "back": {lookback: view.back for lookback, view in by.items()},
        }
    return {"days": given.days, "views": views, "historical": dict(given.historical)}


def given_of(message: Nest) -> Given:
    """What may be seen, as it was on the other side."""
    views: dict[tuple[str, int], View] = {}
    for interval, held in message["views"].items():
        live = _tape_of(held["live"])
        seen = live if held["seen"] is None else _tape_of(held["seen"])
        splits = Splits(**held["splits"])
        for lookback, back in held["back"].items():
            view = View(live, seen, held["first"], held["bars"], held["last_slot"], back, held["look_back"], splits)
            views[interval, int(lookback)] = view
    return Given(message["days"], lambda interval, lookback: views[interval, lookback], message["historical"])


def of_caller(caller: Caller) -> Nest:
    """How a strategy is loaded and called."""
    called = {name: getattr(caller, name) for name in ("name", "symbols", "columns", "advice", "leverage")}
    return called | {"origin": fields_of(caller.origin), "declared": fields_of(caller.declared)}


def of_found(found: Found) -> Nest:
    """Events, column by column."""
    return fields_of(found)


def found_of(message: Nest) -> Found:
    """Events, as they were on the other side."""
    return Found(**message)


def of_watched(watched: Watched) -> list[Nest]:
    """What a strategy has asked for: words, the input that it is shaped like, values."""
    names = {id(bars): name for name, bars in watched.inputs.items()}
    return [
        {"label": asked.label, "input": names[id(asked.bars)], "values": asked.values} for asked in watched.asked if id(asked.bars) in names
    ]


def watched_of(message: list[Nest], watched: Watched, inputs: dict[str, Bars]) -> None:
    """Note what was asked for on the other side."""
    watched.given(inputs)
    watched.asked += [Asked(asked["label"], inputs[asked["input"]], asked["values"]) for asked in message]


def of_error(error: StrategyError, caller: Caller | None) -> Nest:
    """An error's facts, with the traceback of what the strategy itself raised."""
    return {
        "what": error.what,
        "where": error.where,
        "value": None if error.value is None else str(error.value),
        "allowed": error.allowed,
        "action": error.action,
        "limit": isinstance(error, LimitError),
        "said": "" if caller is None else said(error, caller),
    }


def error_of(message: Nest) -> StrategyError:
    """The error, with the traceback as its note."""
    facts = {name: message[name] for name in ("where", "value", "allowed", "action")}
    error = (LimitError if message["limit"] else StrategyError)(message["what"], **facts)
    if message["said"]:
        error.add_note(message["said"])
    return error


def fields_of(value: Any) -> Nest:
    """The fields of a value by name."""
    return {item.name: getattr(value, item.name) for item in fields(value)}


def _of_tape(tape: Tape) -> Nest:
    columns = {name: tape.column(name) for name in ("start", "count", *TAPE_COLUMNS)}
    return {"interval": tape.interval, "symbols": tape.symbols, "sessions": fields_of(tape.sessions), "columns": columns}


def _tape_of(message: Nest) -> Tape:
    return Tape(message["interval"], tuple(message["symbols"]), Sessions(**message["sessions"]), **message["columns"])
