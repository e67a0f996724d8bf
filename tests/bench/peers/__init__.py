"""The other programs: each in an environment of its own with exact versions, each with one script."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Peer:
    """Another backtester: its package's name, its script's options, a note for the table, and what its script does."""

    name: str
    options: tuple[str, ...] = ()
    note: str = ""
    script: str = "sma"

    @property
    def version(self) -> str:
        """The pinned version."""
        found = re.search(rf"^{self.name}==(\S+)", (HERE / f"{self.name}.txt").read_text(encoding="utf-8"), re.MULTILINE)
        assert found is not None
        return found[1]

    @property
    def label(self) -> str:
        """Name, version and note, for a table."""
        return f"{self.name} {self.version}" + (f", {self.note}" if self.note else "")

    def command(self, place: Path, folder: Path) -> list[str | Path]:
        """The command that runs it over the files of `folder`; installs it below `place` first where it is not there."""
        return [self.python(place), HERE / f"{self.name}_{self.script}.py", folder, *self.options]

    def python(self, place: Path) -> Path:
        """The interpreter of its environment below `place`, which is made first where it is not there."""
        pinned = HERE / f"{self.name}.txt"
        folder = place / "peers" / self.name
        done = folder / "installed.txt"
        if not done.exists() or done.read_text(encoding="utf-8") != pinned.read_text(encoding="utf-8"):
            print(f"installing {self.name} {self.version} into {folder} ...", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            subprocess.run([*pip, "--requirement", pinned], check=True, stdout=sys.stderr)
            done.write_text(pinned.read_text(encoding="utf-8"), encoding="utf-8")
        return folder / "bin" / "python"


VECTORBT = Peer("vectorbt", note="`from_orders`")
VECTORBT_SIGNALS = Peer("vectorbt", ("--signals",), "`from_signals`")
VECTORBT_SWEEP = Peer("vectorbt", note="`from_orders`, 25 columns a chunk", script="sweep")
BACKTESTING = Peer("backtesting")
BACKTRADER = Peer("backtrader")
SKFOLIO = Peer("skfolio")  # no backtester: with arch, it judges statistics
NAUTILUS = Peer("nautilus_trader", note="fills at the signal bar's close")
ALL = (VECTORBT, VECTORBT_SIGNALS, BACKTESTING, NAUTILUS, BACKTRADER)
