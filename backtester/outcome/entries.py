"""Results in short: one entry a run, sweep or walk, with the figures that tell it from others.

Place in the flow: `catalog` keeps entries, `listing` shows them. Reads manifests and figures; of a sweep the best trial's row too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from backtester.errors import BacktesterError
from backtester.outcome.held import EVIDENCE, Held, document
from backtester.outcome.results import CONFIG
from backtester.table import INSTANT

FIGURES = ("total_return", "sharpe", "max_drawdown", "trades", "final_equity")
SCHEMA: dict[str, Any] = {
    "name": pl.String, "when": INSTANT, "session_name": pl.String, "sessions": pl.Int64, "symbols": pl.Int64, "final_equity": pl.Float64,
    "total_return": pl.Float64, "sharpe": pl.Float64, "max_drawdown": pl.Float64, "trades": pl.Int64, "status": pl.String,
    "result_key": pl.String, "kind": pl.String, "trials": pl.Int64, "folder": pl.String,
}  # fmt: skip
"""Columns of a listing. `status`: done, strategy stopped, trials failed; gone, where the folder is; replaced, where it holds another
result now. Of a sweep the figures are its best trial's, `result_key` is its own key; of a walk those of the whole."""
GONE, REPLACED = "gone", "replaced"


def entry(held: Held) -> dict[str, Any]:
    """The entry of a result: the columns of SCHEMA but for the name, as plain values that JSON holds; `when` as ISO text."""
    facts = {"run": _run, "sweep": _sweep, "walk": _walk}[held.kind](held)
    config = _config(held)
    data = config.get("session_data_config")
    symbols = data.get("symbols") if isinstance(data, Mapping) else None
    common = {
        "kind": held.kind,
        "folder": str(held.folder.resolve()),
        "symbols": len(symbols) if isinstance(symbols, list) else None,
        "session_name": config.get("session_name"),
        "result_key": key(held.manifest),
    }
    return {name: (common | facts).get(name) for name in SCHEMA if name != "name"}


def key(manifest: Mapping[str, Any]) -> str | None:
    """The key of a run or a sweep; None where a manifest has none."""
    identity = manifest.get("identity", {})
    found = identity.get("result_key") or identity.get("sweep_key")
    return found if isinstance(found, str) else None


def frame(entries: list[dict[str, Any]]) -> pl.DataFrame:
    """Entries as a table with the columns of SCHEMA; values of other kinds, as a damaged line may hold, are null."""
    columns = {name: [_value(each.get(name), dtype) for each in entries] for name, dtype in SCHEMA.items()}
    return pl.DataFrame(columns, schema=SCHEMA)


def _run(held: Held) -> dict[str, Any]:
    figures = document(held.figures) if held.figures is not None else {}
    sessions = held.manifest["results"]["tables"].get("sessions")
    stopped = held.manifest["identity"].get("status")
    return {name: figures.get(name) for name in FIGURES} | {
        "when": held.manifest["identity"].get("finished"),
        "status": "strategy stopped" if stopped else "done",
        "sessions": sessions.get("rows") if isinstance(sessions, Mapping) else None,
    }


def _sweep(held: Held) -> dict[str, Any]:
    counts = held.manifest.get("counts")
    known = counts if isinstance(counts, Mapping) else {}
    return _best(held) | {
        "when": held.manifest["identity"].get("finished"),
        "status": "trials failed" if known.get("failed") else "done",
        "trials": known.get("trials"),
    }


def _walk(held: Held) -> dict[str, Any]:
    figures = {} if held.figures is None else document(held.figures)
    changed = held.figures.stat().st_mtime if held.figures is not None else 0.0
    return {name: figures.get(name) for name in FIGURES} | {
        "when": dt.datetime.fromtimestamp(changed, dt.UTC).isoformat(),
        "status": "done",
    }


def _best(held: Held) -> dict[str, Any]:
    """The figures of a sweep's best trial; none where no trial was best."""
    evidence = held.folder / EVIDENCE
    best = document(evidence).get("best") if evidence.is_file() and not evidence.is_symlink() else None
    if best is None or "trials" not in held.tables:
        return {}
    try:
        rows = pl.read_parquet(held.tables["trials"], glob=False).filter(trial=best)
    except (OSError, pl.exceptions.PolarsError):
        return {}
    return {name: rows[name][0] for name in FIGURES if name in rows.columns} if rows.height else {}


def _config(held: Held) -> Mapping[str, Any]:
    """The config of a result; {} where there is none that can be read."""
    path: Path = held.folder / CONFIG
    try:
        return document(path) if path.is_file() and not path.is_symlink() else {}
    except BacktesterError:
        return {}


def _value(value: Any, dtype: Any) -> Any:
    if dtype == INSTANT:
        try:
            moment = dt.datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return None
        return moment.replace(microsecond=0) if moment.tzinfo else None
    kinds = {pl.String: (str,), pl.Int64: (int,), pl.Float64: (int, float)}[dtype]
    if not isinstance(value, kinds) or isinstance(value, bool):
        return None
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") if isinstance(value, str) else value
