"""What using the program by hand brought to light, held end to end through the command."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from backtester import load
from backtester.cli import main


def bt(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def simulated(lake: str | Path, *words: object) -> Result:
    return bt(
        "data", "simulate", "--lake", lake, "--symbols", "AAA,BBB", "--start", "2024-07-01", "--end", "2024-07-05", "--seed", 7, *words
    )


def test_a_lake_may_be_named_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = simulated("data/lake")
    assert made.exit_code == 0, made.stderr
    assert "rows_unchanged  2,760" in simulated("data/lake").stdout
    assert bt("data", "verify", "--lake", "data/lake").exit_code == 0


MINE = """
from backtester import Bars, Signals, Strategy


class Tenth(Strategy):
    interval: str = "1m"

    def signals(self, bars: Bars) -> Signals:
        return Signals(enter_long=bars.slot == 10, exit_long=bars.slot == 20)
"""


def a_config(folder: Path, lake: Path, **more: object) -> Path:
    """A config of two names on the simulated lake, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    document: dict[str, object] = {
        "session_name": "explored",
        "exchange_group": "US_EQUITY",
        "asset_class": "EQUITY",
        "backtest_config": {"start_date": "2024-07-01", "end_date": "2024-07-05"},
        "session_data_config": {"lake": str(lake), "symbols": ["AAA", "BBB"], "streams": ["1m"]},
        "strategies": [{"name": "mine", "use": "sma_crossover", "params": {"interval": "5m"}}],
        "account": {"cash": 100_000},
    }
    path.write_text(json.dumps(document | more))
    return path


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two names over four sessions, one of them with an early close."""
    root = tmp_path_factory.mktemp("explored") / "lake"
    assert simulated(root).exit_code == 0
    return root


def ran(config: Path, out: Path, *words: object) -> Any:
    """The facts that `bt run --json` prints."""
    result = bt("run", config, "--out", out, "--json", *words)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_strategy_file_gives_one_result_wherever_it_lies_and_however_it_is_named(tmp_path: Path, lake: Path) -> None:
    keys = set()
    for folder, use in (
        ("a", "mine.py:Tenth"),
        ("b", "./mine.py:Tenth"),
        ("c", f"{tmp_path}/c/mine.py:Tenth"),
        ("d", "sub/../mine.py:Tenth"),
    ):
        config = a_config(tmp_path / folder, lake, strategies=[{"name": "mine", "use": use}])
        (tmp_path / folder / "mine.py").write_text(MINE)
        keys.add(ran(config, tmp_path / f"run_{folder}")["result_key"])
    assert len(keys) == 1


def test_the_config_of_a_result_can_be_run_again_with_its_strategy_file(
    tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = a_config(tmp_path / "configs", lake, strategies=[{"name": "mine", "use": "mine.py:Tenth"}])
    (tmp_path / "configs" / "mine.py").write_text(MINE)
    first = ran(config, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert ran(tmp_path / "run" / "config.json", tmp_path / "again")["result_key"] == first["result_key"]


UNRULY = """
import os
import warnings

import numpy as np
import polars as pl

from backtester import Bars, Signals, Strategy

print("loading")


class Unruly(Strategy):
    interval: str = "1m"

    def signals(self, bars: Bars) -> Signals:
        print("called")
        os.chdir("/")
        np.seterr(all="raise")
        warnings.simplefilter("error")
        return Signals(enter_long=bars.slot == 10, exit_long=bars.slot == 20)


class Forcing(Strategy):
    interval: str = "1m"

    def signals(self, bars: Bars) -> Signals:
        bars.close.flags.writeable = True
        return Signals(enter_long=bars.slot == 10)


class Failing(Strategy):
    def signals(self, bars: Bars) -> Signals:
        raise ValueError("no")
