"""Strategies called in the run's own process: what they change of it is put back."""

from __future__ import annotations

import locale
import os
import time
from pathlib import Path

import pytest

import backtester as bt
from tests.configs import config, strategy

RESTLESS = """
import locale, os, time
from backtester import Signals, Strategy

class Restless(Strategy):
    def signals(self, bars):
        os.environ["TZ"] = "Asia/Tokyo"
        time.tzset()
        locale.setlocale(locale.LC_ALL, "C")
        os.chdir("/")
        if (bars.slot == 5).any() and {raises}:
            raise ValueError("no")
        return Signals()
"""


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_str_21_time_zone_locale_and_folder_are_put_back(
    raises: bool, zone: str | None, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = locale.setlocale(locale.LC_ALL)
    monkeypatch.setenv("TZ", zone or "UTC")
    if zone is None:
        monkeypatch.delenv("TZ")
    time.tzset()
    hours = time.timezone
    locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    words = locale.setlocale(locale.LC_ALL)
    try:
        (tmp_path / "restless.py").write_text(RESTLESS.format(raises=raises), encoding="utf-8")
        window = {"backtest_config.start_date": "2024-11-25", "backtest_config.end_date": "2024-11-26"}
        changes = {**window, "session_data_config.symbols": ["AAA"], "strategies": strategy("restless.py:Restless")}
        run = bt.run(config(simulated, changes), out="run")
        assert run.manifest["identity"]["status"] == (5 if raises else 0)
        assert (os.environ.get("TZ"), time.timezone) == (zone, hours)
        assert locale.setlocale(locale.LC_ALL) == words
        assert Path.cwd() == tmp_path
    finally:
        locale.setlocale(locale.LC_ALL, before)
        monkeypatch.undo()
        time.tzset()
