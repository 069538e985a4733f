"""The protocol of an evaluator, and what it is told of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import ModelSpec, TaskSpec
from edge_scnet.core.targets import Targets
from edge_scnet.stats.figures import TaskStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The model and the samples that an evaluator judges."""

    spec: ModelSpec
    # what the network is for, said or told; None: `spec.task`
    task: TaskSpec | None = None
    # of the network, in order; empty: not known before it runs
    output_names: tuple[str, ...] = ()
    # number of samples
    count: int
    # one class a sample; None: unlabelled
    labels: tuple[int, ...] | None = None
    # how labels were found, in words
    label_rule: str | None = None
    targets: Targets | None = None
    # width and height of each image, upright, in pixels; empty where samples are no images
    image_sizes: tuple[tuple[int, int], ...] = ()
    # of the samples, for messages
    entries: tuple[str, ...] = ()
    # indices of the samples sorted by content: their order in reports
    order: tuple[int, ...] = ()
    # what is known of the outputs; empty where there is no graph to look at
    heads: tuple[OutputHead, ...] = ()

    @property
    def arguments(self) -> dict[str, Any]:
        """The task's, as the user gave them."""
        task = self.task or self.spec.task
        return {} if task is None else task.arguments

    def name_of(self, index: int) -> str:
        """A sample's name, for messages."""
        return self.entries[index] if index < len(self.entries) else f"sample {index}"

    def output_name(self, output: int) -> str:
        """An output's name, for messages and reports."""
        names = self.output_names
        return names[output] if output < len(names) else f"output {output}"

    def head(self, output: int) -> OutputHead | None:
        """What is known of an output; None: nothing."""
        return self.heads[output] if output < len(self.heads) else None


class Evaluator(Protocol):
    """Judges what engines give for the same samples; the first engine is the reference.

    It keeps no state of its own: what is kept of a chunk is handed back to `compare`. It gets all
    outputs. Where it judges some of them alone, an attribute `outputs` (their names, or numbers)
    says which, and the others are judged as features are; without one it is taken as judging all.
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
