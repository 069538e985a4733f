"""data check: what is in the sample sets, and whether it is what the network was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.manifest import FLOAT_ONNX, MANIFEST
from edge_scnet.core.preprocessing_units import unit_doubt
from edge_scnet.core.preprocessing_words import input_words
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.batches import load
from edge_scnet.data.checks import count_warnings, shared_with
from edge_scnet.data.labels import Role
from edge_scnet.data.samples import (
    FEW_CALIBRATION,
    MIN_CALIBRATION,
    SampleSet,
    bundled_sets,
    open_samples,
    spread,
)
from edge_scnet.errors import DataError, ExitCode, first_line
from edge_scnet.models.zoo import ModelSource
from edge_scnet.pipeline.decide import find_model
from edge_scnet.pipeline.first_norm import FAR, FirstNorm, first_norm
from edge_scnet.pipeline.input_line import settled
from edge_scnet.pipeline.judging import check_early
from edge_scnet.pipeline.request import Request

# samples whose values are looked at
_VALUES = 256
_AT_ONCE = 32
_MOST_CHANNELS = 16
# of what a network gets, beyond which mean and std are rarely right
_LARGEST, _SMALLEST_STD = 20.0, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Width and height of images, in pixels."""

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    # with a side shorter than the input's shorter one
    smaller_than_input: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFacts:
    """What one set holds."""

    role: Role
    where: str
    count: int
    is_images: bool
    # how labels or targets were found, in words; None: there are none
    truth: str | None
    # of classes that samples have
    classes: int | None
    # samples of the rarest and of the most frequent class
    rarest: int | None
    most: int | None
    # of boxes; None: targets are none
    boxes: int | None
    sizes: Sizes | None
    # that cannot be read
    unreadable: int
    # why, up to 20
    why: tuple[str, ...]
    # samples that others are copies of, and left out
    copies: int
    copies_left_out: int
    # two that are the same
    example: tuple[str, str] | None
    # files of types that are not read, by suffix
    ignored: dict[str, int]
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFacts:
    """What the network gets in one channel of its first input."""

    mean: float
    std: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheck:
    """What was found about the sets of a model."""

    model: str
    # the input and its preprocessing, in words
    input: str
    sets: tuple[SetFacts, ...]
    # evaluation samples that are calibration samples too; None: there are no two sets
    shared: int | None
    shared_example: tuple[str, str] | None
    # of the first input; one for all where there are more than 16
    channels: tuple[ChannelFacts, ...]
    # the comparison with the first BatchNorm, or why there is none
    norm: FirstNorm | str
    # what a build refuses
    problems: tuple[str, ...]
    # what is doubtful
    warnings: tuple[str, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0, or 4 where a build would refuse the sets or leave samples out."""
        return ExitCode.DATA if self.problems else ExitCode.OK


def check_data(  # noqa: PLR0913  the command's options, by keyword
    model: str,
    *,
    calib: str | None,
    evaluation: str | None,
    model_options: ModelOptions | None = None,
    skip_bad: bool = False,
    ignore_labels: bool = False,
    events: Events | None = None,
) -> DataCheck:
    """Looks at the sample sets of a model, decodes all of it, and compares it with the model.

    Args:
        model: as `build`'s, or a build folder, whose evaluation set is looked at where none is
            given.
        calib, evaluation: sets as `build` takes them; for bundled models the bundled ones.
        model_options: as `build`'s.
        skip_bad: what cannot be read is left out, and no problem.
        ignore_labels: of the evaluation set.
        events: told of what is doubtful about the model.

    Raises:
        DataError: no set at all, one that cannot be read as a whole, or ground truth and a task
            that do not fit the model.
        ArtifactError: no such model.
    """
    asked = _request(model, calib, evaluation, model_options)
    source, stored = _source(asked, events or Silent())
    is_build = (Path(model) / MANIFEST).is_file()
    spec = source.spec
    bundled = bundled_sets(spec.dataset) if spec.dataset else (None, None)
    named: dict[Role, str | Path | None] = {
        "calibration": calib or (bundled[0] if evaluation is None else None),
        "evaluation": evaluation or stored or (bundled[1] if calib is None else None),
    }
    sets = {
        role: open_samples(
            name,
            model=spec,
            role=role,
            skip_bad=True,
            ignore_labels=ignore_labels and role == "evaluation",
        )
        for role, name in named.items()
        if name is not None
    }
    if not sets:
        raise DataError(
            f"{spec.name} has no bundled images: which are to be checked?",
            hint=f"edge-scnet data check {model} --calib DATA --eval DATA",
        )
    if not is_build:  # which keeps what it was built with
        spec = settled(spec, *sets.values())
        source = replace(source, spec=spec)
        check_early(source, sets.get("evaluation"))
    looked_at = sets.get("calibration") or sets["evaluation"]
    facts = tuple(_facts(samples, role, str(named[role]), spec) for role, samples in sets.items())
    channels = _channels(looked_at, spec)
    norm = _norm(source, looked_at)
    shared = _shared(sets)
    return DataCheck(
        model=spec.name,
        input=input_words(spec) if looked_at.arrays is None else _shape_words(spec),
        sets=facts,
        shared=None if shared is None else len(shared),
        shared_example=shared[0] if shared else None,
        channels=channels,
        norm=norm,
        problems=tuple(_problems(facts, shared, skip_bad=skip_bad)),
        warnings=(
            *_warnings_of_sets(sets, spec, skip_bad=skip_bad),
            *_warnings(channels, norm, has_doubt=_unit_doubt(sets, spec) is not None),
        ),
    )


def _request(
    model: str, calib: str | None, evaluation: str | None, options: ModelOptions | None
) -> Request:
    return Request(
        model=model,
        target="cpu",
        calib=calib,
        evaluation=evaluation,
        out=Path("build"),
        options=options or ModelOptions(),
        skip_bad=True,
    )


def _source(request: Request, events: Events) -> tuple[ModelSource, str | None]:
    """The model, and a build folder's own evaluation set."""
    path = Path(request.model)
    if not (path / MANIFEST).is_file():
        return find_model(request, events), None
    folder = BuildFolder.open(path)
    float_file = folder.verified(FLOAT_ONNX)
    source = ModelSource(spec=folder.manifest.model, kind="onnx", location=str(float_file))
    return source, folder.manifest.evaluation


def _facts(samples: SampleSet, role: Role, where: str, spec: ModelSpec) -> SetFacts:
    by_class = Counter(samples.labels or ())
    copies = len(samples) - len(set(samples.content_hashes))
    targets = samples.targets
    boxes = None
    if targets is not None and targets.kind == "boxes":
        boxes = sum(len(targets.at(i).classes) for i in range(len(samples)))
    return SetFacts(
        role=role,
        where=where,
        count=len(samples),
        is_images=samples.arrays is None,
        truth=samples.label_rule if targets is None else targets.rule,
        classes=len(by_class) or None,
        rarest=min(by_class.values(), default=None),
        most=max(by_class.values(), default=None),
        boxes=boxes,
        sizes=_sizes(samples, spec),
        unreadable=samples.skipped,
        why=samples.unreadable,
        copies=copies,
        copies_left_out=samples.copies,
        example=_example(samples) if copies else None,
        ignored=dict(samples.ignored),
        hash=samples.hash,
    )


def _sizes(samples: SampleSet, spec: ModelSpec) -> Sizes | None:
    sizes = list(samples.image_sizes)
    if samples.pixels is not None:
        height, width = samples.pixels.shape[1:]
        sizes = [(int(width), int(height))] * len(samples)
    if not sizes:
        return None
    by_area = sorted(sizes, key=lambda size: size[0] * size[1])
    short = min(spec.height, spec.width)
    return Sizes(
        smallest=by_area[0],
        median=by_area[len(by_area) // 2],
        largest=by_area[-1],
        smaller_than_input=sum(min(size) < short for size in sizes),
    )


def _example(samples: SampleSet) -> tuple[str, str]:
    """Two samples that are the same, of which there are some."""
    first: dict[str, str] = {}
    for content, entry in zip(samples.content_hashes, samples.entries, strict=True):
        if content in first:
            return first[content], entry
        first[content] = entry
    raise AssertionError("there are no copies")


def _shared(sets: dict[Role, SampleSet]) -> list[tuple[str, str]] | None:
    """The samples that are in both sets, as they are called in each; None: there are no two."""
    if len(sets) < 2:
        return None
    calibration, evaluation = sets["calibration"], sets["evaluation"]
    names = dict(zip(calibration.content_hashes, calibration.entries, strict=True))
    return [
        (names[evaluation.content_hashes[i]], evaluation.entries[i])
        for i in shared_with(evaluation, names)
    ]


def _channels(samples: SampleSet, spec: ModelSpec) -> tuple[ChannelFacts, ...]:
    """What the network gets, by channel of its first input."""
    picked = list(spread(len(samples), _VALUES))
    chunks = []
    for start in range(0, len(picked), _AT_ONCE):
        batch = load(samples, spec, picked[start : start + _AT_ONCE])
        batch = batch[batch.dtype.names[0]] if batch.dtype.names else batch
        has_channels = batch.ndim > 2 and batch.shape[1] <= _MOST_CHANNELS
        rows = np.moveaxis(batch, 1, 0) if has_channels else batch[None]
        rows = rows.reshape(len(rows), -1).astype(np.float64)
        chunks.append(
            [rows.mean(axis=1), (rows**2).mean(axis=1), rows.min(axis=1), rows.max(axis=1)]
        )
    sizes = [len(picked[start : start + _AT_ONCE]) for start in range(0, len(picked), _AT_ONCE)]
    parts = np.array(chunks)
    mean, squares = (np.average(parts[:, i], axis=0, weights=sizes) for i in (0, 1))
    std = np.sqrt(np.maximum(squares - mean**2, 0))
    low, high = parts[:, 2].min(axis=0), parts[:, 3].max(axis=0)
    return tuple(
        ChannelFacts(mean=float(a), std=float(b), lowest=float(c), highest=float(d))
        for a, b, c, d in zip(mean, std, low, high, strict=True)
    )


def _norm(source: ModelSource, samples: SampleSet) -> FirstNorm | str:
    """The comparison with the first BatchNorm; what hinders it is no reason to end the check."""
    try:
        return first_norm(source, samples)
    except Exception as error:
        return f"not compared: {first_line(error)}"


def _problems(
    sets: Sequence[SetFacts], shared: Sequence[tuple[str, str]] | None, *, skip_bad: bool
) -> Iterator[str]:
    for found in sets:
        if found.unreadable and not skip_bad:
            yield (
                f"{found.unreadable} of {found.count + found.unreadable} {found.role} samples"
                " cannot be read: replace them, or leave them out with --skip-bad"
            )
        if found.role == "calibration" and found.count < MIN_CALIBRATION:
            yield (
                f"{found.count} calibration samples: at least {MIN_CALIBRATION} are needed,"
                f" {FEW_CALIBRATION} and more are better"
            )
    if shared:
        yield (
            f"{len(shared)} evaluation samples are calibration samples too, such as"
            f" {shared[0][0]} = {shared[0][1]}: accuracy would be measured on data already seen"
        )


def _warnings_of_sets(
    sets: Mapping[Role, SampleSet], spec: ModelSpec, *, skip_bad: bool
) -> Iterator[str]:
    """What a build would warn of."""
    for role, samples in sets.items():
        # unless they are to be left out, those that cannot be read are a problem
        yield from count_warnings(samples if skip_bad else replace(samples, skipped=0), role=role)
    if (doubt := _unit_doubt(sets, spec)) is not None:
        yield doubt


def _unit_doubt(sets: Mapping[Role, SampleSet], spec: ModelSpec) -> str | None:
    """Whether mean and std are in other units than pixels; of arrays they are not used."""
    has_pictures = any(samples.arrays is None for samples in sets.values())
    return unit_doubt(spec.preprocessing) if has_pictures else None


def _warnings(
    channels: Sequence[ChannelFacts], norm: FirstNorm | str, *, has_doubt: bool
) -> Iterator[str]:
    """What is doubtful about the input.

    Args:
        has_doubt: the units of mean and std are doubted already.
    """
    for i, channel in enumerate(channels):
        if channel.highest == channel.lowest:
            yield f"channel {i} of the input is {channel.mean:.4g} everywhere: it tells nothing"
        elif not has_doubt and (abs(channel.mean) > _LARGEST or channel.std < _SMALLEST_STD):
            yield (
                f"channel {i} of the input has mean {channel.mean:.4g} and std {channel.std:.4g}:"
                " are mean and std in the units of the pixels' range?"
            )
    if not isinstance(norm, FirstNorm):
        return
    if (better := norm.better) is not None:
        yield (
            f"the first BatchNorm ({norm.name}) was trained on other inputs: distance"
            f" {norm.fits[0].distance:.3g} as given, {better.distance:.3g} with {better.inputs}:"
            " see --preprocess, --colour, --mean and --std"
        )
    elif norm.fits[0].distance > FAR:
        nearest = min(norm.fits, key=lambda fit: fit.distance)
        yield (
            f"the inputs are unlike those that the first BatchNorm ({norm.name}) was trained on:"
            f" distance {norm.fits[0].distance:.3g}, and no usual order or range of pixels fits"
            f" (nearest: {nearest.inputs}, {nearest.distance:.3g})"
        )


def _shape_words(spec: ModelSpec) -> str:
    inputs = [spec.input_shape, *(item.shape for item in spec.more_inputs)]
    return ", ".join(" x ".join(map(str, shape)) for shape in inputs) + ", arrays as they are"
