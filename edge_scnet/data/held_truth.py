"""Ground truth that comes with arrays: of a user's function, of items in memory, of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_scnet.core.spec import ModelSpec
from edge_scnet.core.targets import Boxes, TargetKind, Targets
from edge_scnet.data.box_checks import check_corners, check_inside
from edge_scnet.data.labels import NO_LABELS, known_classes
from edge_scnet.data.masks import NOT_JUDGED
from edge_scnet.data.truth import boxes_of, held_targets
from edge_scnet.errors import DataError

_KIND_OF_TASK: Mapping[str, TargetKind] = {
    "multilabel": "labels",
    "regression": "values",
    "keypoints": "keypoints",
    "segmentation": "mask",
    "embedding": "identity",
    "detection": "boxes",
}
_FORMS = (
    "a target is numbers (values), 0 and 1 (labels), points x 3 (keypoints), H x W whole numbers (a"
    ' mask), or {"boxes": N x 4, "labels": N}'
)


def targets_of(given: Sequence[Any], model: ModelSpec, where: str) -> Targets:
    """Targets of what came with samples.

    Args:
        given: by sample.
        model: whose task says what numbers are; where it has none, their form does.
        where: where they came from, for messages.

    Raises:
        DataError: a target of no known form, of another form than the first, or that holds NaN; a
            mask or boxes that do not fit the model.
    """
    kind = _KIND_OF_TASK.get(model.task.kind if model.task is not None else "")
    if any(isinstance(target, Mapping) for target in given):
        boxes = [_boxes(target, model, f"{where}, sample {i}") for i, target in enumerate(given)]
        return held_targets("boxes", boxes, rule="boxes given with the samples")
    arrays = [_array(target, f"{where}, sample {i}") for i, target in enumerate(given)]
    kind = kind or _kind_of(arrays)
    values = [_as(kind, array, f"{where}, sample {i}") for i, array in enumerate(arrays)]
    shapes = {value.shape for value in values}
    if kind != "mask" and len(shapes) > 1:
        odd = next(i for i, value in enumerate(values) if value.shape != values[0].shape)
        raise DataError(
            f"{where}: the target of sample {odd} is {_words(arrays[odd])}, that of sample 0"
            f" {_words(arrays[0])}",
            hint="all samples need targets of one shape",
        )
    if kind == "mask":
        for i, mask in enumerate(values):
            _check_mask(mask, model, f"{where}, sample {i}")
    kept = [int(value) for value in values] if kind == "identity" else values
    return held_targets(kind, kept, rule=f"{kind} given with the samples")


def _kind_of(arrays: Sequence[np.ndarray]) -> TargetKind:
    first = arrays[0]
    whole = first.dtype.kind in "iub"
    if first.ndim == 2 and whole:
        return "mask"
    if first.ndim == 2 and first.shape[1] in (2, 3):
        return "keypoints"
    if whole and first.ndim == 1 and all(np.isin(array, (0, 1)).all() for array in arrays):
        return "labels"
    return "values"


def _as(kind: TargetKind, array: np.ndarray, where: str) -> np.ndarray:
    """An array in the form of a kind.

    Raises:
        DataError: it has another.
    """
    if kind == "values":
        return array.astype(np.float32).ravel()
    if kind == "labels" and np.isin(array, (0, 1)).all():
        return array.astype(np.uint8).ravel()
    if kind == "mask" and array.ndim == 2 and array.dtype.kind in "iub":
        return array.astype(np.int32)
    if kind == "identity" and array.size == 1 and array.dtype.kind in "iu":
        return array.reshape(())
    if kind == "keypoints" and array.ndim == 2 and array.shape[1] in (2, 3):
        seen = array[:, 2:] > 0 if array.shape[1] == 3 else np.ones((len(array), 1))
        return np.concatenate([array[:, :2], seen], axis=1).astype(np.float32)
    raise DataError(f"{where}: the target {_words(array)} is no {kind}", hint=_FORMS)


def _check_mask(mask: np.ndarray, model: ModelSpec, where: str) -> None:
    """Holds a mask to the classes of the model and to the form of its input.

    A mask is of the whole input, maybe at a coarser step.

    Raises:
        DataError: another ratio of width and height, or a value that is no class.
    """
    height, width = mask.shape
    if _has_pixels(model) and abs(width * model.height - height * model.width) > max(
        model.height, model.width
    ):
        raise DataError(
            f"{where}: the mask is {width} x {height} pixels, the input"
            f" {model.width} x {model.height}",
            hint="a mask is of the whole input: cut and resize it as the input is",
        )
    arguments = model.task.arguments if model.task is not None else {}
    count = known_classes(model)[1]
    values = np.unique(mask)
    ignored = (NOT_JUDGED, arguments.get("ignore"))
    strange = [
        int(value)
        for value in values
        if int(value) not in ignored and (value < 0 or 0 < max(count, 2 * bool(count)) <= value)
    ]
    if strange and "foreground" not in arguments:
        raise DataError(
            f"{where}: the mask has the value {strange[0]}; the model has {count or 'no such'}"
            f" classes, from 0, and {NOT_JUDGED} is not judged",
            hint=f"is it --num-classes {max(strange) + 1}? or {NO_LABELS}",
        )


def _has_pixels(model: ModelSpec) -> bool:
    return len(model.input_shape) == 3 and not model.more_inputs


def _boxes(target: Any, model: ModelSpec, where: str) -> Boxes:
    """Boxes as torchvision's detectors have them: x1, y1, x2, y2 in pixels.

    Raises:
        DataError: they have another form, are outside of the input, or of no class of the model.
    """
    if not isinstance(target, Mapping):
        raise DataError(f"{where}: the target is a {type(target).__name__}", hint=_FORMS)
    classes = next((target[name] for name in ("labels", "classes") if name in target), None)
    if classes is None or "boxes" not in target:
        raise DataError(
            f"{where}: the target has {', '.join(map(str, target)) or 'nothing'}; boxes and labels"
            " are needed",
            hint=_FORMS,
        )
    corners, indices = _array(target["boxes"], where), _array(classes, where).ravel()
    if corners.size != 4 * len(indices):
        raise DataError(
            f"{where}: {corners.size / 4:g} boxes have {len(indices)} labels", hint=_FORMS
        )
    count = known_classes(model)[1]
    strange = [n for n in indices if n != int(n) or n < 0 or (count and n >= count)]
    if strange:
        raise DataError(
            f"{where}: a box has the class {strange[0]}; the model has {count or 'no such'}"
            " classes, from 0",
            hint=f"is it --num-classes {int(max(indices)) + 1}? or {NO_LABELS}",
        )
    check_corners(corners.reshape(-1, 4).tolist(), where)
    crowd, areas = target.get("iscrowd"), target.get("area")
    found = boxes_of(
        corners.reshape(-1, 4).tolist(),
        [int(index) for index in indices],
        crowd=None if crowd is None else [bool(flag) for flag in _array(crowd, where).ravel()],
        areas=None if areas is None else _array(areas, where).ravel().tolist(),
    )
    if _has_pixels(model):
        check_inside(found, (model.width, model.height), where)
    return found


def _array(value: Any, where: str) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except Exception as error:
        raise DataError(f"{where}: a target is no array: {error}", hint=_FORMS) from error
    if array.dtype.kind not in "fiub":
        raise DataError(f"{where}: a target is of {array.dtype}; numbers are needed", hint=_FORMS)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{where}: a target holds NaN or infinite values", hint=_FORMS)
    return array


def _words(array: np.ndarray) -> str:
    shape = " x ".join(map(str, array.shape)) or "a single number"
    return f"of {array.dtype} {shape}"
