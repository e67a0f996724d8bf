"""The lake: one Parquet file a session and interval, and the catalog that vouches for them.

Place in the flow: every run reads the lake through its catalog. Only change.py writes day files. Never infers a schema,
never looks for files by pattern: what the catalog does not list does not exist.

    <lake>/catalog.parquet                    a row a file
    <lake>/bars/1m/2025-07-02.parquet         all symbols, sorted by (symbol, ts)
    <lake>/quotes/1m/2025-07-02.parquet
    <lake>/actions.parquet                    splits and dividends of all symbols (actions.py)
    <lake>/calendar_overrides.json            corrections of a calendar, where the user wrote some

A file that an import has finished but not yet put in its place stands under its temporary name; the catalog's column
`staged` says so, and opening the lake finds it there. So a killed import leaves the old lake or the new one, never a mix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from backtester.atomic import commit
from backtester.errors import DataError
from backtester.market.calendar_overrides import OVERRIDES_FILE
from backtester.schema import BARS, QUOTES

Kind = Literal["bars", "quotes"]
KINDS: tuple[Kind, ...] = ("bars", "quotes")
TABLES = {"bars": BARS, "quotes": QUOTES}
OPTIONAL = {"vwap": pl.Float64(), "trades": pl.Int64()}
"""Columns that a bars file may hold beside the declared ones."""

ACTIONS = "actions"
"""The catalog's kind of the file of splits and dividends: one a lake, of no interval and no session."""
ACTIONS_FILE = "actions.parquet"

CATALOG = "catalog.parquet"
IMPORT_AGAIN = "import the session again with --replace, or run bt data verify"
ACTIONS_AGAIN = "restore it, or take all out with bt data actions remove --all and add them again"

READ_ERRORS = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
_INSTANT = pl.Datetime("us", "UTC")
CATALOG_COLUMNS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "interval": pl.String(),
    "session": pl.Date(),
    "path": pl.String(),
    "symbols": pl.List(pl.String()),
    "rows": pl.Int64(),
    "first_ts": _INSTANT,
    "last_ts": _INSTANT,
    "bytes": pl.Int64(),
    "sha256": pl.String(),
    "staged": pl.String(),
}
_ORDER = ["kind", "interval", "session"]
_IS_ACTIONS = pl.col("kind") == ACTIONS
_DAY = pl.col("session").dt.to_string("%Y-%m-%d")
_ADDRESS = pl.when(_IS_ACTIONS).then(pl.lit(ACTIONS_FILE)).otherwise(pl.format("{}/{}/{}.parquet", "kind", "interval", _DAY))
_STAGED = pl.when(_IS_ACTIONS).then(pl.lit(f".{ACTIONS_FILE}.")).otherwise(pl.format("{}/{}/.{}.parquet.", "kind", "interval", _DAY))


