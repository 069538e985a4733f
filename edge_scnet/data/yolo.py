"""YOLO's labels: a text beside each image, a line `class cx cy w h` for each object, from 0 to 1.

The format: docs.ultralytics.com/datasets. A line of more numbers is an outline (`segment`), whose
box is taken; or a box and points behind it (`pose`), which are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_scnet.core.targets import Boxes
from edge_scnet.data.box_checks import check_boxes
from edge_scnet.data.folders import refuse_parts_of_images, relative, sibling
from edge_scnet.data.image_list import image_set, size_of
from edge_scnet.data.labels import NO_LABELS
from edge_scnet.data.listing import SUFFIXES, images_below, listing
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet
from edge_scnet.data.truth import UNKNOWN, Truth, boxes_of, held_targets
from edge_scnet.errors import DataError

_IMAGES, _LABELS = "images", "labels"
_MOST_BYTES, _MOST_CLASSES = 10_000_000, 1_000_000
# annotators round, and boxes may end a little outside
_LOW, _HIGH = -0.1, 1.1
# of the lines, that may be no box and points and the set still is one of poses
_FEW = 0.1


def label_folder(reading: Reading) -> tuple[Path, Path] | None:
    """The folders of the images and of their labels; None: there are no such labels.

    They are `images` and `labels` below the set's folder; or, as Ultralytics has it, the folder
    itself, and the one whose path has `labels` where its own has `images`.
    """
    root = reading.path
    names = {folder.name: folder for folder in listing(root)[1]}
    if _IMAGES in names and _LABELS in names:
        pair = names[_IMAGES], names[_LABELS]
    else:
        beside = sibling(root, _LABELS)
        if beside is None:
            return None
        pair = root, beside
    images = images_below(pair[0], set())
    has_labels = any(_label_of(image, *pair).is_file() for image in images)
    return pair if has_labels else None


def open_yolo(reading: Reading, images: Path, labels: Path) -> SampleSet:
    """The set of images with YOLO's labels; an image without a file has no object.

    Raises:
        DataError: a label file that is none, a class that the model does not have, or no object
            in any image.
    """
    refuse_parts_of_images(reading, images, labels)
    files = images_below(images, set())
    if not files:
        raise DataError(
            f"no images in {images}; allowed are {' '.join(SUFFIXES)}", hint=f"ls {images}"
        )
    truth, notes = (
        _truth(files, images, labels, reading) if reading.wants_targets else (UNKNOWN, ())
    )
    entries = relative(images, files)
    found = image_set(images, entries, reading, truth)
    check_boxes(found, labels)
    return replace(found, name="/".join(reading.path.resolve().parts[-2:]), notes=notes)


def _truth(
    files: Sequence[Path], images: Path, labels: Path, reading: Reading
) -> tuple[Truth, tuple[str, ...]]:
    """The boxes of images, and what is to be said of them."""
    texts = [_label_of(image, images, labels) for image in files]
    rows = {file: _rows(file) for file in texts if file.exists()}
    if not any(rows.values()):
        raise DataError(f"{labels} has no object in any image", hint=NO_LABELS)
    outlines = _are_outlines([row[1:] for lines in rows.values() for row in lines], labels)
    boxes = [
        _boxes(image, file, rows.get(file, []), reading, outlines=outlines)
        for image, file in zip(files, texts, strict=True)
    ]
    rule = f"YOLO's labels in {labels.parent.name}/{labels.name}"
    notes: tuple[str, ...] = ()
    if bare := len(files) - len(rows):
        said = f"{bare} of {len(files)} images have no label file"
        rule += f"; {said}"
        if bare > len(files) / 2:
            notes = (f"{said} in {labels}: they count as images without any object",)
    targets = held_targets("boxes", boxes, rule=rule, names=reading.class_names)
    return Truth(targets=targets), notes


def _are_outlines(rows: Sequence[Sequence[float]], labels: Path) -> bool:
    """Whether lines of more than a box are outlines; else they are poses.

    Poses have as many points in every line, behind a box within the image. The numbers alone do not
    tell where no line shows that its first four are no box, unless every third number behind them
    is a visibility: 0, 1 or 2.

    Args:
        rows: the numbers behind the class.

    Raises:
        DataError: the lines can be either.
    """
    longer = [np.asarray(row) for row in rows if len(row) > 4]
    counts = {len(row) for row in longer}
    if not longer or all(count % 2 for count in counts):
        return False
    if len(counts) > 1:
        return True
    table, (count,) = np.stack(longer), counts
    half = table[:, 2:4] / 2
    low, high = table[:, :2] - half, table[:, :2] + half
    is_box = (low >= _LOW).all(axis=1) & (high <= _HIGH).all(axis=1) & (half >= 0).all(axis=1)
    if (~is_box).mean() > _FEW:
        return True
    if (count - 4) % 3 == 0 and np.isin(table[:, 6::3], (0, 1, 2)).all():
        return False
    raise DataError(
        f"{labels}: lines have {count} numbers behind the class: an outline of {count // 2} points,"
        f" or a box and {(count - 4) // 2} points of a pose; the numbers do not tell which",
        hint=(
            "keep class cx cy w h alone: of poses, cut -d' ' -f1-5 of each file; outlines can be"
            f" read from a COCO .json; or {NO_LABELS}"
        ),
    )


def _label_of(image: Path, images: Path, labels: Path) -> Path:
    return (labels / image.relative_to(images)).with_suffix(".txt")


def _boxes(
    image: Path, file: Path, rows: Sequence[Sequence[float]], reading: Reading, *, outlines: bool
) -> Boxes:
    """An image's boxes in its pixels.

    Args:
        file: of its labels.
        rows: the numbers of its lines.
        outlines: lines of more than a box are outlines.

    Raises:
        DataError: the model does not have a class; names the file.
    """
    if not rows:
        return boxes_of([], [])
    try:
        width, height = size_of(image, reading)
    except DataError:  # told, or left out, where the images are listed
        return boxes_of([], [])
    classes = [int(row[0]) for row in rows]
    count = reading.class_count
    wrong = next((index for index in classes if count and index >= count), None)
    if wrong is not None:
        raise DataError(
            f"{file} has class {wrong}; the model has {count} classes, from 0",
            hint=f"is it --num-classes {max(classes) + 1}? or {NO_LABELS}",
        )
    corners = [_corners(row[1:], width, height, outlines=outlines) for row in rows]
    return boxes_of(corners, classes)


def _corners(
    row: Sequence[float], width: int, height: int, *, outlines: bool
) -> tuple[float, float, float, float]:
    if outlines and len(row) % 2 == 0 and len(row) >= 6:
        points = np.asarray(row).reshape(-1, 2) * (width, height)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)
    x, y, w, h = row[:4]
    return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height


def _rows(file: Path) -> list[list[float]]:
    """The numbers of each line.

    Raises:
        DataError: a line is no class and numbers from 0 to 1.
    """
    try:
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            raise OSError("it is not a regular file of at most 10 MB")
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {error}", hint=NO_LABELS) from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = [float(part) for part in line.split()]
        except ValueError:
            row = []
        is_box = len(row) >= 5 and bool(np.isfinite(row).all()) and row[0] == int(row[0]) >= 0
        if not is_box or min(row[1:5]) < _LOW or max(row[1:5]) > _HIGH or row[0] > _MOST_CLASSES:
            raise DataError(
                f"{file}, line {number} is {line.strip()[:60]!r}; class cx cy w h are needed, a"
                " whole number and shares of the image from 0 to 1",
                hint=f"sed -n {number}p {file}; in pixels they belong into a COCO .json",
            )
        rows.append(row)
    return rows
