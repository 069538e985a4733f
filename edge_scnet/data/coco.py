"""COCO's json: images, and the boxes, masks or keypoints of the objects in them.

The format: cocodataset.org, "Data format".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_scnet.core.json_records import RecordError, decode
from edge_scnet.core.targets import Boxes, Targets
from edge_scnet.data.box_checks import check_boxes
from edge_scnet.data.coco_classes import Category, Mapped, mapped
from edge_scnet.data.coco_masks import Region, Rle, bounds, rendered
from edge_scnet.data.image_list import image_set, refuse_missing
from edge_scnet.data.keypoint_checks import refuse_other_than_one
from edge_scnet.data.labels import NO_LABELS
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet
from edge_scnet.data.tables import read_text
from edge_scnet.data.truth import UNKNOWN, Truth, boxes_of, held_targets
from edge_scnet.errors import DataError

Id = int | str
_OF_TASK = {"segmentation": "mask", "keypoints": "keypoints", "multilabel": "labels"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoImage:
    """An image, and its size in pixels."""

    id: Id
    file_name: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """An object in an image."""

    image_id: Id
    category_id: int
    # x, y of the upper left corner, width and height
    bbox: tuple[float, float, float, float] | None = None
    area: float | None = None
    iscrowd: int | bool = 0
    segmentation: list[list[float]] | Rle | None = None
    # x, y and visibility of each point: 0 is not labelled
    keypoints: list[float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Images:
    images: list[CocoImage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coco:
    """A file's content."""

    images: list[CocoImage]
    annotations: list[Annotation]
    categories: list[Category]


def open_coco(reading: Reading) -> SampleSet:
    """The set of a COCO file's images, those without objects included.

    Raises:
        DataError: it is no COCO file, its images are not found, its categories are not the model's
            classes, or it has no object at all.
    """
    path = reading.path
    content = _read(path, Coco if reading.wants_targets else _Images)
    if not content.images:
        raise DataError(f"{path} has no images", hint="images: its list of them is empty")
    root = _images_folder(reading, content.images[0].file_name)
    entries = [image.file_name for image in content.images]
    if not reading.skip_bad:
        refuse_missing(root, entries, where=path)
    truth = _truth(content, reading) if isinstance(content, Coco) else UNKNOWN
    found = image_set(root, entries, reading, truth)
    _check_sizes(found, content.images, reading)
    check_boxes(found, path)
    return replace(found, name="/".join(path.resolve().parts[-2:]))


def _read(path: Path, kind: type[Coco] | type[_Images]) -> Coco | _Images:
    text = read_text(path)
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        return decode(kind, text)
    except RecordError as error:
        results = ", and results of a detector are no ground truth" if text[:1] == "[" else ""
        raise DataError(
            f"{path} is no COCO file: {error}{results}",
            hint='COCO\'s json has "images", "annotations" and "categories"',
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}", hint=f"head -c 200 {path}") from error


def _images_folder(reading: Reading, first: str) -> Path:
    """The folder of the images: as said, or as COCO's own and common exports have it.

    Raises:
        DataError: none of them has the first image.
    """
    path = reading.path
    if (said := reading.folder("images")) is not None:
        return said
    part = path.stem.rpartition("_")[2]
    beside, above = path.parent, path.resolve().parent.parent
    tried = (
        beside,
        beside / "images",
        beside / part,
        above / part,
        above / "images" / part,
        above / "images",
    )
    for folder in tried:
        if (folder / first).is_file():
            return folder
    raise DataError(
        f"{path}: its first image, {first}, is in none of {', '.join(map(str, tried))}",
        hint=f"name the folder of the images: {reading.with_setting('images', 'DIR')}",
    )


def _truth(content: Coco, reading: Reading) -> Truth:
    if not content.annotations:
        raise DataError(
            f"{reading.path} has no annotations: nothing can be right or wrong", hint=NO_LABELS
        )
    _check_references(content, reading.path)
    kind = reading.setting("as") or _OF_TASK.get(reading.task or "", "boxes")
    by_image: dict[Id, list[Annotation]] = defaultdict(list)
    for annotation in content.annotations:
        by_image[annotation.image_id].append(annotation)
    objects = [by_image.get(image.id, []) for image in content.images]
    if kind == "keypoints":
        return Truth(targets=_keypoints(objects, content, reading))
    used = {annotation.category_id for annotation in content.annotations}
    classes = mapped(content.categories, used, reading, background=kind == "mask")
    if kind == "mask":
        return Truth(targets=_masks(objects, content, classes, reading))
    if kind == "labels":
        return Truth(targets=_labels(objects, classes, reading))
    boxes = [_boxes(found, classes, reading.path) for found in objects]
    rule = f"boxes, {classes.rule}"
    return Truth(targets=held_targets("boxes", boxes, rule=rule, names=classes.names))


