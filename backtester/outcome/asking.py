"""SQL over results from Python: what `run.sql` and `backtester.sql` do.

Place in the flow: gathers the folders and asks. Never prints; folders left out are warned of.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from backtester.errors import UsageError
from backtester.outcome.ask import Limits, ask
from backtester.outcome.held import gathered


class InFolder(Protocol):
    """A run or a sweep."""

    @property
    def folder(self) -> Path:
        """Where it is."""


Result = InFolder | str | Path


def sql(
    results: Result | Iterable[Result],
    query: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    threads: int = 1,
    max_memory: int | None = None,
) -> pl.DataFrame:
    """The answer as a frame; see `backtester.sql`."""
    given = list(results) if isinstance(results, Iterable) and not isinstance(results, str) else [results]
    places = [_place(each) for each in given]
    if not places:
        raise UsageError("a query needs results to ask", value="none", action="give runs, sweeps or folders")
    found, notes = gathered(places)
    for sentence in notes:
        warnings.warn(sentence, stacklevel=3)
    return ask(found, query, parameters, Limits(threads, max_memory)).frame()


def _place(result: Result) -> Path:
    return Path(result) if isinstance(result, (str, Path)) else result.folder
