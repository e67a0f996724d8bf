"""A comparison in words for people, and as JSON values for programs.

Place in the flow: after compare.py; `bt diff` prints what stands here. Never compares anything.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from backtester import spelling
from backtester.outcome.compare import STAGES, Comparison, Side, Stage
from backtester.outcome.compare_causes import Cause
from backtester.outcome.compare_tables import FirstRow, TableDifference
from backtester.schema import STAGES as HASHED

MOST_ITEMS = 12
"""Lines of one group, of figures, of sessions; --json has all."""
SHOWN = {
    "bars": ("session", "interval", "symbol", "ts"),
    "indicators": ("session", "interval", "name", "symbol", "ts"),
    "seen": ("strategy", "input", "interval", "symbol", "ts", "kind", "name", "value"),
    "signals": ("ts", "strategy", "symbol", "action"),
    "decisions": ("ts", "strategy", "symbol", "action", "quantity", "price", "reason"),
    "orders": ("order_id", "ts", "strategy", "symbol", "side", "type", "quantity", "status"),
    "fills": ("ts", "strategy", "symbol", "side", "quantity", "price", "fee", "type"),
    "ambiguity": ("ts", "strategy", "symbol", "type", "price", "other"),
    "trades": ("entry_ts", "strategy", "symbol", "direction", "quantity", "entry_price", "exit_ts", "exit_price", "pnl", "exit_reason"),
    "equity": ("ts", "cash", "equity"),
    "sessions": ("session", "bars", "fills", "pnl", "equity"),
    "quality": ("symbol", "session", "interval", "actual", "quality"),
    "gaps": ("symbol", "session", "interval", "start", "bars"),
    "findings": ("symbol", "session", "ts", "kind"),
    "rolling": ("session",),
}
"""The columns of a row that are shown beside those that differ."""


def lines(found: Comparison) -> list[str]:
    """Everything about a comparison, from what must be known first to what explains it."""
    return [
        *_calendar_library(found.causes),
        *(_side(name, side) for name, side in (("a", found.a), ("b", found.b))),
        *(f"note: {note}" for note in found.notes),
        "",
        headline(found),
        *([f"rows of tables are compared of {found.scope}"] if found.scope else []),
        "",
        *_table(("stage", "", "differs in"), [_stage(stage) for stage in found.stages]),
        *_first(found),
        "",
        *_causes(found),
    ]


def headline(found: Comparison) -> str:
    """The answer in one sentence."""
    first = found.first
    if first is None:
        differ = [cause.group for cause in found.causes if not cause.same]
        return "the results are the same" + (f"; what they came from differs: {', '.join(differ)}" if differ else "")
    when = f", on {first.first_session}" if first.first_session else ""
    earlier = [stage for stage in found.stages if stage.first_session and first.first_session and stage.first_session < first.first_session]
    before = f"; {earlier[0].name} differ already on {earlier[0].first_session}" if earlier else ""
    return f"the results differ, first in {first.name}{when}{before}"


def stage_lines(stage: Stage) -> list[str]:
    """One stage alone: what differs, and its first row."""
    table = stage.first_table
    row = [] if table is None or table.first is None else row_lines(table.table, table.first, "")
    return [" ".join(_stage(stage)), *row]


def row_lines(name: str, first: FirstRow, label: str) -> list[str]:
    """The first row that differs, with the rows before it and the values of the columns that differ."""
    where = ", ".join(f"row {row + 1} of {side}" for side, row in (("a", first.row_a), ("b", first.row_b)) if row is not None)
    columns = [*SHOWN.get(name, ()), *(column for column in first.columns if column not in SHOWN.get(name, ()))]
    columns = [column for column in columns if column in (first.a or first.b or {})]
    before = [("=", row) for row in first.before_a] if _same_rows(first, columns) else [
        *(("a", row) for row in first.before_a), *(("b", row) for row in first.before_b)]  # fmt: skip
    rows = [*before, *((f"{side} >", row) for side, row in (("a", first.a), ("b", first.b)) if row is not None)]
    said = [f"first row that differs: {name}, {label}{where}{_kind(first)}"]
    said += _table(("", *columns), [(mark, *(cell(row.get(column)) for column in columns)) for mark, row in rows])
    if first.a is not None and first.b is not None:
        said += [f"    {column}: a {cell(first.a[column])}, b {cell(first.b[column])}" for column in first.columns]
    return said


def as_json(found: Comparison) -> dict[str, Any]:
    """All of a comparison as JSON values."""
    value: dict[str, Any] = {
        "same": found.same,
        "headline": headline(found),
        "a": _identity(found.a),
        "b": _identity(found.b),
        "first_stage": None if found.first is None else found.first.name,
        "first_session": None if found.first is None else found.first.first_session,
        "scope": found.scope or None,
        "stages": [
            {
                "stage": stage.name,
                "same": stage.same,
                "sessions": stage.sessions,
                "tables": [asdict(one) for one in stage.tables],
                "figures": [{"name": name, "a": a, "b": b} for name, a, b in stage.figures],
            }
            for stage in found.stages
        ],
        "causes": [
            {"group": cause.group, "same": cause.same, "can_be": cause.can_be, "items": [asdict(item) for item in cause.items]}
            for cause in found.causes
        ],
        "notes": found.notes,
    }
    return {name: jsonable(part) for name, part in value.items()}


def jsonable(value: Any) -> Any:
    """The value with times in ISO form and numbers that JSON does not have as text."""
    if isinstance(value, Mapping):
        return {str(name): jsonable(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(part) for part in value]
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def cell(value: Any) -> str:
    """One value: a number in its shortest exact form, an instant in UTC, nothing as a dash."""
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S" if value.second else "%Y-%m-%dT%H:%M") + "Z"
    if isinstance(value, float) and value == int(value if math.isfinite(value) else 1) and abs(value) < 1e15:
        return str(int(value))
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else spelling.cell(value)


def _identity(side: Side) -> dict[str, Any]:
    rows = side.manifest["calendar"]["rows"]
    return {"folder": side.place, "result_key": side.result_key, "first_session": rows[0][0], "last_session": rows[-1][0],
            "sessions": len(rows)}  # fmt: skip


def _side(name: str, side: Side) -> str:
    own = _identity(side)
    days = f"{own['sessions']} sessions, {own['first_session']} to {own['last_session']}"
    return f"{name}  {own['folder']}  ({days}; result {own['result_key'][:12]})"


def _calendar_library(causes: Sequence[Cause]) -> list[str]:
    """What comes before everything else: calendars of two versions, and whether their sessions are the same."""
    by_group = {cause.group: cause for cause in causes}
    library, rows = by_group["calendar library"], by_group["calendar rows"]
    if library.same:
        return []
    versions = "; ".join(f"{item.name} a {cell(item.a)}, b {cell(item.b)}" for item in library.items)
    told = "their sessions are the same" if rows.same else f"their sessions differ, first {rows.items[0].name}"
    return [f"calendar library: {versions}; {told}", ""]


def _stage(stage: Stage) -> tuple[str, str, str]:
    if stage.same:
        near = [f"{table.table}.{name} by {far:.3g}" for table in stage.tables for name, far in table.largest.items()]
        return stage.name, "same", f"(within tolerance: {', '.join(near)})" if near else ""
    told = [difference(table) for table in stage.tables if not table.same]
    if stage.figures:
        more = f" and {len(stage.figures) - 3} more" if len(stage.figures) > 3 else ""
        told.append(", ".join(f"{name}: a {cell(a)}, b {cell(b)}" for name, a, b in stage.figures[:3]) + more)
    if stage.sessions and (not told or stage.name in HASHED):
        count = len(stage.sessions)
        told.insert(0, stage.sessions[0] if count == 1 else f"{count} sessions, {stage.sessions[0]} the first")
    return stage.name, "differs", "; ".join(told) or "breaks or early closes"


def difference(table: TableDifference) -> str:
    """How a table differs, in counts."""
    kinds = (table.changed, "changed"), (table.only_a, "only in a"), (table.only_b, "only in b")
    counts = [f"{number:,} {word}" for number, word in kinds if number]
    others = [name for name in table.foreign_a if name in table.foreign_b]
    only = [[name for name in names if name not in others] for names in (table.foreign_a, table.foreign_b)]
    parts = (("columns of another kind", others), ("columns only in a", only[0]), ("columns only in b", only[1]))
    columns = [f"{words}: {', '.join(names)}" for words, names in parts if names]
    rows = f"{table.rows_a:,} rows" if table.rows_a == table.rows_b else f"{table.rows_a:,} and {table.rows_b:,} rows"
    return f"{table.table}: {', '.join([rows, *counts, *columns])}" + ("" if counts or columns else ", in another order")


def _first(found: Comparison) -> Iterator[str]:
    """The first row that is known to differ; and how to see more, where the first stage only has digests."""
    stage, with_row = found.first, found.with_row
    if stage is None:
        return
    yield ""
    if stage.name == "calendar":
        yield from _calendar_rows(found)
    elif stage.first_table is None and stage.name != "metrics":
        also = "" if with_row is None else f"; of {with_row.name} there are rows"
        if found.a.run is None:
            yield f"of {stage.name} a baseline keeps digests, no rows{also}"
        else:
            again = f"--explain makes {stage.first_session} again on both sides"
            keep = '"keep": ["bars", "indicators", "signals"]'
            yield f"of {stage.name} the runs kept a digest a session, no rows{also}: {again}, runs with {keep} tell more"
    if with_row is not None:
        table = with_row.first_table
        assert table is not None
        if table.first is not None:
            row = table.first.a or table.first.b or {}
            session = row.get("session", with_row.first_session)
            label = f"session {session}, " if session else ""
            yield from row_lines(table.table, table.first, label)
    elif stage.name == "metrics":
        yield from (f"    {name}: a {cell(a)}, b {cell(b)}" for name, a, b in stage.figures[:MOST_ITEMS])


def _calendar_rows(found: Comparison) -> Iterator[str]:
    """The sessions that differ, with both sides' hours."""
    rows = next(cause for cause in found.causes if cause.group == "calendar rows")
    for item in rows.items[:MOST_ITEMS]:
        yield f"    {item.name}: a {cell(item.a)}; b {cell(item.b)}"
    if len(rows.items) > MOST_ITEMS:
        yield f"    ... and {len(rows.items) - MOST_ITEMS} more"


