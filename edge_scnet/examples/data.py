"""The example's data as files, as `edge-scnet build --calib ... --eval ...` reads them.

Sets of different seeds share no scene, and none is the training's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

import numpy as np

from edge_scnet.core.files import write_atomic
from edge_scnet.core.optional import require
from edge_scnet.examples.shapes import CLASSES, Scene, scenes

# Training has seeds below.
_FIRST_SEED = 1_000_000


class Task(str, Enum):
    """The tasks that there is an example for."""

    DETECTION = "detection"


def write(out: Path, task: Task, *, calib: int = 300, evaluation: int = 1000, seed: int = 0) -> str:
    """Draws both sets of a task into a folder.

    Args:
        calib, evaluation: numbers of images.
        seed: other images for each.

    Returns:
        The command that builds the example with them.

    Raises:
        StorageError: the folder cannot be written.
    """
    del task  # there is one
    return write_detection(out, calib=calib, evaluation=evaluation, seed=seed)


def write_detection(out: Path, *, calib: int, evaluation: int, seed: int) -> str:
    """Folders `calib` and `eval`, COCO's `eval.json`, and `classes.txt`."""
    first = _FIRST_SEED + 2 * seed
    write_images(out / "calib", scenes(calib, seed=first))
    drawn = list(scenes(evaluation, seed=first + 1))
    write_images(out / "eval", drawn)
    with write_atomic(out / "eval.json") as temporary:
        temporary.write_text(json.dumps(coco_of(drawn)))
    with write_atomic(out / "classes.txt") as temporary:
        temporary.write_text("".join(f"{name}\n" for name in CLASSES))
    return (
        f"edge-scnet build edge_scnet.examples.detector:shapes --input-size 96 --resize 96"
        f" --class-names {out}/classes.txt --task detection --decode yolox"
        f" --calib {out}/calib --eval {out}/eval.json"
    )


def write_images(folder: Path, drawn: Iterable[Scene]) -> None:
    """Writes scenes as 0000.png, 0001.png, ..."""
    image = require("PIL.Image", extra="cpu")
    folder.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(drawn):
        image.fromarray(scene.image).save(folder / name_of(number))


def name_of(number: int) -> str:
    """The name of a scene's file."""
    return f"{number:04d}.png"


def coco_of(drawn: list[Scene]) -> dict[str, object]:
    """COCO's json of scenes whose images lie in `eval`."""
    annotations: list[dict[str, object]] = []
    for number, scene in enumerate(drawn):
        for corners, kind in zip(scene.corners.astype(np.float64), scene.classes, strict=True):
            x1, y1, x2, y2 = (round(float(value), 3) for value in corners)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(kind) + 1,
                    "bbox": [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)],
                    "area": round((x2 - x1) * (y2 - y1), 3),
                    "iscrowd": 0,
                }
            )
    side = drawn[0].image.shape[0]
    return {
        "images": [
            {"id": i, "file_name": f"eval/{name_of(i)}", "width": side, "height": side}
            for i in range(len(drawn))
        ],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
        "annotations": annotations,
    }
