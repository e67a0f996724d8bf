"""What must hold of every run, whatever the market: accounting identities, and runs that must agree with each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, fields, replace
from math import isnan
from random import Random
from typing import Any

import polars as pl

from tests.properties.engine import play, rows_of
from tests.properties.every_run import Tables, lots_of, micro, modest, of_every_run, plain, signed_cash, unhurried, without
from tests.properties.markets import DAY, MANY, seeded, seeds
from tests.rebuilt import in_lots
from tests.scene import Bar, Quote, Rules, Scene, Signal, Slot


def same_money(one: Tables, other: Tables) -> None:
    """Equal fills, trades and equity; order numbers may differ."""
    assert without(one["fills"], "order_id").equals(without(other["fills"], "order_id"))
    assert without(one["trades"], "order_id").equals(without(other["trades"], "order_id"))
    assert one["equity"].equals(other["equity"])


@of_every_run
def test_equity_is_cash_and_positions_at_their_last_close(scene: Scene, got: Tables):
    """I-01, I-02: fills and borrow replayed by hand over the bars give cash and equity at every slot, exactly."""
    fills, equity = rows_of(got["fills"]), {row["ts"]: row for row in rows_of(got["equity"])}
    cash, held, last = micro(scene.rules.cash), dict[tuple[str, str], float](), dict[str, float]()
    before, borrowed, lots = scene.slots[0], 0, lots_of(scene)
    for slot in scene.slots:
        nights, before = slot.start // DAY - before.start // DAY, slot
        for (_, symbol), quantity in held.items():
            if nights and quantity < 0:
                mark = round(last[symbol] * -quantity * 1e6)
                borrowed += round(float(mark) * (scene.rules.borrow_bps / 10000.0) * nights / 360)
        for fill in (fill for fill in fills if fill["ts"] == slot.start):
            key = (fill["strategy"], fill["symbol"])
            cash += signed_cash(fill)
            more = fill["quantity"] if fill["side"] == "buy" else -fill["quantity"]
            held[key] = in_lots(held.get(key, 0.0), more, lots[fill["symbol"]])
        last |= {symbol: bar.close for symbol, bar in slot.bars.items()}
        assert (slot.start in equity) == bool(slot.bars)
        if slot.bars:
            marks = [round(last[symbol] * quantity * 1e6) for (_, symbol), quantity in held.items() if quantity]
            row = equity[slot.start]
            assert (micro(row["cash"]), micro(row["equity"])) == (cash - borrowed, cash - borrowed + sum(marks))
            assert (micro(row["gross"]), micro(row["net"])) == (sum(map(abs, marks)), sum(marks))
    assert borrowed == sum(micro(borrow) for borrow in got["trades"]["borrow"])


@of_every_run
def test_no_buy_takes_cash_below_zero(scene: Scene, got: Tables):
    """I-03: of an account that neither borrows nor sells short; only a sale whose fee exceeds its value may."""
    cash, rules = micro(scene.rules.cash), replace(scene.rules, allow_short=False, leverage=1.0)
    for fill in rows_of(play(replace(scene, rules=rules))["fills"]):
        cash += signed_cash(fill)
        assert cash >= 0 or (fill["side"] == "sell" and signed_cash(fill) < 0)


@of_every_run
def test_fees_are_never_negative_and_those_of_the_trades_are_those_of_the_fills_and_the_borrow(scene: Scene, got: Tables):
    """I-04."""
    fees = [micro(fee) for fee in got["fills"]["fee"]]
    assert all(fee >= 0 for fee in fees)
    assert all(borrow >= 0 for borrow in got["trades"]["borrow"])
    assert sum(fees) == sum(micro(row["fees"]) - micro(row["borrow"]) for row in rows_of(got["trades"]))


@of_every_run
def test_final_equity_is_the_cash_at_the_start_and_the_pnl_of_all_trades(scene: Scene, got: Tables):
    """I-05: pnl of closed trades and of those still open, fees inside both."""
    if scene.slots[-1].bars:
        assert micro(got["equity"]["equity"][-1]) == micro(scene.rules.cash) + sum(micro(pnl) for pnl in got["trades"]["pnl"])
    for trade in rows_of(got["trades"]):
        assert trade["mae"] <= 0.0 <= trade["mfe"]
        assert "-0.0" not in (str(trade["mae"]), str(trade["mfe"]))


def test_with_splits_and_dividends_too_final_equity_is_the_cash_at_the_start_and_the_pnl_of_all_trades():
    """I-05, I-02: what actions pay is in the pnl, of positions closed and open."""
    for seed in seeds(max(60, MANY // 5)):
        scene = modest(unhurried(seeded(seed)))
        got = play(scene)
        if scene.slots[-1].bars:
            pnl = sum(micro(pnl) for pnl in got["trades"]["pnl"])
            assert micro(got["equity"]["equity"][-1]) == micro(scene.rules.cash) + pnl, f"seeded({seed})"


@of_every_run
def test_no_order_fills_before_its_decision_is_known(scene: Scene, got: Tables):
    """I-08: a bar that fills opens no earlier than the decision, but for market orders of `same_close`, which fill when it is known."""
    ends = {slot.start: slot.end for slot in scene.slots}
    decided = {row["order_id"]: row["ts"] for row in rows_of(got["decisions"]) if row["approved"]}
    for fill in rows_of(got["fills"]):
        if fill["order_id"] in decided:
            assert ends[fill["ts"]] >= decided[fill["order_id"]]
            at_once = scene.rules.fill == "same_close" and fill["type"] == "market"
            assert at_once or fill["ts"] >= decided[fill["order_id"]]


@of_every_run
def test_every_fill_is_on_a_real_bar_with_volume_and_inside_its_range(scene: Scene, got: Tables):
    """I-09, I-11: inside [low, high] but for slippage; at a quote's price only where the run fills at quotes."""
    slots, rules = {slot.start: slot for slot in scene.slots}, scene.rules
    for fill in rows_of(play(unhurried(scene))["fills"]):
        own = (rules.instruments or {}).get(fill["symbol"], (None, None))[1]
        tick = max(rules.tick, own or 0.0)
        bps, most = rules.slippage_bps / 10000.0, (rules.slippage_ticks + 2 * rules.slippage_spread) * tick
        bar = slots[fill["ts"]].bars[fill["symbol"]]
        assert bar.volume > 0.0
        as_quoted = scene.rules.price == "quote" and (fill["type"] in AS_QUOTED or rules.max_participation is not None)
        as_quoted |= rules.stop_watch == "quote" and fill["type"] in ("stop", "trailing")
        if not (as_quoted and fill["symbol"] in slots[fill["ts"]].quotes):
            assert bar.low * (1.0 - bps) - most - 1e-9 <= fill["price"] <= bar.high * (1.0 + bps) + most + 1e-9


