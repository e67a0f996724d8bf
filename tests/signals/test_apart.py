"""Strategies in processes of their own: the same bits as in the run's, and what one of them does to its process harms no other."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import backtester as bt
from backtester.cli import main
from backtester.errors import ResourceError, StrategyError
from backtester.signals.strategies import BUILT_IN
from tests.configs import config

WINDOW: dict[str, Any] = {
    "backtest_config.start_date": "2024-11-25",
    "backtest_config.end_date": "2024-12-06",
    "session_data_config.symbols": ["AAA", "BBB"],
    "keep": ["signals"],
}
TABLES = ("decisions", "orders", "fills", "trades", "equity", "signals")
APART = {"isolate_strategies": True}

SEES_ALL = '''
import numpy as np
from backtester import Signals, Strategy

class SeesAll(Strategy):
    """Signals that carry columns of two inputs, of configured and of historical indicators."""
    inputs = {"bars": "5m", "coarse": "1h"}
    lookback = {"bars": 8, "coarse": 3}

    def signals(self, bars):
        coarse = bars.input("coarse")
        return Signals(
            enter_long=bars.valid & (bars.slot % 7 == 2) & bars.bar_complete,
            exit_long=bars.minutes_to_close < 30,
            confidence=bars.quality / 100,
            size=1.0 + np.abs(bars.indicator("rsi", period=2)),
            stop_price=coarse.onto(bars, coarse.indicator("ema", period=2)),
            target_price=np.maximum(bars.indicator("sma_20"), bars.historical("usual")) + bars.historical("minute"),
            tags=np.where(bars.slot % 2 == 0, bars.symbol, None),
        )
'''


def run(lake: Path, out: Path, strategies: list[dict[str, Any]], resources: dict[str, Any] | None = None, **more: Any) -> bt.Run:
    return bt.run(config(lake, {**WINDOW, "strategies": strategies, "resources": resources or {}, **more}), out=out)


def entry(use: str, **params: Any) -> dict[str, Any]:
    return {"name": use.rpartition(":")[2].lower(), "use": use, "params": params}


def test_every_strategy_gives_the_same_bits_in_a_process_of_its_own(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that are built in, and one that looks at all there is; in parts of two sessions, with holes in the market's bars."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sees_all.py").write_text(SEES_ALL, encoding="utf-8")
    changes = {
        "session_data_config.symbols": ["AAA", "BBB", "CCC", "DDD"],
        "backtest_config.prefetch_days": 2,
        "session_data_config.derived": {"min_completeness": 0.5},
        "session_data_config.indicators": {"session": [{"name": "sma", "period": 20, "interval": "5m"}]},
        "session_data_config.historical": {
            "enable_quality": False,
            "indicators": {"usual": {"type": "trailing_average", "period": "3d"},
                           "minute": {"type": "trailing_max", "period": "2d", "granularity": "minute"}},
        },
    }  # fmt: skip
    strategies = [entry(use) for use in (*BUILT_IN, "sees_all.py:SeesAll")]
    together = run(simulated, tmp_path / "together", strategies, **changes)
    apart = run(simulated, tmp_path / "apart", strategies, APART, **changes)
    assert apart.manifest["execution"]["isolated"] is True
    assert apart.table("signals")["strategy"].n_unique() == len(strategies)
    assert apart.manifest["strategies"] == together.manifest["strategies"]
    assert apart.manifest["execution"]["warnings"] == together.manifest["execution"]["warnings"]
    assert apart.result_key == together.result_key


CULPRITS = (Path(__file__).parent / "culprits.py").read_text(encoding="utf-8")


@pytest.fixture
def culprits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the file of the culprits."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "culprits.py").write_text(CULPRITS, encoding="utf-8")
    return tmp_path


def stopped(found: bt.Run) -> str:
    """What the manifest says of the one strategy that was stopped."""
    assert found.manifest["identity"]["status"] == 5
    (one,) = found.manifest["execution"]["stopped"]
    assert (
        f"incomplete: strategy {one['strategy']} was stopped on {one['session']}: {one['error']}" in found.manifest["execution"]["warnings"]
    )
    assert one["session"] == "2024-11-29"
    return str(one["error"])


def body_of(name: str) -> range:
    """The lines of a culprit's class."""
    lines = CULPRITS.splitlines()
    first = lines.index(f"class {name}(Culprit):") + 1
    return range(first, first + [*lines[first:], ""].index("") + 1)


