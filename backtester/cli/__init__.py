"""The command `bt`: finds the command that was asked for, and turns every error into one short message and an exit code.

Place in the flow: the top floor. A command's module is imported when the command is asked for, and heavy libraries inside its
functions, so that help is quick. No arithmetic and no rule of the business stands on this floor.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click
from click.exceptions import Abort, Exit, NoSuchCommand

from backtester import __version__
from backtester.cli.output import report, usage_as_json
from backtester.cli.stop import Terminated, stoppable

# command -> module of this package, in the order of the help
_HOMES = {
    "run": "run",
    "sweep": "sweep",
    "walkforward": "sweep",
    "audit": "audit",
    "plan": "run",
    "validate": "run",
    "schema": "run",
    "show": "run",
    "diff": "diff",
    "regress": "regress",
    "why": "why",
    "runs": "runs",
    "sql": "sql",
    "query": "sql",
    "data": "data",
    "cache": "cache",
    "calendar": "calendar",
    "strategies": "listings",
    "indicators": "listings",
}


class Commands(click.Group):
    """All commands, each loaded from its module by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help."""
        return list(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, or None where there is none of that name."""
        if cmd_name not in _HOMES:
            return None
        command = getattr(import_module(f"backtester.cli.{_HOMES[cmd_name]}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words name; an unknown one is answered with the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=_HOMES, ctx=ctx) from None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`--debug` may stand anywhere before a `--`; whether `--json` does decides how errors are written."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta["debug"] = "--debug" in args[:end]
        ctx.meta["json"] = "--json" in args[:end]
        try:
            return super().parse_args(ctx, [word for word in args[:end] if word != "--debug"] + args[end:])
        except click.UsageError as error:
            if ctx.meta["json"]:
                usage_as_json(error)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors, Ctrl-C and SIGTERM end in a message and their exit code."""
        try:
            with stoppable():
                return super().invoke(ctx)
        except (Exit, SystemExit, BrokenPipeError):
            raise
        except click.UsageError as error:
            if ctx.meta["json"]:
                usage_as_json(error)
            raise
        except (Abort, KeyboardInterrupt) as stop:
            click.echo("; ".join(["stopped", *getattr(stop, "__notes__", ())]), err=True)
            ctx.exit(143 if isinstance(stop, Terminated) else 130)
        except BaseException as error:  # also the panics of compiled libraries, which are no Exceptions
            ctx.exit(report(error, as_json=ctx.meta["json"], debug=ctx.meta["debug"]))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nExample:\n  bt run configs/quickstart.json",
)
@click.version_option(__version__, "-V", "--version", prog_name="bt", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error; may stand anywhere.")
def main() -> None:
    """Backtest column strategies over a Parquet lake; the same config and data give the same result to the last bit."""
