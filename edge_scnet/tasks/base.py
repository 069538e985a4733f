"""The protocol of an evaluator, and what it is told of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edge_scnet.core.spec import ModelSpec
from edge_scnet.core.targets import Targets
from edge_scnet.stats.figures import TaskStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The model and the samples that an evaluator judges."""

    spec: ModelSpec
    # of the network, in order
    output_names: tuple[str, ...]
    # number of samples
    count: int
    # one class a sample; None: unlabelled
    labels: tuple[int, ...] | None = None
    targets: Targets | None = None
    # width and height of each image, upright, in pixels; empty where samples are no images
    image_sizes: tuple[tuple[int, int], ...] = ()
    # of the samples, for messages
    entries: tuple[str, ...] = ()


class Evaluator(Protocol):
    """Judges what engines give for the same samples; the first engine is the reference.

    It keeps no state of its own: what is kept of a chunk is handed back to `compare`.
    """

    # the task's name, for reports
    task: str

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """What is kept of each sample of a chunk: small, and enough for `compare`.

        Args:
            outputs: by output, samples along the first axis.
            reference: the reference's for the same samples; the same arrays for itself.
            indices: of the samples in the set.

        Raises:
            DataError: the outputs are not those of such a task, or a user's function fails.
        """
        ...

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """The figures of an engine against the reference, from what was kept of all samples."""
        ...