AS_QUOTED = ("market", "close", "time", "margin_call", "market_on_open", "market_on_close")


@of_every_run
def test_a_stop_never_fills_better_than_its_level_and_a_limit_never_worse(scene: Scene, got: Tables):
    """I-12; of guards and of orders that wait for a price, of both sides; where a bar fills in part, of a guard's first fill."""
    orders, begun = {row["order_id"]: row for row in rows_of(got["orders"])}, set[int]()
    decided = {row["order_id"] for row in rows_of(got["decisions"])}
    for fill in rows_of(got["fills"]):
        order, sign = orders[fill["order_id"]], 1.0 if fill["side"] == "buy" else -1.0
        is_rest = fill["order_id"] in begun or (order["order_id"] in decided and scene.rules.max_participation is not None)
        begun.add(fill["order_id"])
        if fill["type"] in ("stop", "trailing") and not is_rest:
            assert sign * fill["price"] >= sign * order["stop"]
        if fill["type"] in ("limit", "stop_limit", "target"):
            assert sign * fill["price"] <= sign * order["limit"]


@of_every_run
def test_every_order_is_resolved_or_open_at_the_end(scene: Scene, got: Tables):
    """I-20: what has filled of an order is the sum of its fills; guards stay open only with their position."""
    orders, fills, trades = rows_of(got["orders"]), rows_of(got["fills"]), rows_of(got["trades"])
    filled, lots = Counter[int](), lots_of(scene)
    for fill in fills:
        filled[fill["order_id"]] = in_lots(filled[fill["order_id"]], fill["quantity"], lots[fill["symbol"]])
    assert filled == Counter({order["order_id"]: order["filled"] for order in orders if order["filled"]})
    assert all(order["filled"] > 0.0 for order in orders if order["status"] in ("filled", "partial"))
    assert all(order["filled"] == 0.0 for order in orders if order["status"] in ("cancelled", "expired"))
    assert all(order["filled"] <= order["quantity"] for order in orders)
    assert all((order["reason"] is None) == (order["status"] == "filled") for order in orders if order["status"] != "open")
    held = {(trade["strategy"], trade["symbol"]) for trade in trades if trade["is_open"]}
    for order in orders:
        if order["status"] == "open" and order["reason"] is None:
            assert order["type"] in ("stop", "target", "trailing")
            assert (order["strategy"], order["symbol"]) in held


