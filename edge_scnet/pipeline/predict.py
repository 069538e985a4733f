"""predict: single samples through an engine, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.feeds import as_taken
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data import arrays, images
from edge_scnet.errors import ArtifactError, DataError
from edge_scnet.pipeline.build_folder import engine_of, first_engine, open_build
from edge_scnet.pipeline.drawing import draw as drawing_of
from edge_scnet.pipeline.drawn_files import places_for, save
from edge_scnet.pipeline.judging import heads_in
from edge_scnet.pipeline.readings import (
    context_of_one,
    heads_of_outputs,
    outputs_for,
    told_of_build,
)
from edge_scnet.runtimes import usable_runtime
from edge_scnet.runtimes.base import Session
from edge_scnet.tasks.base import Context, Evaluator
from edge_scnet.tasks.guess import Told
from edge_scnet.tasks.readout import Classes, Readout, read, read_classes
from edge_scnet.tasks.registry import evaluator_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What an engine says of one image, or of one sample of a file of arrays."""

    image: Path
    # of a classifier: the most probable classes, best first, as (name, probability 0 to 1)
    top: tuple[tuple[str, float], ...]
    readout: Readout
    # what the network is for, and how that is known
    told: Told
    # which sample of a file of arrays
    row: int | None = None
    # width and height of the image, upright, in pixels; None: of arrays
    size: tuple[int, int] | None = None
    # the drawing, where one was asked for
    drawn: Path | None = None

    @property
    def name(self) -> str:
        """The file, with the number of the sample in a file of arrays."""
        return str(self.image) if self.row is None else f"{self.image}[{self.row}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """One sample that is to be predicted."""

    image: Path
    # a batch of it, as `core.feeds` has them
    batch: np.ndarray
    row: int | None = None
    size: tuple[int, int] | None = None


def predict(
    path: Path | str,
    image_files: Sequence[Path | str],
    *,
    top: int = 5,
    draw: Path | str | None = None,
    model_options: ModelOptions | None = None,
) -> list[Prediction]:
    """What an engine says of images, with the preprocessing it was built with.

    Args:
        path: a build folder (its INT8 engine is taken), or an engine or ONNX file in one.
        image_files: .npy and .npz files of arrays too, all their samples.
        top: of classifiers, how many classes.
        draw: a folder for images with the result drawn on them, or one file for one image.
        model_options: `task`, `task_args` and `decode`, to read the outputs another way than the
            build does.

    Raises:
        ArtifactError, TargetError: as `profile`. DataError: an image that cannot be read, named;
            outputs that are not those of the task; a drawing that would overwrite something.
        StorageError: a drawing cannot be written.
    """
    folder, chosen = open_build(Path(path))
    files = [Path(image) for image in image_files]
    engine = engine_of(folder, chosen or first_engine(folder))
    spec = folder.manifest.model
    samples = [sample for file in files for sample in _samples_of(file, spec)]
    places: Sequence[Path | None] = [None] * len(samples)
    if draw is not None:
        _check_pictures(samples)
        places = places_for([sample.image for sample in samples], Path(draw))
    predictions: list[Prediction] = []
    with usable_runtime(engine.runtime).open(engine.path, engine.options) as session:
        reading: _Reading | None = None
        for sample, place in zip(samples, places, strict=True):
            outputs = outputs_for(session, sample.batch)
            if reading is None:
                reading = _Reading.of(folder, session, outputs, model_options)
                if reading.evaluator is None and outputs[0].ndim != 2:
                    raise ArtifactError(
                        f"{engine.path.name} is not a classifier: its first output has"
                        f" {outputs[0].ndim} dimensions, 2 are needed",
                        hint="--task features, or what the network is for",
                    )
            prediction = reading.prediction(sample, outputs, top=top)
            if place is not None:
                pixels = images.colours_of(sample.image, spec)
                save(drawing_of(pixels, prediction.readout), place)
            predictions.append(replace(prediction, drawn=place))
    return predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """How the outputs are read."""

    context: Context
    told: Told

    @staticmethod
    def of(
        folder: BuildFolder,
        session: Session,
        outputs: Sequence[np.ndarray],
        options: ModelOptions | None,
    ) -> _Reading:
        names = session.output_names
        heads = heads_in(folder)
        if len(heads) != len(outputs):
            heads = heads_of_outputs(names, outputs)
        context = context_of_one(folder.manifest.model, heads, [head.name for head in heads])
        told = told_of_build(folder, context, options)
        return _Reading(context=replace(context, task=told.task), told=told)

    @property
    def evaluator(self) -> Evaluator | None:
        return evaluator_for(self.context)

    def prediction(self, sample: _Sample, outputs: Sequence[np.ndarray], *, top: int) -> Prediction:
        context = replace(
            self.context,
            image_sizes=() if sample.size is None else (sample.size,),
            entries=(str(sample.image) if sample.row is None else f"{sample.image}[{sample.row}]",),
        )
        evaluator = evaluator_for(context)
        if evaluator is None:
            said = read_classes(outputs[0], context.spec.classes, top=top)
        else:
            said = read(evaluator, context, outputs, 0)
        form = said.form
        pairs: tuple[tuple[str, float], ...] = ()
        if isinstance(form, Classes):
            names = map(said.name_of, form.indices)
            pairs = tuple(zip(names, form.shares, strict=True))
        return Prediction(
            image=sample.image,
            top=pairs,
            readout=said,
            told=self.told,
            row=sample.row,
            size=sample.size,
        )


def _samples_of(file: Path, spec: ModelSpec) -> Iterator[_Sample]:
    """The samples of a file: an image, or all rows of arrays.

    Raises:
        DataError: it cannot be read, or is no input of this network.
    """
    if file.suffix.lower() in arrays.SUFFIXES:
        batch = arrays.read_arrays([file], spec).batch
        for row in range(len(batch)):
            yield _Sample(image=file, batch=batch[row : row + 1], row=row)
        return
    if not spec.takes_pictures:
        raise DataError(
            f"{spec.name} takes {' x '.join(map(str, spec.input_shape))}"
            + (f" and {len(spec.more_inputs)} more inputs" if spec.more_inputs else "")
            + f", which a picture cannot fill: {file}",
            hint="give .npy or .npz files: samples along the first axis",
        )
    pixels = images.decode(file, spec, hint=images.hint_for(file))
    yield _Sample(
        image=file,
        batch=as_taken(images.preprocess(pixels, spec)[None], spec),
        size=(pixels.shape[1], pixels.shape[0]),
    )


def _check_pictures(samples: Sequence[_Sample]) -> None:
    """Refuses arrays, which nothing can be drawn on.

    Raises:
        DataError: names the first.
    """
    for sample in samples:
        if sample.size is None:
            raise DataError(
                f"{sample.image} holds arrays, which nothing can be drawn on",
                hint="leave --draw out",
            )
