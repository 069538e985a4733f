"""Sets with YOLO's labels: a text beside each image, with a line for each object.

They are two folders, or what a `data.yaml` names. What lines hold is in `yolo_lines`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from edge_scnet.data.box_checks import check_boxes
from edge_scnet.data.data_yaml import part_of, plain, read_data_yaml
from edge_scnet.data.folders import refuse_parts_of_images, relative, sibling
from edge_scnet.data.image_list import image_set, refuse_missing
from edge_scnet.data.listing import SUFFIXES, images_below, listing
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet
from edge_scnet.data.tables import read_table
from edge_scnet.data.truth import UNKNOWN
from edge_scnet.data.yolo_truth import Labelled, truth_of
from edge_scnet.errors import DataError

_IMAGES, _LABELS = "images", "labels"


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
    has_labels = any(_label_in(image, *pair).is_file() for image in images)
    return pair if has_labels else None


def open_yolo(reading: Reading, images: Path, labels: Path) -> SampleSet:
    """The set of images with YOLO's labels; an image without a file has no object.

    Raises:
        DataError: a label file that is none, a class that the model does not have, or no object
            in any image.
    """
    refuse_parts_of_images(reading, images, labels)
    files = _images_below(images)
    found = Labelled(
        images=files,
        texts=[_label_in(image, images, labels) for image in files],
        where=labels,
        rule=f"YOLO's labels in {labels.parent.name}/{labels.name}",
    )
    return _opened(found, images, reading)


def open_data_yaml(reading: Reading) -> SampleSet:
    """The set of a part of a data.yaml.

    Raises:
        DataError: the file, its paths or its labels cannot be used.
        MissingRuntimeError: PyYAML is not installed.
    """
    content = read_data_yaml(reading.path)
    part, places = part_of(content, reading)
    files = [image for place in places for image in _images_of(place)]
    if twice := len(files) - len(set(files)):
        raise DataError(
            f"{reading.path}: {twice} of {len(files)} images of {part} are in it twice",
            hint="name each folder or list once",
        )
    found = Labelled(
        images=files,
        texts=[_label_beside(image) for image in files],
        where=reading.path,
        rule=f"YOLO's labels of {part} in {reading.path.name}",
        yaml=content,
    )
    samples = _opened(found, Path(os.path.commonpath([file.parent for file in files])), reading)
    return replace(samples, name=f"{samples.name} ({part})")


def _opened(found: Labelled, root: Path, reading: Reading) -> SampleSet:
    truth, notes = truth_of(found, reading) if reading.wants_targets else (UNKNOWN, ())
    samples = image_set(root, relative(root, found.images), reading, truth)
    check_boxes(samples, found.where)
    return replace(samples, name="/".join(reading.path.resolve().parts[-2:]), notes=notes)


def _images_below(folder: Path) -> list[Path]:
    files = images_below(folder, set())
    if not files:
        raise DataError(
            f"no images in {folder}; allowed are {' '.join(SUFFIXES)}", hint=f"ls {folder}"
        )
    return files


def _images_of(place: Path) -> list[Path]:
    """The images of a folder, or of a list with a path a line.

    Raises:
        DataError: there are none, or some do not exist.
    """
    if place.is_dir():
        return _images_below(plain(place.absolute()))
    if place.suffix.lower() != ".txt":
        raise DataError(
            f"{place} is a file; a folder, or a list with the path of an image a line (.txt), is"
            " needed",
            hint=f"ls -l {place}",
        )
    table = read_table(place)
    entries = list(table.cells["path"])
    refuse_missing(place.parent, entries, where=place, hint=f"paths are from {place.parent}")
    return [plain(place.parent.absolute() / entry) for entry in entries]


def _label_in(image: Path, images: Path, labels: Path) -> Path:
    return (labels / image.relative_to(images)).with_suffix(".txt")


def _label_beside(image: Path) -> Path:
    """The label file of an image: in `labels` in place of the last `images`, else beside it."""
    parts = list(image.parts)
    if _IMAGES in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index(_IMAGES)] = _LABELS
    return Path(*parts).with_suffix(".txt")
