"""The outputs that a task does not read: judged as features are, so that none goes unseen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edge_scnet.core.ragged import is_ragged
from edge_scnet.stats.figures import SAME_SIZE, TaskStats
from edge_scnet.tasks.arguments import counts
from edge_scnet.tasks.base import Context, Evaluator
from edge_scnet.tasks.features import Features
from edge_scnet.tasks.readout import Readout, read


@dataclass(frozen=True, slots=True, kw_only=True)
class WithOthers:
    """An evaluator of some outputs, and `Features` of all others.

    Their parts are slices, which `min_slice_sqnr_db` limits; outputs of whole numbers are figures
    that decide, by `min_agreement_percent`; those whose size depends on the data are doubts.
    """

    made: Evaluator
    context: Context
    # what `made` reads
    judged: tuple[int, ...]
    task: str = field(default="")

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """By sample, what the evaluator keeps, and the rows of the other outputs.

        Raises:
            DataError: as the evaluator.
        """
        # a built-in evaluator reads one output
        output = getattr(self.made, "output", None)
        if output is not None and is_ragged(reference[output]):
            raise counts(self.task, self.context, output)
        kept = self.made.reduce(outputs, reference, indices)
        if len(outputs) < 2:
            return [(each, None) for each in kept]
        # an output without a batch axis cannot be told apart by sample
        skipped = [
            number
            for number, array in enumerate(reference)
            if number in self.judged or len(array) != len(indices)
        ]
        rows = Features(context=self.context, skipped=tuple(skipped)).reduce(
            outputs, reference, indices
        )
        return list(zip(kept, rows, strict=True))

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """As the evaluator.

        Raises:
            DataError: as the evaluator.
        """
        return read(self.made, self.context, outputs, index)

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """The evaluator's figures, and the parts of the other outputs.

        Raises:
            DataError: as the evaluator.
        """
        stats = self.made.compare([each[0] for each in own], [each[0] for each in reference])
        if own[0][1] is None or all(rows is None for rows in own[0][1]):
            return stats
        others = Features(context=self.context).compare(
            [each[1] for each in own], [each[1] for each in reference]
        )
        whole = tuple(
            replace(each, decides=not each.name.startswith(SAME_SIZE))
            for each in others.metrics
            if each.unit == "%"
        )
        return replace(
            stats,
            metrics=(*stats.metrics, *whole),
            slices=(*stats.slices, *others.slices),
            doubts=(*stats.doubts, *others.doubts),
        )
