"""Trials traded from event to event, or pair by pair, come to the same as trials traded by the kernel of a run, to the last digit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from backtester.schema import CORPORATE_ACTIONS, empty
from backtester.trading.accounts import Account, Asked, Sums, stretches, terms
from backtester.trading.alone import Rows, Seen, Wish, wish_of
from backtester.trading.execution import AccountSettings, Events, ExecutionSettings, Market
from backtester.trading.inputs import GIVEN
from backtester.trading.plain import Wanted
from backtester.trading.risk import RiskSettings

MINUTE = 60_000_000
DAY = 86_400_000_000


def market_of(random: np.random.Generator) -> Market:
    """Some sessions of a few symbols, with missing bars, bars without volume and prices of few cents, so that much is equal."""
    symbols, sessions = int(random.integers(1, 5)), int(random.integers(2, 7))
    count = random.integers(3, 40, sessions)
    session = np.repeat(np.arange(sessions), count).astype(np.int32)
    slot = np.concatenate([np.arange(size) for size in count])
    opened = (19_000 + np.cumsum(random.integers(1, 4, sessions))) * DAY
    ts = opened[session] + slot * MINUTE
    shape = symbols, len(session)
    steps = random.integers(-3, 4, shape).cumsum(axis=1) * random.choice([0.01, 0.37])
    close = np.maximum(np.round(random.choice([5.0, 100.0]) + steps, 2), 0.05)
    opens = np.maximum(np.round(close + random.integers(-2, 3, shape) * 0.01, 2), 0.05)
    missing, volume = random.random(shape) < random.choice([0.0, 0.3]), np.where(random.random(shape) < 0.1, 0.0, 1e6)
    for prices in (close, opens, volume):
        prices[missing] = np.nan
    high, low = np.fmax(opens, close), np.fmin(opens, close)
    names = tuple("ABCDE"[:symbols])
    return Market(
        symbols=names, strategies=("one", "two")[: int(random.integers(1, 3))], ts=ts, end=ts + MINUTE, session=session,
        labels=(opened // DAY).astype("datetime64[D]"), session_open=opened, session_close=opened + count * MINUTE,
        open=opens, high=high, low=low, close=close, volume=volume,
        bid_open=None, bid_close=None, ask_open=None, ask_close=None, vwap=None,
    )  # fmt: skip


def settings_of(random: np.random.Generator) -> tuple[ExecutionSettings, RiskSettings, AccountSettings]:
    pick = random.choice
    sizing: dict[str, Any] = [
        {"type": "shares", "value": float(pick([1, 70]))},
        {"type": "notional", "value": float(pick([50.0, 3000.0]))},
        {"type": "equity_fraction", "value": float(pick([0.2, 0.7, 1.0]))},
    ][random.integers(3)]
    short = bool(random.random() < 0.5)
    execution = ExecutionSettings.model_validate({
        "fill": str(pick(["next_open", "next_close"])), "sizing": sizing, "lot": float(pick([1.0, 0.1, 7.0])),
        "commission": [{}, {"preset": "ibkr_fixed"}, {"bps": 7.0}][random.integers(3)],
        "slippage": {"bps": float(pick([0, 3])), "ticks": float(pick([0, 1]))},
    })  # fmt: skip
    risk = RiskSettings.model_validate({
        "max_open_positions": [None, 1, 2][random.integers(3)], "max_per_trade": [None, 2000.0][random.integers(2)],
        "max_per_symbol": [None, 2500.0][random.integers(2)], "max_buying_power": [None, 4000.0][random.integers(2)],
        "cooldown_minutes": float(pick([0, 0, 2])), "min_quality": float(pick([0, 95])),
    } if random.random() < 0.5 else {})  # fmt: skip
    cash, leverage = float(pick([1e3, 1e4, 1e8])), float(pick([1, 1, 3]))
    return execution, risk, AccountSettings(cash=cash, allow_short=short, leverage=leverage)


def quality_of(symbol: Any, t: Any) -> Any:
    """Of a bar, whoever asks and in whatever chunk."""
    return np.where((symbol * 7 + t * 13) % 3 == 0, 90.0, 100.0)


def signals_of(random: np.random.Generator, market: Market) -> Events:
    """Wishes on real bars, in the order of decision."""
    shape, none = (len(market.strategies), *market.close.shape), Events.none()
    columns: dict[str, list[Any]] = {"t": [], "strategy": [], "symbol": [], "action": []}
    for action in range(4):
        strategy, symbol, t = np.nonzero((random.random(shape) < random.choice([0.15, 0.6])) & ~np.isnan(market.close))
        for name, values in (("strategy", strategy), ("symbol", symbol), ("t", t), ("action", np.full(len(t), action))):
            columns[name].append(values)
    made = {name: np.concatenate(values).astype(getattr(none, name).dtype) for name, values in columns.items()}
    count = len(made["t"])
    empty_numbers = {name: np.full(count, np.nan) for name in GIVEN}
    return Events(
        **made, **empty_numbers, price=market.close[made["symbol"], made["t"]], quality=quality_of(made["symbol"], made["t"]),
        confidence=np.ones(count), on_open=np.zeros(count, np.bool_), on_close=np.zeros(count, np.bool_), tag=np.full(count, -1, np.int32),
    ).sorted()  # fmt: skip


def chunks_of(market: Market, events: Events, sessions: int) -> list[tuple[Market, Events]]:
    found = []
    for first in range(0, len(market.labels), sessions):
        begin, end = np.searchsorted(market.session, [first, first + sessions]).tolist()
        rows, days = slice(begin, end), slice(first, first + sessions)
        cut = {name: getattr(market, name)[:, rows] for name in ("open", "high", "low", "close", "volume")}
        piece = replace(
            market, ts=market.ts[rows], end=market.end[rows], session=market.session[rows] - np.int32(first), labels=market.labels[days],
            session_open=market.session_open[days], session_close=market.session_close[days], **cut,
        )  # fmt: skip
        found.append((piece, events.between(begin, end)))
    return found


def wanted_of(events: Events, symbols: int) -> Wanted:
    pair = events.strategy.astype(np.int64) * symbols + events.symbol
    return Wanted(events.t, pair, events.action.astype(np.int64), events.price, events.quality).sorted()


def wishes_of(market: Market, events: Events, lookback: int, before: int) -> list[tuple[Wish, Rows, Seen]]:
    """The same wishes in columns, thin rows of the bars that there are after some history, which nobody looks at; one item a strategy.

    before: slots before the chunk.
    """
    real, (symbols, slots) = ~np.isnan(market.close), market.close.shape
    where = [(s, d) for s in range(symbols) for d in range(len(market.labels)) if real[s, market.session == d].any()]
    bars = [np.flatnonzero(real[s] & (market.session == d)) for s, d in where]
    starts = np.concatenate([[0], np.cumsum([len(own) for own in bars])])[:-1].astype(np.int64)
    symbol, t = np.nonzero(real)
    width = lookback + max((len(own) for own in bars), default=0)
    own = np.array([s for s, _ in where], np.int64)
    rows = Rows(
        first=np.arange(len(where)) * width + lookback, size=np.array([len(own) for own in bars], np.int64), bar=starts,
        low=np.searchsorted(own, np.arange(symbols)).astype(np.int64),
        high=np.searchsorted(own, np.arange(symbols), side="right").astype(np.int64),
    )  # fmt: skip
    seen = Seen(symbol, t, market.close[symbol, t], quality_of(symbol, t + before))
    found = []
    for strategy in range(len(market.strategies)):
        columns: list[Any] = []
        for action in range(4):
            asked = np.zeros((symbols, slots), np.bool_)
            mine = (events.strategy == strategy) & (events.action == action)
            asked[events.symbol[mine], events.t[mine]] = True
            column = np.ones((len(where), width), np.bool_)  # what stands outside of a session says nothing
            for row, ((s, _), at) in enumerate(zip(where, bars, strict=True)):
                column[row, lookback : lookback + len(at)] = asked[s, at]
            columns.append(column if mine.any() else None)
        found.append((wish_of((len(where), width), *columns), rows, seen))
    return found


def traded(chunks: list[tuple[Market, Events]], settings: Any, ways: list[str], lookback: int = 0) -> tuple[Sums, Account, int, int]:
    """What an account comes to, and how many chunks went pair by pair, and from event to event."""
    first, before = chunks[0][0], 0
    account = Account(terms(*settings, first.strategies, first.symbols))
    for (market, events), way in zip(chunks, ways, strict=True):
        parts = stretches(market, account.carry, empty(CORPORATE_ACTIONS))
        wishes = wishes_of(market, events, lookback, before) if way == "pairs" else None
        plainly = wanted_of(events, len(market.symbols)) if way != "slots" else None
        account.trade(parts, Asked(lambda found=wishes: found, lambda found=plainly: found, lambda found=events: found))
        before += len(market.ts)
    alone = len(chunks) - account.ordered - account.general if "pairs" in ways else 0
    return account.finish(), account, alone, account.ordered


def same(one: Sums, other: Sums) -> None:
    for name in Sums.__dataclass_fields__:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("seed", range(160))
def test_from_event_to_event_and_pair_by_pair_are_slot_by_slot(seed: int) -> None:
    random = np.random.default_rng(seed)
    market, settings = market_of(random), settings_of(random)
    chunks = chunks_of(market, signals_of(random, market), int(random.integers(1, 4)))
    back = int(random.integers(0, 9))
    usual, by_slots, *none = traded(chunks, settings, ["slots"] * len(chunks))
    quick, by_events, _, in_order = traded(chunks, settings, ["events"] * len(chunks))
    by_pairs, pair_by_pair, _, _ = traded(chunks, settings, ["pairs"] * len(chunks), back)
    mixed, mixture, _, _ = traded(chunks, settings, random.choice(["slots", "events", "pairs"], len(chunks)).tolist(), back)
    assert none == [0, 0]
    assert in_order == len(chunks) or usual.equity.max() > 1e15  # what could grow beyond all bounds is given up
    for found, account in ((quick, by_events), (by_pairs, pair_by_pair), (mixed, mixture)):
        same(usual, found)
        held, again = by_slots.carry, account.carry
        assert (held.cash, held.marks, held.realized, held.next_order, held.next_trade, held.slots, held.day) == (
            again.cash, again.marks, again.realized, again.next_order, again.next_trade, again.slots, again.day,
        )  # fmt: skip
        for name in ("quantity", "mark", "value", "fee", "ts", "slot", "price", "last"):
            owned = held.pairs["quantity"] != 0.0
            assert np.array_equal(held.pairs[name][owned], again.pairs[name][owned]), name
        for name in ("pair", "role", "side", "ts", "quantity", "seen", "lots", "value", "fee"):
            entries = held.orders["role"] == 0
            rows = slice(None) if name not in ("lots", "value", "fee") else entries
            assert np.array_equal(held.orders[name][rows], again.orders[name][rows]), name


def test_an_ample_account_is_traded_pair_by_pair_and_a_tight_one_is_not() -> None:
    ways: dict[float, list[int]] = {}
    for seed in range(30):
        random = np.random.default_rng(seed)
        market = market_of(random)
        chunks = chunks_of(market, signals_of(random, market), 2)
        for cash in (1e8, 1e3):
            execution = ExecutionSettings.model_validate({"sizing": {"type": "notional", "value": 900.0}})
            settings = execution, RiskSettings(), AccountSettings(cash=cash)
            *_, alone, ordered = traded(chunks, settings, ["pairs"] * len(chunks))
            ways[cash] = [a + b for a, b in zip(ways.get(cash, [0, 0]), (alone, ordered), strict=True)]
    assert ways[1e8][1] == 0
    assert ways[1e8][0] > 50
    assert ways[1e3][1] > 20


def test_the_cases_trade_and_are_refused() -> None:
    """The random cases hold what they are for: trades, shorts, and orders cut or refused."""
    trades = shorts = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        market, settings = market_of(random), settings_of(random)
        found, *_ = traded(chunks_of(market, signals_of(random, market), 99), settings, ["events"])
        trades, shorts = trades + found.trades, shorts + (found.short > 0)
    assert trades > 500
    assert shorts > 5


@pytest.mark.parametrize(
    "change",
    [
        {"fill": "same_close"}, {"fill": "next_vwap"}, {"price": "quote"}, {"stop_loss": 0.1}, {"take_profit": 0.1},
        {"flat_at_close": True},
        {"trailing_stop": 0.1}, {"trailing_amount": 1.0}, {"max_hold_bars": 3}, {"max_hold_minutes": 3.0}, {"time_in_force": "day"},
        {"max_participation": 0.1}, {"scale_out": ({"take_profit": 0.1, "fraction": 0.5},)}, {"slippage": {"impact_bps": 3.0}},
        {"slippage": {"spread": 0.5}}, {"commission": {"preset": "ibkr_tiered"}}, {"borrow_bps": 50.0},
        {"sizing": {"type": "notional", "value": 100.0, "at": "fill"}},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_plain_is_not_taken(change: dict[str, Any]) -> None:
    account = AccountSettings(cash=1e6, allow_short=True)
    usual = Account(terms(ExecutionSettings(), RiskSettings(), account, ("one",), ("A",)))
    other = Account(terms(ExecutionSettings.model_validate(change), RiskSettings(), account, ("one",), ("A",)))
    assert (usual.plain, other.plain) == (True, False)


@pytest.mark.parametrize("account", [{"margin_call": "liquidate", "leverage": 2.0}, {"capital": {"one": 1e6}}], ids=str)
def test_accounts_that_are_not_plain_are_not_taken(account: dict[str, Any]) -> None:
    made = AccountSettings.model_validate({"cash": 1e6} | account)
    assert not Account(terms(ExecutionSettings(), RiskSettings(), made, ("one",), ("A",))).plain
    assert not Account(terms(ExecutionSettings(), RiskSettings(max_entries=2), AccountSettings(cash=1e6), ("one",), ("A",))).plain


def test_a_price_below_zero_is_left_to_the_kernel_of_a_run() -> None:
    random = np.random.default_rng(3)
    market = market_of(random)
    market.open[:], market.close[0, 0] = -1.0, -1.0
    chunks = chunks_of(market, signals_of(random, market), 99)
    settings = ExecutionSettings(), RiskSettings(min_quality=0.0), AccountSettings(cash=1e8)
    account = Account(terms(*settings, market.strategies, market.symbols))
    wishes, wanted = wishes_of(*chunks[0], 0, 0), wanted_of(chunks[0][1], len(market.symbols))
    asked = Asked(lambda: wishes, lambda: wanted, lambda: chunks[0][1])
    with pytest.raises(Exception, match="a price to trade at is not above zero"):
        account.trade(stretches(market, account.carry, pl.DataFrame()), asked)