def children() -> list[str]:
    """Processes of strategies that this one started and that are there, dead or alive."""
    started = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [number for number in started if b"signals.child" in Path(f"/proc/{number}/cmdline").read_bytes()]


def memory_files() -> list[str]:
    """Files that lie in memory alone and are open here."""
    named = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{number}")]
    return [name for name in named if "memfd:" in name]


def gone(number: int) -> bool:
    """Whether a process has ended, or does within ten seconds."""
    for _ in range(1000):
        try:
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("name", "resources", "message"),
    [
        ("Loops", {"strategy_timeout_seconds": 2}, r"a strategy took too long \(strategy loops, culprits\.py:\d+, session 2024-11-29\): "
         r"got no answer in 2 s, so it was ended; allowed: 2 s, /resources/strategy_timeout_seconds; look for a loop"),
        ("LoopsInC", {"strategy_timeout_seconds": 2}, r"\(strategy loopsinc, culprits\.py:\d+, session 2024-11-29\): got no answer in 2 s"),
        ("Ends", APART, r"a strategy's process ended \(strategy ends, session 2024-11-29\): got exit status 3; signals must return"),
        ("Crashes", APART, r"\(strategy crashes, culprits\.py:\d+, session 2024-11-29\): got signal SIGSEGV; a compiled library"),
        ("Aborts", {"strategy_memory": "100MB"}, r"culprits\.py:\d+, session 2024-11-29\): got signal SIGABRT; .* wanted more memory than"),
        ("Killed", APART, r"process ended \(strategy killed, session 2024-11-29\): got signal SIGKILL; .* out of memory"),
        ("LeavesAChild", APART, r"process ended \(strategy leavesachild, session 2024-11-29\): got exit status 0; signals must return"),
        ("Hoards", {"strategy_memory": "100MB"}, r"a strategy wanted too much memory \(strategy hoards, culprits\.py:\d+, "
         r"session 2024-11-29\): got Unable to allocate 7\.63 MiB .*; allowed: 100,000,000 bytes, /resources/strategy_memory; raise"),
    ],
)  # fmt: skip
def test_a_strategy_that_takes_its_process_with_it_stops_alone(
    culprits: Path, simulated: Path, name: str, resources: dict[str, Any], message: str
) -> None:
    """STR-05, STR-06, STR-19, F-16: everything else is as if it had given no signals from that session on, to the last bit."""
    others = [{"name": "other", "use": "sma_crossover", "params": {"interval": "5m"}}]
    found = run(simulated, culprits / "run", [entry(f"culprits.py:{name}"), *others], resources)
    quiet = run(simulated, culprits / "quiet", [entry(f"culprits.py:{name}", quiet=True), *others])
    assert re.search(message, stopped(found)), stopped(found)
    assert all(int(line) in body_of(name) for line in re.findall(r"culprits\.py:(\d+)", stopped(found)))
    assert {name: found.table(name).equals(quiet.table(name)) for name in TABLES} == dict.fromkeys(TABLES, True)
    assert found.table("fills")["strategy"].n_unique() == 2
    assert children() == []
    assert memory_files() == []
    if name == "LeavesAChild":
        assert gone(int((culprits / "left").read_text()))


RAISING = ("Raises", "Speechless", "Exits", "Interrupts", "Writes", "Misnames", "GivesNothing", "GivesAFlatColumn", "GivesInfinity")


def test_what_a_strategy_raises_is_said_in_the_same_words(culprits: Path, simulated: Path) -> None:
    """STR-04, STR-06 to STR-11: with the same traceback in the log; a KeyboardInterrupt of its own is an error like any other there."""
    strategies = [entry(f"culprits.py:{name}") for name in RAISING if name != "Interrupts"]
    together = run(simulated, culprits / "together", strategies)
    apart = run(simulated, culprits / "apart", [*strategies, entry("culprits.py:Interrupts")], APART)
    said = [one["error"] for one in together.manifest["execution"]["stopped"]]
    told = [one["error"] for one in apart.manifest["execution"]["stopped"]]
    assert len(said) == len(RAISING) - 1
    assert sorted(told) == sorted([*said, told[-1]])
    assert told[-1] == (
        "a strategy raised an error (strategy interrupts, session 2024-11-29): got KeyboardInterrupt; see run.log for its traceback"
    )
    logs = [
        [line for line in (found.folder / "run.log").read_text().splitlines() if "SESSION_FLOW" not in line] for found in (together, apart)
    ]
    assert any("got SpeechlessError: an error that cannot say what it is" in line for line in said)
    assert logs[1][: len(logs[0])] == logs[0]
    assert 'raise ValueError("two\\nlines")' in "\n".join(logs[1])


