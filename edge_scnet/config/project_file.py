"""The text of a project file: a comment and a line for every key, read back before it counts."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_scnet.core.foreign import control_character
from edge_scnet.core.printable import escaped
from edge_scnet.errors import TargetError

_WIDTH = 100
# of a file name's bytes that are not UTF-8
_HALF_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a project file, its value, and what is said about them."""

    # "" : the file's own keys; else the table's name
    table: str
    key: str
    # as TOML has it
    value: Any
    meaning: str
    # where the value comes from
    origin: str
    # False: a commented-out line, whose value is an example or what holds without it
    is_set: bool = True


def text_of(heading: Sequence[str], entries: Iterable[Entry]) -> str:
    """Returns a project file; the entries of a table stand together.

    Raises:
        TargetError: a value that TOML cannot hold.
    """
    lines = [f"# {line}" for line in heading]
    table = ""
    for entry in entries:
        if entry.table != table:
            table = entry.table
            lines += ["", f"[{table}]"]
        lines += ["", *_commented(f"{entry.meaning} ({entry.origin})")]
        text = f"{entry.key} = {toml(entry.value, entry.key)}"
        lines += [text] if entry.is_set else [f"# {line}" for line in text.split("\n")]
    return "\n".join(lines) + "\n"


def _commented(text: str) -> list[str]:
    flat = escaped(" ".join(text.split()))
    return [f"# {line}" for line in textwrap.wrap(flat, _WIDTH - 2, break_long_words=False)]


def _not_allowed(text: str) -> str | None:
    """What a text holds that is refused when a project file is read; None: nothing."""
    if strange := control_character(text):
        return f"the control character {strange}"
    return "bytes that are not UTF-8" if _HALF_PAIR.search(text) else None


def toml(value: Any, key: str) -> str:
    """Returns a value as TOML writes it; long lists get a line for each element.

    Raises:
        TargetError: TOML has no such value.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if strange := _not_allowed(value):
            raise TargetError(
                f"{key}: {value!r} holds {strange}, which no project file may hold",
                hint="rename the file or folder, or name another",
            )
        return escaped(json.dumps(value, ensure_ascii=False))
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        pairs = (f"{toml(name, key)} = {toml(item, key)}" for name, item in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    if isinstance(value, list | tuple):
        items = [toml(item, key) for item in value]
        line = f"[{', '.join(items)}]"
        if len(line) + len(key) + 3 <= _WIDTH:
            return line
        return "\n".join(["[", *(f"    {item}," for item in items), "]"])
    raise TargetError(
        f"{key}: {json.dumps(value)} cannot be written to a project file: TOML has no such value",
        hint="leave it out of the JSON, or give it behind a '?': package.module:factory?width=0.5",
    )
