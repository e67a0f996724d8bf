"""SQL over results: one select, in a DuckDB that has no way out.

Place in the flow: `bt sql`, `bt query` and `run.sql` call `ask`. The connection knows the results' tables and nothing else: it can open
no file at all, neither to read nor to write (pyarrow reads the tables for it), loads no extension, sees no Python variable, and its
settings are locked. Listing the tables' files as allowed would not do: a COPY inside a WITH passes for a select, and may write to what
may be read. Values are bound, never pasted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from backtester.errors import BacktesterError, DataError, UsageError
from backtester.outcome import united
from backtester.outcome.ask_errors import explained, missing_table
from backtester.outcome.held import Held
from backtester.outcome.settle import foreign, settled

if TYPE_CHECKING:
    import duckdb

ROWS = 65_536
"""Rows of an answer that are in hand at a time."""


@dataclass(frozen=True)
class Limits:
    """What a query may take: threads (sums of floats differ in their last bit from run to run with more than one), memory in bytes
    or as text ("2GB"; None: four fifths of the machine's).
    """

    threads: int = 1
    memory: int | str | None = None


class Answer:
    """The rows of a query, read once."""

    def __init__(self, columns: list[str], schema: pl.Schema, batches: Iterator[pl.DataFrame]) -> None:
        self.columns, self.schema, self._batches = columns, schema, batches

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Frames of at most ROWS rows, in order, all with `schema`."""
        return self._batches

    def frame(self) -> pl.DataFrame:
        """All rows."""
        return pl.concat([pl.DataFrame(schema=self.schema), *self._batches])


def ask(results: Mapping[str, Held], query: str, parameters: Mapping[str, Any] | None = None, limits: Limits | None = None) -> Answer:
    """The answer to one select over the results' tables, each with a column `run`.

    UsageError where the query is wrong, is no select or asks for a file; DataError where a table cannot be read; ResourceError where
    memory does not do. Errors of rows are raised as the answer is read.
    """
    known = united.names(results)
    connection, damaged = sandbox(limits or Limits()), {}
    try:
        _check(connection, query)
        damaged = _register(connection, _wanted(query, known), results)
        connection.execute("BEGIN TRANSACTION READ ONLY")
        relation = connection.sql(query, params=dict(parameters or {}))
        reader = _plain(relation).to_arrow_reader(ROWS)
    except Exception as error:
        raise _error(error, query, results, damaged) from error
    first = settled(pl.DataFrame(reader.schema.empty_table().rename_columns(_distinct(reader.schema.names))))

    def batches() -> Iterator[pl.DataFrame]:
        try:
            for batch in reader:
                yield settled(pl.DataFrame(batch.rename_columns(first.columns)))
        except Exception as error:
            raise _error(error, query, results) from error
        finally:
            connection.close()

    return Answer(first.columns, first.schema, batches())


def sandbox(limits: Limits) -> duckdb.DuckDBPyConnection:
    """An empty DuckDB in UTC that can open no file, load no extension, see no Python variable and change no setting."""
    import duckdb

    if limits.threads < 1:
        raise UsageError("not a number of threads", value=limits.threads, allowed="1 or more")
    allowed = 'bytes, or text such as "2GB", "512MB", "4GiB"'
    if str(limits.memory).strip().startswith("-") or limits.memory == 0:  # less than nothing is no limit to DuckDB
        raise UsageError("not an amount of memory", value=limits.memory, allowed=allowed)
    settings: dict[str, Any] = {"threads": int(limits.threads), "python_enable_replacements": False, "temp_directory": ""}
    if limits.memory is not None:
        settings["memory_limit"] = limits.memory if isinstance(limits.memory, str) else f"{limits.memory}B"
    try:
        connection = duckdb.connect(config=settings)
    except duckdb.Error as error:
        raise UsageError("not an amount of memory", value=limits.memory, allowed=allowed) from error
    # One by one, not with `connect`: that would allow files called :memory: and .tmp/ in the folder that the program stands in.
    for setting in (
        "SET TimeZone = 'UTC'",
        "SET enable_external_access = false",
        "SET autoload_known_extensions = false",
        "SET autoinstall_known_extensions = false",
        "SET allow_community_extensions = false",
        "SET disabled_filesystems = 'LocalFileSystem'",
        "SET lock_configuration = true",
    ):
        connection.execute(setting)
    return connection


def _check(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """UsageError where the text is anything but one select."""
    if "\0" in query or (not query.isascii() and any("\ud800" <= letter <= "\udfff" for letter in query)):
        raise UsageError("the query has a character that no text has", value="NUL" if "\0" in query else "half of a pair of surrogates")
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        said = "nothing" if not statements else f"{len(statements)} statements"
        raise UsageError("one select at a time can be asked", value=said, action='for example "select * from fills"')
    kind = statements[0].type.name
    if kind == "MULTI":
        raise UsageError("only a select can be asked", value="a PIVOT that names no values", action="write PIVOT ... ON column IN (...)")
    if kind != "SELECT":
        raise UsageError("only a select can be asked", value=f"a statement of kind {kind}", action="results are never changed")


def _wanted(query: str, known: list[str]) -> list[str]:
    """The tables whose names the text holds; all where it holds none, for it may ask which there are."""
    words = set(re.findall(r"\w+", query.casefold()))
    return [name for name in known if name in words] or known


def _register(connection: duckdb.DuckDBPyConnection, names: list[str], results: Mapping[str, Held]) -> dict[str, DataError]:
    """Show tables to the connection; those that cannot be read are returned with the reason, for the query may not need them."""
    damaged = {}
    for name in names:
        try:
            found = united.table(name, results)
        except DataError as error:
            damaged[name] = error
        else:
            connection.register(name, found.to_arrow() if isinstance(found, pl.DataFrame) else found)
    return damaged


def _plain(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The relation, columns of kinds that polars does not have as text."""
    import duckdb

    if not any(foreign(kind) for kind in relation.types):
        return relation
    if len({name.casefold() for name in relation.columns}) < len(relation.columns):
        raise UsageError("columns of the answer have the same name", value=", ".join(relation.columns), action="name them with AS")
    own = [
        duckdb.ColumnExpression(name).cast(duckdb.sqltypes.VARCHAR).alias(name) if foreign(kind) else duckdb.ColumnExpression(name)
        for name, kind in zip(relation.columns, relation.types, strict=True)
    ]
    return relation.select(*own)


def _distinct(names: list[str]) -> list[str]:
    """Names that differ: a, a becomes a, a_1."""
    made: list[str] = []
    for name in names:
        tries = (name if n == 0 else f"{name}_{n}" for n in range(len(names) + 1))
        made.append(next(each for each in tries if each not in made and (each == name or each not in names)))
    return made


def _error(error: Exception, query: str, results: Mapping[str, Held], damaged: Mapping[str, DataError] | None = None) -> BaseException:
    """The user's error for one that was met while a query was bound or answered; names are sought in the query's own tables first."""
    if isinstance(error, BacktesterError):
        return error
    missing = missing_table(error)
    if damaged and missing is not None and missing in damaged:
        return damaged[missing]
    known = united.names(results)
    asked = _wanted(query, known)
    return explained(error, known, {name: _columns(name, results) for name in (*asked, *known)})


def _columns(name: str, results: Mapping[str, Held]) -> list[str]:
    """Names of a table's columns; none where it cannot be read."""
    try:
        found = united.table(name, results)
    except DataError:
        return []
    return found.columns if isinstance(found, pl.DataFrame) else list(found.schema.names)
