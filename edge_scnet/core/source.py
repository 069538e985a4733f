"""The name of a sample set: a path or a function of the user's, and how it is to be read.

It is one text, on the command line, in project files and in manifests:
`faces.csv?values=x,y&images=../pictures`, `package.module:samples?split=val`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote

from edge_scnet.core.foreign import exists
from edge_scnet.core.user_code import OBJECT
from edge_scnet.errors import DataError

# what each setting is for, in the order that help and messages name them
SETTINGS = {
    "path": "the column of paths",
    "label": "the column of classes",
    "labels": "columns of 0 and 1, one for each label",
    "values": "columns of numbers",
    "keypoints": "columns of x and y, point after point",
    "identity": "the column of who or what a sample shows",
    "mask": "the column of paths of masks",
    "images": "the folder that the paths of a list are in",
    "masks": "the folder of the images' masks",
    "as": "what is read of a COCO file or YOLO's labels: boxes, mask or keypoints",
    "classes": "how categories are the network's classes: names, order or ids",
    "split": "the part of a data.yaml: train, val or test",
    "lines": "what YOLO's lines hold behind the class: box, outline, or a box and points, as 17x3",
    "foreground": "the value of a mask's foreground, where it holds 0 and another",
    "read": "package.module:function that reads a file into what the network takes",
    "duplicates": "drop: leave copies out; keep",
}
# suffixes of lists
LISTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".txt")
# of a data.yaml
PARTS = ("train", "val", "test")
# settings that name one or more columns of a list
COLUMNS = ("path", "label", "labels", "values", "keypoints", "identity", "mask")
_ALLOWED = {
    "as": ("boxes", "mask", "keypoints"),
    "classes": ("names", "order", "ids"),
    "duplicates": ("drop", "keep"),
    "split": PARTS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where samples are, and how they are read."""

    # a path, or package.module:function
    where: str
    # by name, of `SETTINGS`; of a function also its own arguments
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_code(self) -> bool:
        """Whether it is a function of the user's."""
        return _is_code(self.where)

    @property
    def path(self) -> Path:
        """The file or folder."""
        return Path(self.where)

    @property
    def text(self) -> str:
        """The source as one text, which `parse_source` reads."""
        if not self.settings:
            return self.where
        parts = [f"{name}={quote(value, safe=_PLAIN)}" for name, value in self.settings.items()]
        return f"{self.where}?{'&'.join(parts)}"

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns that a setting names, with "," or ";" between them."""
        return tuple(part for part in re.split("[,;]", self.settings.get(name, "")) if part)

    def below(self, folder: Path) -> Source:
        """The source with its path taken from a folder; a function stays as it is."""
        return self if self.is_code else replace(self, where=str(folder / self.where))

    def resolved(self) -> Source:
        """The source with an absolute path; a function stays as it is."""
        return self if self.is_code else replace(self, where=str(self.path.resolve()))

    def with_setting(self, name: str, value: str) -> Source:
        """The source with one more setting."""
        return replace(self, settings={**self.settings, name: value})


_PLAIN = "/:,.~ _-"


def parse_source(text: str | Path) -> Source:
    """Reads the name of a sample set; a path that exists is taken as it is.

    Raises:
        DataError: a setting that there is none of, without a value, twice, or with a value that is
            not allowed.
    """
    text = os.fspath(text)
    if "?" not in text or exists(text):
        return Source(where=text)
    where, _, query = text.partition("?")
    settings: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if not name.isidentifier() or not equals or not value:
            raise DataError(
                f"{text}: {part!r} is no setting; wanted is NAME=VALUE, & between them",
                hint=f"quote it for the shell, as in '{where}?label=class&path=file'",
            )
        if name in settings:
            raise DataError(f"{text}: {name} is given twice", hint="leave one out")
        settings[name] = unquote(value)
    if not _is_code(where):
        _check_settings(text, settings)
    return Source(where=where, settings=settings)


def _check_settings(text: str, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        if name not in SETTINGS:
            close = difflib.get_close_matches(name, SETTINGS, n=1)
            raise DataError(
                f"{text}: unknown setting {name}{f'; did you mean {close[0]}?' if close else ''}",
                hint=f"the settings are {', '.join(SETTINGS)}",
            )
        if name in _ALLOWED and value not in _ALLOWED[name]:
            raise DataError(
                f"{text}: {name} is {value!r}; allowed: {', '.join(_ALLOWED[name])}",
                hint=f"{name}: {SETTINGS[name]}",
            )


def _is_code(where: str) -> bool:
    return OBJECT.fullmatch(where) is not None and not exists(where)
