"""Every command of docs/regression.md runs, in the order of the page, in a folder like a checkout after `make demo`."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from backtester.cli import main


@pytest.mark.slow
def test_the_commands_of_the_page_run_in_their_order(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(project / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    demo = re.search(r"\$\(BIN\)/bt (data simulate .*)", (project / "Makefile").read_text())
    assert demo is not None
    page = (project / "docs" / "regression.md").read_text()
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL) for line in block.splitlines()]
    assert len(lines) >= 8
    for line in (f"bt {demo[1]}", *lines):
        told = CliRunner().invoke(main, shlex.split(line)[1:], catch_exceptions=False)
        assert told.exit_code == (9 if line.startswith("bt diff") else 0), f"{line}\n{told.output}"
    assert (tmp_path / "build" / "regress.xml").is_file()
