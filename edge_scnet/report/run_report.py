"""`RunReport`: everything that one run measured, and its rows by what they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from edge_scnet.config.target import Gates
from edge_scnet.core.packing import MOST_IMAGES
from edge_scnet.core.provenance import Provenance, Quantization, Recovery
from edge_scnet.core.spec import InputForm
from edge_scnet.machine.board import BoardState
from edge_scnet.machine.load import MachineLoad
from edge_scnet.report.findings import Finding
from edge_scnet.report.mixed import MixedPrecision
from edge_scnet.stats.figures import (
    AccuracyStats,
    EndToEnd,
    EngineRole,
    GraphTimes,
    LatencyStats,
    MemoryStats,
    NoisePart,
    OutputStats,
    RatioStats,
    SweepRow,
    WarmStart,
)

SCHEMA: Final = 3

_Class = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """One layer's time in one inference of a run that times each layer by itself.

    The layers' sum is more than the latency.
    """

    name: str
    kind: str
    precision: str
    modules: Annotated[
        tuple[str, ...],
        Meta(description="the graph's nodes in it, which are named after modules"),
    ]
    median_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CostlyLayer:
    """A layer of an INT8 plan that INT8 does not make faster: it copies, or computes in float."""

    module: Annotated[str, Meta(description="that it belongs to; of a copy the one it is for")]
    why: Literal["copy", "float convolution", "float layer"]
    kind: str
    precision: Annotated[str, Meta(description="of what it reads")]
    median_ms: float
    percent: Annotated[float, Meta(description="its share of the sum of the layers' times")]
    advice: Annotated[str, Meta(description="what to do about it")]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """One engine's row.

    Where the engine was simulated, not executed, its times and memory are None.
    """

    name: Annotated[str, Meta(description='"fp32", "default", "int8", "int8 simulated", ...')]
    role: Annotated[
        EngineRole,
        Meta(
            description=(
                "reference: what INT8 is held against; default: the same file in the precision"
                " that the runtime takes by default; int8: what is judged, of boards without INT8"
                " fp16; other: an engine without a manifest, beside the first"
            )
        ),
    ]
    runtime: str
    file: str
    sha256: str
    size_bytes: Annotated[int, Meta(ge=0)]
    precision_hint: str
    convolutions: Annotated[
        dict[str, int], Meta(description="how many convolutions execute in which precision")
    ]
    other_layers: dict[str, int]
    load_seconds: float | None
    warm_up_seconds: float | None
    latency: LatencyStats | None
    speedup: Annotated[
        RatioStats | None,
        Meta(description="time of the first row over this row's, in the same alternated blocks"),
    ]
    throughput_per_second: float | None
    memory: MemoryStats | None
    accuracy: AccuracyStats | None
    first_classes: Annotated[
        str | None,
        Meta(
            description=(
                "`pack_classes` of the images in canonical order: two engines are paired by it"
            )
        ),
    ] = None
    copies: Annotated[
        tuple[str, ...],
        Meta(description="of an INT8 plan: modules before which data is only converted"),
    ] = ()
    float_convolutions: Annotated[
        tuple[str, ...], Meta(description="of an INT8 engine: modules that are not INT8")
    ] = ()
    not_int8: Annotated[
        tuple[str, ...],
        Meta(description="of an INT8 engine: layers that should execute in INT8 and do not"),
    ] = ()
    layer_times: tuple[LayerTime, ...] = ()
    costly: Annotated[
        tuple[CostlyLayer, ...],
        Meta(
            description=(
                "of an INT8 plan whose layers were timed: its copies and its layers in float, the"
                " slowest first"
            )
        ),
    ] = ()
    cuda_graph: Annotated[
        GraphTimes | None,
        Meta(description="of a plan that was timed with and without one: the faster is the row's"),
    ] = None
    warm_up_runs: int | None = None
    warm_up_stable: Annotated[
        bool | None,
        Meta(description="False: its time still changed when the limit of warming up was reached"),
    ] = None
    settings: Annotated[
        dict[str, str], Meta(description="how the runtime ran it: threads, streams, hints")
    ] = field(default_factory=dict)
    end_to_end: EndToEnd | None = None
    input: Annotated[
        InputForm | None,
        Meta(
            description="what the engine takes; None: of a graph, or in reports of older versions"
        ),
    ] = None
    throughput_ratio: Annotated[
        RatioStats | None,
        Meta(
            description=(
                "this row's throughput over the first row's, in the same alternated windows; None"
                " of the first, and in reports of older versions"
            )
        ),
    ] = None
    throughput_windows: Annotated[
        tuple[float, ...],
        Meta(description="images per second by window; those of one number were taken in turn"),
    ] = ()
    outputs: Annotated[
        tuple[OutputStats, ...], Meta(description="against the reference's outputs")
    ] = ()
    warm_start: Annotated[
        WarmStart | None, Meta(description="None: it was compiled when it was loaded")
    ] = None

    @property
    def simulated(self) -> bool:
        """Whether nothing was timed: the outputs are those of a graph in ONNX Runtime."""
        return self.latency is None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """The images that accuracy was measured on."""

    name: str
    sha256: str
    images: Annotated[int, Meta(gt=0, le=MOST_IMAGES)]
    skipped: int
    labels: Annotated[str | None, Meta(description="how labels were found; None: unlabelled")]
    images_sha256: Annotated[
        str | None,
        Meta(
            description=("of the images' contents and labels in canonical order: sorted by content")
        ),
    ] = None
    truth: Annotated[
        str | None, Meta(description="`pack_classes` of the labels, in that order")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """One image whose first class is another than the reference's."""

    image: str
    kind: Annotated[
        Literal["lost", "won", "changed"],
        Meta(
            description=(
                "lost: the reference was right; won: this engine is; changed: neither is, or"
                " nobody knows"
            )
        ),
    ]
    truth: Annotated[_Class | None, Meta(description="classes are indices")]
    was: Annotated[int, Meta(ge=0, description="the reference's class")]
    now: Annotated[int, Meta(ge=0, description="this engine's class")]
    was_percent: Annotated[float, Meta(description="the reference's confidence in `was`")]
    now_percent: Annotated[float, Meta(description="this engine's confidence in `now`")]
    thumbnail: Annotated[str | None, Meta(description="a data: URL; None where it cannot be drawn")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """How many images flipped, and those that tell most.

    Lost ones come before won ones before changed ones, and the surest first.
    """

    count: int
    shown: tuple[Flip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an engine says of a sample, or its ground truth."""

    by: Annotated[str, Meta(description="the engine's row, or truth")]
    lines: Annotated[tuple[str, ...], Meta(description="in words")]
    picture: Annotated[str | None, Meta(description="the sample with it drawn on: a data: URL")] = (
        None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstSample:
    """One of the samples that INT8 lost most on, with the results side by side."""

    sample: str
    said: Annotated[
        tuple[Said, ...],
        Meta(description="the reference first, then INT8, then the truth where it is known"),
    ]
    picture: Annotated[
        str | None,
        Meta(description="the sample where nothing can be drawn on it: a data: URL"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run: which engines of which model for which target, on which images.

    It tells the machine and the command too.
    """

    schema: Annotated[
        Literal[3], Meta(description="version; older ones are read, newer ones refused")
    ]
    kind: Literal["report"] = "report"
    created_utc: str
    command: str
    model: str
    target: str
    batch: Annotated[int, Meta(description="images per inference: what a latency is the time of")]
    engines: tuple[EngineReport, ...]
    evaluation: EvaluationSet | None
    findings: tuple[Finding, ...]
    verdict: str
    stage_seconds: dict[str, float]
    environment: dict[str, Any]
    gates: Annotated[
        Gates | None, Meta(description="the target's, as the findings were judged by")
    ] = None
    quantization: Quantization | None = None
    provenance: Provenance | None = None
    complete: Annotated[
        bool, Meta(description="False: interrupted, some figures are of a part of the run")
    ] = True
    board: Annotated[
        BoardState | None, Meta(description="of a Jetson, while its engines were timed")
    ] = None
    seconds: Annotated[
        float | None, Meta(description="timed seconds that were asked for, of each engine")
    ] = None
    load: Annotated[MachineLoad | None, Meta(description="what else the machine did then")] = None
    sweep: Annotated[
        tuple[SweepRow, ...], Meta(description="other batches and numbers of threads")
    ] = ()
    sweep_load: Annotated[
        MachineLoad | None, Meta(description="what else the machine did during the sweep")
    ] = None
    flips: Annotated[
        Flips | None, Meta(description="images whose first class is another than FP32's")
    ] = None
    worst: Annotated[
        tuple[WorstSample, ...],
        Meta(description="the samples that INT8 lost most on at the task, worst first"),
    ] = ()
    classes: Annotated[tuple[str, ...], Meta(description="the model's, where they have names")] = ()
    task: Annotated[
        str | None, Meta(description="what accuracy is judged by, and where that is known from")
    ] = None
    mixed: Annotated[
        MixedPrecision | None,
        Meta(description="where INT8 misses its limit: the modules that cost it, and their price"),
    ] = None
    recovery: Annotated[Recovery | None, Meta(description="None: --recover was not given")] = None
    # the model was given quantized: the reference is its own graph without rounding, no float model
    dequantized: bool = False
    noise: Annotated[
        tuple[NoisePart, ...],
        Meta(
            description=(
                "each module's, the greatest first; empty where no `sensitivity` and no search has"
                " measured it for this graph"
            )
        ),
    ] = ()


# Of the engine that a verdict is about; "fp16" of boards without INT8.
JUDGED_ROLES: tuple[EngineRole, ...] = ("int8", "fp16")


def first_of(
    rows: Iterable[EngineReport], role: EngineRole, *, timed: bool = False, judged: bool = False
) -> EngineReport | None:
    """Returns the first row of a role; None where there is none.

    Args:
        timed: only of rows that were executed and timed.
        judged: only of rows whose accuracy is known.
    """
    for row in rows:
        if (
            row.role == role
            and not (timed and row.latency is None)
            and not (judged and row.accuracy is None)
        ):
            return row
    return None


def first_judged(
    rows: Iterable[EngineReport], *, timed: bool = False, judged: bool = False
) -> EngineReport | None:
    """Returns the first row of the engine that the verdict is about: INT8, or a board's FP16."""
    listed = tuple(rows)
    found = (first_of(listed, role, timed=timed, judged=judged) for role in JUDGED_ROLES)
    return next((row for row in found if row is not None), None)


def judged_words(report: RunReport) -> str:
    """What the verdict is about, in words: "INT8", or "FP16" of a board without INT8."""
    row = first_judged(report.engines)
    return row.role.upper() if row is not None else "INT8"


def reference_row(report: RunReport) -> EngineReport | None:
    """Returns what INT8 is held against: FP32, or where there is none (trtexec on a board) FP16."""
    return first_of(report.engines, "reference")


def accuracy_row(report: RunReport) -> EngineReport | None:
    """Returns the judged engine whose accuracy is known, executed or simulated."""
    return first_judged(report.engines, judged=True)


def timed_row(report: RunReport) -> EngineReport | None:
    """Returns the judged engine that was executed and timed."""
    return first_judged(report.engines, timed=True)


def same_machine(report: RunReport, other: RunReport) -> bool:
    """Whether both are of one kind of machine, by the fingerprint of `environment.Environment`."""
    fingerprint: Any = report.environment.get("fingerprint")
    return fingerprint is not None and fingerprint == other.environment.get("fingerprint")


def board_mode(report: RunReport) -> str | None:
    """Returns a board's power mode and clocks, which make it another machine; None elsewhere."""
    if report.board is None:
        return None
    clocks = {True: "pinned", False: "not pinned", None: "not told"}[report.board.clocks_pinned]
    return f"power mode {report.board.power_mode or 'not told'}, clocks {clocks}"
