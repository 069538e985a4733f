"""A PyTorch module tried once before the first stage: what it takes, what it gives, its classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.spec import ModelSpec, TensorSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.export.from_torch import example_of
from edge_scnet.export.torch_call import (
    check_inputs,
    input_parameters,
    named_outputs_of,
    needed_inputs,
)
from edge_scnet.models.defaults import check_size, pictures_of
from edge_scnet.models.load import load
from edge_scnet.models.pictures import Own
from edge_scnet.models.ready import Ready
from edge_scnet.models.zoo import ModelSource, resolve, resolve_module

if TYPE_CHECKING:
    from torch import nn

# What `--input` says: NAME=8x64 or NAME=8x64:int64; NAME=:int64 is one number for each sample.
_INPUT = re.compile(r"([A-Za-z_]\w*)=([0-9xX,]*)(?::(\w+))?")
_TYPES = ("float32", "float64", "float16", "int64", "int32", "uint8", "int8", "bool")


def parse_inputs(texts: Sequence[str]) -> tuple[TensorSpec, ...]:
    """Returns the inputs that `--input` describes.

    Raises:
        ArtifactError: another form than NAME=8x64:int64, an unknown type, a name twice, or more
            than 1 GB.
    """
    found: dict[str, TensorSpec] = {}
    for text in texts:
        match = _INPUT.fullmatch(text)
        sizes = re.split("[xX,]", match[2]) if match and match[2] else []
        if match is None or not all(size.isdecimal() and int(size) > 0 for size in sizes):
            raise ArtifactError(
                f"--input {text}: wanted is NAME=SIZES or NAME=SIZES:TYPE, sizes without the batch",
                hint="as --input state=16 or --input mask=1x8x8:int64",
            )
        dtype = match[3] or "float32"
        if dtype not in _TYPES:
            raise ArtifactError(
                f"--input {text}: {dtype} is no type of an input",
                hint=f"allowed: {', '.join(_TYPES)}",
            )
        if match[1] in found:
            raise ArtifactError(f"--input {match[1]} is given twice", hint="leave one out")
        shape = tuple(map(int, sizes))
        check_size(f"--input {match[1]}", shape)
        found[match[1]] = TensorSpec(name=match[1], shape=shape, dtype=dtype)
    return tuple(found.values())


def spell_input(item: TensorSpec) -> str:
    """Returns an input as `--input` has it."""
    sizes = "x".join(map(str, item.shape))
    return f"{item.name}={sizes}" + ("" if item.dtype == "float32" else f":{item.dtype}")


def probe_torch(
    source: ModelSource, completed: Callable[[nn.Module, ModelOptions], ModelOptions] | None = None
) -> ModelSource:
    """Loads a module and runs it once: the source with the module, and its spec completed.

    Of a library's network the preprocessing is the library's where no option says otherwise.

    Args:
        completed: completes the options once the module is there, as by the samples' shape.

    Raises:
        ArtifactError: the module cannot be loaded or does not run on such an input, or options
            contradict what it gives.
    """
    loaded = load(source)
    options = _with_defaults(source.options, loaded.pictures)
    if completed is not None:
        options = completed(loaded.module, options)
    first, more = _inputs(loaded.module, options)
    shape = first.shape if first is not None else _resolved(source, options).spec.input_shape
    options = replace(options, channels=None, input_size=None, input_shape=shape)
    spec = _resolved(source, options).spec
    if loaded.pictures is not None:
        own = Own(name=source.location, pictures=loaded.pictures)
        spec = replace(spec, preprocessing=pictures_of(options, spec.input_shape, own=own))
    if more:
        name = first.name if first is not None else _first_name(loaded.module, more)
        spec = replace(spec, input_name=name, more_inputs=more)
    check_inputs(loaded.module, _names(spec))
    outputs = named_outputs_of(loaded.module, example_of(spec, 1))
    has_head = source.kind == "library" and getattr(loaded.module, "num_classes", None) != 0
    spec = _with_classes(spec, source, next(iter(outputs.values())), has_head=has_head)
    return replace(
        source,
        spec=spec,
        module=loaded.module,
        notes=loaded.notes,
        warnings=loaded.pictures.differences if loaded.pictures else (),
    )


def _with_defaults(options: ModelOptions, found: Ready | None) -> ModelOptions:
    """Options completed by what a library says of its network's input and classes."""
    if found is None:
        return options
    if options.input_shape is None and options.input_size is None:
        options = replace(options, input_size=found.input_size)
    if options.num_classes is None and options.class_names is None:
        options = replace(options, class_names=found.classes)
    return options


def _inputs(
    module: nn.Module, options: ModelOptions
) -> tuple[TensorSpec | None, tuple[TensorSpec, ...]]:
    """The first input where `--input` names it, and the others.

    Without `--input-shape` and `--input-size` the first is among those of `--input` where they name
    the first parameter of `forward`: the first of real numbers.

    Raises:
        ArtifactError: the first is given twice, or is not of real numbers.
    """
    given = parse_inputs(options.input or ())
    if not given:
        return None, ()
    parameters = input_parameters(module)
    listed = {item.name for item in given}
    if options.input_shape is not None or options.input_size is not None:
        if parameters and listed >= set(needed_inputs(module)):
            raise ArtifactError(
                f"--input {spell_input(given[0])}: all inputs are given so, and --input-shape or"
                " --input-size gives the shape of one as well",
                hint="leave --input-shape and --input-size out",
            )
        return None, given
    if parameters and parameters[0] not in listed:
        return None, given
    ordered = sorted(given, key=lambda item: [*parameters, item.name].index(item.name))
    first = next((item for item in ordered if item.dtype == "float32"), None)
    if first is None:
        raise ArtifactError(
            f"--input {spell_input(ordered[0])}: one input must be float32, which samples are",
            hint="let the module take real numbers, and convert them itself",
        )
    return first, tuple(item for item in ordered if item is not first)


def _first_name(module: nn.Module, more: Sequence[TensorSpec]) -> str:
    """The first parameter of `forward` that no other input is."""
    taken = {item.name for item in more}
    names = [*needed_inputs(module), *input_parameters(module)]
    return next((name for name in names if name not in taken), "input")


def _names(spec: ModelSpec) -> list[str]:
    return [spec.input_name or "input", *(item.name for item in spec.more_inputs)]


def _resolved(source: ModelSource, options: ModelOptions) -> ModelSource:
    if source.kind == "module":
        return resolve_module(source.module, options)
    return resolve(source.location, options)


def _with_classes(
    spec: ModelSpec, source: ModelSource, output: np.ndarray, *, has_head: bool
) -> ModelSpec:
    """The spec with the number of classes that the first output has.

    Args:
        has_head: the network is known to be a classifier.

    Raises:
        ArtifactError: an option says another number.
    """
    classes = output.shape[1] if output.ndim == 2 else None
    names = source.options.class_names
    for option, asked in (
        ("--num-classes", source.options.num_classes),
        ("--class-names", len(names) if names else None),
    ):
        if asked is not None and classes is not None and asked != classes:
            raise ArtifactError(
                f"{source.location}: the output has {classes} classes, {option} says {asked}",
                hint=f"leave {option} out, or let the factory take num_classes",
            )
    if classes is None or classes == spec.num_classes:
        return spec
    # a library's networks are classifiers, but for those that were asked for without their head
    counted = source.options.num_classes is None and not names and not has_head
    classes_of = spec.classes if names else ()
    return replace(spec, num_classes=classes, classes=classes_of, classes_counted=counted)
