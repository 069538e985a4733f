"""init: a project file written by looking at a model and its data.

Every key is there: those that were given or could be told are set, the others are comments. The
model is resolved once more by what was written, so that the file means what was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from msgspec import Meta

from edge_scnet.config import project as projects
from edge_scnet.config.model_options import PICTURE_OPTIONS, ModelOptions
from edge_scnet.config.project_file import Entry, text_of
from edge_scnet.config.target import Gates, load_target
from edge_scnet.core.events import Events
from edge_scnet.core.output_file import write_output
from edge_scnet.core.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from edge_scnet.core.preprocessing_words import SAME_SIZE
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import ArtifactError, StorageError, TargetError
from edge_scnet.models.zoo import ModelSource
from edge_scnet.pipeline.decide import find_model
from edge_scnet.pipeline.input_line import settled
from edge_scnet.pipeline.judging import guess_of
from edge_scnet.pipeline.project_paths import located, relative, relative_samples
from edge_scnet.pipeline.request import Request
from edge_scnet.pipeline.resolved import ResolvedValue, of_model
from edge_scnet.pipeline.samples import SampleRequest, open_sample_sets

_HEADING = (
    "A project of edge-scnet: one model, its data, its targets. Paths are relative to this file.",
    "Every command takes from it with --project what its command line does not say.",
)
# Options that only some kinds of models have.
_ONLY_FOR: Mapping[str, frozenset[str]] = {
    "arch": frozenset({"checkpoint"}),
    "fix": frozenset({"onnx"}),
    "input": frozenset({"factory", "library"}),
    "factory_args": frozenset({"factory", "library"}),
    "weights": frozenset({"library"}),
}
# What stands in a comment where nothing is known.
_EXAMPLES: Mapping[str, Any] = {
    "arch": "scnet50",
    "num_classes": 10,
    "channels": 3,
    "input_size": 224,
    "input_shape": (3, 224, 224),
    "fix": ("threshold=0.5",),
    "input": ("state=16",),
    "input_type": "float",
    "preprocess": "imagenet",
    "resize": 256,
    "crop_fraction": 0.875,
    "class_names": ("cat", "dog"),
    "task": "classification",
    "task_args": {"threshold": 0.5},
    "factory_args": {"width": 0.5},
    "weights": "weights.pth",
    "name": "net",
}
# Of the options of pictures the fields that have other names.
_FIELDS = {"resize_mode": "resize", "resample": "library", "resize": "short_side"}
# The same is said by `input_shape`.
_SHAPE_PARTS = frozenset({"input_size", "channels"})
_MOST_NAMES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What `init` was asked for beside the model."""

    # the project file
    file: Path
    targets: tuple[str, ...]
    # as `data.source` reads them
    calib: str | None
    evaluation: str | None
    skip_bad: bool = False
    ignore_labels: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialized:
    """The file that was written, and what was found."""

    file: Path
    entries: tuple[Entry, ...]
    # the model and the data in one line
    found: str


def check_new(file: Path, *, force: bool) -> None:
    """Refuses a place for a project file before a model is looked at.

    Raises:
        TargetError: there is a file, or the name is no project file's.
        StorageError: there is no such folder.
    """
    if file.suffix != ".toml":
        raise TargetError(f"{file}: a project file's name ends in .toml", hint=f"--out {file}.toml")
    if not file.parent.is_dir():
        raise StorageError(
            f"{file}: there is no folder {file.parent}", hint=f"mkdir -p {file.parent}"
        )
    if file.exists() and not force:
        raise TargetError(
            f"{file} is there already, and is not overwritten",
            hint=f"another file: --out {file.with_stem(file.stem + '-2')}; or replace it: --force",
        )


def init(model: str, options: ModelOptions, asked: Asked, *, events: Events) -> Initialized:
    """Writes a project file for a model and its data.

    Raises:
        TargetError: no such target, or what is given cannot be written as TOML.
        ArtifactError: no such model, or one that cannot be used.
        DataError: the data cannot be used.
        StorageError: the file cannot be written.
    """
    targets = [load_target(name) for name in asked.targets]
    request = Request(
        model=model,
        target=asked.targets[0],
        calib=asked.calib,
        evaluation=asked.evaluation,
        out=Path("build"),
        options=options,
        skip_bad=asked.skip_bad,
        ignore_labels=asked.ignore_labels,
    )
    source = find_model(request, events)
    calibration, evaluation = open_sample_sets(
        SampleRequest(
            calib=asked.calib,
            evaluation=asked.evaluation,
            calibrates=asked.calib is not None,
            evaluates=asked.evaluation is not None,
            skip_bad=asked.skip_bad,
            ignore_labels=asked.ignore_labels,
            command=f"edge-scnet init {model}",
        ),
        source.spec,
        targets[0],
        events,
    )
    sets = {"calib": calibration, "eval": evaluation}
    prepared = replace(source, spec=settled(source.spec, calibration, evaluation))
    found = _options(prepared, options, evaluation)
    if not _means_the_same(request, found, source.spec, events):
        # as values of a library that are another's in other words
        found = [entry if entry.origin == "given" else _unset(entry) for entry in found]
    placed = [located(entry, asked.file.parent) for entry in found]
    entries = (*_own_keys(model, asked, sets), *placed, _allow(), *_limits())
    write_output(asked.file, text_of(_HEADING, entries))
    projects.load(asked.file)
    return Initialized(file=asked.file, entries=entries, found=_found_words(source.spec, sets))


