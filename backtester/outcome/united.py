"""One table of many results: the rows of each on end, with a column `run`, columns united by name.

Place in the flow: `ask` shows these to DuckDB. Tables stay on disk and are read as far as a query needs them; figures and manifests
are small and are read whole. Never opens a file that `held` did not list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from backtester.errors import DataError
from backtester.outcome.held import EVIDENCE, Held, document

if TYPE_CHECKING:
    import pyarrow.dataset as ds

RUN = "run"
METRICS, MANIFEST, EVIDENCE_TABLE = "metrics", "manifest", "evidence"
DOCUMENTS = (METRICS, MANIFEST, EVIDENCE_TABLE)
_PAIRS = {RUN: pl.String(), "key": pl.String(), "value": pl.String()}


def names(results: Mapping[str, Held]) -> list[str]:
    """Names of the tables that the results have, in their order, then those made of their documents."""
    stored = dict.fromkeys(name for held in results.values() for name in held.tables if name not in DOCUMENTS)
    documents = [
        *([METRICS] if any(held.figures for held in results.values()) else []),
        *([MANIFEST] if any(held.manifest for held in results.values()) else []),
        *([EVIDENCE_TABLE] if any(held.kind == "sweep" for held in results.values()) else []),
    ]
    return [*stored, *documents]


def table(name: str, results: Mapping[str, Held]) -> ds.Dataset | pl.DataFrame:
    """The table of that name over all results that have it."""
    if name == METRICS:
        return metrics(results)
    if name == MANIFEST:
        return pairs((run, held.manifest) for run, held in results.items() if held.manifest)
    if name == EVIDENCE_TABLE:
        found = ((run, held.folder / EVIDENCE) for run, held in results.items() if held.kind == "sweep")
        return pairs((run, document(path)) for run, path in found if path.is_file() and not path.is_symlink())
    return dataset(name, results)


def dataset(name: str, results: Mapping[str, Held]) -> ds.Dataset:
    """A stored table of all results; a column that a result lacks is null there, one whose kinds differ takes what holds both.

    A column `run` of a result's own is hidden by the result's name. DataError names the file that cannot be read.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow.fs import LocalFileSystem

    files, form, parts, schemas = LocalFileSystem(), ds.ParquetFileFormat(), [], [pa.schema([(RUN, pa.string())])]
    for run, held in results.items():
        if name in held.tables:
            path = held.tables[name]
            try:
                part = form.make_fragment(str(path), filesystem=files, partition_expression=ds.field(RUN) == run)
                columns = part.physical_schema.remove_metadata()
            except (OSError, ValueError) as error:
                raise DataError("a table of the result cannot be read", where=str(path), value=str(error).splitlines()[0]) from error
            place = columns.get_field_index(RUN)
            schemas.append(columns if place < 0 else columns.remove(place))
            parts.append(part)
    try:
        united = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError("the results' tables do not fit together", where=f"table {name}", value=str(error).splitlines()[0]) from error
    return ds.FileSystemDataset(parts, united, form, files)


def metrics(results: Mapping[str, Held]) -> pl.DataFrame:
    """One row a result that has figures: the scalar ones, those of the benchmark with `benchmark_` before their names."""
    rows = [{RUN: run} | dict(_scalars(document(held.figures))) for run, held in results.items() if held.figures is not None]
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    schema = {name: pl.String() if name == RUN else _dtype(values) for name, values in columns.items()}
    return pl.DataFrame(columns or {RUN: []}, schema=schema or {RUN: pl.String()}, strict=False)


def pairs(documents: Iterator[tuple[str, Mapping[str, Any]]]) -> pl.DataFrame:
    """Documents as rows of run, key and value: keys dotted, text as it is, everything else as JSON."""
    rows = [(run, key, value) for run, found in documents for key, value in _flat("", found)]
    return pl.DataFrame(rows, schema=_PAIRS, orient="row")


def _scalars(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | int | None]]:
    for name, value in figures.items():
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            if prefix + name not in (RUN, "benchmark"):
                yield prefix + name, value
        elif name == "benchmark" and isinstance(value, Mapping) and not prefix:
            yield from _scalars(value, "benchmark_")


def _dtype(values: list[Any]) -> pl.DataType:
    known = [value for value in values if value is not None]
    return pl.Int64() if known and all(isinstance(value, int) for value in known) else pl.Float64()


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str | None]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif value is None or isinstance(value, str):
        yield prefix, None if value is None else value.encode("utf-8", "replace").decode()
    else:
        yield prefix, json.dumps(value)
