"""The records that go to the process that builds a plan, and come back from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanJob:
    """What a builder is to do."""

    # Names to import, the first that is there.
    modules: tuple[str, ...]
    # An ONNX file, the plan, and the file for the `PlanAnswer`.
    source: str
    out: str
    answer: str
    workspace_bytes: int
    strongly_typed: bool
    # Flags of a weakly typed network: "int8", where it has Q/DQ, and "fp16".
    precisions: tuple[str, ...]
    # Read where it is there, written after the build.
    timing_cache: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderOutput:
    """What a builder told of the plan that it made."""

    # TensorRT's.
    version: str
    seconds: float
    # Lines of the log that name layers.
    layers: tuple[str, ...]
    # The engine inspector's JSON, where there is a GPU to load the plan on.
    inspector: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAnswer:
    """The end of a builder that did not crash: a plan was made, or why not."""

    made: BuilderOutput | None = None
    error: str | None = None
    # Whether it failed before it read the ONNX file.
    at_start: bool = False
