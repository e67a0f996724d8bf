"""Following: the refused entries of a run from part to part: sized, filled, held, closed.

Place in the flow: between the ledger and `supposed`, which knows the rules. What is open passes from one part to the next; what is
closed is money in the ledger's groups. Never writes to the run.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from backtester.columns import Floats, Ints
from backtester.outcome.run import Run
from backtester.trading.settings import ExecutionSettings
from backtester.why.parts import Part
from backtester.why.supposed import Supposed, Tape, fill_entries, fill_exits, sizes

Key = tuple[str, str]
"""Strategy and symbol."""
RESTS = ("limit", "entry_stop", "entry_trail", "entry_trail_amount")
GIVEN = ("size", "stop_price", "stop_loss", "trailing_stop", "trailing_amount")
LATER = 2**31
"""A day after every other."""
_EPOCH = dt.date(1970, 1, 1)


class Follower:
    """Follows entries through a run; earned: by group how many were priced and what they earned together, in 1e-6 currency."""

    def __init__(self, run: Run, rules: ExecutionSettings, acting: pl.DataFrame | None) -> None:
        self._config, self._rules, self._acting = run.config, rules, acting
        self._equity = run.table("equity").select("ts", "equity")
        self._open: dict[Key, Supposed] = {}
        self._last: dict[str, float] = {}
        self.earned: dict[int, tuple[int, int]] = {}

    def follow(self, refused: pl.DataFrame, part: Part) -> None:
        """Take a part's refused entries on (rows of decisions with `group`), and go on with those that are open."""
        entries = self._described(refused, part.signals)
        fresh = {key: own for key, own in entries.partition_by("strategy", "symbol", as_dict=True).items()}
        bars = {symbol: own for (symbol,), own in part.bars.partition_by("symbol", as_dict=True).items()}
        leaves = part.signals.filter(pl.col("action").is_in(["exit_long", "exit_short", "target"]))
        exits = {key: own for key, own in leaves.partition_by("strategy", "symbol", as_dict=True).items()}
        for key in sorted({*fresh, *self._open}):
            if key in fresh:
                self._take(key, fresh[key])
            if key[1] in bars:
                self._go_on(key, Tape.of(bars[key[1]]), exits.get(key))
        self._last |= {symbol: float(own.sort("ts")["close"][-1]) for symbol, own in bars.items()}

    def finish(self) -> None:
        """Close what is still held at its symbol's last close, without a fee."""
        for (_, symbol), held in sorted(self._open.items()):
            inside = held.those(~np.isnan(held.entry))
            rows = len(inside)
            self._book(symbol, inside, np.full(rows, self._last[symbol]), np.zeros(rows), np.full(rows, LATER))

    def _described(self, refused: pl.DataFrame, signals: pl.DataFrame) -> pl.DataFrame:
        """The entries with what their signals gave, the equity of the moment, and how far the stop is."""
        key = ["strategy", "symbol", "ts"]
        rests = [name for name in RESTS if name in signals.columns]
        own = signals.filter(pl.col("action") != "target").select(*key, "action", *GIVEN, *rests, "on_open", "on_close")
        weights = signals.filter(pl.col("action") == "target").select(*key, weight="target")
        made = (
            refused.join(own, on=[*key, "action"], how="left").join(weights, on=key, how="left").sort("ts", "strategy", "symbol", "action")
        )
        timed = [pl.col(name).fill_null(False) for name in ("on_open", "on_close")]
        made = made.with_columns(rests=pl.any_horizontal(*timed, *(pl.col(name).is_not_null() for name in rests)))
        made = made.join_asof(self._equity, on="ts", strategy="backward", allow_exact_matches=False)
        cash, capital = self._config["account"]["cash"], self._config["account"]["capital"]
        purse = pl.col("strategy").replace_strict(capital, default=None, return_dtype=pl.Float64) if capital else pl.col("equity")
        return made.with_columns(equity=purse.fill_null(cash), distance=self._distance())

    def _distance(self) -> pl.Expr:
        """How far the nearer stop is from the price seen; null where there is none."""
        price, rules = pl.col("price"), self._rules
        side = pl.when(pl.col("action") == "enter_long").then(1.0).otherwise(-1.0)
        fixed = pl.coalesce("stop_price", price * (1.0 - side * pl.coalesce("stop_loss", pl.lit(rules.stop_loss, pl.Float64))))
        given = pl.col("trailing_stop").is_null() & pl.col("trailing_amount").is_null()
        part = pl.when(given).then(pl.lit(rules.trailing_stop, pl.Float64)).otherwise("trailing_stop")
        amount = pl.when(given).then(pl.lit(rules.trailing_amount, pl.Float64)).otherwise("trailing_amount")
        return pl.min_horizontal((price - fixed).abs(), pl.coalesce(amount, price * part))

    def _take(self, key: Key, fresh: pl.DataFrame) -> None:
        """The entries that have a size and fill as market orders; the others are counted and not followed."""
        size = sizes(fresh, self._rules, self._config["trading_config"]["max_per_trade"], key[1])
        size[fresh["rests"].to_numpy()] = np.nan
        direction = np.where(fresh["action"].cast(pl.String).to_numpy() == "enter_long", 1, -1)
        at, day = (fresh[name].to_physical().to_numpy().astype(np.int64) for name in ("ts", "session"))
        made = Supposed.fresh(fresh["group"].to_numpy(), at, day, direction, size)
        made = made.those(~np.isnan(size))
        self._open[key] = self._open[key].and_(made) if key in self._open else made

    def _go_on(self, key: Key, tape: Tape, exits: pl.DataFrame | None) -> None:
        """Fill and close what can be in one part."""
        inside, gone = fill_entries(self._open[key], tape, self._rules, key[1])
        inside = inside.those(~gone)
        left = inside.those(np.isnan(inside.entry))
        for direction in (1, -1):
            held = inside.those(~np.isnan(inside.entry) & (inside.direction == direction))
            after, closed, price, fee, day = fill_exits(held, _moments(exits, direction), tape, self._rules, key[1])
            self._book(key[1], after.those(closed), price[closed], fee[closed], day[closed])
            left = left.and_(after.those(~closed))
        self._open[key] = left

    def _book(self, symbol: str, closed: Supposed, price: Floats, fee: Floats, day: Ints) -> None:
        """Book what closed entries have earned; splits and dividends on the way count."""
        ratio, paid = self._adjusted(symbol, closed.entry_day, day)
        entry, left = np.rint(closed.entry * closed.size * 1e6), np.rint(price * closed.size * ratio * 1e6)
        earned = closed.direction * (left - entry + np.rint(paid * closed.size * 1e6)) - np.rint((closed.fee + fee) * 1e6)
        for group in np.unique(closed.group).tolist():
            own = closed.group == group
            count, sum_ = self.earned.get(group, (0, 0))
            self.earned[group] = count + int(own.sum()), sum_ + int(earned[own].astype(np.int64).sum())

    def _adjusted(self, symbol: str, first: Ints, last: Ints) -> tuple[Floats, Floats]:
        """Shares for one share, and cash for it, by the splits and dividends after one day up to another."""
        ratio, paid = np.ones(len(first)), np.zeros(len(first))
        known = [] if self._acting is None else self._acting.filter(pl.col("symbol") == symbol).to_dicts()
        for row in sorted(known, key=lambda row: (row["ex_date"], row["kind"] != "split")):
            day = (row["ex_date"] - _EPOCH).days
            on = (first < day) & (day <= last)
            if row["kind"] == "split":
                ratio[on] *= row["value"]
            else:
                paid[on] += row["value"] * ratio[on]
        return ratio, paid


def _moments(exits: pl.DataFrame | None, direction: int) -> Ints:
    """When a strategy asked to leave its long (1) or short (-1) positions: an exit, or a weight that is not of their direction."""
    if exits is None:
        return np.zeros(0, np.int64)
    weight = pl.col("target") <= 0 if direction > 0 else pl.col("target") >= 0
    word = "exit_long" if direction > 0 else "exit_short"
    found = exits.filter((pl.col("action") == word) | ((pl.col("action") == "target") & weight))["ts"].sort()
    return found.to_physical().to_numpy().astype(np.int64)
