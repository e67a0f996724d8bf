"""Folds: which sessions to choose parameters on and which to judge them on; walk-forward windows and combinatorial purged cross-validation.

Place in the flow: the lowest floor; what runs many trials asks here for indices of sessions, 0 being the first. Never knows dates,
returns or strategies.

Purge: sessions next to a test that are not trained on, because what is learnt there (a position, a rolling window) reaches into the
test. Embargo: further sessions after a test that are not trained on, because what happened in the test lives on in them.

    rolling     train 0 1 2 3 | purge 4 | test 5 6        anchored    train 0 1 2 3     | purge 4 | test 5 6
                    train 2 3 4 5 | purge 6 | test 7 8                train 0 1 2 3 4 5 | purge 6 | test 7 8
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from backtester.columns import Ints
from backtester.errors import ConfigError

MOST_CHOICES = 10_000
"""Each choice of test folds is a search of its own."""


@dataclass(frozen=True)
class Window:
    """Sessions to choose on, then sessions to judge on."""

    train: range
    test: range


@dataclass(frozen=True, eq=False)
class Choice:
    """The folds that are judged on, their sessions, and the sessions chosen on, int64, ascending, shape (train,)."""

    folds: tuple[int, ...]
    tests: tuple[range, ...]
    train: Ints


@dataclass(frozen=True, eq=False)
class Combinations:
    """Every choice of test folds.

    folds: the sessions of each; choices: in the order of their folds, (0, 1) first; paths, int64, shape (paths, folds): the choice
    whose test of a fold belongs to a path, so that each path judges every session once and each test is in one path.
    """

    folds: tuple[range, ...]
    choices: tuple[Choice, ...]
    paths: Ints


def walk_forward(
    sessions: int, train: int, test: int, step: int | None = None, *, anchored: bool = False, purge: int = 0, partial: bool = False
) -> list[Window]:
    """Windows of `train` sessions and the `test` sessions after them, each `step` (or else `test`) sessions after the one before.

    anchored: training always begins at session 0, and grows by `step`. purge: sessions left out between training and test. partial: a
    last test of fewer sessions is kept. There is no embargo, since no window trains on what comes after its own test.
    ConfigError for sizes out of bounds or a first window that does not fit.
    Source: Pardo (2008), "The Evaluation and Optimization of Trading Strategies", chapter 11.

    >>> walk_forward(7, 3, 2)
    [Window(train=range(0, 3), test=range(3, 5)), Window(train=range(2, 5), test=range(5, 7))]
    """
    step = test if step is None else step
    _at_least({"train": (train, 1), "test": (test, 1), "step": (step, 1), "purge": (purge, 0)})
    needed = train + purge + (1 if partial else test)
    if sessions < needed:
        sizes = f"{train} train, {purge} purge, {test} test"
        raise ConfigError(
            "no window fits",
            where="walk forward",
            value=f"{sessions} sessions",
            allowed=f"{needed} or more for {sizes}",
            action="shorten one",
        )
    starts = range(train + purge, sessions if partial else sessions - test + 1, step)
    ends = [start - purge for start in starts]
    return [
        Window(range(0 if anchored else end - train, end), range(start, min(start + test, sessions)))
        for start, end in zip(starts, ends, strict=True)
    ]


def combinatorial(sessions: int, folds: int, tests: int, *, purge: int = 0, embargo: int = 0) -> Combinations:
    """Sessions in `folds` folds, `tests` of them judged on: C(folds, tests) choices, C(folds - 1, tests - 1) paths.

    Folds follow each other; where they cannot be equal, the first ones have one session more. Not trained on are the `purge` sessions
    before and the `purge + embargo` sessions after each test fold. ConfigError for sizes out of bounds, for more than MOST_CHOICES
    choices, and where a choice leaves no session left to train on.
    Source: Lopez de Prado (2018), "Advances in Financial Machine Learning", sections 7.4 (purge, embargo) and 12.3 to 12.4 (paths).
    """
    _at_least(
        {"tests": (tests, 1), "folds": (folds, tests + 1), "sessions": (sessions, folds), "purge": (purge, 0), "embargo": (embargo, 0)}
    )
    if math.comb(folds, tests) > MOST_CHOICES:
        raise ConfigError(
            "too many choices of test folds",
            where="folds",
            value=f"{math.comb(folds, tests):,}",
            allowed=f"{MOST_CHOICES:,} or fewer",
            action="use fewer folds",
        )
    edges = [fold * (sessions // folds) + min(fold, sessions % folds) for fold in range(folds + 1)]
    parts = tuple(range(first, last) for first, last in pairwise(edges))
    choices = tuple(_choice(sessions, parts, chosen, purge, embargo) for chosen in combinations(range(folds), tests))
    judged = [[place for place, choice in enumerate(choices) if fold in choice.folds] for fold in range(folds)]
    return Combinations(parts, choices, np.array(judged, np.int64).T)


def _choice(sessions: int, parts: tuple[range, ...], chosen: tuple[int, ...], purge: int, embargo: int) -> Choice:
    kept = np.ones(sessions, np.bool_)
    for fold in chosen:
        kept[max(0, parts[fold].start - purge) : parts[fold].stop + purge + embargo] = False
    if not kept.any():
        raise ConfigError(
            "no session is left to train on",
            where=f"test folds {', '.join(map(str, chosen))}",
            value=f"{sessions} sessions, purge {purge}, embargo {embargo}",
            action="use fewer test folds, a smaller purge or a smaller embargo",
        )
    return Choice(chosen, tuple(parts[fold] for fold in chosen), np.flatnonzero(kept))


def _at_least(sizes: dict[str, tuple[int, int]]) -> None:
    for name, (value, least) in sizes.items():
        if value < least:
            raise ConfigError("cannot cut sessions", where=name, value=value, allowed=f"{least} or more")