def test_a_keyboard_interrupt_in_the_runs_own_process_is_the_users(culprits: Path, simulated: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(simulated, culprits / "run", [entry("culprits.py:Interrupts")])
    assert not (culprits / "run").exists()


def test_sessions_that_are_too_much_at_once_are_taken_one_by_one(culprits: Path, simulated: Path) -> None:
    """What a limit allows does not depend on how many sessions a run takes together."""
    found = run(simulated, culprits / "run", [entry("culprits.py:HoardsOfMany")], {"strategy_memory": "200MB"})
    alone = run(simulated, culprits / "alone", [entry("culprits.py:HoardsOfMany")], **{"backtest_config.prefetch_days": 1})
    assert found.manifest["identity"]["status"] == 0
    assert found.result_key == alone.result_key
    assert "its sessions were taken one by one" in (found.folder / "run.log").read_text()


def test_where_a_strategy_ends_does_not_depend_on_how_the_run_is_cut(culprits: Path, simulated: Path) -> None:
    runs = [
        run(simulated, culprits / f"{days}", [entry("culprits.py:Ends")], APART, **{"backtest_config.prefetch_days": days})
        for days in (1, 4)
    ]
    assert stopped(runs[0]) == stopped(runs[1])
    assert runs[0].result_key == runs[1].result_key


def test_a_process_that_closes_its_line_is_ended(culprits: Path, simulated: Path) -> None:
    found = run(simulated, culprits / "run", [entry("culprits.py:ClosesAll")], APART)
    assert "got no answer any more" in stopped(found)
    assert children() == []


def test_with_on_error_fail_the_run_fails_and_leaves_nothing(culprits: Path, simulated: Path) -> None:
    """STR-06: exit code 5; the processes of the other strategies are gone too."""
    strategies = [entry("sma_crossover"), entry("culprits.py:Ends"), entry("buy_and_hold")]
    with pytest.raises(StrategyError, match=r"strategy ends, session 2024-11-29\): got exit status 3") as raised:
        run(simulated, culprits / "run", strategies, APART, on_error="fail")
    assert raised.value.exit_code == 5
    assert not (culprits / "run").exists()
    assert (children(), memory_files()) == ([], [])


ONCE = "import os, pathlib\nloaded = pathlib.Path('loaded').exists()\npathlib.Path('loaded').touch()\n"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (ONCE + "assert not loaded, 'not twice'\n", r"got AssertionError: not twice"),
        (ONCE + "if loaded: os._exit(9)\n", r"strategy's process ended .*: got exit status 9"),
        ("open(__file__, 'a').write('#')\n", r"the strategy's file was changed while the run went \(strategy loops\)"),
    ],
)
def test_a_strategy_that_cannot_be_loaded_a_second_time_is_stopped_at_once(
    culprits: Path, simulated: Path, head: str, message: str
) -> None:
    """It was loaded in a process of its own when the config was checked; the run starts another, in which it is called."""
    (culprits / "culprits.py").write_text(CULPRITS.replace("import ctypes\n", head, 1) + "import ctypes\n", encoding="utf-8")
    found = run(simulated, culprits / "run", [entry("culprits.py:Loops")], APART)
    (one,) = found.manifest["execution"]["stopped"]
    assert one["session"] == "2024-11-25"
    assert re.search(message, one["error"]), one["error"]


def test_the_command_ends_with_5_and_says_what_is_incomplete(culprits: Path, simulated: Path) -> None:
    """SPEC 10, 15: in the printed summary."""
    sections = {**WINDOW, "strategies": [entry("culprits.py:Ends")], "resources": APART}
    (culprits / "config.json").write_text(json.dumps(config(simulated, sections)), encoding="utf-8")
    result = CliRunner().invoke(main, ["run", "config.json", "--out", "run"])
    assert result.exit_code == 5
    assert "warning: incomplete: strategy ends was stopped on 2024-11-29: a strategy's process ended" in result.stderr


