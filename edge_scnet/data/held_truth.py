"""Ground truth that comes with arrays: of a user's function, of items in memory, of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_scnet.core.targets import Boxes, TargetKind, Targets
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


def targets_of(given: Sequence[Any], task: str | None, where: str) -> Targets:
    """Targets of what came with samples.

    Args:
        given: by sample.
        task: what the network is for, which says what numbers are; None: their form does.
        where: where they came from, for messages.

    Raises:
        DataError: a target of no known form, of another form than the first, or that holds NaN.
    """
    kind = _KIND_OF_TASK.get(task or "")
    if any(isinstance(target, Mapping) for target in given):
        boxes = [_boxes(target, f"{where}, sample {i}") for i, target in enumerate(given)]
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


def _boxes(target: Any, where: str) -> Boxes:
    """Boxes as torchvision's detectors have them: x1, y1, x2, y2 in pixels."""
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
    crowd, areas = target.get("iscrowd"), target.get("area")
    return boxes_of(
        corners.reshape(-1, 4).tolist(),
        [int(index) for index in indices],
        crowd=None if crowd is None else [bool(flag) for flag in _array(crowd, where).ravel()],
        areas=None if areas is None else _array(areas, where).ravel().tolist(),
    )


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
