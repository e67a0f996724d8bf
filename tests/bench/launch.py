"""Run one command and write its figures: `python -S launch.py REPORT COMMAND...`.

A process's peak memory begins with that of the process that started it; this one is small, so that a figure is the command's own.
"""

import json
import os
import sys
import time

report, *command = sys.argv[1:]
started = time.perf_counter()
process = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(process, 0)
figures = {
    "wall": time.perf_counter() - started,
    "cpu": usage.ru_utime + usage.ru_stime,
    "peak_mb": usage.ru_maxrss / 1024,
    "code": os.waitstatus_to_exitcode(status),
}
with open(report, "w", encoding="utf-8") as file:
    json.dump(figures, file)
