"""Files of splits and dividends: tables with declared columns, and Lean's factor files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from backtester.errors import DataError
from backtester.market.action_changes import ROWS
from backtester.market.importers import action_files, lean_actions

TABLE = "symbol,ex_date,kind,value\nAAPL,2014-05-08,dividend,3.29\nTRUE,2014-06-09,split,7\n"
EXAMPLE = (
    "20140507,0.8961764,0.03571430,592.33\n20140606,0.9011818,0.03571430,645.57\n20140806,0.9011818,0.25,94.97\n20501231,0.9011818,0.25,0\n"
)


def csv(root: Path, text: str = TABLE, name: str = "actions.csv") -> Path:
    path = root / name
    path.write_text(text)
    return path


def test_a_csv_gives_its_rows_with_their_lines(tmp_path: Path) -> None:
    path = csv(tmp_path)
    assert action_files.read([path]).rows() == [
        ("AAPL", dt.date(2014, 5, 8), "dividend", 3.29, "csv:actions.csv", f"{path}, line 2"),
        ("TRUE", dt.date(2014, 6, 9), "split", 7.0, "csv:actions.csv", f"{path}, line 3"),
    ]


def test_a_source_column_is_kept_and_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    found = action_files.read([csv(tmp_path, "value,source,kind,symbol,ex_date\n7,press,split,AAPL,2014-06-09\n")])
    assert found.select("symbol", "value", "source").rows() == [("AAPL", 7.0, "press")]


def test_a_parquet_file_may_hold_dates_or_text(tmp_path: Path) -> None:
    frame = pl.DataFrame({"symbol": ["AAPL"], "ex_date": [dt.date(2014, 6, 9)], "kind": ["split"], "value": [7]})
    frame.write_parquet(tmp_path / "dates.parquet")
    frame.with_columns(pl.col("ex_date").cast(pl.String)).write_parquet(tmp_path / "text.parquet")
    found = action_files.read([tmp_path])
    assert dict(found.schema) == ROWS
    assert found.select("ex_date", "value", "source").rows() == [
        (dt.date(2014, 6, 9), 7.0, "parquet:dates.parquet"),
        (dt.date(2014, 6, 9), 7.0, "parquet:text.parquet"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLE.replace("ex_date", "exdate"), "unknown column .*'exdate'.*did you mean 'ex_date'"),
        (TABLE.replace(",value", ",amount"), "unknown column .*'amount'"),
        ("symbol,ex_date,kind\nA,2014-06-09,split\n", "a column is missing .*value"),
        (TABLE.replace("2014-06-09", "06/09/2014"), "not a date .*line 3.*'06/09/2014'.*YYYY-MM-DD"),
        (TABLE.replace("2014-06-09", "2014-02-30"), "not a date .*line 3"),
        (TABLE.replace("2014-06-09", "2014-6-9"), "not a date .*line 3"),
        (TABLE.replace("3.29", "3,29"), "a row of another length .*line 2"),
        (TABLE.replace("3.29", "much"), "not a number .*line 2.*value 'much'"),
        (TABLE.replace("TRUE", " "), "an empty field .*line 3.*symbol"),
        ("symbol,ex_date,kind,value\n", "a file with a header and no rows"),
        ("", "an empty file"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        action_files.read([csv(tmp_path, text)])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.Series("value", ["much"]), "not a number"),
        (pl.Series("value", [True]), "holds no numbers .*value Boolean"),
        (pl.Series("ex_date", [20140609]), "holds no dates .*ex_date Int64"),
        (pl.Series("symbol", [700]), "not text .*symbol Int64"),
        (pl.Series("kind", [None], pl.String), "an empty field .*row 1.*kind"),
    ],
)
def test_a_parquet_column_of_another_kind_is_refused(tmp_path: Path, column: pl.Series, message: str) -> None:
    frame = pl.DataFrame({"symbol": ["AAPL"], "ex_date": ["2014-06-09"], "kind": ["split"], "value": [7.0]}).with_columns(column)
    frame.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        action_files.read([tmp_path / "a.parquet"])


def test_files_that_are_no_parquet_or_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot read a Parquet file"):
        action_files.read([tmp_path / "a.parquet"])
    with pytest.raises(DataError, match="no such file or folder"):
        action_files.read([tmp_path / "gone.csv"])


def lean(root: Path, text: str, name: str = "aapl.csv") -> list[tuple[object, ...]]:
    """(symbol, ex-date, kind, value) of a factor file."""
    return lean_actions.read([csv(root, text, name)], "XNYS", None).select("symbol", "ex_date", "kind", "value").rows()


def test_a_factor_file_acts_on_the_session_after_each_rows_date(tmp_path: Path) -> None:
    """Apple's 3.29 of 2014-05-08 and its 7:1 split of 2014-06-09, a Monday; the last row's factors change nothing."""
    assert lean(tmp_path, EXAMPLE) == [
        ("AAPL", dt.date(2014, 5, 8), "dividend", 3.29),
        ("AAPL", dt.date(2014, 6, 9), "split", 7.0),
    ]


def test_the_source_names_the_file_and_its_content_and_the_place_its_line(tmp_path: Path) -> None:
    found = lean_actions.read([csv(tmp_path, EXAMPLE, "brk.b.csv")], "XNYS", None)
    assert found["symbol"].unique().to_list() == ["BRK.B"]
    assert found["source"].str.contains(r"\Alean:brk\.b\.csv@[0-9a-f]{12}\z").all()
    assert found["where"].to_list() == [f"{tmp_path / 'brk.b.csv'}, line {line}" for line in (1, 2)]


def test_a_split_and_a_dividend_of_one_open_are_both_found(tmp_path: Path) -> None:
    """100 before, 2 on each old share and 2:1: (100 - 2) / 100 = 0.98; 1 on each of two new shares."""
    assert lean(tmp_path, "20140606,0.98,0.5,100\n20501231,1,1,0\n") == [
        ("AAPL", dt.date(2014, 6, 9), "split", 2.0),
        ("AAPL", dt.date(2014, 6, 9), "dividend", 1.0),
    ]


def test_rows_in_any_order_and_rows_that_change_nothing_are_understood(tmp_path: Path) -> None:
    assert lean(tmp_path, "20501231,1,1,0\n\n20140606,1,0.5,100\n19980102,1,0.5,1\n") == [("AAPL", dt.date(2014, 6, 9), "split", 2.0)]
    assert lean(tmp_path, "20120518,1,1,1\n20501231,1,1,0\n") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20140606,0.9\n", "not a row of a factor file .*line 1"),
        ("20140606,0.9,1\n", "not a row of a factor file .*line 1"),
        ("2014-06-06,0.9,1,100\n", "not a row of a factor file .*line 1"),
        ("20140606,0,1,100\n", "not above zero .*line 1"),
        ("20140606,nan,1,100\n", "not above zero .*line 1"),
        ("20140606,0.9,1,0\n20501231,1,1,0\n", "changes without a close .*line 1"),
        ("20140606,1,1,100\n20501231,0.9,1,0\n", "a price factor that falls.*line 1"),
        ("20140606,1,1,100\n20140606,0.9,1,0\n", "two rows of one date .*line 2"),
        ("\n", "a factor file without rows"),
    ],
)
def test_a_factor_file_that_means_nothing_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        lean(tmp_path, text)


APPLE_PAID = {
    "2012-08-09": 2.65, "2012-11-07": 2.65, "2013-02-07": 2.65, "2013-05-09": 3.05, "2013-08-08": 3.05, "2013-11-06": 3.05,
    "2014-02-06": 3.05, "2014-05-08": 3.29, "2014-08-07": 0.47, "2014-11-06": 0.47, "2015-02-05": 0.47, "2015-05-07": 0.52,
    "2015-08-06": 0.52, "2015-11-05": 0.52, "2016-02-04": 0.52, "2016-05-05": 0.57, "2016-08-04": 0.57, "2016-11-03": 0.57,
    "2017-02-09": 0.57, "2017-05-11": 0.63, "2017-08-10": 0.63, "2017-11-10": 0.63, "2018-02-09": 0.63, "2018-05-11": 0.73,
    "2018-08-10": 0.73, "2018-11-08": 0.73, "2019-02-08": 0.73, "2019-05-10": 0.77, "2019-08-09": 0.77, "2019-11-07": 0.77,
    "2020-02-07": 0.77, "2020-05-08": 0.82, "2020-08-07": 0.82, "2020-11-06": 0.205, "2021-02-05": 0.205,
}  # fmt: skip
"""What Apple paid on a share by ex-date, as it published it."""
APPLE_SPLIT = {"2000-06-21": 2.0, "2005-02-28": 2.0, "2014-06-09": 7.0, "2020-08-31": 4.0}


def test_apples_factor_file_gives_the_splits_and_dividends_that_apple_published(shared_data: Path) -> None:
    found = lean_actions.read([shared_data / "lean_reference/factor_files/aapl.csv"], "XNYS", None)
    by_kind = {kind: {str(day): value for day, value in found.filter(kind=kind).select("ex_date", "value").iter_rows()}
               for kind in ("split", "dividend")}  # fmt: skip
    assert by_kind == {"split": APPLE_SPLIT, "dividend": APPLE_PAID}


def test_splits_of_other_symbols_come_out_as_whole_ratios(shared_data: Path) -> None:
    """IBM, QQQ and BNO 2:1, USO eight into one, AIG 3:2, 5:4, 3:2 and twenty into one."""
    folder = shared_data / "lean_reference/factor_files"
    found = lean_actions.read([folder / f"{name}.csv" for name in ("ibm", "aig", "qqq", "uso", "bno")], "XNYS", None).filter(kind="split")
    splits = {(symbol, str(day)): value for symbol, day, value in found.select("symbol", "ex_date", "value").iter_rows()}
    assert splits["IBM", "1999-05-27"] == 2.0
    assert splits["QQQ", "2000-03-20"] == 2.0
    assert splits["USO", "2020-04-29"] == 0.125
    assert splits["BNO", "2013-08-29"] == 2.0
    assert [value for (symbol, _), value in sorted(splits.items()) if symbol == "AIG"] == [1.5, 1.25, 1.5, 0.05]


def test_a_folder_of_factor_files_is_read_whole(shared_data: Path) -> None:
    folder = shared_data / "lean_reference/factor_files"
    found = lean_actions.read([folder], "XNYS", None)
    named = {path.stem.upper() for path in folder.glob("*.csv")}
    assert set(found["symbol"]) <= named
    assert {"AAPL", "SPY", "TWX.1", "TAP.A"} <= set(found["symbol"])
    assert (found.filter(kind="dividend")["value"] > 0).all()
