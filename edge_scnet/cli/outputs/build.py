"""What the single stages print."""

from __future__ import annotations

from dataclasses import dataclass

from edge_scnet.core.manifest import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files that a stage made, or found unchanged."""

    folder: str
    artifacts: tuple[Artifact, ...]
