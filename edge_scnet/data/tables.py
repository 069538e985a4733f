"""Lists of samples: `.csv`, `.tsv`, `.jsonl` and `.txt` files with a path a line.

A `.txt` has a path and maybe a class index a line, as Caffe's lists have; a `.csv` may have no
header line, whose columns then are called 1, 2, and so on.
"""

from __future__ import annotations

import csv
import difflib
import errno
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_scnet.core import foreign
from edge_scnet.core.json_records import loads, show
from edge_scnet.data.listing import SUFFIXES as IMAGES
from edge_scnet.errors import DataError

_MOST_BYTES = 1 << 30
_MOST_ROWS = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of a list, by column."""

    where: Path
    # texts; of .jsonl any JSON values, None where a row lacks the key
    cells: Mapping[str, Sequence[Any]]
    # of each row in its file, from 1
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names, in the file's order."""
        return tuple(self.cells)

    def column(self, name: str) -> str:
        """The column of that name, case aside.

        Raises:
            DataError: there is none; the nearest is named.
        """
        if name in self.cells:
            return name
        by_lower = {column.lower(): column for column in self.columns}
        if name.lower() in by_lower:
            return by_lower[name.lower()]
        close = difflib.get_close_matches(name.lower(), by_lower, n=1)
        meant = f"; did you mean {by_lower[close[0]]}?" if close else ""
        raise DataError(
            f"{self.where} has no column {name!r}{meant}",
            hint=f"its columns are {', '.join(self.columns)}",
        )

    def first_of(self, names: Sequence[str]) -> str | None:
        """The first column that is called one of these, case aside."""
        by_lower = {column.lower(): column for column in reversed(self.columns)}
        return next((by_lower[name] for name in names if name in by_lower), None)


def read_table(path: Path) -> Table:
    """Reads a list.

    Raises:
        DataError: no such file, not UTF-8, too large, empty, or a row of another length.
    """
    text = read_text(path)
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        table = _json_lines(path, text)
    elif suffix == ".txt":
        table = _plain_lines(path, text)
    else:
        table = _separated(path, text)
    if not len(table):
        raise DataError(f"{path} has no rows", hint="one line for each sample, under a header line")
    return table


def read_text(path: Path) -> str:
    """The text of a list or a JSON file, without a byte-order mark.

    Raises:
        DataError: it is no regular file, too large, or not UTF-8.
    """
    try:
        return foreign.read_text(path, most_bytes=_MOST_BYTES, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 text (byte {error.start})",
            hint=f"iconv -f latin1 -t utf-8 {path.name} > {path.stem}-utf8{path.suffix}",
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {foreign.reason(error)}",
            hint=(
                "leave out what is not needed, such as masks"
                if error.errno == errno.EFBIG
                else f"ls -l {path}"
            ),
        ) from error


def _separated(path: Path, text: str) -> Table:
    header = text.split("\n", 1)[0]
    marks = {mark: header.count(mark) for mark in ",;\t"}
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(marks, key=lambda m: marks[m])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
                _check_count(path, len(rows))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}", hint="quote cells with commas in them"
        ) from error
    if not rows:
        raise DataError(f"{path} is empty", hint="a header line, and one line for each sample")
    if Path(rows[0][0]).suffix.lower() in IMAGES:
        columns = [str(i + 1) for i in range(len(rows[0]))]
        names = ["path", "label"] if len(columns) == 2 else ["path"]
        columns[: len(names)] = names
    else:
        columns, rows, lines = rows[0], rows[1:], lines[1:]
    if twice := {column for column in columns if columns.count(column) > 1}:
        raise DataError(f"{path} has several columns {min(twice)!r}", hint="rename one")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(columns):
            raise DataError(
                f"{path}, line {line} has {len(row)} cells; the header has {len(columns)}",
                hint=f"sed -n {line}p {path}",
            )
    cells = {column: [row[i] for row in rows] for i, column in enumerate(columns)}
    return Table(where=path, cells=cells, lines=lines)


def _json_lines(path: Path, text: str) -> Table:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = loads(line)
        except ValueError as error:
            raise DataError(
                f"{path}, line {number} is not JSON: {error}", hint=f"sed -n {number}p {path}"
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"{path}, line {number} is {show(row)}; an object is needed",
                hint='one object a line: {"path": "a.jpg", "label": "cat"}',
            )
        rows.append(row)
        lines.append(number)
        _check_count(path, len(rows))
    columns = dict.fromkeys(key for row in rows for key in row)
    return Table(
        where=path,
        cells={column: [row.get(column) for row in rows] for column in columns},
        lines=lines,
    )


def _plain_lines(path: Path, text: str) -> Table:
    """Paths, with class indices behind where every line has one."""
    kept = [(i, line.strip()) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]
    _check_count(path, len(kept))
    lines = [i for i, _ in kept]
    parts = [line.rsplit(maxsplit=1) for _, line in kept]
    if all(len(part) == 2 and part[1].isascii() and part[1].isdecimal() for part in parts):
        cells = {"path": [part[0] for part in parts], "label": [part[1] for part in parts]}
        return Table(where=path, cells=cells, lines=lines)
    return Table(where=path, cells={"path": [line for _, line in kept]}, lines=lines)


def _check_count(path: Path, rows: int) -> None:
    if rows > _MOST_ROWS:
        raise DataError(
            f"{path} has more than {_MOST_ROWS:,} rows", hint=f"head -n 50000 {path} > part.csv"
        )