def _own_keys(model: str, asked: Asked, sets: Mapping[str, SampleSet | None]) -> Iterator[Entry]:
    root = asked.file.parent
    defaults = {item.name: item.default for item in fields(projects.Project)}

    def entry(key: str, value: Any, meaning: str, origin: str, *, is_set: bool = True) -> Entry:
        return Entry(table="", key=key, value=value, meaning=meaning, origin=origin, is_set=is_set)

    yield entry(
        "model",
        relative(model, root),
        "What is built: a zoo name, a checkpoint, an .onnx, package.module:factory, timm:NAME or"
        " torchvision:NAME.",
        "given",
    )
    yield entry(
        "targets",
        tuple(relative(name, root) for name in asked.targets),
        "For what: names (edge-scnet targets lists them) or .toml files; one engine each.",
        "default" if asked.targets == ("cpu",) else "given",
    )
    yield entry(
        "baselines",
        "baselines",
        "Where the baselines of edge-scnet check are kept: <model>-<target>.json each.",
        "default",
    )
    for key, where, what in (
        ("calib", asked.calib, "Calibration"),
        ("eval", asked.evaluation, "Evaluation"),
    ):
        samples = sets[key]
        told = f": {_words_of(samples)}" if samples is not None and where is not None else ""
        yield entry(
            key,
            f"data/{key}" if where is None else relative_samples(where, root),
            f"{what} samples{told}.",
            "not given" if where is None else "given",
            is_set=where is not None,
        )
    yield entry("out", defaults["out"], "Parent of the build folders.", "default")
    yield entry("seconds", defaults["seconds"], "Timed seconds per engine.", "default")
    for key, given, meaning in (
        ("skip_bad", asked.skip_bad, "Leave out images that cannot be read, and count them."),
        ("ignore_labels", asked.ignore_labels, "Evaluate without the labels of the data."),
    ):
        yield entry(key, given, meaning, "given" if given else "default")
    yield entry(
        "expect",
        ("top1=94.1",),
        "FP32's own figures as you measured them in training; others stop a build.",
        "not given",
        is_set=False,
    )


def _options(source: ModelSource, given: ModelOptions, evaluation: SampleSet | None) -> list[Entry]:
    """The options of the model: given, told by the model or the data, or not known."""
    values = list(of_model(source, {}))
    known = {value.name: value for value in values if value.section == "model"}
    pictures = {value.name: value for value in values if value.section == "preprocessing"}
    known |= {
        option: pictures[_FIELDS.get(option, option)]
        for option in PICTURE_OPTIONS
        if _FIELDS.get(option, option) in pictures
    }
    names = _names_of_data(source.spec, evaluation)
    entries = []
    for name, hint in get_type_hints(ModelOptions, include_extras=True).items():
        kinds = _ONLY_FOR.get(name)
        value = getattr(given, name)
        if value is None and kinds is not None and source.kind not in kinds:
            continue
        meaning = next(item.description for item in hint.__metadata__ if isinstance(item, Meta))
        entry = Entry(
            table="options",
            key=name,
            value=_EXAMPLES.get(name, ""),
            meaning=str(meaning),
            origin="not given, and cannot be told",
            is_set=False,
        )
        if value is not None:
            entry = replace(entry, value=value, origin="given", is_set=True)
        elif name == "class_names" and names:
            # set, it would turn the guess that evaluation warns of into a fact
            entry = replace(
                entry,
                value=names,
                origin="told from the data, its folders in order: is that the model's order?",
            )
        elif name in known and known[name].value not in (None, []):
            entry = _told(entry, known[name], source, given)
            labelled = evaluation is not None and evaluation.labels is not None
            if name == "num_classes" and source.spec.classes_counted and not labelled:
                origin = "the output's columns: set it where these are classes"
                entry = replace(entry, origin=origin, is_set=False)
        elif name in _SHAPE_PARTS and source.spec.takes_pictures:
            spec = source.spec
            side = spec.channels if name == "channels" else spec.height
            entry = replace(entry, value=side, origin="input_shape says it")
        elif name == "resize" and source.spec.preprocessing.origin("short_side") == SAME_SIZE:
            # set, it would hold for pictures of other sizes too
            side = min(source.spec.height, source.spec.width)
            entry = replace(entry, value=side, origin=f"not resized: {SAME_SIZE}")
        elif name == "task" and (guess := guess_of(source, evaluation)) is not None:
            entry = replace(entry, value=guess.task.kind, origin=f"told from {guess.reason}")
        entries.append(entry)
    # an empty example shows nothing
    return [entry for entry in entries if entry.is_set or entry.value != ""]


