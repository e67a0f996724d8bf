"""A finished run, read from its folder: metrics, manifest, config and tables.

Place in the flow: what `bt.run` and `bt.load` return. Never writes, and reads a table only when it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from backtester.errors import DataError, OutputError, did_you_mean
from backtester.outcome.digests import metrics_digest, table_digest
from backtester.outcome.held import WALKS
from backtester.outcome.manifest import VERSION, result_key
from backtester.outcome.results import CONFIG, MANIFEST, METRICS
from backtester.outcome.writer import GROUP
from backtester.schema import KEPT_TABLES, RUN_TABLES


class Run:
    """One run's results. Two runs are equal where their result keys are: same config, data, strategies and results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the run was made of and what came out (see manifest.py)."""
        return _read_json(self.folder / MANIFEST)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Key figures; null where a figure has no meaning (see metrics.py)."""
        return _read_json(self.folder / METRICS)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        return _read_json(self.folder / CONFIG)

    @property
    def result_key(self) -> str:
        """The hash of all that must match between two runs of the same thing."""
        return str(self.manifest["identity"]["result_key"])

    @property
    def tables(self) -> list[str]:
        """Names of the tables that the run holds."""
        return list(self.manifest["results"]["tables"])

    def table(self, name: str) -> pl.DataFrame:
        """One table as a frame, columns and dtypes as in schema.py; DataError where there is none or it cannot be read."""
        path = self._path(name)
        try:
            return pl.read_parquet(path, glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise _damaged(path, str(error).splitlines()[0]) from error

    def sql(self, query: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """The answer to one select over the run's tables, its `metrics` and its `manifest`; docs/sql.md says what can be asked.

        `parameters` are bound to $names of the query. UsageError where the query is wrong or is no select.
        """
        from backtester.outcome.asking import sql  # DuckDB is heavy

        return sql(self, query, parameters)

    def verify(self) -> None:
        """Compare every file with what the manifest says; DataError naming those that differ. Memory stays flat."""
        bad = [f"{name}.parquet" for name in self.tables if self._digest(name) != self.manifest["results"]["tables"][name]["digest"]]
        if metrics_digest(self.metrics) != self.manifest["results"]["metrics"]:
            bad.append(METRICS)
        if self.config != self.manifest["config"]["resolved"]:
            bad.append(CONFIG)
        if result_key(self.manifest) != self.result_key:
            bad.append(MANIFEST)
        if bad:
            raise DataError(
                "a run's files are not what its manifest says", where=str(self.folder), value=", ".join(bad), action="run it again"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.result_key == other.result_key

    def __hash__(self) -> int:
        return hash(self.result_key)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, result_key={self.result_key[:12]!r})"

    def _path(self, name: str) -> Path:
        if name not in self.tables:
            raise DataError("the run has no such table", where=str(self.folder), value=name, action=did_you_mean(name, self.tables))
        return self.folder / f"{name}.parquet"

    def _digest(self, name: str) -> str:
        """The digest of a table as it lies on disk; "" where its columns are others."""
        import pyarrow.parquet as pq  # heavy

        path = self._path(name)
        try:
            with pq.ParquetFile(path) as file:
                table = (RUN_TABLES | KEPT_TABLES).get(name)
                if table is None or dict(pl.DataFrame(file.schema_arrow.empty_table()).schema) != table.dtypes:
                    return ""
                return table_digest(table, (pl.DataFrame(batch) for batch in file.iter_batches(GROUP)))
        except (OSError, ValueError) as error:  # pyarrow's own errors are one or the other
            raise _damaged(path, str(error).splitlines()[0]) from error


def load(folder: str | Path) -> Run:
    """The run in a folder; OutputError where there is no complete one, DataError where it is damaged or of another version."""
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise OutputError("there is no run here", where=str(place), action="give the folder of a finished run")
    if any((place / figures).is_file() for figures in WALKS):
        raise OutputError("this folder holds a walk, not a run", where=str(place), action="look at it with bt sql")
    if not (place / MANIFEST).is_file():
        raise OutputError("this folder holds no complete run", where=str(place), value=f"no {MANIFEST}", action="run it again")
    run = Run(place)
    identity = run.manifest.get("identity", {})
    if "sweep_key" in identity:
        raise OutputError(
            "this folder holds a sweep, not a run", where=str(place), action="look at it with bt sql; --keep-best N runs its best"
        )
    version = identity.get("manifest_version")
    if version != VERSION:
        raise DataError("the run was written in another form", where=str(place / MANIFEST), value=version, allowed=f"version {VERSION}")
    missing = [path.name for path in (place / METRICS, place / CONFIG, *map(run._path, run.tables)) if not path.is_file()]
    if missing:
        raise DataError("files of the run are missing", where=str(place), value=", ".join(missing), action="run it again")
    return run


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(value, dict):
        raise _damaged(path, type(value).__name__)
    return value


def _damaged(path: Path, why: str) -> DataError:
    return DataError("a file of the run cannot be read", where=str(path), value=why, action="run it again")
