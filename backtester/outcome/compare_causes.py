"""Why two runs may differ: everything that a manifest holds of what a result came from, group by group, same or different.

Place in the flow: compare.py asks once it knows the first stage that differs. Never looks at results.

A group that differs can be the cause of a difference where it acts at or before the first stage that differs: a limit of
`trading_config` first acts on decisions and explains no signal. `acts` names the stage; "" stands for any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backtester.outcome.manifest import without_folder

STAGES = ("calendar", "bars", "derived", "quality", "indicators", "signals", "decisions", "orders", "fills", "trades", "equity", "metrics")
"""The stages of a run in the order in which one follows from those before."""
ABSENT = "(absent)"
_FIRST_ACTS = (
    ("/session_data_config/symbols", "bars"),
    ("/session_data_config/derived", "derived"),
    ("/session_data_config/gap_filler", "quality"),
    ("/session_data_config/historical/enable_quality", "quality"),
    ("/session_data_config/historical/indicators", "indicators"),
    ("/session_data_config/historical/data", "signals"),
    ("/session_data_config/indicators", "indicators"),
    ("/session_data_config/streams", "derived"),
    ("/session_data_config", "bars"),
    ("/strategies", "derived"),
    ("/execution/fill", "bars"),
    ("/execution/actions", "derived"),
    ("/execution", "decisions"),
    ("/trading_config", "decisions"),
    ("/account", "decisions"),
    ("/on_error", "signals"),
)
"""Where a key of the config first acts; strategies name intervals and so make derived bars. Others act on the calendar."""
_POLICIES_FROM_CONFIG = ("fill", "optimistic", "price", "intrabar", "min_completeness", "quality", "historical_quality")
_PROGRAM = ("version", "commit", "dirty", "difference")
_ENVIRONMENT = ("python", "implementation", "system", "release", "architecture", "processor", "simd", "libc", "tzdata", "locale")


@dataclass(frozen=True)
class Item:
    """One thing of both sides; acts: the stage at which it acts first, "" any; idle: it cannot change a result."""

    name: str
    a: Any
    b: Any
    acts: str = ""
    idle: bool = False


@dataclass(frozen=True)
class Cause:
    """A group of facts: `items` are those that differ, `said` what is the same in words."""

    group: str
    items: tuple[Item, ...] = ()
    said: str = ""
    can_be: bool = field(default=False)

    @property
    def same(self) -> bool:
        """True where nothing of the group differs."""
        return not self.items


def causes(a: Mapping[str, Any], b: Mapping[str, Any], idle: Sequence[tuple[str, ...]], stage: str | None) -> list[Cause]:
    """Every group of two manifests, the calendar's library first; `idle` are config keys that cannot influence a result.

    `stage` is the first stage that differs: what acts later is no cause of it. None: nothing differs.
    """
    config = tuple(_config(a, b, idle))
    config_same = all(item.idle for item in config)
    found = [
        Cause("calendar library", _versions(a, b), str(a["calendar"].get("version"))),
        Cause(
            "program",
            _items(*_shared(_program(a), _program(b), _PROGRAM)),
            " ".join(str(_program(a)[name]) for name in _PROGRAM[:2] if _program(a).get(name)),
        ),
        Cause("config", config, f"digest {str(a['config']['digest'])[:12]}"),
        Cause("strategies", tuple(_strategies(a, b)), ", ".join(str(one.get("name")) for one in a["strategies"]) or "none"),
        Cause("data", tuple(_files(a, b, config_same)), f"{len(a['data']['files'])} files"),
        Cause("actions", tuple(_actions(a, b)), "splits and dividends that bear on the run"),
        Cause("calendar rows", tuple(_rows(a, b)), f"{len(a['calendar']['rows'])} sessions of {a['calendar'].get('name')}"),
        Cause("policies", _policies(a, b), "how money, fills and quality are worked out"),
        Cause("libraries", _items(a["libraries"], b["libraries"]), f"{len(a['libraries'])} versions"),
        Cause("environment", _items(*_shared(a["environment"], b["environment"], _ENVIRONMENT)), str(a["environment"].get("architecture"))),
    ]
    return [Cause(one.group, one.items, one.said, stage is not None and _can_be(one, stage)) for one in found]


def _can_be(cause: Cause, stage: str) -> bool:
    """Can a group's differences be the cause of a difference that first shows at this stage?"""
    at = STAGES.index(stage)
    return any(not item.idle and (item.acts == "" or STAGES.index(item.acts) <= at) for item in cause.items)


def flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value of a JSON value with its pointer; empty objects and lists are values.

    >>> dict(flat({"a": [1, {"b": None}], "c": {}}))
    {'/a/0': 1, '/a/1/b': None, '/c': {}}
    """
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from flat(part, f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, (list, tuple)) and value:
        for place, part in enumerate(value):
            yield from flat(part, f"{at}/{place}")
    else:
        yield at or "/", value


def _items(a: Mapping[str, Any], b: Mapping[str, Any], acts: str = "") -> tuple[Item, ...]:
    """The names under which two mappings hold different values."""
    names = dict.fromkeys([*a, *b])
    return tuple(Item(name, a.get(name), b.get(name), acts) for name in names if a.get(name) != b.get(name))


def _versions(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Item, ...]:
    """The packages that a calendar's rows come from."""
    return _items(_packages(a), _packages(b), acts="calendar")


