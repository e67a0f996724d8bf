"""The answer in a terminal, a hundred columns wide.

Place in the flow: `bt why` prints what `shown` returns. Never computes: it chooses and formats what the answer holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from backtester import spelling
from backtester.outcome.show_grid import SHOWN, grid, of, row
from backtester.why.words import money, price, shares

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table as Grid

Answer = dict[str, Any]
_OHLCV = ("open", "high", "low", "close", "volume")


def shown(answer: Answer) -> Group:
    """The answer to one moment, as one rich renderable."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(f"{answer['symbol']} at {answer['local']}, {answer['at']:%Y-%m-%d %H:%M:%S} UTC  ({spelling.line(answer['run'])})")
    ]
    parts += [Text(f"! {spelling.line(line)}", style="yellow") for line in answer["warnings"]]
    parts += [Text(), _bars(answer), Text(_quality(answer["quality"], answer["bar"]["interval"]))]
    if answer["indicators"]:
        parts += [Text(), _indicators(answer["indicators"])]
    for one in answer["strategies"]:
        parts += [Text(), *_strategy(one)]
    if not answer["strategies"]:
        parts += [Text(), Text("the run has no strategy")]
    return Group(*parts)


def shown_stretch(answer: Answer) -> Group:
    """Everything that happened in a stretch, one line after the other."""
    from rich.console import Group
    from rich.text import Text

    made = grid("", "time", "what", "strategy", "symbol", "")
    for column in made.columns:
        column.justify, column.overflow = "left", "fold"
    for line in answer["rows"]:
        number = "" if line["order_id"] is None else f"{line['order_id']}: "
        row(made, line["clock"], line["kind"], line["strategy"], line["symbol"], f"{number}{line['words']}")
    span = f"{answer['from']:%Y-%m-%d %H:%M:%S} and {answer['to']:%Y-%m-%d %H:%M:%S} UTC"
    head = f"{spelling.line(answer['run'])}: {len(answer['rows']):,} things between {span}"
    warnings = [Text(f"! {spelling.line(line)}", style="yellow") for line in answer["warnings"]]
    return Group(Text(f"{head}; times of {answer['timezone']}"), *warnings, Text(), made)


def shown_reasons(answer: Answer) -> Group:
    """The ledger of reasons: totals, the symbols with the most decisions, the hours."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(spelling.line(answer["run"]))]
    parts += [Text(f"! {spelling.line(line)}", style="yellow") for line in answer["warnings"]]
    if not answer["totals"]:
        return Group(*parts, Text("the run decided nothing"))
    heads = ("decisions", "refused", "priced", "pnl of refused")
    symbols = answer["by_symbol"]
    for title, name, lines in (
        ("by reason", "reason", answer["totals"]),
        (of("by symbol", len(symbols), "those with the most decisions, the first"), "symbol", symbols[:SHOWN]),
        (f"by hour of {answer['timezone']}", "hour", answer["by_hour"]),
    ):
        made = grid(title, "", *heads)
        for line in lines:
            later = " (approved)" if line.get("approved") and line[name] != "approved" else ""
            word = f"{line[name]:02}" if name == "hour" else f"{line[name]}{later}"
            pnl = "-" if line["pnl"] is None else money(line["pnl"])
            row(made, word, *(f"{line[count]:,}" for count in ("decisions", "refused", "priced")), pnl)
        parts += [Text(), made]
    return Group(*parts, Text(), *(Text(spelling.line(line)) for line in (answer["definition"], *answer["notes"])))


def _bars(answer: Answer) -> Grid:
    """The bar and its neighbours; where it is missing, a line that says so in its place."""
    bar = answer["bar"]
    made = grid(f"{answer['symbol']}, bars of {bar['interval']}", "", "bar", *_OHLCV, "quality")
    lines = [(line["ts"], line) for line in answer["neighbours"]]
    if bar["missing"] is not None:
        lines = sorted([*lines, (bar["start"], None)], key=lambda pair: pair[0])
    for _, line in lines:
        if line is None:
            row(made, ">", bar["clock"].split(" - ")[0], "missing", *[""] * 5)
        else:
            row(made, ">" if line["asked"] else "", line["clock"], *(price(line[name]) for name in _OHLCV[:4]),
                shares(line["volume"]), f"{line['quality']:.2f}")  # fmt: skip
    if bar["missing"] is not None:
        made.caption, made.caption_justify = spelling.line(f"missing: {bar['missing']}"), "left"
    return made


def _indicators(values: list[Answer]) -> Grid:
    """The config's indicators as they were known."""
    made = grid("indicators of the config", "", "", "of", "")
    for line in values:
        row(made, line["name"], line["interval"], line["clock"], _number(line["value"]))
    return made


