"""A command line that is to run on another machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edge_scnet.cli.command_help import ARGUMENTS

if TYPE_CHECKING:
    from edge_scnet.devices.job import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command line that is to run on a device."""

    context: typer.Context
    # by parameter, without those of `--device`
    values: dict[str, Any]
    wheel: Path | None
    settings: Settings
    # what it prints goes to stderr
    quiet: bool = False
    # the device of a fleet, whose own folders it is about; empty: none
    device: str = ""
    # its own command line; None: as it was given
    own_words: tuple[str, ...] | None = None

    @property
    def command(self) -> str:
        """The command's name."""
        return str(self.context.info_name)

    @property
    def as_json(self) -> bool:
        """Whether stdout is JSON."""
        return bool(self.values.get("as_json"))

    @property
    def words(self) -> tuple[str, ...]:
        """The command line behind the command's name."""
        if self.own_words is not None:
            return self.own_words
        found: tuple[str, ...] = self.context.meta[ARGUMENTS]
        return found


def is_said(asked: Asked, name: str) -> bool:
    """Whether the command line says a parameter."""
    source: Any = asked.context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
