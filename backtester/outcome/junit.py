"""A report in JUnit's XML, which build servers read: one case a line, failed ones with their text.

Place in the flow: `bt diff --junit` and `bt regress --junit` write it. Never decides what is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from backtester.atomic import commit, write_error

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One case; failure: what was found to differ; error: why it could not be looked at. "" where there is none."""

    name: str
    seconds: float = 0.0
    failure: str = ""
    error: str = ""


def write(path: Path, suite: str, cases: Sequence[Case]) -> None:
    """Write the report, whole or not at all, its folder made where there is none; OutputError where the place is not writable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    content = report(suite, cases).encode()

    def fill(temporary: Path) -> None:
        temporary.write_bytes(content)

    commit(path, fill)


def report(suite: str, cases: Sequence[Case]) -> str:
    """The report as text.

    >>> print(report("s", [Case("one"), Case("two", 0.5, failure="a < b")]))  # doctest: +ELLIPSIS
    <?xml version="1.0" encoding="utf-8"?>
    <testsuites><testsuite name="s" tests="2" failures="1" errors="0" time="0.500"><testcase ... message="a &lt; b">a &lt; b</failure>...
    """
    counts = {"tests": len(cases), "failures": sum(bool(case.failure) for case in cases), "errors": sum(bool(case.error) for case in cases)}
    facts = {name: str(count) for name, count in counts.items()} | {"time": f"{sum(case.seconds for case in cases):.3f}"}
    root = ElementTree.Element("testsuites")
    holder = ElementTree.SubElement(root, "testsuite", {"name": _clean(suite), **facts})
    for case in cases:
        place = ElementTree.SubElement(holder, "testcase", {"classname": _clean(suite), "name": _clean(case.name),
                                                            "time": f"{case.seconds:.3f}"})  # fmt: skip
        for kind, text in (("failure", case.failure), ("error", case.error)):
            if text:
                said = _clean(text)
                ElementTree.SubElement(place, kind, {"message": said.splitlines()[0]}).text = said
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    """The text without characters that XML cannot hold."""
    return _NOT_XML.sub("?", text)
