"""Whether an engine computes the same where its accuracy is found as where it is timed.

Accuracy is found with other threads and requests than latency: side by side here, in one thread of
a worker there. A runtime that computes a network wrongly one way and rightly the other must not
have the times of one and the accuracy of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_scnet.core.ragged import is_ragged
from edge_scnet.errors import BackendError
from edge_scnet.stats.accuracy import sqnr_db

# Sums in another order flip codes of INT8 here and there: far above. A wrong result is far below.
_LEAST_DB = 20.0


def check_as_timed(
    path: Path, timed: Sequence[np.ndarray], evaluated: Sequence[np.ndarray]
) -> None:
    """Holds what an engine gave for the first images while it was evaluated to what it gave timed.

    Of each output the values in ascending order are compared, for boxes of nearly equal scores
    change places. Outputs of whole numbers, and those whose size depends on the data, are not.

    Args:
        path: of the engine.
        timed: by output, N images along the first axis.
        evaluated: the same images first, and more.

    Raises:
        BackendError: they are not nearly the same.
    """
    for number, (own, other) in enumerate(zip(timed, evaluated, strict=True)):
        if is_ragged(own) or is_ragged(other) or own.dtype.kind != "f":
            continue
        count = min(len(own), len(other))
        first, second = (np.sort(each[:count].astype(np.float64).ravel()) for each in (own, other))
        known = np.isfinite(first) & np.isfinite(second)
        if np.array_equal(first, second, equal_nan=True) or not first[known].any():
            continue
        found = sqnr_db(first[known], second[known])
        lost = not np.array_equal(np.isfinite(first), np.isfinite(second))
        if lost or (found is not None and found < _LEAST_DB):
            raise BackendError(
                f"{path.name} gives other outputs while its accuracy is found than while it is"
                f" timed: output {number} of the first {count} images,"
                f" {'other values are not finite' if lost else f'{found:.1f} dB apart'}; allowed:"
                f" at least {_LEAST_DB:g} dB. The runtime computes this network wrongly with some"
                " numbers of threads",
                hint="another version of the runtime may compute it rightly: edge-scnet doctor"
                " tells which one is here",
            )
