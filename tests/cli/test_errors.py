"""How `bt` fails: exit codes, one message on stderr, JSON on stdout where asked, signals. Ids are those of the test plan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backtester import errors
from backtester.cli import main
from tests import configs

HEAVY = ("polars", "duckdb", "pyarrow", "pandas", "numpy", "numba", "pydantic", "rich", "pandas_market_calendars")


def bt(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), prog_name="bt")


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Lets every command that loads a config fail with this error."""

    def load(*_: object) -> None:
        raise error

    monkeypatch.setattr("backtester.config.load", load)


def started(project: Path, body: str, *words: str) -> subprocess.Popen[str]:
    """A process that runs `bt` with these words after `body`; `load` is what the body makes of it."""
    code = f"import sys, time\nimport backtester.config\nfrom backtester.cli import main\n{body}\nmain({list(words)!r}, prog_name='bt')\n"
    return subprocess.Popen([sys.executable, "-c", code], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_cli_01_no_words_show_the_help_and_end_with_2() -> None:
    result = bt()
    assert result.exit_code == 2
    assert "Usage: bt" in result.output
    assert "validate" in result.output


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (("vlidate", "x.json"), "'validate'"),
        (("--verison",), "'--version'"),
        (("run", "x.json", "--thread", "2"), "'--threads'"),
        (("validate", "x.json", "--jsn"), "'--json'"),
    ],
)
def test_cli_02_an_unknown_word_is_answered_with_the_nearest(words: tuple[str, ...], nearest: str) -> None:
    result = bt(*words)
    assert result.exit_code == 2
    assert nearest in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "words", [("run",), ("validate", "--jsn", "--json"), ("--verison", "--json"), ("run", "x", "--threads", "0", "--json")]
)
def test_wrong_words_are_told_as_json_too_where_json_is_asked_for(words: tuple[str, ...]) -> None:
    result = bt(*words)
    assert result.exit_code == 2
    if "--json" in words:
        told = json.loads(result.stdout)
        assert (told["error"], told["exit_code"]) == ("usage", 2)
    else:
        assert result.stdout == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.ConfigError("x"), 3),
        (errors.DataError("x"), 4),
        (errors.StrategyError("x"), 5),
        (errors.CalendarError("x"), 6),
        (errors.ResourceError("x"), 7),
        (errors.OutputError("x"), 8),
        (errors.DifferenceError("x"), 9),
        (errors.InternalError("x"), 70),
        (MemoryError(), 7),
        (ZeroDivisionError("division by zero"), 70),
        (type("PanicException", (BaseException,), {})("a compiled library gave up"), 70),
    ],
)
def test_every_kind_of_error_has_its_exit_code_and_one_message(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    failing(monkeypatch, error)
    result = bt("validate", "x.json")
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_an_error_nobody_foresaw_names_the_way_to_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError("division by zero"))
    assert "--debug" in bt("validate", "x.json").stderr
    told = bt("validate", "x.json", "--debug").stderr
    assert "Traceback" in told
    assert "ZeroDivisionError: division by zero" in told
    assert "Traceback" in bt("--debug", "validate", "x.json").stderr


def test_cli_09_with_json_stdout_is_one_object_and_stderr_the_message(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"session_name": 5, "fil": 1}', encoding="utf-8")
    result = bt("validate", str(path), "--json")
    assert result.exit_code == 3
    told = json.loads(result.stdout)
    assert told["exit_code"] == 3
    assert {problem["where"] for problem in told["problems"]} >= {"/session_name", "/fil", "/account"}
    assert result.stderr.startswith("error: ")


def test_cli_09_no_control_code_of_a_name_reaches_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "con\x1b[31mfig\u202e.json"
    path.write_text(json.dumps({"session_name": "\x1b]0;title\x07", "\x1b[2J": 1}), encoding="utf-8")
    failing(monkeypatch, errors.DataError("no bars", where="\x1b[31mAAA\r\n"))
    for words in (("validate", str(path)), ("show", str(path)), ("nonsense\x1b[31m",)):
        result = bt(*words)
        assert result.exit_code != 0
        assert not any(mark in result.output for mark in "\x1b\r\x07\u202e")


def test_cli_09_nor_the_name_of_a_config_that_is_valid(simulated: Path, tmp_path: Path) -> None:
    path = tmp_path / "con\u202efig\x07.json"
    path.write_text(json.dumps(configs.config(simulated, {"session_data_config.symbols": ["AAA"]})), encoding="utf-8")
    result = bt("validate", str(path))
    assert result.exit_code == 0
    assert not any(mark in result.output for mark in "\x07\u202e")


def test_help_loads_no_heavy_library(project: Path) -> None:
    code = "import sys\nfrom backtester.cli import main\nmain(['--help'], standalone_mode=False)\nprint([*sys.modules], file=sys.stderr)\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert "Commands:" in done.stdout
    assert not [name for name in HEAVY if f"'{name}'" in done.stderr]


SLEEPS = """
import sys
def load(*words):
    try:
        print("ready", file=sys.__stdout__, flush=True)
        time.sleep(60)
    finally:
        print("clearing up", file=sys.__stdout__, flush=True)
        time.sleep({cleanup})
        print("cleared up", file=sys.__stdout__, flush=True)
backtester.config.load = load
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_cli_06_cli_07_a_first_signal_lets_the_command_clear_up(project: Path, number: int, code: int) -> None:
    process = started(project, SLEEPS.format(cleanup=0), "validate", "x.json")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "cleared up" in out
    assert err == "stopped\n"


def test_cli_06_a_second_ctrl_c_ends_at_once(project: Path) -> None:
    process = started(project, SLEEPS.format(cleanup=60), "validate", "x.json")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "clearing up\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "cleared up" not in out


def test_a_reader_that_goes_away_is_no_error(project: Path) -> None:
    code = "from backtester.cli import main\nmain(['schema'], prog_name='bt')\n"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], cwd=project, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert done.stderr == b""
