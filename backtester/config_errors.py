"""What is wrong with a config, said to its writer: place, value, what is allowed, the nearest known name, the unit.

Place in the flow: `config.load` hands the faults that the models found to `problems`, which makes them ConfigErrors with
JSON pointers. Never decides what is allowed; that stands in the models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from backtester.config_document import Parts, pointer, shown
from backtester.errors import ConfigError, did_you_mean, nearest

_EXPECTED = {
    "string": "text in double quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list [...]",
    "tuple": "a list [...]",
    "dict": "an object {...}",
    "model": "an object {...}",
}
_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
_FRACTIONS = ("stop_loss", "take_profit", "min_confidence", "min_completeness", "equity_fraction")
_UNITLESS = ("fee", "rate", "percent", "pct", "percentage", "fraction", "value", "cost")
_COST = 'say the unit: {"bps": 5} is 0.05 % (1 % is 100 bps), {"per_share": 0.005} is half a cent a share; 5 as a fraction would be 500 %'


@dataclass(frozen=True)
class Fault:
    """One fault that a check of several fields found, at a place below the checked value."""

    at: Parts
    what: str
    value: Any = None
    allowed: str | None = None
    action: str | None = None


class Refusal(ValueError):
    """Raised by a check inside a model: one or several faults, placed relative to the checked value."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.what for fault in self.faults))


@dataclass(frozen=True)
class _Found:
    """One error of the models: its type, its real place, and the place of the union one of whose forms it speaks for."""

    kind: str
    place: Parts
    union: Parts | None
    value: Any
    facts: Mapping[str, Any]


def problems(error: ValidationError, document: Any, model: type[BaseModel], root: Parts = ()) -> list[ConfigError]:
    """Every fault of `document` against `model`, with pointers that begin at `root`; one for each place and cause."""
    found = [one for entry in error.errors(include_url=False) if not _echoes(one := _placed(entry, document))]
    said: list[ConfigError] = []
    for group in _by_union(found):
        said += _said(group, model, root)
    return said


def placed(fault: Fault, root: Parts) -> ConfigError:
    """A fault as an error with its pointer."""
    value = None if fault.value is None else shown(fault.value)
    return ConfigError(fault.what, where=pointer((*root, *fault.at)), value=value, allowed=fault.allowed, action=fault.action)


def repeated(names: Iterable[str], at: Parts, what: str) -> Iterator[Fault]:
    """A fault for each name that stands in the list a second time."""
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        if name in seen:
            yield Fault((*at, place), f"{what} is listed twice", name, action=f"it stands at index {seen[name]} already")
        seen.setdefault(name, place)


def _placed(entry: Mapping[str, Any], document: Any) -> _Found:
    """Separate the real keys of an error's location from the names of union forms that stand among them."""
    node, place, union = document, [], None
    for part in entry["loc"]:
        inside = (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int) and part < len(node))
        if inside:
            node = node[part]
            place.append(part)
        elif entry["type"] == "missing" and part == entry["loc"][-1]:
            place.append(part)
        elif part != "[key]" and union is None:
            union = tuple(place)
    return _Found(entry["type"], tuple(place), union, entry.get("input"), entry.get("ctx") or {})


def _echoes(found: _Found) -> bool:
    """True of a list that is called too short only because items of it were refused; they are reported themselves."""
    return found.kind == "too_short" and isinstance(found.value, list) and len(found.value) >= found.facts["min_length"]


def _by_union(found: Sequence[_Found]) -> Iterator[list[_Found]]:
    """Errors one by one; those of a union's forms together, without the forms that the value does not even resemble."""
    done: set[Parts] = set()
    for one in found:
        if one.union is None:
            yield [one]
        elif one.union not in done:
            done.add(one.union)
            forms = [other for other in found if other.union == one.union]
            deeper = [form for form in forms if len(form.place) > len(one.union)]
            if deeper:
                yield from ([form] for form in deeper)
            else:
                yield forms


def _said(group: Sequence[_Found], model: type[BaseModel], root: Parts) -> list[ConfigError]:
    first = group[0]
    refusal = first.facts.get("error")
    if isinstance(refusal, Refusal):
        return [placed(fault, (*root, *first.place)) for fault in refusal.faults]
    if first.kind == "missing":
        return [ConfigError("required key is missing", where=pointer((*root, *first.place)), allowed=_meaning(model, first.place))]
    if first.kind == "extra_forbidden":
        return [_unknown_key(first, model, root)]
    if first.kind == "value_error":
        return [_refused(first, root)]
    allowed = " or ".join(dict.fromkeys(_allowed(form) for form in group))
    what = "unknown value" if {form.kind for form in group} == {"literal_error"} and isinstance(first.value, str) else "not allowed"
    return [ConfigError(what, where=pointer((*root, *first.place)), value=shown(first.value), allowed=allowed, action=_advice(first))]


