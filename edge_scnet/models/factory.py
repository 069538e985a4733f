"""A user's factory: "package.module:factory", its arguments, and the call."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from edge_scnet.core.json_records import loads
from edge_scnet.core.optional import require
from edge_scnet.core.user_code import OBJECT, imported, user_code
from edge_scnet.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

# As Python spells what JSON calls true, false and null.
_PYTHON_WORDS = {"True": True, "False": False, "None": None}
_CLASSES = "num_classes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factory:
    """A factory as it is named."""

    module: str
    attribute: str
    # behind the name: width=0.5&name=x
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a factory returned."""

    module: nn.Module
    # the factory was given the number of classes
    takes_classes: bool


def is_factory(model: str) -> bool:
    """Whether a MODEL argument has the form of a factory."""
    return OBJECT.fullmatch(model) is not None


def parse_factory(model: str) -> Factory:
    """Returns the parts of "package.module:factory?width=0.5&name=x".

    Values are read as JSON where they can be, else taken as text.

    Raises:
        ArtifactError: an argument without a value, or twice.
    """
    match = OBJECT.fullmatch(model)
    assert match is not None
    return Factory(module=match[1], attribute=match[2], arguments=arguments_of(match[3], model))


def arguments_of(query: str | None, model: str) -> dict[str, Any]:
    """Returns the arguments behind the "?" of a MODEL argument, by name.

    Raises:
        ArtifactError: an argument without a value, or twice.
    """
    arguments: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        name, equals, text = part.partition("=")
        if not name.isidentifier() or not equals:
            raise ArtifactError(
                f"{model}: {part!r} is no argument; wanted is NAME=VALUE, & between them",
                hint="quote MODEL for the shell, as in 'package.module:factory?width=0.5&depth=2'",
            )
        if name in arguments:
            raise ArtifactError(f"{model}: {name} is given twice", hint="leave one out")
        arguments[name] = _value(unquote(text))
    return arguments


def _value(text: str) -> Any:
    if text in _PYTHON_WORDS:
        return _PYTHON_WORDS[text]
    try:
        return loads(text)
    except ValueError:
        return text


def joined(behind_name: Mapping[str, Any], option: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the arguments behind the factory's name and those of --factory-args.

    Raises:
        ArtifactError: one is in both.
    """
    both = sorted(behind_name.keys() & (option or {}).keys())
    if both:
        raise ArtifactError(
            f"{both[0]} is given behind the factory's name and in --factory-args",
            hint="leave one out",
        )
    return {**behind_name, **(option or {})}


def call_factory(
    factory: Factory, arguments: Mapping[str, Any] | None, *, num_classes: int | None
) -> Made:
    """Imports a factory's module and calls the factory, or takes the torch.nn.Module of that name.

    Args:
        arguments: those of --factory-args.
        num_classes: is handed to a factory that has a parameter `num_classes`.

    Raises:
        ArtifactError: it cannot be imported or called, or returns no torch.nn.Module.
    """
    torch = require("torch", extra="export")
    given = joined(factory.arguments, arguments)
    found = imported(factory.module, factory.attribute)
    if isinstance(found, torch.nn.Module):
        if given:
            raise ArtifactError(
                f"{factory} is a {type(found).__name__} already, and takes no arguments",
                hint="name the function or the class that makes it",
            )
        return Made(module=cast("nn.Module", found), takes_classes=False)
    takes_classes = num_classes is not None and _CLASSES in _parameters(found)
    if takes_classes and given.setdefault(_CLASSES, num_classes) != num_classes:
        raise ArtifactError(
            f"{factory} is given {_CLASSES}={given[_CLASSES]}, --num-classes says {num_classes}",
            hint="leave one out",
        )
    call = ", ".join(f"{name}={value!r}" for name, value in given.items())
    code = f"import {factory.module} as m; m.{factory.attribute}({call})"
    attempt = f"python -c {shlex.quote(code)}"
    with user_code(f"{factory} cannot be called", hint=f"{_how_called(call)}; try it: {attempt}"):
        module = found(**given)
    if not isinstance(module, torch.nn.Module):
        raise ArtifactError(
            f"{factory} returned {type(module).__name__}, a torch.nn.Module is needed",
            hint=f"{_how_called(call)}, and returns the model itself",
        )
    return Made(module=cast("nn.Module", module), takes_classes=takes_classes)


def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a factory; none where they cannot be told."""
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}


def _how_called(call: str) -> str:
    return f"it is called as factory({call})" if call else "it is called without arguments"
