"""Variants: the settings of machine and process under which a result must not change.

Place in the flow: `bt regress check` runs every baseline once a variant, each variant in processes of its own. Never runs anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from backtester.errors import UsageError

MOST_THREADS = 1024
MOST_SEED = 4_294_967_295


@dataclass(frozen=True)
class Variant:
    """One set of settings; None: as it is. hash_seed: a number or `random`; zone: of the process, as Asia/Tokyo."""

    threads: int | None = None
    prefetch: int | None = None
    hash_seed: str | None = None
    zone: str | None = None

    @property
    def name(self) -> str:
        """The settings in words, "" where none is set."""
        words = {"threads": self.threads, "prefetch": self.prefetch, "hash seed": self.hash_seed, "zone": self.zone}
        return ", ".join(f"{word} {value}" for word, value in words.items() if value is not None)

    @property
    def changes(self) -> list[str]:
        """What of a config it sets, none of which can influence a result."""
        given = (("resources.threads", self.threads), ("backtest_config.prefetch_days", self.prefetch))
        return [f"{path}={value}" for path, value in given if value is not None]

    @property
    def environment(self) -> dict[str, str]:
        """What of a process's environment it sets, before the interpreter starts."""
        threads = {"POLARS_MAX_THREADS": self.threads, "OMP_NUM_THREADS": self.threads}
        others: Mapping[str, object] = {"PYTHONHASHSEED": self.hash_seed, "TZ": self.zone}
        return {name: str(value) for name, value in {**threads, **others}.items() if value is not None}


def variants(
    threads: Sequence[int] = (),
    prefetch: Sequence[int] = (),
    hash_seeds: Sequence[str] = (),
    zones: Sequence[str] = (),
    *,
    cross: bool = False,
) -> list[Variant]:
    """The variants of some lists: the first of each together, the second of each, ... with short lists begun again; cross: all of all.

    >>> [variant.name for variant in variants([1, 2], [1, 7], ["0"])]
    ['threads 1, prefetch 1, hash seed 0', 'threads 2, prefetch 7, hash seed 0']
    """
    _check(threads, prefetch, hash_seeds, zones)
    lists = _some(threads), _some(prefetch), _some(hash_seeds), _some(zones)
    if cross:
        return [Variant(*values) for values in itertools.product(*lists)]
    count = max(map(len, lists))
    return [Variant(*values) for values in itertools.islice(zip(*map(itertools.cycle, lists), strict=False), count)]


def _some(values: Sequence[Any]) -> list[Any]:
    """The values, or None alone: as it is."""
    return list(values) or [None]


def _check(threads: Sequence[int], prefetch: Sequence[int], hash_seeds: Sequence[str], zones: Sequence[str]) -> None:
    """UsageError for values that mean nothing."""
    for option, numbers, most in (("--threads", threads, MOST_THREADS), ("--prefetch", prefetch, 100_000)):
        for number in numbers:
            if not 1 <= number <= most:
                raise UsageError("not a number that can be used", where=option, value=number, allowed=f"1 to {most}")
    for seed in hash_seeds:
        if seed != "random" and not (seed.isascii() and seed.isdigit() and int(seed) <= MOST_SEED):
            raise UsageError("not a hash seed", where="--hash-seeds", value=seed, allowed=f"random, or 0 to {MOST_SEED}")
    known = available_timezones() if zones else set()
    for zone in zones:
        if zone not in known:
            raise UsageError("no such time zone", where="--zones", value=zone, allowed="such as UTC or Asia/Tokyo")
