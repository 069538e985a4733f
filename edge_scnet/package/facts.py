"""What a package is made of: the facts of one engine, of its manifest and its report alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge_scnet.config.target import TargetSpec
from edge_scnet.core.facts import RangesFacts
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import InputForm, ModelSpec, TaskSpec
from edge_scnet.machine.isa import X86_FLOORS
from edge_scnet.report.run_report import EngineReport, RunReport, reference_row
from edge_scnet.tasks.registry import CLASSIFICATION

_UNFIT_FOR_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePart:
    """A file of the engine, as it lies in the build."""

    # a plain file name of ASCII letters, digits, "." "_" and "-"
    name: str
    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFacts:
    """What a build's manifest and report say of one engine."""

    model: ModelSpec
    # what the network is for, as it was said or judged by; None: nobody knows
    task: TaskSpec | None
    target: TargetSpec
    # the lowest instruction set of a CPU that the engine is right on
    floor: str
    # the command that builds it again
    rebuild: str
    # "openvino", "tensorrt", ... and its name in sentences
    runtime: str
    runtime_title: str
    # of the runtime that the engine was made with; None: not told
    runtime_version: str | None
    # the manifest's kind of the file: "openvino-ir", "tensorrt-plan", "onnx"
    kind: str
    # "int8", "fp16", "fp32"
    precision: str
    # what of it is not INT8 is to be computed in
    opened_in: Literal["f32", "bf16", "default"]
    # the board that a plan was built on; None: no Jetson
    board: str | None
    # the file to open first
    files: tuple[EnginePart, ...]
    # None: there is none of this engine
    report: RunReport | None
    # why the build did not ship, in a sentence; None: it did
    held_back: str | None
    # what it was calibrated with; None: it was not, or elsewhere
    calibration: RangesFacts | None = None
    # what the engine takes of a picture; the colours of `model` are the order of its channels
    input: InputForm = field(default_factory=InputForm)
    # what is known of the outputs; empty: nothing, or nobody decodes them
    heads: tuple[OutputHead, ...] = ()

    @property
    def engine(self) -> EnginePart:
        """The file to open."""
        return self.files[0]

    @property
    def batch(self) -> int:
        """Samples in one inference."""
        return self.target.batch

    @property
    def input_sizes(self) -> tuple[int, ...]:
        """The input's sizes in its layout, the batch in front."""
        channels, *plane = self.model.input_shape
        is_last = self.input.layout == "NHWC"
        return (self.batch, *plane, channels) if is_last else (self.batch, channels, *plane)

    @property
    def reads_grey(self) -> bool:
        """Whether pictures are read in grey, for one channel or for all."""
        return self.model.channels == 1 or self.model.preprocessing.colour == "grey"

    @property
    def is_wrong_below_floor(self) -> bool:
        """Whether a CPU below the floor computes other sums: INT8 products that saturate on x86."""
        is_of_cpu = self.target.device == "CPU" and self.precision == "int8"
        return is_of_cpu and self.floor in X86_FLOORS

    @property
    def is_classifier(self) -> bool:
        """Whether its answer is the largest column of the first output."""
        return self.task is not None and self.task.kind == CLASSIFICATION

    @property
    def row(self) -> EngineReport | None:
        """The report's row of this engine."""
        rows = () if self.report is None else self.report.engines
        return next((row for row in rows if row.sha256 == self.engine.sha256), None)

    @property
    def reference(self) -> EngineReport | None:
        """The report's row that this engine is held against; None: it is this one, or unknown."""
        found = None if self.report is None else reference_row(self.report)
        return None if found is self.row else found

    @property
    def plain_name(self) -> str:
        """The model's name as a name of files, images and targets: ASCII without spaces."""
        return _UNFIT_FOR_NAMES.sub("_", self.model.name).strip("._-") or "model"
