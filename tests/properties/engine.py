"""A scene through the engine, and the tables that the simulator says must come out.

`play` turns a scene into the engine's arrays and settings, trades it in one piece or cut at sessions, and hands back tables;
`expected` writes the slow simulator's result in the same columns. Never decides anything itself.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from backtester.schema import CORPORATE_ACTIONS
from backtester.table import frame
from backtester.trading.adjustments import trade_through
from backtester.trading.costs import CommissionSettings, SlippageSettings
from backtester.trading.execution import AccountSettings, Carry, Events, ExecutionSettings, Market, SizingSettings, finish
from backtester.trading.finer import Reading
from backtester.trading.ledger import tables
from backtester.trading.risk import RiskSettings
from backtester.trading.rows import Columns, Outcome
from tests.scene import Result, Rules, Scene, Signal, Slot
from tests.simulator import money

DAY = 86_400_000_000
FLAGS = ("stale_close", "synthetic_quote", "typical_price", "over_participation", "drilled")
TABLES = ("decisions", "orders", "fills", "ambiguity", "trades", "equity")
ACTIONS = ("enter_long", "exit_long", "enter_short", "exit_short", "target")


QUOTED = tuple(field.name for field in fields(Market) if field.name.startswith(("bid_", "ask_")))
PLAIN = Rules()


def given(rules: Rules, *names: str, **renamed: str) -> dict[str, Any]:
    """Those rules that are not at their default, by the names of their settings (setting=rule where they differ)."""
    wanted = {**{name: name for name in names}, **renamed}
    return {setting: getattr(rules, rule) for setting, rule in wanted.items() if getattr(rules, rule) != getattr(PLAIN, rule)}


def execution_of(rules: Rules) -> ExecutionSettings:
    """The execution settings of the rules."""
    plain = ("borrow_bps", "limit_fill", "intrabar", "trailing_stop", "trailing_amount", "max_hold_bars", "max_hold_minutes", "tick")
    return ExecutionSettings(
        fill=rules.fill,
        price=rules.price,
        sizing=SizingSettings(type=rules.sizing, value=rules.value, **given(rules, at="size_at")),
        lot=rules.lot,
        commission=commission_of(rules),
        slippage=slippage_of(rules),
        time_in_force=rules.time_in_force,
        flat_at_close=rules.flat_at_close,
        no_entry_minutes=rules.no_entry_minutes,
        stop_loss=rules.stop_loss,
        take_profit=rules.take_profit,
        **{name: getattr(rules, name) for name in plain},
        **given(rules, "rebalance_threshold", "max_participation", "stop_watch", "stop_fill"),
        **rungs_of(rules),
        **instruments_of(rules),
    )


def commission_of(rules: Rules) -> CommissionSettings:
    """The commission and its tiers."""
    tiers = tuple(dict(zip(("above", "per_share", "bps"), tier, strict=True)) for tier in rules.tiers)
    return CommissionSettings(
        per_share=rules.per_share, bps=rules.fee_bps, minimum=rules.minimum, cap_bps=rules.cap_bps, **({"tiers": tiers} if tiers else {})
    )


def slippage_of(rules: Rules) -> SlippageSettings:
    """The slippage in all its parts."""
    parts = given(rules, "impact_bps")
    return SlippageSettings(bps=rules.slippage_bps, ticks=rules.slippage_ticks, spread=rules.slippage_spread, **parts)


def rungs_of(rules: Rules) -> dict[str, Any]:
    """The rungs of scaling out, where there are any."""
    rungs = tuple({"take_profit": take_profit, "fraction": fraction} for take_profit, fraction in rules.scale_out)
    return {"scale_out": rungs} if rungs else {}


def instruments_of(rules: Rules) -> dict[str, Any]:
    """Lots and ticks of single symbols, where there are any."""
    if not rules.instruments:
        return {}
    pairs = {symbol: zip(("lot", "tick"), sizes, strict=True) for symbol, sizes in rules.instruments.items()}
    return {"instruments": {symbol: {name: size for name, size in pair if size is not None} for symbol, pair in pairs.items()}}


def risk_of(rules: Rules) -> RiskSettings:
    """The risk settings of the rules."""
    return RiskSettings(
        max_buying_power=rules.max_buying_power,
        max_per_trade=rules.max_per_trade,
        max_per_symbol=rules.max_per_symbol,
        max_open_positions=rules.max_open_positions,
        min_quality=rules.min_quality,
        min_confidence=rules.min_confidence,
        cooldown_minutes=rules.cooldown_minutes,
        **given(rules, "max_entries"),
    )


def account_of(rules: Rules) -> AccountSettings:
    """The account settings of the rules."""
    more = given(rules, "capital", "margin_call", "maintenance")
    return AccountSettings(cash=rules.cash, allow_short=rules.allow_short, leverage=rules.leverage, **more)


def market_of(scene: Scene, slots: list[Slot]) -> Market:
    """The market of some whole sessions of the scene, one column a slot."""

    def grid(kind: str, name: str) -> Any:
        found = [[getattr(getattr(slot, kind).get(symbol), name, np.nan) for slot in slots] for symbol in scene.symbols]
        return np.array(found, dtype=np.float64)

    sessions = sorted({slot.session for slot in slots})
    firsts = [next(slot for slot in slots if slot.session == session) for session in sessions]
    quotes = any(slot.quotes for slot in scene.slots)
    return Market(
        symbols=scene.symbols,
        strategies=scene.strategies,
        ts=np.array([slot.start for slot in slots], dtype=np.int64),
        end=np.array([slot.end for slot in slots], dtype=np.int64),
        session=np.array([sessions.index(slot.session) for slot in slots], dtype=np.int32),
        labels=np.array([first.start // DAY for first in firsts], dtype="datetime64[D]"),
        session_open=np.array([first.start for first in firsts], dtype=np.int64),
        session_close=np.array([first.session_close for first in firsts], dtype=np.int64),
        **{name: grid("bars", name) for name in ("open", "high", "low", "close", "volume")},
        vwap=grid("bars", "vwap") if scene.rules.fill == "next_vwap" else None,
        **{name: grid("quotes", name) if quotes else None for name in QUOTED},
    )


def events_of(scene: Scene, first: int, last: int) -> Events:
    """The signals of slots first <= t < last, in decision order, counted from `first`."""
    signals = [signal for signal in scene.signals if first <= signal.t < last]
    tags = tuple(sorted({signal.tag for signal in signals}))

    def column(name: str) -> Any:
        return np.array([np.nan if getattr(s, name) is None else getattr(s, name) for s in signals], dtype=np.float64)

    calls = [field.name for field in fields(Events) if field.name in ("on_open", "on_close")]
    levels = [field.name for field in fields(Events) if field.name not in ("t", "strategy", "symbol", "action", "tag", "tags", *calls)]
    return Events(
        t=np.array([signal.t - first for signal in signals], dtype=np.int64),
        strategy=np.array([scene.strategies.index(signal.strategy) for signal in signals], dtype=np.int32),
        symbol=np.array([scene.symbols.index(signal.symbol) for signal in signals], dtype=np.int32),
        action=np.array([ACTIONS.index(signal.action) for signal in signals], dtype=np.int8),
        **{name: column(name) for name in levels},
        **{name: np.array([getattr(s, name) for s in signals], dtype=np.bool_) for name in calls},
        tag=np.array([tags.index(signal.tag) for signal in signals], dtype=np.int32),
        tags=tags,
    ).sorted()


def cuts_of(scene: Scene) -> list[int]:
    """Slots at which a session begins, but for the first."""
    return [t for t in range(1, len(scene.slots)) if scene.slots[t].session != scene.slots[t - 1].session]


def play(scene: Scene, cuts: tuple[int, ...] = ()) -> dict[str, pl.DataFrame]:
    """The engine's tables of the scene, traded in chunks that begin at the cuts."""
    purses = account_of(scene.rules).purses(scene.strategies)
    carry = Carry.start(money(scene.rules.cash), len(scene.strategies), len(scene.symbols), purses)
    settings = execution_of(scene.rules), risk_of(scene.rules), account_of(scene.rules)
    bounds, parts = [0, *cuts, len(scene.slots)], []
    for first, last in pairwise(bounds):
        market = market_of(scene, list(scene.slots[first:last]))
        outcomes, carry = trade_through(market, events_of(scene, first, last), carry, *settings, actions_of(scene), reading_of(scene))
        outcomes += [finish(carry)] if last == len(scene.slots) else []
        parts.append(tables(reduce(joined, outcomes)))
    return {name: pl.concat([part[name] for part in parts]) for name in parts[0]}


