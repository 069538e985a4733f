"""predict: single samples through an engine, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.feeds import as_taken
from edge_scnet.core.preprocessing import BY_DEFAULT
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data import arrays, images
from edge_scnet.errors import ArtifactError, DataError
from edge_scnet.pipeline.build_folder import engine_of, first_engine, open_build
from edge_scnet.pipeline.context import heads_in
from edge_scnet.pipeline.drawing import draw as drawing_of
from edge_scnet.pipeline.drawn_files import places_for, save
from edge_scnet.pipeline.readings import heads_of_outputs, outputs_for, told_of_build
from edge_scnet.runtimes import usable_runtime
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
        return _name_of(self.image, self.row)


def _name_of(image: Path, row: int | None) -> str:
    return str(image) if row is None else f"{image}[{row}]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sample:
    """One sample that is to be predicted."""

    image: Path
    # a batch of it, as `core.feeds` has them
    batch: np.ndarray
    row: int | None = None
    size: tuple[int, int] | None = None

    @property
    def is_picture(self) -> bool:
        return self.size is not None

    @property
    def name(self) -> str:
        return _name_of(self.image, self.row)


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
    if folder.manifest.fed_with == "arrays":
        _check_arrays(files, spec)
    samples = [sample for file in files for sample in _samples_of(file, spec)]
    places: Sequence[Path | None] = [None] * len(samples)
    if draw is not None:
        _check_pictures(samples)
        places = places_for([sample.image for sample in samples], Path(draw))
    readings: dict[bool, _Reading] = {}
    predictions = []
    with usable_runtime(engine.runtime).open(engine.path, engine.options) as session:
        for sample, place in zip(samples, places, strict=True):
            outputs = outputs_for(session, sample.batch)
            if sample.is_picture not in readings:
                alike = [each for each in samples if each.is_picture == sample.is_picture]
                readings[sample.is_picture] = _reading_of(
                    folder, session.output_names, outputs, alike, model_options
                )
            reading = readings[sample.is_picture]
            if reading.evaluator is None and outputs[0].ndim != 2:
                raise ArtifactError(
                    f"{engine.path.name} is not a classifier: its first output has"
                    f" {outputs[0].ndim} dimensions, 2 are needed",
                    hint="say what the network is for: --task features",
                )
            said = reading.read(sample, outputs, top=top)
            if place is not None:
                save(drawing_of(images.colours_of(sample.image, spec), said), place)
            predictions.append(_prediction(sample, said, reading.told, place))
    return predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """How the outputs for samples of one kind are read."""

    context: Context
    told: Told
    # None: by the largest column of the first output
    evaluator: Evaluator | None
    # of the samples in the context
    indices: dict[_Sample, int]

    def read(self, sample: _Sample, outputs: Sequence[np.ndarray], *, top: int) -> Readout:
        """What the outputs for a sample mean."""
        if self.evaluator is None:
            return read_classes(outputs[0], self.context.spec.classes, top=top)
        return read(self.evaluator, self.context, outputs, self.indices[sample])


def _reading_of(
    folder: BuildFolder,
    names: Sequence[str],
    outputs: Sequence[np.ndarray],
    samples: Sequence[_Sample],
    options: ModelOptions | None,
) -> _Reading:
    """How outputs are read.

    Args:
        names, outputs: of the first sample.
        samples: all images, or all arrays.

    Raises:
        DataError, ArtifactError: as `told_of_build`, or arguments that the task does not take.
    """
    heads = heads_in(folder)
    if len(heads) != len(outputs):
        heads = heads_of_outputs(names, outputs)
    context = Context(
        spec=folder.manifest.model,
        output_names=tuple(head.name for head in heads),
        count=len(samples),
        image_sizes=tuple(sample.size for sample in samples if sample.size is not None),
        entries=tuple(sample.name for sample in samples),
        heads=heads,
    )
    told = told_of_build(folder, context, options)
    context = replace(context, task=told.task)
    return _Reading(
        context=context,
        told=told,
        evaluator=evaluator_for(context),
        indices={sample: index for index, sample in enumerate(samples)},
    )


def _prediction(sample: _Sample, said: Readout, told: Told, drawn: Path | None) -> Prediction:
    top: tuple[tuple[str, float], ...] = ()
    if isinstance(said.form, Classes):
        names = map(said.name_of, said.form.indices)
        top = tuple(zip(names, said.form.shares, strict=True))
    return Prediction(
        image=sample.image,
        top=top,
        readout=said,
        told=told,
        row=sample.row,
        size=sample.size,
        drawn=drawn,
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


def _check_arrays(files: Sequence[Path], spec: ModelSpec) -> None:
    """Refuses pictures for a build of arrays, where nobody said how pictures are prepared.

    Raises:
        DataError: names the first.
    """
    rule = spec.preprocessing
    if BY_DEFAULT not in (rule.origin("mean"), rule.origin("std")):
        return
    for file in files:
        if file.suffix.lower() not in arrays.SUFFIXES:
            raise DataError(
                f"{file}: {spec.name} was built with arrays, and nobody said how it wants pictures",
                hint=(
                    "give .npy or .npz files, prepared as those were; or build with --preprocess"
                    " NAME, or --mean and --std"
                ),
            )


def _check_pictures(samples: Sequence[_Sample]) -> None:
    """Refuses arrays, which nothing can be drawn on.

    Raises:
        DataError: names the first.
    """
    for sample in samples:
        if not sample.is_picture:
            raise DataError(
                f"{sample.image} holds arrays, which nothing can be drawn on",
                hint="leave --draw out",
            )
