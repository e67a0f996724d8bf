"""Measure `bt` beside other backtesters: `make bench`, or `python -m tests.bench [--runs N] [--short] [--case NAME]`.

Prints the tables of docs/performance.md. `--short` measures small cases once and checks what must hold on any machine (gates);
times are for information only and never decide.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.bench import peers
from tests.bench.exact import fills_in_cents
from tests.bench.market import BT, PLACE, USE_BANDED, Market, config
from tests.bench.measure import Measured, measure, once
from tests.bench.peers import Peer

TEN = Market(10, "2024-01-01", "2024-12-31")
HUNDRED = Market(100, "2023-01-01", "2024-12-31")
SMALL = Market(4, "2024-01-01", "2024-04-30")
HEAVY = ("pandas", "pandas_market_calendars", "numba", "polars", "duckdb", "pyarrow", "numpy", "pydantic", "rich")
SLOW_SECONDS = 20.0
AVERAGES = {"fast": "2:21:1", "slow": "22:120:2"}
BANDED = {"rsi": "5:23:2", "band": "10:55:5", "distance": "1:3.25:0.25"}
"""A thousand parameter sets of each of the two strategies that are swept."""
Row = tuple[str, Measured, int | None]


def result_of(path: Path) -> Path:
    """The folder that the run of a config writes."""
    return PLACE / "runs" / path.stem


def run_command(path: Path) -> list[str | Path]:
    """`bt run` of a config into its own folder below .bench/."""
    return [BT, "run", path, "--out", result_of(path), "--force", "--quiet"]


def fills_of(path: Path) -> int:
    """How many fills the finished run of a config holds."""
    import polars as pl

    return pl.scan_parquet(result_of(path) / "fills.parquet").select(pl.len()).collect().item()


def bt(path: Path, runs: int, label: str = "bt run") -> Row:
    """Measure the run of one config."""
    return label, measure(run_command(path), runs), fills_of(path)


def peer(other: Peer, files: Path, runs: int, *words: str) -> Row:
    """Measure another program over the same bars; of one slower than SLOW_SECONDS the first run counts, and three are enough."""
    command = [*other.command(PLACE, files), *words]
    first = once(command)
    if first.wall > SLOW_SECONDS:
        found = Measured((first, *(once(command) for _ in range(min(runs, 3) - 1))))
    else:
        found = measure(command, runs, warm=False)
    return other.label, found, int(found.printed["fills"])


def case_help(runs: int) -> str:
    """Starting the program: `bt --help` beside an empty Python."""
    rows = [
        ("bt --help", measure([BT, "--help"], max(runs, 10)), None),
        ("python -c pass", measure([sys.executable, "-c", "pass"], max(runs, 10)), None),
    ]
    return table("Start", rows)


def case_small(runs: int) -> str:
    """Two symbols, one session, 1m and 5m."""
    path = config("small", TEN, first="2024-07-02", last="2024-07-02", symbols=2, streams=["1m", "5m"])
    rows = [bt(path, runs)]
    with tempfile.TemporaryDirectory() as empty:
        cold = Measured((once(run_command(path), {"NUMBA_CACHE_DIR": empty, "XDG_CACHE_HOME": empty}),))
    return table("2 symbols x 1 session (780 bars)", [*rows, ("bt run, first after installing (compiles)", cold, None)])


def case_ten(runs: int) -> str:
    """Ten symbols, one year, beside every other program."""
    path = config("ten", TEN, first=TEN.first, last=TEN.last, symbols=10, streams=["1m"])
    files = TEN.export("2024")
    rows = [bt(path, runs), *(peer(other, files, runs) for other in peers.ALL)]
    second = once([*peers.VECTORBT.command(PLACE, files), "--twice"])
    inside = Measured((second,)).printed["second"]
    note = (
        f"vectorbt calculating once more in the same process, bars loaded and code compiled: {inside:.2f} s.\n"
        f"Fills in exact arithmetic (whole cents): {fills_in_cents(files):,}."
    )
    return table("10 symbols x 252 sessions (977,400 bars), SMA 5/20 on 1m", rows) + f"\n{note}\n"


def case_hundred(runs: int) -> str:
    """A hundred symbols, one year and two years, with 5m bars, quality on."""
    one = config("hundred", HUNDRED, first="2024-01-01", last="2024-12-31", symbols=100, streams=["1m", "5m"])
    two = config("hundred_two_years", HUNDRED, first=HUNDRED.first, last=HUNDRED.last, symbols=100, streams=["1m", "5m"])
    rows = [bt(one, runs, "bt run, 252 sessions"), bt(two, runs, "bt run, 502 sessions")]
    rows.insert(1, peer(peers.VECTORBT, HUNDRED.export("2024"), runs))
    growth = rows[2][1].peak_mb / rows[0][1].peak_mb
    note = f"Peak memory of 502 sessions / 252 sessions: {growth:.2f}."
    return table("100 symbols x 252 sessions (9,774,000 bars), 1m and 5m, quality on, SMA 5/20 on 1m", rows) + f"\n{note}\n"


def swept(path: Path, trials: int, runs: int, label: str, values: Mapping[str, str] = AVERAGES) -> Row:
    """Measure a sweep of a strategy's settings, so many of its trials."""
    ranges = [f"--param=strategies.0.params.{name}={these}" for name, these in values.items()]
    out = PLACE / "sweeps" / path.stem
    command = [BT, "sweep", path, *ranges, "--trials", str(trials), "--objective", "total_return", "--out", out, "--force", "--quiet"]
    return label, measure(command, runs, env={"BT_DATA_HOME": str(PLACE / "home")}), None


