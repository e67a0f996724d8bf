"""The strategies of a config: loaded, their settings checked and completed, what they declare noted.

Place in the flow: `config.load` asks here for every entry of `strategies`. Where the config wants strategies in processes of their own,
a user's file is loaded in one from the beginning, and what comes back is plain data: no line of it ever runs in this process.

    this process                              a process of the strategy
    use, settings -------------------------->    (loads the program)
    (its time begins)  <---------------------    started
    described, or errors  <------------------    imports the file, finds the class, checks the settings, reads inputs and lookback
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from backtester.config_checks import objects_at
from backtester.config_document import Document, Parts, pointer
from backtester.config_errors import Fault, placed, problems
from backtester.errors import BacktesterError, ConfigError, ResourceError, StrategyError, did_you_mean

if TYPE_CHECKING:
    from backtester.signals.loading import Described, Sources
    from backtester.signals.process import Limits, Process
    from backtester.signals.strategy import Strategy

STARTING_SECONDS = 120.0
"""An interpreter that has not loaded the program after so long never will."""
LEAST_SECONDS = 10.0
"""A strategy's file may take so long to load whatever the limit of its calls is: it imports libraries."""
USUAL_SECONDS = 120.0
"""How long it may take where calls have no limit."""
_FACTS = ("what", "where", "value", "allowed", "action")

Known = Mapping[str, "Described"]
"""Strategies that were loaded in processes of their own, by `key_of`."""


def bind(document: Document, root: Path, limits: Limits | None) -> tuple[list[BacktesterError], Known]:
    """Complete the strategies' settings with their defaults, in place; what is wrong with them, and what is known of those apart.

    limits: those of processes of their own, in which users' strategies are loaded; None: all are loaded in this process.
    """
    found: list[BacktesterError] = []
    known: dict[str, Described] = {}
    with ExitStack() as stack:
        waiting: list[tuple[Document, Parts, Process | None]] = []
        for place, entry in objects_at(document, "strategies"):
            use = entry.get("use")
            at: Parts = ("strategies", place)
            if not isinstance(use, str) or not isinstance(entry.get("params", {}), dict):
                continue
            process = None
            if limits is not None and _of_a_user(use):
                process = begun(use, entry.get("params", {}), root, at, str(entry.get("name", place)), limits)
                stack.callback(process.end)
            waiting.append((entry, at, process))
        for entry, at, process in waiting:
            try:
                if process is None or limits is None:
                    entry["params"] = completed(entry["use"], entry.get("params", {}), root, at).model_dump(mode="json")
                else:
                    made = answered(process, limits, at)
                    entry["params"] = dict(made.params)
                    known[key_of(entry["use"], entry["params"])] = made
            except ConfigError as error:
                found += error.problems or [error]
            except (StrategyError, ResourceError) as error:
                found.append(error)
    return found, known


def key_of(use: str, params: Mapping[str, Any]) -> str:
    """Names a strategy with its settings."""
    return json.dumps([use, params], sort_keys=True)


def described(
    use: str, params: Document, root: Path, at: Parts, name: str, limits: Limits | None, sources: Sources
) -> tuple[Described, Strategy | None]:
    """What is known of a strategy whose settings are complete, and the object; none where it is loaded in a process of its own.

    sources: of files that were read already, which are not read again; added to. Raises the errors of `bind`.
    """
    from backtester.signals import loading

    if limits is not None and _of_a_user(use):
        process = begun(use, params, root, at, name, limits)
        try:
            return answered(process, limits, at), None
        finally:
            process.end()
    strategy = completed(use, params, root, at)
    return loading.described(use, strategy, name, sources), strategy


def completed(use: str, params: Document, root: Path, at: Parts) -> Strategy:
    """The strategy with its settings, loaded in this process. Raises ConfigError or StrategyError with pointers that begin at `at`."""
    kind, at = _strategy(use, root, at), (*at, "params")
    try:
        return kind.model_validate_json(json.dumps(params))
    except ValidationError as error:
        for wrong in error.errors(include_url=False):
            name = str(wrong["loc"][0]) if wrong["loc"] else ""
            if name in kind.model_fields and name not in params and wrong["type"] != "missing":
                raise StrategyError(f"the default of setting '{name}' does not fit what it declares", where=pointer((*at, name)),
                                    value=repr(wrong["input"]), allowed=wrong["msg"]) from error  # fmt: skip
        raise ConfigError("parameters", problems=problems(error, params, kind, at)) from error
    except Exception as error:  # the checks of a strategy's fields are its author's code and may raise anything
        value = f"{type(error).__name__}: {error}"
        raise StrategyError("the strategy refuses its parameters", where=pointer(at), value=value) from error


def _of_a_user(use: str) -> bool:
    """Whether it is anything but a strategy of the program, or a word that cannot be one."""
    return ":" in use


