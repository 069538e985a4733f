"""predict: images through an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_scnet.data import images
from edge_scnet.errors import ArtifactError
from edge_scnet.pipeline.build_folder import engine_of, first_engine, open_build
from edge_scnet.report.per_class import class_name
from edge_scnet.runtimes import usable_runtime
from edge_scnet.stats.accuracy import top_k


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The most probable classes of one image, best first, as (name, probability 0 to 1)."""

    image: Path
    top: tuple[tuple[str, float], ...]


def predict(
    path: Path | str, image_files: Sequence[Path | str], *, top: int = 5
) -> list[Prediction]:
    """Top-k classes of images through an engine, with the preprocessing it was built with.

    Args:
        path: a build folder (its INT8 engine is taken), or an engine or ONNX file in one.
        top: how many classes.

    Raises:
        ArtifactError, TargetError: as `profile`. DataError: an image that cannot be read, named.
    """
    folder, chosen = open_build(Path(path))
    files = [Path(image) for image in image_files]
    engine = engine_of(folder, chosen or first_engine(folder))
    spec = folder.manifest.model
    inputs = [images.read_image(file, spec) for file in files]
    predictions = []
    with usable_runtime(engine.runtime).open(engine.path, engine.options) as session:
        for image, pixels in zip(files, inputs, strict=True):
            scores = np.array(
                session.infer(np.repeat(pixels[None], session.input_shape[0], axis=0))[0]
            )
            if scores.ndim != 2:
                raise ArtifactError(
                    f"{engine.path.name} is not a classifier: its first output has {scores.ndim}"
                    " dimensions, 2 are needed"
                )
            best, shares = (array[0].tolist() for array in top_k(scores[:1], top))
            names = [class_name(spec.classes, i) for i in best]
            predictions.append(Prediction(image=image, top=tuple(zip(names, shares, strict=True))))
    return predictions
