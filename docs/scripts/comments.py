"""For the reference of the Python API: what the source says, as Markdown shows it.

The comment above a record's field is its description; `<name>` in a docstring is no tag of HTML.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """Gives fields without a docstring the comment that stands above them."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Reads the comment in the source."""
        if attr.docstring is not None or attr.lineno is None or not isinstance(attr.filepath, Path):
            return
        lines = attr.filepath.read_text(encoding="utf-8").splitlines()
        words: list[str] = []
        for line in reversed(lines[: attr.lineno - 1]):
            if not line.strip().startswith("# "):
                break
            words.insert(0, line.strip().removeprefix("# "))
        if words:
            text = " ".join(words)
            attr.docstring = griffe.Docstring(text[0].upper() + text[1:], parent=attr)

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Escapes what stands in angle brackets outside of code."""
        if obj.docstring is not None:
            parts = obj.docstring.value.split("`")
            parts[::2] = (re.sub(r"<(?=\w)", "&lt;", part) for part in parts[::2])
            obj.docstring.value = "`".join(parts)
