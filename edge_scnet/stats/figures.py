"""Records of measured figures, and the intervals that judge them. Pure Python: the gate reads
reports without NumPy.

Every figure that decides something comes with an interval; score intervals stay honest when next to
nothing differs.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Steadiness:
    """What the order and the spread of run times tell of the machine."""

    drift_percent: (
        float | None
    )  # change of the time from the first block to the last; None below 8 blocks
    drift_p: float | None  # how probable so much order is where there is none, two-sided
    modes_ms: tuple[
        float, ...
    ]  # medians of the clusters that the times form; one where they form one
    mode_percents: tuple[float, ...]  # the runs in each


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStats:
    """Times of single runs, in the order taken, and their percentiles (linear between neighbours)
    with 95 % intervals.

    An interval is None where the samples are too few for one: 6 for the median, 36 for p90, 368 for
    p99.
    """

    samples_ns: tuple[int, ...]
    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p50_low_ms: float | None
    p50_high_ms: float | None
    p90_low_ms: float | None = None
    p90_high_ms: float | None = None
    p99_low_ms: float | None = None
    p99_high_ms: float | None = None
    blocks: tuple[int, ...] = ()  # runs in each timed block, in order: other engines ran in between
    steadiness: Steadiness | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEnd:
    """From the file to the first classes, one batch after the other, synchronously: what a plain
    loop would see.

    Of 64 images at most, in turn: their files are in the system's cache. Images of an idx set need
    no decoding.
    """

    images: int
    p50_ms: float  # of a batch
    p90_ms: float
    stages_ms: dict[str, float]  # mean of a batch by stage: decode, preprocess, infer, top-k
    images_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStats:
    """Resident memory of an engine's process, in bytes. `before_load` is Python and the runtime's
    library.

    A plan's own memory is not in it: the driver has that, and on a Jetson it comes out of the same
    RAM.
    """

    before_load_bytes: int
    load_peak_bytes: int
    steady_bytes: int
    device_activation_bytes: int | None = None  # what a plan takes on the GPU for its activations
    ram_delta_bytes: int | None = (
        None  # of the whole machine, from before a plan is loaded to after its first inference
    )
    growth_bytes_per_run: float | None = (
        None  # while it was timed: the slope through the blocks' ends; None below 8 blocks
    )
    growth_bytes: int | None = None  # that, over all timed runs
    growth_p: float | None = None  # how probable so much order is where nothing grows, two-sided


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioStats:
    """Time of one engine over another's, from blocks timed in turn."""

    ratio: float  # median over the rounds
    low: float | None  # 95 % interval of that median; None below 6 rounds
    high: float | None
    rounds: int
    low99: float | None = None  # 99 % interval; None below 8 rounds
    high99: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyStats:
    """An engine and its reference on the same images. Figures that need labels are None without
    them.
    """

    images: int
    top1_percent: float | None
    top5_percent: float | None  # also None with fewer than 6 classes
    reference_top1_percent: float | None
    agreement_percent: (
        float | None
    )  # images whose first class is the reference's; None where outputs are no classes
    agreeing: int | None
    sqnr_db: float | None  # of the outputs; None: identical
    lost: int | None  # reference right, this wrong
    won: int | None  # reference wrong, this right
    drop_pp: float | None  # reference top-1 minus this one's, in percentage points
    drop_low_pp: float | None  # two-sided 95 % interval of the drop
    drop_high_pp: float | None
    drop_lower95_pp: float | None  # one-sided 95 % bounds of the drop, each on its own
    drop_upper95_pp: float | None
    mcnemar_p: float | None  # exact, two-sided
    ece_percent: float | None = (
        None  # expected calibration error of the confidence, in percentage points
    )
    reference_ece_percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputStats:
    """One output of an engine against its reference's, over all evaluation images."""

    name: str
    sqnr_db: float | None  # None: identical, or the reference is zero throughout
    cosine: float | None  # None: one of them is zero throughout
    identical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One engine at one batch and number of threads, timed in turn with all others of the sweep."""

    engine: str
    batch: int
    threads: int  # 0: the runtime's default
    p50_ms: float  # of a batch
    p90_ms: float
    p99_ms: float
    p50_low_ms: float | None  # 95 % interval
    p50_high_ms: float | None
    steadiness: Steadiness | None
    speedup: (
        RatioStats | None
    )  # the first engine's time over this one's, at the same batch and threads
    throughput_per_second: float | None  # images
    steady_bytes: int
