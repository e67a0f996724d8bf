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

from backtester import __version__
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
import backtester.cli.run as commands
commands._limit_threads({threads}, __import__("pathlib").Path(sys.argv[1]), {overrides})
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
    from backtester.config import load

    monkeypatch.chdir(tmp_path)
    assert load(older).default_out == Path("runs/older_session")
    title = json.loads(Path(older).read_text(encoding="utf-8")) | {"session_name": "../../up & away"}
    assert load(title).default_out == Path("runs/up-away")


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