@dataclass(frozen=True)
class Lake:
    """An open lake: its folder and its catalog.

    catalog: one row a file, sorted by (kind, interval, session): kind ('bars', 'quotes' or 'actions'), interval, session (Date), path
    (relative to root), symbols (sorted list of text), rows, first_ts, last_ts (instants), bytes, sha256 (hex). The one row of the
    actions has no interval (''), session, first_ts and last_ts.
    """

    root: Path
    catalog: pl.DataFrame

    @classmethod
    def open(cls, path: Path) -> Lake:
        """The lake in the folder `path`. Raises DataError where there is none or its catalog is damaged."""
        root = Path(path)
        action = "make one with bt data import or bt data simulate"
        if not root.is_dir():
            raise DataError("there is no lake", where=str(root), value="no such folder", action=action)
        if not (root / CATALOG).is_file():
            raise DataError("there is no lake", where=str(root), value=f"a folder without {CATALOG}", action=action)
        catalog = read_catalog(root)
        if catalog["staged"].null_count() < len(catalog):
            catalog = catalog.with_columns(path=_standing(root, catalog))
        return cls(root, catalog.drop("staged"))

    @cached_property
    def _facts(self) -> dict[str, tuple[int, str]]:
        """Path -> (bytes, sha256)."""
        columns = (self.catalog[name] for name in ("path", "bytes", "sha256"))
        return {path: (size, digest) for path, size, digest in zip(*columns, strict=True)}

    @property
    def overrides(self) -> Path | None:
        """The lake's corrections of a calendar, or None where the user wrote none."""
        path = self.root / OVERRIDES_FILE
        return path if path.is_file() else None

    @property
    def actions(self) -> dict[str, Any] | None:
        """The catalog's row of the lake's splits and dividends, or None where it has none; actions.py reads the file."""
        rows = self.catalog.filter(_IS_ACTIONS)
        return rows.row(0, named=True) if len(rows) else None

    def files(self, kind: Kind, interval: str, labels: NDArray[np.datetime64] | Sequence[Any] | None = None) -> pl.DataFrame:
        """The catalog's rows of one kind and interval in session order; `labels` (datetime64[D]) leaves only these sessions."""
        rows = self.catalog.filter((pl.col("kind") == kind) & (pl.col("interval") == interval))
        if labels is None:
            return rows
        wanted = pl.Series("session", np.asarray(labels, "datetime64[D]")).to_frame()
        return rows.join(wanted, on="session", how="semi", maintain_order="left")

    def intervals(self, kind: Kind) -> list[str]:
        """The intervals stored of one kind, by name."""
        return sorted(self.catalog.filter(pl.col("kind") == kind)["interval"].unique().to_list())

    def symbols(self, kind: Kind, interval: str) -> list[str]:
        """The symbols stored of one kind and interval, by name."""
        return sorted(self.files(kind, interval)["symbols"].explode().drop_nulls().unique().to_list())

    def summary(self) -> list[dict[str, Any]]:
        """What is stored: one object a kind and interval with symbols, sessions, rows, first and last session and bar, bytes."""
        found = []
        days = self.catalog.filter(~_IS_ACTIONS)
        for kind, interval in days.select("kind", "interval").unique().sort("kind", "interval").iter_rows():
            files = self.files(kind, interval)
            found.append(
                {
                    "kind": kind,
                    "interval": interval,
                    "symbols": self.symbols(kind, interval),
                    "sessions": len(files),
                    "rows": int(files["rows"].sum()),
                    "first_session": files["session"].min(),
                    "last_session": files["session"].max(),
                    "first_ts": files["first_ts"].min(),
                    "last_ts": files["last_ts"].max(),
                    "bytes": int(files["bytes"].sum()),
                }
            )
        return found

    def check(self, path: str, how: Literal["hash", "size", "off"] = "hash") -> None:
        """Compare one file with the catalog. Raises DataError where it is gone, of another size or of another content.

        Hashing lets other threads run meanwhile.
        """
        if how == "off":
            return
        facts = self._facts.get(path)
        if facts is None:
            raise DataError("a file is not in the catalog", where=path, action="read only files that the catalog lists")
        check_file(self.root, path, facts[0], facts[1], how)

    def read(self, kind: Kind, interval: str, label: np.datetime64, verify: Literal["hash", "size", "off"] = "hash") -> pl.DataFrame:
        """One session's file with its declared columns, sorted by (symbol, ts); for looking at, runs read in chunks (load.py)."""
        rows = self.files(kind, interval, [label])
        if not len(rows):
            raise DataError("the lake has no such session", where=str(self.root), value=f"{kind} {interval} {label}")
        self.check(rows["path"][0], verify)
        return read_day(self.root, rows["path"][0], kind)


def read_catalog(root: Path) -> pl.DataFrame:
    """The catalog as stored, with its column `staged`. Raises DataError where it is damaged or speaks of foreign paths."""
    path = root / CATALOG
    try:
        catalog = pl.read_parquet(path, use_statistics=False, glob=False)
    except PermissionError as error:
        raise DataError("cannot read the lake's catalog", where=str(path), value="no permission to read") from error
    except READ_ERRORS as error:
        raise _damaged(path, str(error).splitlines()[0]) from error
    if dict(catalog.schema) != CATALOG_COLUMNS:
        raise _damaged(path, "columns " + ", ".join(catalog.columns))
    # A path decides which file is opened, so none is believed: each must be the one that its row's other columns spell.
    foreign = catalog.filter(pl.col("path").ne_missing(_ADDRESS) | ~(pl.col("staged").str.starts_with(_STAGED) & _one_name()))
    if len(foreign):
        raise _damaged(path, f"path {foreign['path'][0]}, staged {foreign['staged'][0]}")
    return catalog


def write_catalog(root: Path, catalog: pl.DataFrame) -> None:
    """Put a new catalog in place of the old one, in one step."""
    rows = catalog.select(list(CATALOG_COLUMNS)).sort(_ORDER)
    commit(root / CATALOG, lambda path: rows.write_parquet(path, compression="zstd", statistics=False, mkdir=False))