@of_every_run
def test_a_strategy_has_one_position_of_a_symbol_that_no_fill_turns_around(scene: Scene, got: Tables):
    """I-20: a fill of the other side takes the position or a part of it, as a trade; what is left is open."""
    held, lots, closed = dict[tuple[str, str], float](), lots_of(scene), 0
    for fill in rows_of(got["fills"]):
        key, more = (fill["strategy"], fill["symbol"]), fill["quantity"] if fill["side"] == "buy" else -fill["quantity"]
        before = held.pop(key, 0.0)
        after = in_lots(before, more, lots[fill["symbol"]])
        assert before * after >= 0.0
        closed += abs(after) < abs(before)
        held |= {key: after} if after else {}
    trades = rows_of(got["trades"])
    assert closed == sum(not trade["is_open"] for trade in trades)
    signs = {"long": 1.0, "short": -1.0}
    assert {(t["strategy"], t["symbol"]): signs[t["direction"]] * t["quantity"] for t in trades if t["is_open"]} == held


@of_every_run
def test_the_order_in_which_signals_are_given_changes_nothing(scene: Scene, got: Tables):
    """I-13, of what trading decides itself: one signal a (slot, strategy, symbol, action), in any order."""
    distinct = list({(s.t, s.strategy, s.symbol, s.action): s for s in scene.signals}.values())
    shuffled = Random(len(distinct)).sample(distinct, len(distinct))
    one, other = play(replace(scene, signals=tuple(distinct))), play(replace(scene, signals=tuple(shuffled)))
    assert all(one[name].equals(other[name]) for name in one)


def halves(scene: Scene) -> Scene:
    """The plain scene with whole lots, levels and fees in halves of halves, so that no product of the run is ever rounded."""

    def whole(price: float | None) -> float | None:
        return None if price is None else float(max(1, round(price * 4)))

    scene = plain(scene)
    rules = replace(
        scene.rules, cash=max(1.0, round(scene.rules.cash * 4) / 4), lot=1.0, slippage_bps=0.0, slippage_ticks=0.0, slippage_spread=0.0,
        impact_bps=0.0, tiers=(), instruments=None, fill="next_close" if scene.rules.fill == "next_vwap" else scene.rules.fill,
        fee_bps=0.0, cap_bps=None, per_share=0.25, minimum=scene.rules.minimum and 0.5,
        stop_loss=scene.rules.stop_loss and 1 / 16, take_profit=scene.rules.take_profit and 1 / 32, borrow_bps=0.0,
        trailing_stop=scene.rules.trailing_stop and 1 / 32, trailing_amount=whole(scene.rules.trailing_amount),
    )  # fmt: skip

    def level(price: float | None) -> float | None:
        return None if price is None else round(price * 4) / 4

    def bar(b: Bar) -> Bar:
        return Bar(*(whole(p) for p in (b.open, b.high, b.low, b.close)), b.volume)

    def quote(q: Quote) -> Quote:
        return Quote(*(p if isnan(p) else whole(p) for p in astuple(q)))

    slots = [
        replace(
            s, bars={n: bar(b) for n, b in s.bars.items()}, quotes={n: quote(q) for n, q in s.quotes.items()},
            fine={n: tuple(map(bar, bars)) for n, bars in s.fine.items()},
        )
        for s in scene.slots
    ]  # fmt: skip
    signals = [
        replace(
            s, price=whole(s.price), limit=whole(s.limit), entry_stop=whole(s.entry_stop),
            stop_loss=s.stop_loss and 1 / 64, take_profit=s.take_profit and 1 / 64,
            stop_price=level(s.stop_price and s.stop_price * 4), target_price=level(s.target_price and s.target_price * 4),
            trailing_stop=s.trailing_stop and 1 / 64, trailing_amount=whole(s.trailing_amount),
            entry_trail=None, entry_trail_amount=whole(s.entry_trail_amount or (s.entry_trail and 1.0)),
            size=s.size and max(2.0, 2.0 * round(min(s.size, 1e6) / 2)),
        )
        for s in scene.signals
    ]  # fmt: skip
    return replace(scene, slots=tuple(slots), signals=tuple(signals), rules=rules)


