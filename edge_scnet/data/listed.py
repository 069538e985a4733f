"""Sets of the images that a list names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_scnet.core.json_records import show
from edge_scnet.data.box_checks import check_boxes
from edge_scnet.data.image_list import image_set, is_there, refuse_missing
from edge_scnet.data.listing import SUFFIXES
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet
from edge_scnet.data.table_truth import truth_of
from edge_scnet.data.tables import Table, read_table
from edge_scnet.data.truth import Truth
from edge_scnet.errors import DataError

# what a column of paths may be called where nobody says it
PATHS = ("path", "file", "image", "filename", "file_name", "filepath", "image_path", "img")


def open_table(reading: Reading) -> SampleSet:
    """The set of the images of a list.

    Raises:
        DataError: as `listed_entries`; files do not exist or cannot be read.
    """
    root, entries, truth = listed_entries(reading)
    if not reading.skip_bad or not any(map(is_there, (root / entry for entry in entries))):
        other = f"is it another folder? {reading.path.name}?images=DIR (--images DIR)"
        refuse_missing(root, entries, where=reading.path, hint=other if reading.skip_bad else None)
    found = image_set(root, entries, reading, truth)
    check_boxes(found, reading.path)
    return replace(found, name="/".join(reading.path.resolve().parts[-2:]))


def listed_entries(reading: Reading) -> tuple[Path, list[str], Truth]:
    """The folder that a list's paths are in, the paths, and what is known of each.

    Raises:
        DataError: it cannot be read, has no column of paths or one that is named is missing;
            labels or targets do not fit.
    """
    table = read_table(reading.path)
    given = reading.setting("path")
    column = table.column(given) if given else table.first_of(PATHS)
    if column is None:
        raise DataError(
            f"{reading.path} has no column of paths; its columns are {', '.join(table.columns)}",
            hint=f"name it: {reading.with_setting('path', table.columns[0])}",
        )
    entries = [_path(value, table, i, column) for i, value in enumerate(table.cells[column])]
    if reading.path.suffix.lower() == ".txt" and not reading.setting("read"):
        _check_lists_images(entries, reading)
    root = reading.folder("images") or reading.path.parent
    return root, entries, truth_of(table, column, reading)


def _check_lists_images(entries: Sequence[str], reading: Reading) -> None:
    """Refuses a text that is no list: any text has lines.

    Raises:
        DataError: no line names an image.
    """
    if any(Path(entry).suffix.lower() in SUFFIXES for entry in entries):
        return
    raise DataError(
        f"{reading.path} is a file, not a folder, and lists no images: its first line is"
        f" {entries[0][:60]!r}",
        hint="a path of an image a line, maybe with a class index behind it; or name a folder",
    )


def _path(value: Any, table: Table, i: int, column: str) -> str:
    if isinstance(value, str) and value and "\0" not in value:
        return value
    raise DataError(
        f"{table.where}, line {table.lines[i]}: {column} is {show(value)}; a path is needed",
        hint=f"sed -n {table.lines[i]}p {table.where}",
    )
