"""The config: what is read, what is refused with which words, what the digest sees. Ids are those of the test plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import backtester
from backtester.config import Config, bind_strategies, load, schema
from backtester.errors import ConfigError, StrategyError, UsageError

Document = dict[str, Any]

MINIMAL: Document = {
    "session_name": "two names",
    "exchange_group": "US_EQUITY",
    "asset_class": "EQUITY",
    "backtest_config": {"start_date": "2024-11-25", "end_date": "2024-12-06"},
    "session_data_config": {"symbols": ["BBB", "AAA"], "streams": ["1m"]},
    "account": {"cash": 100000},
}

OLDER: Document = {
    "session_name": "An older session",
    "exchange_group": "US_EQUITY",
    "asset_class": "EQUITY",
    "mode": "backtest",
    "backtest_config": {"start_date": "2025-07-02", "end_date": "2025-07-07", "speed_multiplier": 0.0, "prefetch_days": 21},
    "session_data_config": {
        "symbols": ["AAPL", "RIVN"],
        "streams": ["1m", "5m", "quotes"],
        "historical": {
            "enable_quality": True,
            "data": [{"trailing_days": 5, "intervals": ["1m"], "apply_to": "all"}],
            "indicators": {
                "avg_volume": {
                    "type": "trailing_average",
                    "period": "10d",
                    "granularity": "daily",
                    "field": "volume",
                    "skip_early_close": True,
                }
            },
        },
        "indicators": {"session": [{"name": "sma", "period": 20, "interval": "5m"}]},
        "gap_filler": {"enable_session_quality": True, "max_retries": 5, "retry_interval_seconds": 60},
    },
    "trading_config": {
        "max_buying_power": 100000,
        "max_per_trade": 10000,
        "max_per_symbol": 20000,
        "max_open_positions": 5,
    },
    "api_config": {"data_api": "local", "trade_api": "paper"},
    "metadata": {"description": "example"},
}


def problems(*overrides: str, document: Document = MINIMAL) -> dict[str, str]:
    """The problems of a document after overrides: pointer -> message."""
    with pytest.raises(ConfigError) as caught:
        load(document, overrides)
    assert caught.value.exit_code == 3
    return {str(problem.where): str(problem) for problem in caught.value.problems}


def refusal(source: Any) -> str:
    """The message with which a source is refused as a whole."""
    with pytest.raises(ConfigError) as caught:
        load(source)
    assert caught.value.exit_code == 3
    return str(caught.value)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Writes a config file and gives its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "config.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# Reading


def test_cfg_01_a_missing_file_is_named() -> None:
    assert "nowhere/config.json" in refusal("nowhere/config.json")


@pytest.mark.parametrize("content", ["", " \n\t"])
def test_cfg_02_an_empty_file_is_called_empty(written: Callable[[str], Path], content: str) -> None:
    assert "empty" in refusal(written(content))


def test_cfg_03_a_folder_is_not_a_config(tmp_path: Path) -> None:
    assert "folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "line", "column", "hint"),
    [
        ('{\n  "a": 1,\n}', 2, 9, "trailing comma"),
        ('{"a": [1, 2,]}', 1, 12, "trailing comma"),
        ('{\n  // note\n  "a": 1}', 2, 3, 'use a key named "comment"'),
        ('{"a": 1 # note\n}', 1, 9, 'use a key named "comment"'),
        ("{'a': 1}", 1, 2, "double quotes"),
        ('{"a": True}', 1, 7, "write true"),
        ('{"a": sma}', 1, 7, "double quotes"),
        ('{"a" 1}', 1, 6, "':'"),
        ('{"a": 1} {}', 1, 10, "Extra data"),
    ],
)
def test_cfg_04_a_slip_in_the_json_is_shown_with_line_column_and_remedy(
    written: Callable[[str], Path], content: str, line: int, column: int, hint: str
) -> None:
    message = refusal(written(content))
    assert f"line {line} column {column}" in message
    assert hint in message


@pytest.mark.parametrize(
    ("content", "byte"),
    [("{}".encode("utf-16"), 0), ("{}".encode("utf-16-le"), 1), ('{"a": "é"}'.encode("latin-1"), 7)],
)
def test_cfg_06_another_encoding_is_refused_at_its_byte(written: Callable[[bytes], Path], content: bytes, byte: int) -> None:
    assert f"not UTF-8 at byte {byte}" in refusal(written(content))


def test_a_byte_order_mark_of_utf_8_is_read_over(written: Callable[[bytes], Path]) -> None:
    assert load(written(b"\xef\xbb\xbf" + json.dumps(MINIMAL).encode())).session_name == "two names"


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_cfg_08_numbers_that_are_not_finite_are_refused_at_their_place(written: Callable[[str], Path], literal: str) -> None:
    path = written('{"execution": {"slippage": {"bps": ' + literal + "}}}")
    message = refusal(path)
    assert "/execution/slippage/bps" in message
    assert literal in message


def test_whole_numbers_beyond_64_bits_are_refused(written: Callable[[str], Path]) -> None:
    assert "/seed" in refusal(written('{"seed": ' + "9" * 5000 + "}"))


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "[" * 33 + "]" * 33])
def test_cfg_09_deep_nesting_is_refused_before_it_is_parsed(written: Callable[[str], Path], content: str) -> None:
    assert "too deep" in refusal(written(content))


def test_32_levels_are_not_too_deep_and_brackets_in_text_do_not_count(written: Callable[[str], Path]) -> None:
    deep = "[" * 30 + '"' + "[{" * 100 + '"' + "]" * 30
    text = json.dumps(MINIMAL)[:-1] + ', "metadata": {"deep": ' + deep + "}}"
    assert load(written(text)).session_name == "two names"


def test_cfg_10_a_file_beyond_5_mb_is_refused(written: Callable[[bytes], Path]) -> None:
    assert "too large" in refusal(written(b" " * 5_000_001))


@pytest.mark.parametrize("content", ["[]", '"text"', "3", "null"])
def test_cfg_12_the_top_level_must_be_an_object(written: Callable[[str], Path], content: str) -> None:
    assert "not an object" in refusal(written(content))


def test_a_key_that_stands_twice_is_refused_with_its_pointer(written: Callable[[str], Path]) -> None:
    assert "/account/cash" in refusal(written('{"account": {"cash": 1, "cash": 2}}'))


def test_text_that_is_not_unicode_is_refused(written: Callable[[str], Path]) -> None:
    assert "/session_name" in refusal(written('{"session_name": "\\ud800"}'))


def test_comments_may_stand_anywhere_and_change_nothing() -> None:
    noted = json.loads(json.dumps(OLDER))
    noted["comment"] = "at the top"
    noted["_note"] = {"any": ["thing"]}
    noted["session_data_config"]["_why"] = 1
    noted["session_data_config"]["historical"]["data"][0]["comment"] = "in a list"
    noted["session_data_config"]["historical"]["indicators"]["_comment"] = "beside names"
    assert load(noted).resolved() == load(OLDER).resolved()


def test_metadata_is_kept_as_it_is() -> None:
    document = MINIMAL | {"metadata": {"_draft": True, "comment": "mine", "free": {"unknown": [1, 2.5, None]}}}
    assert load(document).resolved()["metadata"] == document["metadata"]


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
    assert "at least 1 items" in problems("session_data_config.symbols=[]")[place]
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


# Older configs, paths, overrides


def test_an_older_session_config_takes_its_cash_from_the_buying_power() -> None:
    config = load(OLDER)
    assert config.account.cash == 100000.0
    assert config.strategies == ()
    assert config.trading_config.min_quality == 95.0
    assert config.execution.fill == "next_open"
    with pytest.raises(ConfigError, match="--lake"):
        _ = config.lake


def test_without_cash_and_buying_power_the_missing_account_is_reported() -> None:
    document = {key: value for key, value in MINIMAL.items() if key != "account"}
    assert "max_buying_power" in problems(document=document)["/account"]


def test_a_lake_of_the_config_starts_at_its_folder_and_one_of_the_command_at_the_current(
    written: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(json.dumps(MINIMAL | {"session_data_config": {"symbols": ["AAA"], "lake": "../lake"}}))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load(path).lake == tmp_path.parent / "lake"
    assert load(path, lake=Path("mine")).lake == elsewhere / "mine"
    assert load(path).default_out == Path("runs/config")


def test_overrides_set_dotted_paths_in_order_and_make_missing_sections() -> None:
    config = load(
        MINIMAL, ["execution.slippage.bps=2", "execution.slippage.bps=3.5", "session_data_config.symbols.0=CCC", "session_name=a=b"]
    )
    assert config.execution.slippage.bps == 3.5
    assert config.session_data_config.symbols == ("AAA", "CCC")
    assert config.session_name == "a=b"


def test_an_override_without_a_value_is_a_usage_error() -> None:
    for assignment in ("", "x", "=1", "a..b=1", ".=1"):
        with pytest.raises(UsageError, match="PATH=VALUE"):
            load(MINIMAL, [assignment])


def test_overrides_that_lead_nowhere_are_reported_together() -> None:
    found = problems("session_data_config.symbols.9=X", "session_name.first=X", "account.cash=NaN")
    assert "allowed: 0 to 1" in found["/session_data_config/symbols/9"]
    assert set(found) == {"/session_data_config/symbols/9", "/session_name/first", "/account/cash"}


def test_an_override_of_an_unknown_path_names_the_nearest_key() -> None:
    assert "did you mean 'execution'?" in problems("exection.fill=next_close")["/exection"]


# Strategies


def _with(*strategies: Document) -> Document:
    return MINIMAL | {"strategies": list(strategies)}


def test_parameters_of_a_strategy_are_completed_with_its_defaults() -> None:
    config = load(_with({"name": "cross", "use": "sma_crossover", "params": {"interval": "5m", "fast": 8}}))
    assert config.strategies[0].params == {"interval": "5m", "fast": 8, "slow": 20}
    [(entry, strategy)] = bind_strategies(config)
    assert entry.name == "cross"
    assert strategy.model_dump() == {"interval": "5m", "fast": 8, "slow": 20}


def test_wrong_parameters_come_back_with_their_pointers() -> None:
    found = problems(document=_with({"name": "cross", "use": "sma_crossover", "params": {"fast": 0, "slo": 9, "interval": "7x"}}))
    assert "at least 1" in found["/strategies/0/params/fast"]
    assert "did you mean 'slow'?" in found["/strategies/0/params/slo"]
    assert "allowed: Ns, Nm or Nh" in found["/strategies/0/params/interval"]


def test_an_unknown_built_in_strategy_names_the_nearest() -> None:
    assert "did you mean 'sma_crossover'?" in problems(document=_with({"name": "a", "use": "sma_crosover"}))["/strategies/0/use"]


def test_names_of_strategies_are_unique() -> None:
    found = problems(document=_with({"name": "a", "use": "buy_and_hold"}, {"name": "a", "use": "sma_crossover"}))
    assert "it stands at index 0 already" in found["/strategies/1/name"]


def test_a_strategy_file_that_is_missing_is_a_strategy_error(written: Callable[[str], Path]) -> None:
    path = written(json.dumps(_with({"name": "mine", "use": "mine.py:Mine"})))
    with pytest.raises(StrategyError, match=r"/strategies/0/use, mine\.py"):
        load(path)


def test_a_strategy_file_stands_beside_the_config(written: Callable[[str], Path], tmp_path: Path) -> None:
    text = "from backtester import Strategy\n\n\nclass Mine(Strategy):\n    levels: tuple[float, ...] = (1.0,)\n"
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    path = written(json.dumps(_with({"name": "mine", "use": "mine.py:Mine", "params": {"levels": [1, 2]}})))
    [(_, strategy)] = bind_strategies(load(path))
    assert strategy.model_dump() == {"levels": (1.0, 2.0)}


def test_a_strategy_whose_checks_raise_is_a_strategy_error(written: Callable[[str], Path], tmp_path: Path) -> None:
    text = """
