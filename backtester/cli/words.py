"""Words that several commands share: a config with changes to it, and threads.

Place in the flow: decorators of the commands that take a config. Never reads more of a config than its threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from backtester.config_document import assign, read

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_THREADS = 1024


def config_words(command: Command) -> Command:
    """The words of every command that takes a config."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, errors too.")(command)
    command = click.option(
        "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change a value, as strategies.0.params.fast=8."
    )(command)
    command = click.option("--lake", type=click.Path(path_type=Path), metavar="DIR", help="Read this lake in place of the config's.")(
        command
    )
    return click.argument("config", type=click.Path(path_type=Path))(command)


def cache_word(command: Command) -> Command:
    """The word of every command that reads bars for runs."""
    return click.option("--cache", "cached", is_flag=True, help="Keep sessions, and take those kept; see bt cache.")(command)


def with_resources(overrides: tuple[str, ...], threads: int | None, cached: bool) -> tuple[str, ...]:
    """The overrides with what other words say of resources."""
    more = [] if threads is None else [f"resources.threads={threads}"]
    return (*overrides, *more, *(["resources.cache=true"] if cached else []))


def limit_threads(threads: int | None, path: Path, overrides: tuple[str, ...]) -> None:
    """Tell the libraries how many threads to make; they only listen before they are imported, so the config is looked at first."""
    if threads is None:
        resources = assign(read(path), overrides).get("resources")
        threads = resources.get("threads") if isinstance(resources, Mapping) else None
    if type(threads) is int and 1 <= threads <= MAX_THREADS:
        os.environ["POLARS_MAX_THREADS"] = str(threads)
