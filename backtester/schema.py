"""Every table once: its grain, its key, its columns with dtype, unit and meaning, and rows to look at.

Place in the flow: the lowest floor; whoever makes a table calls `frame(FILLS, columns)`, whoever stores or reads one looks here.
Never computes a value, nor knows how a table is checked (that is table.py).

Dtypes are one a kind: a session is a Date, an instant a Datetime in microseconds UTC, prices, quantities and money are Float64
(money is a whole number of 1e-6 currency units, shown as currency), counts and ids Int64, bit sets Int32, words String.
"""

from __future__ import annotations

import polars as pl

from backtester.table import INSTANT as INSTANT
from backtester.table import Column as Column
from backtester.table import Table as Table
from backtester.table import empty as empty
from backtester.table import frame as frame

# Bits of `flags` of a market bar or quote.
FILLED, DERIVED, OUT_OF_SESSION, SYNTHETIC = 1, 2, 4, 8
# Words of `flags` of a decision and of a fill, joined by a comma where there are several, "" where there is none.
SIZE_CUT = "size_cut"
STALE_CLOSE, SYNTHETIC_QUOTE = "stale_close", "synthetic_quote"
FILL_FLAGS = (STALE_CLOSE, SYNTHETIC_QUOTE, "typical_price", "over_participation", "drilled")

PHASES = ("initialize", "history", "load", "activate", "process", "end")
STAGES = ("bars", "derived", "quality", "indicators", "signals")
ACTIONS = ("enter_long", "exit_long", "enter_short", "exit_short", "target")
ACTION_KINDS = ("split", "dividend")
WINDOWS = (20, 60)
GAP_KINDS = ("edge_open", "edge_close", "inside", "session", "market")
SIDES = ("buy", "sell")
ORDER_TYPES = (
    "market", "limit", "stop", "target", "trailing", "close", "stop_limit", "time", "market_on_open", "market_on_close", "margin_call",
)  # fmt: skip
GUARDS, HELD = ("stop", "trailing", "target"), "held"
STATUSES = ("filled", "partial", "expired", "cancelled", "open")
REASONS = (
    "approved",
    "low_quality",
    "low_confidence",
    "max_open_positions",
    "max_per_symbol",
    "max_per_trade",
    "max_buying_power",
    "insufficient_cash",
    "short_not_allowed",
    "already_in_position",
    "no_position",
    "below_lot",
    "after_last_entry",
    "session_closed",
    "no_bar_to_fill",
    "expired",
    "cooldown",
    "no_stop",
    "within_threshold",
    "position_closed",
    "margin_call",
    "participation",
)


def _text(name: str, meaning: str, *words: str, empty: bool = False) -> Column:
    return Column(name, pl.String(), meaning, empty=empty, words=words)


def _number(name: str, meaning: str, unit: str, *, empty: bool = False, timing: bool = False) -> Column:
    return Column(name, pl.Float64(), meaning, unit, empty=empty, timing=timing)


def _count(name: str, meaning: str, unit: str = "", *, empty: bool = False) -> Column:
    return Column(name, pl.Int64(), meaning, unit, empty=empty)


def _instant(name: str, meaning: str, *, empty: bool = False) -> Column:
    return Column(name, INSTANT, meaning, "us UTC", empty=empty)


def _flag(name: str, meaning: str, *, empty: bool = False) -> Column:
    return Column(name, pl.Boolean(), meaning, empty=empty)


def _bits(meaning: str) -> Column:
    return Column("flags", pl.Int32(), meaning, "bit set")


MONEY, PRICE, SHARES, FRACTION, PERCENT = "account currency", "currency a share", "shares", "fraction", "percent"
_STRATEGY = _text("strategy", "name of the strategy in the config")
_SYMBOL = _text("symbol", "instrument, always text")
_SESSION = Column("session", pl.Date(), "label of the trading day")
_INTERVAL = _text("interval", "bar length: 1m, 5m, 1d ...")
_SIDE = _text("side", "buy or sell", *SIDES)
_TYPE = _text("type", "kind of order", *ORDER_TYPES)
_OHLC = tuple(_number(name, f"{name} of the bar", PRICE) for name in ("open", "high", "low", "close"))

