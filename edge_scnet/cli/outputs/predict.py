"""What `predict` prints."""

from __future__ import annotations

from dataclasses import dataclass

from edge_scnet.pipeline.predict import Skipped
from edge_scnet.tasks.readout_json import Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What an engine says of each sample."""

    predictions: tuple[Said, ...]
    # of --skip-bad: files that could not be read
    skipped: tuple[Skipped, ...] = ()
