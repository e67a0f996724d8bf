"""Accept: configs are run, and what came out becomes what is expected from now on.

Place in the flow: `bt regress accept`. All baselines of one call are written, or none; the log of accepted changes comes last. Never
accepts what a data change may hide: that needs a word of its own.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backtester import pipeline
from backtester.atomic import commit, write_error
from backtester.comparing.baseline import CHANGES, NO_CACHE, Baseline, read, relative
from backtester.comparing.contents import contents_of
from backtester.config import load
from backtester.errors import DifferenceError, StrategyError, UsageError
from backtester.market.lake import Lake
from backtester.outcome.compare import Comparison
from backtester.outcome.compare_record import compare_record, file_name, made_of, record_of
from backtester.outcome.compare_text import cell, headline

HEAD = """# Accepted changes of results

What `bt regress accept` has written into these baselines, the newest at the end: when, why, and what changed by it.
"""


@dataclass(frozen=True)
class Accepted:
    """What became of one config: its baseline, `new`, `changed` or `unchanged`, and what changed in words."""

    baseline: Baseline
    state: str
    said: tuple[str, ...] = ()


def accept(
    configs: Sequence[Path], into: Path, reason: str, *, lake: Path | None = None, data_changed: bool = False, today: dt.date | None = None
) -> list[Accepted]:
    """Run the configs, write a baseline of each into a folder and log what changed; results that are the same stay as they are.

    Raises DifferenceError where the data are others than those of a baseline that would change and `data_changed` is not said,
    StrategyError where a strategy was stopped, UsageError where two configs have one name or no reason is given.
    """
    if not reason.strip():
        raise UsageError("no reason", where="--reason", action="say in a sentence why these results are right")
    names = [path.stem for path in configs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError("two configs of one name", where="CONFIG...", value=name, action="a baseline is named after its config")
    accepted = {"date": str(today or dt.date.today()), "reason": reason.strip()}
    found = [_accepted(path, into, accepted, lake, data_changed) for path in configs]
    fresh = [one for one in found if one.state != "unchanged"]
    if fresh:
        _make(into)
        for one in fresh:
            one.baseline.write()
        _log(into, accepted, fresh)
    return found


def _accepted(path: Path, into: Path, accepted: Mapping[str, str], lake: Path | None, data_changed: bool) -> Accepted:
    """One config run and held against its baseline, where there is one."""
    config = load(path, (NO_CACHE,), lake)
    place = into / f"{path.stem}.json"
    old = read(place) if place.exists() else None
    with tempfile.TemporaryDirectory(prefix="bt-accept-") as folder:
        run = pipeline.run(config, Path(folder) / "run")
        if run.manifest["identity"]["status"]:
            raise StrategyError("a strategy was stopped: no baseline of an incomplete run", where=str(path),
                                value="; ".join(run.manifest["execution"]["warnings"]))  # fmt: skip
        record = record_of(run, contents_of(run, Lake.open(config.lake)))
        baseline = Baseline(place, relative(path, into), None if lake is None else relative(lake, into), accepted, record)
        if old is None:
            return Accepted(baseline, "new", (f"{record['metrics']['trades']} trades", _worth(record)))
        found = compare_record(old.record, str(place), run, {}, replace(old, config=baseline.config).idle(run.config))
        grown = list(_grown(old.record, record))
        if found.same and (old.config, old.lake) == (baseline.config, baseline.lake) and not _config(found) and not grown:
            return Accepted(old, "unchanged")
        data = list(changed_data(old.record, record))
        if data and not data_changed:
            raise DifferenceError("the data changed too, so that the results prove nothing about the program", where=baseline.name,
                                  value="; ".join(data[:4]) + ("; ..." if len(data) > 4 else ""),
                                  action="restore the data, or accept both with --data-changed")  # fmt: skip
        return Accepted(baseline, "changed", (*_said(found, old.record, record, data), *grown))


def changed_data(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What of the market differs between two records: files with other bars, splits and dividends, calendar rows.

    A file that only one of them has read is none of it: the config asks for files.
    """
    old, new = made_of(was), made_of(now)
    before = {file_name(file): file["content"] for file in old["data"]["files"]}
    for file in new["data"]["files"]:
        if before.get(file_name(file), file["content"]) != file["content"]:
            yield file_name(file)
    if old["policies"].get("actions") != new["policies"].get("actions"):
        yield "splits and dividends"
    rows, others = ({str(row[0]): row[1:] for row in side["calendar"]["rows"]} for side in (old, new))
    yield from (f"calendar {label}" for label in rows if others.get(label, rows[label]) != rows[label])


def _grown(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Columns and figures that the program has made since, and that were not compared so far."""
    fresh = [f"{name}.{column}" for name, table in now["tables"].items() for column in table["columns"]
             if column not in was["tables"][name]["columns"]]  # fmt: skip
    fresh += [f"metrics.{name}" for name in now["metrics"] if name not in was["metrics"]]
    if fresh:
        yield f"kept from now on: {', '.join(fresh)}"


def _config(found: Comparison) -> bool:
    """Has the config changed in what can influence a result?"""
    return any(not item.idle for cause in found.causes if cause.group == "config" for item in cause.items)


def _said(found: Comparison, was: Mapping[str, Any], now: Mapping[str, Any], data: Sequence[str]) -> Iterator[str]:
    yield headline(found)
    trades = [side["metrics"]["trades"] for side in (was, now)]
    yield f"trades {trades[0]} before, {trades[1]} now"
    yield f"{_worth(was)} before, {_worth(now)} now"
    for cause in found.causes:
        if cause.group == "config":
            yield from (f"{item.name} {cell(item.a)} before, {cell(item.b)} now" for item in cause.items if not item.idle)
    if data:
        yield f"data changed: {', '.join(data[:4])}" + (f" and {len(data) - 4} more" if len(data) > 4 else "")


def _worth(record: Mapping[str, Any]) -> str:
    return f"final_equity {cell(record['metrics']['final_equity'])}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error


def _log(into: Path, accepted: Mapping[str, str], found: Sequence[Accepted]) -> None:
    """Add what was accepted to the log."""
    path = into / CHANGES
    before = path.read_text(encoding="utf-8") if path.exists() else HEAD
    lines = [f"\n## {accepted['date']}: {' '.join(accepted['reason'].split())}", ""]
    lines += [f"- {one.baseline.name}, {one.state}: {'; '.join(one.said)}" for one in found]
    content = (before + "\n".join(lines) + "\n").encode()

    def fill(temporary: Path) -> None:
        temporary.write_bytes(content)

    commit(path, fill)
