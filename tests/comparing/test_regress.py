"""Baselines: accepted with a reason, run again, and what differs is named."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from click.testing import CliRunner, Result

from backtester.cli import main
from backtester.comparing import check as check_module
from backtester.comparing.accept import accept, changed_data
from backtester.comparing.baseline import find, read
from backtester.comparing.check import Verdict, check, exit_code
from backtester.comparing.variants import Variant, variants
from backtester.comparing.worker import checked
from backtester.errors import BacktesterError, DifferenceError
from backtester.outcome import compare_record
from backtester.outcome.compare_cells import exact_part
from backtester.outcome.run import load
from backtester.table import Table
from tests.comparing.runs import run, with_bar, written
from tests.configs import strategy

DAY = dt.date(2024, 11, 20)
BAR = dt.datetime(2024, 11, 6, 15, 0, tzinfo=dt.UTC)
PLAIN = [Variant()]


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def config(week: Path, tmp_path: Path) -> Path:
    """A config file beside a lake of its own."""
    shutil.copytree(week, tmp_path / "lake")
    return put(tmp_path / "cross.json", {})


def put(path: Path, changes: dict[str, Any]) -> Path:
    path.write_text(json.dumps(written(Path("lake"), changes)))
    return path


def accepted(config: Path, into: Path, reason: str = "first", **more: Any) -> str:
    [one] = accept([config], into, reason, today=DAY, **more)
    return one.state


def only(place: Path, *tolerances: str) -> Verdict:
    """The verdict on the one baseline of a folder, given in this process."""
    [one] = find(place)
    facts = checked(one.path, {"changes": [], "tolerances": list(tolerances), "keep": None})
    return Verdict.of(json.loads(json.dumps(facts)), Variant())


def causes(found: Verdict) -> list[str]:
    """What can be the cause of a difference, but for the program: a checkout with changes in it is of no known commit."""
    return [cause["group"] for cause in found.facts["comparison"]["causes"] if cause["can_be"] and cause["group"] != "program"]


def test_what_was_accepted_comes_out_again(config: Path, tmp_path: Path) -> None:
    into = tmp_path / "baselines"
    assert accepted(config, into) == "new"
    text = (into / "cross.json").read_text()
    assert str(tmp_path) not in text
    assert read(into / "cross.json").config == "../cross.json"
    told = bt("regress", into)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("same     cross: ")
    assert told.stdout.endswith("1 of 1 the same\n")
    assert accepted(config, into, "again") == "unchanged"
    assert (into / "cross.json").read_text() == text
    log = (into / "RESULTS-CHANGES.md").read_text()
    assert "## 2024-11-20: first\n\n- cross, new: " in log
    assert "again" not in log


def test_trades_are_counted_as_bt_show_counts_them(config: Path, tmp_path: Path) -> None:
    """Without positions that are still open."""
    put(config, {"strategies": [*strategy("sma_crossover", interval="5m", fast=5, slow=20), {"name": "hold", "use": "buy_and_hold"}]})
    into = tmp_path / "baselines"
    [one] = accept([config], into, "first", today=DAY)
    record = one.baseline.record
    assert record["tables"]["trades"]["rows"] > record["metrics"]["trades"] > 0
    wanted = f"{record['metrics']['trades']} trades"
    assert one.said[0] == wanted
    [verdict] = check(into, PLAIN)
    assert f": {wanted}, " in verdict.line()


def test_accepting_again_takes_in_what_the_program_has_added_since(config: Path, tmp_path: Path) -> None:
    accepted(config, tmp_path / "b")
    file = tmp_path / "b" / "cross.json"
    value = json.loads(file.read_text())
    del value["metrics"]["sortino"]
    file.write_text(json.dumps(value))
    assert only(tmp_path / "b").state == "same"
    [one] = accept([config], tmp_path / "b", "one figure more", today=DAY)
    assert one.state == "changed"
    assert one.said[-1] == "kept from now on: metrics.sortino"
    assert "sortino" in read(file).record["metrics"]


def test_a_key_that_the_program_did_not_know_then_counts_where_the_config_sets_it(config: Path, tmp_path: Path) -> None:
    put(config, {"execution.slippage": {"bps": 3}})
    accepted(config, tmp_path / "b")
    file = tmp_path / "b" / "cross.json"
    value = json.loads(file.read_text())
    execution = value["made_of"]["config"]["resolved"]["execution"]
    del execution["borrow_bps"]
    file.write_text(json.dumps(value))
    assert "config" not in only(tmp_path / "b").facts["differ"]
    assert accepted(config, tmp_path / "b") == "unchanged"
    del execution["slippage"]["bps"]
    file.write_text(json.dumps(value))
    assert "config" in only(tmp_path / "b").facts["differ"]


def test_no_cache_stands_between_a_baseline_and_the_program(config: Path, tmp_path: Path) -> None:
    put(config, {"resources": {"cache": True}})
    accepted(config, tmp_path / "b")
    [one] = find(tmp_path / "b")
    assert checked(one.path, {"changes": [], "tolerances": [], "keep": str(tmp_path / "kept")})["state"] == "same"
    assert load(tmp_path / "kept" / "cross").config["resources"]["cache"] is False
    assert one.record["made_of"]["config"]["resolved"]["resources"]["cache"] is False


def test_the_record_holds_what_the_run_holds(config: Path, plain: Path, tmp_path: Path) -> None:
    accepted(config, tmp_path / "b")
    record, of = json.loads((tmp_path / "b" / "cross.json").read_text()), load(plain)
    assert record["result_key"] == of.result_key
    assert record["metrics"]["final_equity"] == of.metrics["final_equity"]
    assert {name: stored["rows"] for name, stored in record["tables"].items()} == {
        name: of.table(name).height for name in record["tables"]}  # fmt: skip
    trades = of.table("trades")
    column = record["trades"]["columns"].index("pnl")
    assert [row[column] for row in record["trades"]["rows"]] == trades["pnl"].to_list()
    assert record["made_of"]["calendar"]["digest"] == of.manifest["calendar"]["digest"]
    assert len(record["made_of"]["data"]["files"]) == len(of.manifest["data"]["files"])


def test_of_many_trades_the_first_and_the_last_are_kept_and_compared(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_record, "KEPT_TRADES", 5)
    of = load(plain)
    record = json.loads(
        json.dumps(compare_record.record_of(of, {compare_record.file_name(file): "0" for file in of.manifest["data"]["files"]}))
    )
    rows, column = record["trades"]["rows"], record["trades"]["columns"].index("pnl")
    pnl = of.table("trades")["pnl"].to_list()
    assert [row[column] for row in rows] == pnl[:5] + pnl[-5:]
    rows[7][column] += 1.0
    record["tables"]["trades"]["digest"] = "0"
    trades = next(stage for stage in compare_record.compare_record(record, "r", of, {}, ()).stages if stage.name == "trades")
    assert trades.first_table is not None
    assert trades.first_table.first is not None
    assert (trades.first_table.first.row_a, trades.first_table.first.columns) == (len(pnl) - 3, ("pnl",))
    assert (trades.first_table.rows_a, trades.first_table.rows_b) == (len(pnl), len(pnl))


def test_a_changed_config_is_named_with_both_sides_of_the_first_trade(config: Path, tmp_path: Path) -> None:
    accepted(config, tmp_path / "b")
    put(config, {"execution.slippage": {"bps": 3}})
    told = bt("regress", "check", tmp_path / "b", "--junit", tmp_path / "new" / "out.xml")
    assert told.exit_code == 9
    assert "DIFFERS  cross: the results differ, first in " in told.stdout
    assert "first row that differs: trades, session 2024-11-04, row 1 of a, row 1 of b" in told.stdout
    assert "/execution/slippage/bps: a 0, b 3" in told.stdout
    assert "0 of 1 the same" in told.stdout
    suite = ElementTree.parse(tmp_path / "new" / "out.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "1", "0")
    assert accepted(config, tmp_path / "b", "slippage as measured") == "changed"
    log = (tmp_path / "b" / "RESULTS-CHANGES.md").read_text()
    assert "## 2024-11-20: slippage as measured" in log
    assert "/execution/slippage/bps 0 before, 3 now" in log
    assert only(tmp_path / "b").state == "same"


def test_other_data_are_named_and_not_accepted_unless_told(config: Path, tmp_path: Path) -> None:
    into = tmp_path / "b"
    accepted(config, into)
    before = (into / "cross.json").read_text()
    shutil.move(tmp_path / "lake", tmp_path / "old")
    with_bar(tmp_path / "old", tmp_path / "lake", "AAA", BAR, close=1.0, low=1.0)
    found = only(into)
    assert found.state == "differs"
    assert found.facts["headline"].startswith("the results differ, first in bars, on 2024-11-06")
    assert causes(found) == ["data"]
    with pytest.raises(DifferenceError, match=r"the data changed too.*bars/1m/2024-11-06"):
        accepted(config, into, "a fix of the program")
    assert (into / "cross.json").read_text() == before
    assert bt("regress", "accept", config, "--into", into, "--reason", "a fix").exit_code == 9
    assert accepted(config, into, "bars corrected", data_changed=True) == "changed"
    assert "data changed: bars/1m/2024-11-06" in (into / "RESULTS-CHANGES.md").read_text()
    assert only(into).state == "same"


def test_files_written_otherwise_with_the_same_bars_are_no_other_data(config: Path, tmp_path: Path) -> None:
    accepted(config, tmp_path / "b")
    record = read(tmp_path / "b" / "cross.json").record
    shutil.move(tmp_path / "lake", tmp_path / "old")
    with_bar(tmp_path / "old", tmp_path / "lake", "AAA", BAR, volume=7.0)
    bars = pl.read_parquet(tmp_path / "old" / "bars/1m/2024-11-06.parquet", glob=False).filter(symbol="AAA", ts=BAR)
    again = with_bar(tmp_path / "lake", tmp_path / "back", "AAA", BAR, volume=bars["volume"].item(), flags=8)
    shutil.rmtree(tmp_path / "lake")
    shutil.move(again, tmp_path / "lake")
    found = only(tmp_path / "b")
    assert (found.state, [group for group in found.facts["differ"] if group != "program"]) == ("same", ["data"])
    assert found.line().endswith("other data")
    accept([config], tmp_path / "c", "beside", today=DAY)
    assert list(changed_data(record, read(tmp_path / "c" / "cross.json").record)) == []


def test_figures_have_a_tolerance_and_money_has_none(config: Path, tmp_path: Path) -> None:
    accepted(config, tmp_path / "b")
    file = tmp_path / "b" / "cross.json"
    first = json.loads(file.read_text())

    def state(name: str, by: float, *tolerances: str) -> str:
        value = json.loads(json.dumps(first))
        value["metrics"][name] *= 1.0 + by
        file.write_text(json.dumps(value))
        return only(tmp_path / "b", *tolerances).state

    assert state("volatility", 1e-12) == "same"
    assert state("volatility", 1e-6) == "differs"
    assert state("volatility", 1e-6, "metrics.volatility=1e-5") == "same"
    assert state("final_equity", 1e-11) == "differs"


def test_figures_and_columns_that_came_later_are_not_compared(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = load(plain)

    def fewer(table: Table) -> Table:
        whole = exact_part(table)
        return Table(table.name, table.grain, table.key, tuple(one for one in whole.columns if one.name not in ("slippage", "tag")))

    files = {compare_record.file_name(file): "0" for file in of.manifest["data"]["files"]}
    with monkeypatch.context() as patch:
        patch.setattr(compare_record, "exact_part", fewer)
        record = compare_record.record_of(of, files)
    del record["metrics"]["sortino"]
    record = json.loads(json.dumps(record))
    assert "slippage" not in record["tables"]["fills"]["columns"]
    assert compare_record.compare_record(record, "r", of, {}, ()).same
    record["tables"]["fills"]["digest"] = "0"
    assert [stage.name for stage in compare_record.compare_record(record, "r", of, {}, ()).stages if not stage.same] == ["fills"]


def test_other_digests_of_signals_alone_are_told_and_no_difference(plain: Path) -> None:
    of = load(plain)
    record = compare_record.record_of(of, {compare_record.file_name(file): "0" for file in of.manifest["data"]["files"]})
    place = record["sessions"]["columns"].index("signals") + 1
    record["sessions"]["rows"][1][place] = "0"
    found = compare_record.compare_record(record, "r", of, {}, ())
    assert found.same
    assert found.notes == ("b: the digests of signals differ from 2024-11-05 on",)


def test_a_changed_source_of_a_strategy_is_the_cause(config: Path, tmp_path: Path) -> None:
    text = """
