"""A record: what is kept of a run to tell later whether the same comes out again, small enough to stand beside the code.

Place in the flow: baselines are records; `record_of` takes one from a finished run, `compare_record` holds a run against one. Never
runs anything, and knows no file.

    exact       rows and digests of every table without ratios and timings, per session too; digests of bars, derived bars and quality;
                calendar rows; the money among the figures
    tolerance   the other figures: what a last bit may differ by between machines and libraries is no difference
    told only   digests of indicators and signals: they hold the last bits of whatever a strategy computes; if what it made of them is
                the same, it is the same
    recorded    result key, config, sources, data, versions: what explains a difference
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from backtester.outcome.compare import Comparison, Side, Stage, calendar_stage, labels_of, metrics_stage
from backtester.outcome.compare_causes import causes
from backtester.outcome.compare_cells import Given, exact_part
from backtester.outcome.compare_tables import IDS, TableDifference, compare_tables
from backtester.outcome.digests import plain, table_digest
from backtester.outcome.manifest import without_folder
from backtester.outcome.run import Run
from backtester.schema import RUN_TABLES, TRADES
from backtester.schema import STAGES as HASHED
from backtester.table import Table

FORM = 1
EXACT_STAGES = ("bars", "derived", "quality")
TABLES_OF = {
    "quality": ("quality", "gaps"),
    "decisions": ("decisions",),
    "orders": ("orders",),
    "fills": ("fills", "ambiguity"),
    "trades": ("trades",),
    "equity": ("equity", "sessions"),
}
"""The tables that a record holds digests of, by stage."""
LEFT_OUT = ("by_direction", "by_weekday", "by_hour")
"""Groups of figures that a record does without: they are worked out from the trades as the rest is."""
_TABLES = tuple(name for names in TABLES_OF.values() for name in names)
SHORT = 16
SHORTEST = 8
"""Hex digits of the digests of a file and of a session: enough to see a change; a table's own is whole."""
KEPT_TRADES = 20
"""So many of the first and of the last trades are kept; all, where there are no more than both."""


def record_of(run: Run, contents: Mapping[str, str]) -> dict[str, Any]:
    """The record of a run as JSON values; `contents` are digests of what its files hold, by `kind/interval/session`."""
    trades = run.table("trades")
    return {
        "form": FORM,
        "result_key": run.result_key,
        "made_of": _made_of(run.manifest, contents),
        "tables": {name: _table(run, name, exact_part(RUN_TABLES[name])) for name in _TABLES},
        "sessions": _rows(_sessions(run, [exact_part(RUN_TABLES[name]) for name in _TABLES])),
        "trades": {"columns": trades.columns, "rows": [[_plain(value) for value in row] for row in _kept(trades).iter_rows()]},
        "metrics": {name: value for name, value in run.metrics.items() if name not in LEFT_OUT},
    }


def compare_record(
    record: Mapping[str, Any], place: str, run: Run, given: Given, idle: Sequence[tuple[str, ...]], label: str | None = None
) -> Comparison:
    """Hold a run against a record, which is side a and is found at `place`; `label` stands for the run's folder where that goes away.

    Columns and figures that the program has added since the record was made are not compared.
    """
    was = made_of(record)
    tables = {name: _as_recorded(name, record) for name in _TABLES}
    before, now = _columns(record["sessions"]), _sessions(run, tables.values())
    stages = [calendar_stage(was, run.manifest)]
    stages += [_stage(name, before, now, record, tables, run) for name in dict.fromkeys((*EXACT_STAGES, *TABLES_OF))]
    stages = [
        replace(stage, tables=(_trades(record, run, given),)) if stage.name == "trades" and not stage.same else stage for stage in stages
    ]
    stages.append(metrics_stage(record["metrics"], _known(record["metrics"], run.metrics), given))
    told = [name for name in HASHED if name not in EXACT_STAGES and before[name] != now[name]]
    first = next((stage.name for stage in stages if not stage.same), None)
    notes = tuple(f"b: the digests of {name} differ from {_differ(before[name], now[name])[0]} on" for name in told)
    side, other = Side(place, str(record["result_key"]), was), Side.of(run) if label is None else replace(Side.of(run), place=label)
    return Comparison(side, other, tuple(stages), tuple(causes(was, _without_places(run.manifest), idle, first)), "", notes)