def reading_of(scene: Scene) -> Reading | None:
    """Finds the scene's finer bars with a close and volume, where the rules look into bars."""
    if scene.rules.intrabar != "drill_down":
        return None
    fine = {(slot.start, name): bars for slot in scene.slots for name, bars in slot.fine.items()}

    def reading(symbol: Any, begin: Any, finish: Any) -> tuple[Any, Any, Any, Any, Any]:
        asked = enumerate(zip(begin.tolist(), symbol.tolist(), strict=True))
        rows = [
            (place, bar.open, bar.high, bar.low, bar.close)
            for place, (ts, number) in asked
            for bar in fine.get((ts, scene.symbols[number]), ())
            if bar.volume > 0.0
        ]
        columns = np.array(rows, np.float64).reshape(-1, 5).T
        return columns[0].astype(np.int64), columns[1], columns[2], columns[3], columns[4]

    return reading


def actions_of(scene: Scene) -> pl.DataFrame:
    """The scene's corporate actions as a table."""
    columns: dict[str, Any] = {name: [getattr(action, name) for action in scene.actions] for name in ("symbol", "kind", "value")}
    days = np.array([action.day for action in scene.actions], dtype="datetime64[D]")
    return frame(CORPORATE_ACTIONS, columns | {"ex_date": days, "source": [""] * len(days)})


