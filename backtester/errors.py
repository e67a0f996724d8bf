"""The errors a user can meet, each with its exit code.

Place in the flow: raised on every floor, printed once by the command line. Never imports anything of the project.

    BacktesterError          70  (base; an error nobody foresaw is internal)
    |-- UsageError            2  a command's words are off
    |-- ConfigError           3  the config; holds every problem found, not only the first
    |-- DataError             4  market data missing, damaged or contradictory
    |-- StrategyError         5  a strategy (the user's code) misbehaved
    |-- CalendarError         6  unknown calendar, no session
    |-- ResourceError         7  memory, disk, time
    |-- OutputError           8  the result's place is taken, locked or not writable
    |-- DifferenceError       9  a comparison found a difference
    `-- InternalError        70  an invariant of ours broke

A message says what, where, the value, what is allowed and what to do:

>>> str(DataError("cannot read bars", where="lake/bars/1m/2025-07-02.parquet", value="0 bytes",
...               allowed="a Parquet file", action="import the session again"))
'cannot read bars (lake/bars/1m/2025-07-02.parquet): got 0 bytes; allowed: a Parquet file; import the session again'
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None where nothing is near."""
    choices = list(known)
    folded = {choice.casefold(): choice for choice in choices}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence naming the nearest known name, or listing a few known ones."""
    choices = sorted(known)
    if not choices:
        return "there are none"
    best = nearest(name, choices)
    if best is not None:
        return f"did you mean '{best}'?"
    listed = ", ".join(choices[:12]) + (", ..." if len(choices) > 12 else "")
    return f"known: {listed}"


class BacktesterError(Exception):
    """One short message: what, where (pointer, file, column, row), the value, what is allowed, what to do."""

    exit_code = 70
    kind = "internal"

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        value: Any = None,
        allowed: str | None = None,
        action: str | None = None,
    ) -> None:
        self.what, self.where, self.value, self.allowed, self.action = what, where, value, allowed, action
        super().__init__(self.message())

    def message(self) -> str:
        """The error in one line."""
        head = self.what if self.where is None else f"{self.what} ({self.where})"
        tail = []
        if self.value is not None:
            tail.append(f"got {self.value}")
        if self.allowed is not None:
            tail.append(f"allowed: {self.allowed}")
        if self.action is not None:
            tail.append(self.action)
        return head + (": " + "; ".join(tail) if tail else "")

    def as_json(self) -> dict[str, Any]:
        """The error for `--json`: the same facts as fields."""
        return {
            "error": self.kind,
            "exit_code": self.exit_code,
            "message": self.message(),
            "what": self.what,
            "where": self.where,
            "value": None if self.value is None else str(self.value),
            "allowed": self.allowed,
            "action": self.action,
        }


class UsageError(BacktesterError):
    """A command's words are off."""

    exit_code, kind = 2, "usage"


class ConfigError(BacktesterError):
    """The config is wrong; `problems` holds one BacktesterError-like line per JSON pointer."""

    exit_code, kind = 3, "config"

    def __init__(self, what: str, *, problems: Sequence[BacktesterError] = (), **facts: Any) -> None:
        self.problems = tuple(problems)
        super().__init__(what, **facts)

    def message(self) -> str:
        """One line, or a headed list where several problems were found."""
        if not self.problems:
            return super().message()
        lines = [f"{self.what}: {len(self.problems)} problem{'s' if len(self.problems) > 1 else ''}"]
        lines += [f"  {problem.message()}" for problem in self.problems]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The error for `--json`, with each problem as an object."""
        return super().as_json() | {"problems": [problem.as_json() for problem in self.problems]}


class DataError(BacktesterError):
    """Market data is missing, damaged or contradictory."""

    exit_code, kind = 4, "data"


class StrategyError(BacktesterError):
    """A strategy misbehaved; names strategy, session, symbol and column where known."""

    exit_code, kind = 5, "strategy"


class CalendarError(BacktesterError):
    """Unknown calendar, or no session where one is needed."""

    exit_code, kind = 6, "calendar"


class ResourceError(BacktesterError):
    """Memory, disk or time ran out, or would."""

    exit_code, kind = 7, "resources"


class OutputError(BacktesterError):
    """The result's place is taken, locked or not writable."""

    exit_code, kind = 8, "output"


class DifferenceError(BacktesterError):
    """A comparison found a difference."""

    exit_code, kind = 9, "difference"


class InternalError(BacktesterError):
    """An invariant of ours broke: a defect of the program, never of its user."""

    exit_code, kind = 70, "internal"
