"""Plans timed with and without a CUDA graph: the faster is taken; others are timed in one way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.profiler import turns
from edge_scnet.profiler.ways import Ways
from edge_scnet.runtimes.base import OpenOptions
from tests.helpers.engines import quiet


class FakeChild:
    """A plan's process that takes so many ns with its graph and without."""

    def __init__(
        self,
        plain_ns: int,
        graph_ns: int,
        *,
        fault: str | None = None,
        runtime: str = "tensorrt",
        cuda_graph: bool | None = None,
    ) -> None:
        options = OpenOptions(cuda_graph=cuda_graph)
        self.engine = SimpleNamespace(runtime=runtime, options=options)
        self.ns, self.fault = {None: plain_ns, False: plain_ns, True: graph_ns}, fault
        self.calls: list[tuple[Any, ...]] = []

    def call(self, method: str, *args: Any) -> Any:
        self.calls.append((method, *args))
        if method == "timed_block":
            return [self.ns[args[2] if len(args) > 2 else None]] * args[1], 1000
        return self.fault


def timed(*children: Any) -> Ways:
    ways = Ways(children)
    ways.record_graphs()
    turns.time_blocks(
        [children[way.engine] for way in ways.all],
        1.0,
        quiet,
        [way.blocks for way in ways.all],
        graphs=[way.graph for way in ways.all],
    )
    ways.choose()
    return ways


@pytest.mark.parametrize(("graph_ns", "used"), [(800, True), (1250, False)])
def test_the_faster_way_is_taken_and_goes_on(graph_ns: int, used: bool) -> None:
    plan, other = FakeChild(1000, graph_ns), FakeChild(3000, 3000, runtime="openvino")
    ways = timed(plan, other)
    told = ways.graph_times(0)
    assert told is not None and told.speedup is not None and told.used is used
    assert (told.without_p50_ms, told.with_p50_ms) == (0.001, graph_ns / 1e6)
    assert told.speedup.ratio == 1000 / graph_ns and told.speedup.rounds == ways.rounds >= 12
    assert {ns for block in ways.chosen(0).blocks.times_ns for ns in block} == {min(1000, graph_ns)}
    assert plan.calls[-1] == ("use_graph", used)
    # every inference of the process counts where memory grows
    runs = [len(block) for block in ways.chosen(0).blocks.times_ns]
    assert ways.runs(0) == [2 * count for count in runs]
    assert ways.graph_times(1) is None and ways.chosen(1).graph is None
    assert {call[0] for call in other.calls} == {"timed_block"}


def test_a_plan_whose_graph_cannot_be_recorded_is_timed_without_and_that_is_told() -> None:
    plan = FakeChild(1000, 1, fault="pycuda records no CUDA graphs")
    told = timed(plan).graph_times(0)
    assert told is not None and not told.used and told.with_p50_ms is None
    assert told.fault == "pycuda records no CUDA graphs" and told.without_p50_ms == 0.001
    assert {call[-1] for call in plan.calls if call[0] == "timed_block"} == {False}
    assert "use_graph" not in {call[0] for call in plan.calls}


@pytest.mark.parametrize("said", [True, False])
def test_what_the_user_says_is_timed_in_one_way(said: bool) -> None:
    plan = FakeChild(1000, 800, cuda_graph=said)
    ways = timed(plan)
    assert ways.graph_times(0) is None and {call[0] for call in plan.calls} == {"timed_block"}