from pydantic import field_validator
from backtester import Strategy

class Mine(Strategy):
    size: int = 1

    @field_validator("size")
    def check(cls, value):
        return 1 // (value - 2)
"""
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    path = written(json.dumps(_with({"name": "mine", "use": "mine.py:Mine", "params": {"size": 2}})))
    with pytest.raises(StrategyError, match="ZeroDivisionError"):
        load(path)


# The value


def test_the_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(MINIMAL).session_name = "other"  # type: ignore[misc]


def test_a_resolved_config_loads_again_to_the_same_digest() -> None:
    document = OLDER | {"strategies": [{"name": "a", "use": "sma_crossover"}], "execution": {"commission": {"preset": "ibkr_fixed"}}}
    config = load(document)
    again = load(config.resolved())
    assert again.resolved() == config.resolved()
    assert again.digest == config.digest


def test_the_record_holds_no_secret() -> None:
    document = MINIMAL | {"api_config": {"api_key": "CANARY", "url": "https://me:CANARY@host/x"}, "metadata": {"Token": "CANARY"}}
    record = load(document).resolved()
    assert "CANARY" not in json.dumps(record)
    assert record["api_config"] == {"api_key": {"secret": "api_key"}, "url": "https://host/x"}


@pytest.mark.parametrize(
    "override",
    [
        "session_data_config.lake=/somewhere/else",
        "session_data_config.verify=off",
        'session_data_config.symbols=["AAA", "BBB"]',
        'session_data_config.streams=["1m", "1m"]',
        "backtest_config.prefetch_days=3",
        "backtest_config.speed_multiplier=10",
        "resources.threads=7",
        "resources.max_memory=2GB",
        'keep=["bars"]',
        "session_name=another title",
        "metadata.note=x",
        "api_config.data_api=other",
        "account.cash=1e5",
        "execution.slippage.bps=-0.0",
        "execution.fill=next_open",
    ],
)
def test_the_digest_does_not_see_what_cannot_change_a_result(override: str) -> None:
    assert load(MINIMAL, [override]).digest == load(MINIMAL).digest


@pytest.mark.parametrize(
    "override",
    [
        "account.cash=100001",
        "backtest_config.end_date=2024-12-05",
        'session_data_config.symbols=["AAA"]',
        'session_data_config.streams=["5m"]',
        "session_data_config.derived.min_completeness=0.5",
        "execution.fill=next_close",
        "trading_config.min_quality=90",
        'strategies=[{"name": "a", "use": "buy_and_hold"}]',
        "calendar=XLON",
        "on_error=fail",
    ],
)
def test_the_digest_sees_what_can_change_a_result(override: str) -> None:
    assert load(MINIMAL, [override]).digest != load(MINIMAL).digest


def test_the_schema_is_one_of_draft_2020_12_and_takes_every_config_of_the_project(project: Path) -> None:
    described = schema()
    assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(described)
    paths = sorted((project / "configs").glob("*.json"))
    assert "older_session.json" in {path.name for path in paths}
    for path in paths:
        jsonschema.Draft202012Validator(described).validate(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "change",
    [
        {"comission": 1},
        {"account": {"cash": "1"}},
        {"mode": "live"},
        {"session_data_config": {"symbols": ["../x"]}},
        {"resources": {"max_memory": "2 gigs"}},
    ],
)
def test_the_schema_refuses_what_load_refuses(change: Document) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(MINIMAL | change)
    problems(document=MINIMAL | change)


def test_the_schema_lets_comments_stand_anywhere() -> None:
    noted = MINIMAL | {"_note": 1, "account": {"cash": 1, "comment": "enough"}}
    jsonschema.Draft202012Validator(schema()).validate(noted)


def test_every_config_of_the_project_loads(project: Path) -> None:
    for path in sorted((project / "configs").glob("*.json")):
        config = load(path)
        assert isinstance(config, Config)
        assert load(config.resolved()).digest == config.digest


def test_the_package_says_its_version_and_names_without_loading_them(project: Path) -> None:
    import tomllib

    told = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert backtester.__version__ == told
    assert {"Bars", "Signals", "Strategy", "indicators", "load", "run"} <= set(dir(backtester))
    with pytest.raises(AttributeError, match="no attribute 'Strateg'"):
        _ = backtester.Strateg
