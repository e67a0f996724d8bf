"""What no section of a config shows by itself: names that must agree between sections, and indicators' own parameters.

Place in the flow: `config.load` asks here beside the models, on the document as it was read, so that these faults are reported
together with all others. Stays silent where a section is so wrong that the models will say it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backtester.config_document import Document, Parts
from backtester.config_errors import Fault
from backtester.errors import did_you_mean
from backtester.trading.costs import micro

_HISTORY = ("session_data_config", "historical", "data")
_CAPITAL = ("account", "capital")
_INSTRUMENTS = ("execution", "instruments")
_INDICATORS = ("session_data_config", "indicators", "session")


def faults(document: Document) -> Iterator[Fault]:
    """Every fault between the sections of a document."""
    yield from _names(document)
    yield from _symbols(document)
    yield from _sizing(document)
    yield from _currencies(document)
    yield from _capital(document)
    yield from _indicators(document)


def value_at(document: Any, *path: str) -> Any:
    """The value at a path of keys, None where there is none."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def objects_at(document: Document, *path: str) -> list[tuple[int, Document]]:
    """The objects of the list at a path, each with its index; none where there is no list."""
    found = value_at(document, *path)
    return [(place, entry) for place, entry in enumerate(found) if isinstance(entry, dict)] if isinstance(found, list) else []


def _names(document: Document) -> Iterator[Fault]:
    """Two strategies of one name could not be told apart in any table."""
    seen: dict[str, int] = {}
    for place, entry in objects_at(document, "strategies"):
        name = entry.get("name")
        if isinstance(name, str) and seen.setdefault(name, place) != place:
            action = f"it stands at index {seen[name]} already"
            yield Fault(("strategies", place, "name"), "strategy name is listed twice", name, action=action)


def _symbols(document: Document) -> Iterator[Fault]:
    """Strategies and history can only speak of symbols of the run."""
    symbols = value_at(document, "session_data_config", "symbols")
    known = {name for name in symbols if isinstance(name, str)} if isinstance(symbols, list) else set()
    lists: list[tuple[Parts, Any]] = [
        (("strategies", place, "symbols"), entry.get("symbols")) for place, entry in objects_at(document, "strategies")
    ]
    lists += [((*_HISTORY, place, "apply_to"), entry.get("apply_to")) for place, entry in objects_at(document, *_HISTORY)]
    for at, names in lists:
        for place, name in enumerate(names if isinstance(names, list) and known else ()):
            if isinstance(name, str) and name not in known:
                yield Fault((*at, place), "symbol is not in session_data_config.symbols", name, action=did_you_mean(name, known))
    own = value_at(document, *_INSTRUMENTS)
    for name in own if isinstance(own, dict) and known else ():
        if name not in known:
            yield Fault((*_INSTRUMENTS, name), "symbol is not in session_data_config.symbols", name, action=did_you_mean(name, known))


def _sizing(document: Document) -> Iterator[Fault]:
    """What a size means, and so what it may be, depends on its type."""
    sizing = value_at(document, "execution", "sizing")
    kind, value, leverage = value_at(sizing, "type"), value_at(sizing, "value"), value_at(document, "account", "leverage")
    most = leverage if kind == "equity_fraction" and type(leverage) in (int, float) else 1
    if kind in ("equity_fraction", "risk_fraction") and type(value) in (int, float) and value > most:
        hint = f"a fraction: 0.95 is 95 %, {value:g} would be {value * 100:g} %"
        what = "more than the whole equity" if most == 1 else "more than the equity times the leverage"
        yield Fault(("execution", "sizing", "value"), what, value, f"above 0, at most {most:g}", hint)


def _currencies(document: Document) -> Iterator[Fault]:
    """One run holds one currency: nothing is converted."""
    held = value_at(document, "account", "currency") or "USD"
    own = value_at(document, *_INSTRUMENTS)
    for name, entry in own.items() if isinstance(own, dict) else ():
        other = value_at(entry, "currency")
        if isinstance(other, str) and isinstance(held, str) and other != held:
            at, action = (*_INSTRUMENTS, name, "currency"), "one run holds one currency: give the symbol a run of its own"
            yield Fault(at, "not the account's currency", other, f"{held}, as account.currency says", action)


def _capital(document: Document) -> Iterator[Fault]:
    """Capital of their own is of every strategy, and no cash is left over or missing."""
    cash, own = value_at(document, "account", "cash"), value_at(document, *_CAPITAL)
    if not isinstance(own, dict) or not own:
        return
    names = {name for _, entry in objects_at(document, "strategies") if isinstance(name := entry.get("name"), str)}
    for name in own:
        if name not in names:
            yield Fault((*_CAPITAL, name), "no strategy of the run has that name", name, action=did_you_mean(name, names))
    for name in sorted(names - set(own)):
        yield Fault(_CAPITAL, "a strategy has no capital", name, action="name every strategy of the run, or leave out account.capital")
    amounts = [cash, *own.values()]
    if all(type(amount) in (int, float) and abs(amount) <= 1e12 for amount in amounts):
        shared = sum(micro(amount) for amount in own.values())
        if shared != micro(cash):
            yield Fault(_CAPITAL, "capital does not add up to account.cash", shared / 1e6, f"{cash:g}", "change one of them")


def _indicators(document: Document) -> Iterator[Fault]:
    """Session indicators are known by name, and their parameters by the indicator."""
    listed = objects_at(document, *_INDICATORS)
    if not listed:
        return
    from backtester.signals.indicators import CATALOG

    for place, entry in listed:
        name, at = entry.get("name"), (*_INDICATORS, place)
        if isinstance(name, str) and name not in CATALOG:
            yield Fault((*at, "name"), "unknown indicator", name, action=did_you_mean(name, CATALOG))
        elif isinstance(name, str):
            yield from _parameters(entry, name, at)


def _parameters(entry: Document, name: str, at: Parts) -> Iterator[Fault]:
    from backtester.signals.indicator_catalog import refusal
    from backtester.signals.indicators import CATALOG

    params = value_at(entry, "params")
    given: dict[Parts, Any] = {("params", key): value for key, value in params.items()} if isinstance(params, dict) else {}
    if entry.get("period") is not None:
        given[("period",)] = entry["period"]
        if ("params", "period") in given:
            yield Fault((*at, "params", "period"), "period is given twice", params["period"], action="leave it out here")
    known = CATALOG[name].params
    for path, value in given.items():
        key = str(path[-1])
        if key not in known:
            action = did_you_mean(key, known) if known else "leave it out"
            yield Fault((*at, *path), f"{name} has no parameter '{key}'", action=action)
        elif (allowed := refusal(value, known[key])) is not None:
            yield Fault((*at, *path), "not allowed", value, allowed)