def scaled(scene: Scene, factor: float) -> Scene:
    """Every price and every amount of money times the factor."""

    def times(value: Any, *names: str) -> Any:
        return replace(value, **{name: getattr(value, name) and getattr(value, name) * factor for name in names})

    def slot(s: Slot) -> Slot:
        prices = ("open", "high", "low", "close")
        bars = {name: times(bar, *prices) for name, bar in s.bars.items()}
        fine = {name: tuple(times(bar, *prices) for bar in bars) for name, bars in s.fine.items()}
        quotes = {name: times(quote, *(field.name for field in fields(Quote))) for name, quote in s.quotes.items()}
        return replace(s, bars=bars, quotes=quotes, fine=fine)

    def signal(s: Signal) -> Signal:
        return times(s, "price", "stop_price", "target_price", "limit", "entry_stop", "trailing_amount", "entry_trail_amount")

    names = ("cash", "per_share", "minimum", "max_buying_power", "max_per_trade", "max_per_symbol", "trailing_amount")
    rules: Rules = times(scene.rules, *names, *(["value"] if scene.rules.sizing == "notional" else []))
    return replace(scene, slots=tuple(map(slot, scene.slots)), signals=tuple(map(signal, scene.signals)), rules=rules)


@of_every_run
def test_prices_and_cash_times_two_give_the_same_trades_and_twice_the_money(scene: Scene, got: Tables):
    """I-29: exact, because every product is a whole number of 1e-6 currency at either scale."""
    factor = 256.0 if len(scene.slots) % 2 else 2.0
    one, other = play(halves(scene)), play(scaled(halves(scene), factor))
    amounts = {
        "decisions": ["price"], "orders": ["limit", "stop", "price_seen"], "fills": ["price", "value", "fee", "slippage", "other"],
        "ambiguity": ["price", "other", "pnl", "pnl_other", "pnl_low", "pnl_high"],
        "trades": ["entry_price", "exit_price", "pnl", "fees", "borrow"], "equity": ["cash", "equity", "gross", "net"],
    }  # fmt: skip
    for name, columns in amounts.items():
        assert one[name].with_columns(pl.col(columns) * factor).equals(other[name]), name


@of_every_run
def test_volume_says_only_whether_a_bar_can_fill(scene: Scene, got: Tables):
    """I-30: a thousand times the volume changes nothing, where neither impact nor participation asks for it."""
    scene = unhurried(replace(scene, rules=replace(scene.rules, max_participation=None)))
    got = play(scene)
    slots = [replace(s, bars={name: replace(bar, volume=bar.volume * 1000.0) for name, bar in s.bars.items()}) for s in scene.slots]
    other = play(replace(scene, slots=tuple(slots)))
    assert all(got[name].equals(other[name]) for name in got)


@of_every_run
def test_without_signals_equity_is_the_cash_and_nothing_is_traded(scene: Scene, got: Tables):
    """I-33."""
    got = play(replace(scene, signals=()))
    assert all(len(got[name]) == 0 for name in ("decisions", "orders", "fills", "trades"))
    assert {micro(amount) for amount in got["equity"]["equity"]} <= {micro(scene.rules.cash)}