def _strategy(use: str, root: Path, at: Parts) -> type[Strategy]:
    """The class that `use` names; errors carry the pointer of `use`."""
    from backtester.signals.loading import resolve
    from backtester.signals.strategies import BUILT_IN

    if ":" not in use and use not in BUILT_IN:
        allowed = "a built-in name, path/to/file.py:Class or package.module:Class"
        raise placed(Fault(("use",), "unknown strategy", use, allowed, did_you_mean(use, BUILT_IN)), at)
    try:
        return resolve(use, root)
    except StrategyError as error:
        where = pointer((*at, "use")) + (f", {error.where}" if error.where else "")
        raise StrategyError(error.what, where=where, value=error.value, allowed=error.allowed, action=error.action) from error


def begun(use: str, params: Document, root: Path, at: Parts, name: str, limits: Limits) -> Process:
    """A process that loads a strategy; the caller ends it."""
    from backtester.signals.loading import path_of
    from backtester.signals.process import Process

    asked = {"use": use, "params": json.dumps(params), "root": str(root), "at": list(at), "name": name, "memory": limits.memory}
    return Process(__name__, path_of(use, root), limits.memory, pointer((*at, "use")), asked)


def answered(process: Process, limits: Limits, at: Parts) -> Described:
    """What a process says of its strategy. Raises what loading raised; StrategyError where it ended, ResourceError beyond a limit."""
    from backtester.signals.calling import LimitError
    from backtester.signals.loading import Described, Source
    from backtester.signals.process import Wait
    from backtester.signals.strategy import Declared

    head, duty = pointer((*at, "use")), "a file must load"
    seconds = USUAL_SECONDS if limits.seconds is None else max(limits.seconds, LEAST_SECONDS)
    try:
        process.answer(Wait(STARTING_SECONDS, "to start", head, duty=duty))
        answer = process.answer(Wait(seconds, "/resources/strategy_timeout_seconds", head, duty=duty))
    except LimitError as error:
        raise ResourceError(**{name: getattr(error, name) for name in _FACTS}) from error
    if "errors" in answer:
        _raise(answer["errors"])
    told = answer["described"]
    return Described(told["params"], Declared(**told["declared"]), Source(**told["source"]))


def _raise(told: Sequence[Mapping[str, Any]]) -> None:
    """Raise what a process told."""
    kinds = {kind.kind: kind for kind in (ConfigError, StrategyError, ResourceError)}
    errors = [kinds[one["kind"]](**{name: one[name] for name in _FACTS}) for one in told]
    raise errors[0] if len(errors) == 1 else ConfigError("parameters", problems=errors)


def serve(number: int, words: int, parent: int, asks_where: int) -> None:
    """Load one strategy and say what it is; what the process begins with."""
    from backtester.signals import child

    child.serve(number, words, parent, asks_where, _describe)


def _describe(line: socket.socket) -> None:
    from backtester.signals.child import answer, beneath, while_loading
    from backtester.signals.messages import fields_of
    from backtester.signals.parcel import receive, unpacked

    number = receive(line)
    if number is None:
        return
    asked = unpacked(number, shared=False)
    ceiling, at = while_loading(asked["memory"]), tuple(asked["at"])
    answer(line, {"started": True})
    said: dict[str, Any]
    try:
        with beneath(ceiling):
            found, _ = described(asked["use"], json.loads(asked["params"]), Path(asked["root"]), at, asked["name"], None, {})
        parts = {"params": found.params, "declared": fields_of(found.declared), "source": fields_of(found.source)}
        said = {"described": parts}
    except KeyboardInterrupt:  # raised by the file: the user's own goes to the run alone
        error = StrategyError("strategy file cannot be loaded", where=pointer((*at, "use")), value="KeyboardInterrupt")
        said = {"errors": list(_told(error))}
    except BacktesterError as raised:
        said = {"errors": list(_told(_as_limit(raised, asked["memory"])))}
    answer(line, said)


def _as_limit(error: BacktesterError, memory: int | None) -> BacktesterError:
    """An error as it is, or as one of resources where memory was what was missing."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, MemoryError):
        cause = cause.__cause__
    if cause is None:
        return error
    allowed = "what the system gives" if memory is None else f"{memory:,} bytes beyond libraries, /resources/strategy_memory"
    said = (str(cause).splitlines() or [type(cause).__name__])[0]
    return ResourceError("a strategy wanted too much memory", where=error.where, value=said or type(cause).__name__, allowed=allowed,
                         action="raise the limit, or hold less")  # fmt: skip


def _told(error: BacktesterError) -> Iterator[dict[str, Any]]:
    """The facts of an error, or of the problems that it holds."""
    for one in getattr(error, "problems", ()) or (error,):
        facts = {name: getattr(one, name) for name in _FACTS}
        yield facts | {"kind": one.kind, "value": None if one.value is None else str(one.value)}
