"""The list of results and the catalog behind it."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from backtester.errors import OutputError, UsageError
from backtester.outcome import catalog
from backtester.outcome.entries import SCHEMA
from backtester.outcome.listing import listing, ordered, short
from backtester.outcome.run import Run

Publish = Callable[..., Run]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BT_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BT_CATALOG", raising=False)
    return tmp_path / "home"


@pytest.fixture
def runs(tmp_path: Path, publish: Publish) -> Path:
    """Two runs, remembered."""
    (tmp_path / "runs").mkdir()
    for name, cash in (("a", 100_000.0), ("b", 50_000.0)):
        catalog.note(publish(tmp_path / "runs" / name, cash=cash).folder)
    return tmp_path / "runs"


def states(rows: pl.DataFrame) -> dict[str, str]:
    return dict(rows.select("name", "status").iter_rows())


def test_a_run_is_listed_with_its_figures(runs: Path) -> None:
    rows, notes = listing(runs, sort="name")
    assert notes == []
    assert rows.schema == SCHEMA
    first = rows.row(0, named=True)
    metrics = json.loads((runs / "a" / "metrics.json").read_text())
    manifest = json.loads((runs / "a" / "manifest.json").read_text())
    assert {name: first[name] for name in ("final_equity", "total_return", "sharpe", "max_drawdown", "trades")} == {
        name: metrics[name] for name in ("final_equity", "total_return", "sharpe", "max_drawdown", "trades")
    }
    assert (first["name"], first["kind"], first["status"], first["session_name"]) == ("a", "run", "done", "two names")
    assert (first["sessions"], first["when"]) == (2, dt.datetime(2026, 1, 5, 9, 0, 2, tzinfo=dt.UTC))
    assert first["result_key"] == manifest["identity"]["result_key"]
    assert Path(first["folder"]) == (runs / "a").resolve()


def test_a_folder_that_is_gone_is_remembered(runs: Path) -> None:
    shutil.rmtree(runs / "a")
    assert states(listing(runs)[0]) == {"a": "gone", "b": "done"}
    assert states(listing()[0]) == {"a": "gone", "b": "done"}
    shutil.rmtree(runs)
    rows, _ = listing(runs)
    assert states(rows) == {"a": "gone", "b": "gone"}
    assert rows.filter(name="a")["final_equity"].is_not_null().all()


def test_a_result_that_another_has_replaced_is_remembered_as_such(runs: Path, publish: Publish) -> None:
    catalog.note(publish(runs / "a", force=True, cash=70_000.0).folder)
    rows = listing(runs)[0].filter(name="a")
    assert sorted(rows["status"]) == ["done", "replaced"]
    assert rows["result_key"].n_unique() == 2


def test_the_same_run_twice_is_one_line(runs: Path, publish: Publish, home: Path) -> None:
    catalog.note(publish(runs / "a", force=True).folder)
    assert len((home / catalog.FILE).read_text().splitlines()) == 2
    assert states(listing(runs)[0]) == states(listing()[0]) == {"a": "done", "b": "done"}


def test_runs_elsewhere_are_not_listed_below_a_folder(runs: Path, tmp_path: Path, publish: Publish) -> None:
    (tmp_path / "runs2").mkdir()
    catalog.note(publish(tmp_path / "runs2" / "c").folder)
    assert set(states(listing(runs)[0])) == {"a", "b"}
    assert set(states(listing()[0])) == {"a", "b", "c"}
    shutil.copytree(runs / "a", runs / "copied")
    assert set(states(listing(runs)[0])) == {"a", "b", "copied"}


@pytest.mark.parametrize("value", ["off", "0", "No", "FALSE"])
def test_the_catalog_can_be_switched_off(value: str, tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("BT_CATALOG", value)
    catalog.note(publish(tmp_path / "a").folder)
    assert not home.exists()


def test_what_cannot_be_noted_stops_nothing(tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BT_DATA_HOME", str(tmp_path / "file" / "below"))
    catalog.note(publish(tmp_path / "a").folder)
    catalog.note(tmp_path / "nothing")
    assert listing()[0].height == 0


def test_damaged_lines_of_the_catalog_are_left_out(runs: Path, home: Path) -> None:
    with (home / catalog.FILE).open("a") as file:
        file.write('{"folder": 5}\n{"folder": "/no/x", "when": 3, "sharpe": "high", "trades": true, "kind": null}\n{"fol')
    rows = listing()[0]
    assert states(rows) == {"a": "done", "b": "done", "x": "gone"}
    assert rows.filter(name="x").select("when", "sharpe", "trades", "kind").row(0) == (None, None, None, None)


def test_results_are_sorted_largest_and_newest_first_text_by_the_alphabet() -> None:
    rows = pl.DataFrame(
        {"name": ["b", "a", "c"], "sharpe": [1.0, None, 2.0], "folder": ["1", "2", "3"], "result_key": ["", "", ""]},
        schema_overrides=SCHEMA,
    )
    for sort, names in {"sharpe": "cba", "-sharpe": "bca", "name": "abc", "-name": "cba"}.items():
        assert "".join(ordered(rows, sort)["name"]) == names
    with pytest.raises(UsageError, match="did you mean 'sharpe'"):
        ordered(rows, "sharp")


def test_a_condition_chooses_results(runs: Path) -> None:
    rows = listing(runs)[0]
    bound = rows["final_equity"].mean()
    assert (
        listing(runs, where=f"final_equity > {bound}")[0]["name"].to_list() == rows.filter(pl.col("final_equity") > bound)["name"].to_list()
    )
    assert listing(runs, where="name = 'a' and status = 'done' and \"when\" > timestamptz '2026-01-01'")[0].height == 1
    assert listing(runs, where="sharpe is null")[0].height + listing(runs, where="sharpe is not null")[0].height == 2


@pytest.mark.parametrize(
    "where", ["shrpe > 1", "name =", "name = (select * from read_text('/etc/passwd'))", "true; copy runs to 'x'", "true) or (true", ""]
)
def test_a_wrong_condition_is_refused(where: str, runs: Path) -> None:
    with pytest.raises(UsageError) as refused:
        listing(runs, where=where)
    assert "\n" not in str(refused.value)


def test_an_unknown_folder_is_an_error_where_nothing_of_it_is_remembered(runs: Path) -> None:
    with pytest.raises(OutputError, match="no such folder"):
        listing(runs / "none")


def test_a_sweep_is_listed_with_its_best_trials_figures(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    identity = {"sweep_key": "f" * 64, "finished": "2026-01-05T09:00:00+00:00"}
    (sweep / "manifest.json").write_text(json.dumps({"identity": identity, "counts": {"trials": 3, "failed": 1}}))
    (sweep / "evidence.json").write_text('{"best": 7}')
    (sweep / "config.json").write_text('{"session_name": "swept", "session_data_config": {"symbols": ["A", "B"]}}')
    pl.DataFrame({"trial": [6, 7, 8], "sharpe": [0.1, 1.5, None], "trades": [1, 2, 3]}).write_parquet(sweep / "trials.parquet")
    row = listing(tmp_path)[0].row(0, named=True)
    assert (row["kind"], row["trials"], row["sharpe"], row["trades"], row["symbols"]) == ("sweep", 3, 1.5, 2, 2)
    assert (row["status"], row["session_name"], row["result_key"]) == ("trials failed", "swept", "f" * 64)


def test_a_terminal_shows_short_names_and_times(runs: Path) -> None:
    rows = listing(runs)[0].with_columns(session_name=pl.lit("a name that is longer than there is room for"))
    shown = short(rows, ZoneInfo("America/New_York"))
    assert shown["when"][0] == "2026-01-05 04:00-05:00"
    assert shown["session_name"][0] == "a name that is long…"
    assert short(rows, ZoneInfo("UTC"))["when"][0] == "2026-01-05 09:00Z"
    assert set(shown["result_key"].str.len_chars()) == {12}
