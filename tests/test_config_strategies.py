"""Strategies' files loaded in processes of their own: what they do while they are loaded ends those, and never runs in this one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backtester.cli import main
from backtester.config import bind_strategies, load
from backtester.errors import BacktesterError, ConfigError, ResourceError, StrategyError
from tests.configs import config
from tests.signals.test_apart import children, memory_files

APART: dict[str, Any] = {"isolate_strategies": True}
SOUND = """
from backtester import Signals, Strategy

class Mine(Strategy):
    interval: str = "5m"
    period: int = 3

    @property
    def lookback(self):
        return self.period + 1

    def signals(self, bars):
        return Signals(enter_long=bars.slot == 3)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder, in which files that take too long to load are given 2 seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("backtester.config_strategies.LEAST_SECONDS", 2.0)
    return tmp_path


def document(resources: dict[str, Any], lake: Path = Path("lake"), params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A config of one strategy, `mine.py:Mine`."""
    window = {"backtest_config.start_date": "2024-11-25", "backtest_config.end_date": "2024-11-29", "session_data_config.symbols": ["AAA"]}
    entry = {"name": "mine", "use": "mine.py:Mine", "params": params or {}}
    return config(lake, {**window, "strategies": [entry], "resources": resources, **more})


def refused(text: str, resources: dict[str, Any], params: dict[str, Any] | None = None) -> BacktesterError:
    """What is said of a strategy's file when its config is loaded."""
    Path("mine.py").write_text(text, encoding="utf-8")
    with pytest.raises(BacktesterError) as raised:
        load(document(resources, params=params))
    assert (children(), memory_files()) == ([], [])
    return raised.value


MODULE = [
    ("import os\nos._exit(3)\n", APART, StrategyError,
     r"a strategy's process ended (/strategies/0/use): got exit status 3; a file must load; os._exit and its like end the process"),
    ("import ctypes\nctypes.string_at(0)\n", APART, StrategyError,
     "a strategy's process ended (/strategies/0/use, mine.py:2): got signal SIGSEGV; a compiled library that it calls has crashed"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", APART, StrategyError,
     "a strategy's process ended (/strategies/0/use): got signal SIGKILL; the system may have been out of memory; "
     "see /resources/strategy_memory"),
    ("import sys\nsys.exit(2)\n", APART, StrategyError, "strategy file cannot be loaded (/strategies/0/use, mine.py:2): got SystemExit: 2"),
    ("raise KeyboardInterrupt\n", APART, StrategyError, "strategy file cannot be loaded (/strategies/0/use): got KeyboardInterrupt"),
    ("while True:\n    pass\n", {"strategy_timeout_seconds": 1}, ResourceError,
     "a strategy took too long (/strategies/0/use, mine.py:"),
    ("import itertools\nsum(itertools.repeat(1))\n", {"strategy_timeout_seconds": 1}, ResourceError,
     "a strategy took too long (/strategies/0/use, mine.py:2): got no answer in 2 s, so it was ended; "
     "allowed: 2 s, /resources/strategy_timeout_seconds; look for a loop that does not end, or raise the limit"),
    ("import numpy as np\nheld = np.ones(10**14)\n", APART, ResourceError,
     "a strategy wanted too much memory (/strategies/0/use, mine.py:2): got Unable to allocate 728. TiB"),
    ("import numpy as np\nheld = []\nwhile True:\n    held.append(np.ones(1_000_000))\n", {"strategy_memory": "100MB"}, ResourceError,
     "a strategy wanted too much memory (/strategies/0/use, mine.py:4): got Unable to allocate 7.63 MiB"),
    ("held = []\nwhile True:\n    held.append(bytearray(1_000_000))\n", {"strategy_memory": "100MB"}, ResourceError,
     "a strategy wanted too much memory (/strategies/0/use, mine.py:3): got MemoryError; allowed: 100,000,000 bytes beyond libraries, "
     "/resources/strategy_memory; raise the limit, or hold less"),
]  # fmt: skip
NAMES = ["exits", "crashes", "is killed", "sys.exit", "interrupts", "loops", "loops in C", "100 GB and more", "hoards arrays", "hoards"]


@pytest.mark.parametrize(("text", "resources", "kind", "message"), MODULE, ids=NAMES)
def test_what_a_file_does_while_it_is_loaded_ends_its_own_process(
    here: Path, text: str, resources: dict[str, Any], kind: type[BacktesterError], message: str
) -> None:
    """STR-05, STR-06, STR-19: exit code 5 where the process ended, 7 where it took too long or too much; the line is named."""
    error = refused(text, resources)
    assert type(error) in (kind, *kind.__subclasses__())
    assert error.exit_code == (7 if kind is ResourceError else 5)
    assert str(error).startswith(message), str(error)


@pytest.mark.parametrize(
    ("old", "new", "resources", "message"),
    [
        ("return self.period + 1", "import os; os._exit(4)", APART, "got exit status 4"),
        ("return self.period + 1", "while True: pass", {"strategy_timeout_seconds": 1}, "took too long (/strategies/0/use, mine.py:10)"),
        ("period: int = 3", "period: int = 3\n    def model_post_init(self, _): import os; os._exit(6)", APART, "got exit status 6"),
        ("period: int = 3", "period: int = 3\n    def model_post_init(self, _): bytearray(10**14)", APART, "too much memory"),
    ],
)
def test_so_it_is_with_its_settings_and_what_it_declares(here: Path, old: str, new: str, resources: dict[str, Any], message: str) -> None:
    assert message in str(refused(SOUND.replace(old, new), resources))


WRONG = {
    "syntax": ("def (\n", None),
    "no class": ("x = 1\n", None),
    "another class": (SOUND.replace("Mine", "Mime"), None),
    "raises": ("import os\nraise ValueError('two\\nlines')\n", None),
    "imports": ("import nowhere_to_be_found\n", None),
    "no strategy": ("class Mine:\n    pass\n", None),
    "setting": (SOUND, {"period": "3"}),
    "settings": (SOUND, {"period": 1.5, "perio": 4, "interval": 5}),
    "default": (SOUND.replace("period: int = 3", "period: int = 'three'"), None),
    "check": (SOUND.replace("period: int = 3", "period: int = 3\n    def model_post_init(self, _): raise OSError('no')"), None),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_what_is_wrong_with_a_file_is_said_in_the_same_words(here: Path, name: str) -> None:
    """STR-01, STR-02, CFG: with the same pointers and exit codes."""
    text, params = WRONG[name]
    apart, together = refused(text, APART, params), refused(text, {}, params)
    assert str(apart) == str(together)
    assert (type(apart), apart.exit_code) == (type(together), together.exit_code)
    assert isinstance(apart, ConfigError) == name.startswith("setting")


def test_nothing_of_a_file_runs_in_this_process(here: Path) -> None:
    """Not when its config is loaded, nor when it is planned for or called; what it knows of itself comes back as plain data."""
    marks = "import os, pathlib\npathlib.Path(f'loaded{os.getpid()}').touch()\nos.environ['MINE'] = 'yes'\n"
    (here / "mine.py").write_text(marks + SOUND, encoding="utf-8")
    modules = set(sys.modules)
    made = load(document(APART, params={"period": 7}))
    [(entry, known, strategy)] = bind_strategies(made)
    assert (strategy, entry.params) == (None, {"interval": "5m", "period": 7})
    assert (known.params, known.declared.inputs, known.declared.lookback) == (entry.params, {"bars": "5m"}, {"bars": 8})
    assert known.source.path == str(here / "mine.py")
    assert len(list(here.glob("loaded*"))) == 1
    assert not (here / f"loaded{os.getpid()}").exists()
    assert not any("user" in name for name in set(sys.modules) - modules)
    assert "MINE" not in os.environ


def test_settings_that_were_not_known_when_the_config_was_loaded_are_asked_for(here: Path) -> None:
    (here / "mine.py").write_text(SOUND, encoding="utf-8")
    made = load(document(APART))
    other = made.model_copy(update={"strategies": (made.strategies[0].model_copy(update={"params": {"interval": "1m", "period": 9}}),)})
    [(_, known, strategy)] = bind_strategies(other)
    assert strategy is None
    assert (known.declared.inputs, known.declared.lookback) == ({"bars": "1m"}, {"bars": 10})


@pytest.mark.parametrize(
    "resources", [{"isolate_strategies": "yes"}, {"strategy_memory": "much"}, {"isolate_strategies": True, "threads": -1}]
)
def test_resources_that_are_wrong_are_no_reason_to_load_a_file_here(here: Path, resources: dict[str, Any]) -> None:
    (here / "mine.py").write_text("import os, pathlib\npathlib.Path(f'loaded{os.getpid()}').touch()\n" + SOUND, encoding="utf-8")
    with pytest.raises(ConfigError, match="/resources/"):
        load(document(resources))
    assert not (here / f"loaded{os.getpid()}").exists()


def test_a_package_is_loaded_apart_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = here / "elsewhere" / "of_a_test_apart"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "mine.py").write_text(SOUND, encoding="utf-8")
    monkeypatch.syspath_prepend(str(here / "elsewhere"))
    asked = document(APART)
    asked["strategies"][0]["use"] = "of_a_test_apart.mine:Mine"
    [(_, known, strategy)] = bind_strategies(load(asked))
    assert (strategy, known.source.file) == (None, "mine.py")
    assert not any("of_a_test_apart" in name for name in sys.modules)
    (package / "__init__.py").write_text("import os\nos._exit(3)\n", encoding="utf-8")
    with pytest.raises(StrategyError, match="got exit status 3"):
        load(asked)


def test_several_files_are_loaded_at_once(here: Path) -> None:
    """Each begins before the first is done."""
    times = "import os, pathlib, time\nbegun = time.monotonic()\ntime.sleep(3)\n"
    times += "pathlib.Path(f'times{os.getpid()}').write_text(f'{begun} {time.monotonic()}')\n"
    (here / "mine.py").write_text(times + SOUND, encoding="utf-8")
    asked = document(APART)
    asked["strategies"] = [{"name": f"mine{place}", "use": "mine.py:Mine", "params": {"period": place}} for place in (1, 2, 3)]
    asked["resources"] = {"strategy_timeout_seconds": 60}
    known = bind_strategies(load(asked))
    assert [described.declared.lookback["bars"] for _, described, _ in known] == [2, 3, 4]
    begun, done = zip(*([float(word) for word in path.read_text().split()] for path in here.glob("times*")), strict=True)
    assert len(begun) == 3
    assert max(begun) < min(done)


def bt(words: list[str], text: str, asked: dict[str, Any]) -> Result:
    Path("mine.py").write_text(text, encoding="utf-8")
    Path("config.json").write_text(json.dumps(asked), encoding="utf-8")
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    "words", [["run", "config.json", "--out", "run"], ["plan", "config.json"], ["validate", "config.json"]], ids=lambda words: words[0]
)
@pytest.mark.parametrize(("text", "resources", "code"), [
    ("import os\nos._exit(3)\n", APART, 5),
    ("while True:\n    pass\n", {"strategy_timeout_seconds": 1}, 7),
    ("import numpy as np\nheld = np.ones(10**14)\n", APART, 7),
], ids=["exits", "loops", "allocates"])  # fmt: skip
def test_the_commands_say_it_in_one_line(
    here: Path, simulated: Path, words: list[str], text: str, resources: dict[str, Any], code: int
) -> None:
    """SPEC 15: exit codes 5 and 7, one message, nothing published."""
    result = bt(words, text, document(resources, simulated))
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1
    assert "/strategies/0/use" in result.stderr
    assert not Path("run").exists()
