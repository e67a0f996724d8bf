"""A run that was stopped or killed goes on after its last checkpoint and ends as one that never was. Ids are those of the test plan."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import backtester as bt
from backtester import arrays
from backtester.atomic import KILLED
from backtester.config import load
from backtester.errors import DataError, OutputError, ResourceError
from backtester.market.action_changes import ROWS, add_actions
from backtester.market.simulate import Simulation, simulate
from backtester.outcome import checkpoints
from backtester.pipeline import run as run_config
from tests.configs import config, strategy
from tests.stopped import After, everything, hidden, start, stop, written
from tests.test_pipeline import EVERYTHING

EACH = {"resources.checkpoint_seconds": 0, "backtest_config.prefetch_days": 1}
NEVER = {"resources.checkpoint_seconds": None}
SMALL: dict[str, Any] = {
    "session_data_config.symbols": ["AAA", "BBB"],
    "backtest_config.start_date": "2024-11-01",
    "backtest_config.end_date": "2024-11-12",
    "strategies": strategy("sma_crossover"),
    "trading_config": {"min_quality": 50},
}
HALF_RAISES = """
from backtester import Signals, Strategy
import numpy as np

class Half(Strategy):
    def signals(self, bars):
        if (bars.session == np.datetime64("2024-11-07")).any():
            raise ValueError("it is the seventh")
        return Signals(enter_long=bars.slot % 40 == 3, exit_long=bars.slot % 40 == 30, tags=np.where(bars.slot % 80 == 3, "odd", None))
"""


def small(lake: Path, **changes: Any) -> dict[str, Any]:
    return config(lake, {**SMALL, **EACH, **changes})


@pytest.fixture(scope="module")
def undisturbed(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the small run is when nobody stops it and no checkpoint is made."""
    return everything(bt.run(config(simulated, {**SMALL, **NEVER}), out=tmp_path_factory.mktemp("undisturbed") / "run"))


