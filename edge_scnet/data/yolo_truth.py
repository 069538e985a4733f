"""Ground truth from YOLO's labels: boxes, keypoints, masks, and which classes an image shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_scnet.core.targets import Boxes, Targets
from edge_scnet.data.coco_classes import Category, Mapped, mapped
from edge_scnet.data.coco_masks import Region, rendered
from edge_scnet.data.data_yaml import DataYaml
from edge_scnet.data.image_list import size_of
from edge_scnet.data.keypoint_checks import refuse_other_than_one
from edge_scnet.data.labels import NO_LABELS
from edge_scnet.data.reading import Reading
from edge_scnet.data.truth import Truth, boxes_of, held_targets
from edge_scnet.data.yolo_lines import Form, Line, form_of, read_lines, visible
from edge_scnet.errors import DataError

_OF_TASK = {"segmentation": "mask", "keypoints": "keypoints", "multilabel": "labels"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Images, and the files of their labels, which need not exist."""

    images: Sequence[Path]
    # by image
    texts: Sequence[Path]
    # the folder of the labels, or the data.yaml
    where: Path
    # how labels were found, in words
    rule: str
    yaml: DataYaml | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """One image's objects."""

    file: Path
    # of its labels
    text: Path
    lines: Sequence[Line]
    # width and height in pixels; None: it cannot be read
    size: tuple[int, int] | None


def truth_of(found: Labelled, reading: Reading) -> tuple[Truth, tuple[str, ...]]:
    """What labels say of images, and what a user should know of them.

    Boxes; for the task keypoints the points of the one object in each image, for segmentation masks
    of outlines, for multilabel the classes in each image; or what the setting `as` says.

    Raises:
        DataError: label files that are none or do not fit the model; no object in any image.
    """
    rows = {file: read_lines(file) for file in found.texts if file.exists()}
    if not any(rows.values()):
        raise DataError(
            f"{found.where} has no object in any image; labels are {found.texts[0]} and so on",
            hint=NO_LABELS,
        )
    yaml = found.yaml
    form = form_of(
        rows,
        found.where,
        reading,
        points=yaml.points if yaml is not None else None,
        is_told=yaml is not None,
    )
    images = [
        _Image(file=file, text=text, lines=rows.get(text, ()), size=_size(file, reading))
        for file, text in zip(found.images, found.texts, strict=True)
    ]
    rule = found.rule
    notes: tuple[str, ...] = ()
    if bare := len(images) - len(rows):
        said = f"{bare} of {len(images)} images have no label file"
        rule += f"; {said}"
        if bare > len(images) / 2:
            notes = (f"{said} in {found.where}: they count as images without any object",)
    return Truth(targets=_targets(images, form, rule, found, reading)), notes


def _size(image: Path, reading: Reading) -> tuple[int, int] | None:
    try:
        return size_of(image, reading)
    except DataError:  # told, or left out, where the images are listed
        return None


def _targets(
    images: Sequence[_Image], form: Form, rule: str, found: Labelled, reading: Reading
) -> Targets:
    kind = reading.setting("as") or _OF_TASK.get(reading.task or "", "boxes")
    if kind == "keypoints":
        return _keypoints(images, form, rule, found, reading)
    classes = _classes(images, found, reading, background=kind == "mask")
    rule = f"{rule}, {classes.rule}" if classes.rule else rule
    if kind == "mask":
        return _masks(images, form, classes, found, reading)
    if kind == "labels":
        count = reading.class_count or len(classes.names) or max(classes.index.values()) + 1
        hot = np.zeros((len(images), count), np.uint8)
        for row, image in zip(hot, images, strict=True):
            row[[classes.index[line.label] for line in image.lines]] = 1
        return held_targets("labels", list(hot), rule=f"classes in {rule}", names=classes.names)
    boxes = [_boxes(image, form, classes) for image in images]
    return held_targets("boxes", boxes, rule=rule, names=classes.names)


def _classes(
    images: Sequence[_Image], found: Labelled, reading: Reading, *, background: bool
) -> Mapped:
    """The network's class of each index in the labels: itself, or as names of a data.yaml tell.

    Raises:
        DataError: they do not fit the model, or an index has no name; or nothing tells whether
            masks have a background.
    """
    used: dict[int, Path] = {}
    for image in images:
        for line in image.lines:
            used.setdefault(line.label, image.text)
    yaml = found.yaml
    if yaml is not None:
        high = max(used)
        if high >= yaml.count:
            raise DataError(
                f"{used[high]} has class {high}; {yaml.where} has classes from 0 to"
                f" {yaml.count - 1}",
                hint=f"add its name to names; or {NO_LABELS}",
            )
        if yaml.names:
            _check_count(yaml, reading, background=background)
            categories = [Category(id=i, name=name) for i, name in enumerate(yaml.names)]
            return mapped(categories, used, reading, background=background)
    return _by_index(used, reading, background=background)