BARS = Table(
    "bars",
    "one bar of one symbol (one file a session and interval)",
    ("symbol", "ts"),
    (
        _SYMBOL,
        _instant("ts", "open of the bar"),
        *_OHLC,
        _number("volume", "traded in the bar", SHARES),
        _text("source", "where the bar came from"),
        _bits("1 filled, 2 derived, 4 out of session, 8 synthetic"),
    ),
    (("AAPL", "2025-07-02T13:30Z", 208.91, 209.33, 208.55, 209.02, 1_204_511.0, "example", 0),),
)
QUOTES = Table(
    "quotes",
    "one quote bar of one symbol (one file a session and interval)",
    ("symbol", "ts"),
    (
        _SYMBOL,
        _instant("ts", "open of the bar"),
        *(_number(f"bid_{part}", f"{part} of the bid", PRICE) for part in ("open", "high", "low", "close")),
        _number("bid_size", "size at the last bid", SHARES),
        *(_number(f"ask_{part}", f"{part} of the ask", PRICE) for part in ("open", "high", "low", "close")),
        _number("ask_size", "size at the last ask", SHARES),
        _text("source", "where the quote came from"),
        _bits("1 filled, 2 derived, 4 out of session, 8 synthetic"),
    ),
    (("AAPL", "2025-07-02T13:30Z", 208.9, 209.3, 208.5, 209.0, 300.0, 208.92, 209.34, 208.56, 209.03, 200.0, "example", 0),),
)
CORPORATE_ACTIONS = Table(
    "actions",
    "one split or cash dividend of one symbol (one file a lake)",
    ("symbol", "ex_date", "kind"),
    (
        _SYMBOL,
        Column("ex_date", pl.Date(), "label of the session on whose open it acts"),
        _text("kind", "split or dividend", *ACTION_KINDS),
        _number("value", "split: new shares for one old; dividend: cash on each share, unadjusted", "ratio, or currency a share"),
        _text("source", "where it came from"),
    ),
    (("AAPL", "2014-05-08", "dividend", 3.29, "example"), ("AAPL", "2014-06-09", "split", 7.0, "example")),
)

