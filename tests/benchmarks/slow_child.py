"""The process that measures an engine, with an INT8 engine that is slower than it could be."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from edge_scnet.profiler import child

# How much longer an inference takes: 1 / 1.25, a fifth of the speed is gone.
SHARE = 0.25


class SlowServer(child.Server):
    """Answers as `child.Server`; every inference of model.xml takes longer."""

    def load(self, runtime: str, path: Path, options: Any, timed: np.ndarray) -> child.Loaded:
        loaded = super().load(runtime, path, options, timed)
        if path.name == "model.xml":
            quick: Any = self._session.infer

            def infer(batch: np.ndarray) -> list[np.ndarray]:
                start = time.perf_counter_ns()
                outputs: list[np.ndarray] = quick(batch)
                end = start + (time.perf_counter_ns() - start) * (1 + SHARE)
                while time.perf_counter_ns() < end:
                    pass
                return outputs

            self._session.infer = infer
        return loaded


def main(fd: int) -> NoReturn:
    """The process: as `child.main`, with the slow server in place of the other."""
    child.Server = SlowServer
    child.main(fd)
