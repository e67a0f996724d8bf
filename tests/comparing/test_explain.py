"""The first session that differs, made again on both sides: interval, symbol, bar and column are named."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from backtester.cli import main
from backtester.comparing.diff import diff
from backtester.comparing.explain import Explanation, explain
from tests.comparing.runs import edited, run, with_bar

BAR = dt.datetime(2024, 11, 6, 15, 0, tzinfo=dt.UTC)


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def of(explained: Explanation) -> list[str]:
    return [name for name, _ in explained.tables]


def test_a_changed_bar_is_named_without_kept_columns(week: Path, plain: Path, tmp_path: Path) -> None:
    other = run(with_bar(week, tmp_path / "lake", "BBB", BAR, volume=1.0), tmp_path / "other")
    explained = explain(diff(plain, other, {}))
    assert explained.session == "2024-11-06"
    assert of(explained)[:2] == ["bars of 1m", "bars of 5m"]
    assert explained.warnings == ()
    first, derived = explained.tables[0][1].first, explained.tables[1][1].first
    assert first is not None
    assert first.a is not None
    assert first.b is not None
    assert (first.a["symbol"], first.a["ts"], first.columns, first.b["volume"]) == ("BBB", BAR, ("volume",), 1.0)
    assert derived is not None
    assert derived.a is not None
    assert (derived.a["ts"], derived.columns) == (BAR, ("volume",))
    told = bt("diff", plain, other, "--explain")
    assert told.exit_code == 9
    assert "made again on both sides: session 2024-11-06" in told.stdout
    assert "volume: a " in told.stdout
    assert json.loads(bt("diff", plain, other, "--explain", "--json").stdout)["explained"]["tables"][0]["of"] == "bars of 1m"


def test_a_parameter_is_seen_in_the_column_that_the_strategy_asked_for(week: Path, plain: Path, tmp_path: Path) -> None:
    explained = explain(diff(plain, run(week, tmp_path / "other", {"strategies.0.params.fast": 6}), {}))
    assert of(explained) == ["what only saw", "signals"]
    first = explained.tables[0][1].first
    assert first is not None
    assert first.a is not None
    assert first.b is not None
    assert (first.a["name"], first.b["name"]) == ("sma(period=5)", "sma(period=6)")


def test_an_indicator_of_the_config_is_named_with_its_bar(week: Path, plain: Path, tmp_path: Path) -> None:
    changes = {"session_data_config.indicators": {"session": [{"name": "sma", "period": 20, "interval": "5m"},
                                                              {"name": "rsi", "period": 14, "interval": "5m"}]}}  # fmt: skip
    explained = explain(diff(plain, run(week, tmp_path / "other", changes), {}))
    assert of(explained)[0] == "indicators"
    first = explained.tables[0][1].first
    assert first is not None
    assert first.b is not None
    assert (first.a, first.b["name"], first.b["interval"]) == (None, "rsi_14", "5m")


def test_what_follows_from_equal_signals_is_not_made_again(week: Path, plain: Path, tmp_path: Path) -> None:
    explained = explain(diff(plain, run(week, tmp_path / "other", {"execution.slippage": {"bps": 3}}), {}))
    assert (explained.session, explained.tables) == (None, ())
    assert explained.lines() == ["not made again: up to the signals both runs are the same; the rows above are all that is behind them"]
    assert explain(diff(plain, plain, {})).reason == "nothing differs"


@pytest.fixture
def own(week: Path, tmp_path: Path) -> Path:
    """A lake that a test may change."""
    return Path(shutil.copytree(week, tmp_path / "own"))


def test_data_that_are_not_there_any_more_are_said(own: Path, week: Path, plain: Path, tmp_path: Path) -> None:
    before = run(own, tmp_path / "before")
    changed = with_bar(own, tmp_path / "changed", "AAA", BAR, volume=1.0)
    after = run(changed, tmp_path / "after")
    shutil.rmtree(changed)
    shutil.copytree(week, changed)  # the lake that `after` read holds the first bars again
    explained = explain(diff(before, after, {}))
    assert explained.tables == ()
    assert any(sentence.startswith("b: ") and "bars" in sentence for sentence in explained.warnings)
    assert "both sides have the same columns" in explained.lines()[-1]


def test_a_lake_that_is_gone_is_a_reason_and_no_error(own: Path, plain: Path, tmp_path: Path) -> None:
    other = run(own, tmp_path / "other", {"strategies.0.params.fast": 6})
    shutil.rmtree(own)
    told = bt("diff", plain, other, "--explain")
    assert told.exit_code == 9
    assert "not made again: session 2024-11-04 of b: there is no lake" in told.stdout


def test_a_digest_that_differs_for_no_reason_at_all_is_said_as_such(plain: Path, tmp_path: Path) -> None:
    folder = edited(plain, tmp_path / "other", "digests", lambda rows: rows.with_columns(
        digest=pl.when((pl.col("stage") == "bars") & (pl.col("session") == dt.date(2024, 11, 5))).then(pl.lit("0" * 64)).otherwise("digest")
    ))  # fmt: skip
    explained = explain(diff(plain, folder, {}))
    assert explained.session == "2024-11-05"
    assert any("differs from the run's own digests in: bars" in sentence for sentence in explained.warnings)