DECISIONS = Table(
    "decisions",
    "one signal and the verdict on it",
    ("ts", "action", "strategy", "symbol"),
    (
        _STRATEGY,
        _SYMBOL,
        _SESSION,
        _instant("ts", "when the signal's bar was available"),
        _text("action", "what the strategy asked for", *ACTIONS),
        _number("quantity", "size wanted after risk, 0 where there is none", SHARES),
        _number("price", "close of the signal's bar: the price seen", PRICE, empty=True),
        _number("confidence", "0 to 1, 1 where the strategy gave none", FRACTION),
        _number("quality", "as-of quality of the symbol at the bar", PERCENT),
        _flag("approved", "an order was made"),
        _text("reason", "the first check that failed, or approved", *REASONS),
        _text("tag", "the strategy's own word for the signal", empty=True),
        Column("order_id", pl.Int64(), "the order made", empty=True),
        _text("flags", "size_cut where max_per_trade cut the size", empty=True),
    ),
    (
        ("cross", "AAPL", "2025-07-02", "2025-07-02T14:05Z", "enter_long", 47.0, 209.5, 1.0, 100.0, True, "approved", None, 1, ""),
        ("cross", "RIVN", "2025-07-02", "2025-07-02T14:05Z", "enter_long", 0.0, 13.2, 1.0, 91.4, False, "low_quality", None, None, ""),
        ("cross", "AAPL", "2025-07-02", "2025-07-02T15:20Z", "exit_long", 47.0, 210.1, 1.0, 100.0, True, "approved", "x", 2, ""),
    ),
)
ORDERS = Table(
    "orders",
    "one order, written when it is resolved, or at the end of the run where it still waits",
    ("order_id",),
    (
        _count("order_id", "counts from 1 in the order of making"),
        _STRATEGY,
        _SYMBOL,
        _SESSION,
        _instant("ts", "when the order was made"),
        _SIDE,
        _TYPE,
        _number("quantity", "ordered; of a stop, a target or an exit of all that is held it follows the position", SHARES),
        _number("filled", "executed of it so far", SHARES),
        _number("limit", "level of a limit, stop-limit or target order", PRICE, empty=True),
        _number("stop", "level of a stop or stop-limit order; of a trailing one the last", PRICE, empty=True),
        _text("status", "how it ended", *STATUSES),
        _text("reason", "why it ended so", empty=True),
        _number("price_seen", "last close when the order was made", PRICE, empty=True),
    ),
    (
        (1, "cross", "AAPL", "2025-07-02", "2025-07-02T14:05Z", "buy", "market", 47.0, 47.0, None, None, "filled", None, 209.5),
        (2, "cross", "AAPL", "2025-07-02", "2025-07-02T14:05Z", "sell", "stop", 47.0, 0.0, None, 205.3, "cancelled", "oco", 209.5),
        (3, "cross", "AAPL", "2025-07-02", "2025-07-02T14:05Z", "sell", "target", 47.0, 47.0, 213.7, None, "filled", None, 209.5),
    ),
)
FILLS = Table(
    "fills",
    "one execution",
    ("order_id", "ts"),
    (
        _count("order_id", "the order that was executed"),
        _STRATEGY,
        _SYMBOL,
        _SESSION,
        _instant("ts", "open of the bar that filled it"),
        _SIDE,
        _number("quantity", "executed", SHARES),
        _number("price", "paid or received, slippage in it", PRICE),
        _number("value", "price x quantity", MONEY),
        _number("fee", "commission, never negative", MONEY),
        _number("slippage", "paid against the price before slippage, never negative", MONEY),
        _TYPE,
        _flag("ambiguous", "the bar held stop and target, or an entry and its stop, and does not say which came first"),
        _text("flags", "stale_close, synthetic_quote, typical_price, over_participation, drilled, joined by a comma, or nothing"),
        _number("other", "of an ambiguous fill the price that it might have had instead", PRICE, empty=True),
        _text("other_type", "what might have filled there: stop, trailing, target, or held where nothing might", empty=True),
    ),
    (
        (1, "cross", "AAPL", "2025-07-02", "2025-07-02T14:05Z", "buy", 47.0, 209.52, 9847.44, 1.0, 0.94, "market", False, "", None, None),
        (3, "cross", "AAPL", "2025-07-02", "2025-07-02T17:31Z", "sell", 47.0, 213.7, 10043.9, 1.0, 0.0, "target", False, "", None, None),
        (9, "cross", "RIVN", "2025-07-03", "2025-07-03T16:59Z", "sell", 700.0, 13.1, 9170.0, 3.5, 0.92, "close", False, "stale_close",
         None, None),
    ),
)  # fmt: skip
AMBIGUITY = Table(
    "ambiguity",
    "one ambiguous fill: what its trade earned, and would have earned otherwise",
    ("order_id", "ts"),
    (
        _count("order_id", "the order that was executed"),
        _count("trade_id", "the trade that it closed"),
        _STRATEGY,
        _SYMBOL,
        _SESSION,
        _instant("ts", "open of the bar that filled it"),
        _TYPE,
        _number("quantity", "executed", SHARES),
        _number("price", "paid or received, slippage in it", PRICE),
        _text("other_type", "what might have filled instead: stop, trailing, target, or held where nothing might", *GUARDS, HELD),
        _number("other", "the price there, slippage in it; the bar's close where held", PRICE),
        _number("pnl", "of the trade", MONEY),
        _number("pnl_other", "the same trade's, closed at `other` with the fee of that price", MONEY),
        _number("pnl_low", "the lower of the two", MONEY),
        _number("pnl_high", "the higher of the two", MONEY),
    ),
    (
        (2, 1, "cross", "AAPL", "2025-07-02", "2025-07-02T17:31Z", "stop", 47.0, 205.3, "target", 213.7, -200.34, 194.46, -200.34, 194.46),
        (8, 4, "cross", "AAPL", "2025-07-03", "2025-07-03T14:12Z", "stop", 47.0, 209.9, "held", 210.4, -2.94, 20.56, -2.94, 20.56),
    ),
)  # fmt: skip
TRADES = Table(
    "trades",
    "one round trip, or the part of one that an exit took, in the order of closing; those open at the end stand last, at the last close",
    ("trade_id",),
    (
        _count("trade_id", "counts from 1, as positions are opened and as what is left of one goes on after a part"),
        _count("order_id", "the order that closed it; empty where the position is open", empty=True),
        _STRATEGY,
        _SYMBOL,
        _text("direction", "long or short", "long", "short"),
        _instant("entry_ts", "open of the bar of the entry fill"),
        _number("entry_price", "paid, or received for a short", PRICE),
        _instant("exit_ts", "open of the bar of the exit fill; empty where the position is open", empty=True),
        _number("exit_price", "received, or paid for a short; the last mark where the position is open", PRICE, empty=True),
        _number("quantity", "shares of the position", SHARES),
        _number("pnl", "exit value - entry value (the other way round for a short) - fees + dividends", MONEY),
        _number("return", "pnl / entry value", FRACTION, empty=True),
        _number("fees", "both sides' commission, and the borrow", MONEY),
        _number("borrow", "what holding a short overnight has cost", MONEY),
        _number("dividends", "dividends and cash in lieu of fractions received; below 0 where a short paid them", MONEY),
        _count("bars", "base slots from entry to exit, 0 within one bar", "slots"),
        _number("mae", "worst price while in the position / entry price - 1, its sign turned for a short; never above 0", FRACTION),
        _number("mfe", "best price while in the position / entry price - 1, its sign turned for a short; never below 0", FRACTION),
        _text("exit_reason", "what closed it", empty=True),
        _flag("is_open", "open at the end of the run"),
    ),
    (
        (1, 3, "cross", "AAPL", "long", "2025-07-02T14:05Z", 209.52, "2025-07-02T17:31Z", 213.7, 47.0, 194.46, 0.0197, 2.0,
         0.0, 0.0, 206, -0.0021, 0.0199, "target", False),
        (2, 9, "cross", "RIVN", "long", "2025-07-03T14:00Z", 13.3, "2025-07-03T16:59Z", 13.1, 700.0, -147.0, -0.0158, 7.0,
         0.0, 0.0, 179, -0.017, 0.001, "close", False),
        (3, None, "cross", "AAPL", "long", "2025-07-07T19:00Z", 210.0, None, 210.4, 47.0, 17.8, 0.0018, 1.0, 0.0, 0.0, 59, 0.0, 0.002,
         None, True),
    ),
)  # fmt: skip
EQUITY = Table(
    "equity",
    "one base slot in which any symbol has a bar",
    ("ts",),
    (
        _instant("ts", "open of the slot; the marks are its closes"),
        _SESSION,
        _number("cash", "cash after the slot", MONEY),
        _number("equity", "cash + positions at their last real close", MONEY),
        _number("gross", "sum of the absolute values of all positions", MONEY),
        _number("net", "long minus short", MONEY),
        _number("drawdown", "1 - equity / highest equity so far, the start included", FRACTION),
    ),
    (
        ("2025-07-02T13:30Z", "2025-07-02", 100_000.0, 100_000.0, 0.0, 0.0, 0.0),
        ("2025-07-02T14:05Z", "2025-07-02", 90_151.56, 99_998.06, 9_846.5, 9_846.5, 0.0000194),
        ("2025-07-02T17:31Z", "2025-07-02", 100_194.46, 100_194.46, 0.0, 0.0, 0.0),
    ),
)
SESSIONS = Table(
    "sessions",
    "one session",
    ("session",),
    (
        _SESSION,
        _instant("open", "open of the session"),
        _instant("close", "close of the session"),
        _flag("early_close", "ends before the calendar's regular close"),
        _count("bars", "real base bars of all symbols", "bars"),
        _count("expected", "slots x symbols", "slots"),
        _number("quality", "100 x bars / expected over all symbols", PERCENT, empty=True),
        _count("fills", "executions"),
        _number("pnl", "equity - equity at the end of the session before (the start's cash at the first)", MONEY),
        _number("equity", "at the end of the session", MONEY),
        _number("return", "pnl / equity at the end of the session before", FRACTION, empty=True),
        *(_number(f"seconds_{phase}", f"time spent in phase {phase}", "seconds", timing=True) for phase in PHASES),
    ),
    (
        ("2025-07-02", "2025-07-02T13:30Z", "2025-07-02T20:00Z", False, 780, 780, 100.0, 4, 194.46, 100_194.46, 0.0019,
         1e-4, 2e-3, 4e-3, 1e-3, 3e-3, 1e-4),
        ("2025-07-03", "2025-07-03T13:30Z", "2025-07-03T17:00Z", True, 412, 420, 98.1, 0, 0.0, 100_194.46, 0.0,
         1e-4, 2e-3, 3e-3, 1e-3, 2e-3, 1e-4),
    ),
)  # fmt: skip
ROLLING = Table(
    "rolling",
    "one session; a window's columns are empty until it is full",
    ("session",),
    (
        _SESSION,
        *(
            _number(f"{name}_{window}", f"{meaning} of the last {window} sessions", unit, empty=True)
            for window in WINDOWS
            for name, meaning, unit in (
                ("return", "return", FRACTION),
                ("volatility", "annualized deviation of the returns", FRACTION),
                ("sharpe", "Sharpe ratio", ""),
                ("drawdown", "deepest drawdown", FRACTION),
            )
        ),
    ),
    (
        ("2025-07-02", *[None] * 8),
        ("2025-07-31", 0.012, 0.084, 1.71, 0.021, *[None] * 4),
        ("2025-09-26", -0.003, 0.061, -0.62, 0.018, 0.031, 0.075, 1.62, 0.034),
    ),
)
QUALITY = Table(
    "quality",
    "symbol, session, interval",
    ("symbol", "session", "interval"),
    (
        _SYMBOL,
        _SESSION,
        _INTERVAL,
        _count("expected", "slots of the session", "slots"),
        _count("actual", "distinct in-session slots that hold a bar", "slots"),
        _number("quality", "100 x actual / expected", PERCENT),
        _count("gaps", "runs of missing slots"),
        _count("longest_gap", "slots of the longest run", "slots"),
        _instant("first_ts", "open of the first bar", empty=True),
        _instant("last_ts", "open of the last bar", empty=True),
        _count("out_of_session", "bars outside the session, left out", "bars"),
        _count("duplicates", "bars that repeat a slot, left out", "bars"),
    ),
    (("AAPL", "2025-07-02", "1m", 390, 390, 100.0, 0, 0, "2025-07-02T13:30Z", "2025-07-02T19:59Z", 0, 0),),
)
GAPS = Table(
    "gaps",
    "one run of missing slots",
    ("symbol", "session", "interval", "start"),
    (
        _SYMBOL,
        _SESSION,
        _INTERVAL,
        _instant("start", "open of the first missing slot"),
        _instant("end", "end of the last missing slot"),
        _count("bars", "missing slots", "slots"),
        _text("kind", "where in the session, or market where most symbols miss it", *GAP_KINDS),
        _flag("reconciled", "the session's volume agrees with the lake's daily bar to 1 %; empty where there is none", empty=True),
    ),
    (("RIVN", "2025-07-02", "1m", "2025-07-02T15:10Z", "2025-07-02T15:13Z", 3, "inside", None),),
)
FINDINGS = Table(
    "findings",
    "one thing seen in the data",
    ("symbol", "session", "ts", "kind"),
    (
        _SYMBOL,
        _SESSION,
        _instant("ts", "open of the bar", empty=True),
        _text("kind", "what was seen: duplicate, out_of_session, ohlc, price, zero_volume, jump, stale ..."),
        _number("value", "how much", "after the kind", empty=True),
        _text("detail", "a short sentence", empty=True),
    ),
    (("RIVN", "2025-07-02", "2025-07-02T15:20Z", "zero_volume", 0.0, "bar without volume"),),
)
DIGESTS = Table(
    "digests",
    "session and stage",
    ("session", "stage"),
    (_SESSION, _text("stage", "what was hashed", *STAGES), _text("digest", "SHA-256 of the stage's columns, hex")),
    (("2025-07-02", "bars", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),),
)