def _told(entry: Entry, value: ResolvedValue, source: ModelSource, given: ModelOptions) -> Entry:
    """An option that the model, its library or a default tells."""
    entry = replace(entry, value=value.value)
    if source.spec.weights is not None:
        return replace(entry, origin="told by the bundled model, and cannot be changed")
    if value.section == "preprocessing":
        return _told_of_pictures(entry, value, source.spec)
    origin = "read from the file" if value.origin == "file" else f"told by the {value.origin}"
    if value.origin == "default":
        origin = "default"
    elif entry.key == "name" and source.kind in ("onnx", "checkpoint"):
        origin = "the file's name"
    in_parts = given.input_size is not None or given.channels is not None
    return replace(entry, origin=origin, is_set=not (entry.key == "input_shape" and in_parts))


def _told_of_pictures(entry: Entry, value: ResolvedValue, spec: ModelSpec) -> Entry:
    """An option of pictures: a default is a comment, for nothing tells that it is the model's."""
    if not spec.takes_pictures:
        return replace(entry, origin="of no use: the inputs are no pictures")
    if value.origin.startswith("--"):
        return replace(entry, origin=f"follows from {value.origin}")
    if value.origin != "default":
        return replace(entry, origin=f"told by {value.origin}", is_set=True)
    imagenet = ", ImageNet's" if value.value in (list(IMAGENET_MEAN), list(IMAGENET_STD)) else ""
    return replace(
        entry, origin=f"default{imagenet}: nothing tells what the model was trained with"
    )


def _names_of_data(spec: ModelSpec, evaluation: SampleSet | None) -> tuple[str, ...]:
    """The classes' names by the folders of the evaluation set, where each class has one."""
    names = evaluation.class_names if evaluation is not None else None
    if not names or spec.classes or len(names) != spec.num_classes or len(names) > _MOST_NAMES:
        return ()
    return names


def _unset(entry: Entry) -> Entry:
    return replace(entry, is_set=False)


def _means_the_same(
    request: Request, entries: list[Entry], spec: ModelSpec, events: Events
) -> bool:
    """Whether the options as written make the model that was found; names of classes aside."""
    set_options: dict[str, Any] = {
        entry.key: tuple(entry.value) if isinstance(entry.value, list) else entry.value
        for entry in entries
        if entry.is_set
    }
    try:
        written = find_model(replace(request, options=ModelOptions(**set_options)), events).spec
    except ArtifactError:
        return False
    # what is written down is said
    aside: dict[str, Any] = {"classes": (), "num_classes": None, "classes_counted": False}
    return replace(written, **aside) == replace(spec, **aside)


def _allow() -> Entry:
    return Entry(
        table="check",
        key="allow",
        value=("checkpoint", "images"),
        meaning="What may differ from the baselines when the model is trained anew: "
        f"{', '.join(get_args(projects.AllowedKind))}. The limits hold.",
        origin="not set: nothing may",
        is_set=False,
    )


def _limits() -> Iterator[Entry]:
    """The limits of the gate, with the values that hold without them."""
    for name, hint in get_type_hints(Gates, include_extras=True).items():
        value = getattr(Gates(), name)
        metas = [item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Meta)]
        meaning = next((item.description for item in metas if item.description), None)
        yield Entry(
            table="limits",
            key=name,
            value=50.0 if value is None else value,
            meaning=f"A limit of the gate{f': {meaning}' if meaning else ''}.",
            origin="not set" if value is None else "default; a target's file may say another",
            is_set=False,
        )


def _words_of(samples: SampleSet) -> str:
    """A set in words: how many, and how they are labelled."""
    targets = f", {samples.targets.kind}" if samples.targets is not None else ", no labels"
    labels = f", {samples.label_rule}" if samples.label_rule else targets
    classes = f", {len(set(samples.labels)):,} classes" if samples.labels else ""
    return f"{len(samples):,}{labels}{classes}"


def _found_words(spec: ModelSpec, sets: Mapping[str, SampleSet | None]) -> str:
    shape = " x ".join(map(str, spec.input_shape))
    classes = f", {spec.num_classes} classes" if spec.num_classes else ""
    data = [f"{key} {_words_of(samples)}" for key, samples in sets.items() if samples is not None]
    return "; ".join([f"{spec.name}, input {shape}{classes}", *data])