def _packages(side: Mapping[str, Any]) -> dict[str, str]:
    """`pandas_market_calendars-5.5.0+tzdata-2026.6` as names and versions."""
    parts = (part.rpartition("-") for part in str(side["calendar"].get("version")).split("+"))
    return {name: number for name, _, number in parts}


def _shared(a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both sides say under some names; a baseline says less than a manifest."""
    both = [name for name in names if name in a and name in b]
    return {name: a[name] for name in both}, {name: b[name] for name in both}


def _program(side: Mapping[str, Any]) -> dict[str, Any]:
    """The program's version, commit, dirty flag and the digest of what was not committed, long words cut short."""
    return {name: value[:12] if isinstance(value, str) else value for name, value in side["program"].items()}


def _config(a: Mapping[str, Any], b: Mapping[str, Any], idle: Sequence[tuple[str, ...]]) -> Iterator[Item]:
    left, right = (dict(flat(_named(side["config"]["resolved"]))) for side in (a, b))
    without = ["/" + "/".join(keys) for keys in idle]
    for pointer in dict.fromkeys([*left, *right]):
        one, other = left.get(pointer, ABSENT), right.get(pointer, ABSENT)
        if one != other or type(one) is not type(other):
            if one == other and {type(one), type(other)} <= {int, float}:
                continue
            kept_out = any(pointer == key or pointer.startswith(key + "/") for key in without)
            acts = next((stage for key, stage in _FIRST_ACTS if pointer == key or pointer.startswith(key + "/")), "calendar")
            yield Item(pointer, one, other, acts, kept_out)


def _named(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The config with the files of strategies by their names: where one lies says nothing about it."""
    entries = [{**entry, "use": without_folder(str(entry.get("use")))} for entry in resolved.get("strategies", ())]
    return {**resolved, "strategies": entries}


def _strategies(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Item]:
    """Sources and what a strategy declares of itself; its parameters are the config's."""
    left, right = ({str(one["name"]): one for one in side["strategies"]} for side in (a, b))
    for name in dict.fromkeys([*left, *right]):
        one, other = left.get(name), right.get(name)
        if one is None or other is None:
            yield Item(name, None if one is None else without_folder(str(one["use"])), None if other is None else
                       without_folder(str(other["use"])), "derived")  # fmt: skip
            continue
        sources = _sources(one), _sources(other)
        if sources[0] != sources[1]:
            yield Item(f"{name}: source of {without_folder(str(other['use']))}", *sources, acts="derived")
        for key in ("lookback", "inputs"):
            if one.get(key) != other.get(key):
                yield Item(f"{name}: {key}", one.get(key), other.get(key), "derived")


def _sources(strategy: Mapping[str, Any]) -> str:
    return " ".join(str(source["sha256"])[:12] for source in strategy.get("sources", ()))


def _files(a: Mapping[str, Any], b: Mapping[str, Any], config_same: bool) -> Iterator[Item]:
    """Files of the lake by kind, interval and session; a digest cut short is compared as far as it goes.

    Files that only one side has read are one item: where the configs differ they follow from that, and are no cause of their own.
    """
    left, right = ({_file_name(file): str(file["sha256"]) for file in side["data"]["files"]} for side in (a, b))
    for name in sorted({*left} & {*right}):
        one, other = left[name], right[name]
        if not (one.startswith(other) or other.startswith(one)):
            yield Item(name, one[:12], other[:12], "fills" if name.startswith("quotes") else "bars")
    for side, only in (("a", sorted({*left} - {*right})), ("b", sorted({*right} - {*left}))):
        if only:
            name = f"read by {side} alone: {only[0]}" + (f" and {len(only) - 1} more" if len(only) > 1 else "")
            counts = (len(only), 0) if side == "a" else (0, len(only))
            yield Item(name, *counts, "bars", idle=not config_same)


def _file_name(file: Mapping[str, Any]) -> str:
    return "/".join(str(file.get(name)) for name in ("kind", "interval", "session"))


def _actions(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Item]:
    one, other = (side["policies"].get("actions") for side in (a, b))
    if one != other:
        yield Item("digest of those that act", one and str(one)[:12], other and str(other)[:12], "derived")


def _rows(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Item]:
    left, right = ({str(row[0]): " to ".join(map(str, row[1:])) for row in side["calendar"]["rows"]} for side in (a, b))
    for name in sorted({*left, *right}):
        if left.get(name) != right.get(name):
            yield Item(name, left.get(name), right.get(name), "calendar")
    if left == right and a["calendar"].get("digest") != b["calendar"].get("digest"):
        yield Item("breaks or early closes", str(a["calendar"].get("digest"))[:12], str(b["calendar"].get("digest"))[:12], "calendar")


def _policies(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Item, ...]:
    """Policies that no key of the config names: what the program itself does."""
    left, right = (
        {name: value for name, value in side["policies"].items() if name not in (*_POLICIES_FROM_CONFIG, "actions")} for side in (a, b)
    )
    return _items(left, right)
