"""Many configs that differ in a few values: what no value stands in is checked once and shared by all of them.

Place in the flow: a sweep asks here for the config of each trial, which is the one that `config.of_document` would give. Only what is
right is made here: where anything is wrong, `of_document` is asked, and says what.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backtester.config import Config, StrategySettings, of_document, with_cash, with_lake
from backtester.config_checks import faults
from backtester.config_document import Document, with_values
from backtester.config_strategies import bind
from backtester.errors import BacktesterError, ConfigError
from backtester.settings import Settings

_SECTIONS: dict[str, type[Settings]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
}
"""Sections that are models of their own: what stands in them is checked by itself."""


class Varied:
    """The configs of one document with values at dotted paths."""

    def __init__(self, document: Document, root: Path, lake: Path | None) -> None:
        self._document, self._root, self._lake = document, root, lake
        self._first: Config | None = None  # of the document as it is, where it can be used
        self._checked: dict[tuple[str, str], Settings] = {}

    def config(self, values: Mapping[str, Any]) -> Config:
        """The config with a value at each path. Raises the errors of `config.load`."""
        found = self._alike(values)
        return of_document(with_values(self._document, values), self._root, lake=self._lake) if found is None else found

    def _alike(self, values: Mapping[str, Any]) -> Config | None:
        """The first config with other sections where they hold values; None where that is not enough."""
        changed = {path.partition(".")[0] for path in values}
        if not changed <= {"strategies", *_SECTIONS} - {"resources"}:
            return None
        first = self._first = self._first or self._made()
        if first is None or first.resources.apart:
            return None
        try:
            return self._with(first, changed, values)
        except (BacktesterError, ValidationError):
            return None

    def _made(self) -> Config | None:
        try:
            return of_document(with_values(self._document, {}), self._root, lake=self._lake)
        except BacktesterError:
            return None

    def _with(self, first: Config, changed: set[str], values: Mapping[str, Any]) -> Config:
        """The first config with sections read anew. BacktesterError or ValidationError where the document is wrong."""
        own = {name: self._document[name] for name in changed if name in self._document}
        document = with_cash(self._document | with_values(own, values))
        wrong, _ = bind(document, self._root, None) if "strategies" in changed else ([], {})
        if wrong or any(True for _ in faults(document)):
            raise ConfigError("not a config")
        if "account" not in self._document:
            changed.add("account")  # it is made of another section
        sections: dict[str, Any] = {name: self._section(name, document.get(name)) for name in changed if name != "strategies"}
        if "strategies" in changed:
            sections["strategies"] = tuple(_entries(document.get("strategies")))
        made = first.model_copy(update=sections)
        return with_lake(made, self._lake) if "session_data_config" in changed else made

    def _section(self, name: str, part: Any) -> Settings:
        """A section, checked once for all that hold the same."""
        text = json.dumps(part)
        if (name, text) not in self._checked:
            self._checked[name, text] = _SECTIONS[name].model_validate_json(text)
        return self._checked[name, text]


def _entries(listed: Any) -> Iterable[StrategySettings]:
    """The strategies of a document. ConfigError where it has no list of them."""
    if not isinstance(listed, list):
        raise ConfigError("not a list")
    return (StrategySettings.model_validate_json(json.dumps(entry)) for entry in listed)