def made_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record came from, in the form of a manifest."""
    was = dict(record["made_of"])
    names = ("kind", "interval", "session", "sha256", "content")
    files = [dict(zip(names, file.split(" "), strict=True)) for file in was["data"]["files"]]
    return was | {"data": {**was["data"], "files": files}}


def file_name(file: Mapping[str, Any]) -> str:
    """`kind/interval/session` of a file of the lake."""
    return f"{file['kind']}/{file['interval']}/{file['session']}"


def _made_of(manifest: Mapping[str, Any], contents: Mapping[str, str]) -> dict[str, Any]:
    """The groups of a manifest that explain a difference, without the places of this machine."""
    manifest = _without_places(manifest)
    files = [f"{file['kind']} {file['interval']} {file['session']} {str(file['sha256'])[:SHORT]} {contents[file_name(file)]}"
             for file in manifest["data"]["files"]]  # fmt: skip
    made = manifest["program"]
    program = {"version": made["version"], "commit": None if made.get("dirty") else made.get("commit")}
    environment = {name: manifest["environment"].get(name) for name in ("python", "system", "architecture", "simd")}
    return {
        "program": program, "environment": environment, "libraries": manifest["libraries"],
        "config": manifest["config"], "strategies": manifest["strategies"],
        "data": {"files": files}, "calendar": manifest["calendar"], "policies": manifest["policies"],
    }  # fmt: skip


def _as_recorded(name: str, record: Mapping[str, Any]) -> Table:
    """The columns of a table that a record holds digests of; what the program has added since is not compared."""
    columns = record["tables"][name]["columns"]
    table = exact_part(RUN_TABLES[name])
    return replace(table, columns=tuple(column for column in table.columns if column.name in columns))


def _sessions(run: Run, tables: Iterable[Table]) -> dict[str, dict[str, str]]:
    """Stage or table -> session -> the start of its digest, of a table with its rows before it; without ids, which go on counting."""
    found: dict[str, dict[str, str]] = {name: {} for name in HASHED}
    for session, stage, digest in run.table("digests").select("session", "stage", "digest").iter_rows():
        found[stage][str(session)] = digest[:SHORTEST]
    for table in tables:
        without = replace(table, columns=tuple(column for column in table.columns if column.name not in IDS))
        parts = _by_session(run.table(table.name), run.manifest)
        found[f"table {table.name}"] = {label: f"{len(rows)}:{table_digest(without, [rows])[:SHORTEST]}" for label, rows in parts}
    return found


def _table(run: Run, name: str, table: Table) -> dict[str, Any]:
    """Rows and digest of some columns of a table."""
    rows = run.table(name)
    return {"rows": len(rows), "digest": table_digest(table, [rows]), "columns": table.names}


def _without_places(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest without the folders of this machine."""
    resolved = dict(manifest["config"]["resolved"])
    resolved["session_data_config"] = {**resolved["session_data_config"], "lake": None}
    resolved["strategies"] = [{**entry, "use": without_folder(str(entry["use"]))} for entry in resolved["strategies"]]
    strategies = [{**one, "use": without_folder(str(one["use"]))} for one in manifest["strategies"]]
    return {**manifest, "config": {**manifest["config"], "resolved": resolved}, "strategies": strategies}


def _known(record: Any, now: Any) -> Any:
    """The figures of which a record has one of that name."""
    if not (isinstance(record, Mapping) and isinstance(now, Mapping)):
        return now
    return {name: _known(record[name], now[name]) for name in record if name in now}


def _rows(sessions: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """One row a session: its label, then a digest a column, null where there is nothing."""
    labels = sorted({label for column in sessions.values() for label in column})
    return {"columns": list(sessions), "rows": [[label, *(column.get(label) for column in sessions.values())] for label in labels]}


def _columns(sessions: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The rows as they were before `_rows`."""
    names = list(enumerate(sessions["columns"], start=1))
    return {name: {row[0]: row[place] for row in sessions["rows"] if row[place] is not None} for place, name in names}


def _by_session(rows: pl.DataFrame, manifest: Mapping[str, Any]) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows of each session in order; of trades those that were entered in it."""
    labels = rows["session"].cast(pl.String) if "session" in rows.columns else labels_of(rows, manifest)
    if not len(rows):
        return
    for part in rows.with_columns(labels.alias(" label")).sort(" label", maintain_order=True).partition_by(" label", maintain_order=True):
        yield part[" label"][0], part.drop(" label")


def _kept(trades: pl.DataFrame) -> pl.DataFrame:
    """The first and the last trades."""
    return trades if len(trades) <= 2 * KEPT_TRADES else pl.concat([trades.head(KEPT_TRADES), trades.tail(KEPT_TRADES)])


def _plain(value: Any) -> Any:
    """A cell as JSON has it; an instant with its zone."""
    return value.isoformat() if isinstance(value, (dt.date, dt.datetime)) else plain(value)


def _trades(record: Mapping[str, Any], run: Run, given: Given) -> TableDifference:
    """The trades that a record keeps beside those of the run at the same ends; counts are of all."""
    columns, rows = record["trades"]["columns"], record["trades"]["rows"]
    known = {name: TRADES.dtypes[name] for name in columns if name in TRADES.dtypes}
    texts = {name: [row[place] for row in rows] for place, name in enumerate(columns) if name in known}
    was = pl.DataFrame({name: _series(values, known[name]) for name, values in texts.items()})
    count = int(record["tables"]["trades"]["rows"])
    now = run.table("trades")
    if count > len(was):
        now = now if len(now) <= 2 * KEPT_TRADES else pl.concat([now.head(KEPT_TRADES), now.tail(KEPT_TRADES)])
    found, rows = compare_tables(TRADES, was, now, given), len(run.table("trades"))
    first = found.first
    if first is not None and count > len(was):
        first = replace(first, row_a=_number(first.row_a, count), row_b=_number(first.row_b, rows))
    return replace(found, rows_a=count, rows_b=rows, first=first)


def _number(row: int | None, count: int) -> int | None:
    """The number among all trades of a row of those that are kept."""
    return row if row is None or row < KEPT_TRADES else count - 2 * KEPT_TRADES + row


def _series(values: list[Any], dtype: pl.DataType) -> pl.Series:
    if dtype.is_temporal():
        return pl.Series(values, dtype=pl.String).str.to_datetime(time_unit="us", time_zone="UTC")
    return pl.Series(values, dtype=dtype)


def _stage(
    name: str, before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]], record: Mapping[str, Any],
    forms: Mapping[str, Table], run: Run,
) -> Stage:  # fmt: skip
    """A stage by its own digests and those of its tables."""
    tables = TABLES_OF.get(name, ())
    columns = [*([name] if name in HASHED else []), *(f"table {table}" for table in tables)]
    differ = {label for column in columns for label in _differ(before.get(column, {}), now[column])}
    same = all(record["tables"][table] == _table(run, table, forms[table]) for table in tables)
    return Stage(name, same and not differ, tuple(sorted(differ)))


def _differ(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Sessions of which two digests are not the same, in order."""
    return [label for label in sorted({*was, *now}) if was.get(label) != now.get(label)]
