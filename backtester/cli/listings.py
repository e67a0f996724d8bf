"""`bt strategies` and `bt indicators`: what is built in, with parameters, as text or as JSON.

Place in the flow: commands only; reads the catalogs and prints. Never computes an indicator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from backtester.cli.output import print_json

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


@click.command(epilog="\b\nExample:\n  bt strategies --json")
@_JSON
def strategies(as_json: bool) -> None:
    """Strategies that are built in: their settings with defaults, and what each does.

    A config names one as "use": "sma_crossover" and gives its settings as "params".
    """
    from backtester.signals.loading import built_in

    facts = [_strategy(name, kind) for name, kind in sorted(built_in().items())]
    if as_json:
        print_json(facts)
        return
    for item in facts:
        click.echo(f"{item['name']}\n    {item['sentence']}")
        _print_settings(item["params"])
        click.echo()
    click.echo(f'{len(facts)} strategies; your own: "use": "path/to/file.py:ClassName"')


@click.command(epilog="\b\nExample:\n  bt indicators --json")
@_JSON
def indicators(as_json: bool) -> None:
    """Indicators that are built in: inputs, parameters with defaults, outputs, and bars of warm-up.

    A config adds one as {"name": "sma", "period": 20, "interval": "5m"}; strategies call them as functions.
    """
    from backtester.signals.indicators import CATALOG

    facts = [CATALOG[name].as_json() for name in sorted(CATALOG)]
    if as_json:
        print_json(facts)
        return
    for item in facts:
        arguments = [*item["inputs"], *(f"{name}={value}" for name, value in item["params"].items())]
        outputs = "" if item["outputs"] == [item["name"]] else f" -> {', '.join(item['outputs'])}"
        click.echo(f"{item['name']}({', '.join(arguments)}){outputs}; warm-up {_bars(item['warmup'])}\n    {item['sentence']}")
    click.echo(f"\n{len(facts)} indicators; warm-up: bars before the first bar that has every output, with these parameters")


def _strategy(name: str, kind: Any) -> dict[str, Any]:
    """The facts of one strategy: name, sentence, layout, settings, and inputs and lookback with default settings."""
    schema: Mapping[str, Any] = kind.model_json_schema().get("properties", {})
    default = kind()
    lookback = {each: default.lookback_of(each) for each in default.inputs}
    settings = [
        {"name": setting, "type": _type(facts), **{key: facts[key] for key in ("default", "description", *_BOUNDS) if key in facts}}
        for setting, facts in schema.items()
    ]
    sentence = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return {
        "name": name,
        "sentence": sentence,
        "layout": kind.layout,
        "inputs": dict(default.inputs),
        "lookback": lookback,
        "params": settings,
    }


def _type(facts: Mapping[str, Any]) -> str | None:
    """A setting's type as JSON Schema names it; several for a choice of types."""
    choices = [choice.get("type") for choice in facts.get("anyOf", [])]
    return " or ".join(filter(None, choices)) or facts.get("type")


def _print_settings(settings: Sequence[Mapping[str, Any]]) -> None:
    """One line a setting: name, default, meaning and bounds."""
    names = max((len(item["name"]) for item in settings), default=0)
    values = max((len(str(item.get("default", "-"))) for item in settings), default=0)
    for item in settings:
        bounds = " and ".join(f"{sign} {item[key]:g}" for key, sign in _BOUNDS.items() if key in item)
        about = "; ".join(filter(None, [item.get("description"), bounds]))
        click.echo(f"    {item['name'].ljust(names)}  {str(item.get('default', '-')).ljust(values)}  {about}".rstrip())


def _bars(count: int) -> str:
    return f"{count} bar{'' if count == 1 else 's'}"