@of_every_run
def test_a_higher_fee_never_raises_the_final_equity_of_the_same_trades(scene: Scene, got: Tables):
    """I-35: with cash and limits that never bite, so that the fills stay the same."""
    scene = plain(scene)
    free = replace(
        scene.rules, cash=1e11, sizing="shares", size_at="decision", value=10.0, fee_bps=1.0,
        max_buying_power=None, max_per_trade=None, max_per_symbol=None,
    )  # fmt: skip
    signals = tuple(replace(signal, size=None) for signal in scene.signals)
    low, high = (play(replace(scene, rules=replace(free, fee_bps=bps), signals=signals)) for bps in (1.0, 9.0))
    assert without(low["fills"], "fee").equals(without(high["fills"], "fee"))
    assert all(one >= other for one, other in zip(low["equity"]["equity"], high["equity"]["equity"], strict=True))


@of_every_run
def test_a_stop_that_no_price_reaches_is_no_stop(scene: Scene, got: Tables):
    """I-37: and a target beyond all prices is no target."""
    none = {"stop_loss": None, "take_profit": None, "trailing_stop": None, "trailing_amount": None}
    rules = replace(scene.rules, sizing="shares", size_at="decision", value=10.0, scale_out=(), **none)
    bare = [replace(s, stop_price=None, target_price=None, **none) for s in scene.signals]
    levels = {"enter_long": (1e-9, 1e9), "enter_short": (1e9, 1e-9)}
    far = [replace(s, **dict(zip(("stop_price", "target_price"), levels.get(s.action, (None, None)), strict=True))) for s in bare]
    same_money(play(replace(scene, rules=rules, signals=tuple(bare))), play(replace(scene, rules=rules, signals=tuple(far))))


@of_every_run
def test_a_strategy_at_half_size_run_twice_is_the_strategy_at_full_size(scene: Scene, got: Tables):
    """I-41: with cash and limits that never bite and no minimum fee."""
    scene = halves(scene)
    rules = replace(
        scene.rules, cash=1e9, sizing="shares", size_at="decision", value=20.0, minimum=0.0,
        max_buying_power=None, max_per_trade=None, max_per_symbol=None, max_open_positions=None,
    )  # fmt: skip
    mine = [replace(s, strategy="one", size=s.size and min(s.size, 40.0)) for s in scene.signals]
    half = [replace(s, strategy=name, size=s.size and s.size / 2) for s in mine for name in ("one", "two")]
    full = play(replace(scene, strategies=("one",), signals=tuple(mine), rules=rules))
    twice = play(replace(scene, strategies=("one", "two"), signals=tuple(half), rules=replace(rules, value=10.0)))
    assert full["equity"].equals(twice["equity"])
    assert 2 * len(full["fills"]) == len(twice["fills"])


@of_every_run
def test_every_signal_has_one_decision_with_a_reason_and_every_order_its_decision(scene: Scene, got: Tables):
    """I-44: accepted, cut and refused are all that was submitted, a weight once or twice; a refused one has no order."""
    decisions, orders = rows_of(got["decisions"]), rows_of(got["orders"])
    submitted = Counter((scene.slots[s.t].end, s.strategy, s.symbol, s.action) for s in scene.signals if s.action != "target")
    weights = Counter((scene.slots[s.t].end, s.strategy, s.symbol) for s in scene.signals if s.action == "target")
    more = Counter((row["ts"], row["strategy"], row["symbol"], row["action"]) for row in decisions)
    assert submitted <= more
    more.subtract(submitted)
    of_weights = Counter(key[:3] for key in more.elements())
    assert weights <= of_weights <= weights + weights
    assert all(row["reason"] for row in decisions)
    assert all((row["order_id"] is not None) == row["approved"] for row in decisions)
    assert all(row["reason"] not in ("approved", "max_per_trade") for row in decisions if not row["approved"])
    made = sorted(row["order_id"] for row in decisions if row["approved"])
    types = {order["order_id"]: order["type"] for order in orders}
    assert len(made) == len(set(made))
    assert {types.pop(order_id) for order_id in made} <= ENTRIES
    assert set(types.values()) <= {"stop", "target", "trailing", "close", "time", "margin_call"}
    assert [order["order_id"] for order in sorted(orders, key=lambda order: order["order_id"])] == list(range(1, len(orders) + 1))


