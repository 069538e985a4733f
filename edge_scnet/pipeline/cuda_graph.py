"""Whether plans are timed with a CUDA graph, as the user says; both ways where nobody says it."""

from __future__ import annotations

from dataclasses import replace

from edge_scnet.errors import TargetError
from edge_scnet.profiler.process import EngineFile


def option_of(cuda_graph: bool | None) -> str | None:
    """The option that says it; None: none does."""
    return {True: "--cuda-graph", False: "--no-cuda-graph", None: None}[cuda_graph]


def refuse_graph(cuda_graph: bool | None, what: str) -> None:
    """Refuses the option for what is no plan.

    Raises:
        TargetError: it was given.
    """
    option = option_of(cuda_graph)
    if option is not None:
        raise TargetError(f"{what}: {option} is for TensorRT's plans", hint=f"leave {option} out")


def with_graph(engine: EngineFile, cuda_graph: bool | None) -> EngineFile:
    """The engine, opened as the user says."""
    return replace(engine, options=replace(engine.options, cuda_graph=cuda_graph))
