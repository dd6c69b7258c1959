"""Plugin: prints, at the end of a run, how often each fault was tried and how often it was survived.

A test's ids stand in its name (``test_d8_…``), else in its mark (``fault("S3")``), else at the head of its module's
docstring ("O1, O2 and D7 to D10: …").
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

ID = r"[ABDKORS]\d+"
HEAD = re.compile(rf"{ID}(?:(?:, | and | to ){ID})*")
SPAN = re.compile(rf"({ID}) to ({ID})|({ID})")
NAMED = re.compile(r"^test_([abdkors]\d+)_")
PROPERTY = "faults"


def ids_in(text: str) -> list[str]:
    """Return the ids at the head of a text; those between the ends of "D7 to D10", too."""
    head = HEAD.match(text)
    found = []
    for first, last, single in SPAN.findall(head.group()) if head else []:
        if single:
            found.append(single)
        else:
            found += [f"{first[0]}{number}" for number in range(int(first[1:]), int(last[1:]) + 1)]
    return found


def faults_of(item: pytest.Item) -> list[str]:
    """Return the ids of the faults that a test plants."""
    marks = list(item.iter_markers("fault"))
    if not marks:
        return []
    named = NAMED.match(item.name)
    if named:
        return [named.group(1).upper()]
    marked = [identity for mark in marks for identity in mark.args]
    return marked or ids_in(getattr(getattr(item, "module", None), "__doc__", None) or "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each report say which faults its test planted, on whichever process it ran."""
    for item in items:
        item.user_properties.extend((PROPERTY, identity) for identity in faults_of(item))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    runs, passes = Counter[str](), Counter[str]()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            faults = [value for name, value in getattr(report, "user_properties", ()) if name == PROPERTY]
            runs.update(faults)
            passes.update(faults if outcome == "passed" else ())
    if runs:
        terminalreporter.section("faults: id, runs, passes")
        cells = [f"{identity:<4}{runs[identity]:>4}{passes[identity]:>5}" for identity in sorted(runs, key=_order)]
        for start in range(0, len(cells), 6):
            terminalreporter.write_line("   ".join(cells[start : start + 6]))


def _order(identity: str) -> tuple[str, int]:
    return identity[0], int(identity[1:])
