"""The user's own decode function: imported, called, and what it returns checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from edge_scnet.errors import DataError
from edge_scnet.tasks import user
from edge_scnet.tasks.decoders.base import Detections, ImageInfo, Outputs, words

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
HINT = (
    "it is called as decode(outputs, info), with the outputs of one image by name, and returns"
    " corners [n, 4] in pixels of the network's input, scores [n] and classes [n]"
)


def is_function(name: str) -> bool:
    """Whether a --decode has the form of package.module:function."""
    return _FUNCTION.fullmatch(name) is not None


def imported(name: str) -> Callable[[Outputs, ImageInfo], Any]:
    """The function of the name package.module:function.

    Raises:
        DataError: it cannot be imported, or is no function.
    """
    found = user.imported(name)
    if not callable(found):
        raise DataError(f"decode {name} is a {type(found).__name__}, no function", hint=HINT)
    function: Callable[[Outputs, ImageInfo], Any] = found
    return function


def called(
    function: Callable[[Outputs, ImageInfo], Any], name: str, outputs: Outputs, info: ImageInfo
) -> Detections:
    """What the function says of an image, best first.

    Raises:
        DataError: it raises something, or returns something else; names the image.
    """
    with user.calling(f"decode {name} at {info.entry}", hint=HINT):
        result = function(outputs, info)
    if isinstance(result, Detections):
        result = (result.corners, result.scores, result.classes)
    if not isinstance(result, tuple | list) or len(result) != 3:
        kind = type(result).__name__
        length = f" of {len(result)}" if isinstance(result, tuple | list) else ""
        raise DataError(
            f"decode {name} returns a {kind}{length} at {info.entry}; three arrays are wanted",
            hint=HINT,
        )
    corners, scores, classes = (np.asarray(part) for part in result)
    if not len(scores.reshape(-1)) and not corners.size:
        corners, scores, classes = np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)
    _check(corners, scores, classes, f"decode {name} returns at {info.entry}")
    order = np.argsort(-scores, kind="stable")
    return Detections(
        corners=corners[order].astype(np.float32),
        scores=scores[order].astype(np.float32),
        classes=classes[order].astype(np.int64),
    )


def _check(corners: np.ndarray, scores: np.ndarray, classes: np.ndarray, returns: str) -> None:
    count = len(scores) if scores.ndim == 1 else 0
    for what, array, wanted in (
        ("scores", scores, (count,)),
        ("corners", corners, (count, 4)),
        ("classes", classes, (count,)),
    ):
        if array.shape != wanted:
            sizes = "n" if what == "scores" else words(wanted)
            raise DataError(f"{returns} {what} {words(array.shape)}; wanted {sizes}", hint=HINT)
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise DataError(f"{returns} {what} that are not all finite numbers", hint=HINT)
    if count and (classes.min() < 0 or (classes != np.rint(classes)).any()):
        wrong = classes[(classes < 0) | (classes != np.rint(classes))][0]
        raise DataError(f"{returns} the class {wrong}; wanted are indices from 0", hint=HINT)