def _check_count(yaml: DataYaml, reading: Reading, *, background: bool) -> None:
    """Refuses a data.yaml of another number of classes than the model's, which have no names.

    Raises:
        DataError: says both numbers.
    """
    count, own = reading.class_count, len(yaml.names)
    fits = (own, own + 1) if background else (own,)
    if reading.class_names or reading.setting("classes") or not count or count in fits:
        return
    model = reading.model.name if reading.model is not None else "the model"
    raise DataError(
        f"{yaml.where} names {own} classes, and {model} has {count}",
        hint=(
            "name the model's in its order: --class-names FILE; or indices in the labels are the"
            f" model's: {reading.with_setting('classes', 'ids')}; or {NO_LABELS}"
        ),
    )


def _by_index(used: Mapping[int, Path], reading: Reading, *, background: bool) -> Mapped:
    """Indices as they are; or, of masks, behind a background.

    Args:
        used: a label file of each index.

    Raises:
        DataError: the model does not have a class; or nothing tells of a background.
    """
    said, count = reading.setting("classes"), reading.class_count
    if background and said not in ("order", "ids"):
        raise DataError(
            f"{reading.path}: labels have indices alone: is the network's first class what is in no"
            " outline, or that of index 0?",
            hint=(
                "name the data.yaml, which names the classes; or"
                f" {reading.with_setting('classes', 'order')} (the first is the background);"
                f" or {reading.with_setting('classes', 'ids')}"
            ),
        )
    first = int(background and said == "order")
    wrong = next((index for index in used if count and index + first >= count), None)
    if wrong is not None:
        behind = ", of which the first is the background" if first else ""
        raise DataError(
            f"{used[wrong]} has class {wrong}; the model has {count} classes, from 0{behind}",
            hint=f"is it --num-classes {max(used) + first + 1}? or {NO_LABELS}",
        )
    rule = ""
    if background:
        rule = "indices are classes" + (", behind the background" if first else "")
    return Mapped(
        index={index: index + first for index in used}, rule=rule, names=reading.class_names
    )


def _boxes(image: _Image, form: Form, classes: Mapped) -> Boxes:
    """An image's boxes in its pixels."""
    if not image.lines or image.size is None:
        return boxes_of([], [])
    corners = [_corners(line.numbers, *image.size, form=form) for line in image.lines]
    return boxes_of(corners, [classes.index[line.label] for line in image.lines])


def _corners(
    numbers: Sequence[float], width: int, height: int, *, form: Form
) -> tuple[float, float, float, float]:
    if form.kind == "outline" and len(numbers) > 4:
        points = np.asarray(numbers).reshape(-1, 2) * (width, height)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)
    x, y, w, h = numbers[:4]
    return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height


def _masks(
    images: Sequence[_Image], form: Form, classes: Mapped, found: Labelled, reading: Reading
) -> Targets:
    """Masks of outlines.

    Raises:
        DataError: a line is no outline.
    """
    for image in images:
        for line in image.lines:
            if form.kind != "outline" or len(line.numbers) < 6:
                raise DataError(
                    f"{image.text}, line {line.number} is a box, no outline: masks are drawn of"
                    " outlines",
                    hint=f"boxes are read with {reading.with_setting('as', 'boxes')}",
                )
    sizes = [image.size or (1, 1) for image in images]
    regions = [
        [
            Region(
                value=classes.index[line.label],
                shape=[(np.asarray(line.numbers).reshape(-1, 2) * image.size).ravel().tolist()],
                area=None,
                crowd=False,
            )
            for line in image.lines
            if image.size is not None
        ]
        for image in images
    ]
    return rendered(regions, sizes, classes, where=found.where)


def _keypoints(
    images: Sequence[_Image], form: Form, rule: str, found: Labelled, reading: Reading
) -> Targets:
    """The points of the one object in each image that has some.

    Raises:
        DataError: the lines are no poses, or an image has another number of objects with points.
    """
    if form.kind != "pose":
        hint = (
            f"say it there: kpt_shape: [17, 3]; or {reading.with_setting('lines', '17x3')}"
            if found.yaml is not None
            else f"say it: {reading.with_setting('lines', '17x3')}"
        )
        raise DataError(
            f"{found.where}: lines hold {'a box' if form.kind == 'box' else 'an outline'} and no"
            " points",
            hint=f"{hint}; or {NO_LABELS}",
        )
    made = [
        [points for line in image.lines if (points := _points(line, image, form))[:, 2].any()]
        for image in images
    ]
    counts = {
        str(image.file): len(points)
        for image, points in zip(images, made, strict=True)
        if image.size is not None
    }
    refuse_other_than_one(counts, found.where)
    empty = np.zeros((form.points[0], 3), np.float32)
    values = [points[0] if points else empty for points in made]
    rule = f"keypoints of one object in each image, {rule}"
    return held_targets("keypoints", values, rule=rule)


def _points(line: Line, image: _Image, form: Form) -> np.ndarray:
    """x and y in pixels, and 1 of those that are visible, else 0: float32 [points, 3]."""
    count, size = form.points
    if len(line.numbers) == 4 or image.size is None:
        return np.zeros((count, 3), np.float32)
    points = np.asarray(line.numbers[4:]).reshape(count, size)
    seen = visible(points)[:, None]
    return np.concatenate([points[:, :2] * image.size * seen, seen], axis=1).astype(np.float32)
