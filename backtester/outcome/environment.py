"""Where a run ran: program, machine, libraries; what explains a difference and must never make one.

Place in the flow: manifest.py records it. Never reads the environment but by an allow-list, so that no secret reaches a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import locale
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from backtester.query_files import names, query

VARIABLES = (
    "LANG",
    "LC_ALL",
    "MKL_NUM_THREADS",
    "NUMBA_CPU_NAME",
    "NUMBA_NUM_THREADS",
    "NUMBA_THREADING_LAYER",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "POLARS_ENGINE_AFFINITY",
    "POLARS_MAX_THREADS",
    "PYTHONHASHSEED",
    "TZ",
)
"""The only environment variables that are ever recorded."""

LIBRARIES = (
    "click",
    "duckdb",
    "exchange_calendars",
    "numba",
    "numpy",
    "pandas",
    "pandas_market_calendars",
    "polars",
    "pyarrow",
    "pydantic",
    "rich",
    "tzdata",
)
_SIMD = {"sse4_2", "avx", "avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl", "asimd", "sve"}


def program() -> dict[str, Any]:
    """The backtester's version, and commit, dirty flag and digest of the difference where it runs from a checkout."""
    return {"name": "backtester", "version": version_of("backtester"), **_checkout(Path(__file__).resolve().parents[2])}


def maker() -> dict[str, Any]:
    """What makes a result, as far as all of it must be made by the same: the program's code and queries, and the libraries."""
    queries = {name: hashlib.sha256(query(name).encode()).hexdigest() for name in names()}
    return {"program": {"version": version_of("backtester"), "sources": sources(), "queries": queries}, "libraries": libraries()}


def sources() -> str:
    """Digest of the program's own code: every Python file of the package by its path and content."""
    package = Path(__file__).resolve().parents[1]
    hasher = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        hasher.update(f"{path.relative_to(package).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return hasher.hexdigest()


def environment() -> dict[str, Any]:
    """Python, system, processor, time zone data, locale, and the allowed variables that are set."""
    model, simd = _processor()
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "processor": model,
        "simd": simd,
        "cpus": os.cpu_count(),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "tzdata": _tzdata(),
        "locale": locale.setlocale(locale.LC_CTYPE),
        "hash_randomization": bool(sys.flags.hash_randomization),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def libraries() -> dict[str, str | None]:
    """Exact versions of the libraries that results may depend on; null where one is not installed."""
    return {name: version_of(name) for name in LIBRARIES}


def version_of(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _checkout(root: Path) -> dict[str, Any]:
    """Commit, dirty flag and digest of the uncommitted difference; nulls outside a checkout or without git."""
    git = shutil.which("git")
    nothing = {"commit": None, "dirty": None, "difference": None}
    if git is None or not (root / ".git").exists():
        return nothing
    commit = _git(git, root, "rev-parse", "HEAD")
    changed = _git(git, root, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changed is None:
        return nothing
    difference = _git(git, root, "diff", "HEAD") if changed else None
    digest = None if difference is None else hashlib.sha256(difference).hexdigest()
    return {"commit": commit.decode().strip(), "dirty": bool(changed), "difference": digest}


def _git(git: str, root: Path, *words: str) -> bytes | None:
    """The output of a git command in `root`, or None where it fails."""
    try:
        done = subprocess.run([git, "-C", str(root), *words], capture_output=True, timeout=10, check=False)  # noqa: S603 fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def _processor() -> tuple[str | None, list[str]]:
    """The processor's name and those of its vector extensions that change how floats are computed."""
    facts: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return facts.get("model name") or platform.processor() or None, sorted(_SIMD.intersection(flags))


def _tzdata() -> str | None:
    """The version of the system's time zone data, else of the tzdata distribution."""
    with contextlib.suppress(OSError), Path("/usr/share/zoneinfo/tzdata.zi").open(errors="replace") as file:
        first = file.readline()
        if first.startswith("# version "):
            return first.removeprefix("# version ").strip()
    return version_of("tzdata")
