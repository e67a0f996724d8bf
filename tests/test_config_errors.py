"""What a config's writer is told: place, value, what is allowed, the nearest name, the unit. Ids are those of the test plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backtester.config import load
from backtester.errors import ConfigError

Document = dict[str, Any]

MINIMAL: Document = {
    "session_name": "two names",
    "exchange_group": "US_EQUITY",
    "asset_class": "EQUITY",
    "backtest_config": {"start_date": "2024-11-25", "end_date": "2024-12-06"},
    "session_data_config": {"symbols": ["BBB", "AAA"], "streams": ["1m"]},
    "account": {"cash": 100000},
}

OLDER: Document = json.loads((Path(__file__).parents[1] / "configs" / "older_session.json").read_text(encoding="utf-8"))


def problems(*overrides: str, document: Document = MINIMAL) -> dict[str, str]:
    """The problems of a document after overrides: pointer -> message."""
    with pytest.raises(ConfigError) as caught:
        load(document, overrides)
    assert caught.value.exit_code == 3
    return {str(problem.where): str(problem) for problem in caught.value.problems}


# Keys


def test_cfg_13_an_unknown_key_names_the_nearest_known_one() -> None:
    found = problems("execution.comission.preset=zero", "session_data_config.symbls=[]")
    assert "did you mean 'commission'?" in found["/execution/comission"]
    assert "did you mean 'symbols'?" in found["/session_data_config/symbls"]


def test_a_known_key_in_the_wrong_place_is_sent_home() -> None:
    assert "it belongs at /account/cash" in problems("cash=5")["/cash"]


def test_cfg_14_all_missing_keys_are_reported_at_once() -> None:
    found = problems(document={"backtest_config": {}, "session_data_config": {}})
    assert set(found) == {
        "/session_name",
        "/exchange_group",
        "/asset_class",
        "/backtest_config/start_date",
        "/backtest_config/end_date",
        "/session_data_config/symbols",
        "/account",
    }


def test_problems_of_every_kind_are_reported_together_each_once() -> None:
    found = problems(
        'session_data_config.symbols=["AAA", "AAA"]',
        "account.cash=-1",
        "execution.fill=next_opne",
        "backtest_config.start_date=2025-01-01",
        'strategies=[{"name": "a", "use": "sma_crosover"}, {"name": "a", "use": "sma_crossover", "params": {"fats": 3}}]',
    )
    assert set(found) == {
        "/session_data_config/symbols/1",
        "/account/cash",
        "/execution/fill",
        "/backtest_config/start_date",
        "/strategies/0/use",
        "/strategies/1/name",
        "/strategies/1/params/fats",
    }


# Values


@pytest.mark.parametrize("key", ["resources.threads", "backtest_config.prefetch_days", "account.cash"])
def test_cfg_15_true_is_not_a_number(key: str) -> None:
    assert "got true" in problems(f"{key}=true")["/" + key.replace(".", "/")]


def test_cfg_16_a_number_in_quotes_is_not_a_number() -> None:
    assert "write it without quotes" in problems('execution.slippage.bps="0.001"')["/execution/slippage/bps"]


@pytest.mark.parametrize(
    ("override", "place", "words"),
    [
        ("execution.commission=5", "/execution/commission", "500 %"),
        ("execution.commission.rate=5", "/execution/commission/rate", "500 %"),
        ("execution.commission.bps=50000", "/execution/commission/bps", "500 %"),
        ("execution.slippage.bps=50000", "/execution/slippage/bps", "500 %"),
        ("execution.stop_loss=5", "/execution/stop_loss", "500 %"),
        ("trading_config.min_confidence=50", "/trading_config/min_confidence", "5000 %"),
    ],
)
def test_cfg_18_a_figure_in_the_wrong_unit_is_told_its_unit(override: str, place: str, words: str) -> None:
    assert words in problems(override)[place]


def test_cfg_18_more_than_the_whole_equity_is_told_its_unit() -> None:
    found = problems("execution.sizing.type=equity_fraction", "execution.sizing.value=95")
    assert "0.95 is 95 %" in found["/execution/sizing/value"]
    found = problems("execution.sizing.type=risk_fraction", "execution.sizing.value=2")
    assert "at most 1" in found["/execution/sizing/value"]
    found = problems("execution.sizing.type=equity_fraction", "execution.sizing.value=2.5", "account.leverage=2.0")
    assert "at most 2" in found["/execution/sizing/value"]


def test_an_instrument_must_be_a_symbol_of_the_run() -> None:
    found = problems('execution.instruments={"AAA": {"lot": 10}, "MISSING": {}}')
    assert list(found) == ["/execution/instruments/MISSING"]
    assert "not in session_data_config.symbols" in found["/execution/instruments/MISSING"]


def test_one_run_holds_one_currency() -> None:
    own = 'execution.instruments={"AAA": {"currency": "EUR"}}'
    assert "one run holds one currency" in problems(own)["/execution/instruments/AAA/currency"]
    assert load(MINIMAL, [own, "account.currency=EUR"]).account.currency == "EUR"
    assert "three capital letters" in problems("account.currency=dollar")["/account/currency"]


def test_capital_is_of_every_strategy_and_of_all_the_cash() -> None:
    two = ['strategies=[{"name": "cross", "use": "sma_crossover"}, {"name": "back", "use": "rsi_reversion"}]', "account.cash=1000"]
    own = load(MINIMAL, [*two, 'account.capital={"back": 300, "cross": 700}']).account
    assert own.purses(["cross", "back"]) == (700_000_000, 300_000_000)
    assert load(MINIMAL, two).account.purses(["cross", "back"]) == ()
    found = problems(*two, 'account.capital={"cros": 1000}')
    assert "no strategy of the run has that name" in found["/account/capital/cros"]
    assert "cross" in found["/account/capital/cros"]
    assert "a strategy has no capital" in found["/account/capital"]
    for amount in ("299.999999", "300.000001"):
        assert "does not add up" in problems(*two, f'account.capital={{"cross": 700, "back": {amount}}}')["/account/capital"]
    assert "/account/capital/back" in problems(*two, 'account.capital={"cross": 1001, "back": -1}')
    assert "no strategy of the run" in problems('account.capital={"cross": 1}')["/account/capital/cross"]


@pytest.mark.parametrize("override", ["account.margin_call=sell", "account.maintenance=25", "account.maintenance=-0.1"])
def test_a_margin_call_is_a_word_and_a_fraction(override: str) -> None:
    assert list(problems(override)) == ["/" + override.split("=")[0].replace(".", "/")]


def test_a_quality_given_as_a_fraction_is_warned_of() -> None:
    assert "percent" in load(MINIMAL, ["trading_config.min_quality=0.95"]).warnings[0]
    assert load(MINIMAL, ["trading_config.min_quality=95"]).warnings == ()


@pytest.mark.parametrize("cash", ["0", "-1", "-0.0"])
def test_cfg_19_cash_must_be_above_zero(cash: str) -> None:
    assert "above 0" in problems(f"account.cash={cash}")["/account/cash"]


def test_cfg_20_the_start_may_not_be_after_the_end() -> None:
    assert "start_date is after end_date" in problems("backtest_config.start_date=2025-01-01")["/backtest_config/start_date"]


def test_cfg_21_start_and_end_may_be_one_day() -> None:
    days = load(MINIMAL, ["backtest_config.start_date=2024-12-06"]).backtest_config
    assert days.start_date == days.end_date


@pytest.mark.parametrize("day", ["03/04/2024", "2024-3-4", "20240304", "2024-02-30", "2024-03-04T00:00", "٢٠٢٤-٠١-٠١"])
def test_cfg_22_a_date_is_written_in_one_way(day: str) -> None:
    assert "use YYYY-MM-DD" in problems(f'backtest_config.end_date="{day}"')["/backtest_config/end_date"]


def test_cfg_24_an_end_in_the_future_is_left_to_the_data() -> None:
    assert load(MINIMAL, ["backtest_config.end_date=2199-12-31"]).backtest_config.end_date.year == 2199


@pytest.mark.parametrize("interval", ["0m", "-5m", "7x", "1mo", "5", "m", "5 m", "٥m", "25h"])
@pytest.mark.parametrize(
    "place",
    [
        "/session_data_config/streams/0",
        "/session_data_config/indicators/session/0/interval",
        "/session_data_config/historical/data/0/intervals/0",
    ],
)
def test_cfg_25_an_interval_that_is_none_is_refused_wherever_it_stands(place: str, interval: str) -> None:
    override = f"{place[1:].replace('/', '.')}={json.dumps(interval)}"
    assert "allowed: Ns, Nm or Nh" in problems(override, document=OLDER)[place]


def test_cfg_26_seven_minutes_are_an_interval() -> None:
    assert load(MINIMAL, ['session_data_config.streams=["7m"]']).session_data_config.streams == ("7m",)


def test_an_unknown_stream_names_the_nearest_word() -> None:
    assert "did you mean 'quotes'?" in problems('session_data_config.streams=["quots"]')["/session_data_config/streams/0"]


def test_cfg_28_symbols_are_at_least_one_at_most_100_000_and_each_once() -> None:
    place = "/session_data_config/symbols"
    assert "at least 1 item" in problems("session_data_config.symbols=[]")[place]
    assert "it stands at index 0 already" in problems('session_data_config.symbols=["AAA", "BBB", "AAA"]')[place + "/2"]
    many = MINIMAL | {"session_data_config": {"symbols": [f"S{number}" for number in range(100_001)]}}
    assert "at most 100,000 items" in problems(document=many)[place]


@pytest.mark.parametrize("symbol", ["A/B", "..", "../x", "A\0", "*", "[AB]", "'", '"', "A" * 300, "A\u202eB", "", " A", "é", "-A", "A\n"])
def test_cfg_29_a_symbol_is_letters_digits_and_three_signs(symbol: str) -> None:
    document = MINIMAL | {"session_data_config": {"symbols": ["AAA", symbol]}}
    message = problems(document=document)["/session_data_config/symbols/1"]
    assert "up to 32 characters" in message
    assert message.isascii()
    assert message.isprintable()


@pytest.mark.parametrize("symbol", ["TRUE", "0700", "1E5", "NA", "nan", "BRK.B", "BTC-USD", "es_1", "proto__"])
def test_symbols_that_look_like_something_else_stay_text(symbol: str) -> None:
    document = MINIMAL | {"session_data_config": {"symbols": [symbol]}}
    assert load(document).session_data_config.symbols == (symbol,)


@pytest.mark.parametrize("version", ["2", "99"])
def test_cfg_34_a_config_of_a_later_program_says_so(version: str) -> None:
    with pytest.raises(ConfigError, match="needs bt >=") as caught:
        load(MINIMAL, [f"config_version={version}", "key_of_the_future=1"])
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "amount"),
    [('"2GB"', 2_000_000_000), ('"512MB"', 512_000_000), ('"4GiB"', 4 * 2**30), ("1048576", 1_048_576), ('"1.5 KB"', 1500)],
)
def test_memory_is_bytes_or_text_with_a_unit(text: str, amount: int) -> None:
    assert load(MINIMAL, [f"resources.max_memory={text}"]).resources.max_memory == amount


@pytest.mark.parametrize("text", ['"2 gigs"', '"lots"', "0", "-1", "true", '"-2GB"'])
def test_other_amounts_of_memory_are_refused(text: str) -> None:
    assert "/resources/max_memory" in problems(f"resources.max_memory={text}")


def test_a_value_of_two_forms_is_judged_by_the_form_it_resembles() -> None:
    place = "session_data_config.historical.indicators"
    found = problems(f"{place}.avg_volume.perid=3", f"{place}.avg_volume.field=volum", document=OLDER)
    root = "/session_data_config/historical/indicators"
    assert set(found) == {f"{root}/avg_volume/perid", f"{root}/avg_volume/field"}
    assert "did you mean 'volume'?" in found[f"{root}/avg_volume/field"]
    assert "an object {...} or a list [...]" in problems(f"{place}=5", document=OLDER)[root]


def test_symbols_of_strategies_and_history_must_be_symbols_of_the_run() -> None:
    found = problems(
        'strategies=[{"name": "a", "use": "buy_and_hold", "symbols": ["AAC"]}]',
        'session_data_config.historical={"data": [{"trailing_days": 1, "intervals": ["1m"], "apply_to": ["BBB", "BBD"]}]}',
    )
    assert "did you mean 'AAA'?" in found["/strategies/0/symbols/0"]
    assert "did you mean 'BBB'?" in found["/session_data_config/historical/data/0/apply_to/1"]


def test_session_indicators_are_checked_against_the_catalog() -> None:
    found = problems(
        """session_data_config.indicators.session=[
            {"name": "smaa", "interval": "1m"},
            {"name": "sma", "interval": "1m", "period": 0},
            {"name": "vwap", "interval": "1m", "period": 3},
            {"name": "macd", "interval": "1m", "params": {"fst": 3, "slow": 1.5}}]"""
    )
    root = "/session_data_config/indicators/session"
    assert set(found) == {f"{root}/0/name", f"{root}/1/period", f"{root}/2/period", f"{root}/3/params/fst", f"{root}/3/params/slow"}
    assert "did you mean 'sma'?" in found[f"{root}/0/name"]
    assert "did you mean 'fast'?" in found[f"{root}/3/params/fst"]
    assert "leave it out" in found[f"{root}/2/period"]
