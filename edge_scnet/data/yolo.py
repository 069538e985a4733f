"""YOLO's labels: a text beside each image, a line `class cx cy w h` for each object, from 0 to 1.

The format: docs.ultralytics.com/datasets/detect. A line of more numbers is an outline (`segment`),
whose box is taken; the fifth to the last number of a `pose` line are left out with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_scnet.core.targets import Boxes
from edge_scnet.data.folders import relative
from edge_scnet.data.image_list import image_set, size_of
from edge_scnet.data.labels import NO_LABELS
from edge_scnet.data.listing import SUFFIXES, images_below, listing
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet
from edge_scnet.data.truth import UNKNOWN, Truth, boxes_of, held_targets
from edge_scnet.errors import DataError

_IMAGES, _LABELS = "images", "labels"
_MOST_BYTES, _MOST_CLASSES = 10_000_000, 1_000_000


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
        parts = list(root.resolve().parts)
        if _IMAGES not in parts:
            return None
        last = len(parts) - 1 - parts[::-1].index(_IMAGES)
        parts[last] = _LABELS
        pair = root, Path(*parts)
    if not pair[1].is_dir():
        return None
    images = images_below(pair[0], set())
    has_labels = any(_label_of(image, *pair).is_file() for image in images)
    return pair if has_labels else None


def open_yolo(reading: Reading, images: Path, labels: Path) -> SampleSet:
    """The set of images with YOLO's labels; an image without a file has no object.

    Raises:
        DataError: a label file that is none, a class that the model does not have, or no object
            in any image.
    """
    files = images_below(images, set())
    if not files:
        raise DataError(
            f"no images in {images}; allowed are {' '.join(SUFFIXES)}", hint=f"ls {images}"
        )
    truth = UNKNOWN
    if reading.wants_targets:
        boxes = [_boxes(image, _label_of(image, images, labels), reading) for image in files]
        if not any(len(found.classes) for found in boxes):
            raise DataError(f"{labels} has no object in any image", hint=NO_LABELS)
        rule = f"YOLO's labels in {labels.parent.name}/{labels.name}"
        targets = held_targets("boxes", boxes, rule=rule, names=reading.class_names)
        truth = Truth(targets=targets)
    entries = relative(images, files)
    found = image_set(images, entries, reading, truth)
    return replace(found, name="/".join(reading.path.resolve().parts[-2:]))


def _label_of(image: Path, images: Path, labels: Path) -> Path:
    return (labels / image.relative_to(images)).with_suffix(".txt")


def _boxes(image: Path, file: Path, reading: Reading) -> Boxes:
    """An image's boxes in its pixels.

    Raises:
        DataError: names the file and the line.
    """
    if not file.exists():
        return boxes_of([], [])
    rows = _rows(file)
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
    corners = [_corners(row[1:], width, height) for row in rows]
    return boxes_of(corners, classes)


def _corners(row: Sequence[float], width: int, height: int) -> tuple[float, float, float, float]:
    if len(row) % 2 == 0 and len(row) >= 6:
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
        # annotators round, and boxes may end a little outside
        if not is_box or min(row[1:5]) < -0.1 or max(row[1:5]) > 1.1 or row[0] > _MOST_CLASSES:
            raise DataError(
                f"{file}, line {number} is {line.strip()[:60]!r}; class cx cy w h are needed, a"
                " whole number and shares of the image from 0 to 1",
                hint=f"sed -n {number}p {file}; in pixels they belong into a COCO .json",
            )
        rows.append(row)
    return rows
