"""Records of measured figures. Every figure that decides something comes with an interval.

Plain Python: a gate reads reports without NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

# What an engine is in a comparison: the float reference, the runtime's default precision, or INT8.
EngineRole = Literal["reference", "default", "int8", "fp16", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steadiness:
    """What the order and the spread of run times tell about the machine."""

    drift_percent: Annotated[
        float | None,
        Meta(
            description="change of the time from the first block to the last; None below 8 blocks"
        ),
    ]
    drift_p: Annotated[
        float | None,
        Meta(description="how probable so much order is without a drift, two-sided"),
    ]
    modes_ms: Annotated[
        tuple[Annotated[float, Meta(gt=0)], ...],
        Meta(min_length=1, description="the median of each cluster that the times form"),
    ]
    mode_percents: Annotated[
        tuple[float, ...], Meta(description="share of the runs in each cluster")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStats:
    """Times of single runs, in the order taken, and their percentiles with 95 % intervals.

    Percentiles are linear between neighbours. An interval is None where there are too few samples
    for one: 6 for the median, 36 for p90, 368 for p99.
    """

    samples_ns: tuple[int, ...]
    count: Annotated[int, Meta(gt=0)]
    p50_ms: Annotated[float, Meta(gt=0)]
    p90_ms: float
    p99_ms: float
    p50_low_ms: float | None
    p50_high_ms: float | None
    p90_low_ms: float | None = None
    p90_high_ms: float | None = None
    p99_low_ms: float | None = None
    p99_high_ms: float | None = None
    blocks: Annotated[
        tuple[int, ...],
        Meta(description="runs in each timed block, in order: other engines ran in between"),
    ] = ()
    steadiness: Steadiness | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedAhead:
    """A loop that decodes and preprocesses the next batch on another core while the engine runs.

    The engine has the threads that leave that core.
    """

    threads: Annotated[int, Meta(ge=0, description="of the engine; 0: it does not run on the CPU")]
    batch_ms: Annotated[
        float, Meta(gt=0, description="of a batch in the loop, from the file to the first classes")
    ]
    infer_ms: Annotated[
        float,
        Meta(gt=0, description="of a batch in the engine alone, so opened, in windows in turn"),
    ]
    overhead_percent: Annotated[
        float,
        Meta(description="of the loop over the engine alone: the median of the windows' ratios"),
    ]
    images_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEnd:
    """Times from the image file to the first classes, as a plain loop over batches sees them.

    They are of 64 images at most, taken in turn, whose files are in the system's cache. Images of
    an idx set need no decoding.
    """

    images: int
    p50_ms: Annotated[float, Meta(gt=0, description="of a batch")]
    p90_ms: float
    stages_ms: Annotated[
        dict[str, float],
        Meta(description="mean of a batch by stage: decode, preprocess, infer, top-k"),
    ]
    images_per_second: float
    ahead: Annotated[
        PreparedAhead | None,
        Meta(
            description=(
                "a loop whose next batch is prepared meanwhile; None: see `no_ahead`, or in"
                " reports of older versions"
            )
        ),
    ] = None
    no_ahead: Annotated[str | None, Meta(description="why `ahead` was not measured, in words")] = (
        None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStats:
    """Resident memory of an engine's process, in bytes.

    `before_load` is Python and the runtime's library. The memory of a TensorRT plan is not in it:
    the driver has that, and on a Jetson it comes out of the same RAM.
    """

    before_load_bytes: int
    load_peak_bytes: int
    steady_bytes: int
    device_activation_bytes: Annotated[
        int | None, Meta(description="what a plan takes on the GPU for its activations")
    ] = None
    ram_delta_bytes: Annotated[
        int | None,
        Meta(
            description="growth of the whole machine's use from before a plan is loaded to after"
            " its first inference"
        ),
    ] = None
    growth_bytes_per_run: Annotated[
        float | None,
        Meta(description="slope through the ends of the timed blocks; None below 8 blocks"),
    ] = None
    growth_bytes: Annotated[int | None, Meta(description="growth over all timed runs")] = None
    growth_p: Annotated[
        float | None,
        Meta(description="how probable so much order is where nothing grows, two-sided"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioStats:
    """How many times as fast one engine is as another, from blocks or windows taken in turn."""

    ratio: Annotated[float, Meta(gt=0, description="median over the rounds")]
    low: Annotated[
        float | None, Meta(description="95 % interval of that median; None below 6 rounds")
    ]
    high: float | None
    rounds: int
    low99: Annotated[float | None, Meta(description="99 % interval; None below 8 rounds")] = None
    high99: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphTimes:
    """A plan with and without a CUDA graph, timed in turn."""

    used: Annotated[bool, Meta(description="whether the row's figures are those with the graph")]
    without_p50_ms: float
    with_p50_ms: Annotated[
        float | None, Meta(description="None: it could not be recorded, `fault` says why")
    ]
    speedup: Annotated[
        RatioStats | None, Meta(description="time without the graph over the time with it")
    ]
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledStats:
    """An engine and its reference on the same labelled images."""

    top1_percent: float
    top5_percent: Annotated[float | None, Meta(description="None with fewer than 6 classes")]
    reference_top1_percent: float
    lost: Annotated[
        int, Meta(ge=0, description="images that the reference got right and this engine wrong")
    ]
    won: Annotated[
        int, Meta(ge=0, description="images that the reference got wrong and this engine right")
    ]
    drop_pp: Annotated[
        float, Meta(description="the reference's top-1 minus this engine's, in percentage points")
    ]
    drop_low_pp: Annotated[float, Meta(description="two-sided 95 % interval of the drop")]
    drop_high_pp: float
    drop_lower95_pp: Annotated[
        float, Meta(description="one-sided 95 % bounds of the drop, each on its own")
    ]
    drop_upper95_pp: float
    mcnemar_p: Annotated[float, Meta(description="McNemar's test, exact and two-sided")]
    ece_percent: Annotated[
        float | None,
        Meta(
            description="expected calibration error of the confidence, in percentage points; None"
            " in reports of schema 1"
        ),
    ] = None
    reference_ece_percent: float | None = None


# In front of an output's name: a figure that is told, and not judged.
SAME_SIZE = "same size of "


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure of a task, of an engine and of its reference on the same samples."""

    name: Annotated[str, Meta(description='"AP", "mIoU", "mean error", "cosine", ...')]
    unit: Annotated[str, Meta(description='"%", "px", "dB", or "" for the outputs\' own')]
    value: float
    reference: Annotated[float | None, Meta(description="None: it is itself a comparison with it")]
    higher_is_better: bool
    loss: Annotated[
        float, Meta(description="how much worse than the reference, in the unit; negative: better")
    ]
    loss_low: Annotated[float | None, Meta(description="two-sided 95 % interval of the loss")] = (
        None
    )
    loss_high: float | None = None
    loss_lower95: Annotated[
        float | None, Meta(description="one-sided 95 % bounds of the loss, each on its own")
    ] = None
    loss_upper95: float | None = None
    method: Annotated[str, Meta(description="how the interval was made")] = ""
    value_low: Annotated[
        float | None, Meta(description="two-sided 95 % interval of the reference's own value")
    ] = None
    value_high: float | None = None
    decides: Annotated[
        bool, Meta(description="with ground truth, whether it decides beside the first")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceStats:
    """A part of an output that is judged by itself, as the boxes or the scores of a head."""

    output: str
    part: Annotated[str, Meta(description="channels or columns, in words; empty: all of it")]
    sqnr_db: Annotated[float | None, Meta(description="of what varies; None: no noise")]
    cosine: float | None
    highest: Annotated[
        float | None,
        Meta(description="of probabilities, the reference's highest; None: they are none"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStats:
    """What an engine is worth at its task, against its reference on the same samples."""

    task: str
    samples: Annotated[int, Meta(gt=0)]
    truth: Annotated[
        str | None, Meta(description="how the ground truth was found; None: FP32 stands in for it")
    ]
    metrics: Annotated[
        tuple[Metric, ...],
        Meta(
            min_length=1,
            description="the first decides the verdict, and so does each that says so",
        ),
    ]
    slices: tuple[SliceStats, ...] = ()
    doubts: Annotated[
        tuple[str, ...],
        Meta(description="why these samples prove nothing, as FP32's own figure at chance"),
    ] = ()
    worst: Annotated[
        tuple[str, ...], Meta(description="the samples that lost most, worst first")
    ] = ()
    per_sample: Annotated[
        str | None,
        Meta(
            description=(
                "`pack_values` of the first metric where it is a mean over samples, in"
                " canonical order"
            )
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyStats:
    """An engine and its reference on the same images."""

    images: Annotated[int, Meta(gt=0)]
    agreement_percent: Annotated[
        float | None,
        Meta(
            description="images whose first class is the reference's; None where outputs are not"
            " classes"
        ),
    ]
    agreeing: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="the number of these images")
    ]
    sqnr_db: Annotated[float | None, Meta(description="of the outputs; None: they are identical")]
    labels: Annotated[
        LabelledStats | None, Meta(description="figures that need labels; None without them")
    ]
    task: Annotated[
        TaskStats | None, Meta(description="of tasks other than classification by one label")
    ] = None
    doubts: Annotated[
        tuple[str, ...],
        Meta(description="why these images prove nothing, as FP32's own top-1 at chance"),
    ] = ()
    has_sqnr: Annotated[
        bool, Meta(description="False: the size of each output depends on the data")
    ] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputStats:
    """One output of an engine against its reference's, over all evaluation images."""

    name: str
    sqnr_db: Annotated[
        float | None,
        Meta(description="None: they are identical, or the reference is zero throughout"),
    ]
    cosine: Annotated[float | None, Meta(description="None: one of them is zero throughout")]
    identical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One engine at one batch and number of threads, timed in turn with all others of the sweep."""

    engine: str
    batch: Annotated[int, Meta(ge=1)]
    threads: Annotated[int, Meta(ge=0, description="0: the runtime's default")]
    p50_ms: Annotated[float, Meta(gt=0, description="of a batch")]
    p90_ms: float
    p99_ms: float
    p50_low_ms: Annotated[float | None, Meta(description="95 % interval")]
    p50_high_ms: float | None
    steadiness: Steadiness | None
    speedup: Annotated[
        RatioStats | None,
        Meta(description="the first engine's time over this one's, at the same batch and threads"),
    ]
    throughput_per_second: Annotated[float | None, Meta(description="images per second")]
    steady_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """An engine that was loaded as it had been compiled: `load_seconds` is of its blob."""

    file: str
    size_bytes: Annotated[int, Meta(ge=0, description="beside those of the row")]
    compiled_seconds: Annotated[
        float,
        Meta(description="that loading takes in a process that compiles it"),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisePart:
    """What one module adds to the noise of the outputs where it alone is in INT8."""

    module: Annotated[str, Meta(description="the node of the graph, which is named after it")]
    percent: Annotated[float, Meta(description="of the sum over all modules")]