KEPT_SIGNALS = Table(
    "signals",
    "one signal, before any verdict; kept on request",
    ("ts", "action", "strategy", "symbol"),
    (
        _STRATEGY,
        _SYMBOL,
        _SESSION,
        _instant("ts", "when the signal's bar was available"),
        _text("action", "what the strategy asked for", *ACTIONS),
        _number("price", "close of the signal's bar", PRICE, empty=True),
        _number("quality", "as-of quality of the symbol at the bar", PERCENT),
        _number("confidence", "0 to 1, 1 where the strategy gave none", FRACTION),
        _number("size", "asked for", SHARES, empty=True),
        _number("stop_loss", "below the entry price", FRACTION, empty=True),
        _number("take_profit", "above the entry price", FRACTION, empty=True),
        _number("stop_price", "level of the stop", PRICE, empty=True),
        _number("target_price", "level of the target", PRICE, empty=True),
        _number("limit", "the order's own limit", PRICE, empty=True),
        _number("entry_stop", "the price from which on the entry fills", PRICE, empty=True),
        _number("entry_trail", "how far from the price the entry's stop follows", FRACTION, empty=True),
        _number("entry_trail_amount", "how far from the price the entry's stop follows", PRICE, empty=True),
        _number("trailing_stop", "how far behind the price the stop follows", FRACTION, empty=True),
        _number("trailing_amount", "how far behind the price the stop follows", PRICE, empty=True),
        _number("exit_fraction", "the part of the position to sell", FRACTION, empty=True),
        _number("target", "the weight that the position shall have in the equity, below 0 for a short", FRACTION, empty=True),
        _flag("on_open", "the order waits for the next session's open"),
        _flag("on_close", "the order waits for a session's close"),
        _text("tag", "the strategy's own word for the signal", empty=True),
    ),
)
KEPT_BARS = Table(
    "bars",
    "one bar of the base or of a derived interval, as strategies saw it; kept on request",
    ("session", "interval", "symbol", "ts"),
    (
        _SYMBOL,
        _SESSION,
        _INTERVAL,
        _instant("ts", "open of the bar"),
        _instant("end", "from when it is available"),
        *_OHLC,
        _number("volume", "traded in the bar", SHARES),
        _number("quality", "as-of quality of the symbol at the bar", PERCENT),
        _flag("complete", "every base slot of the bar held a bar"),
    ),
)
KEPT_INDICATORS = Table(
    "indicators",
    "one value of an indicator of the config on one bar; historical ones on the session's open or its minutes; kept on request",
    ("session", "interval", "name", "symbol", "ts"),
    (
        _SYMBOL,
        _SESSION,
        _text("interval", "bar length; historical where it comes from the sessions before"),
        _instant("ts", "open of the bar"),
        _text("name", "as the config calls it"),
        _number("value", "empty before warm-up", "after the indicator", empty=True),
    ),
)
KEPT_TABLES = {table.name: table for table in (KEPT_SIGNALS, KEPT_BARS, KEPT_INDICATORS)}
"""Tables that a run writes only where its config asks to keep them; results do not depend on them."""

RUN_TABLES = {
    table.name: table
    for table in (DECISIONS, ORDERS, FILLS, AMBIGUITY, TRADES, EQUITY, SESSIONS, ROLLING, QUALITY, GAPS, FINDINGS, DIGESTS)
}
"""The tables of a run's folder by name, in the order in which they are listed."""
