"""The answers of a session whose runtime has no more to tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_scnet.runtimes.base import ExecutedLayer


class BaseSession:
    """What most sessions share of `base.Session`."""

    def executed_precisions(self) -> tuple[ExecutedLayer, ...]:
        return ()

    def settings(self) -> dict[str, str]:
        return {}

    def device_bytes(self) -> int | None:
        return None

    def record_graph(self) -> str | None:
        return "its runtime has no CUDA graphs"

    def use_graph(self, *, on: bool) -> None: ...

    def layer_times(self, batches: Sequence[np.ndarray]) -> dict[str, float]:
        return {}
