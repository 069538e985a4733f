"""Protobuf's text format, as Triton and Gst-nvinferserver read their settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A backslash, quotes and what is not printable; the rest of Unicode stands as UTF-8.
_UNFIT = re.compile("[\"'\\\\\0-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Word:
    """A value of an enumeration, which stands without quotes."""

    text: str


def text_format(fields: Mapping[str, object], *, indent: int = 0) -> str:
    """Returns fields as protobuf's text format.

    A mapping is a message; a sequence of mappings a message each; of other values, a list.
    """
    return "".join(_field(name, value, "  " * indent, indent) for name, value in fields.items())


def _field(name: str, value: object, margin: str, indent: int) -> str:
    if isinstance(value, Mapping):
        inner = text_format(value, indent=indent + 1)
        return f"{margin}{name} {{\n{inner}{margin}}}\n" if inner else f"{margin}{name} {{ }}\n"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and isinstance(value[0], Mapping):
            return "".join(_field(name, item, margin, indent) for item in value)
        return f"{margin}{name}: [{', '.join(map(_scalar, value))}]\n"
    return f"{margin}{name}: {_scalar(value)}\n"


def _scalar(value: object) -> str:
    if isinstance(value, Word):
        return value.text
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """A string: what cannot stand between quotes is written as C's escapes."""
    return f'"{_UNFIT.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}" if found[0] in "\"'\\" else f"\\{ord(found[0]):03o}"