"""


def unruly(folder: Path, lake: Path, name: str, **more: object) -> Path:
    config = a_config(folder, lake, strategies=[{"name": "mine", "use": f"unruly.py:{name}"}], **more)
    (folder / "unruly.py").write_text(UNRULY)
    return config


def test_cli_09_what_a_strategy_prints_is_not_in_the_json(tmp_path: Path, lake: Path) -> None:
    result = bt("run", unruly(tmp_path, lake, "Unruly"), "--out", tmp_path / "run", "--json")
    assert json.loads(result.stdout)["status"] == 0
    assert "loading" in result.stderr
    assert "called" in result.stderr


def test_str_21_a_strategy_that_changes_folder_warnings_and_numpy_leaves_all_as_it_was(
    tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = np.geterr(), list(warnings.filters)
    facts = ran(unruly(tmp_path, lake, "Unruly"), Path("run"))
    assert (Path.cwd(), np.geterr(), list(warnings.filters)) == (tmp_path, *before)
    assert (tmp_path / "run" / "manifest.json").is_file()
    assert facts["metrics"]["trades"] == 8


def test_str_11_columns_cannot_be_made_writeable(tmp_path: Path, lake: Path) -> None:
    result = bt("run", unruly(tmp_path, lake, "Forcing"), "--out", tmp_path / "run")
    assert result.exit_code == 5
    assert "cannot set WRITEABLE flag" in result.stderr


def test_a_run_that_fails_with_its_strategy_does_not_name_a_log_that_is_gone(tmp_path: Path, lake: Path) -> None:
    result = bt("run", unruly(tmp_path, lake, "Failing", on_error="fail"), "--out", tmp_path / "run")
    assert (result.exit_code, (tmp_path / "run").exists()) == (5, False)
    assert "--debug shows its traceback" in result.stderr
    assert "run.log" not in result.stderr


@pytest.mark.parametrize(("symbols", "problems"), [([], 1), (["../x"], 1), (["A", 5, "*"], 2)])
def test_cfg_28_29_one_problem_a_bad_symbol(tmp_path: Path, lake: Path, symbols: list[object], problems: int) -> None:
    result = bt("validate", a_config(tmp_path, lake), "--json", "--set", f"session_data_config.symbols={json.dumps(symbols)}")
    assert len(json.loads(result.stdout)["problems"]) == problems
    assert ("allowed: at least 1 item" in result.stderr) == (not symbols)
    assert "items" not in result.stderr


def test_show_prints_the_whole_picture_of_a_run(tmp_path: Path, lake: Path) -> None:
    ran(a_config(tmp_path, lake, execution={"fill": "same_close"}), tmp_path / "run")
    shown = bt("show", tmp_path / "run").stdout
    for words in (
        "explored",
        "optimistic: orders fill at the close",
        "no commission",
        "sharpe",
        "by strategy (1)",
        "decisions (",
        "sessions (4)",
    ):
        assert words in shown
    assert "2024-07-03 early close" in shown
    assert any(line.split() == ["sessions", "4"] for line in shown.splitlines())


def test_a_run_says_what_its_figures_take_for_granted(tmp_path: Path, lake: Path) -> None:
    """SPEC 12: same_close is marked optimistic in every report."""
    config = a_config(tmp_path, lake, execution={"fill": "same_close"})
    assert "note: optimistic" in bt("run", config, "--out", tmp_path / "run").stderr
    assert any(line.startswith("optimistic") for line in ran(config, tmp_path / "again")["assumptions"])


def hours(lake: Path, config: Path, out: Path, *words: object) -> list[tuple[str, int, float]]:
    """Session, bars and quality of a run with a config on a lake."""
    ran(config, out, "--lake", lake, *words)
    return load(out).table("sessions").select(pl.col("session").cast(pl.String), "bars", "quality").rows()


@pytest.fixture(scope="module")
def crypto(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two lakes of the same bars: filed by the market's calendar, and by the one that an import takes where none is named."""
    root = tmp_path_factory.mktemp("crypto")
    for name, words in (("right", ("--calendar", "24/7")), ("other", ())):
        made = bt("data", "import", shared_data / "lean_crypto_minute", "--lake", root / name, "--format", "parquet", *words)
        assert made.exit_code == 0, made.stderr
    return root / "right", root / "other"


@pytest.mark.parametrize("days", [1, 2, 30])
def test_cal_09_a_day_has_1440_bars_by_whichever_calendar_they_were_filed(tmp_path: Path, crypto: tuple[Path, Path], days: int) -> None:
    config = a_config(
        tmp_path,
        crypto[0],
        exchange_group="CRYPTO",
        asset_class="CRYPTO",
        backtest_config={"start_date": "2018-04-04", "end_date": "2018-04-06", "prefetch_days": days},
        session_data_config={"lake": str(crypto[0]), "symbols": ["BTCUSD"], "streams": ["1m", "5m"]},
    )
    expected = [("2018-04-04", 1007, 100 * 1007 / 1440), ("2018-04-05", 1440, 100.0), ("2018-04-06", 1440, 100.0)]
    assert hours(crypto[0], config, tmp_path / "right") == expected
    assert hours(crypto[1], config, tmp_path / "other") == expected
    same = [load(tmp_path / name).manifest["results"]["tables"]["fills"]["digest"] for name in ("right", "other")]
    assert same[0] == same[1]
    last = ("--set", "backtest_config.start_date=2018-04-06")
    assert hours(crypto[1], config, tmp_path / "last", *last) == expected[-1:]


def test_s_04_a_folder_is_a_name_not_a_pattern(tmp_path: Path) -> None:
    for name in ("a[b]c", "st*r", "stXr", "q?m", "a=b c"):
        assert simulated(tmp_path / name / "lake").exit_code == 0
        assert "rows_unchanged  2,760" in simulated(tmp_path / name / "lake").stdout
        ran(a_config(tmp_path / name, tmp_path / name / "lake"), tmp_path / name / "run")
    assert len({load(tmp_path / name / "run").result_key for name in ("a[b]c", "st*r", "stXr", "q?m", "a=b c")}) == 1
    assert load(tmp_path / "a[b]c" / "run").table("sessions")["bars"].sum() == 2760


