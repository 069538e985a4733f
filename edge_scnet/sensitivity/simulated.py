"""Simulates mixes of INT8 and float where their engines cannot run: accuracy, and no times."""

from __future__ import annotations

from collections.abc import Iterable

from edge_scnet.core.feeds import feed_of
from edge_scnet.graph.counting import are_counted
from edge_scnet.graph.model import batch_of
from edge_scnet.graph.walk import Part
from edge_scnet.graph.work import multiply_adds
from edge_scnet.quantizer.recipe import Prepared, assemble
from edge_scnet.sensitivity.costs import Costs, costs_by_work
from edge_scnet.sensitivity.judged import Judged, SearchImages, judged
from edge_scnet.sensitivity.measurer import share_of
from edge_scnet.sensitivity.result import Candidate


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
        whole, first = Part(model), str(model.graph.inputs[0].name)
        outputs = [str(value.name) for value in model.graph.outputs]
        figures = judged(
            lambda batch: whole.run(feed_of(batch, first), outputs),
            self._data,
            batch_of(model),
            are_counted(model.graph),
        )
        return simulated_candidate(names, figures, self._work)

    def ahead(self, choices: Iterable[Iterable[str]]) -> None:
        """Begins nothing before it is asked for."""

    def costs(self) -> Costs:
        """Each module's share of the multiply-adds."""
        return costs_by_work(self._work)


def simulated_candidate(names: tuple[str, ...], figures: Judged, work: dict[str, int]) -> Candidate:
    """A mix that was judged and not timed.

    Args:
        names: of the nodes in float.
        work: multiply-adds of each module.
    """
    return Candidate(
        keep_float=names,
        sqnr_db=figures.sqnr_db,
        drop_upper95_pp=figures.drop_upper95_pp,
        within=figures.within,
        time_ratio=None,
        time_low=None,
        time_high=None,
        float_work=share_of(names, work),
    )
