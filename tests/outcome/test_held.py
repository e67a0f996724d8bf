"""Results found in folders: told apart, named, and never outside of the folder that was given."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from backtester.errors import DataError, OutputError
from backtester.outcome.held import below, gathered, held, unique_names
from backtester.outcome.run import Run

Publish = Callable[..., Run]


@pytest.fixture
def results(tmp_path: Path, publish: Publish) -> Path:
    """Two runs of one name, a sweep with a run below it, a walk, and what is no result."""
    place = tmp_path / "all"
    for name in ("one/a", "two/a", "sweep/best/000003"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        publish(place / name)
    (place / "sweep" / "manifest.json").write_text('{"identity": {"sweep_key": "0"}}')
    (place / "walk").mkdir()
    (place / "walk" / "walk.json").write_text('{"final_equity": 5.0}')
    (place / "site").mkdir()
    (place / "site" / "manifest.json").write_text('{"name": "a web page"}')
    return place


def test_every_complete_result_below_a_folder_is_found_once(results: Path) -> None:
    found, notes = gathered([results, results / "one" / "a"])
    assert {name: each.kind for name, each in found.items()} == {
        "one/a": "run", "sweep": "sweep", "000003": "run", "two/a": "run", "walk": "walk",
    }  # fmt: skip
    assert notes == []


def test_a_results_folder_is_itself_alone(results: Path) -> None:
    assert list(gathered([results / "sweep"])[0]) == ["sweep"]


def test_incomplete_damaged_and_foreign_folders_are_left_out_with_a_note(results: Path) -> None:
    for name in ("killed", "torn", "newer", "lost"):
        shutil.copytree(results / "one" / "a", results / name)
    (results / "killed" / "manifest.json").unlink()
    (results / "torn" / "manifest.json").write_text('{"identity": ')
    manifest = json.loads((results / "newer" / "manifest.json").read_text())
    manifest["identity"]["manifest_version"] = 99
    (results / "newer" / "manifest.json").write_text(json.dumps(manifest))
    (results / "lost" / "fills.parquet").unlink()
    (results / ".mine.abc.tmp").mkdir()
    (results / "begun").mkdir()
    (results / "begun" / "plan.json").write_text("{}")
    (results / "elsewhere").symlink_to(results / "two")
    found, notes = gathered([results])
    assert len(found) == 5
    said = {note.split(": ")[0].rsplit("/")[-1]: note.split(": ")[1] for note in notes}
    assert said == {
        "killed": "incomplete, no manifest.json",
        "begun": "incomplete, no manifest.json",
        "torn": "a file of the result cannot be read",
        "newer": "the run was written in another form",
        "lost": "files of the run are missing",
        ".mine.abc.tmp": "a run under way, or one that was killed",
    }


def test_a_folder_given_by_name_must_hold_a_result(results: Path) -> None:
    with pytest.raises(OutputError, match="no such folder"):
        gathered([results / "none"])
    (results / "empty").mkdir()
    with pytest.raises(OutputError, match="no finished run"):
        gathered([results / "empty"])
    with pytest.raises(OutputError, match="no complete result"):
        held(results / "empty")
    shutil.copytree(results / "one" / "a", results / "bad")
    (results / "bad" / "manifest.json").write_text('{"identity": {"manifest_version": 1}, "results": {"tables": ["fills"]}}')
    with pytest.raises(DataError, match="damaged"):
        held(results / "bad")


def test_names_have_as_many_folders_as_tell_them_apart() -> None:
    places = [Path("/x/a/r"), Path("/x/b/r"), Path("/y/b/r"), Path("/x/s"), Path("/")]
    assert unique_names(places) == ["a/r", "x/b/r", "y/b/r", "s", "/"]


def test_thousands_of_folders_are_named_quickly() -> None:
    places = [Path(f"/runs/{n // 10}/{n % 10}") for n in range(20_000)]
    assert len(set(unique_names(places))) == 20_000


def test_links_to_other_folders_are_not_followed(results: Path, tmp_path: Path, publish: Publish) -> None:
    outside = publish(tmp_path / "outside")
    (results / "link").symlink_to(outside.folder)
    assert all(each.folder.name != "link" for each in below(results)[0])
    assert list(gathered([results / "link"])[0]) == ["outside"]
