"""The example's data as files, as `edge-scnet build --calib ... --eval ...` reads them.

Sets of different seeds share no scene, and none is the training's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path

import numpy as np

from edge_scnet.core.files import write_atomic
from edge_scnet.core.optional import require
from edge_scnet.examples.shapes import CLASSES, Scene, scenes
from edge_scnet.examples.single import Single, singles

# Training has seeds below.
_FIRST_SEED = 1_000_000
_SIZE = "--input-size 96 --resize 96"


class Task(str, Enum):
    """The tasks that there is an example for."""

    DETECTION = "detection"
    BINARY = "binary"
    SEGMENTATION = "segmentation"
    KEYPOINTS = "keypoints"
    EMBEDDING = "embedding"


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
    seeds = _FIRST_SEED + 2 * seed, _FIRST_SEED + 2 * seed + 1
    if task is Task.DETECTION:
        write_images(out / "calib", scenes(calib, seed=seeds[0]))
        return _write_detection(out, list(scenes(evaluation, seed=seeds[1])))
    if task in (Task.KEYPOINTS, Task.EMBEDDING):
        write_images(out / "calib", (item.scene for item in singles(calib, seed=seeds[0])))
        _write_singles(out, task, list(singles(evaluation, seed=seeds[1])))
        return _command(out, task, "eval.csv")
    write_images(out / "calib", scenes(calib, seed=seeds[0]))
    drawn = list(scenes(evaluation, seed=seeds[1]))
    if task is Task.SEGMENTATION:
        write_images(out / "eval" / "images", drawn)
        _write_masks(out / "eval" / "masks", drawn)
        return _command(out, task, "eval")
    write_images(out / "eval", drawn)
    _write_table(out, "label", [int(has_disc(scene)) for scene in drawn])
    return _command(out, task, "eval.csv")


def has_disc(scene: Scene) -> bool:
    """Class 1 of the binary example."""
    return CLASSES.index("disc") in scene.classes.tolist()


def _write_detection(out: Path, drawn: list[Scene]) -> str:
    """Folder `eval`, COCO's `eval.json`, and `classes.txt`."""
    write_images(out / "eval", drawn)
    with write_atomic(out / "eval.json") as temporary:
        temporary.write_text(json.dumps(coco_of(drawn)))
    with write_atomic(out / "classes.txt") as temporary:
        temporary.write_text("".join(f"{name}\n" for name in CLASSES))
    return (
        f"edge-scnet build edge_scnet.examples.detector:shapes {_SIZE}"
        f" --class-names {out}/classes.txt --task detection --decode yolox"
        f" --calib {out}/calib --eval {out}/eval.json"
    )


def _command(out: Path, task: Task, evaluation: str) -> str:
    return (
        f"edge-scnet build edge_scnet.examples.heads:{task.value} {_SIZE} --task {task.value}"
        f" --calib {out}/calib --eval {out}/{evaluation}"
    )


def _write_masks(folder: Path, drawn: list[Scene]) -> None:
    image = require("PIL.Image", extra="cpu")
    folder.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(drawn):
        image.fromarray(scene.mask).save(folder / name_of(number))


def _write_singles(out: Path, task: Task, drawn: list[Single]) -> None:
    write_images(out / "eval", [item.scene for item in drawn])
    if task is Task.EMBEDDING:
        _write_table(out, "identity", [item.name for item in drawn])
        return
    corners = [item.scene.corners[0].round(3).tolist() for item in drawn]
    _write_table(
        out, "target_x1,target_y1,target_x2,target_y2", [",".join(map(str, c)) for c in corners]
    )


def _write_table(out: Path, columns: str, rows: Sequence[object]) -> None:
    """Writes `eval.csv`: a path and what is known of the image, a line each."""
    lines = [f"eval/{name_of(number)},{row}\n" for number, row in enumerate(rows)]
    with write_atomic(out / "eval.csv") as temporary:
        temporary.write_text(f"path,{columns}\n" + "".join(lines))


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
