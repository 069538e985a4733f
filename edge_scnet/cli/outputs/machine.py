"""What `targets` and `doctor` print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_scnet.config.target import TargetSpec
from edge_scnet.runtimes.tensorrt.board_rows import BoardRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTarget(TargetSpec):
    """A target, and what it can be used for here."""

    # to copy for a target of one's own
    file: str
    # why it cannot be built here; None: it can
    unusable: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The targets that come with the tool."""

    targets: tuple[ListedTarget, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """What this machine can do; by name why something cannot be used, None where it can."""

    # the tool's version
    edge_scnet: str
    # as in reports
    environment: dict[str, Any]
    # of a Jetson; empty: it is none
    board: tuple[BoardRow, ...]
    runtimes: dict[str, str | None]
    # why no model can be exported
    export: str | None
    targets: dict[str, str | None]
