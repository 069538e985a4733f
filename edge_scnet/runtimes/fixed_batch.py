"""Engines that run the batch that they were built with, and no other."""

from __future__ import annotations

from pathlib import Path

from edge_scnet.errors import TargetError


def fixed_batch(artifact: Path, built: int, asked: int) -> TargetError:
    """The error of a runtime whose engines have the batch they were built with."""
    return TargetError(
        f"{artifact.name} was built for batch {built} and cannot run batch {asked}",
        hint=f"edge-scnet build --batch {asked}",
    )
