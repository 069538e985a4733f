"""`RunReport`: everything one run measured, to and from JSON, and as a table. Reads and renders;
measures nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edge_scnet.config.target import Gates
from edge_scnet.core.provenance import Provenance, Quantization
from edge_scnet.machine.board import BoardState
from edge_scnet.machine.load import MachineLoad
from edge_scnet.report.findings import Finding
from edge_scnet.stats.figures import (
    AccuracyStats,
    EndToEnd,
    LatencyStats,
    MemoryStats,
    OutputStats,
    RatioStats,
    SweepRow,
)

if TYPE_CHECKING:
    pass

SCHEMA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """One engine's row."""

    name: str  # "fp32", "default", "int8"
    runtime: str
    file: str
    sha256: str
    size_bytes: int
    precision_hint: str
    convolutions: dict[str, int]  # how many convolutions execute in which precision
    other_layers: dict[str, int]
    load_seconds: float | None  # this and the times and memory below: None where it was simulated
    warm_up_seconds: float | None
    latency: LatencyStats | None
    speedup: (
        RatioStats | None
    )  # time of the first row over this row's, in the same alternated blocks
    throughput_per_second: float | None
    memory: MemoryStats | None
    accuracy: AccuracyStats | None
    first_classes: str | None = (
        None  # `pack_classes` of the images in canonical order: two engines are paired by it
    )
    copies: tuple[str, ...] = ()  # of an INT8 plan: modules before which data is only converted
    float_convolutions: tuple[str, ...] = ()  # of an INT8 engine: modules that are not
    layer_times: tuple[LayerTime, ...] = ()
    warm_up_runs: int | None = None
    warm_up_stable: bool | None = (
        None  # False: its time still changed when the limit of warming up was reached
    )
    settings: dict[str, str] = field(
        default_factory=dict
    )  # how the runtime ran it: threads, streams, hints
    end_to_end: EndToEnd | None = None
    outputs: tuple[OutputStats, ...] = ()  # against the reference's


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """The images that accuracy was measured on."""

    name: str
    sha256: str
    images: int
    skipped: int
    labels: str | None  # how labels were found; None: unlabelled
    images_sha256: str | None = (
        None  # of the images' contents and labels in canonical order: sorted by content
    )
    truth: str | None = None  # `pack_classes` of the labels, in that order


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run: which engines of which model for which target, on which images, by which machine and
    command.
    """

    schema: int
    created_utc: str
    command: str
    model: str
    target: str
    batch: int  # images per inference: what a latency is the time of
    engines: tuple[EngineReport, ...]
    evaluation: EvaluationSet | None
    findings: tuple[Finding, ...]
    verdict: str
    stage_seconds: dict[str, float]
    environment: dict[str, Any]
    gates: Gates | None = None  # the target's, as the findings were judged by
    quantization: Quantization | None = None
    provenance: Provenance | None = None
    complete: bool = True  # False: interrupted, some figures are of a part of the run
    board: BoardState | None = None  # of a Jetson, while its engines were timed
    seconds: float | None = None  # timed seconds that were asked for, of each engine
    load: MachineLoad | None = None  # what else the machine did then
    sweep: tuple[SweepRow, ...] = ()  # other batches and numbers of threads
    sweep_load: MachineLoad | None = None  # what else the machine did then
    flips: Flips | None = None  # images whose first class is another than FP32's
    classes: tuple[str, ...] = ()  # the model's, where they have names


def reference_row(report: RunReport) -> EngineReport | None:
    """What INT8 is held against: FP32, or where there is none (trtexec on a board) FP16. By its
    name, not by its place.
    """
    for name in ("fp32", "fp16"):
        for row in report.engines:
            if row.name == name:
                return row
    return None


def accuracy_row(report: RunReport) -> EngineReport | None:
    """The INT8 engine whose accuracy is known, executed or simulated."""
    return next(
        (row for row in report.engines if row.name.startswith("int8") and row.accuracy is not None),
        None,
    )


def timed_row(report: RunReport) -> EngineReport | None:
    """The INT8 engine that was executed and timed."""
    return next(
        (row for row in report.engines if row.name.startswith("int8") and row.latency is not None),
        None,
    )


def same_machine(report: RunReport, other: RunReport) -> bool:
    """Whether both are of one kind of machine, by the fingerprint of `environment.Environment`."""
    mine: Any = report.environment.get("fingerprint")
    return mine is not None and mine == other.environment.get("fingerprint")


def board_mode(report: RunReport) -> str | None:
    """A board's power mode and clocks, which make it another machine; None elsewhere."""
    if report.board is None:
        return None
    clocks = {True: "pinned", False: "not pinned", None: "not told"}[report.board.clocks_pinned]
    return f"power mode {report.board.power_mode or 'not told'}, clocks {clocks}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """One image. `kind`: "lost" the reference was right, "won" this engine is, "changed" neither
    is, or nobody knows.
    """

    image: str
    kind: Literal["lost", "won", "changed"]
    truth: int | None  # class indices
    was: int
    now: int
    was_percent: float  # the reference's confidence in `was`
    now_percent: float  # this engine's in `now`
    thumbnail: str | None  # a data: URL; None where it cannot be drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """How many there are, and those that tell most: lost before won before changed, and the surest
    first.
    """

    count: int
    shown: tuple[Flip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """One layer's time in one inference, of a run that times each layer by itself: their sum is
    more than the latency.
    """

    name: str
    kind: str
    precision: str
    modules: tuple[str, ...]  # the graph's nodes in it, which are named after modules
    median_ms: float
