"""The verdict of an audit: one row for each check of each strategy, indicator and interval.

Place in the flow: the checks add to a Book, the command prints the Verdict. Never checks anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

CHECKS = {
    "runs": "every session without an error",
    "prefix cut": "later bars taken away before anything is made of the rest",
    "future missing": "later bars replaced by nothing",
    "future noise": "later bars multiplied by noise",
    "future mirrored": "later bars of a market that falls where this one rose",
    "one session at a time": "each session read, prepared and asked alone",
    "one symbol at a time": "each symbol asked alone",
    "rows reversed": "symbols in reversed order",
    "asked twice": "the same call again",
    "another process": "the whole run again in a process with another hash seed",
    "calls shuffled": "sessions one by one in another order",
    "inputs unchanged": "columns after the call as before it",
    "history x2": "twice the history that is declared",
    "history x4": "four times the history that is declared",
}
"""Check -> what is done."""
REPORTED = ("history x2", "history x4")
"""What these find is told and is no leak: an average without end never settles to the last bit."""


@dataclass(frozen=True)
class First:
    """The first thing that differs: symbol, session, ts (open of the base slot, UTC), slot (None: the session), and both values."""

    symbol: str | None
    session: str
    ts: str | None
    slot: int | None
    usual: str
    other: str


@dataclass(frozen=True)
class Row:
    """One check of one subject: how often it looked (cuts, calls, sessions; of more history: rows), how many rows differ, the first,
    the largest change of a number that more history brings, as a part of it, and a remark.
    """

    check: str
    subject: str
    looks: int
    differences: int
    first: First | None
    change: float = 0.0
    note: str = ""

    @property
    def leaks(self) -> bool:
        """Whether it fails the audit."""
        return self.differences > 0 and self.check not in REPORTED


@dataclass(frozen=True)
class Verdict:
    """What an audit found: its seed, sessions and cuts (at random, and at changes of signals), and all rows."""

    seed: int
    sessions: int
    random_cuts: int
    change_cuts: int
    rows: Sequence[Row]

    @property
    def clean(self) -> bool:
        """True where nothing leaks."""
        return not any(row.leaks for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """The verdict as plain values."""
        return asdict(self) | {"clean": self.clean, "rows": [asdict(row) | {"leaks": row.leaks} for row in self.rows]}


@dataclass
class Book:
    """Collects rows while the audit goes."""

    held: dict[tuple[str, str], Row] = field(default_factory=dict)

    def add(
        self,
        check: str,
        subject: str,
        differences: int = 0,
        first: First | None = None,
        *,
        looks: int = 1,
        change: float = 0.0,
        note: str = "",
    ) -> None:
        """Count more looks of a check at a subject; the first difference stays, and the largest change."""
        old = self.held.get((check, subject), Row(check, subject, 0, 0, None))
        self.held[check, subject] = Row(
            check, subject, old.looks + looks, old.differences + differences, old.first or first, max(old.change, change), note or old.note
        )

    def rows(self) -> list[Row]:
        """All rows: strategies first, each with its checks in their order."""
        order = list(CHECKS)
        kinds = ("strategy", "indicator", "historical", "bars")
        return sorted(self.held.values(), key=lambda row: (kinds.index(row.subject.split(" ", 1)[0]), row.subject, order.index(row.check)))
