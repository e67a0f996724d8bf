"""The words of `bt run`, `plan`, `validate`, `schema` and `show`. Ids are those of the test plan."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from backtester import __version__, config, load, run
from backtester.cli import main

OWN = ("run", "plan", "validate", "schema", "show")


def bt(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), prog_name="bt")


@pytest.fixture
def older(project: Path) -> str:
    """A config of the project that needs no strategy and no lake to be valid."""
    return str(project / "configs" / "older_session.json")


@pytest.mark.parametrize("threads", ["0", "-1", "10000", "1.5", "two"])
def test_cli_10_a_number_of_threads_out_of_range_is_a_usage_error(older: str, threads: str) -> None:
    result = bt("run", older, f"--threads={threads}")
    assert result.exit_code == 2
    assert "--threads" in result.stderr


def test_a_limit_of_threads_reaches_the_libraries_before_they_load(project: Path, older: str) -> None:
    code = """
import os, sys
import backtester.cli.words as commands
commands.limit_threads({threads}, __import__("pathlib").Path(sys.argv[1]), {overrides})
print(os.environ.get("POLARS_MAX_THREADS"), "polars" in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "POLARS_MAX_THREADS"}
    for threads, overrides, told in (
        (3, (), "3"),
        (None, ("resources.threads=1",), "1"),
        (None, (), "None"),
        (None, ("resources=5",), "None"),
    ):
        words = [sys.executable, "-c", code.format(threads=threads, overrides=overrides), older]
        done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == f"{told} False\n"