def _check_references(content: Coco, path: Path) -> None:
    """Refuses annotations of images or categories that the file does not have.

    Raises:
        DataError: counts them, and names one.
    """
    images = {image.id for image in content.images}
    categories = {category.id for category in content.categories}
    lost = [a.image_id for a in content.annotations if a.image_id not in images]
    if lost:
        raise DataError(
            f"{path}: {len(lost)} of {len(content.annotations)} annotations are of images that it"
            f" does not list, such as image_id {lost[0]}",
            hint="leave them out of the file too",
        )
    strange = sorted({a.category_id for a in content.annotations} - categories)
    if strange:
        raise DataError(
            f"{path}: annotations have category_id {', '.join(map(str, strange[:10]))}, which is"
            " not among its categories",
            hint="add them to the file's categories, with their names",
        )


def _boxes(objects: Sequence[Annotation], classes: Mapped, path: Path) -> Boxes:
    corners, areas = [], []
    for item in objects:
        box = item.bbox
        if box is None and item.segmentation:
            box = bounds(item.segmentation, path)
        if box is None or not np.isfinite(box).all() or min(box[2:]) < 0:
            raise DataError(
                f"{path}: an annotation of image {item.image_id} has the bbox {box}; x, y, width"
                " and height are needed",
                hint="bbox of COCO: the upper left corner, width and height, in pixels",
            )
        corners.append((box[0], box[1], box[0] + box[2], box[1] + box[3]))
        areas.append(box[2] * box[3] if item.area is None else item.area)
    return boxes_of(
        corners,
        [classes.index[item.category_id] for item in objects],
        crowd=[bool(item.iscrowd) for item in objects],
        areas=areas,
    )


def _masks(
    objects: Sequence[Sequence[Annotation]], content: Coco, classes: Mapped, reading: Reading
) -> Targets:
    if not any(item.segmentation for item in content.annotations):
        raise DataError(
            f"{reading.path}: no annotation has a segmentation",
            hint=f"its boxes are read with {reading.with_setting('as', 'boxes')}",
        )
    sizes = []
    for image in content.images:
        if not image.width or not image.height:
            raise DataError(
                f"{reading.path}: image {image.file_name} has no width and height",
                hint="masks are drawn in the image's size: add both to its images",
            )
        sizes.append((image.width, image.height))
    regions = [
        [
            Region(
                value=classes.index[item.category_id],
                shape=item.segmentation,
                area=item.area,
                crowd=bool(item.iscrowd),
            )
            for item in found
            if item.segmentation
        ]
        for found in objects
    ]
    return rendered(regions, sizes, classes, where=reading.path)


def _labels(objects: Sequence[Sequence[Annotation]], classes: Mapped, reading: Reading) -> Targets:
    """Which categories are in each image."""
    count = reading.class_count or max(classes.index.values()) + 1
    hot = np.zeros((len(objects), count), np.uint8)
    for row, found in enumerate(objects):
        for item in found:
            hot[row, classes.index[item.category_id]] = 1
    rule = f"categories in each image, {classes.rule}"
    return held_targets("labels", list(hot), rule=rule, names=classes.names)


def _keypoints(objects: Sequence[Sequence[Annotation]], content: Coco, reading: Reading) -> Targets:
    """The points of the one object in each image that has some."""
    labelled = [[item for item in found if any(item.keypoints or ())] for found in objects]
    counts = {
        image.file_name: len(found) for image, found in zip(content.images, labelled, strict=True)
    }
    refuse_other_than_one(counts, reading.path)
    points: list[np.ndarray] = []
    for found in labelled:
        flat = np.asarray(found[0].keypoints, np.float32)
        if flat.size % 3 or (points and flat.size != points[0].size):
            raise DataError(
                f"{reading.path}: an annotation of image {found[0].image_id} has {flat.size}"
                " numbers as keypoints; x, y and visibility of each point are needed",
                hint="every object needs as many points",
            )
        triples = flat.reshape(-1, 3)
        points.append(np.column_stack([triples[:, :2], triples[:, 2] > 0]).astype(np.float32))
    names = _point_names(content.categories)
    rule = "keypoints of one object in each image"
    return held_targets("keypoints", points, rule=rule, names=names)


def _point_names(categories: Sequence[Category]) -> tuple[str, ...]:
    return next((tuple(item.keypoints) for item in categories if item.keypoints), ())


def _check_sizes(samples: SampleSet, images: Sequence[CocoImage], reading: Reading) -> None:
    """Holds the images to the sizes that the file says: its boxes are in those pixels.

    Raises:
        DataError: names those that differ, up to 20.
    """
    said: Mapping[str, Any] = {
        image.file_name: (image.width, image.height) for image in images if image.width
    }
    other = [
        (entry, size)
        for entry, size in zip(samples.entries, samples.image_sizes, strict=True)
        if said.get(entry, size) != size
    ]
    if other:
        shown = "".join(
            f"\n  {entry} {size[0]} x {size[1]}, in the file {said[entry][0]} x {said[entry][1]}"
            for entry, size in other[:20]
        )
        turned = " (turned upright as their EXIF data says)" if reading.turned else ""
        hint = "are they resized, or is it another folder? --images DIR"
        if all(said[entry] == size[::-1] for entry, size in other):
            way = "--no-exif" if reading.turned else "leave --no-exif out"
            hint = f"are its boxes in the pixels of the other way round? {way}; or {hint}"
        raise DataError(
            f"{reading.path}: {len(other)} of {len(samples)} images have another size than it"
            f" says{turned}:{shown}",
            hint=hint,
        )
