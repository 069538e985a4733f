"""Names that files may hold, and that no terminal, CI's log or page may obey."""

from __future__ import annotations

import re

# 20 kinds; a file's name may hold those without a slash and a NUL
NAMES = (
    "\n::error file=y::x\x1b]0;t\x07",
    "::warning::spaces do not help",
    "  ::add-mask::x",
    "a\r::notice::b",
    "##[error]anywhere",
    "x##vso[task.setvariable variable=a]b",
    "##teamcity[buildProblem description='x']",
    "[bold]bold[/bold]",
    "[/]",
    ":bomb:",
    "\x1b[2J\x1b[31mred",
    "c1 \x9b31m \x85next \x9d0;t\x9c",
    "\x08\x08\x08back",
    "\x7fdel",
    "rtl \u202eexe.gpj\u202c",
    "isolate \u2066x\u2069 \u200f\u061c",
    "line\u2028two\u2029three",
    "\ufeffbom \ufff9x\ufffa\ufffb",
    "tag \U000e0041\U000e007f",
    "tab\tvertical\x0bform\x0cfile\x1c",
)
ALL = "|".join(NAMES)
_RAW = re.compile(
    "[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_COMMAND = re.compile(r"(?m)^\s*::|##\w*\[")


def check_fit(text: str) -> None:
    """Nothing of a text is obeyed by who shows it."""
    assert _RAW.search(text) is None, repr(_RAW.findall(text))
    commands = [line for line in text.splitlines() if _COMMAND.search(line)]
    assert commands == []
