"""What each stage found out about the file that it made, as the manifest keeps it."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from edge_scnet.core.provenance import Provenance, Quantization, Recovery


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """What the check of an exported graph against its model saw."""

    # batch sizes
    batches: tuple[int, ...]
    # the largest difference over the range of its output
    worst: float
    images: int
    # whether every output had a value that is no NaN and not infinite
    finite: bool = True
    # what rounding alone changes in the model's own outputs, over their range; 0 where that was not
    # asked for, because the difference is small
    noise: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """SQNR against the float graph's outputs on the same images, in dB.

    None: identical, or an output of whole numbers, which has no SQNR.
    """

    engine_db: float | None
    # None also for an FP16 engine, whose graph is not simulated
    simulation_db: float | None = None
    images: int
    # of an output of whole numbers: how many are others than the float graph's; None: of another
    engine_differing: int | None = None
    simulation_differing: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Nothing: the facts of a file that another file's entry tells about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFacts(Facts):
    """Facts of the float graph."""

    precision: str
    parity: Parity
    nodes: int
    # what was done to the model's inputs, in words
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RangesFacts(Facts):
    """Facts of the statistics over the calibration images."""

    images: int
    # unreadable images that were left out
    skipped: int
    tensors: int
    # name of the sample set
    set: str
    # how far thresholds move between two halves of the set; None: not known
    drift_median_percent: float | None
    # how many classes have an image
    classes: int
    # whether the network gets anything else than for the first sample
    varies: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatLayer:
    """A layer of a Q/DQ graph that computes products and stays in float."""

    node: str
    operator: str
    # in words: "its weights are computed"
    reason: str
    # of one image
    multiply_adds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QdqFacts(Facts):
    """Facts of a Q/DQ graph."""

    precision: str
    weight_bits: int
    # Q/DQ pairs on activations and on weights
    activations: int
    weights: int
    convolutions: int
    # how many tensors have factors, layers compensated rounding, layers a corrected bias; None
    # where another quantizer made the graph
    equalized: int | None = None
    compensated: int | None = None
    corrected: int | None = None
    # names of the convolutions that should execute in INT8
    int8_convolutions: tuple[str, ...]
    # names of all layers that should: these, transposed convolutions and linear layers
    int8_layers: tuple[str, ...] = ()
    # of one image: of all layers, and of those in INT8; None where another quantizer made the graph
    multiply_adds: int | None = None
    int8_multiply_adds: int | None = None
    # the others, the greatest first
    float_layers: tuple[FloatLayer, ...] = ()
    # what the gate compares exactly
    quantization: Quantization
    provenance: Provenance
    # what was learned from the float graph; None: that was not asked for
    recovery: Recovery | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormFacts(Facts):
    """Facts of a graph in the form that TensorRT reads."""

    precision: str
    # names of the nodes that FP16 cannot hold
    kept_fp32: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts(Facts):
    """Facts of an engine."""

    # of a proven INT8 engine: how many convolutions execute in INT8, how many other layers where
    # any should, which layers should and do not, with what the runtime computes them in ("f32", or
    # "not found"), and how close its outputs are
    int8_convolutions: int | None = None
    int8_others: int | None = None
    in_float: dict[str, str] | None = None
    fidelity: Fidelity | None = None
    # of an engine of what is in front of outputs whose size depends on the data; None: none does
    front: Fidelity | None = None
    precision: str
    runtime: str
    # names of the files that it is opened with
    companions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobFacts(Facts):
    """What a compiled blob is good for: the same runtime, processor and options, and nothing else.

    The number of threads is none of them: it is chosen when the blob is loaded.
    """

    # name of the file that it was compiled of
    engine: str
    # of the runtime, with its build
    version: str
    # as the system names it, with its instruction sets and their limit
    processor: str
    features: tuple[str, ...]
    limit: str | None = None
    # of what is not quantized, and what it was compiled for
    precision: str
    mode: str

    def difference(self, here: BlobFacts) -> str | None:
        """What is other here, in words; None: nothing."""
        for field in fields(self):
            own, other = getattr(self, field.name), getattr(here, field.name)
            if own != other:
                return f"{field.name} {_words(own)}, here {_words(other)}"
        return None


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanBuilds:
    """How often a plan was built, and which build was kept: the fastest that is right."""

    count: int
    # counted from 1
    kept: int
    # of each build, its time over that of the first right one; None: it was not right
    time_ratios: tuple[float | None, ...]
    # in words
    timed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSearch:
    """What a search on the board came to: the fastest mix of INT8 and float within the limit."""

    # highest loss in percentage points, the upper end of its one-sided 95 % interval
    max_drop_pp: float
    # how many mixes were built and measured; the all-INT8 plan is one
    engines: int
    seconds: float
    # False: the time was up first
    finished: bool
    # nodes that stay in float; None: no mix that was measured keeps the limit
    keep_float: tuple[str, ...] | None
    # of that mix on the calibration samples; None too where it computes what float computes
    sqnr_db: float | None
    # of its time over that of the all-INT8 plan, and its 95 % interval
    time_ratio: float | None
    time_low: float | None
    time_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFacts(EngineFacts):
    """Facts of a TensorRT plan, which runs on the TensorRT and the board that built it only."""

    # version
    tensorrt: str
    # this and the figures below are not known of a plan that build.sh made
    build_seconds: float | None = None
    # names of the layers that only copy data
    copies: tuple[str, ...] = ()
    # how many layers read which precision
    layers: dict[str, int] | None = None
    warnings: tuple[str, ...] = ()
    # None: it was built once
    builds: PlanBuilds | None = None
    # None: nothing was searched on the board
    search: PlanSearch | None = None
    # the environment of the build
    machine: dict[str, Any]

    @property
    def board(self) -> str | None:
        """The board that it was built on; None: no Jetson."""
        model: str | None = self.machine.get("jetson_model")
        return model


# the manifest's kind of compiled blobs
BLOB_KIND = "compiled-blob"
# every record that an artifact's facts can be
KINDS: tuple[type[Facts], ...] = (
    ExportFacts,
    RangesFacts,
    QdqFacts,
    FormFacts,
    PlanFacts,
    EngineFacts,
    BlobFacts,
)
_OF_STAGES: dict[str, type[Facts]] = {
    "export": ExportFacts,
    "calibrate": RangesFacts,
    "quantize": QdqFacts,
    "recover": QdqFacts,
}


def facts_of(stage: str, kind: str) -> type[Facts]:
    """The record of the facts of a stage's files of a kind ("onnx-form", "tensorrt-plan")."""
    if stage != "compile":
        return _OF_STAGES.get(stage, Facts)
    if kind == "onnx-form":
        return FormFacts
    if kind == BLOB_KIND:
        return BlobFacts
    if kind in ("companion", "bundle"):
        return Facts
    return PlanFacts if kind.endswith("-plan") else EngineFacts


def facts_to_json(value: Any) -> Any:
    """Facts as JSON's values. A field whose default is None is left out where it was not found."""
    if is_dataclass(value):
        contents = ((field, getattr(value, field.name)) for field in fields(value))
        return {
            field.name: facts_to_json(content)
            for field, content in contents
            if content is not None or field.default is not None
        }
    if isinstance(value, dict):
        return {key: facts_to_json(content) for key, content in value.items()}
    if isinstance(value, tuple):
        return [facts_to_json(content) for content in value]
    return value
