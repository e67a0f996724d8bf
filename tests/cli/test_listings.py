"""`bt strategies` and `bt indicators`: every built-in is listed with its parameters, as text and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

from click.testing import CliRunner

from backtester.cli.listings import indicators, strategies
from backtester.signals.indicators import CATALOG
from backtester.signals.loading import built_in


def said(command, *words: str) -> str:
    done = CliRunner().invoke(command, list(words), catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_indicators_are_listed_with_parameters_outputs_warm_up_and_sentence():
    lines = said(indicators).splitlines()
    place = lines.index("bbands(close, period=20, deviations=2.0) -> upper, middle, lower; warm-up 19 bars")
    assert lines[place + 1] == "    Bollinger bands: the SMA, and `deviations` population standard deviations above and below it."
    assert lines[-1].startswith("25 indicators")


def test_every_indicator_of_the_catalog_is_listed_once_by_name():
    heads = [line.partition("(")[0] for line in said(indicators).splitlines()[:-2] if not line.startswith(" ")]
    assert heads == sorted(CATALOG)


def test_indicators_as_json_say_the_same():
    listed = {item["name"]: item for item in json.loads(said(indicators, "--json"))}
    assert list(listed) == sorted(CATALOG)
    assert listed["macd"] == {
        "name": "macd",
        "sentence": "Fast EMA minus slow EMA, its own EMA over `signal` bars, and the difference of the two (Appel).",
        "inputs": ["close"],
        "params": {"fast": 12, "slow": 26, "signal": 9},
        "outputs": ["macd", "signal", "histogram"],
        "warmup": 33,
        "settled": 330,
    }


def test_strategies_are_listed_with_settings_defaults_and_bounds():
    lines = said(strategies).splitlines()
    place = lines.index("sma_crossover")
    assert lines[place + 1].strip().startswith("Buys when the fast average of closes crosses above the slow one")
    assert [line.split()[:2] for line in lines[place + 2 : place + 5]] == [["interval", "1m"], ["fast", "5"], ["slow", "20"]]
    assert ">= 2" in lines[place + 4]


def test_every_built_in_strategy_is_listed_by_name():
    lines = said(strategies).splitlines()
    assert [line for line in lines[:-1] if line and not line.startswith(" ")] == sorted(built_in())


def test_strategies_as_json_say_what_a_config_needs():
    listed = {item["name"]: item for item in json.loads(said(strategies, "--json"))}
    assert list(listed) == sorted(built_in())
    rsi = listed["rsi_reversion"]
    assert [(item["name"], item["type"], item["default"]) for item in rsi["params"]] == [
        ("interval", "string", "5m"),
        ("period", "integer", 14),
        ("low", "number", 30.0),
        ("high", "number", 70.0),
    ]
    assert (rsi["layout"], rsi["inputs"], rsi["lookback"]) == ("bars", {"bars": "5m"}, {"bars": 140})


def test_listing_indicators_imports_no_heavy_library():
    code = (
        "import sys; from backtester.cli.listings import indicators; indicators([], standalone_mode=False);"
        "print([name for name in ('numba', 'polars', 'pandas', 'duckdb', 'pyarrow', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
