"""What went wrong with a query, in one line: DuckDB's own messages made short, with the nearest table or column.

Place in the flow: `ask` hands in every error that it meets. Never decides whether something is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from backtester.errors import DataError, InternalError, ResourceError, UsageError, did_you_mean, nearest

_TABLE = re.compile(r'Table with name (.+?) does not exist|Referenced table "(.+?)" not found')
_COLUMN = re.compile(r'Referenced column "(.+?)" (?:was )?not found|does not have a column named "(.+?)"|Column "(.+?)" does not exist')
_SUGGESTED = re.compile(r'Did you mean "(.+?)"')
_HEAD = re.compile(r"^(?:[A-Z]\w*(?: [A-Z]\w*)* Error|TransactionContext Error): ")
_DAMAGED = re.compile(r"get_next failed|corrupt|parquet|thrift|decompress", re.IGNORECASE)
_LONGEST = 200


def explained(error: BaseException, tables: Sequence[str], columns: Mapping[str, Sequence[str]]) -> BaseException:
    """The user's error for one of DuckDB, of pyarrow or of a stop; others are internal, and are returned as they are.

    tables: the names that there are; columns: those of each table, the tables in which a name is sought first standing first.
    """
    text = str(error)
    first = _HEAD.sub("", text.strip().split("\n")[0]).strip()
    stop = _stop(error)
    if stop is not None:
        return stop
    if "Out of Memory Error" in text or isinstance(error, MemoryError):
        return ResourceError("the query needs more memory than it may take", action="raise --memory, or ask for less at once")
    if not _is_duckdbs(error):
        return error
    if "INTERNAL Error" in text:
        return InternalError("DuckDB met an error of its own", value=_short(first))
    if (table := missing_table(error)) is not None:
        return UsageError(f"there is no table {table!r}", action=did_you_mean(table, tables))
    if found := _COLUMN.search(text):
        return _no_column(next(filter(None, found.groups())), columns)
    if re.search("file system operations are disabled|has been disabled by configuration|external extensions", text):
        return UsageError("a query reads the tables of the results, and no file", value=_short(first))
    if "read-only mode" in text:
        return UsageError("only a select can be asked", value="a statement that changes a table", action="results are never changed")
    if _DAMAGED.search(first) and not isinstance(error, _written_wrong()):
        return DataError("a table of the results cannot be read", value=_short(first), action="bt show RUN --verify finds it")
    like = _SUGGESTED.search(text)
    return UsageError("the query is wrong", value=_short(first), action=f'did you mean "{like[1]}"?' if like else None)


def _no_column(name: str, columns: Mapping[str, Sequence[str]]) -> UsageError:
    """A column that is nowhere, or in another table than those asked, which stand first."""
    what = f"there is no column {name!r}"
    if having := [table for table, names in columns.items() if name in names]:
        return UsageError(f"{what} in what is asked", action=f"tables that have one: {', '.join(having)}")
    for names in columns.values():
        if near := nearest(name, names):
            return UsageError(what, action=f"did you mean {near!r}?")
    return UsageError(what, action="bt sql RUN shows all columns")


def missing_table(error: BaseException) -> str | None:
    """The table that a query named and DuckDB did not find; None where that is not what went wrong."""
    found = _TABLE.search(str(error))
    return None if found is None else next(filter(None, found.groups()))


def _is_duckdbs(error: BaseException) -> bool:
    import duckdb
    import pyarrow as pa

    return isinstance(error, (duckdb.Error, pa.ArrowException, OSError))


def _written_wrong() -> tuple[type[BaseException], ...]:
    """Errors of a query's text, which no table's file can cause."""
    import duckdb

    return duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException


def _stop(error: BaseException) -> BaseException | None:
    """The stop that was asked for, where the error says that a query was interrupted."""
    if not (isinstance(error, RuntimeError) and "interrupted" in str(error).casefold()):
        return None
    cause = error.__cause__ or error.__context__
    return cause if isinstance(cause, KeyboardInterrupt) else KeyboardInterrupt()


def _short(text: str) -> str:
    plain = " ".join(text.replace("!", "").split())
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}..."
