"""The manifest: what a run was made of and what came out, and the one key that tells whether two runs must be, and are, equal.

Place in the flow: the pipeline hands in plain facts, `build` orders them in groups, `RunFolder.publish` writes them last.
Never measures anything: times, counts and digests are given.

`identity.result_key` is the SHA-256 of what must match between two runs of the same thing: the config's digest, strategy sources,
data fingerprints, calendar rows, policies, all result digests. Timings, paths, threads, prefetch, workers, run_id, host, dates,
libraries and program stay out of it: they explain a difference, they are not one.
"""

from __future__ import annotations

import datetime as dt
import platform
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from backtester.outcome.digests import json_digest, metrics_digest, plain
from backtester.outcome.environment import environment, libraries, program
from backtester.outcome.results import Sealed
from backtester.schema import RUN_TABLES

VERSION = 1


@dataclass(frozen=True)
class Facts:
    """What the pipeline knows of a run, as plain values.

    config      the resolved config, without secrets; config_digest is that of all in it that can influence a result
    strategies  one mapping each: name, use, params, lookback, inputs, sources [{path, sha256}], seed
    files       one mapping each: kind, interval, session, path (in the lake), bytes, rows, first_ts, last_ts, sha256
    actions     the lake's file of splits and dividends: path, rows, bytes, sha256; None where it has none. Recorded only:
                what acts on the run is in policies.actions, a digest of those rows
    streams     one mapping each: stream, mark (STREAMED, GENERATED, IGNORED), reason
    calendar    name, timezone, version, digest, sessions_per_year, rows [[session, open, close], ...]
    execution   prefetch_days, threads, chunks, peaks: recorded only
    policies    fill, price, intrabar, costs, quality, rounding, annualization ...
    counts      rows after each stage; timings in seconds; warnings as sentences; started and finished in UTC
    """

    config: Mapping[str, Any]
    config_digest: str
    strategies: Sequence[Mapping[str, Any]]
    files: Sequence[Mapping[str, Any]]
    calendar: Mapping[str, Any]
    policies: Mapping[str, Any]
    started: dt.datetime
    finished: dt.datetime
    status: int = 0
    actions: Mapping[str, Any] | None = None
    streams: Sequence[Mapping[str, Any]] = ()
    execution: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def build(facts: Facts, sealed: Sealed, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a run, ready for `RunFolder.publish`."""
    groups: dict[str, Any] = {
        "program": program(),
        "environment": environment(),
        "libraries": libraries(),
        "config": {"digest": facts.config_digest, "resolved": plain(facts.config)},
        "strategies": plain(facts.strategies),
        "data": {"files": plain(facts.files), "actions": plain(facts.actions), "streams": plain(facts.streams)},
        "calendar": plain(facts.calendar),
        "execution": plain(facts.execution) | {"warnings": list(facts.warnings)},
        "policies": plain(facts.policies),
        "results": {
            "tables": {name: asdict(stored) for name, stored in sealed.tables.items()},
            "stages": dict(sealed.stages),
            "metrics": metrics_digest(plain(metrics)),
        },
        "counts": plain(facts.counts),
        "timings": plain(facts.timings),
    }
    identity = {
        "manifest_version": VERSION,
        "run_id": secrets.token_hex(8),
        "result_key": result_key(groups),
        "started": facts.started.isoformat(),
        "finished": facts.finished.isoformat(),
        "status": facts.status,
        "host": platform.node(),
    }
    return {"identity": identity, **groups}


def result_key(manifest: Mapping[str, Any]) -> str:
    """The key over the groups of a manifest that must match; see the module."""
    results = manifest["results"]
    return json_digest(
        {
            "config": manifest["config"]["digest"],
            "strategies": [_strategy_key(strategy) for strategy in manifest["strategies"]],
            "data": sorted(
                [str(file.get(name)) for name in ("kind", "interval", "session", "sha256")] for file in manifest["data"]["files"]
            ),
            "calendar": [manifest["calendar"].get("name"), manifest["calendar"].get("digest")],
            "policies": manifest["policies"],
            "results": {
                "tables": {name: [stored["rows"], stored["digest"]] for name, stored in results["tables"].items() if name in RUN_TABLES},
                "stages": results["stages"],
                "metrics": results["metrics"],
            },
        }
    )


def _strategy_key(strategy: Mapping[str, Any]) -> dict[str, Any]:
    """A strategy without the places of its files: name, use, parameters and the digests of its sources."""
    kept = {name: value for name, value in strategy.items() if name not in ("sources", "use", "entry")}
    sources = sorted(str(source["sha256"]) for source in strategy.get("sources", ()))
    return kept | {"use": without_folder(str(strategy.get("use"))), "sources": sources}


def without_folder(use: str) -> str:
    """`folder/file.py:Class` without its folder: where a strategy's file lies says nothing about it, its own digest does.

    >>> without_folder("../mine/cross.py:Cross"), without_folder("sma_crossover")
    ('cross.py:Cross', 'sma_crossover')
    """
    return re.split(r"[/\\]", use)[-1]