def case_sweep(runs: int) -> str:
    """A thousand parameter sets of two averages: one symbol and ten, one year; more trials and more sessions for the memory."""
    one = config("sweep_one", TEN, first=TEN.first, last=TEN.last, symbols=1, streams=["1m"])
    first = [swept(one, 1000, runs, "bt sweep")]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "S000.parquet").symlink_to(TEN.export("2024") / "S000.parquet")
        first.append(peer(peers.VECTORBT_SWEEP, Path(folder), runs, "1000"))
    ten = config("sweep_ten", TEN, first=TEN.first, last=TEN.last, symbols=10, streams=["1m"])
    half = config("sweep_ten_half", TEN, first=TEN.first, last="2024-06-28", symbols=10, streams=["1m"])
    second = [
        swept(ten, 1000, runs, "bt sweep, 1,000 trials, 252 sessions"),
        swept(ten, 100, runs, "bt sweep, 100 trials, 252 sessions"),
        swept(half, 1000, runs, "bt sweep, 1,000 trials, 125 sessions"),
        peer(peers.VECTORBT_SWEEP, TEN.export("2024"), 1, "1000"),
    ]
    banded = config("sweep_banded", TEN, first=TEN.first, last=TEN.last, symbols=10, streams=["1m"], strategy=USE_BANDED)
    third = [swept(banded, 1000, 1, "bt sweep", BANDED)]
    return (
        table("1 symbol x 252 sessions x 1,000 trials (97,740,000 bar-trials), SMA fast 2:21:1, slow 22:120:2", first)
        + "\n"
        + table("10 symbols x 252 sessions x 1,000 trials (977,400,000 bar-trials), the same", second)
        + "\n"
        + table("10 symbols x 252 sessions x 1,000 trials, RSI, bands and a stop some ATR away", third)
    )


def case_sweep_small(runs: int) -> str:
    """The same for a few sessions, symbols and parameter sets: whether all of it works, and what a start costs."""
    path = config("sweep_small", SMALL, first=SMALL.first, last=SMALL.last, symbols=4, streams=["1m"])
    banded = config("sweep_small_banded", SMALL, first=SMALL.first, last=SMALL.last, symbols=4, streams=["1m"], strategy=USE_BANDED)
    rows = [
        swept(path, 50, runs, "bt sweep"),
        peer(peers.VECTORBT_SWEEP, SMALL.export("2024"), runs, "50"),
        swept(banded, 50, runs, "bt sweep, RSI, bands and a stop", BANDED),
    ]
    return table("4 symbols x 83 sessions x 50 trials (6,474,000 bar-trials), SMA fast 2, slow 22:120:2", rows)


def case_short(_: int) -> str:
    """Small cases once, and the gates."""
    one = config("short", SMALL, first="2024-01-01", last="2024-02-29", symbols=4, streams=["1m", "5m"], prefetch_days=5)
    two = config("short_twice", SMALL, first=SMALL.first, last=SMALL.last, symbols=4, streams=["1m", "5m"], prefetch_days=5)
    rows = [
        ("bt --help", measure([BT, "--help"], 1), None),
        bt(one, 1, "bt run, 4 symbols x 41 sessions"),
        bt(two, 1, "bt run, 4 symbols x 83 sessions"),
    ]
    gate_imports()
    gate_memory(rows[1][1], rows[2][1])
    return table("Short bench", rows)


def gate_imports() -> None:
    """The command line starts without any heavy library."""
    code = f"import sys, backtester.cli; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    if loaded:
        sys.exit(f"gate: backtester.cli imports {loaded} before a command asks for it")


def gate_memory(shorter: Measured, longer: Measured) -> None:
    """Twice the sessions take at most a fifth more memory."""
    growth = longer.peak_mb / shorter.peak_mb
    if growth > 1.2:
        sys.exit(f"gate: twice the sessions took {growth:.2f} times the memory ({shorter.peak_mb:.0f} MB, {longer.peak_mb:.0f} MB)")


def table(title: str, rows: Sequence[Row]) -> str:
    """One Markdown table; the first row is what the others are compared with."""
    first = rows[0][1].wall
    lines = [
        f"### {title}",
        "",
        "| program | wall s, median (range) | x | CPU s | peak MB | fills | runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for label, found, fills in rows:
        low, high = found.spread
        time = f"{found.wall:.2f} ({low:.2f} to {high:.2f})"
        cells = [
            label,
            time,
            f"{found.wall / first:.2f}",
            f"{found.cpu:.2f}",
            f"{found.peak_mb:.0f}",
            f"{fills:,}" if fills is not None else "",
        ]
        lines.append("| " + " | ".join([*cells, str(len(found.samples))]) + " |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """What the figures were measured on, in one line."""
    info = Path("/proc/cpuinfo")
    models = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    )
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


CASES: dict[str, Callable[[int], str]] = {
    "help": case_help,
    "small": case_small,
    "ten": case_ten,
    "hundred": case_hundred,
    "sweep": case_sweep,
    "sweep_small": case_sweep_small,
}


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each program; the median counts")
    parser.add_argument("--short", action="store_true", help="small cases once, with gates, without other programs")
    parser.add_argument("--case", choices=sorted(CASES), action="append", help="only this case; may be given again")
    words = parser.parse_args()
    PLACE.mkdir(exist_ok=True)
    print(f"Machine: {machine()}\n")
    chosen = [case_short] if words.short else [CASES[name] for name in words.case or CASES]
    for case in chosen:
        print(case(words.runs), flush=True)


main()
