"""Splits and dividends enter and leave a lake whole, once, and only where they make sense."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from backtester.atomic import KILLED
from backtester.errors import CalendarError, DataError, OutputError
from backtester.market.action_changes import ROWS, ActionCounts, add_actions, nearest_session, remove_actions, remove_all_actions
from backtester.market.actions import Actions
from backtester.market.change import changing
from backtester.market.lake import Lake, read_catalog, write_catalog
from backtester.market.verify import verify
from tests.market.days import sessions
from tests.market.test_lake import DAY, NEXT, bars, lake_of

Wanted = tuple[str | None, str | None, str | None, float | None]


def rows(*found: Wanted) -> pl.DataFrame:
    """Rows to add, each from its own line."""
    whole = [
        (symbol, None if day is None else dt.date.fromisoformat(day), kind, value, "test", f"line {number}")
        for number, (symbol, day, kind, value) in enumerate(found, 1)
    ]
    return pl.DataFrame(whole, schema=ROWS, orient="row")


SPLIT: Wanted = ("AAPL", "2014-06-09", "split", 7.0)
PAID: Wanted = ("AAPL", "2014-08-07", "dividend", 0.47)


def held(root: Path) -> list[tuple[object, ...]]:
    return Actions.of(Lake.open(root)).frame.select("symbol", "ex_date", "kind", "value").rows()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A lake with bars of AAPL and no actions."""
    lake_of(tmp_path, bars())
    return tmp_path


def test_actions_are_stored_in_the_order_of_symbol_date_and_kind(root: Path) -> None:
    found = add_actions(root, rows(PAID, ("AAPL", "2014-06-09", "dividend", 1.0), SPLIT, ("A", "2014-08-07", "split", 0.1)), "XNYS")
    assert found == ActionCounts(added=4, stored=4, without_bars=("A",))
    assert held(root) == [
        ("A", dt.date(2014, 8, 7), "split", 0.1),
        ("AAPL", dt.date(2014, 6, 9), "dividend", 1.0),
        ("AAPL", dt.date(2014, 6, 9), "split", 7.0),
        ("AAPL", dt.date(2014, 8, 7), "dividend", 0.47),
    ]


def test_the_catalog_vouches_for_the_file(root: Path) -> None:
    add_actions(root, rows(SPLIT, PAID), "XNYS")
    content = (root / "actions.parquet").read_bytes()
    row = Lake.open(root).actions
    assert row is not None
    assert (row["path"], row["rows"], row["symbols"], row["bytes"]) == ("actions.parquet", 2, ["AAPL"], len(content))
    assert row["sha256"] == hashlib.sha256(content).hexdigest() == Actions.of(Lake.open(root)).sha256


def test_the_same_actions_make_the_same_file_in_whatever_steps(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    lake_of(other, bars())
    add_actions(root, rows(SPLIT, PAID), "XNYS")
    add_actions(other, rows(PAID), "XNYS")
    add_actions(other, rows(SPLIT), "XNYS")
    assert (root / "actions.parquet").read_bytes() == (other / "actions.parquet").read_bytes()


def test_the_same_action_again_changes_nothing(root: Path) -> None:
    add_actions(root, rows(SPLIT), "XNYS")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}
    again = rows(SPLIT).with_columns(source=pl.lit("another"))
    assert add_actions(root, again, "XNYS") == ActionCounts(unchanged=1, stored=1)
    assert add_actions(root, again, "XNYS", replace=True) == ActionCounts(unchanged=1, stored=1)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")} == before


def test_another_value_of_an_action_stops_unless_it_replaces(root: Path) -> None:
    add_actions(root, rows(SPLIT, PAID), "XNYS")
    other = rows(("AAPL", "2014-06-09", "split", 6.0), ("AAPL", "2014-11-06", "dividend", 0.47))
    with pytest.raises(DataError, match=r"another value of the same action \(AAPL 2014-06-09 split\): got 6 \(lake: 7\); add --replace"):
        add_actions(root, other, "XNYS")
    assert len(held(root)) == 2
    assert add_actions(root, other, "XNYS", replace=True) == ActionCounts(added=1, replaced=1, stored=3)
    assert held(root)[0][3] == 6.0