from backtester import Bars, Signals, Strategy

class Dip(Strategy):
    interval: str = "5m"
    lookback = 20
    def signals(self, bars: Bars) -> Signals:
        rsi = bars.indicator("rsi", period=5)
        return Signals(enter_long=rsi < 30, exit_long=rsi > 60)
"""
    (tmp_path / "dip.py").write_text(text)
    put(config, {"strategies": [{"name": "dip", "use": "dip.py:Dip"}]})
    accepted(config, tmp_path / "b")
    (tmp_path / "dip.py").write_text(text.replace("< 30", "< 35"))
    found = only(tmp_path / "b")
    assert found.facts["headline"].startswith("the results differ, first in decisions")
    assert causes(found) == ["strategies"]
    assert "b: the digests of signals differ from 2024-11-04 on" in found.facts["notes"]


@pytest.mark.slow
def test_a_process_that_dies_loses_one_baseline(config: Path, tmp_path: Path) -> None:
    killer = "import os\nfrom backtester import Signals, Strategy\n\nclass Killer(Strategy):\n    def signals(self, bars):\n"
    (tmp_path / "killer.py").write_text(killer + "        return Signals(enter_long=bars.close < 0, exit_long=bars.close < 0)\n")
    other = put(tmp_path / "b_killer.json", {"strategies": [{"name": "k", "use": "killer.py:Killer"}]})
    shutil.copy(config, tmp_path / "c_last.json")
    accept([config, other, tmp_path / "c_last.json"], tmp_path / "b", "three", today=DAY)
    (tmp_path / "killer.py").write_text(killer + "        os._exit(3)\n")
    shutil.move(tmp_path / "b" / "cross.json", tmp_path / "b" / "a_cross.json")
    found = check(tmp_path / "b", PLAIN, workers=1)
    assert [(one.name, one.state) for one in found] == [("a_cross", "same"), ("b_killer", "error"), ("c_last", "same")]
    assert "ended with code 3" in found[1].line()
    assert exit_code(found) == 7


def test_a_baseline_that_cannot_be_run_ends_with_the_code_of_its_error(config: Path, tmp_path: Path) -> None:
    accepted(config, tmp_path / "b")
    shutil.rmtree(tmp_path / "lake")
    told = bt("regress", "check", tmp_path / "b", "--json")
    assert told.exit_code == 4
    [one] = json.loads(told.stdout)
    assert (one["state"], one["name"]) == ("error", "cross")
    assert "there is no lake" in one["lines"][0]


@pytest.mark.slow
def test_variants_leave_results_as_they_are_and_kept_runs_can_be_compared(config: Path, tmp_path: Path) -> None:
    """R18, I-15, I-16, I-18."""
    accepted(config, tmp_path / "b")
    words = ("--threads", "1,2", "--prefetch", "1,7", "--hash-seeds", "0,random", "--zones", "UTC,Asia/Tokyo")
    told = bt("regress", tmp_path / "b", *words, "--keep", tmp_path / "kept")
    assert told.exit_code == 0, told.output
    folders = sorted(path.parent for path in (tmp_path / "kept").glob("*/*/manifest.json"))
    assert len(folders) == 2
    said = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    assert {side["environment"]["variables"].get("TZ") for side in said} == {"UTC", "Asia/Tokyo"}
    assert {side["execution"]["prefetch_days"] for side in said} == {1, 5}
    assert {side["environment"]["variables"]["POLARS_MAX_THREADS"] for side in said} == {"1", "2"}
    assert bt("diff", *folders).exit_code == 0


def test_lists_of_variants_go_side_by_side_or_all_with_all() -> None:
    side_by_side = variants([1, 2, 3], [1, 7], ["0"])
    assert [(one.threads, one.prefetch, one.hash_seed, one.zone) for one in side_by_side] == [
        (1, 1, "0", None), (2, 7, "0", None), (3, 1, "0", None)]  # fmt: skip
    assert len(variants([1, 2], [1, 7], ["0", "random"], ["UTC", "Asia/Tokyo"], cross=True)) == 16
    assert variants() == [Variant()]


@pytest.mark.parametrize("words", [
    ("--threads", "0"), ("--threads", "two"), ("--prefetch", "1,,2"), ("--hash-seeds", "x"), ("--zones", "Nowhere/City"),
    ("--tolerance", "metrics=x"), ("--workers", "0"),
])  # fmt: skip
def test_words_that_mean_nothing_are_refused(words: tuple[str, str], tmp_path: Path) -> None:
    assert bt("regress", "check", tmp_path, *words).exit_code == 2


def test_what_is_no_baseline_is_refused(config: Path, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert bt("regress", tmp_path / "none").exit_code == 8
    assert "there are no baselines" in bt("regress", tmp_path / "b").stderr
    (tmp_path / "b" / "x.json").write_text("{}")
    assert bt("regress", tmp_path / "b").exit_code == 4
    (tmp_path / "b" / "x.json").write_text('{"form": 99}')
    assert "another form" in bt("regress", tmp_path / "b").stderr


def test_accepting_needs_a_reason_names_of_their_own_and_runs_that_end_well(config: Path, tmp_path: Path) -> None:
    into = tmp_path / "b"
    assert bt("regress", "accept", config, "--into", into, "--reason", " ").exit_code == 2
    assert bt("regress", "accept", config, "--into", into).exit_code == 2
    assert bt("regress", "accept", config, config, "--into", into, "--reason", "twice").exit_code == 2
    raising = "from backtester import Strategy\n\nclass R(Strategy):\n    def signals(self, bars):\n        raise ValueError\n"
    (tmp_path / "raising.py").write_text(raising)
    other = put(tmp_path / "other.json", {"strategies": [{"name": "r", "use": "raising.py:R"}]})
    assert bt("regress", "accept", config, other, "--into", into, "--reason", "two").exit_code == 5
    assert not into.exists()


def test_a_lake_can_be_named_and_is_kept_relative(config: Path, week: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace('"lake": "lake"', '"lake": "nowhere"'))
    with pytest.raises(BacktesterError):
        accepted(config, tmp_path / "b")
    assert accepted(config, tmp_path / "b", lake=tmp_path / "lake") == "new"
    assert read(tmp_path / "b" / "cross.json").lake == "../lake"
    assert only(tmp_path / "b").state == "same"


def test_a_run_is_what_it_was_for_the_plain_config_too(week: Path, plain: Path, tmp_path: Path) -> None:
    """The fixture's run and one of the file are the same run: the tests above stand on it."""
    assert load(run(week, tmp_path / "again")).result_key == load(plain).result_key


