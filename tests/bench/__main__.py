"""Measure `bt` beside other backtesters: `make bench`, or `python -m tests.bench [--runs N] [--short] [--case NAME ...] [--slow]`.

Prints the tables of docs/performance.md, each row as soon as it is measured; stderr says what is being measured. `--slow` also measures
rows that take very many minutes. `--short` measures small cases once and checks what must hold on any machine (gates); times are for
information only and never decide.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
Figures = tuple[Measured, int | None]
"""What was measured, and how many fills came of it."""
Row = tuple[str, Callable[[], Figures]]
"""A row of a table: its label, and what measures it."""
Lines = Generator[str, None, list[Measured]]
"""The lines of a table, each as soon as it is known; at the end what was measured."""


@dataclass(frozen=True)
class Asked:
    """How often each program runs, and whether rows that take very many minutes are wanted."""

    runs: int
    slow: bool = False


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
    """The run of one config."""
    return label, lambda: (measure(run_command(path), runs), fills_of(path))


def cold(path: Path) -> Row:
    """The run of one config with nothing compiled and nothing cached, once."""

    def measured() -> Figures:
        with tempfile.TemporaryDirectory() as empty:
            return Measured((once(run_command(path), {"NUMBA_CACHE_DIR": empty, "XDG_CACHE_HOME": empty}),)), None

    return "bt run, first after installing (compiles)", measured


def peer(other: Peer, files: Path, runs: int, *words: str) -> Row:
    """Another program over the same bars; of one slower than SLOW_SECONDS the first run counts, and three are enough."""

    def measured() -> Figures:
        command = [*other.command(PLACE, files), *words]
        first = once(command)
        if first.wall > SLOW_SECONDS:
            found = Measured((first, *(once(command) for _ in range(min(runs, 3) - 1))))
        else:
            found = measure(command, runs, warm=False)
        return found, int(found.printed["fills"])

    return other.label, measured


def swept(path: Path, trials: int, runs: int, label: str, values: Mapping[str, str] = AVERAGES) -> Row:
    """A sweep of a strategy's settings, so many of its trials."""
    ranges = [f"--param=strategies.0.params.{name}={these}" for name, these in values.items()]
    out = PLACE / "sweeps" / path.stem
    command = [BT, "sweep", path, *ranges, "--trials", str(trials), "--objective", "total_return", "--out", out, "--force", "--quiet"]
    return label, lambda: (measure(command, runs, env={"BT_DATA_HOME": str(PLACE / "home")}), None)


def case_help(asked: Asked) -> Iterator[str]:
    """Starting the program: `bt --help` beside an empty Python."""
    runs = max(asked.runs, 10)
    yield from table(
        "Start",
        ("bt --help", lambda: (measure([BT, "--help"], runs), None)),
        ("python -c pass", lambda: (measure([sys.executable, "-c", "pass"], runs), None)),
    )


def case_small(asked: Asked) -> Iterator[str]:
    """Two symbols, one session, 1m and 5m."""
    path = config("small", TEN, first="2024-07-02", last="2024-07-02", symbols=2, streams=["1m", "5m"])
    yield from table("2 symbols x 1 session (780 bars)", bt(path, asked.runs), cold(path))


def case_ten(asked: Asked) -> Iterator[str]:
    """Ten symbols, one year, beside every other program."""
    path = config("ten", TEN, first=TEN.first, last=TEN.last, symbols=10, streams=["1m"])
    files, runs = TEN.export("2024"), asked.runs
    others = (peer(other, files, runs) for other in peers.ALL)
    yield from table("10 symbols x 252 sessions (977,400 bars), SMA 5/20 on 1m", bt(path, runs), *others)
    second = Measured((once([*peers.VECTORBT.command(PLACE, files), "--twice"]),)).printed["second"]
    yield f"vectorbt calculating once more in the same process, bars loaded and code compiled: {second:.2f} s."
    yield f"Fills in exact arithmetic (whole cents): {fills_in_cents(files):,}."
    yield ""


def case_hundred(asked: Asked) -> Iterator[str]:
    """A hundred symbols, one year and two years, with 5m bars, quality on."""
    one = config("hundred", HUNDRED, first="2024-01-01", last="2024-12-31", symbols=100, streams=["1m", "5m"])
    two = config("hundred_two_years", HUNDRED, first=HUNDRED.first, last=HUNDRED.last, symbols=100, streams=["1m", "5m"])
    year, _, years = yield from table(
        "100 symbols x 252 sessions (9,774,000 bars), 1m and 5m, quality on, SMA 5/20 on 1m",
        bt(one, asked.runs, "bt run, 252 sessions"),
        peer(peers.VECTORBT, HUNDRED.export("2024"), asked.runs),
        bt(two, asked.runs, "bt run, 502 sessions"),
    )
    yield f"Peak memory of 502 sessions / 252 sessions: {years.peak_mb / year.peak_mb:.2f}."
    yield ""


def case_sweep_one(asked: Asked) -> Iterator[str]:
    """A thousand parameter sets of two averages over one symbol and one year."""
    path = config("sweep_one", TEN, first=TEN.first, last=TEN.last, symbols=1, streams=["1m"])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "S000.parquet").symlink_to(TEN.export("2024") / "S000.parquet")
        yield from table(
            "1 symbol x 252 sessions x 1,000 trials (97,740,000 bar-trials), SMA fast 2:21:1, slow 22:120:2",
            swept(path, 1000, asked.runs, "bt sweep"),
            peer(peers.VECTORBT_SWEEP, Path(folder), asked.runs, "1000"),
        )