def test_a_strategy_of_a_package_is_found_where_the_run_found_it(
    tmp_path: Path, simulated: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The search path goes over; what a strategy prints is on stderr, for stdout is the command's."""
    package = tmp_path / "elsewhere" / "of_mine"
    package.mkdir(parents=True)
    text = SEES_ALL.replace("coarse = bars", "print('looking'); coarse = bars").replace('bars.historical("minute")', "1.0")
    text = text.replace('np.maximum(bars.indicator("sma_20"), bars.historical("usual"))', "bars.high")
    (package / "module.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    found = run(simulated, tmp_path / "run", [entry("of_mine.module:SeesAll")], APART)
    assert found.manifest["execution"]["stopped"] == []
    assert found.table("signals").height > 20
    printed = capfd.readouterr()
    assert "looking" in printed.err
    assert "looking" not in printed.out


def waiting(culprits: Path, lake: Path) -> tuple[subprocess.Popen[str], int]:
    """A command whose strategy never answers, and the number of the strategy's process."""
    text = CULPRITS.replace(
        "        while True:\n            pass", "        open('here', 'w').write(str(os.getpid()))\n        signal.pause()"
    )
    (culprits / "culprits.py").write_text(text, encoding="utf-8")
    changes = {**WINDOW, "strategies": [entry("culprits.py:Loops"), entry("sma_crossover")], "resources": APART}
    (culprits / "config.json").write_text(json.dumps(config(lake, changes)), encoding="utf-8")
    words = [sys.executable, "-m", "backtester", "run", "config.json", "--out", "run"]
    environment = os.environ | {"PYTHONPATH": str(Path(bt.__file__).parents[1])}
    started = subprocess.Popen(words, cwd=culprits, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    here = culprits / "here"
    for _ in range(6000):
        if here.exists() and here.read_text():
            return started, int(here.read_text())
        assert started.poll() is None, started.communicate()
        time.sleep(0.01)
    raise AssertionError("the strategy was not called")


def test_ctrl_c_leaves_no_process_and_no_result(culprits: Path, simulated: Path) -> None:
    started, child = waiting(culprits, simulated)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert (started.returncode, said) == (130, "stopped\n")
    assert gone(child)
    assert sorted(path.name for path in culprits.iterdir() if path.name != "__pycache__") == ["config.json", "culprits.py", "here"]


def test_a_killed_run_takes_its_strategies_with_it(culprits: Path, simulated: Path) -> None:
    started, child = waiting(culprits, simulated)
    started.kill()
    started.communicate(timeout=60)
    assert gone(child)


def test_where_memory_runs_out_the_system_ends_a_strategy_before_the_run(culprits: Path, simulated: Path) -> None:
    started, child = waiting(culprits, simulated)
    scores = [int(Path(f"/proc/{number}/oom_score").read_text()) for number in (child, started.pid)]
    started.kill()
    started.communicate(timeout=60)
    assert scores[0] > scores[1]


@pytest.mark.parametrize(
    ("name", "failure", "message"),
    [
        (
            "subprocess.Popen",
            OSError(11, "Resource temporarily unavailable"),
            r"process cannot be started \(strategy other\): got Resource",
        ),
        (
            "backtester.signals.apart.of_given",
            OSError(28, "No space left on device"),
            r"cannot be handed .* \(strategy other\): got No space",
        ),
    ],
)
def test_what_the_system_refuses_is_an_error_of_resources(
    name: str, failure: OSError, message: str, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(name, refuse)
    with pytest.raises(ResourceError, match=message):
        run(simulated, tmp_path / "run", [{"name": "other", "use": "buy_and_hold"}], APART)
    assert (children(), memory_files(), list(tmp_path.iterdir())) == ([], [], [])


def test_a_system_without_such_processes_is_said(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(ResourceError, match=r"cannot have processes of their own here \(/resources\): allowed: Linux; leave out"):
        run(simulated, tmp_path / "run", [{"name": "other", "use": "buy_and_hold"}], {"strategy_timeout_seconds": 5})
