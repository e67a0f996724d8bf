"""Reading a config: bytes to JSON values, and every slip with its place. Ids are those of the test plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backtester.config_document import assign, read
from backtester.errors import ConfigError, UsageError


def refusal(source: Any) -> str:
    """The message with which a source is refused as a whole."""
    with pytest.raises(ConfigError) as caught:
        read(source)
    assert caught.value.exit_code == 3
    return str(caught.value)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Writes a config file and gives its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "config.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_cfg_01_a_missing_file_is_named() -> None:
    assert "nowhere/config.json" in refusal("nowhere/config.json")


@pytest.mark.parametrize("content", ["", " \n\t"])
def test_cfg_02_an_empty_file_is_called_empty(written: Callable[[str], Path], content: str) -> None:
    assert "empty" in refusal(written(content))


def test_cfg_03_a_folder_is_not_a_config(tmp_path: Path) -> None:
    assert "folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "line", "column", "hint"),
    [
        ('{\n  "a": 1,\n}', 2, 9, "trailing comma"),
        ('{"a": [1, 2,]}', 1, 12, "trailing comma"),
        ('{\n  // note\n  "a": 1}', 2, 3, 'use a key named "comment"'),
        ('{"a": 1 # note\n}', 1, 9, 'use a key named "comment"'),
        ("{'a': 1}", 1, 2, "double quotes"),
        ('{"a": True}', 1, 7, "write true"),
        ('{"a": sma}', 1, 7, "double quotes"),
        ('{"a" 1}', 1, 6, "':'"),
        ('{"a": 1} {}', 1, 10, "Extra data"),
    ],
)
def test_cfg_04_a_slip_in_the_json_is_shown_with_line_column_and_remedy(
    written: Callable[[str], Path], content: str, line: int, column: int, hint: str
) -> None:
    message = refusal(written(content))
    assert f"line {line} column {column}" in message
    assert hint in message


@pytest.mark.parametrize(
    ("content", "byte"),
    [("{}".encode("utf-16"), 0), ("{}".encode("utf-16-le"), 1), ('{"a": "é"}'.encode("latin-1"), 7)],
)
def test_cfg_06_another_encoding_is_refused_at_its_byte(written: Callable[[bytes], Path], content: bytes, byte: int) -> None:
    assert f"not UTF-8 at byte {byte}" in refusal(written(content))


def test_a_byte_order_mark_of_utf_8_is_read_over(written: Callable[[bytes], Path]) -> None:
    assert read(written(b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_cfg_08_numbers_that_are_not_finite_are_refused_at_their_place(written: Callable[[str], Path], literal: str) -> None:
    path = written('{"execution": {"slippage": {"bps": ' + literal + "}}}")
    message = refusal(path)
    assert "/execution/slippage/bps" in message
    assert literal in message


def test_whole_numbers_beyond_64_bits_are_refused(written: Callable[[str], Path]) -> None:
    assert "/seed" in refusal(written('{"seed": ' + "9" * 5000 + "}"))


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "[" * 33 + "]" * 33])
def test_cfg_09_deep_nesting_is_refused_before_it_is_parsed(written: Callable[[str], Path], content: str) -> None:
    assert "too deep" in refusal(written(content))


def test_32_levels_are_not_too_deep_and_brackets_in_text_do_not_count(written: Callable[[str], Path]) -> None:
    deep = "[" * 30 + '"' + "[{" * 100 + '"' + "]" * 30
    assert list(read(written('{"deep": ' + deep + "}"))) == ["deep"]


def test_cfg_10_a_file_beyond_5_mb_is_refused(written: Callable[[bytes], Path]) -> None:
    assert "too large" in refusal(written(b" " * 5_000_001))


@pytest.mark.parametrize("content", ["[]", '"text"', "3", "null"])
def test_cfg_12_the_top_level_must_be_an_object(written: Callable[[str], Path], content: str) -> None:
    assert "not an object" in refusal(written(content))


def test_a_key_that_stands_twice_is_refused_with_its_pointer(written: Callable[[str], Path]) -> None:
    assert "/account/cash" in refusal(written('{"account": {"cash": 1, "cash": 2}}'))


def test_text_that_is_not_unicode_is_refused(written: Callable[[str], Path]) -> None:
    assert "/session_name" in refusal(written('{"session_name": "\\ud800"}'))


# Overrides


def test_overrides_set_dotted_paths_in_order_and_make_missing_sections() -> None:
    document = {"a": [{"b": 1}, 2], "title": "old"}
    changed = assign(document, ["a.0.b=2", "a.0.b=3.5", "a.1=[true, null]", "made.here.x=text", "title=a=b", "day=2024-01-02", "n=08"])
    assert changed == {
        "a": [{"b": 3.5}, [True, None]],
        "title": "a=b",
        "made": {"here": {"x": "text"}},
        "day": "2024-01-02",
        "n": "08",
    }
    assert document == {"a": [{"b": 1}, 2], "title": "old"}


def test_an_item_of_a_list_may_be_called_by_its_name() -> None:
    document = {"strategies": [{"name": "slow"}, {"name": "fast"}]}
    assert assign(document, ["strategies.fast.x=1"])["strategies"][1] == {"name": "fast", "x": 1}


@pytest.mark.parametrize("assignment", ["", "x", "=1", "a..b=1", ".=1"])
def test_an_override_without_path_or_value_is_a_usage_error(assignment: str) -> None:
    with pytest.raises(UsageError, match="PATH=VALUE"):
        assign({}, [assignment])


def test_overrides_that_lead_nowhere_are_reported_together() -> None:
    document = {"symbols": ["A", "B"], "title": "x", "strategies": [{"name": "fast"}], "account": {"cash": 1}}
    with pytest.raises(ConfigError) as caught:
        assign(document, ["symbols.2=X", "title.first=X", "account.cash=NaN", "strategies.fats.x=1", "symbols.-1=X"])
    said = {problem.where: str(problem) for problem in caught.value.problems}
    assert set(said) == {"/symbols/2", "/title/first", "/account/cash", "/strategies/fats", "/symbols/-1"}
    assert "allowed: 0 to 1" in said["/symbols/2"]
    assert "did you mean 'fast'?" in said["/strategies/fats"]


def test_an_override_is_as_shallow_as_a_config() -> None:
    with pytest.raises(ConfigError, match="too deep"):
        assign({}, ["a=" + "[" * 100_000])
