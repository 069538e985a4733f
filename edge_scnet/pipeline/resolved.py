"""What a build would be made with: every value, and where it comes from.

Shown by `edge-scnet show`, and written by `edge-scnet init`. The fields of the records are gone
through as they are: one that is added to them is shown with no further edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from edge_scnet.config.target import TargetSpec, load_target, target_file
from edge_scnet.core.events import Events
from edge_scnet.core.json_records import field_types, record_type
from edge_scnet.core.preprocessing import BY_DEFAULT
from edge_scnet.core.preprocessing_words import SAME_SIZE, origins_of
from edge_scnet.core.spec import ModelSpec, TensorSpec
from edge_scnet.data.samples import bundled_sets
from edge_scnet.models import zoo
from edge_scnet.models.zoo import ModelSource
from edge_scnet.pipeline.decide import find_model
from edge_scnet.pipeline.judging import guess_of
from edge_scnet.pipeline.request import Request

Section = Literal["model", "preprocessing", "data", "task", "target"]

SECTIONS: tuple[Section, ...] = ("model", "preprocessing", "data", "task", "target")
_DEFAULT = "default"
_OPEN_SIDE = f"256/224 by default; none where {SAME_SIZE}"
_NOT_SHOWN = frozenset({"why", "title", "preprocessing", "classes_counted"})
# Fields of a model, and the options that they may come from where these are called otherwise.
_OPTIONS_OF = {
    "input_shape": ("input_shape", "input_size", "channels"),
    "classes": ("class_names",),
    "num_classes": ("num_classes", "class_names"),
    "more_inputs": ("input", "fix"),
    "input_name": ("input", "fix"),
    "kind": ("task", "decode"),
    "arguments": ("task_args", "decode"),
}
# Fields that several options tell together; of others the first that is given tells all.
_TOLD_TOGETHER = frozenset({"input_shape", "more_inputs", "arguments"})
# What a model's own file, module or library tells, by the kind of source.
_OWN_FIELDS: Mapping[str, frozenset[str]] = {
    "onnx": frozenset({"name", "arch", "input_shape", "num_classes", "input_name", "more_inputs"}),
    "checkpoint": frozenset({"name"}),
    "factory": frozenset({"name", "arch", "num_classes", "input_name", "more_inputs"}),
    "library": frozenset({"name", "arch", "num_classes", "input_shape", "classes"}),
    "module": frozenset({"arch"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedValue:
    """One value, and where it comes from."""

    section: Section
    name: str
    # as JSON has it
    value: Any
    origin: str


def resolve(
    request: Request, *, taken: Mapping[str, str], events: Events
) -> tuple[ResolvedValue, ...]:
    """Returns what a request would be built with.

    Args:
        taken: where values come from, by the keys of a project file ("model", "options.mean"): the
            command line, or a file; what is not in it is a default.

    Raises:
        TargetError, ArtifactError: no such target or model, or one that cannot be used.
    """
    source = find_model(request, events)
    values = (
        ResolvedValue(
            section="model",
            name="model",
            value=request.model,
            origin=taken.get("model", f"{_DEFAULT}: the bundled model"),
        ),
        *_with_open_side(of_model(source, taken), source.spec),
        *_of_data(request, source.spec, taken),
        *_of_target(load_target(request.target), request, taken),
    )
    return tuple(sorted(values, key=lambda value: SECTIONS.index(value.section)))


def of_model(source: ModelSource, taken: Mapping[str, str]) -> Iterator[ResolvedValue]:
    """The model's spec, field by field: preprocessing and task are sections of their own.

    Args:
        taken: as for `resolve`.
    """
    is_bundled = source.spec.weights is not None
    before = (
        source.spec
        if is_bundled or source.kind == "module"
        else zoo.resolve(source.location, source.options).spec
    )
    unprobed = dict(_leaves(before))
    for name, value in _leaves(source.spec):
        leaf = name.rpartition(".")[2]
        if name == "task" and value is None:
            guess = guess_of(source, None)
            value = guess.task.kind if guess else None
            origin = f"told from {guess.reason}" if guess else "told when it is judged"
            origin += "; the data may say another"
        elif is_bundled:
            origin = "bundled model"
        elif (said := _said(leaf, taken)) is not None:
            origin = said
        elif value in (None, []):
            origin = _DEFAULT
        elif leaf in _OWN_FIELDS[source.kind] or unprobed.get(name) != value:
            origin = _own_words(source)
        elif source.kind == "checkpoint":
            origin = f"architecture {source.spec.arch}"
        else:
            origin = _DEFAULT
        section: Section = "task" if name.partition(".")[0] == "task" else "model"
        yield ResolvedValue(section=section, name=name, value=value, origin=origin)
    rule = source.spec.preprocessing
    for name, _, origin in origins_of(rule):
        yield ResolvedValue(
            section="preprocessing",
            name=name,
            value=_plain(getattr(rule, name)),
            origin=_option_words(name, origin, taken, is_bundled=is_bundled),
        )


def _with_open_side(values: Iterator[ResolvedValue], spec: ModelSpec) -> Iterator[ResolvedValue]:
    """The values; of the short side, which the data may change, how: no data is opened here."""
    for value in values:
        is_side = value.section == "preprocessing" and value.name == "short_side"
        if is_side and spec.preprocessing.resize == "crop" and value.origin == BY_DEFAULT:
            yield replace(value, origin=_OPEN_SIDE)
        else:
            yield value


def _option_words(name: str, origin: str, taken: Mapping[str, str], *, is_bundled: bool) -> str:
    """Where a value of the preprocessing comes from: of an option, where that was given."""
    if not origin.startswith("--"):
        return "bundled model" if is_bundled else origin or "not known"
    option, _, value = origin.removeprefix("--").partition(" ")
    key = option.replace("-", "_")
    said = taken.get(f"options.{key}")
    if said is None:
        return origin
    return said if key == name else f"{said} ({key} {value})" if value else f"{said} ({key})"


def _leaves(record: Any, start: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a record and of those in it: dotted names, and values as JSON has them."""
    for item in fields(record):
        value = getattr(record, item.name)
        if item.name in _NOT_SHOWN:
            continue
        if is_dataclass(value):
            yield from _leaves(value, f"{start}{item.name}.")
        else:
            yield f"{start}{item.name}", _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, TensorSpec):
        return f"{value.name} {'x'.join(map(str, value.shape)) or 'a number'} {value.dtype}"
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _said(leaf: str, taken: Mapping[str, str]) -> str | None:
    """Where the option that a field comes from was given; None: nowhere."""
    options: dict[str, list[str]] = {}
    for option in _OPTIONS_OF.get(leaf, (leaf,)):
        if (origin := taken.get(f"options.{option}")) is not None:
            options.setdefault(origin, []).append(option)
            if leaf not in _TOLD_TOGETHER:
                break
    words = [
        origin if names == [leaf] else f"{origin} ({', '.join(names)})"
        for origin, names in options.items()
    ]
    return "; ".join(words) or None


