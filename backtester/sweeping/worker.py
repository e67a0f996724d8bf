"""A worker: a process that runs one task after the other until its line is closed.

Place in the flow: started by `workers`, which alone speaks with it, over stdin and stdout. What a strategy prints goes to stderr. It
ends with the process that started it, even where that one is killed.

    message      kind (1 byte), length (8 bytes), content
    T in         a task           P out   bars that trials have walked (text)
    R out        its tables       E out   an error, as JSON
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
import time
from typing import IO

from backtester.errors import BacktesterError, InternalError

HEAD = struct.Struct("<cQ")
TASK, PROGRESS, RESULT, ERROR = b"T", b"P", b"R", b"E"
_ENDS_WITH_ITS_PARENT = 1
"""PR_SET_PDEATHSIG of <sys/prctl.h>."""
PROGRESS_SECONDS = 0.2


def write(line: IO[bytes], kind: bytes, content: bytes) -> None:
    """Send one message; BrokenPipeError where nobody reads."""
    rest = memoryview(HEAD.pack(kind, len(content)) + content)
    while rest:
        rest = rest[line.write(rest) :]
    line.flush()


def read(line: IO[bytes]) -> tuple[bytes, bytes] | None:
    """One message, or None where the line was closed, or broke off. Never reads beyond it where the line is not buffered."""
    head = _exactly(line, HEAD.size)
    if head is None:
        return None
    kind, length = HEAD.unpack(head)
    content = _exactly(line, length)
    return None if content is None else (kind, content)


def _exactly(line: IO[bytes], length: int) -> bytes | None:
    """So many bytes, or None where there are fewer."""
    content = bytearray()
    while len(content) < length:
        piece = line.read(length - len(content))
        if not piece:
            return None
        content += piece
    return bytes(content)


def serve(parent: int) -> None:
    """Answer tasks until the line is closed."""
    ctypes.CDLL(None).prctl(_ENDS_WITH_ITS_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started us decides
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with os.fdopen(os.dup(0), "rb") as line, out:
        while (message := read(line)) is not None:
            _answer(message[1], out)


def _answer(task: bytes, out: IO[bytes]) -> None:
    from backtester.sweeping.task import said, worked  # heavy: not before the process is bound to its parent

    walked, last = 0, time.monotonic()

    def progress(bars: int) -> None:
        nonlocal walked, last
        walked += bars
        if time.monotonic() - last >= PROGRESS_SECONDS:
            write(out, PROGRESS, str(walked).encode())
            walked, last = 0, time.monotonic()

    try:
        tables = worked(task, progress)
    except BacktesterError as error:
        write(out, ERROR, said(error))
        return
    except Exception as error:
        write(out, ERROR, said(InternalError("a worker failed", value=f"{type(error).__name__}: {error}")))
        return
    if walked:
        write(out, PROGRESS, str(walked).encode())
    write(out, RESULT, tables)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
