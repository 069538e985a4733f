"""What a format of packages is: its name, what it is for, and the function that makes its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from edge_scnet.errors import ArtifactError
from edge_scnet.package import FORMATS
from edge_scnet.package.facts import EnginePart, PackageFacts

# A file of a package: text, or a file of the engine, which is copied.
Content = str | EnginePart


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format."""

    name: str
    # in words, as the title of its README goes on: "a CMake project in C++"
    title: str
    # the runtimes whose engines it takes, by their names in target files
    runtimes: tuple[str, ...]
    # contents by path in the package, "/" between folders; raises ArtifactError for facts that it
    # has no form for
    contents: Callable[[PackageFacts], Mapping[str, Content]]


def format_named(name: str) -> Format:
    """The format of a name of `FORMATS`."""
    found: Format = import_module(FORMATS[name]).FORMAT
    return found


def check_runtime(form: Format, facts: PackageFacts) -> None:
    """Refuses a format for an engine of another runtime.

    Raises:
        ArtifactError: names the formats that take the engine.
    """
    if facts.runtime in form.runtimes:
        return
    fitting = [name for name in FORMATS if facts.runtime in format_named(name).runtimes]
    raise ArtifactError(
        f"{form.name} is for {_listed(form.runtimes)}, and {facts.engine.name} is an engine of"
        f" {facts.runtime}",
        hint=(
            f"formats for {facts.runtime}: {', '.join(f'--for {name}' for name in fitting)}"
            if fitting
            else f"no format takes an engine of {facts.runtime}"
        ),
    )


def check_pictures(form: Format, facts: PackageFacts) -> None:
    """Refuses a network that a picture cannot fill.

    Raises:
        ArtifactError: says what it takes.
    """
    model = facts.model
    if model.takes_pictures:
        return
    more = f" and {len(model.more_inputs)} more inputs" if model.more_inputs else ""
    raise ArtifactError(
        f"{form.name} is for networks that take pictures, and {model.name} takes"
        f" {' x '.join(map(str, model.input_shape))}{more}",
        hint="load the engine with its runtime: docs/how-to/application.md shows how",
    )


def _listed(runtimes: tuple[str, ...]) -> str:
    *front, last = runtimes
    return f"{', '.join(front)} and {last}" if front else last
