"""Loading: from the words of a config to a strategy's class: a built-in, a user's file, an installed package.

Place in the flow: config asks here before anything runs. A file is loaded by its path, below the config's or the current
folder, under a name of its own: nothing is put on the module search path. Never runs a strategy.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from backtester.errors import StrategyError, did_you_mean
from backtester.signals.strategy import Declared, Strategy, declared


@dataclass(frozen=True)
class Source:
    """Where a strategy comes from: its entry point, the file's name, the SHA-256 of its text, and the whole path."""

    use: str
    file: str
    digest: str
    path: str = ""


@dataclass(frozen=True)
class Origin:
    """What a strategy is loaded from: `use`, the folder at which relative paths start, settings as JSON, its file and that one's
    SHA-256.
    """

    use: str
    root: str
    params: str
    path: str
    digest: str


@dataclass(frozen=True)
class Described:
    """All that the run must know of a strategy without having it: its settings as JSON values, what it declares, where it comes from."""

    params: Mapping[str, Any]
    declared: Declared
    source: Source


Sources = dict[tuple[str, type[Strategy]], Source]
"""What is known of the files of classes, by `use` and class."""


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
    return Source(use, path.name, sha256(path.read_bytes()).hexdigest(), str(file))


def described(use: str, strategy: Strategy, name: str, sources: Sources) -> Described:
    """What is to be known of strategy `name`; of classes in `sources` the file is not read again, others are added.

    Raises StrategyError where it declares what it cannot mean.
    """
    kind = type(strategy)
    declares = declared(strategy, name)
    if (use, kind) not in sources:
        sources[use, kind] = source_of(use, kind)
    return Described(strategy.model_dump(mode="json"), declares, sources[use, kind])


def path_of(use: str, root: Path) -> str:
    """The file that `use` names; "" where it does not name one."""
    place = use.rpartition(":")[0]
    return str((root / place).resolve()) if place.endswith(".py") and "\0" not in place else ""


def _from_file(place: str, root: Path) -> Any:
    if "\0" in place:
        raise StrategyError("not a file's name", value=repr(place))
    path = Path(os.path.realpath(root / place))
    if not any(path.is_relative_to(os.path.realpath(parent)) for parent in (root, Path.cwd())):
        raise StrategyError(
            "strategy file outside the config's folder", value=place, allowed="a path below the config's or the current folder"
        )
    if not path.is_file():
        raise StrategyError("strategy file not found", where=place, action="paths start at the config's folder")
    name = f"backtester_user_{path.stem}_{sha256(bytes(path) + b'/' + path.read_bytes()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    loader = _Uncached(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _loading(path.name, path):
            loader.exec_module(module)
    except StrategyError:
        del sys.modules[name]
        raise
    return module


class _Uncached(SourceFileLoader):
    """Compiles a file from its text: Python's own cache knows a text by length and second only, and would lie beside the user's file."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Nothing is known of the file: the answer that keeps Python from its cache."""
        raise OSError


def _from_package(place: str) -> Any:
    if not all(part.isidentifier() for part in place.split(".")):
        raise StrategyError("not a module's name", value=repr(place), allowed="package.module:Class, or a path that ends in .py")
    with _loading(place, None):
        return importlib.import_module(place)


@contextmanager
def _loading(place: str, path: Path | None) -> Iterator[None]:
    """Whatever a module raises while it is loaded becomes a StrategyError with file and line."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except ImportError as error:
        action = "install it, or name a file.py:Class" if path is None else "a file can import installed packages, not files beside it"
        where = place if path is None else _line_of(error, path)
        raise StrategyError("strategy module cannot be imported", where=where, value=str(error), action=action) from error
    except BaseException as error:
        value = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StrategyError("strategy file cannot be loaded", where=_line_of(error, path) or place, value=value) from error


def _class_in(module: Any, attribute: str, use: str) -> type[Strategy]:
    found = getattr(module, attribute, None)
    names = [
        name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, Strategy) and value is not Strategy
    ]
    if found is None:
        action = did_you_mean(attribute, names) if names else "there is no subclass of backtester.Strategy in it"
        raise StrategyError("strategy class not found", where=use, action=action)
    if not (isinstance(found, type) and issubclass(found, Strategy)) or found is Strategy:
        raise StrategyError(
            "not a Strategy",
            where=use,
            value=type(found).__name__,
            allowed="a subclass of backtester.Strategy",
            action=did_you_mean(attribute, names) if names else None,
        )
    return found


def _line_of(error: BaseException, path: Path | None) -> str:
    """file:line of an error: of wrong syntax, or the last line of the user's own file that it passed; else the file."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno is not None:
        return f"{Path(error.filename).name}:{error.lineno}"
    if path is None:
        return ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path.name}:{lines[-1]}" if lines else path.name
