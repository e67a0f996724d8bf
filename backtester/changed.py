"""Changed: what is not as it was when a run was made, one sentence each.

Place in the flow: before a session of a finished run is computed again. The manifest says what the run was made of; the config's
setup says what it would be made of now. Nothing here is an error: a changed file may hold the same bars. Never reads a bar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backtester.market import sessions
from backtester.outcome.environment import environment, libraries, program
from backtester.outcome.run import Run
from backtester.planning import Setup, files_of
from backtester.reach import day_of

_SHORT = 12


def changes_of(run: Run, made: Setup) -> Iterator[str]:
    """Sentences on config, sources, files, calendar and versions; `made` has the parts that are read again."""
    manifest = run.manifest
    yield from _config(run, made)
    yield from _sources(manifest["strategies"], made)
    yield from _files(manifest["data"]["files"], made)
    yield from _actions(manifest["data"].get("actions"), made)
    if manifest["calendar"].get("digest") != sessions.rows_digest(made.sessions):
        yield f"the calendar {made.calendar} gives other sessions than in the run"
    yield from _versions(manifest)


def _config(run: Run, made: Setup) -> Iterator[str]:
    if run.config != run.manifest["config"]["resolved"]:
        yield "config.json is not what the manifest holds: it was changed after the run"
    elif made.config.digest != run.manifest["config"]["digest"]:
        yield "this version of the program reads config.json otherwise than the one that made the run"


def _sources(strategies: list[dict[str, Any]], made: Setup) -> Iterator[str]:
    """Strategies whose source is another."""
    then = {known["name"]: [source["sha256"] for source in known.get("sources", ())] for known in strategies}
    for trader in made.traders:
        source, name = trader.described.source, trader.entry.name
        if then.get(name) != [source.digest]:
            before = ", ".join(digest[:_SHORT] for digest in then.get(name) or ["none"])
            yield f"the source of strategy {name} ({source.file}) has changed: {before} then, {source.digest[:_SHORT]} now"


def _files(files: list[dict[str, Any]], made: Setup) -> Iterator[str]:
    """Files of the session and its history that have another content, are new, or are gone."""
    now = {row["path"]: row["sha256"] for row in files_of(made).iter_rows(named=True)}
    first, last = (str(day_of(label)) for label in (made.parts[0].sessions.label[0], made.parts[-1].sessions.label[-1]))
    kinds = {path.rpartition("/")[0] for path in now}
    then = {row["path"]: row["sha256"] for row in files}
    for path, digest in now.items():
        if path not in then:
            yield f"the lake's {path} is new: the run did not read it"
        elif then[path] != digest:
            yield f"the lake's {path} has changed: {then[path][:_SHORT]} then, {digest[:_SHORT]} now"
    for row in files:
        if row["path"] not in now and row["path"].rpartition("/")[0] in kinds and first <= str(row["session"]) <= last:
            yield f"the lake's {row['path']} is gone: the run read it"


def _actions(then: Mapping[str, Any] | None, made: Setup) -> Iterator[str]:
    """The lake's splits and dividends, where they are others and may act."""
    now = made.lake.actions
    if made.config.execution.actions != "ignore" and (then or {}).get("sha256") != (now or {}).get("sha256"):
        yield "the lake's splits and dividends have changed"


def _versions(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The program, Python and the libraries, where their versions are others."""
    then, now = manifest.get("libraries", {}), libraries()
    for name in now:
        if then.get(name) != now[name]:
            yield f"{name} was {then.get(name) or 'not there'}, is {now[name] or 'not there'}"
    if (before := manifest.get("environment", {}).get("python")) != (python := environment()["python"]):
        yield f"Python was {before}, is {python}"
    for part in ("version", "commit"):
        was, own = (str(known.get(part) or "")[:_SHORT] for known in (manifest.get("program", {}), program()))
        if was and own and was != own:
            yield f"the program's {part} was {was}, is {own}"
