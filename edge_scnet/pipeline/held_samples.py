"""The sample sets that the caller of the Python API holds: their form found out, then read.

What an item is, a sample or a batch, and the shape of the network's inputs follow from the first
item and from the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.feeds import batch_of_arrays
from edge_scnet.core.spec import ModelSpec, TensorSpec
from edge_scnet.data.held import AS_TAKEN, axes_by_rank, set_of
from edge_scnet.data.iterables import ONLY, Axes, Samples
from edge_scnet.data.labels import Role
from edge_scnet.data.samples import SampleSet, subset
from edge_scnet.errors import DataError, EdgeError
from edge_scnet.export.onnx_file import read_onnx, real_inputs
from edge_scnet.export.probe_torch import spell_input
from edge_scnet.export.torch_call import (
    check_inputs,
    input_parameters,
    named_outputs_of,
    needed_inputs,
    parameters_of,
)

if TYPE_CHECKING:
    from torch import nn

_NAMES: dict[Role, str] = {"calibration": "samples", "evaluation": "evaluation samples"}
_PICTURES = (1, 3)  # channels
# By the number of axes: pictures in a batch have four, a picture three, features in a batch two.
_USUAL: dict[int, Axes] = {1: "samples", 2: "batches", 3: "samples", 4: "batches", 5: "batches"}


class HeldSets:
    """The calibration and the evaluation samples that the caller holds, those that there are."""

    def __init__(
        self,
        sources: Mapping[Role, Any],
        *,
        folders: bool,
        files: bool = False,
        names: Mapping[Role, str] | None = None,
    ) -> None:
        """Keeps the iterables; nothing is read yet.

        Args:
            sources: iterables of samples.
            folders: the other set is a folder of images.
            files: the other set is of files that hold, or are read into, what the network takes.
            names: of sets, for messages and reports, where they have some.
        """
        self._names = {**_NAMES, **(names or {})}
        self._sources, self._folders, self._files = dict(sources), folders, files
        self._opened: dict[Role, Samples] = {}
        self._axes: dict[Role, Axes] = {}
        # what is doubtful about them
        self.warnings: tuple[str, ...] = ()

    def options_for_arrays(self, options: ModelOptions) -> ModelOptions:
        """The options with no normalisation of an input of one channel, where files are arrays.

        Such pictures have no default, and nobody is to be asked for what is not used.
        """
        shape = options.input_shape or ((options.channels, 1, 1) if options.channels else ())
        return self._plain_of_files(options, shape)

    def options_for_module(self, module: nn.Module, options: ModelOptions) -> ModelOptions:
        """The options with the shapes of a module's inputs, as the first item has them.

        Raises:
            DataError: as `Samples`.
        """
        if not self._sources:
            return options
        needed = needed_inputs(module)
        self._open(needed if len(needed) > 1 else ())
        shape = options.input_shape
        for role, samples in self._opened.items():
            known = samples.known_axes or (axes_by_rank(samples, len(shape)) if shape else None)
            self._axes[role] = known or _axes_by_trial(samples, module)
        role, samples = next(iter(self._opened.items()))
        names = list(samples.first.arrays)
        check_inputs(module, names)
        order = list(parameters_of(module))
        names.sort(key=lambda name: order.index(name) if name in order else len(order))
        named = input_parameters(module)
        self._check_name(named if len(named) == len(order) else ())  # else it takes any name
        inputs = [_spec_of(samples, name, self._axes[role]) for name in names]
        first = next((item for item in inputs if item.dtype == "float32"), inputs[0])
        if shape is None and options.input_size is None and options.input is None:
            options = replace(options, channels=None)
            if len(inputs) == 1:
                options = replace(options, input_shape=first.shape)
            else:
                options = replace(options, input=tuple(map(spell_input, inputs)))
        if any(item.dtype == "uint8" for item in inputs):
            self.warnings += (
                "samples are bytes, and are fed as numbers from 0 to 255: divide them by 255 where"
                " the network was trained on 0 to 1",
            )
        return self._with_plain_pixels(options, first.shape)

    def options_for_file(self, path: Path, options: ModelOptions) -> ModelOptions:
        """The options with the sizes that an ONNX file leaves open, as the first item has them.

        Raises:
            DataError: as `Samples`, or samples that do not fit the file's input.
        """
        if not self._sources and not self._files:
            return options
        inputs = {value.name: value for value in real_inputs(read_onnx(path))}
        if not self._sources:
            first = next(iter(inputs.values())).type.tensor_type.shape.dim
            return self._plain_of_files(options, [d.dim_value for d in first[1:]])
        fixes = options.fix or ()
        fixed = {name for name in inputs if any(fix.startswith(f"{name}=") for fix in fixes)}
        fed = [name for name in inputs if name not in fixed] or list(inputs)
        self._open(fed if len(fed) > 1 else ())
        if len(fed) == 1:
            self._check_name(fed)
        shape: tuple[int, ...] = ()
        for role, samples in self._opened.items():
            # the file's order, whatever the samples'
            given = samples.first.arrays
            key = next((name for name in fed if name in given), next(iter(given)))
            value = inputs[key] if key in inputs else inputs[fed[0]]
            dims = [d.dim_value or None for d in value.type.tensor_type.shape.dim]
            axes = samples.known_axes or axes_by_rank(samples, len(dims) - 1)
            self._axes[role] = axes
            shape = shape or samples.shape_of(key, axes)
            _check_fits(samples.shape_of(key, axes), dims[1:], f"{samples.what}: item 0", path)
            is_open = None in dims[1:]
            if is_open and options.input_shape is None and options.input_size is None:
                options = replace(options, input_shape=samples.shape_of(key, axes))
        return self._with_plain_pixels(options, shape)

    def look_at_spec(self, spec: ModelSpec) -> None:
        """Tells what items are by the shape that a model of the zoo or a checkpoint has.

        Raises:
            DataError: as `Samples`, or samples with another number of axes.
        """
        self._open(())
        if not self._axes and spec.input_name is None:
            self._check_name(("input", "x"))
        for role, samples in self._opened.items():
            if role not in self._axes:
                axes = samples.known_axes or axes_by_rank(samples, len(spec.input_shape))
                self._axes[role] = axes

    def _check_name(self, inputs: Sequence[str]) -> None:
        """Refuses items that are dicts of one array which no input is called like.

        Args:
            inputs: their names; empty: they are not known.

        Raises:
            DataError: names the key and the inputs.
        """
        for samples in self._opened.values():
            names = list(samples.first.arrays)
            if not inputs or len(names) > 1 or names[0] in (ONLY, *inputs):
                continue
            is_are = "input is" if len(inputs) == 1 else "inputs are"
            raise DataError(
                f"{samples.what}: item 0 is a dict with the array {names[0]!r}; the network's"
                f" {is_are} {', '.join(inputs)}",
                hint=f"{{{inputs[0]!r}: ...}}, or the array alone where it is the input",
            )

    def read(self, spec: ModelSpec, *, limit: int) -> dict[Role, SampleSet]:
        """Reads the sets.

        Args:
            limit: of calibration samples: spread over an array, the first ones of an iterable.

        Raises:
            DataError: samples that cannot be read, or do not fit the model.
        """
        return {role: self._read(role, spec, limit=limit) for role in self._opened}

    def _open(self, inputs: Sequence[str]) -> None:
        for role, source in self._sources.items():
            if role not in self._opened:
                self._opened[role] = Samples(source, self._names[role], inputs=inputs)

    def _read(self, role: Role, spec: ModelSpec, *, limit: int) -> SampleSet:
        samples = self._opened[role]
        most = limit if role == "calibration" else None
        collected = samples.collect(self._axes[role], limit=None if samples.is_whole else most)
        held = set_of(collected, samples.what, spec, role)
        return held if most is None else subset(held, most)

    def _plain_of_files(self, options: ModelOptions, shape: Sequence[int]) -> ModelOptions:
        if not self._files or len(shape) != 3 or shape[0] != 1:
            return options
        return self._with_plain_pixels(options, shape)

    def _with_plain_pixels(self, options: ModelOptions, shape: Sequence[int]) -> ModelOptions:
        """The options with no normalisation where all samples are what the network takes."""
        said = (options.mean, options.std, options.preprocess, options.pixel_max)
        if self._folders or any(value is not None for value in said):
            return options
        channels = next((size for size in (*shape[:1], *shape[-1:]) if size in _PICTURES), None)
        if len(shape) != 3 or channels is None:
            return options
        return replace(options, mean=(0.0,) * channels, std=(1.0,) * channels)


def _axes_by_trial(samples: Samples, module: nn.Module) -> Axes:
    """What an item is, by what the module makes of it.

    Where it takes the item both ways, the usual number of axes decides: three axes of which the
    first is 1 or 3 are a picture.
    """
    both: tuple[Axes, ...] = ("batches", "samples")
    taken = [axes for axes in both if _runs(samples, module, axes)]
    if len(taken) == 1:
        return taken[0]
    array = next(iter(samples.first.arrays.values()))
    if not taken and array.ndim in (3, 4) and array.shape[-1] in _PICTURES:
        raise DataError(
            f"{samples.what}: item 0 is {_words(array.shape)}, which {type(module).__name__} does"
            " not take",
            hint="channels come first in PyTorch: array.transpose(2, 0, 1) of a picture H x W x C",
        )
    usual = _USUAL.get(array.ndim, "batches")
    is_picture = array.ndim == 3 and array.shape[0] in _PICTURES
    return "batches" if taken and not is_picture else usual


def _runs(samples: Samples, module: nn.Module, axes: Axes) -> bool:
    """Whether a module takes the first item so, and gives a row for each sample."""
    first = samples.first.arrays
    if axes == "batches" and any(array.ndim == 0 or not len(array) for array in first.values()):
        return False
    arrays = {
        name: array[:2] if axes == "batches" else array[None] for name, array in first.items()
    }
    taken = {
        name: array.astype(np.float32) if array.dtype.kind == "f" or name == ONLY else array
        for name, array in arrays.items()
    }
    try:
        batch = batch_of_arrays(taken) if len(taken) > 1 else next(iter(taken.values()))
        outputs = named_outputs_of(module, batch)
    except (EdgeError, ValueError):
        return False
    return all(output.ndim and len(output) == len(batch) for output in outputs.values())


def _spec_of(samples: Samples, name: str, axes: Axes) -> TensorSpec:
    """The input that an array of the first item is for."""
    dtype = samples.first.arrays[name].dtype
    return TensorSpec(
        name=name,
        shape=samples.shape_of(name, axes),
        dtype="float32" if dtype.kind == "f" else dtype.name,
    )


def _check_fits(
    shape: Sequence[int], declared: Sequence[int | None], where: str, path: Path
) -> None:
    """Holds a sample to the sizes that a file declares; pictures may have their channels last.

    Raises:
        DataError: another shape.
    """
    orders = [list(declared)]
    if len(declared) == 3:
        orders.append([declared[2], *declared[:2]])
    fits = any(
        len(order) == len(shape)
        and all(want in (None, have) for want, have in zip(order, shape, strict=True))
        for order in orders
    )
    if not fits:
        words = " x ".join("?" if size is None else str(size) for size in declared)
        raise DataError(
            f"{where} is {_words(shape)}, the input of {path} {words}",
            hint=AS_TAKEN,
        )


def _words(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
