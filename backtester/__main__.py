"""`bt`, and `python -m backtester` where the command is not on the path.

Place in the flow: the outermost door. Never does anything but start the command and end the process.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from backtester.cli import main


def _open_streams() -> None:
    """Give streams that the shell has closed (`>&-`) to nobody: the next file that is opened would take their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (open until the process ends)


def leave() -> NoReturn:
    """Run the command and end the process without taking the libraries apart, which costs a seventh of a second.

    By then every file is closed and synced and every thread has ended; only what was printed may still wait.
    """
    code: object = 0
    _open_streams()
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    os._exit(code if isinstance(code, int) else 1 if code else 0)


if __name__ == "__main__":
    leave()
