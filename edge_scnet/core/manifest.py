"""The manifest of a build folder: its files, by name and hash, and what they were made of.

One `manifest.json` per build folder binds every file to what it was made of: the model and its
preprocessing, the target, compile-time hints that the file formats do not carry, and each file's
hash, stage and parents' hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from edge_scnet.core.facts import (
    EngineFacts,
    ExportFacts,
    Facts,
    FormFacts,
    QdqFacts,
    facts_of,
    facts_to_json,
)
from edge_scnet.core.files import write_text
from edge_scnet.core.foreign import reason
from edge_scnet.core.json_records import RecordError, convert, read_json
from edge_scnet.core.schema_number import check_schema
from edge_scnet.core.spec import InputForm, ModelSpec
from edge_scnet.errors import ArtifactError

MANIFEST = "manifest.json"
# the files of a build, by their names
FLOAT_ONNX, QDQ_ONNX, RANGES = "model.onnx", "model.qdq.onnx", "ranges.npz"
ENGINE, FLOAT_ENGINE = "model", "model-fp32"  # and the runtime's suffix
BLOB = "model.blob"  # the INT8 engine as it was compiled for one machine
# of TensorRT targets: the graphs as TensorRT reads them, the plans, and what goes to the board
INT8_FORM, FP16_FORM = "engine.onnx", "engine-fp16.onnx"
INT8_PLAN, FP16_PLAN = "engine.plan", "engine-fp16.plan"
PAIRS: tuple[tuple[str, str, Literal["fp16", "int8"]], ...] = (
    (FP16_FORM, FP16_PLAN, "fp16"),
    (INT8_FORM, INT8_PLAN, "int8"),
)
# of boards without INT8: the float graph with FP16's rounding, as it is simulated, and FP32's plan
FP16_GRAPH, FP32_PLAN = "model.fp16.onnx", "engine-fp32.plan"
# the plan that is judged and the one that it is held against, by the target's precision
TIMED_PLANS: dict[str, tuple[str, str]] = {"int8": ("fp16", "int8"), "fp16": ("fp32", "fp16")}
PLAN_FILES = {"fp32": FP32_PLAN, "fp16": FP16_PLAN, "int8": INT8_PLAN}
PLAN_STEMS: dict[str, str] = {precision: Path(plan).stem for _, plan, precision in PAIRS}
BUNDLE = "bundle.tar.gz"
BUILD_SCRIPT = "build.sh"
BOARD = "board.json"  # what build.sh tells of the board and its plans
REPORT, REPORT_PAGE = "report.json", "report.html"
# a variable: set where the page is made by somebody else
NO_PAGE = "EDGE_SCNET_NO_PAGE"
# figures by node, for viewers of the graph
NODE_TIME, NODE_PRECISION = "node_data.time.json", "node_data.precision.json"
NODE_NOISE = "node_data.noise.json"
NODE_DATA = (NODE_TIME, NODE_PRECISION, NODE_NOISE)
PARTIAL_REPORT = "report.partial.json"  # of an interrupted run
SCHEMA = 3
_READ = (1, 2, SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file of a build."""

    file: str
    # "onnx", "ranges", "onnx-form", "bundle", "companion", or a runtime's kind of engines
    kind: str
    stage: str
    sha256: str
    size_bytes: int
    # hash of everything that decides its content: with an equal key it can be reused
    key: str
    # sha256 by name of what it was made of
    parents: dict[str, str] = field(default_factory=dict)
    # what the stage found out about it
    facts: Facts = field(default_factory=Facts)
    # of the libraries that the stage uses
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def precision(self) -> str | None:
        """The precision of a graph or an engine."""
        graph_or_engine = (ExportFacts, QdqFacts, FormFacts, EngineFacts)
        return self.facts.precision if isinstance(self.facts, graph_or_engine) else None

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON's values."""
        return {**asdict(self), "facts": facts_to_json(self.facts)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a build folder holds and how to use it."""

    model: ModelSpec
    target: dict[str, Any]
    # the lowest instruction set the INT8 engine is right on
    floor: str
    # to load an engine with: the IR does not carry it
    precision_hint: str
    # the command that builds it again
    rebuild: str
    # where the evaluation images were
    evaluation: str | None = None
    # what the sets were that it was calibrated and evaluated with; None: not known
    fed_with: Literal["pictures", "arrays"] | None = None
    # the float graph is the model's own quantized one without its rounding
    dequantized: bool = False
    # what engines and plans take, not the graphs that they are made of; of builds of earlier
    # versions float32
    input: InputForm = field(default_factory=InputForm)
    # by file name
    artifacts: dict[str, Artifact] = field(default_factory=dict)

    def with_artifact(self, artifact: Artifact) -> Manifest:
        """The manifest with a file's entry, added or renewed."""
        return replace(self, artifacts={**self.artifacts, artifact.file: artifact})


def stage_key(stage: str, parents: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """Hash of what decides a stage's output: its inputs' hashes and its settings (versions belong
    to the settings).
    """
    text = json.dumps(
        {"stage": stage, "parents": dict(parents), "settings": dict(settings)},
        sort_keys=True,
        default=list,
    )
    return hashlib.sha256(text.encode()).hexdigest()


def to_json(manifest: Manifest) -> str:
    """The manifest's file."""
    artifacts = {name: entry.to_json() for name, entry in manifest.artifacts.items()}
    content = {"schema": SCHEMA, **asdict(manifest), "artifacts": artifacts}
    return json.dumps(content, indent=1) + "\n"


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes a folder's manifest.

    Raises:
        StorageError: the folder cannot be written.
    """
    write_text(folder / MANIFEST, to_json(manifest))


def load_manifest(folder: Path) -> Manifest:
    """Reads a folder's manifest.

    Raises:
        ArtifactError: missing, not JSON, of another schema, or with fields missing.
    """
    path = folder / MANIFEST
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{path} is missing: without it an engine's preprocessing and target are unknown",
            hint="keep an engine in its build folder, or build again: edge-scnet build",
        ) from error
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} cannot be read: {reason(error)}", hint="build again: edge-scnet build"
        ) from error
    schema = content.pop("schema", None) if isinstance(content, dict) else None
    check_schema(path, schema, _READ, hint="build again with this version: edge-scnet build")
    if schema == 1:
        _to_second(content)
    if schema in (1, 2):
        _to_third(content)
    try:
        return _from_json(content)
    except RecordError as error:
        raise ArtifactError(
            f"{path} is incomplete: {error}", hint="build again: edge-scnet build"
        ) from error


def _to_second(content: dict[str, Any]) -> None:
    """Writes schema 1 as schema 2, in place: inputs were squares with channels in front."""
    model = content.get("model")
    if isinstance(model, dict) and {"channels", "input_size"} <= model.keys():
        side = model.pop("input_size")
        model["input_shape"] = [model.pop("channels"), side, side]


def _to_third(content: dict[str, Any]) -> None:
    """Writes schema 2 as schema 3, in place: pictures had a mean, a std and a short side."""
    model = content.get("model")
    if not isinstance(model, dict):
        return
    shape = model.get("input_shape")
    is_grey = isinstance(shape, list) and shape[:1] == [1]
    names = {"mean": "mean", "std": "std", "resize": "short_side"}
    model["preprocessing"] = {
        "colour": "grey" if is_grey else "RGB",
        **{names[name]: model.pop(name) for name in names if name in model},
    }


def _from_json(content: dict[str, Any]) -> Manifest:
    """The manifest, the facts of each file by its stage and kind."""
    manifest = convert(Manifest, content)
    facts = {
        name: convert(
            facts_of(entry.stage, entry.kind),
            content["artifacts"][name].get("facts", {}),
            path=f"artifacts[{name}].facts",
        )
        for name, entry in manifest.artifacts.items()
    }
    artifacts = {
        name: replace(entry, facts=facts[name]) for name, entry in manifest.artifacts.items()
    }
    return replace(manifest, artifacts=artifacts)


def without_stale(manifest: Manifest) -> Manifest:
    """The manifest less the artifacts that were made of files which have been made anew since."""
    kept = dict(manifest.artifacts)
    while True:
        stale = [
            name
            for name, entry in kept.items()
            for parent, sha256 in entry.parents.items()
            if parent in manifest.artifacts
            and (parent not in kept or kept[parent].sha256 != sha256)
        ]
        if not stale:
            break
        kept = {name: entry for name, entry in kept.items() if name not in stale}
    return replace(manifest, artifacts=kept)
