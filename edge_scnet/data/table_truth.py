"""Ground truth from the columns of a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_scnet.core.json_records import show
from edge_scnet.core.targets import TargetKind, Targets
from edge_scnet.data.box_checks import check_corners
from edge_scnet.data.labels import NO_LABELS, comparable, listed_labels
from edge_scnet.data.masks import mask_targets
from edge_scnet.data.reading import Reading
from edge_scnet.data.tables import Table
from edge_scnet.data.truth import UNKNOWN, Truth, boxes_of, held_targets
from edge_scnet.errors import DataError

_KINDS = ("label", "labels", "values", "keypoints", "identity", "mask")
# what columns may be called where nobody says it
_LABEL = ("label", "class", "class_name", "category")
_TARGET = "target"
_NAMED: dict[str, tuple[str, ...]] = {
    "mask": ("mask", "mask_path"),
    "identity": ("identity",),
    "keypoints": ("keypoints",),
    "labels": ("labels",),
    "values": ("values",),
}
# what a task wants of columns that nobody assigned
_OF_TASK = {
    "multilabel": "labels",
    "regression": "values",
    "keypoints": "keypoints",
    "embedding": "identity",
}


def truth_of(table: Table, paths: str, reading: Reading) -> Truth:
    """What the columns say of each sample.

    Args:
        table: the list.
        paths: its column of paths.
        reading: says which columns are what, else their names do.

    Raises:
        DataError: a column is missing, none is known by its name, or what is in it does not fit.
    """
    if reading.ignore_labels:
        return UNKNOWN
    kind, columns = _assigned(table, reading) or _by_name(table, paths, reading) or ("", ())
    if not columns:
        return UNKNOWN
    if kind == "label":
        return _label(table, columns[0], reading)
    if not reading.wants_targets:
        return UNKNOWN
    if kind == "boxes":
        return Truth(targets=_boxes(table, columns, reading))
    if kind == "mask":
        entries = [_text(table, columns[0], i) for i in range(len(table))]
        rule = f"masks of {columns[0]}"
        root = reading.folder("images") or reading.path.parent
        images = [root / str(cell) for cell in table.cells[paths]]
        masks = reading.folder("masks") or reading.path.parent
        return Truth(targets=mask_targets(masks, entries, rule, reading, images=images))
    made = {"labels": _labels, "values": _values, "keypoints": _keypoints, "identity": _identity}
    return Truth(targets=made[kind](table, columns, reading))


def _assigned(table: Table, reading: Reading) -> tuple[str, tuple[str, ...]] | None:
    """What was said of the columns; None: nothing."""
    said = [kind for kind in _KINDS if reading.setting(kind)]
    if len(said) > 1:
        raise DataError(
            f"{reading.path}: {said[0]} and {said[1]} are both given; samples have one kind of"
            " ground truth",
            hint="leave one out",
        )
    if not said:
        return None
    columns = tuple(table.column(name) for name in reading.source.columns(said[0]))
    if len(columns) > 1 and said[0] in ("label", "identity", "mask"):
        raise DataError(
            f"{reading.path}: {said[0]} names {len(columns)} columns; it is one",
            hint="several columns of numbers are values=A,B; of 0 and 1 labels=A,B",
        )
    return said[0], columns


def _by_name(table: Table, paths: str, reading: Reading) -> tuple[str, tuple[str, ...]] | None:
    """What the columns are by their names and the task; None: there is no other column.

    Raises:
        DataError: there are others, and none is known.
    """
    others = tuple(column for column in table.columns if column != paths)
    if not others:
        return None
    if (boxes := table.first_of(("boxes",))) and (classes := table.first_of(("classes", "labels"))):
        return "boxes", (boxes, classes)
    targets = tuple(column for column in others if column.lower().startswith(_TARGET))
    label = table.first_of(_LABEL)
    if (kind := _OF_TASK.get(reading.task or "")) is not None:
        named = table.first_of(_NAMED[kind])
        columns = (named,) if named else targets or ((label,) if label else ())
        if columns:
            return kind, columns
    if label is not None:
        return "label", (label,)
    for kind, names in _NAMED.items():
        if (column := table.first_of(names)) is not None:
            return kind, (column,)
    if targets:
        return _kind_of(table, targets), targets
    if reading.role == "calibration":
        return None
    raise DataError(
        f"{reading.path}: none of the columns {', '.join(others)} is called label, class or target",
        hint=f"name it: {reading.with_setting('label', others[0])}; or {NO_LABELS}",
    )


def _kind_of(table: Table, columns: tuple[str, ...]) -> str:
    """What columns that are called target are, by their content."""
    cells = [cell for column in columns for cell in table.cells[column]]
    if len(columns) == 1 and isinstance(cells[0], str | int) and not isinstance(cells[0], bool):
        texts = [str(cell) for cell in cells]
        is_label = all(text.isdecimal() or not _is_number(text) for text in texts)
        return "label" if is_label else "values"
    flat = [part for cell in cells for part in (cell if isinstance(cell, list) else [cell])]
    return "labels" if all(str(part) in ("0", "1") for part in flat) else "values"


def _label(table: Table, column: str, reading: Reading) -> Truth:
    values = [_text(table, column, i) for i in range(len(table))]
    where = f"{reading.path}, column {column}"
    return Truth(labels=listed_labels(where, values, model=reading.model, role=reading.role))


def _labels(table: Table, columns: tuple[str, ...], reading: Reading) -> Targets:
    """Columns of 0 and 1; or one of lists, of class names or of 0 and 1."""
    names = reading.class_names
    if len(columns) == 1 and _lists_names(table.cells[columns[0]]):
        hot = _named_labels(table, columns[0], reading)
    else:
        hot = _numbers(table, columns)
        if not np.isin(hot, (0, 1)).all():
            row, which = np.argwhere(~np.isin(hot, (0, 1)))[0]
            raise DataError(
                f"{table.where}, line {table.lines[row]}: label {which} is {hot[row, which]:g};"
                " 0 or 1 is needed",
                hint=f"are these numbers? {reading.with_setting('values', ','.join(columns))}",
            )
        if len(columns) > 1:
            order = {comparable(column): i for i, column in enumerate(columns)}
            if names and {comparable(name) for name in names} == set(order):
                hot = hot[:, [order[comparable(name)] for name in names]]
            else:
                names = names or columns
    if (count := reading.class_count) and hot.shape[1] != count:
        raise DataError(
            f"{table.where} has {hot.shape[1]} labels for each sample; the model has {count}"
            " classes",
            hint=f"name the columns in the model's order: --columns labels=A,B; or {NO_LABELS}",
        )
    return _held("labels", hot.astype(np.uint8), columns, names=names)


def _lists_names(cells: Sequence[Any]) -> bool:
    return all(isinstance(cell, list) for cell in cells) and any(
        isinstance(part, str) for cell in cells for part in cell
    )


def _named_labels(table: Table, column: str, reading: Reading) -> np.ndarray:
    names = reading.class_names
    if not names:
        raise DataError(
            f"{table.where}: {column} names labels, and the model's classes have no names",
            hint="name them in the model's order: --class-names FILE",
        )
    index = {comparable(name): i for i, name in enumerate(names)}
    hot = np.zeros((len(table), len(names)), np.uint8)
    for row, cell in enumerate(table.cells[column]):
        for part in cell:
            if comparable(str(part)) not in index:
                raise DataError(
                    f"{table.where}, line {table.lines[row]}: the label {part!r} is no class of the"
                    " model",
                    hint=f"its classes are {', '.join(names[:10])}",
                )
            hot[row, index[comparable(str(part))]] = 1
    return hot


def _values(table: Table, columns: tuple[str, ...], reading: Reading) -> Targets:
    numbers = _numbers(table, columns)
    names = columns if len(columns) == numbers.shape[1] else ()
    return _held("values", numbers, columns, names=names)


def _keypoints(table: Table, columns: tuple[str, ...], reading: Reading) -> Targets:
    """Columns of x and y in turn, a point that is not visible without numbers; or one of lists."""
    nested = [cell for cell in table.cells[columns[0]] if isinstance(cell, list)]
    width = 2
    if nested and isinstance(nested[0], list) and nested[0] and isinstance(nested[0][0], list):
        width = len(nested[0][0])
    numbers = _numbers(table, columns, empty=True)
    if numbers.shape[1] % width:
        raise DataError(
            f"{table.where} has {numbers.shape[1]} coordinates for each sample; x and y of each"
            " point are needed",
            hint=f"name them: {reading.with_setting('keypoints', 'x1,y1,x2,y2')}",
        )
    points = numbers.reshape(len(numbers), -1, width)
    seen = ~np.isnan(points[..., :2]).any(axis=2)
    if width == 3:
        seen &= points[..., 2] > 0
    made = np.concatenate([np.nan_to_num(points[..., :2]), seen[..., None]], axis=2)
    return _held("keypoints", made.astype(np.float32), columns)


def _identity(table: Table, columns: tuple[str, ...], reading: Reading) -> Targets:
    texts = [_text(table, columns[0], i) for i in range(len(table))]
    order = {text: i for i, text in enumerate(sorted(set(texts)))}
    numbers = [order[text] for text in texts]
    rule = f"identities of {columns[0]}"
    return held_targets("identity", numbers, rule=rule, names=tuple(order))


def _boxes(table: Table, columns: tuple[str, ...], reading: Reading) -> Targets:
    """A column of lists x1, y1, x2, y2 and one of lists of classes."""
    texts: list[str] = []
    for i in range(len(table)):
        boxes, classes = table.cells[columns[0]][i] or [], table.cells[columns[1]][i] or []
        fits = (
            isinstance(boxes, list)
            and isinstance(classes, list)
            and len(boxes) == len(classes)
            and all(isinstance(box, list) and len(box) == 4 for box in boxes)
        )
        if not fits or not all(_is_number(part) for box in boxes for part in box):
            raise DataError(
                f"{table.where}, line {table.lines[i]}: {columns[0]} and {columns[1]} are no lists"
                " of one length of boxes and classes",
                hint='as {"boxes": [[x1, y1, x2, y2]], "classes": ["cat"]}, in pixels',
            )
        check_corners(boxes, f"{table.where}, line {table.lines[i]}")
        texts += map(str, classes)
    if not texts:
        raise DataError(f"{table.where} has no box at all", hint=NO_LABELS)
    where = f"{table.where}, column {columns[1]}"
    labels = listed_labels(where, texts, model=reading.model, role=reading.role)
    indices = iter(labels.indices)
    made = [
        boxes_of(boxes or [], [next(indices) for _ in boxes or []])
        for boxes in table.cells[columns[0]]
    ]
    rule = f"boxes of {columns[0]}, {labels.rule}"
    return held_targets("boxes", made, rule=rule, names=labels.names or ())


def _held(
    kind: TargetKind, array: np.ndarray, columns: Sequence[str], *, names: Sequence[str] = ()
) -> Targets:
    shown = ", ".join(columns[:4]) + (", ..." if len(columns) > 4 else "")
    return held_targets(kind, list(array), rule=f"{kind} of {shown}", names=names)


def _text(table: Table, column: str, i: int) -> str:
    """A cell that names something.

    Raises:
        DataError: it is empty, or no text and no whole number.
    """
    value = table.cells[column][i]
    if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value):
        return str(value)
    raise DataError(
        f"{table.where}, line {table.lines[i]}: {column} is {show(value)}; a name or an index is"
        " needed",
        hint=f"sed -n {table.lines[i]}p {table.where}; or {NO_LABELS}",
    )


def _numbers(table: Table, columns: Sequence[str], *, empty: bool = False) -> np.ndarray:
    """The cells as float32 [rows, columns], lists spread out.

    Args:
        empty: cells may be empty, which are NaN.

    Raises:
        DataError: a cell is no finite number, or rows have lists of different lengths.
    """
    rows: list[list[float]] = []
    for i in range(len(table)):
        row: list[float] = []
        for column in columns:
            for part in _flat(table.cells[column][i]):
                if empty and part in ("", None):
                    row.append(np.nan)
                elif _is_number(part) and np.isfinite(float(part)):
                    row.append(float(part))
                else:
                    raise DataError(
                        f"{table.where}, line {table.lines[i]}: {column} is {show(part)}; a finite"
                        " number is needed",
                        hint=f"sed -n {table.lines[i]}p {table.where}; or {NO_LABELS}",
                    )
        if rows and len(row) != len(rows[0]):
            raise DataError(
                f"{table.where}, line {table.lines[i]} has {len(row)} numbers, line"
                f" {table.lines[0]} has {len(rows[0])}",
                hint="every sample needs as many",
            )
        rows.append(row)
    return np.asarray(rows, np.float32)


def _flat(cell: Any) -> list[Any]:
    if not isinstance(cell, list):
        return [cell]
    return [part for inner in cell for part in _flat(inner)]


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
