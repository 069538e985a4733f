"""Simulates mixes of INT8 and float where their engines cannot run: accuracy, and no times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.feeds import feed_of
from edge_scnet.core.optional import require
from edge_scnet.graph.counting import are_counted
from edge_scnet.graph.model import batch_of
from edge_scnet.graph.run import ort_session
from edge_scnet.graph.work import multiply_adds
from edge_scnet.quantizer.recipe import Prepared, assemble
from edge_scnet.sensitivity.costs import Costs, costs_by_work
from edge_scnet.sensitivity.judged import SearchImages, judged
from edge_scnet.sensitivity.measurer import share_of
from edge_scnet.sensitivity.result import Candidate

if TYPE_CHECKING:
    import onnx_ir as ir


class Simulator:
    """Judges Q/DQ graphs in ONNX Runtime, as `Measurer` does engines."""

    def __init__(self, prepared: Prepared, images: SearchImages) -> None:
        """Runs nothing yet."""
        self._prepared, self._data = prepared, images
        self._work = multiply_adds(prepared.model)

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *_: object) -> None: ...

    def measure(self, keep_float: Iterable[str]) -> Candidate:
        """Simulates the graph with these nodes in float; its times are not known."""
        names = tuple(sorted(keep_float))
        model = assemble(self._prepared, names).model
        run = _Run(model)
        figures = judged(run, self._data, batch_of(model), are_counted(model.graph))
        return Candidate(
            keep_float=names,
            sqnr_db=figures.sqnr_db,
            drop_upper95_pp=figures.drop_upper95_pp,
            within=figures.within,
            time_ratio=None,
            time_low=None,
            time_high=None,
            float_work=share_of(names, self._work),
        )

    def costs(self) -> Costs:
        """Each module's share of the multiply-adds."""
        return costs_by_work(self._work)


class _Run:
    """A graph in ONNX Runtime, opened once."""

    def __init__(self, model: ir.Model) -> None:
        ort = require("onnxruntime", extra="quantize")
        self._session: Any = ort_session(ort, model, optimize=True)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: np.ndarray) -> Sequence[np.ndarray]:
        outputs: list[np.ndarray] = self._session.run(None, feed_of(batch, self._input))
        return outputs