@pytest.mark.parametrize(
    ("rows", "code", "said"), [("1,1,1,,1", 4, "no row can be used"), ("1,1,1,,1\nA,2024-07-05T13:31:00Z,1,1,1,1,5", 0, "")]
)
def test_dat_23_rows_without_a_close_are_no_bars(tmp_path: Path, rows: str, code: int, said: str) -> None:
    (tmp_path / "bars.csv").write_text(f"symbol,ts,open,high,low,close,volume\nA,2024-07-05T13:30:00Z,{rows}\n")
    result = bt("data", "import", tmp_path / "bars.csv", "--lake", tmp_path / "lake", "--format", "csv")
    assert (result.exit_code, (tmp_path / "lake").exists()) == (code, code == 0)
    assert said in result.stderr


def test_a_config_without_strategies_is_told_that_nothing_is_traded(tmp_path: Path, lake: Path) -> None:
    result = bt("run", a_config(tmp_path, lake, strategies=[]), "--out", tmp_path / "run")
    assert result.stderr == "note: nothing was traded: the config names no strategy\n"


def test_a_symbol_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path, lake: Path) -> None:
    result = bt("run", a_config(tmp_path, lake), "--out", tmp_path / "run", "--set", 'session_data_config.symbols=["aaa"]')
    assert result.exit_code == 4
    assert result.stderr.startswith("error: Required interval 1m not available for aaa (needed to build 5m)")
    assert "did you mean AAA?" in result.stderr


def test_a_symbol_of_other_days_is_answered_with_its_days(tmp_path: Path, lake: Path) -> None:
    dates = ("--set", "backtest_config.start_date=2024-08-01", "--set", "backtest_config.end_date=2024-08-02")
    result = bt("run", a_config(tmp_path, lake), "--out", tmp_path / "run", *dates)
    assert result.exit_code == 4
    assert "AAA is there from 2024-07-01 to 2024-07-05" in result.stderr
    assert "did you mean" not in result.stderr


DECLARED = {
    "nothing": "pass",
    "interval": "interval: str = '7x'\n    def signals(self, bars): ...",
    "lookback": "lookback = -3\n    def signals(self, bars): ...",
    "signals": "def signals(self): ...",
    "default": "period: int = 20.5\n    def signals(self, bars): ...",
}


@pytest.mark.parametrize("what", DECLARED)
def test_str_03_validate_checks_what_a_strategy_declares(tmp_path: Path, lake: Path, what: str) -> None:
    config = a_config(tmp_path, lake, strategies=[{"name": "mine", "use": "mine.py:Mine"}])
    (tmp_path / "mine.py").write_text(f"from backtester import Strategy\n\n\nclass Mine(Strategy):\n    {DECLARED[what]}\n")
    result = bt("validate", config)
    assert result.exit_code == 5
    assert result.stderr.startswith("error: ")
    assert "strategy mine" in result.stderr or "the default of setting 'period'" in result.stderr


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        ('session_data_config.historical.indicators={"a":{"type":"trailing_max","period":"0d"}}', "indicators/a/period", "Nd sessions"),
        ('session_data_config.historical.indicators=[{"name":"avg_volume","period":5},{"name":"avg_volume","period":6}]',
         "/session_data_config/historical/indicators", "two historical indicators of one name"),
        ('session_data_config.indicators.session=[{"name":"sma","interval":"5m","period":20,"params":{"period":30}}]',
         "/session_data_config/indicators/session/0/params/period", "given twice"),
        ("gap_filler={}", "/gap_filler", "it belongs at /session_data_config/gap_filler"),
        ('strategies=[]', "/session_data_config/streams", "no interval is wanted"),
    ],
)  # fmt: skip
def test_validate_finds_what_only_a_run_would_meet(tmp_path: Path, lake: Path, change: str, where: str, words: str) -> None:
    streams = ("--set", 'session_data_config.streams=["ticks"]') if change.startswith("strategies") else ()
    result = bt("validate", a_config(tmp_path, lake), "--set", change, *streams)
    assert result.exit_code == 3
    assert where in result.stderr
    assert words in result.stderr


def test_cal_01_an_unknown_calendar_names_its_key(tmp_path: Path, lake: Path) -> None:
    for change, where in (("calendar=NYSEE", "(/calendar)"), ("exchange_group=MARS", "(/exchange_group)")):
        result = bt("validate", a_config(tmp_path, lake), "--set", change)
        assert result.exit_code == 6
        assert where in result.stderr