def _causes(found: Comparison) -> Iterator[str]:
    """Every group as same or different, the possible causes of the first difference named."""
    first = found.first
    if first is not None:
        can = [cause.group for cause in found.causes if cause.can_be]
        yield f"what can be the cause of a difference in {first.name}: {', '.join(can) or 'nothing that a manifest holds differs'}"
        if not can:
            yield ("the program, a library or a strategy that does not give the same twice, or files changed by hand: run both again, "
                   "and see bt show RUN --verify")  # fmt: skip
    for cause in found.causes:
        if cause.same:
            yield f"  {cause.group:<16}  same       {cause.said}".rstrip()
            continue
        of = f" (too late for {first.name})" if first and not cause.can_be and first.name != STAGES[0] else ""
        idle = " (of no account)" if all(item.idle for item in cause.items) else of
        yield f"  {cause.group:<16}  different{idle}"
        for item in cause.items[:MOST_ITEMS]:
            yield f"      {item.name}: a {cell(item.a)}, b {cell(item.b)}" + (" (of no account)" if item.idle and not idle else "")
        if len(cause.items) > MOST_ITEMS:
            yield f"      ... and {len(cause.items) - MOST_ITEMS} more"


def _same_rows(first: FirstRow, columns: Sequence[str]) -> bool:
    left, right = ([[row.get(name) for name in columns] for row in rows] for rows in (first.before_a, first.before_b))
    return left == right


def _kind(first: FirstRow) -> str:
    if first.a is None or first.b is None:
        return " (b has no such row)" if first.b is None else " (a has no such row)"
    if first.moved:
        return " (the same rows in another order)"
    return "" if first.columns else " (each side has one that the other lacks)"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns, indented."""
    whole = [tuple(names), *(tuple(row) for row in rows)]
    widths = [max(len(row[place]) for row in whole) for place in range(len(names))]
    return ["  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in whole]
