"""A sweep's folder: finished blocks on disk before they count, and the whole table at the end.

Place in the flow: `sweep` claims it, adds blocks as engines end them, and publishes. A killed sweep leaves its plan and its blocks;
`resume` goes on from there. The manifest is written last: its presence means complete. Never runs a trial.

    plan.json                               what is swept: must be equal for a resume
    blocks/<first trial>-<token>.parquet    rows of the table of trials; beside it .equity.parquet, written before it
    trials.parquet, trial_equity.parquet, evidence.json, config.json, manifest.json     the result; the blocks are gone then
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl

from backtester.atomic import commit, is_temporary, remove_leftovers, write_error
from backtester.errors import OutputError
from backtester.outcome.differences import differences, listed
from backtester.outcome.digests import plain
from backtester.outcome.lock import Lock, take
from backtester.sweeping.tables import EQUITY_SCHEMA

PLAN, MANIFEST, CONFIG, BLOCKS = "plan.json", "manifest.json", "config.json", "blocks"
TRIALS, EQUITY, EVIDENCE = "trials.parquet", "trial_equity.parquet", "evidence.json"


@dataclass(frozen=True)
class SweepRun:
    """A finished sweep: its folder, its manifest, its tables."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def trials(self) -> pl.DataFrame:
        """One row a trial, in the order of the search."""
        return pl.read_parquet(self.folder / TRIALS)

    @property
    def equity(self) -> pl.DataFrame:
        """One row a trial and session."""
        return pl.read_parquet(self.folder / EQUITY)

    def sql(self, query: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """The answer to one select over `trials`, `trial_equity`, `evidence` and `manifest`; see `Run.sql`."""
        from backtester.outcome.asking import sql  # DuckDB is heavy

        return sql(self, query, parameters)

    @property
    def first_failed(self) -> tuple[int, str] | None:
        """The first trial that failed, and its error; None where none did."""
        failed = self.trials.filter(pl.col("error").is_not_null()).select("trial", "error")
        return None if failed.is_empty() else failed.row(0)

    @property
    def evidence(self) -> dict[str, Any]:
        """How much of the best trial's result may be luck; docs/sweeps.md has the keys."""
        found: dict[str, Any] = json.loads((self.folder / EVIDENCE).read_bytes())
        return found


class SweepFolder:
    """The folder of a sweep under way; use it in a `with` block. What is done stays when the block is left."""

    def __init__(self, path: Path, lock: Lock) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def claim(cls, out: Path, plan: Mapping[str, Any], *, force: bool, resume: bool) -> SweepFolder:
        """Reserve `out`. OutputError where it holds a sweep and neither `force` nor `resume` is asked for, where what is to be resumed
        is another sweep, or where it holds anything else or is locked.
        """
        path = Path(out).expanduser().absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(path.parent, error) from error
        lock = take(path.with_name(f".{path.name}.lock"), path)
        try:
            _prepare(path, plain(plan), force, resume)
        except BaseException:
            lock.release()
            raise
        return cls(path, lock)

    def trials(self, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
        """The rows of all blocks on disk, each trial once, sorted."""
        frames = [pl.read_parquet(path).filter(pl.col("trial").is_in(own)) for path, own in self._owners()]
        return pl.concat([pl.DataFrame(schema=schema), *frames]).sort("trial")

    def add(self, trials: pl.DataFrame, equity: pl.DataFrame) -> None:
        """Put a block on disk: when this returns, its trials are done for good."""
        stem = f"{int(trials['trial'][0]):010}-{secrets.token_hex(4)}"
        folder = self.path / BLOCKS
        commit(folder / f"{stem}.equity.parquet", writer(equity))
        commit(folder / f"{stem}.parquet", writer(trials))

    def publish(
        self,
        trials: pl.DataFrame,
        equity: pl.DataFrame,
        evidence: Mapping[str, Any],
        manifest: Mapping[str, Any],
        config: Mapping[str, Any],
    ) -> SweepRun:
        """Write the whole tables, the evidence, the config and, last, the manifest; the blocks go."""
        commit(self.path / EQUITY, writer(equity))
        commit(self.path / TRIALS, writer(trials))
        write_json(self.path / EVIDENCE, evidence)
        write_json(self.path / CONFIG, config)
        self._lock.confirm()
        write_json(self.path / MANIFEST, manifest)
        shutil.rmtree(self.path / BLOCKS, ignore_errors=True)
        return load(self.path)

    def equity(self) -> pl.DataFrame:
        """The equity of all blocks on disk."""
        frames = []
        for path, own in self._owners():
            frames.append(pl.read_parquet(path.with_name(f"{path.stem}.equity.parquet")).filter(pl.col("trial").is_in(own)))
        equity = pl.concat([pl.DataFrame(schema=EQUITY_SCHEMA), *frames])
        return equity if equity["trial"].is_sorted() else equity.sort("trial", "session")  # a sort of all takes more memory than all

    def _owners(self) -> Iterator[tuple[Path, list[int]]]:
        """Each block with those of its trials that no block before it has."""
        known: set[int] = set()
        for path in self._blocks():
            own = [number for number in pl.read_parquet(path, columns=["trial"])["trial"].to_list() if number not in known]
            known.update(own)
            yield path, own

    def __enter__(self) -> SweepFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()

    def _blocks(self) -> list[Path]:
        """Blocks of trials on disk, by their first trial; one without its equity was never written, for equity comes first."""
        return sorted(path for path in (self.path / BLOCKS).glob("*.parquet") if not path.name.endswith(".equity.parquet"))


def load(folder: str | Path) -> SweepRun:
    """The finished sweep in a folder. Raises OutputError where there is none."""
    path = Path(folder)
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or "sweep_key" not in manifest.get("identity", {}):
        raise OutputError("no finished sweep in this folder", where=str(path), action="bt sweep CONFIG --resume finishes one")
    return SweepRun(path, manifest)


def _prepare(path: Path, plan: Mapping[str, Any], force: bool, resume: bool) -> None:
    """Leave a folder with the plan and what is done of it."""
    if path.exists() and not path.is_dir():
        raise OutputError("the result's place is a file", where=str(path), action="choose another place")
    if path.is_dir() and not all(is_temporary(inside) for inside in path.iterdir()):
        _check(path, plan, force, resume)
        if force and not resume:
            shutil.rmtree(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        if not (path / PLAN).exists():  # before all else: a folder without it is not a sweep's
            write_json(path / PLAN, plan)
        (path / BLOCKS).mkdir(exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    remove_leftovers(path / BLOCKS)


def _check(path: Path, plan: Mapping[str, Any], force: bool, resume: bool) -> None:
    try:
        before = json.loads((path / PLAN).read_bytes())
    except FileNotFoundError:
        raise OutputError(
            "the result's place holds something that is not a sweep", where=str(path), action="choose another place"
        ) from None
    except (OSError, ValueError) as error:
        raise OutputError("the sweep's plan cannot be read", where=str(path / PLAN), value=str(error), action="use --force") from error
    if resume:
        changed = differences(before, plan)
        if changed:
            raise OutputError(
                "what was begun is another sweep", where=str(path), value=listed(changed), action="choose another place, or use --force"
            )
        if (path / MANIFEST).exists():
            raise OutputError("the sweep is complete", where=str(path), action="look at it, choose another place, or use --force")
    elif not force:
        state = "a complete sweep" if (path / MANIFEST).exists() else "a sweep that was begun"
        raise OutputError(f"the result's place holds {state}", where=str(path), action="choose another place, or use --resume or --force")


def writer(rows: pl.DataFrame) -> Callable[[Path], None]:
    """What fills a file with a table, for `commit`."""
    return lambda path: rows.write_parquet(path, compression="zstd")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a value as JSON that people can read, too, whole or not at all."""
    content = (json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    commit(path, write)
