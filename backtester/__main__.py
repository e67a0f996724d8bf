"""`bt`, and `python -m backtester` where the command is not on the path.

Place in the flow: the outermost door. Never does anything but start the command and end the process.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from backtester.cli import main


def leave() -> NoReturn:
    """Run the command and end the process without taking the libraries apart, which costs a seventh of a second.

    By then every file is closed and synced and every thread has ended; only what was printed may still wait.
    """
    code: object = 0
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