def test_a_run_does_without_pandas(project: Path, older: str) -> None:
    """It takes a quarter of a second to import, and pyarrow imports it wherever it looks for it."""
    bt("run", older, "--out", "runs/warm")  # what reads the calendar may need it, once
    code = """
import sys
from backtester.cli import main
main(["run", *sys.argv[1:]], standalone_mode=False)
print(sorted({"pandas", "pyarrow.compute"} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code, older, "--out", "runs/lean"], cwd=project, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


def test_validate_says_calendar_and_digest_of_a_good_config(older: str) -> None:
    plain, told = bt("validate", older), json.loads(bt("validate", older, "--json").stdout)
    assert plain.exit_code == 0
    assert told["valid"] is True
    assert told["calendar"] == "XNYS"
    assert f"valid, calendar XNYS, digest {told['digest'][:12]}" in plain.stdout


def test_validate_applies_overrides(older: str) -> None:
    digests = {json.loads(bt("validate", older, "--json", "--set", f"account.cash={cash}").stdout)["digest"] for cash in (1, 2, 2.0)}
    assert len(digests) == 2
    result = bt("validate", older, "--set", "account.cahs=1", "--set", "execution.fil=x")
    assert result.exit_code == 3
    assert "/account/cahs" in result.stderr
    assert "did you mean 'fill'?" in result.stderr


def test_validate_warns_on_stderr_of_what_is_seldom_meant(older: str) -> None:
    result = bt("validate", older, "--set", "trading_config.min_quality=0.9")
    assert result.exit_code == 0
    assert "warning: /trading_config/min_quality is in percent" in result.stderr


def test_cal_01_an_unknown_calendar_ends_with_6_and_the_nearest_name(older: str) -> None:
    result = bt("validate", older, "--set", "calendar=XNYSE")
    assert result.exit_code == 6
    assert "XNYS" in result.stderr


def test_an_override_without_a_value_is_a_usage_error(older: str) -> None:
    result = bt("validate", older, "--set", "account.cash")
    assert result.exit_code == 2
    assert "PATH=VALUE" in result.stderr


def test_a_run_without_a_lake_says_how_to_name_one(older: str, tmp_path: Path) -> None:
    result = bt("run", older, "--out", str(tmp_path / "out"))
    assert result.exit_code == 3
    assert "--lake DIR" in result.stderr
    assert not (tmp_path / "out").exists()


def test_cfg_32_the_default_place_is_below_the_current_folder_whatever_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load(older).default_out == Path("runs/older_session")
    title = json.loads(Path(older).read_text(encoding="utf-8")) | {"session_name": "../../up & away"}
    assert config.load(title).default_out == Path("runs/up-away")


SMALL = {
    "session_name": "three sessions of two names",
    "exchange_group": "US_EQUITY",
    "asset_class": "EQUITY",
    "backtest_config": {"start_date": "2024-11-27", "end_date": "2024-12-02"},
    "session_data_config": {"lake": "lake", "symbols": ["BBB", "AAA"], "streams": ["1m"]},
    "strategies": [{"name": "hold", "use": "buy_and_hold"}],
    "account": {"cash": 100000},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config beside its own simulated lake: 2024-11-27, 11-29 (early close) and 12-02, with some sessions before."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.json").write_text(json.dumps(SMALL), encoding="utf-8")
    simulated = bt(*shlex.split(f"data simulate --lake {folder}/lake --symbols AAA,BBB --start 2024-11-18 --end 2024-12-02 --seed 3"))
    assert simulated.exit_code == 0, simulated.output
    return folder / "small.json"


def test_a_run_prints_its_key_figures_and_where_the_result_is(small: Path, tmp_path: Path) -> None:
    result = bt("run", str(small), "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert re.search(r"^final_equity +[0-9.,]+$", result.stdout, re.MULTILINE)
    assert result.stdout.rstrip().endswith(str(tmp_path / "out"))


def test_cli_09_a_run_with_json_prints_one_object(small: Path, tmp_path: Path) -> None:
    result = bt("run", str(small), "--out", str(tmp_path / "out"), "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["status"]) == (0, 0)
    assert told["metrics"]["final_equity"] > 0
    assert told["folder"] == str(tmp_path / "out")


def test_quiet_runs_say_nothing(small: Path, tmp_path: Path) -> None:
    result = bt("run", str(small), "--out", str(tmp_path / "out"), "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_cli_03_a_complete_run_is_replaced_by_force_only(small: Path, tmp_path: Path) -> None:
    words = ("run", str(small), "--out", str(tmp_path / "out"), "--json")
    key = json.loads(bt(*words).stdout)["result_key"]
    again = bt(*words)
    assert again.exit_code == 8
    assert "--force" in again.stderr
    forced = json.loads(bt(*words, "--force").stdout)
    assert forced["result_key"] == key


def test_threads_prefetch_and_the_order_of_symbols_leave_the_result_alone(small: Path, tmp_path: Path) -> None:
    ways: tuple[tuple[str, ...], ...] = (
        (),
        ("--threads", "1"),
        ("--set", "backtest_config.prefetch_days=1"),
        ("--set", 'session_data_config.symbols=["AAA", "BBB"]'),
    )
    keys = {
        json.loads(bt("run", str(small), "--out", str(tmp_path / str(at)), "--json", *way).stdout)["result_key"]
        for at, way in enumerate(ways)
    }
    assert len(keys) == 1


def test_a_trace_shows_each_phase_of_each_session_on_stderr(small: Path, tmp_path: Path) -> None:
    result = bt("run", str(small), "--out", str(tmp_path / "out"), "--trace", "--json")
    assert json.loads(result.stdout)["status"] == 0
    for session in ("2024-11-27", "2024-11-29", "2024-12-02"):
        assert len(re.findall(rf"SESSION_FLOW phase=\S+ session={session} ", result.stderr)) == 6


def test_plan_says_what_a_run_would_read(small: Path) -> None:
    told = json.loads(bt("plan", str(small), "--json").stdout)
    assert (told["base"], told["sessions"], told["symbols"]) == ("1m", 3, 2)
    plain = bt("plan", str(small))
    assert plain.exit_code == 0
    assert "STREAMED" in plain.stdout


def test_plan_refuses_more_memory_than_allowed(small: Path) -> None:
    result = bt("plan", str(small), "--set", "resources.max_memory=1MB")
    assert result.exit_code == 7
    assert "/resources/max_memory" in result.stderr


def test_cfg_23_dates_without_a_session_are_an_error_of_the_calendar(small: Path, tmp_path: Path) -> None:
    weekend = ("--set", "backtest_config.start_date=2024-11-30", "--set", "backtest_config.end_date=2024-12-01")
    result = bt("run", str(small), *weekend, "--out", str(tmp_path / "out"))
    assert result.exit_code == 6
    assert "0 sessions" in result.stderr
    assert not (tmp_path / "out").exists()


def test_cfg_24_days_that_no_data_reaches_yet_are_an_error_of_the_data(small: Path, tmp_path: Path) -> None:
    future = ("--set", "backtest_config.start_date=2024-12-09", "--set", "backtest_config.end_date=2024-12-10")
    result = bt("run", str(small), *future, "--out", str(tmp_path / "out"))
    assert result.exit_code == 4
    assert not (tmp_path / "out").exists()


def test_cfg_27_an_interval_finer_than_the_data_is_an_error_of_the_data(small: Path, tmp_path: Path) -> None:
    result = bt("run", str(small), "--set", "strategies.hold.params.interval=5s", "--out", str(tmp_path / "out"))
    assert result.exit_code == 4
    assert "Required interval 1s not available for AAA" in result.stderr


def test_show_prints_what_a_run_holds(small: Path, tmp_path: Path) -> None:
    ran = json.loads(bt("run", str(small), "--out", str(tmp_path / "out"), "--json").stdout)
    assert json.loads(bt("show", str(tmp_path / "out"), "--json").stdout) == ran
    plain = bt("show", str(tmp_path / "out"), "--verify")
    assert plain.exit_code == 0
    assert re.search(r"^fills +2$", plain.stdout, re.MULTILINE)


def test_from_python_a_run_is_one_call(small: Path, tmp_path: Path) -> None:
    result = run(small, out=tmp_path / "out", overrides=["session_name=from Python"])
    assert result.table("fills").height == 2
    assert load(tmp_path / "out") == result
    assert run(SMALL, lake=small.parent / "lake", out=tmp_path / "again").result_key == result.result_key


def test_every_config_of_the_project_runs(project: Path, tmp_path: Path) -> None:
    words = f"data simulate --lake {tmp_path}/lake --symbols AAA,BBB,CCC,DDD --start 2024-10-01 --end 2024-12-31 --seed 7"
    assert bt(*shlex.split(words)).exit_code == 0
    for path in sorted((project / "configs").glob("*.json")):
        result = bt("run", str(path), "--lake", f"{tmp_path}/lake", "--out", str(tmp_path / path.stem), "--json")
        assert result.exit_code == 0, (path.name, result.output)
        fills = load(json.loads(result.stdout)["folder"]).table("fills")
        assert (fills.height > 0) == (path.stem != "older_session"), path.name


def test_the_printed_schema_takes_the_projects_configs(project: Path) -> None:
    described = json.loads(bt("schema").stdout)
    for path in (project / "configs").glob("*.json"):
        jsonschema.Draft202012Validator(described).validate(json.loads(path.read_text(encoding="utf-8")))


def test_show_wants_the_folder_of_a_finished_run(tmp_path: Path) -> None:
    result = bt("show", str(tmp_path))
    assert result.exit_code == 8
    assert "no complete run" in result.stderr


def test_the_version_is_the_packages() -> None:
    assert bt("--version").stdout == f"bt {__version__}\n"


@pytest.mark.parametrize("name", OWN)
def test_each_help_ends_with_an_example_whose_words_are_real(name: str) -> None:
    last = bt(name, "--help").stdout.rstrip().splitlines()[-1].strip()
    example = re.fullmatch(r"bt (.*?)( > \S+)?", last)
    assert example is not None, last
    words = shlex.split(example[1])
    command = main.get_command(main.make_context("bt", ["schema"]), words[0])
    assert command is not None
    assert command.make_context(words[0], words[1:]).command is command


def test_cli_14_commands_work_without_a_home(project: Path, older: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    code = "from backtester.cli import main\nmain(prog_name='bt')\n"
    words = [sys.executable, "-c", code, "validate", older]
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
