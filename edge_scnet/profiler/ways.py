"""The ways in which engines are timed: plans with and without a CUDA graph, all others in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_scnet.profiler.process import Child
from edge_scnet.profiler.turns import TimedBlocks
from edge_scnet.runtimes import runtime_named
from edge_scnet.stats.figures import GraphTimes
from edge_scnet.stats.timing import graph_times


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of an engine, and what was timed of it."""

    # the engine's number
    engine: int
    # with a CUDA graph or without; None: there is one way
    graph: bool | None = None
    blocks: TimedBlocks = field(default_factory=TimedBlocks)


class Ways:
    """The ways of all engines."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._faults: dict[int, str] = {}
        self.all: list[Way] = [Way(engine=i) for i in range(len(children))]

    def record_graphs(self) -> None:
        """Records a CUDA graph of each plan that is to be timed with and without one.

        These are plans of which nobody said how; one whose graph cannot be recorded is timed
        without.

        Raises:
            EdgeError: a process died.
        """
        self.all = []
        for i, child in enumerate(self._children):
            engine = child.engine
            graphs: tuple[bool | None, ...] = (None,)
            if engine.options.cuda_graph is None and runtime_named(engine.runtime).takes_cuda_graph:
                fault = child.call("record_graph")
                if fault is not None:
                    self._faults[i] = fault
                graphs = (False,) if fault is not None else (False, True)
            self.all += [Way(engine=i, graph=graph) for graph in graphs]

    @property
    def rounds(self) -> int:
        """The number of rounds of timed blocks that were finished of all."""
        return min(len(way.blocks.resident_bytes) for way in self.all)

    def graph_times(self, engine: int) -> GraphTimes | None:
        """What a CUDA graph makes of an engine's time; None: it has one way."""
        ways = self._of(engine)
        if ways[0].graph is None:
            return None
        without, *others = (way.blocks.times_ns[: self.rounds] for way in ways)
        return graph_times(without, others[0] if others else (), self._faults.get(engine))

    def chosen(self, engine: int) -> Way:
        """The faster way of an engine."""
        times = self.graph_times(engine)
        ways = self._of(engine)
        return ways[-1] if times is not None and times.used else ways[0]

    def runs(self, engine: int) -> list[int]:
        """The inferences of an engine's process by finished round, in all its ways."""
        ways = self._of(engine)
        return [
            sum(len(way.blocks.times_ns[number]) for way in ways) for number in range(self.rounds)
        ]

    def choose(self) -> None:
        """Has each plan infer in its faster way from here on."""
        for i, child in enumerate(self._children):
            if len(self._of(i)) > 1:
                child.call("use_graph", bool(self.chosen(i).graph))

    def _of(self, engine: int) -> list[Way]:
        return [way for way in self.all if way.engine == engine]
