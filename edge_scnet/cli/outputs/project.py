"""What `show` prints."""

from __future__ import annotations

from dataclasses import dataclass

from edge_scnet.pipeline.resolved import ResolvedValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Every value that a build would be made with."""

    values: tuple[ResolvedValue, ...]