def case_sweep_ten(asked: Asked) -> Iterator[str]:
    """The same over ten symbols; fewer trials and fewer sessions for the memory; vectorbt last, and only where it is asked for."""
    ten = config("sweep_ten", TEN, first=TEN.first, last=TEN.last, symbols=10, streams=["1m"])
    half = config("sweep_ten_half", TEN, first=TEN.first, last="2024-06-28", symbols=10, streams=["1m"])
    slow = [peer(peers.VECTORBT_SWEEP, TEN.export("2024"), 1, "1000")] if asked.slow else []
    yield from table(
        "10 symbols x 252 sessions x 1,000 trials (977,400,000 bar-trials), the same",
        swept(ten, 1000, asked.runs, "bt sweep, 1,000 trials, 252 sessions"),
        swept(ten, 100, asked.runs, "bt sweep, 100 trials, 252 sessions"),
        swept(half, 1000, asked.runs, "bt sweep, 1,000 trials, 125 sessions"),
        *slow,
    )


def case_sweep_banded(asked: Asked) -> Iterator[str]:
    """A thousand parameter sets of a strategy with three indicators and a stop, once."""
    path = config("sweep_banded", TEN, first=TEN.first, last=TEN.last, symbols=10, streams=["1m"], strategy=USE_BANDED)
    title = "10 symbols x 252 sessions x 1,000 trials, RSI, bands and a stop some ATR away"
    yield from table(title, swept(path, 1000, 1, "bt sweep", BANDED))


def case_sweep_small(asked: Asked) -> Iterator[str]:
    """The same for a few sessions, symbols and parameter sets: whether all of it works, and what a start costs."""
    path = config("sweep_small", SMALL, first=SMALL.first, last=SMALL.last, symbols=4, streams=["1m"])
    banded = config("sweep_small_banded", SMALL, first=SMALL.first, last=SMALL.last, symbols=4, streams=["1m"], strategy=USE_BANDED)
    yield from table(
        "4 symbols x 83 sessions x 50 trials (6,474,000 bar-trials), SMA fast 2, slow 22:120:2",
        swept(path, 50, asked.runs, "bt sweep"),
        peer(peers.VECTORBT_SWEEP, SMALL.export("2024"), asked.runs, "50"),
        swept(banded, 50, asked.runs, "bt sweep, RSI, bands and a stop", BANDED),
    )


def case_kernel(asked: Asked) -> Iterator[str]:
    """The compiled kernel alone."""
    from tests.bench.kernel import kernel_rows  # the others measure whole processes, and load nothing of the program

    yield from kernel_rows(TEN.export("2024"), 100, 20 * asked.runs)


def case_short(_: Asked) -> Iterator[str]:
    """Small cases once, and the gates."""
    one = config("short", SMALL, first="2024-01-01", last="2024-02-29", symbols=4, streams=["1m", "5m"], prefetch_days=5)
    two = config("short_twice", SMALL, first=SMALL.first, last=SMALL.last, symbols=4, streams=["1m", "5m"], prefetch_days=5)
    _, shorter, longer = yield from table(
        "Short bench",
        ("bt --help", lambda: (measure([BT, "--help"], 1), None)),
        bt(one, 1, "bt run, 4 symbols x 41 sessions"),
        bt(two, 1, "bt run, 4 symbols x 83 sessions"),
    )
    gate_imports()
    gate_memory(shorter, longer)


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


def table(title: str, *rows: Row) -> Lines:
    """One Markdown table, a row as soon as it is measured; the first is what the others are compared with."""
    yield f"### {title}"
    yield ""
    yield "| program | wall s, median (range) | x | CPU s | peak MB | fills | runs |"
    yield "|---|---|---|---|---|---|---|"
    done: list[Measured] = []
    for label, measured in rows:
        with told(label):
            found, fills = measured()
        done.append(found)
        low, high = found.spread
        cells = [
            label,
            f"{found.wall:.2f} ({low:.2f} to {high:.2f})",
            f"{found.wall / done[0].wall:.2f}",
            f"{found.cpu:.2f}",
            f"{found.peak_mb:.0f}",
            f"{fills:,}" if fills is not None else "",
            str(len(found.samples)),
        ]
        yield "| " + " | ".join(cells) + " |"
    yield ""
    return done


@contextmanager
def told(label: str) -> Iterator[None]:
    """Says on stderr what is being measured, and how long all of its runs took."""
    begun = time.perf_counter()
    print(f"measuring {label} ...", file=sys.stderr, flush=True)
    yield
    print(f"measured {label} in {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)


def machine() -> str:
    """What the figures were measured on, in one line."""
    info = Path("/proc/cpuinfo")
    models = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    )
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


CASES: dict[str, Callable[[Asked], Iterator[str]]] = {
    "help": case_help,
    "small": case_small,
    "ten": case_ten,
    "hundred": case_hundred,
    "sweep_one": case_sweep_one,
    "sweep_ten": case_sweep_ten,
    "sweep_banded": case_sweep_banded,
    "sweep_small": case_sweep_small,
    "kernel": case_kernel,
}
TOGETHER = {"sweep": ("sweep_one", "sweep_ten", "sweep_banded")}
"""Names for several cases."""


def main(words: Sequence[str] | None = None) -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each program; the median counts")
    parser.add_argument("--short", action="store_true", help="small cases once, with gates, without other programs")
    parser.add_argument("--case", choices=sorted([*CASES, *TOGETHER]), action="append", help="only this case; may be given again")
    parser.add_argument("--slow", action="store_true", help="also what takes very many minutes: vectorbt, 10 symbols x 1,000 trials")
    found = parser.parse_args(words)
    PLACE.mkdir(exist_ok=True)
    print(f"Machine: {machine()}\n", flush=True)
    names = [name for word in found.case or CASES for name in TOGETHER.get(word, (word,))]
    for case in [case_short] if found.short else [CASES[name] for name in names]:
        for line in case(Asked(found.runs, found.slow)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
