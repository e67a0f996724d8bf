"""Behind: work that follows one step behind on another thread, such as writing a part while the next is traded.

Place in the flow: the lowest floor; around the pipeline's loop, and beside what a cache reads. At most one piece of work waits or
runs at a time, in the order given, so that memory stays flat and results never depend on it. Never swallows an error: it is raised
at the next piece, or at the end, and before an error of whoever gave the work, who was further on.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Behind:
    """Use it in a `with` block, which waits for the last piece."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="behind")
        self._last: Future[object] | None = None

    def do(self, work: Callable[[], object]) -> None:
        """Start `work` when what was given before is done; raises what that raised."""
        self.wait()
        self._last = self._pool.submit(work)

    def wait(self) -> None:
        """Come back when what was given is done; raises what that raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> Behind:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True)
        if error is None or isinstance(error, Exception):  # a user who stops the run waits for no error
            self.wait()