def empty_catalog() -> pl.DataFrame:
    """The catalog of a lake without files."""
    return pl.DataFrame(schema=CATALOG_COLUMNS)


def check_file(root: Path, path: str, size: int, digest: str, how: Literal["hash", "size"]) -> None:
    """Compare the file `path` below `root` with its size and SHA-256. Raises DataError that names it."""
    try:
        with (root / path).open("rb") as file:
            found = file.seek(0, 2)
            if found != size:
                raise DataError("a file of the lake has another size", where=path, value=f"{found} bytes",
                                allowed=f"{size} bytes", action=_again(path))  # fmt: skip
            file.seek(0)
            if how == "hash" and (seen := hashlib.file_digest(file, "sha256").hexdigest()) != digest:
                raise DataError("a file's fingerprint differs from the catalog", where=path, value=f"sha256 {seen[:12]}...",
                                allowed=f"{digest[:12]}...", action=_again(path))  # fmt: skip
    except FileNotFoundError as error:
        raise DataError("a file of the lake is gone", where=path, action=_again(path)) from error
    except OSError as error:
        raise DataError("cannot read a file of the lake", where=path, value=error.strerror) from error


def read_day(root: Path, path: str, kind: Kind) -> pl.DataFrame:
    """A day file's declared columns, and the optional ones that it holds. Raises DataError where it does not hold them."""
    declared = _declared(kind)
    try:
        frame = pl.read_parquet(root / path, glob=False)
    except READ_ERRORS as error:
        raise DataError("cannot read a file of the lake", where=path, value=str(error).splitlines()[0], action=IMPORT_AGAIN) from error
    schema = frame.schema
    wrong = [name for name, dtype in declared.items() if schema.get(name, dtype if name in OPTIONAL else None) != dtype]
    if wrong:
        raise DataError("a file of the lake lacks declared columns", where=path, value=", ".join(wrong), action=IMPORT_AGAIN)
    return frame.select(name for name in declared if name in schema)


def read_days(root: Path, paths: Sequence[str], kind: Kind) -> pl.DataFrame:
    """Several day files one after the other, with `path` (of each row's file) and null where a file lacks an optional column."""
    declared = _declared(kind)
    if not paths:
        return pl.DataFrame(schema={**declared, "path": pl.String()})
    try:
        lazy = pl.scan_parquet([root / path for path in paths], schema=declared, missing_columns="insert", extra_columns="ignore",
                               include_file_paths="path", hive_partitioning=False, glob=False)  # fmt: skip
        frame = lazy.collect(engine="in-memory")
        missing = {str(root / path): path for path in paths}
        return frame.with_columns(pl.col("path").replace_strict(missing, return_dtype=pl.String))
    except READ_ERRORS:
        # One by one, to name the file that is wrong.
        frames = [read_day(root, path, kind).with_columns(path=pl.lit(path)) for path in paths]
        return pl.concat([pl.DataFrame(schema={**declared, "path": pl.String()}), *frames], how="diagonal")


def _declared(kind: Kind) -> dict[str, pl.DataType]:
    """Declared and optional columns of a kind's day files."""
    return {**TABLES[kind].dtypes, **(OPTIONAL if kind == "bars" else {})}


def _standing(root: Path, catalog: pl.DataFrame) -> pl.Series:
    """Each file's path as it is now: the staged name where the file still stands under it."""
    return pl.Series(
        "path",
        [
            staged if staged is not None and (root / staged).is_file() else path
            for path, staged in zip(catalog["path"], catalog["staged"], strict=True)
        ],
    )


def _one_name() -> pl.Expr:
    """True where `staged` is one temporary file's name in the folder of its kind and interval, or of the actions in the root."""
    deep = pl.when(_IS_ACTIONS).then(0).otherwise(2)
    return pl.col("staged").str.ends_with(".tmp") & (pl.col("staged").str.count_matches("/", literal=True) == deep)


def _again(path: str) -> str:
    """What to do about a broken file: only the actions stand in no folder of the lake."""
    return IMPORT_AGAIN if "/" in path else ACTIONS_AGAIN


def _damaged(path: Path, value: str) -> DataError:
    return DataError("the lake's catalog is damaged", where=str(path), value=value, allowed="a catalog written by bt data import",
                     action="restore it, or import the data into a new lake")  # fmt: skip
