"""What was built, in use: find and verify a build's engines, have them judged, predict with them.

Knows nothing of how engines are made; `pipeline.py` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.compile.board import with_script_plans
from edge_scnet.config.target import from_dict, load_target
from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.manifest import FLOAT_ONNX, RANGES, Artifact, Manifest
from edge_scnet.core.optional import require
from edge_scnet.data import images
from edge_scnet.data import samples as dataset
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import INTERRUPTED_EXIT_CODE, ArtifactError, DataError, MissingRuntimeError, TargetError
from edge_scnet.machine import environment
from edge_scnet.pipeline.assemble import BuildResult, measure_and_judge, save_partial, save_run, with_max_drop
from edge_scnet.profiler import sweep
from edge_scnet.profiler.measure import EngineFile, measure
from edge_scnet.quantize.calibrate import load_ranges
from edge_scnet.report.per_class import class_name
from edge_scnet.report.run_report import RunReport
from edge_scnet.runtimes import artifact_kinds, backend_of, get_backend, usable_backend
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.stats.accuracy import top_k

if TYPE_CHECKING:
    from edge_scnet.graph.lint import LintFinding


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
    from edge_scnet.graph import lint

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
    cuda_graph: bool = False,
    batches: Sequence[int] = (),
    threads: Sequence[int] = (),
    events: Events | None = None,
) -> BuildResult:
    """Measures a build folder's engines, which renews its report.json, or one file of it beside its FP32 twin.

    Args:
        path: a build folder, or an engine or ONNX file in one.
        evaluation: a folder of images; default: the build's.
        seconds: timed seconds per engine.
        cuda_graph: plans enqueue an inference as one CUDA graph, as trtexec does.
        batches, threads: time the engines also at each of these batches and numbers of threads, all in turn.

    Interrupted after engines were timed, the result is partial: its exit code is 130, and report.partial.json has it.

    Raises:
        ArtifactError: no manifest, or a file that is not what was built.
        TargetError: the engine was built for a higher instruction set than this machine has; a CUDA graph of what is no plan.
    """
    events = events or Silent()
    folder, manifest, chosen = open_build(Path(path))
    from edge_scnet.profiler import trtexec as trtexec_profile

    if (program := trtexec_profile.program_for(manifest)) is not None:
        for option, given in (("--batch", batches), ("--threads", threads), ("--cuda-graph", cuda_graph)):
            if given:
                raise TargetError(f"{option} is not for plans that trtexec times", hint=f"leave {option} out")
        if evaluation is not None:
            events.warn("--eval is not used: trtexec measures no accuracy, TensorRT's Python package would")
        return trtexec_profile.profile_plans(
            program, folder, manifest, seconds=seconds, max_drop_pp=max_drop_pp, events=events, save=chosen is None
        )
    if chosen is None:
        artifact.make_folder(folder)  # the report goes there: better refused now than after measuring
    target = with_max_drop(from_dict(manifest.target), max_drop_pp)
    engines = engine_files(folder, manifest)
    if chosen is not None:
        engines = _chosen_engines(folder, manifest, chosen, engines)
    if cuda_graph:
        if any(engine.runtime not in ("tensorrt", "tensorrt_rtx") for engine in engines):
            raise TargetError(f"{target.name}: --cuda-graph is for TensorRT's plans", hint="leave --cuda-graph out")
        engines = [replace(engine, options=replace(engine.options, cuda_graph=True)) for engine in engines]
    spec = manifest.model
    where = Path(evaluation) if evaluation else (Path(manifest.evaluation) if manifest.evaluation else None)
    if where is None and spec.dataset:
        where = dataset.bundled_sets(spec.dataset)[1]
    samples = None
    if where is not None:
        samples = dataset.open_samples(where, model=spec, role="evaluation", skip_bad=skip_bad, ignore_labels=ignore_labels)
        for message in (
            *dataset.check_counts(samples, role="evaluation"), *dataset.check_size(samples, spec, role="evaluation")
        ):  # fmt: skip
            events.warn(message)
        if evaluation is not None:
            _check_not_calibrated(folder, manifest, samples)
    if batches or threads:
        cells = sweep.plan(engines, batches=batches, threads=threads, built=target.batch, spec=spec)
    report, code = measure_and_judge(
        folder, manifest, engines, samples, target=target, seconds=seconds, stage_seconds={}, events=events, save=chosen is None
    )
    if report.complete and (batches or threads):
        found = sweep.run(cells, spec, seconds=seconds, events=events)
        report = replace(report, sweep=found.rows, sweep_load=found.load, complete=found.complete)
        if chosen is None:
            (save_run if found.complete else save_partial)(report, folder)
        code = code if found.complete else INTERRUPTED_EXIT_CODE
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
    measured = measure(found, None, manifest.model, seconds=factor * timed, progress=events.progress).engines
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
    engine = engine_of(folder, manifest, chosen or first_engine(folder, manifest))
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
            best, shares = (array[0].tolist() for array in top_k(scores[:1], top))
            names = [class_name(spec.classes, i) for i in best]
            predictions.append(Prediction(image=image, top=tuple(zip(names, shares, strict=True))))
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


def engine_files(folder: Path, manifest: Manifest) -> list[EngineFile]:
    """The rows of a build: FP32 pinned, the runtime's default precision, INT8; of a board's the FP16 twin and INT8.

    Raises:
        ArtifactError: an engine is missing or is not what was built. TargetError: it needs a higher instruction set.
    """
    engines = {str(a.facts.get("precision")): a for a in manifest.artifacts.values() if a.kind in _compiled_kinds()}
    if manifest.target.get("board") is not None:
        if not {"fp16", "int8"} <= engines.keys():
            raise ArtifactError(f"{folder} holds no plans", hint=f"on the board: edge-scnet compile {folder}/bundle.tar.gz")
        return [engine_of(folder, manifest, engines[precision]) for precision in ("fp16", "int8")]
    if not {"fp32", "int8"} <= engines.keys():
        raise ArtifactError(f"{folder} holds no compiled engines", hint=manifest.rebuild)
    reference = engine_of(folder, manifest, engines["fp32"])
    default = replace(reference, name="default", options=replace(reference.options, precision="default"))
    return [reference, default, engine_of(folder, manifest, engines["int8"])]


def _compiled_kinds() -> set[str]:
    return set(artifact_kinds()) - {"onnx"}


def _chosen_engines(folder: Path, manifest: Manifest, chosen: Artifact, engines: Sequence[EngineFile]) -> list[EngineFile]:
    """One file, after the FP32 reference it is compared with."""
    if chosen.file == engines[0].path.name:
        return list(engines[:2])
    return [engines[0], engine_of(folder, manifest, chosen)]


def engine_of(folder: Path, manifest: Manifest, entry: Artifact) -> EngineFile:
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


def first_engine(folder: Path, manifest: Manifest) -> Artifact:
    """The INT8 engine, or the float graph where nothing is compiled yet."""
    for entry in manifest.artifacts.values():
        if entry.kind in _compiled_kinds() and entry.facts.get("precision") == "int8":
            return entry
    if FLOAT_ONNX in manifest.artifacts:
        return manifest.artifacts[FLOAT_ONNX]
    raise ArtifactError(f"{folder} holds no engine", hint=manifest.rebuild)


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
