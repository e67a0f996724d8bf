"""The small audit inside every run: what it finds, what it says, and that it changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import backtester as bt
from backtester.cli import main
from backtester.errors import StrategyError
from tests import configs
from tests.auditing.test_audit import BUILT_IN, DAYS, LEAKS, SOUND, strategies
from tests.test_pipeline import digests

SEEN = ("CentredWindow", "ResampleLabel", "ShiftMinusOne", "JoinOnStart", "GlobalNormalization")


def run(lake: Path, folder: Path, more: dict[str, Any]) -> bt.Run:
    symbols = {"session_data_config.symbols": ["AAA", "BBB", "CCC"]}
    return bt.run(configs.config(lake, {**DAYS, **symbols, **more}), out=folder)


def audit_of(made: bt.Run) -> dict[str, Any]:
    return made.manifest["execution"]["audit"]


@pytest.fixture(scope="module")
def leaking(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> bt.Run:
    return run(simulated, tmp_path_factory.mktemp("leaking") / "run", {"strategies": strategies(*LEAKS)})


@pytest.mark.parametrize("name", SEEN)
def test_a_strategy_that_looks_ahead_often_is_warned_of(leaking: bt.Run, name: str) -> None:
    found = [finding for finding in audit_of(leaking)["findings"] if finding["subject"] == f"strategy {name.lower()}"]
    assert "prefix cut" in {finding["check"] for finding in found}
    assert all(finding["usual"] != finding["other"] for finding in found)
    warnings = leaking.manifest["execution"]["warnings"]
    assert any(line.startswith(f"audit: strategy {name.lower()} says something else when later bars are taken away") for line in warnings)


def test_a_strategy_that_compares_symbols_and_looks_ahead_is_warned_of(simulated: Path, tmp_path: Path) -> None:
    audit = audit_of(run(simulated, tmp_path / "run", {"strategies": strategies("ClockAhead")}))
    assert (audit["cuts"], audit["symbols"]) == (8, ["AAA", "BBB", "CCC"])
    assert [(finding["subject"], finding["check"]) for finding in audit["findings"]] == [("strategy clockahead", "prefix cut")]
    assert audit["findings"][0]["usual"].startswith("target")


def test_a_warned_run_is_published_and_ends_with_0(leaking: bt.Run) -> None:
    assert leaking.manifest["identity"]["status"] == 0
    assert leaking.table("decisions").height > 0
    assert "WARNING backtester.audit audit: strategy shiftminusone" in (leaking.folder / "run.log").read_text(encoding="utf-8")


def test_show_says_what_the_audit_found(leaking: bt.Run) -> None:
    told = CliRunner().invoke(main, ["show", str(leaking.folder)]).output
    assert f"audit: 8 cuts in the session of {audit_of(leaking)['session']}, " in told
    assert "differences, see the warnings" in told
    assert "! audit: strategy shiftminusone says something else" in told


def test_on_leak_fail_publishes_nothing(simulated: Path, tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match=r"small audit found a difference .*shiftminusone"):
        run(simulated, tmp_path / "run", {"strategies": strategies("ShiftMinusOne"), "audit.on_leak": "fail"})
    assert not (tmp_path / "run").exists()


def test_sound_strategies_are_clean_with_many_cuts_and_fail_does_not_hinder_them(simulated: Path, tmp_path: Path) -> None:
    many = {"strategies": [*BUILT_IN, *strategies("Sound")], **SOUND, "audit": {"cuts": 64, "on_leak": "fail"}}
    audit = audit_of(run(simulated, tmp_path / "run", many))
    assert audit["findings"] == []
    assert audit["cuts"] == 34  # of 390 slots of three symbols as many as 40,000 cells hold: one strategy compares symbols
    assert {"strategy sound", "strategy cross_sectional_momentum", "indicator 5m/rsi_14", "historical range", "bars 15m"} <= set(
        audit["checked"]
    )


@pytest.mark.parametrize("name", ["sma_crossover", "Counts", "Unseeded"])
def test_a_run_with_the_audit_is_the_run_without_it(name: str, simulated: Path, tmp_path: Path) -> None:
    """Even of a strategy that keeps something between calls: the audit calls it only when the run is over."""
    from tests.auditing import leaks

    entry = [{"name": "only", "use": name}] if name == "sma_crossover" else strategies(name)
    made = []
    for cuts in (0, 8, 64):
        leaks.CALLS = iter(range(1000))
        made.append(run(simulated, tmp_path / str(cuts), {"strategies": entry, "audit.cuts": cuts}))
    without, *others = made
    assert [audit_of(one)["cuts"] for one in made] == [0, 8, 64]
    assert audit_of(without)["note"] == "switched off"
    if name == "Unseeded":
        assert len({one.result_key for one in made}) == 3
        return
    for one in others:
        assert digests(one) == digests(without)
        assert one.result_key == without.result_key


def test_a_strategy_that_was_stopped_is_left_out(simulated: Path, tmp_path: Path) -> None:
    more = {"strategies": strategies("Stumbles", "Sound"), **SOUND, "audit.on_leak": "fail"}
    audit = audit_of(run(simulated, tmp_path / "run", more))
    assert "strategy stumbles" not in audit["checked"]
    assert "strategy sound" in audit["checked"]


def test_strategies_in_processes_of_their_own_are_looked_at_too(simulated: Path, tmp_path: Path) -> None:
    more = {"strategies": strategies("ShiftMinusOne"), "resources.isolate_strategies": True}
    found = audit_of(run(simulated, tmp_path / "run", more))["findings"]
    assert {finding["subject"] for finding in found} == {"strategy shiftminusone"}