def test_sessions_that_the_lake_has_nothing_of_are_said(tmp_path: Path, lake: Path) -> None:
    dates = ("--set", "backtest_config.start_date=2024-06-03", "--set", "backtest_config.end_date=2024-07-12")
    said = json.loads(bt("plan", a_config(tmp_path, lake), "--json", *dates).stdout)["warnings"]
    assert "the lake holds nothing of 24 of 28 sessions; the first with bars is 2024-07-01, the last 2024-07-05" in said


def test_minutes_without_entries_need_flat_at_close(tmp_path: Path, lake: Path) -> None:
    result = bt("validate", a_config(tmp_path, lake, execution={"no_entry_minutes": 10}))
    assert result.exit_code == 0
    assert "warning: /execution/no_entry_minutes means nothing without flat_at_close" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["schema"], ["strategies"], ["calendar", "XNYS", "2024-07-01", "2024-07-05", "--json"]])
def test_f_06_a_full_disk_behind_stdout_is_7_and_one_line(project: Path, words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "backtester", *words], cwd=project, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 7
    assert done.stderr.startswith("error: cannot be written (standard output): got No space left on device")
    assert len(done.stderr.splitlines()) == 1


def test_dat_29_a_run_over_an_unadjusted_split_says_so(tmp_path: Path, shared_data: Path) -> None:
    """Apple's 7 for 1 of 2014-06-09 in raw prices looks like a loss of 86 %."""
    made = bt("data", "import", shared_data / "lean_usa_minute" / "AAPL.parquet", "--lake", tmp_path / "lake", "--format", "parquet")
    assert "unadjusted_split? AAPL 2014-06-09" in made.stderr
    config = a_config(
        tmp_path,
        tmp_path / "lake",
        backtest_config={"start_date": "2014-06-05", "end_date": "2014-06-09"},
        session_data_config={"lake": str(tmp_path / "lake"), "symbols": ["AAPL"], "streams": ["1m"]},
    )
    said = [line for line in bt("run", config, "--out", tmp_path / "run").stderr.splitlines() if "split" in line]
    assert said == [
        "warning: unadjusted_split in the bars of AAPL on 2014-06-09 (a split's ratio; unadjusted split?); see the table findings"
    ]


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_stream_is_no_error(project: Path, tmp_path: Path, lake: Path, closed: str) -> None:
    config, out = a_config(tmp_path, lake), tmp_path / "run"
    command = f'exec "{sys.executable}" -m backtester run "{config}" --out "{out}" {closed}'
    done = subprocess.run(["/bin/sh", "-c", command], cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert load(out).metrics["trades"] > 0


@pytest.mark.parametrize(
    ("apart", "interval", "said"),
    [
        (1, "1m", ""),
        (5, "5m", ""),
        (1, "5m", "most bars stand less than 5m apart"),
        (5, "1m", "no two bars stand less than 300 seconds apart"),
    ],
)
def test_an_import_doubts_an_interval_that_the_bars_do_not_have(tmp_path: Path, apart: int, interval: str, said: str) -> None:
    times = (f"2024-07-05T{14 + minute // 60}:{minute % 60:02}:00Z" for minute in range(0, apart * 30, apart))
    rows = "".join(f"A,{time},1,1,1,1,1\n" for time in times)
    (tmp_path / "bars.csv").write_text("symbol,ts,open,high,low,close,volume\n" + rows)
    words = (tmp_path / "bars.csv", "--lake", tmp_path / "lake", "--format", "csv", "--interval", interval)
    assert bt("data", "import", *words).stderr.startswith(f"note: {said}" if said else "")
    assert bool(bt("data", "import", *words).stderr) == bool(said)


def test_the_manifest_says_where_daily_history_came_from(tmp_path: Path) -> None:
    """SPEC 8: the lake's own daily bars where it has them, else built: here it has those of AAA alone."""
    own = tmp_path / "lake"
    words = ("--start", "2024-07-01", "--end", "2024-07-12", "--seed", 7, "--lake", own)
    assert bt("data", "simulate", "--symbols", "AAA,BBB", *words).exit_code == 0
    assert bt("data", "simulate", "--symbols", "AAA", "--interval", "1d", *words).exit_code == 0
    data = {"lake": str(own), "symbols": ["AAA", "BBB"], "streams": ["1m"]}
    data["historical"] = {"indicators": {"high": {"type": "trailing_max", "period": "3d", "field": "high"}}}
    dates = {"start_date": "2024-07-11", "end_date": "2024-07-12"}
    for days in (1, 30):
        config = a_config(tmp_path, own, backtest_config={**dates, "prefetch_days": days}, session_data_config=data)
        ran(config, tmp_path / f"run{days}")
        counts = load(tmp_path / f"run{days}").manifest["counts"]
        assert counts["daily_bars_from_lake"] == counts["daily_bars_built"] >= 5
