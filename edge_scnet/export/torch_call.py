"""Calls a PyTorch module with a batch, and names what it takes and what it gives.

A batch is what `core.feeds` has: an array for one input, a structured array for several, whose
fields are named after the parameters of `forward`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.feeds import feed_of
from edge_scnet.core.optional import require
from edge_scnet.core.user_code import user_code
from edge_scnet.errors import ArtifactError

if TYPE_CHECKING:
    from torch import Tensor, nn

# The input of a module that has one, and its output.
INPUT, LOGITS, OUTPUT = "input", "logits", "output"
_DEEPEST = 3  # tuples and dicts in the output of a module

_NAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


def parameters_of(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    """Returns the parameters of a module's `forward`; none where they cannot be told."""
    try:
        return inspect.signature(model.forward).parameters
    except (TypeError, ValueError):
        return {}


def input_parameters(model: nn.Module) -> list[str]:
    """Returns the parameters of `forward` that one input each can be fed to."""
    return [
        name
        for name, parameter in parameters_of(model).items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def needed_inputs(model: nn.Module) -> list[str]:
    """Returns the parameters of `forward` that have no default."""
    parameters = parameters_of(model)
    names = input_parameters(model)
    return [name for name in names if parameters[name].default is inspect.Parameter.empty]


def check_inputs(model: nn.Module, names: Sequence[str]) -> None:
    """Holds the inputs of a module to the parameters of its `forward`.

    Args:
        names: of the inputs that are fed; one alone has no name of its own.

    Raises:
        ArtifactError: a parameter without a default is not fed, or an input is no parameter.
    """
    parameters, needed = parameters_of(model), needed_inputs(model)
    if not parameters:
        return
    name, listed = type(model).__name__, ", ".join(parameters)
    first = next(iter(parameters))
    kinds = {parameter.kind for parameter in parameters.values()}
    takes_any = kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    unknown = [name for name in names if name not in parameters]
    if len(names) > 1 and unknown and not takes_any:
        raise ArtifactError(
            f"{name} has no input {unknown[0]!r}: it is forward({listed})",
            hint=f"the inputs are named after the parameters of forward: {listed}",
        )
    missing = needed[1:] if len(names) == 1 else [name for name in needed if name not in names]
    if missing:
        raise ArtifactError(
            f"{name} takes {len(needed)} inputs, forward({listed}), and {', '.join(missing)} is"
            " not fed",
            hint=f"--input {missing[0]}=SIZES, as --input {missing[0]}=3x32x32 or"
            f" {missing[0]}=16:int64; in Python: samples as dicts, {{{first!r}: ..., ...}}",
        )


def call_arguments(
    model: nn.Module, feed: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns positional and keyword arguments of `forward`, in its order.

    Args:
        feed: by input name; one input alone is the first argument, whatever its name.
    """
    if len(feed) == 1:
        return tuple(feed.values()), {}
    parameters = parameters_of(model)
    named = [name for name, item in parameters.items() if name in feed and item.kind in _NAMED]
    rest = [name for name in feed if name not in named]
    if any(item.kind is item.VAR_POSITIONAL for item in parameters.values()):
        return tuple(feed[name] for name in [*named, *rest]), {}
    leading = 0
    for name, item in parameters.items():
        if name not in feed or item.kind is item.KEYWORD_ONLY:
            break
        leading += 1
    ordered = [*named, *rest]
    return (
        tuple(feed[name] for name in ordered[:leading]),
        {name: feed[name] for name in ordered[leading:]},
    )


def tensors_of(batch: np.ndarray) -> dict[str, Tensor]:
    """Returns a batch as tensors by input name."""
    torch = require("torch", extra="export")
    # copied: torch warns of arrays that it must not write to, and refuses the strides that the
    # field of a structured array has
    return {name: torch.from_numpy(array.copy()) for name, array in feed_of(batch, INPUT).items()}


def outputs_of(model: nn.Module, batch: np.ndarray) -> list[np.ndarray]:
    """Runs a module and returns its outputs in order, as `named_outputs_of`.

    Raises:
        ArtifactError: it cannot run on this input, or returns no tensors.
    """
    return list(named_outputs_of(model, batch).values())


def named_outputs_of(model: nn.Module, batch: np.ndarray) -> dict[str, np.ndarray]:
    """Runs a module and returns its outputs by the names that they get in the graph.

    Args:
        batch: as `core.feeds` has them.

    Raises:
        ArtifactError: it cannot run on this input, or returns no tensors.
    """
    returned = _run(model, batch)
    return {name: tensor.numpy() for name, tensor in names_and_tensors(model, returned)}


def _run(model: nn.Module, batch: np.ndarray) -> Any:
    torch = require("torch", extra="export")
    tensors = tensors_of(batch)
    positional, keywords = call_arguments(model, tensors)
    shapes = ", ".join(" x ".join(map(str, tensor.shape)) for tensor in tensors.values())
    hint = (
        "do --input-size or --input-shape fit the model? Samples in Python are what it takes."
        " SCNet-50 and SCNet-101 need 97 pixels and more"
    )
    failed = f"{type(model).__name__} does not run on a {shapes} input"
    with user_code(failed, hint=hint), torch.inference_mode():
        return model(*positional, **keywords)


def names_and_tensors(model: nn.Module, returned: Any) -> list[tuple[str, Tensor]]:
    """Returns what a module gave as tensors with names, in order.

    A dict's keys, and the fields of a named tuple or a dataclass, are names; what has none is
    numbered. A single tensor is called "logits" where it is N x C, else "output". None is left out.

    Raises:
        ArtifactError: there is no tensor, or something else among them.
    """
    found = list(_flat(returned, (), type(model).__name__))
    if not found:
        raise ArtifactError(
            f"{type(model).__name__} returns no tensor ({type(returned).__name__})",
            hint="forward must return a tensor, or a tuple or a dict of tensors",
        )
    if len(found) == 1 and not any(isinstance(step, str) for step in found[0][0]):
        tensor = found[0][1]
        return [(LOGITS if tensor.ndim == 2 else OUTPUT, tensor)]
    pairs: dict[str, Tensor] = {}
    for steps, tensor in found:
        words = [str(step) for step in steps]
        name = "_".join(words if isinstance(steps[0], str) else [OUTPUT, *words])
        while name in pairs:
            name += "_"
        pairs[name] = tensor
    return list(pairs.items())


def _flat(
    returned: Any, steps: tuple[str | int, ...], model: str
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The tensors in what a module returned, each with the keys and indices that lead to it."""
    torch = require("torch", extra="export")
    if returned is None:
        return
    if isinstance(returned, torch.Tensor):
        yield steps, returned
        return
    inner = _contents(returned)
    if inner is None or len(steps) == _DEEPEST:
        raise ArtifactError(
            f"{model} returns {_a(type(returned).__name__)}"
            f"{' inside others' if steps else ''}; a tensor, or a tuple or a dict of tensors, is"
            " needed",
            hint="let forward return tensors alone, or wrap the model in a module that does",
        )
    for step, value in inner:
        yield from _flat(value, (*steps, step), model)


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _contents(value: Any) -> list[tuple[str | int, Any]] | None:
    """The parts of a tuple, a list, a dict or a dataclass, by name or index; None of others."""
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(item.name, getattr(value, item.name)) for item in dataclasses.fields(value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, (tuple, list)):
        return list(enumerate(value))
    return None


@contextlib.contextmanager
def flat_outputs(model: nn.Module) -> Iterator[None]:
    """Lets a module return a flat tuple of its tensors, which every exporter takes.

    A module that returns one tensor is left as it is.
    """

    def flatten(_module: Any, _inputs: Any, returned: Any) -> Any:
        torch = require("torch", extra="export")
        if isinstance(returned, torch.Tensor):
            return None
        return tuple(tensor for _, tensor in names_and_tensors(model, returned))

    handle = model.register_forward_hook(flatten)
    try:
        yield
    finally:
        handle.remove()
