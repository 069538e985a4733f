"""Text that may come from a file, made fit for a terminal, a log and a page.

A file's names can hold what a terminal obeys (escape sequences, carriage returns), what turns the
order of a line around (Unicode's bidirectional controls, UAX 9; "Trojan Source", CVE-2021-42574),
and what a CI takes for a command.
"""

from __future__ import annotations

import re

# C0, DEL and C1; Arabic letter mark; marks, embeddings, overrides and isolates of direction; the
# byte order mark and interlinear annotations; halves of surrogate pairs, which no encoding has
# (bytes of a file name that are no UTF-8); tag characters, which nothing shows
_UNFIT = (
    "\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_UNFIT_CHARACTER = re.compile(f"[{_UNFIT}]")
_UNFIT_IN_JSON = re.compile(f"(?![\n])[{_UNFIT}]")
_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
# GitHub's runner takes "::" for a command behind any spaces, and "##[" anywhere in a line
# (actions/runner, ActionCommand.cs); Azure Pipelines takes "##vso[", TeamCity "##teamcity["
_COMMAND = re.compile(r"^(\s*)(?=::)")
_MARK = re.compile(r"##(?=\w*\[)")


def printable(text: str) -> str:
    """Returns a text on one line, without what a terminal or a CI would obey.

    Breaks become spaces, other such characters what Python's escapes for them are.
    """
    flat = escaped(_BREAKS.sub(" ", text))
    return _MARK.sub(r"#\\#", _COMMAND.sub(r"\1\\", flat))


def printable_lines(text: str) -> str:
    """Returns a text of several lines, each as `printable`; those that follow are indented.

    So a name that ends a line cannot begin another message.
    """
    first, *others = text.split("\n")
    rest = (f"  {line}" if line[:1].strip() else line for line in map(printable, others))
    return "\n".join([printable(first), *rest])


def escaped(text: str) -> str:
    """Returns a text with escapes for such characters, as Python and TOML's strings have them."""
    return _UNFIT_CHARACTER.sub(_escape, text)


def printable_json(text: str) -> str:
    """Returns JSON that means the same, without what a terminal or a CI would obey.

    Outside of strings JSON has none of these characters but the line feed.
    """
    return _MARK.sub(r"#\\u0023", _UNFIT_IN_JSON.sub(_json_escape, text))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _json_escape(found: re.Match[str]) -> str:
    # UTF-16, as JSON has it; half a pair stands as it is
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