def joined(one: Outcome, other: Outcome) -> Outcome:
    """Two outcomes as one, for tables take longer to make than a small run to trade."""

    def column(name: str, columns: Columns, more: Columns) -> Any:
        codes = more[name]
        return np.concatenate((columns[name], np.where(codes < 0, codes, codes + len(one.tags)) if name == "tag" else codes))

    parts = {name: (getattr(one, name), getattr(other, name)) for name in TABLES}
    whole = {name: {key: column(key, *part) for key in part[0]} if all(part) else part[0] or part[1] for name, part in parts.items()}
    return replace(one, tags=(*one.tags, *other.tags), **whole)


def rows_of(table: pl.DataFrame) -> list[dict[str, Any]]:
    """A table's rows with instants as microseconds and sessions as days."""
    return table.with_columns(pl.col(pl.Datetime).cast(pl.Int64), pl.col(pl.Date).cast(pl.Int32)).to_dicts()


def expected(scene: Scene, result: Result) -> dict[str, list[dict[str, Any]]]:
    """The simulator's result as the rows of the engine's tables."""
    return {
        "decisions": [decision_row(scene, row) for row in result.decisions],
        "orders": [order_row(o) for o in sorted(result.orders, key=lambda o: (o.resolved is None, o.resolved or 0, o.order_id))],
        "fills": [fill_row(scene, row) for row in result.fills],
        "trades": [trade_row(scene, row) for row in result.trades],
        "equity": equity_rows(scene, result),
    }


def decision_row(scene: Scene, row: dict[str, Any]) -> dict[str, Any]:
    signal: Signal = row["signal"]
    slot, order = scene.slots[signal.t], row["order"]
    return {
        "strategy": signal.strategy, "symbol": signal.symbol, "session": slot.start // DAY, "ts": slot.end, "action": signal.action,
        "quantity": row["quantity"], "price": signal.price, "confidence": signal.confidence, "quality": signal.quality,
        "approved": row["approved"], "reason": row["reason"], "tag": signal.tag or None,
        "order_id": order.order_id if order else None, "flags": "size_cut" if row["cut"] else "",
    }  # fmt: skip


def order_row(order: Any) -> dict[str, Any]:
    return {
        "order_id": order.order_id, "strategy": order.strategy, "symbol": order.symbol, "session": order.ts // DAY, "ts": order.ts,
        "side": order.side, "type": order.type, "quantity": order.quantity, "limit": order.limit, "stop": order.stop,
        "status": order.status, "reason": order.reason or None,
        "price_seen": order.seen, "filled": order.filled,
    }  # fmt: skip


def fill_row(scene: Scene, row: dict[str, Any]) -> dict[str, Any]:
    order, start = row["order"], scene.slots[row["t"]].start
    return {
        "order_id": order.order_id, "strategy": order.strategy, "symbol": order.symbol, "session": start // DAY, "ts": start,
        "side": order.side, "quantity": row["quantity"], "price": row["price"], "value": row["value"] / 1e6, "fee": row["fee"] / 1e6,
        "slippage": row["slippage"] / 1e6, "type": order.type, "ambiguous": row["ambiguous"],
        "flags": ",".join(flag for flag in FLAGS if flag in row["flags"]), "other": row["other"], "other_type": row["other_type"],
    }  # fmt: skip


def trade_row(scene: Scene, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "trade_id": row["trade_id"], "strategy": row["strategy"], "symbol": row["symbol"], "direction": row["direction"],
        "entry_ts": scene.slots[row["entry"]].start, "entry_price": row["entry_price"],
        "exit_ts": None if row["is_open"] else scene.slots[row["exit"]].start, "exit_price": row["exit_price"],
        "quantity": row["quantity"], "pnl": row["pnl"] / 1e6, "return": row["return"], "fees": row["fees"] / 1e6,
        "borrow": row["borrow"] / 1e6, "dividends": row["dividends"] / 1e6,
        "bars": row["bars"], "mae": row["mae"], "mfe": row["mfe"], "exit_reason": row["exit_reason"] or None, "is_open": row["is_open"],
        "order_id": row["order"].order_id if row["order"] else None,
    }  # fmt: skip


def equity_rows(scene: Scene, result: Result) -> list[dict[str, Any]]:
    rows, peak = [], money(scene.rules.cash)
    for row in result.equity:
        start, peak = scene.slots[row["t"]].start, max(peak, row["equity"])
        rows.append({
            "ts": start, "session": start // DAY, "cash": row["cash"] / 1e6, "equity": row["equity"] / 1e6,
            "gross": row["gross"] / 1e6, "net": row["net"] / 1e6, "drawdown": 1.0 - float(row["equity"]) / float(peak),
        })  # fmt: skip
    return rows