def _quality(quality: Answer, interval: str) -> str:
    """Quality in a line, and the session's gaps in another."""
    session = "" if quality["session"] is None else f"; {quality['session']:.2f} % in the whole session"
    looked = "" if quality["looked"] else " (not looked at)"
    line = f"quality {quality['as_of']:.2f} % by {quality['by']}{looked}, min_quality is {quality['min_quality']:g} %{session}"
    gaps = [f"{gap['start']} - {gap['end']} ({gap['bars']}, {gap['kind']})" for gap in quality["gaps"][:4]]
    more = f" and {len(quality['gaps']) - 4} more" if len(quality["gaps"]) > 4 else ""
    return line + (f"\nmissing bars of {interval}: {', '.join(gaps)}{more}" if gaps else "")


def _strategy(one: Answer) -> Iterator[RenderableType]:
    """One strategy: what it saw, then what came of it, line by line."""
    from rich.text import Text

    params = ", ".join(f"{name} {value}" for name, value in one["params"].items())
    yield Text(spelling.line(f"{one['strategy']} ({one['use'].rpartition('/')[2]}{': ' + params if params else ''})"), style="bold")
    yield Text(spelling.line(f"  => {one['verdict']}"), style="bold green" if any(row["approved"] for row in one["decisions"]) else "bold")
    if one["note"]:
        yield Text(spelling.line(f"  {one['note']}"), style="yellow")
    if one["bar"]["missing"] is not None:
        yield Text(spelling.line(f"  no {one['bar']['interval']} bar of {one['bar']['clock']}: {one['bar']['missing']}"))
    for seen in one["inputs"]:
        yield from _input(seen)
    yield from _came(one)


def _input(seen: Answer) -> Iterator[RenderableType]:
    """An input: its bar in a line, then everything but prices, before and then."""
    from rich.text import Text

    values = {line["name"]: line for line in seen["values"]}
    prices = "  ".join(f"{name[0] if name != 'volume' else 'v'} {_number(values[name]['value'])}" for name in _OHLCV if name in values)
    yield Text(spelling.line(f"  saw {seen['input']} ({seen['interval']}) of {seen['clock']}{': ' if prices else ''}{prices}"))
    made = grid("", "    ", "the bar before", "then")
    for line in seen["values"]:
        if line["name"] not in _OHLCV:
            row(made, f"    {line['name']}", _number(line["before"]), _number(line["value"]))
    if made.row_count:
        yield made


def _came(one: Answer) -> Iterator[RenderableType]:
    """Signal, decision, order, fill, guard, trade, account: each on lines of its own."""
    made = grid("", "", "")
    made.columns[1].justify, made.columns[1].overflow = "left", "fold"
    for signal in one["signals"]:
        row(made, "  signal", signal["words"])
    for decision in one["decisions"]:
        row(made, "  decision", decision["words"])
        for kind in ("orders", "fills", "guards"):
            for line in decision[kind]:
                row(made, f"  {kind[:-1]}", f"{line['order_id']}: " + (f"{line['clock']} " if "clock" in line else "") + line["words"])
        for trade in decision["trades"]:
            row(made, "  trade", _trade(trade))
        _account(made, decision["account"])
    for fill in one["on_this_bar"]:
        row(made, "  on this bar", f"{fill['clock']} order {fill['order_id']}, {fill['source']}: {fill['words']}")
        _account(made, fill["account"])
    for line in one["as_it_opened"]:
        row(made, "  as it opened", f"of the bar before, {line['action']}: {line['words']}")
    if not one["decisions"]:
        beside = [f"{near['action']} {word} at {near['clock']}" for word, near in one["nearest"].items() if near]
        row(made, "  held", f"{shares(one['held'])} shares" + (f"; signals of the session: {', '.join(beside)}" if beside else ""))
    if made.row_count:
        yield made


def _account(made: Grid, account: Answer) -> None:
    """The account before and after, in a line each; in one where nothing was filled."""
    for when in ["account"] if account["before"] == account["after"] else ["before", "after"]:
        state = account["before" if when == "account" else when]
        figures = ", ".join(f"{name} {money(state[name])}" for name in ("cash", "equity", "gross"))
        row(made, f"  {when}", f"{shares(state['position'])} shares; {figures}")


def _trade(trade: Answer) -> str:
    """A round trip in words."""
    entry = f"{trade['direction']} {shares(trade['quantity'])} at {price(trade['entry_price'])}"
    if trade["is_open"]:
        return f"{trade['trade_id']}: {entry}, open at the end of the run, {money(trade['pnl'])} so far"
    return (
        f"{trade['trade_id']}: {entry}, closed at {price(trade['exit_price'])} by {trade['exit_reason']}: {money(trade['pnl'])} after fees"
    )


def _number(value: Any) -> str:
    """A value as short as eight digits say it."""
    return f"{value:,.8g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else spelling.cell(value)
