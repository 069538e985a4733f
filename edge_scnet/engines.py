"""What was built, in use: find and verify a build's engines, measure and judge them, predict with them.

Knows nothing of how engines are made; `pipeline.py` does, and ends in `measure_and_judge` here.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edge_scnet import __version__, artifact, dataset, environment, gate, images
from edge_scnet.artifact import Artifact, Manifest, record_from_json
from edge_scnet.backends import artifact_kinds, backend_of, get_backend, usable_backend
from edge_scnet.backends.base import OpenOptions
from edge_scnet.board_watch import watching
from edge_scnet.dataset import SampleSet
from edge_scnet.errors import ArtifactError, BackendError, DataError, MissingRuntimeError
from edge_scnet.figures import AccuracyStats
from edge_scnet.layers import explained, row_facts
from edge_scnet.metrics import accuracy_stats, output_stats
from edge_scnet.optional import require
from edge_scnet.profiling import EngineFile, Measurement, Outputs, measure
from edge_scnet.provenance import Provenance, Quantization
from edge_scnet.quantize.calibrate import load_ranges
from edge_scnet.report import SCHEMA, EngineReport, EvaluationSet, RunReport, pack_classes, save_report, verdict
from edge_scnet.script_plans import with_script_plans
from edge_scnet.target import TargetSpec, from_dict, load_target

if TYPE_CHECKING:
    from edge_scnet.quantize.lint import LintFinding

FLOAT_ONNX, QDQ_ONNX, RANGES = "model.onnx", "model.qdq.onnx", "ranges.npz"
ENGINE, FLOAT_ENGINE = "model", "model-fp32"
REPORT = "report.json"


class Events(Protocol):
    """What the pipeline tells whoever shows it. All methods return at once."""

    def stage(self, name: str, detail: str) -> None: ...

    def progress(self, what: str, share: float) -> None: ...

    def done(self, result: str, *, reused: bool) -> None: ...

    def warn(self, message: str) -> None: ...


class Silent:
    """No display: the Python API's default. Warnings go to `warnings`."""

    def stage(self, name: str, detail: str) -> None: ...

    def progress(self, what: str, share: float) -> None: ...

    def done(self, result: str, *, reused: bool) -> None: ...

    def warn(self, message: str) -> None:
        import warnings

        warnings.warn(message, stacklevel=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """Where the files are, what they are, and, after the last stage, what was measured."""

    folder: Path
    manifest: Manifest
    report: RunReport | None
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The most probable classes of one image, best first, as (name, probability 0 to 1)."""

    image: Path
    top: tuple[tuple[str, float], ...]


def inspect(path: Path | str, target: str) -> tuple[LintFinding, ...]:
    """Checks a Q/DQ file against a target.

    Raises:
        ArtifactError: no ONNX file, or it holds no Q/DQ.
        TargetError: no such target.
    """
    from edge_scnet.quantize import lint

    spec = load_target(target)
    if not Path(path).is_file():
        raise ArtifactError(f"{path}: no such file")
    try:
        model = require("onnx_ir", extra="quantize").load(path)
    except MissingRuntimeError:
        raise
    except Exception as error:
        raise ArtifactError(f"{path} is no ONNX file that can be read: {str(error).splitlines()[0]}") from error
    if not lint.is_quantized(model):
        raise ArtifactError(f"{path} holds no Q/DQ to check", hint=f"edge-scnet build {path} --target {target}")
    bits = environment.weight_bits(environment.resolve_floor(spec.isa))
    newest = spec.board.max_opset if spec.board else spec.opset
    return lint.lint(model, spec.quant.placement, keep_float=spec.quant.keep_float, max_opset=newest, weight_bits=bits)


def profile(
    path: Path | str,
    *,
    evaluation: Path | str | None = None,
    seconds: float = 3.0,
    max_drop_pp: float | None = None,
    skip_bad: bool = False,
    ignore_labels: bool = False,
    events: Events | None = None,
) -> BuildResult:
    """Measures a build folder's engines, which renews its report.json, or one file of it beside its FP32 twin.

    Without `evaluation` the images of the build are used.

    Raises:
        ArtifactError: no manifest, or a file that is not what was built.
        TargetError: the engine was built for a higher instruction set than this machine has.
    """
    events = events or Silent()
    folder, manifest, chosen = open_build(Path(path))
    from edge_scnet import trtexec_profile

    if (program := trtexec_profile.program_for(manifest)) is not None:
        return trtexec_profile.profile_plans(
            program, folder, manifest, seconds=seconds, max_drop_pp=max_drop_pp, events=events, save=chosen is None
        )
    if chosen is None:
        artifact.make_folder(folder)  # the report goes there: better refused now than after measuring
    target = with_max_drop(from_dict(manifest.target), max_drop_pp)
    engines = engine_files(folder, manifest)
    if chosen is not None:
        engines = _chosen_engines(folder, manifest, chosen, engines)
    spec = manifest.model
    where = Path(evaluation) if evaluation else (Path(manifest.evaluation) if manifest.evaluation else None)
    if where is None and spec.dataset:
        where = dataset.bundled_sets(spec.dataset)[1]
    samples = None
    if where is not None:
        samples = dataset.open_samples(where, model=spec, role="evaluation", skip_bad=skip_bad, ignore_labels=ignore_labels)
        for message in dataset.check_counts(samples, role="evaluation"):
            events.warn(message)
        if evaluation is not None:
            _check_not_calibrated(folder, manifest, samples)
    report, code = measure_and_judge(
        folder, manifest, engines, samples, target=target, seconds=seconds, stage_seconds={}, events=events, save=chosen is None
    )
    return BuildResult(folder=folder, manifest=manifest, report=report, exit_code=code)


def time_again(folder: Path, report: RunReport, *, factor: float, events: Events | None = None) -> RunReport | None:
    """The report with the times of its engines measured once more; None where the folder holds other engines by now.

    Args:
        factor: how much longer than at first.

    Raises:
        ArtifactError, TargetError: as `profile`. BackendError: an engine fails.
    """
    events = events or Silent()
    manifest = artifact.load_manifest(folder)
    known = {row.name: row for row in report.engines if row.latency is not None}
    found = [engine for engine in engine_files(folder, manifest) if engine.name in known]
    if any(engine.sha256 != known[engine.name].sha256 for engine in found) or len(found) < 2:
        return None
    timed = sum(sum(row.latency.samples_ns) for row in known.values() if row.latency) / 1e9 / len(known)
    events.stage("profile", f"{', '.join(engine.name for engine in found)} once more, for they look slower than the baseline's")
    measured = measure(found, None, manifest.model, seconds=factor * timed, progress=events.progress)
    events.done(f"{len(found)} engines", reused=False)
    renewed = {
        engine.name: replace(
            known[engine.name],
            latency=m.latency,
            speedup=m.ratio,
            throughput_per_second=m.throughput_per_second,
            memory=m.memory,
        )
        for engine, m in zip(found, measured, strict=True)
    }
    return replace(report, engines=tuple(renewed.get(row.name, row) for row in report.engines))


def predict(path: Path | str, image_files: Sequence[Path | str], *, top: int = 5) -> list[Prediction]:
    """Top-k classes of images through an engine, with the preprocessing it was built with.

    Raises:
        ArtifactError, TargetError: as `profile`. DataError: an image that cannot be read, named.
    """
    folder, manifest, chosen = open_build(Path(path))
    files = [Path(image) for image in image_files]
    engine = _engine_of(folder, manifest, chosen or _first_engine(folder, manifest))
    spec = manifest.model
    inputs = [images.read_image(file, spec) for file in files]
    predictions = []
    with usable_backend(engine.runtime).open(engine.path, engine.options) as session:
        for image, pixels in zip(files, inputs, strict=True):
            scores = np.array(session.infer(np.repeat(pixels[None], session.input_shape[0], axis=0))[0])
            if scores.ndim != 2:
                raise ArtifactError(
                    f"{engine.path.name} is no classifier: its first output has {scores.ndim} dimensions, 2 are needed"
                )
            exponents = np.exp(scores[0].astype(np.float64) - scores[0].max())
            shares = exponents / exponents.sum()
            best = np.argsort(-shares, kind="stable")[:top].tolist()
            names = [spec.classes[i] if i < len(spec.classes) else f"class {i}" for i in best]
            predictions.append(Prediction(image=image, top=tuple(zip(names, shares[best].tolist(), strict=True))))
    return predictions


def open_build(path: Path) -> tuple[Path, Manifest, Artifact | None]:
    """A build folder or a file in one: the folder, its manifest, and the file's entry (None for the folder itself).

    Raises:
        ArtifactError: no such path, no manifest, or a file that the manifest does not know.
    """
    if not path.exists():
        raise ArtifactError(f"no such file or folder: {path}", hint="edge-scnet build")
    folder = path if path.is_dir() else path.parent
    manifest = with_script_plans(folder, artifact.load_manifest(folder))
    if path.is_dir():
        return folder, manifest, None
    entry = manifest.artifacts.get(path.name)
    if entry is None or entry.kind not in artifact_kinds():
        known = ", ".join(name for name, a in manifest.artifacts.items() if a.kind in artifact_kinds())
        raise ArtifactError(
            f"{path} is not an engine of its manifest; it knows: {known or 'none'}", hint=f"edge-scnet profile {folder}"
        )
    return folder, manifest, entry


def measure_and_judge(
    folder: Path, manifest: Manifest, engines: Sequence[EngineFile], samples: SampleSet | None, *, target: TargetSpec,
    seconds: float, stage_seconds: dict[str, float], events: Events, save: bool = True,
) -> tuple[RunReport, int]:  # fmt: skip
    """Measures engines together, judges the INT8 one by the target's gates, and writes the report: it, and the exit code.

    Raises:
        BackendError: an engine cannot be loaded or fails. DataError: an image that cannot be read, labels that do not fit.
    """
    started = time.perf_counter()
    spec = manifest.model
    names = ", ".join(engine.name for engine in engines)
    labels = f", {samples.label_rule or 'no labels'}" if samples else ""
    events.stage("profile", f"{names} on {len(samples):,} images{labels}" if samples else f"{names}, no evaluation images")
    with watching() as watch:
        measured = measure(engines, samples, spec, seconds=seconds, progress=events.progress, timed=watch.timed)
    rows = [_row(engine, m, measured[0], samples) for engine, m in zip(engines, measured, strict=True)]
    findings = judge(rows, target)
    seconds_by_stage = {**stage_seconds, "profile": round(time.perf_counter() - started, 2)}
    report, code = new_report(manifest, rows, samples, findings, target=target, stage_seconds=seconds_by_stage)
    report = replace(report, board=watch.state())
    if save:
        save_report(report, folder / REPORT)
    events.done(f"{len(rows)} engines", reused=False)
    return report, code


def new_report(
    manifest: Manifest, rows: Sequence[EngineReport], samples: SampleSet | None, findings: Sequence[gate.Finding], *,
    target: TargetSpec, stage_seconds: dict[str, float],
) -> tuple[RunReport, int]:  # fmt: skip
    """The report of a run that ends now, and its exit code."""
    facts = manifest.artifacts[QDQ_ONNX].facts if QDQ_ONNX in manifest.artifacts else {}
    report = RunReport(
        schema=SCHEMA, created_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]), model=manifest.model.name, target=target.name,
        batch=target.batch, engines=tuple(rows), evaluation=_evaluation_set(samples) if samples is not None else None,
        findings=tuple(findings), verdict=verdict(findings), stage_seconds=stage_seconds,
        environment={**environment.collect().to_dict(), "edge_scnet": __version__}, gates=target.gates,
        quantization=record_from_json(Quantization | None, facts.get("quantization")),
        provenance=record_from_json(Provenance | None, facts.get("provenance")),
    )  # fmt: skip
    return report, gate.exit_code(findings)


def _evaluation_set(samples: SampleSet) -> EvaluationSet:
    order = canonical_order(samples)
    labels = None if samples.labels is None else np.asarray(samples.labels)[order]
    rows = [samples.content_hashes[i] for i in order] + ([] if labels is None else [str(label) for label in labels.tolist()])
    return EvaluationSet(
        name=samples.name, sha256=samples.hash, images=len(samples), skipped=samples.skipped, labels=samples.label_rule,
        images_sha256=artifact.sha256_bytes("\n".join(rows).encode()),
        truth=None if labels is None else pack_classes(labels.tolist()),
    )  # fmt: skip


def canonical_order(samples: SampleSet) -> list[int]:
    """Indices that sort images by content, then label: the same for the same images under any names and in any order."""
    labels = samples.labels or (0,) * len(samples)
    return sorted(range(len(samples)), key=lambda i: (samples.content_hashes[i], labels[i]))


def packed_first_classes(outputs: Outputs | None, samples: SampleSet | None) -> str | None:
    """What an engine takes each image for, in canonical order; None for outputs that are no classes."""
    if outputs is None or samples is None or outputs.logits is None:
        return None
    return pack_classes(outputs.logits.argmax(axis=1)[canonical_order(samples)].tolist())


def judge(rows: Sequence[EngineReport], target: TargetSpec) -> list[gate.Finding]:
    """Findings on the INT8 row: accuracy where it was measured, then speed; none where there is no such row."""
    speeds = {
        row.name: gate.Speed(name=row.name, speedup=row.speedup, throughput_per_second=row.throughput_per_second)
        for row in rows
        if row.throughput_per_second is not None
    }
    int8 = next((row for row in rows if row.name.startswith("int8")), None)
    if int8 is None:
        return []
    findings = []
    if int8.accuracy is not None:
        gates = target.gates
        findings.append(
            gate.judge_accuracy(
                int8.accuracy,
                max_drop_pp=gates.max_drop_pp,
                min_agreement_percent=gates.min_agreement_percent,
                min_sqnr_db=gates.min_sqnr_db,
            )
        )
    if int8.name not in speeds:
        return findings
    others = [speed for name, speed in speeds.items() if name != int8.name]
    speed = gate.judge_speed(speeds[int8.name], others, batch=target.batch, reference=rows[0].name.upper())
    return [*findings, explained(speed, copies=int8.copies, float_convolutions=int8.float_convolutions)]


def _row(engine: EngineFile, measured: Measurement, reference: Measurement, samples: SampleSet | None) -> EngineReport:
    accuracy = None
    if samples is not None and measured.outputs is not None and reference.outputs is not None:
        accuracy = stats_of(engine.name, engine.path.name, measured.outputs, reference.outputs, samples)
    int8 = engine.name.startswith("int8")
    facts = row_facts(measured.layers, get_backend(engine.runtime), int8=int8, times_ms=measured.layer_times_ms)
    return EngineReport(
        name=engine.name, runtime=engine.runtime, file=engine.path.name, sha256=engine.sha256, size_bytes=engine.size_bytes,
        precision_hint=engine.options.precision, load_seconds=measured.load_seconds, warm_up_seconds=measured.warm_up_seconds,
        latency=measured.latency, speedup=measured.ratio, throughput_per_second=measured.throughput_per_second,
        memory=measured.memory, accuracy=accuracy, first_classes=packed_first_classes(measured.outputs, samples), **facts,
    )  # fmt: skip


def stats_of(name: str, file: str, outputs: Outputs, reference: Outputs, samples: SampleSet) -> AccuracyStats:
    """What outputs are worth against the reference's.

    Raises:
        BackendError: they are not finite. DataError: the labels do not fit them.
    """
    if not outputs.finite:
        raise BackendError(f"{name}: {file} gives NaN or infinity on the evaluation images")
    if outputs.logits is None or reference.logits is None:
        if samples.labels is not None:
            raise DataError(
                "the evaluation set has labels, but the model is no classifier: its first output is not images x classes",
                hint="pass --ignore-labels",
            )
        return output_stats(len(samples), signal_power=outputs.signal_power, noise_power=outputs.noise_power)
    classes = outputs.logits.shape[1]
    if samples.labels is not None and (max(samples.labels) >= classes or len(samples.class_names or range(classes)) != classes):
        found = max(max(samples.labels) + 1, len(samples.class_names or ()))
        raise DataError(
            f"the evaluation set has {found} classes, the model has {classes}",
            hint=f"--num-classes {classes}, with folders named by class index or --class-names FILE; or --ignore-labels",
        )
    return accuracy_stats(outputs.logits, reference.logits, samples.labels)


def engine_files(folder: Path, manifest: Manifest) -> list[EngineFile]:
    """The rows of a build: FP32 pinned, the runtime's default precision, INT8; of a board's the FP16 twin and INT8.

    Raises:
        ArtifactError: an engine is missing or is not what was built. TargetError: it needs a higher instruction set.
    """
    engines = {str(a.facts.get("precision")): a for a in manifest.artifacts.values() if a.kind in _compiled_kinds()}
    if manifest.target.get("board") is not None:
        if not {"fp16", "int8"} <= engines.keys():
            raise ArtifactError(f"{folder} holds no plans", hint=f"on the board: edge-scnet compile {folder}/bundle.tar.gz")
        return [_engine_of(folder, manifest, engines[precision]) for precision in ("fp16", "int8")]
    if not {"fp32", "int8"} <= engines.keys():
        raise ArtifactError(f"{folder} holds no compiled engines", hint=manifest.rebuild)
    reference = _engine_of(folder, manifest, engines["fp32"])
    default = replace(reference, name="default", options=replace(reference.options, precision="default"))
    return [reference, default, _engine_of(folder, manifest, engines["int8"])]


def _compiled_kinds() -> set[str]:
    return set(artifact_kinds()) - {"onnx"}


def _chosen_engines(folder: Path, manifest: Manifest, chosen: Artifact, engines: Sequence[EngineFile]) -> list[EngineFile]:
    """One file, after the FP32 reference it is compared with."""
    if chosen.file == engines[0].path.name:
        return list(engines[:2])
    return [engines[0], _engine_of(folder, manifest, chosen)]


def _engine_of(folder: Path, manifest: Manifest, entry: Artifact) -> EngineFile:
    runtime = backend_of(entry.kind)
    get_backend(runtime).check_built(entry.facts, manifest.rebuild)
    precision = str(entry.facts.get("precision", ""))
    if precision == "int8":
        # below its floor the engine's 8-bit weights would saturate without a word
        environment.check_floor(manifest.floor, what=str(folder / entry.file), hint=_for_this_machine(manifest))
    try:
        path = artifact.verify(folder, entry)
        companions = [manifest.artifacts[name] for name in entry.facts.get("companions", ())]
        for companion in companions:
            artifact.verify(folder, companion)
    except KeyError as error:
        raise ArtifactError(
            f"{folder / artifact.MANIFEST} does not list {error} of {entry.file}", hint=manifest.rebuild
        ) from error
    return EngineFile(
        name=precision if entry.kind != "onnx" else f"{precision} onnx",
        runtime=runtime,
        path=path,
        options=OpenOptions(
            precision="f32" if manifest.precision_hint == "f32" else "default", threads=int(manifest.target.get("threads", 0))
        ),
        size_bytes=entry.size_bytes + sum(companion.size_bytes for companion in companions),
        sha256=entry.sha256,
    )


def _for_this_machine(manifest: Manifest) -> str:
    """The build's own command with the target that needs AVX2 alone."""
    return manifest.rebuild.replace(f"--target {manifest.target.get('name')}", "--target cpu-avx2")


def _first_engine(folder: Path, manifest: Manifest) -> Artifact:
    """The INT8 engine, or the float graph where nothing is compiled yet."""
    for entry in manifest.artifacts.values():
        if entry.kind in _compiled_kinds() and entry.facts.get("precision") == "int8":
            return entry
    if FLOAT_ONNX in manifest.artifacts:
        return manifest.artifacts[FLOAT_ONNX]
    raise ArtifactError(f"{folder} holds no engine", hint=manifest.rebuild)


def with_max_drop(target: TargetSpec, max_drop_pp: float | None) -> TargetSpec:
    """The target with another limit for the drop, where one is given."""
    return target if max_drop_pp is None else replace(target, gates=replace(target.gates, max_drop_pp=max_drop_pp))


def _check_not_calibrated(folder: Path, manifest: Manifest, samples: SampleSet) -> None:
    """Raises DataError when an evaluation image was among the calibration images."""
    entry = manifest.artifacts.get(RANGES)
    if entry is None:
        return
    seen = set(load_ranges(artifact.verify(folder, entry)).content_hashes)
    both = [name for name, h in zip(samples.entries, samples.content_hashes, strict=True) if h in seen]
    if both:
        raise DataError(
            f"{len(both)} of {len(samples)} evaluation images were used for calibration: {', '.join(both[:3])}",
            hint="evaluate on images that the quantizer has not seen: --eval TEST_IMAGES",
        )
