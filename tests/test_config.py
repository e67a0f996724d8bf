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
from backtester.errors import ConfigError, StrategyError

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


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a config file and gives its path."""

    def write(content: str) -> Path:
        path = tmp_path / "config.json"
        path.write_text(content, encoding="utf-8")
        return path

    return write


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


# Older configs and paths


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


def test_an_override_of_an_unknown_path_names_the_nearest_key() -> None:
    assert "did you mean 'execution'?" in problems("exection.fill=next_close")["/exection"]


# Strategies


def _with(*strategies: Document) -> Document:
    return MINIMAL | {"strategies": list(strategies)}


def test_parameters_of_a_strategy_are_completed_with_its_defaults() -> None:
    config = load(_with({"name": "cross", "use": "sma_crossover", "params": {"interval": "5m", "fast": 8}}))
    assert config.strategies[0].params == {"interval": "5m", "fast": 8, "slow": 20}
    [(entry, _, strategy)] = bind_strategies(config)
    assert entry.name == "cross"
    assert strategy is not None
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
    text = "from backtester import Strategy\nclass Mine(Strategy):\n    levels: tuple[float, ...] = ()\n    def signals(self, bars): ...\n"
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    path = written(json.dumps(_with({"name": "mine", "use": "mine.py:Mine", "params": {"levels": [1, 2]}})))
    [(_, _, strategy)] = bind_strategies(load(path))
    assert strategy is not None
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
        "resources.isolate_strategies=true",
        "resources.strategy_timeout_seconds=0.5",
        "resources.strategy_memory=100MB",
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
        {"resources": {"strategy_memory": 0}},
        {"resources": {"strategy_timeout_seconds": 0}},
        {"resources": {"isolate_strategies": 1}},
    ],
)
def test_the_schema_refuses_what_load_refuses(change: Document) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(MINIMAL | change)
    problems(document=MINIMAL | change)


@pytest.mark.parametrize(
    ("override", "apart"),
    [
        ("resources.threads=2", False),
        ("resources.isolate_strategies=true", True),
        ("resources.strategy_timeout_seconds=10", True),
        ("resources.strategy_memory=2GB", True),
    ],
)
def test_a_limit_of_a_strategy_asks_for_processes_by_itself(override: str, apart: bool) -> None:
    assert load(MINIMAL, [override]).resources.apart is apart


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
