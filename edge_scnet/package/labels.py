"""Class names as the label files of servers hold them, and as they are: in `labels.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from edge_scnet.core.printable import escaped, printable_json
from edge_scnet.report.markdown import in_code

# The names as they are, whatever a server's own label file can hold.
LABELS_JSON, LABELS = "labels.json", "labels.txt"


def json_names(classes: Sequence[str]) -> str:
    """Every name as it is, as an array of JSON; nothing in it that a terminal would obey."""
    return printable_json(json.dumps(list(classes), ensure_ascii=False, indent=0)) + "\n"


def by_line(classes: Sequence[str]) -> str:
    """A name a line, for servers that keep empty lines, as Triton does.

    Line breaks and what a terminal would obey are written as escapes: "\\n".
    """
    return "".join(f"{escaped(name)}\n" for name in classes)


def for_nvinfer(classes: Sequence[str], *, one_line: bool) -> str:
    """The label file of Gst-nvinfer, which has no escapes of its own.

    A line is split at semicolons, and an empty line is skipped (`parseLabelsFile` of
    nvdsinfer_context_impl.cpp, DeepStream 9.2): a semicolon is written as "\\x3b", and a name
    without a character that is seen as "(class 3)".

    Args:
        one_line: as a classifier's one group of classes, with semicolons between them; else a line
            for each class, as a detector's.
    """
    names = [_for_nvinfer(name, index) for index, name in enumerate(classes)]
    return ";".join(names) + "\n" if one_line else "".join(f"{name}\n" for name in names)


def _for_nvinfer(name: str, index: int) -> str:
    return escaped(name).replace(";", "\\x3b") if name.strip() else f"(class {index})"


def rewritten(classes: Sequence[str], text: str, *, separator: str = "\n") -> tuple[str, ...]:
    """What a label file says otherwise than `labels.json`, as "3 is written `a\\nb`"."""
    written = text.removesuffix("\n").split(separator)
    return tuple(
        f"{index} is written `{in_code(there)}`"
        for index, (name, there) in enumerate(zip(classes, written, strict=True))
        if name != there
    )


def rewritten_words(classes: Sequence[str], text: str, *, separator: str = "\n") -> tuple[str, ...]:
    """A sentence about the names that a label file cannot hold; nothing where it holds all."""
    changed = rewritten(classes, text, separator=separator)
    if not changed:
        return ()
    shown = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")
    return (
        f"`{LABELS}` cannot hold {len(changed)} of {len(classes)} names as they are: class {shown};"
        f" `{LABELS_JSON}` has them.",
    )