def test_a_run_stopped_after_any_session_ends_as_if_it_never_was(simulated: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    for sessions in (1, 4, 7, 8):
        out = tmp_path / f"{sessions}"
        assert "--resume" in stop(small(simulated), out, sessions)
        assert not out.exists()
        run = bt.run(small(simulated), out=out, resume=True)
        run.verify()
        assert everything(run) == undisturbed, sessions
        assert hidden(out) == []
        assert not (out / "resume").exists()


def test_a_run_may_be_stopped_again_and_again(simulated: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    out = tmp_path / "run"
    for sessions in (2, 3, 6):
        stop(small(simulated), out, sessions, resume=True)
        assert len(hidden(out)) == 1
    run = bt.run(small(simulated), out=out, resume=True)
    assert everything(run) == undisturbed
    assert [one["after"] for one in run.manifest["execution"]["resumed"]] == ["2024-11-04", "2024-11-05", "2024-11-08"]


def test_the_log_has_each_session_once(simulated: Path, tmp_path: Path) -> None:
    stop(small(simulated), tmp_path / "run", 5)
    run = bt.run(small(simulated), out=tmp_path / "run", resume=True)
    flow = [line.split()[4] for line in (run.folder / "run.log").read_text().splitlines() if "SESSION_FLOW" in line]
    assert flow == [f"session={day}" for day in run.table("sessions")["session"] for _ in range(6)]


def raises(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "half.py").write_text(HALF_RAISES, encoding="utf-8")
    return {"strategies": [*strategy("half.py:Half"), {"name": "other", "use": "sma_crossover"}]}


def apart(tmp_path: Path) -> dict[str, Any]:
    return raises(tmp_path) | {"resources.isolate_strategies": True}


def ladder(tmp_path: Path) -> dict[str, Any]:
    return {**EVERYTHING, "execution": EVERYTHING["execution"] | {"cost_ladder": [0, 1, 3]}, "keep": ["signals", "bars", "indicators"]}


def purses(tmp_path: Path) -> dict[str, Any]:
    return {
        "strategies": [
            {"name": "cross", "use": "sma_crossover", "params": {"interval": "5m"}},
            {"name": "rsi", "use": "rsi_reversion", "params": {"interval": "5m", "period": 7}},
        ],
        "account": {
            "cash": 100000, "capital": {"cross": 70000, "rsi": 30000}, "allow_short": True, "leverage": 4, "margin_call": "liquidate",
            "maintenance": 0.3,
        },
        "execution": {
            "sizing": {"type": "equity_fraction", "value": 1.5}, "trailing_stop": 0.004, "borrow_bps": 200,
            "commission": {"preset": "ibkr_tiered"}, "max_participation": 0.2,
            "scale_out": [{"take_profit": 0.002, "fraction": 0.5}, {"take_profit": 0.004, "fraction": 0.5}],
        },
    }  # fmt: skip


@pytest.mark.parametrize(("changes", "sessions"), [(raises, 3), (raises, 6), (apart, 6), (ladder, 4), (purses, 3), (purses, 6)])
def test_whatever_a_run_carries_on_is_carried_on(
    changes: Callable[[Path], dict[str, Any]], sessions: int, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders that wait, stops that trail, purses, rungs of costs, strategies that were stopped, history in every interval."""
    monkeypatch.chdir(tmp_path)
    asked = {**SMALL, **changes(tmp_path)}
    whole = bt.run(config(simulated, {**asked, **NEVER}), out=tmp_path / "whole")
    assert whole.table("fills").height > 50
    stop(config(simulated, {**asked, **EACH}), tmp_path / "run", sessions)
    run = bt.run(config(simulated, {**asked, **EACH}), out=tmp_path / "run", resume=True)
    assert everything(run) == everything(whole)


def test_splits_and_dividends_act_once(simulated: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(simulated, lake)
    days = [("AAA", dt.date(2024, 11, 6), "split", 2.0), ("BBB", dt.date(2024, 11, 7), "dividend", 0.5)]
    add_actions(lake, pl.DataFrame([(*day, "test", "") for day in days], schema=ROWS, orient="row"), "XNYS")
    hold = {"strategies": strategy("buy_and_hold")}
    whole = everything(bt.run(small(lake, **hold), out=tmp_path / "whole"))
    for sessions in (3, 4, 5):  # the fourth session is 2024-11-06
        stop(small(lake, **hold), tmp_path / "run", sessions)
        assert everything(bt.run(small(lake, **hold), out=tmp_path / "run", resume=True)) == whole
        shutil.rmtree(tmp_path / "run")


def test_finer_bars_that_were_looked_into_stay_in_the_manifest(tmp_path: Path) -> None:
    lake, days = tmp_path / "lake", (dt.date(2024, 11, 4), dt.date(2024, 11, 6))
    for interval in ("1m", "1s"):
        simulate(lake, Simulation(("AAA",), *days, seed=7, interval=interval))  # type: ignore[arg-type]
    asked = {
        "session_data_config.symbols": ["AAA"], "backtest_config.start_date": "2024-11-04", "backtest_config.end_date": "2024-11-06",
        "strategies": strategy("sma_crossover", interval="1m"),
        "execution": {"intrabar": "drill_down", "stop_loss": 0.0003, "take_profit": 0.0003, "sizing": {"type": "shares", "value": 10}},
    }  # fmt: skip
    whole = bt.run(config(lake, {**asked, **NEVER}), out=tmp_path / "whole")
    assert {file["interval"] for file in whole.manifest["data"]["files"]} == {"1m", "1s"}
    stop(config(lake, {**asked, **EACH}), tmp_path / "run", 2)
    assert everything(bt.run(config(lake, {**asked, **EACH}), out=tmp_path / "run", resume=True)) == everything(whole)


def test_parts_and_threads_may_be_others_when_a_run_goes_on(simulated: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    stop(small(simulated), tmp_path / "run", 3)
    others = {"backtest_config.prefetch_days": 2, "resources.threads": 1, "resources.checkpoint_seconds": 5}
    assert everything(bt.run(small(simulated, **others), out=tmp_path / "run", resume=True)) == undisturbed


def test_f_25_a_folder_copied_to_another_place_goes_on_there(
    simulated: Path, tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    monkeypatch.setattr("backtester.checkpoint.platform.node", lambda: "first-host")
    stop(small(simulated), here / "run", 4)
    shutil.copytree(here, there)
    shutil.copytree(simulated, there / "lake")
    shutil.rmtree(here)
    monkeypatch.setattr("backtester.checkpoint.platform.node", lambda: "second-host")
    run = bt.run(small(there / "lake"), out=there / "run", resume=True)
    assert everything(run) == undisturbed
    assert run.manifest["execution"]["resumed"] == [{"after": "2024-11-06", "host": "first-host"}]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"account.cash": 50000}, "/config/account/cash: 100000.0, now 50000.0"),
        ({"session_data_config.symbols": ["AAA", "CCC"]}, "/config/session_data_config/symbols"),
        ({"keep": ["bars"]}, '/config/keep: [], now ["bars"]'),
        ({"backtest_config.end_date": "2024-11-13"}, "/config/backtest_config/end_date"),
    ],
)
def test_cli_11_another_config_is_not_gone_on_with(changes: dict[str, Any], place: str, simulated: Path, tmp_path: Path) -> None:
    stop(small(simulated), tmp_path / "run", 3)
    with pytest.raises(OutputError, match="another run") as caught:
        bt.run(small(simulated, **changes), out=tmp_path / "run", resume=True)
    assert place in str(caught.value.value)
    assert caught.value.exit_code == 8
    assert len(hidden(tmp_path / "run")) == 1, "what was begun can still be gone on with"
    assert bt.run(small(simulated), out=tmp_path / "run", resume=True).manifest["execution"]["resumed"]


def test_cli_11_other_data_is_named_by_its_files(simulated: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(simulated, lake)
    stop(small(lake), tmp_path / "run", 3)
    for name in lake.iterdir():
        shutil.rmtree(name) if name.is_dir() else name.unlink()
    simulate(lake, Simulation(("AAA", "BBB"), dt.date(2024, 10, 1), dt.date(2024, 12, 31), seed=8))
    with pytest.raises(OutputError, match=r"/lake/bars/1m/2024-10-31\.parquet: \"[0-9a-f]{12}\", now \"[0-9a-f]{12}\""):
        bt.run(small(lake), out=tmp_path / "run", resume=True)


def test_cli_11_a_strategy_whose_file_has_changed_is_named(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = raises(tmp_path)
    stop(small(simulated, **asked), tmp_path / "run", 3)
    (tmp_path / "half.py").write_text(HALF_RAISES.replace("== 3", "== 4"), encoding="utf-8")
    with pytest.raises(OutputError, match="/strategies/only: "):
        bt.run(small(simulated, **asked), out=tmp_path / "run", resume=True)


def test_cli_11_another_program_or_library_is_named(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop(small(simulated), tmp_path / "run", 3)
    monkeypatch.setattr("backtester.outcome.environment.sources", lambda: "0" * 64)
    with pytest.raises(OutputError, match=r"/program/sources: \"[0-9a-f]{12}\", now \"0{12}\""):
        bt.run(small(simulated), out=tmp_path / "run", resume=True)


def test_cli_11_another_close_of_a_session_is_another_calendar(simulated: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(simulated, lake)
    stop(small(lake), tmp_path / "run", 3)
    early = [{"session": "2024-11-12", "open": "09:30", "close": "13:00"}]
    (lake / "calendar_overrides.json").write_text(json.dumps(early), encoding="utf-8")
    with pytest.raises(OutputError, match="/calendar/rows: "):
        bt.run(small(lake), out=tmp_path / "run", resume=True)


def test_with_nothing_to_resume_the_run_begins_and_says_so(simulated: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    told: list[str] = []
    run = run_config(load(small(simulated)), tmp_path / "run", resume=True, told=told.append)
    assert everything(run) == undisturbed
    assert told == ["nothing to resume: the run begins with its first session"]
    stop(small(simulated), tmp_path / "again", 4)
    run_config(load(small(simulated)), tmp_path / "again", resume=True, told=told.append)
    assert told[1:] == ["going on after 2024-11-06, session 4 of 8"]


def test_without_resume_a_run_begins_anew_and_clears_what_was_left(simulated: Path, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    stop(small(simulated), tmp_path / "run", 4)
    run = bt.run(small(simulated), out=tmp_path / "run")
    assert everything(run) == undisturbed
    assert run.manifest["execution"]["resumed"] == []
    assert hidden(tmp_path / "run") == []


def test_a_complete_run_that_stands_there_is_replaced_by_force_only(simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    old = bt.run(small(simulated, **{"account.cash": 5000}), out=out)
    with pytest.raises(KeyboardInterrupt):
        run_config(load(small(simulated)), out, force=True, progress=After(3))
    old.verify()
    with pytest.raises(OutputError, match="--force"):
        bt.run(small(simulated), out=out, resume=True)
    assert bt.run(small(simulated), out=out, resume=True, force=True).manifest["execution"]["resumed"]
    assert hidden(out) == []


def test_a_run_without_a_checkpoint_leaves_nothing(simulated: Path, tmp_path: Path) -> None:
    """Short runs make none, nor do those that are told not to."""
    for seconds in (None, 60):
        told = stop(small(simulated, **{"resources.checkpoint_seconds": seconds}), tmp_path / "run", 4)
        assert (told, hidden(tmp_path / "run")) == ("", [])


def test_an_error_leaves_nothing(simulated: Path, tmp_path: Path) -> None:
    """A damaged file of the lake in the middle of a run."""
    lake = tmp_path / "lake"
    shutil.copytree(simulated, lake)
    (lake / "bars" / "1m" / "2024-11-11.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="2024-11-11"):
        bt.run(small(lake), out=tmp_path / "run")
    assert hidden(tmp_path / "run") == []


def test_f_06_a_disk_that_is_full_for_a_checkpoint_ends_the_run(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoints.arrays, "write", full)
    with pytest.raises(ResourceError, match=r"No space left.* bytes free; allowed: at least [1-9][0-9]* bytes more"):
        bt.run(small(simulated), out=tmp_path / "run")
    assert hidden(tmp_path / "run") == []


@pytest.mark.parametrize("name", ["checkpoint.json", "state-*.arrow", "pieces.arrows", "plan.json"])
@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: content[:-9] + bytes(9)])
def test_what_is_damaged_is_not_gone_on_with(name: str, damage: Callable[[bytes], bytes], simulated: Path, tmp_path: Path) -> None:
    """A copy that was cut short, or changed; F-01: no wrong result of it."""
    out = tmp_path / "run"
    stop(small(simulated), out, 4)
    (file,) = (out.parent / hidden(out)[0] / "resume").glob(name)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(OutputError, match=r"cannot be gone on with.*begins anew|cannot be gone on with.*without --resume"):
        bt.run(small(simulated), out=out, resume=True)
    assert bt.run(small(simulated), out=out).table("sessions").height == 8


def test_s_09_s_19_what_is_kept_is_json_and_arrow_for_its_owner_alone(simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    before = os.umask(0)
    try:
        stop(small(simulated), out, 4)
    finally:
        os.umask(before)
    folder = out.parent / hidden(out)[0]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in (folder / "resume").iterdir()} == {"plan.json", "pieces.arrows", "state-3.arrow", "checkpoint.json"}
    assert (folder / "resume").stat().st_mode & 0o777 == 0o700
    assert json.loads((folder / "resume" / "checkpoint.json").read_text())["facts"]["sessions"] == 4
    assert arrays.read(folder / "resume" / "state-3.arrow")["account/0/pairs"].shape == (2,)


STEPS = ["claimed", "write:plan.json", "done:plan.json", "pieces", "sync:state-0.arrow", "done:state-1.arrow", "replace:checkpoint.json",
         "done:checkpoint.json", "checkpoint", "sealed", "replace:metrics.json", "done:manifest.json", "swap", "swapped"]  # fmt: skip
MORE = [f"{step}:{name}" for name in ("plan.json", "state-0.arrow", "state-3.arrow", "checkpoint.json", "config.json", "metrics.json",
        "manifest.json") for step in ("write", "sync", "replace", "done")]  # fmt: skip


def killed_at(step: str, lake: Path, folder: Path) -> bt.Run:
    """A run that ends at a step as by a kill, gone on with by the command."""
    path, out = written(folder, small(lake)), folder / "run"
    dead = start(path, out, fail_at=step)
    dead.communicate()
    assert dead.returncode == KILLED
    assert len(hidden(out)) <= 1
    run = bt.run(path, out=out, resume=True, force=out.exists())
    assert hidden(out) == []
    run.verify()
    return run


@pytest.mark.parametrize("step", ["done:checkpoint.json", "replace:state-3.arrow", "sealed"])
def test_f_02_a_kill_at_a_step_of_the_writing_changes_nothing(
    step: str, simulated: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    assert everything(killed_at(step, simulated, tmp_path)) == undisturbed


@pytest.mark.deep
@pytest.mark.parametrize("step", sorted({*STEPS, *MORE}))
def test_f_02_a_kill_at_any_step_of_the_writing_changes_nothing(
    step: str, simulated: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    assert everything(killed_at(step, simulated, tmp_path)) == undisturbed


LONG = {"backtest_config.end_date": "2024-12-20", "session_data_config.symbols": ["AAA", "BBB", "CCC", "DDD"]}


def claimed(process: subprocess.Popen[str], out: Path) -> None:
    """Come back when the process has a folder to write in, or has ended."""
    while process.poll() is None and not hidden(out):
        time.sleep(0.002)


def random_kills(moments: int, lake: Path, folder: Path) -> int:
    """Runs killed at a random moment of their work, and once more after they were gone on with; how many times a checkpoint was left."""
    path, out, rng = written(folder, small(lake, **LONG)), folder / "run", random.Random(0)
    whole = everything(bt.run(small(lake, **LONG, **NEVER), out=folder / "whole"))
    process, begun = start(path, out), time.monotonic()
    claimed(process, out)
    before, resumed = time.monotonic() - begun, 0
    assert process.wait() == 0
    work = time.monotonic() - begun - before
    for _ in range(moments):
        shutil.rmtree(out)
        process = start(path, out)
        claimed(process, out)
        for words, wait in (((), rng.uniform(0, work)), (("--resume",), before + rng.uniform(0, work / 2))):
            if words:
                process = start(path, out, *words)
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert len(hidden(out)) <= 1
            resumed += any((out.parent / name / "resume" / "checkpoint.json").exists() for name in hidden(out))
        run = bt.load(out) if out.exists() else bt.run(path, out=out, resume=True)
        run.verify()
        assert everything(run) == whole
    return resumed


def test_f_01_a_run_killed_at_a_random_moment_and_again_ends_as_if_it_never_was(simulated: Path, tmp_path: Path) -> None:
    random_kills(1, simulated, tmp_path)


@pytest.mark.deep
def test_f_01_a_run_killed_at_50_random_moments_ends_as_if_it_never_was(simulated: Path, tmp_path: Path) -> None:
    assert random_kills(50, simulated, tmp_path) > 20


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.deep)])
def test_cli_06_cli_07_a_signal_leaves_what_is_done_and_says_how_to_go_on(
    number: int, code: int, simulated: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    path, out = written(tmp_path, small(simulated)), tmp_path / "run"
    process = start(path, out)
    until = time.monotonic() + 60
    while not any(tmp_path.glob(".run.*/resume/checkpoint.json")) and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the run was quicker than the signal")
    assert process.returncode == code
    assert said == "stopped; what is done is kept: the same command with --resume goes on with it\n"
    again = start(path, out, "--resume")
    assert again.wait() == 0
    assert everything(bt.load(out)) == undisturbed
