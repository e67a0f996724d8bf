"""Account: what was held, and what it was worth, around a moment; from the run's own fills, actions and equity.

Place in the flow: under every explanation. Never marks a position anew: equity rows say what the account was worth.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import polars as pl

from backtester.outcome.run import Run

Key = tuple[str, str]
"""Strategy and symbol."""


@dataclass(frozen=True)
class Books:
    """A run's tables of trading, read once. acting: the splits and dividends that changed positions; lots: of symbols of their own."""

    decisions: pl.DataFrame
    orders: pl.DataFrame
    fills: pl.DataFrame
    trades: pl.DataFrame
    equity: pl.DataFrame
    acting: pl.DataFrame | None
    config: dict[str, Any]

    @classmethod
    def of(cls, run: Run, acting: pl.DataFrame | None = None) -> Books:
        """The books of a run."""
        tables = {name: run.table(name) for name in ("decisions", "orders", "fills", "trades", "equity")}
        return cls(**tables, acting=acting, config=run.config)

    def equity_before(self, instant: dt.datetime) -> dict[str, Any] | None:
        """The account after the last slot that began before an instant; None before the run's first bar."""
        return _last(self.equity.filter(pl.col("ts") < instant))

    def equity_at(self, instant: dt.datetime) -> dict[str, Any] | None:
        """The account after the slot that began at an instant, or the last one before."""
        return _last(self.equity.filter(pl.col("ts") <= instant))

    def held(self, before: dt.datetime, *, strategy: str | None = None, symbol: str | None = None) -> dict[Key, float]:
        """Shares held after the slots that began before an instant, below 0 for a short, by strategy and symbol; what is 0 left out."""
        fills = self.fills.filter(pl.col("ts") < before)
        for name, value in (("strategy", strategy), ("symbol", symbol)):
            fills = fills if value is None else fills.filter(pl.col(name) == value)
        if self.acting is None or not len(self.acting):
            signed = pl.when(pl.col("side") == "buy").then(pl.col("quantity")).otherwise(-pl.col("quantity"))
            sums = fills.group_by("strategy", "symbol", maintain_order=True).agg(signed.sum()).iter_rows()
            return {(name, of): _rounded(quantity) for name, of, quantity in sums if _rounded(quantity)}
        found: dict[Key, float] = {}
        session: dict[Key, dt.date] = {}
        rows = fills.select("strategy", "symbol", "session", "side", "quantity").iter_rows(named=True)
        for row in rows:
            key = row["strategy"], row["symbol"]
            now = self._split(key[1], found.get(key, 0.0), session.get(key), row["session"])
            found[key] = _rounded(now + (row["quantity"] if row["side"] == "buy" else -row["quantity"]))
            session[key] = row["session"]
        last = self.equity.filter(pl.col("ts") < before)["session"]
        if len(last):
            found = {key: self._split(key[1], quantity, session[key], last[-1]) for key, quantity in found.items()}
        return {key: quantity for key, quantity in found.items() if quantity}

    def _split(self, symbol: str, quantity: float, after: dt.date | None, until: dt.date) -> float:
        """Shares of a position after the splits between two sessions."""
        if not quantity or after is None or self.acting is None or not len(self.acting):
            return quantity
        known = self.acting.filter(
            (pl.col("symbol") == symbol) & (pl.col("kind") == "split") & (pl.col("ex_date") > after) & (pl.col("ex_date") <= until)
        )
        for ratio in known["value"]:
            exact, lot = abs(quantity) * ratio, self.lot_of(symbol)
            whole = math.floor(exact / lot + 1e-9) * lot
            quantity = math.copysign(whole or exact, quantity)
        return quantity

    def lot_of(self, symbol: str) -> float:
        """The lot of a symbol."""
        execution = self.config["execution"]
        own = (execution.get("instruments") or {}).get(symbol) or {}
        return float(own.get("lot") or execution["lot"])

    def account(self, key: Key, before: dt.datetime, after: dt.datetime) -> dict[str, Any]:
        """The account and the position before the slot that began at an instant, and after the one that began at another."""
        step = dt.timedelta(microseconds=1)
        first, last = self.equity_before(before), self.equity_at(after)
        start = {"cash": self.config["account"]["cash"], "equity": self.config["account"]["cash"], "gross": 0.0, "net": 0.0}
        held = [self.held(moment, strategy=key[0], symbol=key[1]).get(key, 0.0) for moment in (before, after + step)]
        ends = [{name: (row or start)[name] for name in start} | {"position": shares}
                for row, shares in zip((first, last), held, strict=True)]  # fmt: skip
        return dict(zip(("before", "after"), ends, strict=True))


def _last(frame: pl.DataFrame) -> dict[str, Any] | None:
    return frame.row(-1, named=True) if len(frame) else None


def _rounded(quantity: float) -> float:
    """Sums of fills without the dust of float arithmetic."""
    return 0.0 if abs(quantity) < 1e-9 else round(quantity, 9)