BAD = [
    ((None, "2014-06-09", "split", 7.0), "not a symbol"),
    (("../x", "2014-06-09", "split", 7.0), "not a symbol"),
    (("A", "2014-06-09", "spilt", 7.0), "not a kind of action .*'spilt'.*split or dividend; did you mean 'split'"),
    (("A", "2014-06-09", None, 7.0), "not a kind of action"),
    (("A", "2014-06-09", "split", 0.0), "a split that is not above zero .*value 0.0"),
    (("A", "2014-06-09", "split", -7.0), "a split that is not above zero"),
    (("A", "2014-06-09", "split", 1.0), "a split that changes nothing"),
    (("A", "2014-06-09", "dividend", -0.47), "a dividend that is not above zero"),
    (("A", "2014-06-09", "dividend", 0.0), "a dividend that is not above zero"),
    (("A", "2014-06-09", "dividend", float("nan")), "not a number"),
    (("A", "2014-06-09", "split", float("inf")), "not a number"),
    (("A", "2014-06-09", "split", None), "not a number"),
    (("A", None, "split", 7.0), "not a date of a session"),
    (("A", "0014-06-09", "split", 7.0), "not a date of a session .*1900 to 2199"),
    (("A", "2014-06-08", "split", 7.0), "no session of XNYS .*A 2014-06-08 split; the nearest session is 2014-06-09"),
    (("A", "2014-06-07", "split", 7.0), "the nearest session is 2014-06-06"),
    (("A", "2014-07-04", "split", 7.0), "the nearest session is 2014-07-03"),
]