def _own_words(source: ModelSource) -> str:
    if source.kind == "library":
        return source.location.partition(":")[0]
    return {"onnx": "file", "checkpoint": "file", "factory": "factory", "module": "module"}[
        source.kind
    ]


def _of_data(
    request: Request, spec: ModelSpec, taken: Mapping[str, str]
) -> Iterator[ResolvedValue]:
    bundled = bundled_sets(spec.dataset) if spec.dataset else (None, None)
    for key, given, own in (
        ("calib", request.calib, bundled[0]),
        ("eval", request.evaluation, bundled[1]),
    ):
        where = given or own
        origin = taken.get(key, _DEFAULT) if given else "bundled" if own else "not given"
        yield ResolvedValue(
            section="data", name=key, value=None if where is None else str(where), origin=origin
        )
    for key, value in (("skip_bad", request.skip_bad), ("ignore_labels", request.ignore_labels)):
        origin = taken.get(key, _DEFAULT)
        yield ResolvedValue(section="data", name=key, value=value, origin=origin)


def _of_target(
    target: TargetSpec, request: Request, taken: Mapping[str, str]
) -> Iterator[ResolvedValue]:
    """The target's keys: what its file sets, and the defaults of the others."""
    file = request.target if request.target.endswith(".toml") else f"targets/{target.name}.toml"
    defaults = dict(_defaults(TargetSpec))
    for name, own in (("name", target.name), ("file", str(target_file(request.target)))):
        asked = taken.get("targets", _DEFAULT)
        yield ResolvedValue(section="target", name=name, value=own, origin=asked)
    for name, value in _leaves(target):
        if name == "name":
            continue
        origin = _DEFAULT if name in defaults and defaults[name] == value else file
        yield ResolvedValue(section="target", name=name, value=value, origin=origin)


def _defaults(record: type, start: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a target and of its records that have defaults."""
    types = field_types(record)
    for item in fields(record):
        if (nested := record_type(types[item.name])) is not None:
            yield from _defaults(nested, f"{start}{item.name}.")
        if item.default is not MISSING:
            yield f"{start}{item.name}", _plain(item.default)
