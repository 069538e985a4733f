"""predict: single samples through an engine, and what it says of them."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.preprocessing import BY_DEFAULT
from edge_scnet.core.spec import ModelSpec, engine_spec
from edge_scnet.data import arrays, images
from edge_scnet.data.batches import inputs_of
from edge_scnet.data.codes import Numbers, refuse_codes
from edge_scnet.data.listing import files_of
from edge_scnet.errors import ArtifactError, DataError
from edge_scnet.pipeline.build_folder import engine_of, first_engine, open_build
from edge_scnet.pipeline.context import heads_in
from edge_scnet.pipeline.drawing import draw as drawing_of
from edge_scnet.pipeline.drawn_files import places_for, save
from edge_scnet.pipeline.numbers_taken import numbers_taken
from edge_scnet.pipeline.readings import heads_of_outputs, outputs_for, told_of_build
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of an engine."""

    # images, files of arrays, and folders of them
    paths: tuple[Path, ...]
    # of classifiers, how many classes
    top: int = 5
    # a folder for drawings, or one file for one image
    draw: Path | None = None
    # `task`, `task_args` and `decode`
    model_options: ModelOptions | None = None
    # leave out what cannot be read
    skip_bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that could not be read, and was left out."""

    image: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What an engine says of each sample, and which files were left out."""

    predictions: tuple[Prediction, ...]
    skipped: tuple[Skipped, ...]


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
        image_files: .npy and .npz files of arrays too, all their samples; folders, all images and
            arrays below them.
        top: of classifiers, how many classes.
        draw: a folder for images with the result drawn on them, or one file for one image.
        model_options: `task`, `task_args` and `decode`, to read the outputs another way than the
            build does.

    Raises:
        ArtifactError, TargetError: as `profile`. DataError: an image that cannot be read, named;
            a folder without any; outputs that are not those of the task; a drawing that would
            overwrite something.
        StorageError: a drawing cannot be written.
    """
    asked = Asked(
        paths=tuple(map(Path, image_files)),
        top=top,
        draw=None if draw is None else Path(draw),
        model_options=model_options,
    )
    return list(predict_all(path, asked).predictions)


def predict_all(path: Path | str, asked: Asked, *, events: Events | None = None) -> Predicted:
    """What an engine says of all that is asked, the samples of two files in memory at a time.

    Raises:
        DataError: as `predict`; with `skip_bad` of files only where none can be read.
    """
    folder, chosen = open_build(Path(path))
    files = files_of(asked.paths)
    engine = engine_of(folder, chosen or first_engine(folder))
    if engine.cold and events is not None:
        events.warn(engine.cold)
    spec = engine_spec(folder.manifest.model, engine.input)
    _check_kinds(files, folder)
    holds_arrays = any(file.suffix.lower() in arrays.SUFFIXES for file in files)
    wanted = numbers_taken(folder) if holds_arrays and not engine.input.is_bytes else None
    places: Sequence[Path | None] = [None] * len(files)
    if asked.draw is not None:
        _check_pictures(files)
        places = places_for(files, asked.draw)
    predictions: list[Prediction] = []
    skipped: list[Skipped] = []
    with (
        usable_runtime(engine.runtime).open(engine.path, engine.options) as session,
        contextlib.closing(_in_turn(files, spec, wanted)) as prepared,
    ):
        reader = _Reader(folder=folder, session=session, name=engine.path.name, asked=asked)
        for number, (file, place, of_file) in enumerate(zip(files, places, prepared, strict=True)):
            if events is not None:
                events.progress("predict", number / len(files), number, "images")
            try:
                samples = of_file.result()
            except DataError as error:
                if not asked.skip_bad:
                    if len(files) > 1:
                        error.hint = f"{error.hint}; to leave it out: --skip-bad"
                    raise
                skipped.append(Skipped(image=str(file), error=error.message))
                continue
            predictions += (reader.predict(sample, place) for sample in samples)
    if not predictions:
        raise DataError(
            f"none of the {len(files)} files can be read; the first: {skipped[0].error}",
            hint=f"file {skipped[0].image}",
        )
    return Predicted(predictions=tuple(predictions), skipped=tuple(skipped))


class _Reader:
    """Runs samples through a session, and reads its outputs."""

    def __init__(self, *, folder: BuildFolder, session: Session, name: str, asked: Asked) -> None:
        self._folder, self._session, self._name, self._asked = folder, session, name, asked
        # how samples are read: pictures, and arrays
        self._told: dict[bool, Told] = {}

    def predict(self, sample: _Sample, place: Path | None) -> Prediction:
        """What the engine says of a sample; it is drawn to `place`.

        Raises:
            ArtifactError: the network is no classifier, and of no other known use.
        """
        outputs = outputs_for(self._session, sample.batch)
        reading = self._reading_of(sample, outputs)
        if reading.evaluator is None and outputs[0].ndim != 2:
            raise ArtifactError(
                f"{self._name} is not a classifier: its first output has {outputs[0].ndim}"
                " dimensions, 2 are needed",
                hint="say what the network is for: --task features",
            )
        said = reading.read(outputs, top=self._asked.top)
        if place is not None:
            spec = self._folder.manifest.model
            save(drawing_of(images.colours_of(sample.image, spec), said), place)
        return _prediction(sample, said, reading.told, place)

    def _reading_of(self, sample: _Sample, outputs: Sequence[np.ndarray]) -> _Reading:
        """How a sample's outputs are read.

        Raises:
            DataError, ArtifactError: as `told_of_build`, or arguments that the task does not take.
        """
        heads = heads_in(self._folder)
        if len(heads) != len(outputs):
            heads = heads_of_outputs(self._session.output_names, outputs)
        context = Context(
            spec=self._folder.manifest.model,
            output_names=tuple(head.name for head in heads),
            count=1,
            image_sizes=() if sample.size is None else (sample.size,),
            entries=(sample.name,),
            heads=heads,
        )
        if sample.is_picture not in self._told:
            told = told_of_build(self._folder, context, self._asked.model_options)
            self._told[sample.is_picture] = told
        told = self._told[sample.is_picture]
        context = replace(context, task=told.task)
        return _Reading(context=context, told=told, evaluator=evaluator_for(context))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """How the outputs for one sample are read."""

    context: Context
    told: Told
    # None: by the largest column of the first output
    evaluator: Evaluator | None

    def read(self, outputs: Sequence[np.ndarray], *, top: int) -> Readout:
        """What the outputs for the sample mean."""
        if self.evaluator is None:
            return read_classes(outputs[0], self.context.spec.classes, top=top)
        return read(self.evaluator, self.context, outputs, 0)


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


def _in_turn(
    files: Sequence[Path], spec: ModelSpec, wanted: Numbers | None
) -> Generator[Future[list[_Sample]]]:
    """Yields the samples of each file; those of the next are prepared while an engine has these."""
    with ThreadPoolExecutor(1) as pool:
        ahead: deque[Future[list[_Sample]]] = deque()
        for file in files:
            ahead.append(pool.submit(_samples_of, file, spec, wanted))
            if len(ahead) > 1:
                yield ahead.popleft()
        yield from ahead


def _samples_of(file: Path, spec: ModelSpec, wanted: Numbers | None) -> list[_Sample]:
    """The samples of a file: an image, or all rows of arrays.

    Args:
        wanted: the numbers that the engine takes; None: nobody knows, or codes.

    Raises:
        DataError: it cannot be read, or is no input of this network.
    """
    if file.suffix.lower() in arrays.SUFFIXES:
        held = arrays.read_arrays([file], spec)
        batch = held.batch
        if wanted is not None:
            refuse_codes(batch, wanted, where=str(file), were_bytes=held.were_bytes)
        return [
            _Sample(image=file, batch=batch[row : row + 1], row=row) for row in range(len(batch))
        ]
    pixels = images.decode(file, spec, hint=images.hint_for(file))
    batch = inputs_of([pixels], spec)
    return [_Sample(image=file, batch=batch, size=(pixels.shape[1], pixels.shape[0]))]


def _check_kinds(files: Sequence[Path], folder: BuildFolder) -> None:
    """Refuses pictures for a network that takes none, or of which nobody said how to prepare them.

    Raises:
        DataError: names the first.
    """
    spec = folder.manifest.model
    pictures = (file for file in files if file.suffix.lower() not in arrays.SUFFIXES)
    if (file := next(pictures, None)) is None:
        return
    if not spec.takes_pictures:
        raise DataError(
            f"{spec.name} takes {' x '.join(map(str, spec.input_shape))}"
            + (f" and {len(spec.more_inputs)} more inputs" if spec.more_inputs else "")
            + f", which a picture cannot fill: {file}",
            hint="give .npy or .npz files: samples along the first axis",
        )
    rule = spec.preprocessing
    is_unsaid = BY_DEFAULT in (rule.origin("mean"), rule.origin("std"))
    if folder.manifest.fed_with == "arrays" and is_unsaid:
        raise DataError(
            f"{file}: {spec.name} was built with arrays, and nobody said how it wants pictures",
            hint=(
                "give .npy or .npz files, prepared as those were; or build with --preprocess"
                " NAME, or --mean and --std"
            ),
        )


def _check_pictures(files: Sequence[Path]) -> None:
    """Refuses arrays, which nothing can be drawn on.

    Raises:
        DataError: names the first.
    """
    for file in files:
        if file.suffix.lower() in arrays.SUFFIXES:
            raise DataError(
                f"{file} holds arrays, which nothing can be drawn on", hint="leave --draw out"
            )