@pytest.mark.parametrize(("bad", "message"), BAD, ids=lambda found: None if isinstance(found, tuple) else str(found)[:40])
def test_an_action_that_makes_no_sense_is_refused_with_its_place(root: Path, bad: Wanted, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        add_actions(root, rows(SPLIT, bad, PAID), "XNYS")
    assert (caught.value.where, caught.value.exit_code) == ("line 2", 4)
    assert Lake.open(root).actions is None


def test_two_values_of_one_action_name_both_lines_and_equal_ones_count_once(root: Path) -> None:
    with pytest.raises(DataError, match=r"two values of one action \(line 1 and line 3\): got AAPL 2014-06-09 split: 7 and 6"):
        add_actions(root, rows(SPLIT, PAID, ("AAPL", "2014-06-09", "split", 6.0)), "XNYS")
    assert add_actions(root, rows(SPLIT, SPLIT), "XNYS").added == 1


def test_another_calendar_has_other_sessions(root: Path) -> None:
    sunday: Wanted = ("BTC", "2014-06-08", "split", 7.0)
    assert add_actions(root, rows(sunday), "24/7").added == 1
    with pytest.raises(CalendarError, match="XNYS"):
        add_actions(root, rows(sunday), "XNYSE")


def test_a_day_closed_by_the_lakes_overrides_is_no_session(root: Path) -> None:
    (root / "calendar_overrides.json").write_text('[{"session": "2014-06-09", "closed": true}]')
    with pytest.raises(DataError, match="the nearest session is 2014-06-10"):
        add_actions(root, rows(SPLIT), "XNYS")


def test_the_nearest_session_is_the_later_of_two() -> None:
    days = sessions([1, 1, 1])
    rest = days[:1]
    assert nearest_session(days, dt.date(2024, 1, 9)) == np.datetime64("2024-01-03")
    assert (str(nearest_session(rest, dt.date(2023, 1, 1))), nearest_session(rest[:0], dt.date(2024, 1, 1))) == ("2024-01-01", None)


def test_actions_are_removed_by_symbol_day_and_kind(root: Path) -> None:
    both: Wanted = ("AAPL", "2014-06-09", "dividend", 1.0)
    add_actions(root, rows(SPLIT, both, PAID, ("SPY", "2014-06-09", "dividend", 1.0)), "XNYS")
    day = dt.date(2014, 6, 9)
    assert remove_actions(root, "AAPL", day, "dividend") == ActionCounts(removed=1, stored=3)
    assert remove_actions(root, "AAPL", day, "dividend") == ActionCounts(removed=0, stored=3)
    assert remove_actions(root, "AAPL", day).removed == 1
    assert remove_actions(root, "AAPL") == ActionCounts(removed=1, stored=1)
    assert [row[0] for row in held(root)] == ["SPY"]


def test_all_can_be_removed_from_a_damaged_file_and_added_again(root: Path) -> None:
    add_actions(root, rows(SPLIT, PAID), "XNYS")
    (root / "actions.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match=r"another size \(actions\.parquet\)"):
        add_actions(root, rows(SPLIT), "XNYS")
    assert remove_all_actions(root) == ActionCounts(removed=2)
    assert (held(root), add_actions(root, rows(SPLIT), "XNYS").added, verify(Lake.open(root)).damaged) == ([], 1, {})


def test_actions_need_a_lake_and_an_unlocked_one(tmp_path: Path, root: Path) -> None:
    with pytest.raises(DataError, match="there is no lake"):
        add_actions(tmp_path / "gone", rows(SPLIT), "XNYS")
    assert not (tmp_path / "gone").exists()
    with changing(root), pytest.raises(OutputError, match="being changed by another process"):
        add_actions(root, rows(SPLIT), "XNYS")


def test_verify_finds_a_flipped_byte_and_an_unlisted_file(root: Path) -> None:
    (root / "actions.parquet").write_bytes(b"foreign")
    assert verify(Lake.open(root)).unlisted == ("actions.parquet",)
    assert Actions.of(Lake.open(root)).sha256 is None
    add_actions(root, rows(SPLIT), "XNYS")
    assert (verify(Lake.open(root)).damaged, verify(Lake.open(root)).files) == ({}, 2)
    content = bytearray((root / "actions.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (root / "actions.parquet").write_bytes(content)
    assert list(verify(Lake.open(root)).damaged) == ["actions.parquet"]
    with pytest.raises(DataError, match=r"fingerprint differs from the catalog \(actions\.parquet\)"):
        Actions.of(Lake.open(root))


def test_bars_and_actions_do_not_disturb_each_other(root: Path) -> None:
    add_actions(root, rows(SPLIT), "XNYS")
    with changing(root) as change:
        change.add("bars", "1m", bars(day=NEXT))
    lake = Lake.open(root)
    assert (len(held(root)), lake.summary()[0]["sessions"], len(lake.summary())) == (1, 2, 1)
    assert lake.read("bars", "1m", np.datetime64(DAY)).height == 2


KILL = """
import sys
from pathlib import Path
from tests.market.test_action_changes import PAID, SPLIT, rows
from backtester.market.action_changes import add_actions
add_actions(Path(sys.argv[1]), rows(SPLIT, PAID), "XNYS")
"""


@pytest.mark.parametrize(
    ("step", "there"),
    [("write:actions.parquet", 1), ("sync:actions.parquet", 1), ("replace:catalog.parquet", 1), ("committed", 2),
     ("replace:actions.parquet", 2), ("done:catalog.parquet", 2)],
)  # fmt: skip
def test_a_killed_change_leaves_the_old_actions_or_the_new_ones(root: Path, project: Path, step: str, there: int) -> None:
    add_actions(root, rows(SPLIT), "XNYS")
    env = os.environ | {"BT_FAIL_AT": step, "PYTHONPATH": str(project)}
    died = subprocess.run([sys.executable, "-c", KILL, str(root)], env=env, capture_output=True, check=False)
    assert died.returncode == KILLED, died.stderr
    assert len(held(root)) == there
    assert verify(Lake.open(root)).damaged == {}
    assert add_actions(root, rows(SPLIT, PAID), "XNYS") == ActionCounts(added=2 - there, unchanged=there, stored=2)
    assert [path.name for path in root.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize(
    "forged",
    [{"path": "../actions.parquet"}, {"path": "bars/1m/2025-07-02.parquet"}, {"staged": ".actions.parquet.x/../../y.tmp"},
     {"staged": "bars/1m/.2025-07-02.parquet.x.tmp"}, {"kind": "bars"}],
)  # fmt: skip
def test_a_catalog_that_places_the_actions_elsewhere_is_refused_s_01(root: Path, forged: dict[str, str]) -> None:
    add_actions(root, rows(SPLIT), "XNYS")
    catalog = read_catalog(root)
    changed = [
        pl.when(pl.col("kind") == "actions").then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in forged.items()
    ]
    write_catalog(root, catalog.with_columns(changed))
    with pytest.raises(DataError, match="the lake's catalog is damaged"):
        Lake.open(root)
