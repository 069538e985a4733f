"""YAML, written: mappings, lists and scalars, every text between double quotes.

PyYAML is an optional package, and reads YAML 1.1, in which `no`, `1_000` and `12:30` are no texts:
between quotes they are, in either version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

# What stands in a double-quoted scalar as an escape: a backslash, the quote, what is no printable
# character of YAML (1.2, production 1), line breaks, what turns a line around, and the second "#"
# of what a CI takes for a command (`core.printable`).
_UNFIT = re.compile(
    '["\\\\\0-\x1f\x7f-\xa0\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff'
    "\ufff9-\uffff\U000e0000-\U000e007f]|(?<=#)#(?=\\w*\\[)"
)
_NAMED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def quoted(text: str) -> str:
    """A text as a double-quoted scalar on one line."""
    return f'"{_UNFIT.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in _NAMED:
        return _NAMED[character]
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        return "\\uFFFD"  # half of a pair, which no text has
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def lines(value: object, *, indent: int = 0) -> Iterator[str]:
    """Yields the lines of a mapping or a list in block style; what is empty in flow style."""
    margin = "  " * indent
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if _is_block(inner):
                yield f"{margin}{key}:"
                yield from lines(inner, indent=indent + isinstance(inner, Mapping))
            else:
                yield f"{margin}{key}: {_scalar(inner)}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            if _is_block(item):
                first, *others = lines(item, indent=indent + 1)
                yield f"{margin}- {first.strip()}"
                yield from others
            else:
                yield f"{margin}- {_scalar(item)}"


def _is_block(value: object) -> bool:
    return isinstance(value, Mapping | Sequence) and not isinstance(value, str) and bool(value)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, Sequence):
        return "[]"
    return repr(value)
