"""From the words of a config to a class: files, packages, and everything that is wrong with them."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from backtester.errors import StrategyError
from backtester.signals.loading import Source, built_in, described, resolve, source_of
from backtester.signals.strategies.sma_crossover import SmaCrossover
from backtester.signals.strategy import Strategy, declared

MINE = """
from backtester import Bars, Signals, Strategy


class Mine(Strategy):
    period: int = 3
    lookback = 20
    inputs = {"bars": "5m"}

    def signals(self, bars: Bars) -> Signals:
        return Signals()


def helper():
    pass
"""


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refused(use: str, root: Path) -> str:
    with pytest.raises(StrategyError) as caught:
        resolve(use, root)
    assert caught.value.exit_code == 5
    return str(caught.value)


def test_built_in_strategies_are_reached_by_name(tmp_path: Path) -> None:
    assert resolve("sma_crossover", tmp_path) is SmaCrossover
    assert sorted(built_in()) == [
        "buy_and_hold", "cross_sectional_momentum", "opening_range_breakout", "rsi_reversion", "sma_crossover", "vwap_reversion",
    ]  # fmt: skip
    for name, kind in built_in().items():
        assert declared(kind(), name).inputs
        assert resolve(name, tmp_path) is kind


def test_a_file_beside_the_config_is_loaded_by_its_path(tmp_path: Path) -> None:
    written(tmp_path, MINE, "ideas/mine.py")
    kind = resolve("ideas/mine.py:Mine", tmp_path)
    assert issubclass(kind, Strategy)
    assert kind(period=5).model_dump() == {"period": 5}
    assert dict(declared(kind(), "s").lookback) == {"bars": 20}
    assert resolve("ideas/mine.py:Mine", tmp_path) is kind


def test_a_changed_file_is_loaded_anew(tmp_path: Path) -> None:
    written(tmp_path, MINE)
    first = resolve("mine.py:Mine", tmp_path)
    written(tmp_path, MINE.replace("period: int = 3", "period: int = 4"))
    assert (first().period, resolve("mine.py:Mine", tmp_path)().period) == (3, 4)  # type: ignore[attr-defined]


def test_two_files_of_one_text_in_two_folders_are_two(tmp_path: Path) -> None:
    """Errors name the line of the right file, and the manifest the right source."""
    for folder in ("a", "b"):
        written(tmp_path, MINE, f"{folder}/mine.py")
    first, second = (resolve(f"{folder}/mine.py:Mine", tmp_path) for folder in ("a", "b"))
    assert sys.modules[first.__module__].__file__ == str(tmp_path / "a/mine.py")
    assert sys.modules[second.__module__].__file__ == str(tmp_path / "b/mine.py")


def test_an_installed_package_is_reached_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, MINE, "ideas_of_a_test/mine.py")
    written(tmp_path, "", "ideas_of_a_test/__init__.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert resolve("ideas_of_a_test.mine:Mine", tmp_path / "elsewhere").__name__ == "Mine"


def test_a_strategy_is_recorded_with_the_digest_of_its_file(tmp_path: Path) -> None:
    path = written(tmp_path, MINE)
    found = source_of("mine.py:Mine", resolve("mine.py:Mine", tmp_path))
    assert (found.use, found.file, found.digest) == ("mine.py:Mine", "mine.py", hashlib.sha256(path.read_bytes()).hexdigest())
    assert source_of("sma_crossover", SmaCrossover).file == "sma_crossover.py"


def test_an_unknown_name_ends_with_the_nearest(tmp_path: Path) -> None:
    assert "did you mean 'sma_crossover'?" in refused("sma_crosover", tmp_path)
    for use in ("", ":", "mine.py", "mine.py:", ":Mine", "mine.py:not a name", "mine.py:Mine()"):
        assert "allowed: a built-in name, file.py:Class or package.module:Class" in refused(use, tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """STR-01."""
    assert "strategy file not found (mine.py)" in refused("mine.py:Mine", tmp_path)
    (tmp_path / "folder.py").mkdir()
    assert "strategy file not found (folder.py)" in refused("folder.py:Mine", tmp_path)


def test_wrong_syntax_is_named_with_file_and_line(tmp_path: Path) -> None:
    """STR-01."""
    written(tmp_path, "x = 1\ny = 2\ndef broken(:\n")
    message = refused("mine.py:Mine", tmp_path)
    assert "(mine.py:3)" in message
    assert "SyntaxError" in message


def test_an_error_while_loading_is_named_with_the_users_line(tmp_path: Path) -> None:
    written(tmp_path, "import json\n\nx = json.loads('{')\n")
    message = refused("mine.py:Mine", tmp_path)
    assert "(mine.py:3)" in message
    assert "JSONDecodeError" in message
    assert not [name for name in sys.modules if name.startswith("backtester_user_mine_") and "json.loads" in str(vars(sys.modules[name]))]


def test_an_exit_while_loading_is_an_error(tmp_path: Path) -> None:
    """STR-06: a file that ends the process ends nothing."""
    written(tmp_path, "import sys\nsys.exit(3)\n")
    assert "SystemExit: 3" in refused("mine.py:Mine", tmp_path)


def test_a_class_that_pydantic_refuses_is_said_in_one_line(tmp_path: Path) -> None:
    written(tmp_path, MINE.replace("period: int = 3", "share = 0.5"))
    message = refused("mine.py:Mine", tmp_path)
    assert "(mine.py:5)" in message
    assert "\n" not in message
    assert "`share = 0.5`" in message


def test_a_setting_named_lookback_gives_no_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    written(tmp_path, MINE.replace("lookback = 20", "lookback: int = 20"))
    assert dict(declared(resolve("mine.py:Mine", tmp_path)(), "s").lookback) == {"bars": 20}
    assert not recwarn.list


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(b"\xff\xfe\x00x = 1")
    assert "SyntaxError" in refused("mine.py:Mine", tmp_path)


def test_a_file_that_imports_what_is_not_there_says_what_can_be_imported(tmp_path: Path) -> None:
    written(tmp_path, "import beside\n")
    written(tmp_path, "x = 1\n", "beside.py")
    message = refused("mine.py:Mine", tmp_path)
    assert "(mine.py:1)" in message
    assert "No module named 'beside'" in message


def test_a_missing_class_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    """STR-02."""
    written(tmp_path, MINE)
    assert "did you mean 'Mine'?" in refused("mine.py:Mime", tmp_path)
    assert "known: Mine" in refused("mine.py:Zzzzzz", tmp_path)
    written(tmp_path, "x = 1\n", "empty.py")
    assert "there is no subclass of backtester.Strategy in it" in refused("empty.py:Mine", tmp_path)


def test_what_is_no_strategy_is_refused(tmp_path: Path) -> None:
    """STR-02, S-08: `os:system` is a function, not a strategy, and is never called."""
    written(tmp_path, MINE)
    assert "not a Strategy (mine.py:helper): got function" in refused("mine.py:helper", tmp_path)
    assert "not a Strategy (os:system)" in refused("os:system", tmp_path)
    assert "not a Strategy (backtester:Strategy)" in refused("backtester:Strategy", tmp_path)


@pytest.mark.parametrize("use", ["../outside.py:Mine", "{outside}:Mine", "link.py:Mine", "down/../../outside.py:Mine"])
def test_a_file_outside_the_folder_is_refused(use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-02, S-08: also where a link leads there; it is never loaded."""
    root = tmp_path / "root"
    (root / "down").mkdir(parents=True)
    monkeypatch.chdir(root)
    outside = written(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')\n" + MINE, "outside.py")
    (root / "link.py").symlink_to(outside)
    assert "outside the config's folder" in refused(use.format(outside=outside), root)
    assert not (tmp_path / "ran").exists()


def test_a_home_folder_is_no_short_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    written(tmp_path / "home", MINE)
    assert "strategy file not found" in refused("~/mine.py:Mine", tmp_path / "home")


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    assert "not a file's name" in refused("mi\0ne.py:Mine", tmp_path)


@pytest.mark.parametrize("use", ["no_such_package.module:Mine", "backtester.no_such:Mine", "os.path.nothing:Mine"])
def test_a_missing_package_is_named(use: str, tmp_path: Path) -> None:
    """STR-01."""
    message = refused(use, tmp_path)
    assert "strategy module cannot be imported" in message
    assert use.partition(":")[0] in message


@pytest.mark.parametrize("use", [".mine:Mine", "..:Mine", "a/b:Mine", "a b:Mine", "-m:Mine"])
def test_what_is_no_modules_name_is_refused(use: str, tmp_path: Path) -> None:
    assert "not a module's name" in refused(use, tmp_path)


def test_a_package_that_raises_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "1 / 0\n", "raises_in_a_test.py")
    written(tmp_path, "x = 1\ndef (:\n", "breaks_in_a_test.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "ZeroDivisionError" in refused("raises_in_a_test:Mine", tmp_path)
    assert "breaks_in_a_test.py:2" in refused("breaks_in_a_test:Mine", tmp_path)


def test_nothing_is_put_on_the_module_search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-08: a `polars.py` beside the config shadows nothing."""
    written(tmp_path, "raise SystemExit('shadowed')\n", "polars.py")
    written(tmp_path, "import polars\n" + MINE)
    before = list(sys.path)
    assert resolve("mine.py:Mine", tmp_path).__name__ == "Mine"
    assert sys.path == before


def test_a_file_leaves_no_compiled_code_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own cache would take a text of the same length, written in the same second, for the one before."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    written(tmp_path, MINE)
    resolve("mine.py:Mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_the_file_of_many_strategies_of_a_class_is_read_once(tmp_path: Path) -> None:
    written(tmp_path, MINE)
    kind, sources = resolve("mine.py:Mine", tmp_path), {}
    first = described("mine.py:Mine", kind(), "one", sources)
    (tmp_path / "mine.py").unlink()
    assert described("mine.py:Mine", kind(), "other", sources).source == first.source != Source("mine.py:Mine", "", "")
