"""What `compare` prints."""

from __future__ import annotations

from dataclasses import dataclass

from edge_scnet.gate.compare import Compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparisons:
    """Each further report against the first."""

    comparisons: tuple[Compared, ...]