def _refused(found: _Found, root: Parts) -> ConfigError:
    """A plain ValueError of a check; where a ConfigError stood behind it, its facts."""
    error = found.facts["error"]
    cause = error.__context__
    fault = Fault(found.place, str(error), found.value)
    if isinstance(cause, ConfigError):
        fault = Fault(found.place, cause.what, found.value, cause.allowed, cause.action)
    return placed(fault, root)


def _unknown_key(found: _Found, model: type[BaseModel], root: Parts) -> ConfigError:
    name = str(found.place[-1])
    known = _fields(model, found.place[:-1])
    if {"commission", "slippage"} & set(found.place[-2:-1]) and name in _UNITLESS:
        action: str | None = _COST
    elif (home := _homes(model).get(name)) is not None:
        action = f"it belongs at {pointer(home)}"
    else:
        action = did_you_mean(name, known) if known else None
    return ConfigError("unknown key", where=pointer((*root, *found.place)), value=None, action=action)


def _allowed(found: _Found) -> str:
    facts = found.facts
    for bound, words in _BOUNDS.items():
        if bound in facts:
            return f"{words} {facts[bound]:g}"
    if "expected" in facts:
        return str(facts["expected"])
    if "pattern" in facts:
        return f"text that matches {facts['pattern']}"
    for bound, words in (("min_length", "at least"), ("max_length", "at most")):
        if bound in facts:
            noun = "character" if isinstance(found.value, str) else "item"
            return f"{words} {facts[bound]:,} {noun}{'' if facts[bound] == 1 else 's'}"
    stem = found.kind.split("_")[0]
    return "a finite number" if found.kind == "finite_number" else _EXPECTED.get(stem, found.kind.replace("_", " "))


def _advice(found: _Found) -> str | None:
    """What to do: the nearest name, a missing unit, quotes to remove."""
    name = str(found.place[-1]) if found.place else ""
    value = found.value
    if found.kind == "literal_error" and isinstance(value, str):
        best = nearest(value, str(found.facts["expected"]).replace(" or ", ", ").replace("'", "").split(", "))
        return f"did you mean '{best}'?" if best else None
    if isinstance(value, str) and found.kind.split("_")[0] in ("int", "float", "bool"):
        return "write it without quotes"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if name in ("commission", "slippage"):
        return _COST
    if name.endswith("bps"):
        return f"these are basis points: 100 are 1 %, {value:g} are {value / 100:g} %"
    if name in _FRACTIONS:
        return f"this is a fraction: 0.05 is 5 %, {value:g} would be {value * 100:g} %"
    return None


def _meaning(model: type[BaseModel], place: Parts) -> str | None:
    """What a missing key holds: its description in the model, else its type."""
    for owner in _models_at(model, place[:-1]):
        field = owner.model_fields.get(str(place[-1]))
        if field is not None:
            return field.description
    return None


def _fields(model: type[BaseModel], place: Parts) -> list[str]:
    return [name for owner in _models_at(model, place) for name in owner.model_fields]


def _models_at(model: type[BaseModel], place: Parts) -> list[type[BaseModel]]:
    """The models that may stand at a place; list indices and free keys lead into what the list or dict holds."""
    here = [model]
    for part in place:
        inside = [field.annotation for owner in here if (field := owner.model_fields.get(str(part))) is not None]
        here = list(_models_in(inside)) if inside else here
    return here


def _models_in(annotations: Iterable[Any]) -> Iterator[type[BaseModel]]:
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        elif get_origin(annotation) in (Union, UnionType, list, tuple, dict):
            yield from _models_in(get_args(annotation))


@cache
def _homes(model: type[BaseModel]) -> dict[str, Parts]:
    """Where each key of the config belongs; the shallowest place of a name that stands in several."""
    homes: dict[str, Parts] = {}
    level: list[tuple[Parts, type[BaseModel]]] = [((), model)]
    while level:
        deeper: list[tuple[Parts, type[BaseModel]]] = []
        for place, owner in level:
            for name, field in owner.model_fields.items():
                homes.setdefault(name, (*place, name))
                holds_items = get_origin(field.annotation) is not None
                if not holds_items:
                    deeper += [((*place, name), inner) for inner in _models_in([field.annotation])]
        level = deeper
    return homes