@pytest.mark.slow
def test_ctrl_c_ends_every_process(config: Path, tmp_path: Path) -> None:
    slow = "import time\nfrom backtester import Signals, Strategy\n\nclass Slow(Strategy):\n    def signals(self, bars):\n"
    (tmp_path / "slow.py").write_text(slow + "        return Signals(enter_long=bars.close < 0, exit_long=bars.close < 0)\n")
    put(config, {"strategies": [{"name": "s", "use": "slow.py:Slow"}]})
    other = Path(shutil.copy(config, tmp_path / "other.json"))
    accept([config, other], tmp_path / "b", "two", today=DAY)
    said = "        import os, pathlib\n        pathlib.Path(f'pid{os.getpid()}').touch()\n        time.sleep(600)\n"
    (tmp_path / "slow.py").write_text(slow + said)
    words = [sys.executable, "-m", "backtester", "regress", str(tmp_path / "b"), "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (started := list(tmp_path.glob("pid*"))) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "stopped\n")
    assert len(started) == len(list(tmp_path.glob("pid*"))) == 1
    assert not Path(f"/proc/{started[0].name.removeprefix('pid')}").exists()


class Dying:
    """Stands in for a process that ends when any of its kind is killed; while it is killed, the others are seen to end."""

    returncode = -9
    killed = threading.Event()

    def __init__(self) -> None:
        self.stdin, self.stdout = io.BytesIO(), self

    def __enter__(self) -> Dying:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[bytes]:
        assert self.killed.wait(5.0)
        return iter(())

    def kill(self) -> None:
        self.killed.set()
        time.sleep(0.1)


def test_processes_that_end_while_all_are_stopped_keep_none_alive(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted(config, tmp_path / "baselines")
    [baseline] = find(tmp_path / "baselines")
    Dying.killed.clear()
    monkeypatch.setattr(check_module, "_started", lambda _variant: Dying())
    crew = check_module._Crew([], None, lambda _verdict: None)
    with ThreadPoolExecutor(3) as pool:
        work = [pool.submit(crew.run, check_module._Job(Variant(), (baseline,))) for _ in range(3)]
        while len(crew._running) < 3:
            time.sleep(0.01)
        crew.stop()
        assert [future.result() for future in work] == [[], [], []]
