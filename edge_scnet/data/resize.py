"""Images resized as Pillow does it, or as OpenCV does it: their results differ.

Pillow's filters grow with the factor by which an image shrinks, so that stripes do not alias;
OpenCV's bilinear and bicubic look at 2 x 2 and 4 x 4 pixels whatever the factor. Pillow's bicubic
has a = -0.5, OpenCV's -0.75. Both are imported only where something is resized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require

if TYPE_CHECKING:
    from PIL import Image

    from edge_scnet.core.preprocessing import Preprocessing

# The methods by the names that each library has for them.
PILLOW_METHODS = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "area": "BOX",
    "lanczos": "LANCZOS",
}
OPENCV_METHODS = {
    "nearest": "INTER_NEAREST",
    "bilinear": "INTER_LINEAR",
    "bicubic": "INTER_CUBIC",
    "area": "INTER_AREA",
    "lanczos": "INTER_LANCZOS4",
}


def check_resampler(preprocessing: Preprocessing) -> None:
    """Refuses a library that is not installed, before the first picture is read.

    Raises:
        MissingRuntimeError: with the extra that brings it.
    """
    if preprocessing.library == "opencv":
        require("cv2", extra="opencv")
    else:
        require("PIL.Image", extra="cpu")


def resized(
    image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing, *, highest: int
) -> np.ndarray:
    """An image in another size.

    Args:
        image: uint8 or uint16, H x W x C with one or three channels.
        size: width and height.
        highest: the largest code, which a filter may not pass.

    Returns:
        uint8, or of uint16 float32 codes that are not rounded.

    Raises:
        MissingRuntimeError: the library that resizes is not installed.
    """
    if size == (image.shape[1], image.shape[0]):
        return image
    if image.dtype != np.uint8:
        image = image.astype(np.float32)
    function = _by_opencv if preprocessing.library == "opencv" else _by_pillow
    out = function(image, size, preprocessing)
    return out if out.dtype == np.uint8 else np.clip(out, 0, highest)


def _by_opencv(
    image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
) -> np.ndarray:
    cv2 = require("cv2", extra="opencv")
    flag = getattr(cv2, OPENCV_METHODS[preprocessing.interpolation])
    out: np.ndarray = cv2.resize(image, size, interpolation=flag)
    return out.reshape(size[1], size[0], image.shape[2])


def _by_pillow(
    image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
) -> np.ndarray:
    require("PIL.Image", extra="cpu")
    from PIL import Image

    if image.dtype == np.uint8 and image.shape[2] == 3:
        out = np.asarray(_of_pillow(Image.fromarray(image), size, preprocessing))
    else:  # Pillow has no pictures of three float channels
        planes = [
            np.asarray(_of_pillow(Image.fromarray(plane), size, preprocessing))
            for plane in np.moveaxis(image, -1, 0)
        ]
        out = np.stack(planes, axis=-1)
    return out.reshape(size[1], size[0], image.shape[2])


def _of_pillow(
    image: Image.Image, size: tuple[int, int], preprocessing: Preprocessing
) -> Image.Image:
    from PIL import Image

    method = Image.Resampling[PILLOW_METHODS[preprocessing.interpolation]]
    if preprocessing.antialias or preprocessing.interpolation == "nearest":
        return image.resize(size, method)
    # the same filter at its smallest, at the points where the pixels' centres come to lie
    scale_x, scale_y = image.width / size[0], image.height / size[1]
    return image.transform(
        size, Image.Transform.AFFINE, (scale_x, 0, 0, 0, scale_y, 0), resample=method
    )
