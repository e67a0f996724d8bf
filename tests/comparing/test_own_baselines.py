"""The project's own baselines: each has its config, and together they hold what a change may break. `make regress` runs them."""

from __future__ import annotations

import json
from pathlib import Path

from backtester.comparing.baseline import CHANGES, find
from backtester.market.lake import Lake
from tests.baselines.market import make

NEEDED = {
    "us_clocks", "eu_clocks", "early_close", "halt", "split_and_dividend", "gap_through_a_stop", "shorts_with_fees", "last_bar",
    "lunch_break", "seven_minutes", "bar_without_a_close", "sizes_by_risk", "quickstart",
}  # fmt: skip


def test_every_config_has_a_baseline_and_every_baseline_a_config(project: Path) -> None:
    """D-04, D-12."""
    folder = project / "tests" / "baselines"
    found = {one.name: one for one in find(folder)}
    configs = [*(folder / "configs").glob("*.json"), *(project / "configs").glob("*.json")]
    assert set(found) == {path.stem for path in configs}
    assert set(found) >= NEEDED
    for one in found.values():
        assert (folder / one.config).is_file()
        assert one.accepted["reason"]
    log = (folder / CHANGES).read_text()
    assert [name for name in found if f"- {name}, " not in log] == []


def test_baselines_are_made_of_what_their_names_say(project: Path) -> None:
    records = {one.name: one.record for one in find(project / "tests" / "baselines")}
    opens = {name: {row[1][11:16] for row in record["made_of"]["calendar"]["rows"]} for name, record in records.items()}
    assert opens["us_clocks"] == {"13:30", "14:30"}
    assert opens["eu_clocks"] == opens["eu_spring"] == {"07:00", "08:00"}
    assert {record["made_of"]["calendar"]["name"] for record in records.values()} == {"XNYS", "XLON", "XTKS"}
    assert {row[2][11:16] for row in records["early_close"]["made_of"]["calendar"]["rows"]} == {"18:00", "21:00"}
    assert records["split_and_dividend"]["made_of"]["policies"]["actions"]
    assert "stop" in json.dumps(records["gap_through_a_stop"]["trades"])
    assert records["shorts_with_fees"]["metrics"]["borrow"] > 0
    assert all(
        record["tables"]["trades"]["rows"] > 0 for name, record in records.items() if name not in ("last_bar_of_the_day", "older_session")
    )


def test_the_lakes_are_made_once_and_their_files_are_the_baselines_own(project: Path, tmp_path: Path) -> None:
    assert make(tmp_path / "lakes")
    assert not make(tmp_path / "lakes")
    lake = Lake.open(tmp_path / "lakes" / "us")
    held = {f"{row['kind']} {row['interval']} {row['session']} {row['sha256'][:16]}" for row in lake.catalog.iter_rows(named=True)}
    record = next(one.record for one in find(project / "tests" / "baselines") if one.name == "halt")
    files = [file.rpartition(" ")[0] for file in record["made_of"]["data"]["files"]]
    assert files
    assert set(files) <= held
