"""What must hold of every run in which bars fill a part only, strategies have purses, or equity does not maintain positions."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from math import floor

from tests.properties.engine import play, rows_of
from tests.properties.every_run import Tables, lots_of, micro, of_every_run, signed_cash, without
from tests.properties.features import ON
from tests.scene import Scene


@of_every_run
def test_no_bar_fills_more_than_its_part(scene: Scene, got: Tables):
    """I-10: all fills of a symbol in a slot together, but for a session's end, which says where it takes more."""
    part, lots = scene.rules.max_participation, lots_of(scene)
    if part is None:
        return
    slots, taken = {slot.start: slot for slot in scene.slots}, Counter[tuple[int, str]]()
    for fill in rows_of(got["fills"]):
        key, lot = (fill["ts"], fill["symbol"]), lots[fill["symbol"]]
        most = floor(part * slots[fill["ts"]].bars[fill["symbol"]].volume / lot + 1e-9)
        if fill["type"] == "close":
            over = round(fill["quantity"] / lot) > most - taken[key]
            assert over == ("over_participation" in fill["flags"])
        else:
            taken[key] += round(fill["quantity"] / lot)
            assert taken[key] <= most


@of_every_run
def test_purses_add_up_to_the_account(scene: Scene, got: Tables):
    """Each purse is its capital, its fills and its borrow; cash is their sum, and pnl of a strategy is what its purse has won."""
    if scene.rules.capital is None or not scene.slots[-1].bars:
        return
    cash, last = {name: micro(amount) for name, amount in scene.rules.capital.items()}, dict[str, float]()
    for slot in scene.slots:
        last |= {symbol: bar.close for symbol, bar in slot.bars.items()}
    for fill in rows_of(got["fills"]):
        cash[fill["strategy"]] += signed_cash(fill)
    worth, won = Counter(cash), defaultdict[str, int](int)
    for trade in rows_of(got["trades"]):
        worth[trade["strategy"]] -= micro(trade["borrow"])
        won[trade["strategy"]] += micro(trade["pnl"])
        if trade["is_open"]:
            sign = 1 if trade["direction"] == "long" else -1
            worth[trade["strategy"]] += sign * round(last[trade["symbol"]] * trade["quantity"] * 1e6)
    assert {name: micro(amount) + won[name] for name, amount in scene.rules.capital.items()} == dict(worth)
    assert sum(worth.values()) == micro(got["equity"]["equity"][-1])


@of_every_run
def test_a_strategy_with_a_purse_of_its_own_trades_as_it_would_alone(scene: Scene, got: Tables):
    """Where no limit of the whole account, no bar and no tier is shared."""
    if "capital" not in ON or len(scene.strategies) == 1:
        return
    capital = scene.rules.capital or {name: round(scene.rules.cash / 2, 2) for name in scene.strategies}
    free = replace(
        scene.rules, max_buying_power=None, max_per_symbol=None, max_open_positions=None, max_participation=None, tiers=(),
        cash=sum(capital.values()), capital=capital,
    )  # fmt: skip
    together = play(replace(scene, rules=free))
    for name in scene.strategies:
        signals = tuple(signal for signal in scene.signals if signal.strategy == name)
        rules = replace(free, cash=capital[name], capital=None)
        alone = play(replace(scene, strategies=(name,), signals=signals, rules=rules))
        for table in ("decisions", "fills"):
            mine = together[table].filter(together[table]["strategy"] == name)
            assert rows_of(without(mine, "order_id")) == rows_of(without(alone[table], "order_id")), (name, table)


@of_every_run
def test_a_purse_that_maintains_its_positions_is_not_called(scene: Scene, got: Tables):
    """No order of a margin call is made in a slot whose row of equity shows enough of it; of one purse."""
    rules = scene.rules
    if rules.margin_call != "liquidate" or rules.capital:
        return
    called = {order["ts"] for order in rows_of(got["orders"]) if order["type"] == "margin_call"}
    for row in rows_of(got["equity"]):
        if micro(row["gross"]) and micro(row["equity"]) >= round(rules.maintenance * float(micro(row["gross"]))):
            (slot,) = [slot for slot in scene.slots if slot.start == row["ts"]]
            assert slot.end not in called