ENTRIES = {"market", "limit", "stop", "stop_limit", "trailing", "market_on_open", "market_on_close"}


def mirrored(scene: Scene, top: float) -> Scene:
    """Every price p as top - p, longs as shorts and shorts as longs."""

    def turned(price: float | None) -> float | None:
        return None if price is None else top - price

    def turned_bar(b: Bar) -> Bar:
        return Bar(top - b.open, top - b.low, top - b.high, top - b.close, b.volume)

    def turned_quote(q: Quote) -> Quote:
        sides = (q.ask_open, q.ask_close, q.bid_open, q.bid_close, q.ask_low, q.ask_high, q.bid_low, q.bid_high)
        return Quote(*(top - price for price in sides))

    def slot(s: Slot) -> Slot:
        bars = {n: turned_bar(b) for n, b in s.bars.items()}
        fine = {n: tuple(map(turned_bar, bars)) for n, bars in s.fine.items()}
        quotes = {n: turned_quote(q) for n, q in s.quotes.items()}
        return replace(s, bars=bars, quotes=quotes, fine=fine)

    def signal(s: Signal) -> Signal:
        levels = {name: turned(getattr(s, name)) for name in ("price", "stop_price", "target_price", "limit", "entry_stop")}
        other = {"long": "short", "short": "long"}[s.action.split("_")[1]]
        return replace(s, action=f"{s.action.split('_')[0]}_{other}", **levels)

    return replace(scene, slots=tuple(map(slot, scene.slots)), signals=tuple(map(signal, scene.signals)))


def symmetric(scene: Scene) -> Scene:
    """The scene without what tells a rising price from a falling one: fractions of prices, fees, limits of money."""
    rules = replace(
        halves(scene).rules, cash=1e9, sizing="shares", size_at="decision", value=12.0, per_share=0.0, minimum=0.0, stop_loss=None,
        take_profit=None, trailing_stop=None, max_buying_power=None, max_per_trade=None, max_per_symbol=None, allow_short=True,
    )  # fmt: skip
    bare = [
        replace(s, stop_loss=None, take_profit=None, trailing_stop=None, size=s.size and min(s.size, 40.0)) for s in halves(scene).signals
    ]
    once = {(s.t, s.strategy, s.symbol, s.action if s.action.startswith("exit") else "enter"): s for s in bare}
    return replace(halves(scene), rules=rules, signals=tuple(once.values()))


@of_every_run
def test_a_market_in_the_mirror_with_shorts_for_longs_earns_the_same(scene: Scene, got: Tables):
    """I-32: the same fills at mirrored prices, the same profit of every trade, the same equity; without costs, in exact arithmetic."""
    top = 2.0**16
    one, other = play(symmetric(scene)), play(mirrored(symmetric(scene), top))
    seen = ["order_id", "ts", "strategy", "symbol", "type", "quantity", "ambiguous", "flags"]
    assert one["fills"].select(seen).equals(other["fills"].select(seen))
    assert one["fills"]["price"].to_list() == [top - price for price in other["fills"]["price"]]
    columns = ["trade_id", "strategy", "symbol", "entry_ts", "exit_ts", "quantity", "pnl", "fees", "borrow", "bars", "exit_reason"]
    assert one["trades"].select(columns).equals(other["trades"].select(columns))
    assert one["equity"].select("ts", "equity", "drawdown").equals(other["equity"].select("ts", "equity", "drawdown"))


@of_every_run
def test_a_symbol_that_is_never_traded_changes_nothing(scene: Scene, got: Tables):
    """A bar of its own in every slot that has one already."""
    bar = Bar(5.0, 9.0, 1.0, 3.0)
    slots = [replace(s, bars=s.bars | ({"AA": bar} if s.bars else {})) for s in scene.slots]
    other = play(replace(scene, symbols=tuple(sorted((*scene.symbols, "AA"))), slots=tuple(slots)))
    assert all(rows_of(got[name]) == rows_of(other[name]) for name in got)
