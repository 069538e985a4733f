"""The compile stage of runtimes whose engines are built and proven on this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_scnet.compile.executed import (
    Executed,
    WantedLayers,
    counts,
    executed_in_int8,
    require_int8,
    summary,
    wanted_layers,
    warn_of_float,
)
from edge_scnet.compile.fidelity import RealImages, check_fidelity
from edge_scnet.compile.front import check_front
from edge_scnet.compile.quality import FIDELITY_IMAGES, fidelity_words
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import EngineFacts, Fidelity, QdqFacts
from edge_scnet.core.files import replace_file, scratch_folder
from edge_scnet.core.manifest import BLOB, FLOAT_ENGINE, FLOAT_ONNX, QDQ_ONNX
from edge_scnet.core.spec import engine_spec
from edge_scnet.data.batches import load
from edge_scnet.errors import StorageError
from edge_scnet.graph.bytes_in import with_bytes_in
from edge_scnet.graph.model import load as load_graph
from edge_scnet.graph.model import save as save_graph
from edge_scnet.machine import environment
from edge_scnet.machine.isa import provided_isa
from edge_scnet.pipeline.stages.cache_key import Origin, origin_of
from edge_scnet.pipeline.stages.compile_blob import with_blob
from edge_scnet.pipeline.stages.job import BuildJob, input_settings, record
from edge_scnet.runtimes.base import OpenOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """What was found out about an INT8 engine before it was given its name."""

    wanted: WantedLayers
    executed: Executed
    # None: the size of each output depends on the data
    fidelity: Fidelity | None
    # of what is in front of outputs whose size depends on the data; None: nothing is, or it
    # cannot be cut off there
    front: Fidelity | None


def compile_engines(job: BuildJob, events: Events) -> BuildFolder:
    """Builds the INT8 engine and its FP32 twin.

    Raises:
        ParityError: the engine does not compute the Q/DQ graph; or a layer that should be INT8 is
            not, where the target requires it.
        BackendError: the runtime refuses a graph. StorageError: the folder cannot be written.
    """
    runtime, target, folder = job.runtime, job.target, job.folder
    events.stage("compile", f"{target.runtime}, INT8 and its FP32 twin")
    reused = True
    stem = runtime.engine_stem
    for name, source, precision in ((FLOAT_ENGINE, FLOAT_ONNX, "fp32"), (stem, QDQ_ONNX, "int8")):
        file = name + runtime.suffix
        origin = origin_of(
            "compile",
            folder.hashes(dict.fromkeys((source, FLOAT_ONNX))),
            threads=target.threads,
            floor=job.floor,
            samples=job.calibration.hash if job.calibration else None,
            machine=environment.collect().features,
            limit=provided_isa(),
            require_int8=target.require_int8,
            built=runtime.versions(),
            # what executes how, and the fidelity, are of an engine opened so
            **({"opened_in": target.opened_in} if target.opened_in != "f32" else {}),
            **input_settings(job),
        )
        if _is_current(folder, file, origin):
            continue
        reused = False
        written, proof = _build(job, source, file, precision, events)
        facts = EngineFacts(
            precision=precision, runtime=target.runtime, companions=tuple(written[1:])
        )
        if proof is not None:
            facts = replace(
                facts,
                fidelity=proof.fidelity,
                front=proof.front,
                **counts(proof.executed, proof.wanted),
            )
        entry = record(folder.path, file, origin, kind=runtime.artifact_kind, facts=facts)
        entry = replace(entry, versions=runtime.versions())
        folder = folder.with_artifact(entry)
        for companion in written[1:]:
            entry = record(folder.path, companion, origin, kind="companion")
            folder = folder.with_artifact(replace(entry, versions=runtime.versions()))
        events.progress("engines", 0.3 if precision == "fp32" else 1.0)
    int8_engine = stem + runtime.suffix
    known = folder.manifest.artifacts.get(BLOB)
    folder = with_blob(job, folder, int8_engine, events)
    reused = reused and folder.manifest.artifacts.get(BLOB) == known
    warn_of_float(folder.facts(int8_engine, EngineFacts).in_float or {}, events)
    of_twin = "" if job.runs_here else "of a twin for this machine: "
    events.done(f"{of_twin}{_summary(folder, int8_engine)}", reused=reused)
    return folder


def _is_current(folder: BuildFolder, file: str, origin: Origin) -> bool:
    if not folder.is_current(file, origin.key):
        return False
    companions = folder.facts(file, EngineFacts).companions
    return all(folder.is_current(name, origin.key) for name in companions)


def _summary(folder: BuildFolder, engine: str) -> str:
    facts = folder.facts(engine, EngineFacts)
    parts = [summary(facts, verb="execute in")]
    if facts.fidelity is not None:
        parts.append(fidelity_words(facts.fidelity))
    if facts.front is not None:
        parts.append(f"in front of what counts: {fidelity_words(facts.front)}")
    if facts.fidelity is facts.front is None:
        parts.append("fidelity not proven: the size of each output depends on the data")
    if BLOB in folder.manifest.artifacts:
        size_mb = folder.entry(BLOB).size_bytes / 1e6
        parts.append(f"{BLOB} for this machine, {size_mb:.1f} MB, computes the same")
    return "; ".join(parts)


def _build(
    job: BuildJob, source: str, file: str, precision: str, events: Events
) -> tuple[list[str], _Proof | None]:
    """Builds one engine in a folder for trials, proves it, and only then gives it its place.

    Returns:
        The names of the files, the one to open first, and the proof.
    """
    folder = job.folder.path
    with scratch_folder(folder, "trial") as trial:
        graph = _graph_to_build(job, source, trial)
        built = job.runtime.build(graph, job.target, trial / file)
        proof = None
        if precision == "int8":
            proof = _prove(*_that_runs_here(job, graph, built.engine, trial), events)
        try:
            for path in reversed(built.files):
                replace_file(path, folder / path.name)
        except OSError as error:
            raise StorageError(
                f"cannot write {folder / file}: {error.strerror or error}", hint=f"df -h {folder}"
            ) from error
    return [path.name for path in built.files], proof


def _that_runs_here(job: BuildJob, graph: Path, engine: Path, trial: Path) -> tuple[BuildJob, Path]:
    """The engine to prove: of a target of other machines its twin for this one.

    The twin means the same. What executes there, and how fast, is known where it is measured.
    """
    if job.runs_here:
        return job, engine
    here = replace(job, target=replace(job.target, isa="none"))
    return here, job.runtime.build(graph, here.target, trial / f"here{job.runtime.suffix}").engine


def _graph_to_build(job: BuildJob, source: str, trial: Path) -> Path:
    """The file that an engine is built of: of one that takes bytes a copy with its preprocessing.

    Args:
        trial: a folder for it.
    """
    graph, form = job.folder.verified(source), job.folder.manifest.input
    if not form.is_bytes:
        return graph
    copy = trial / "source" / source
    copy.parent.mkdir()
    save_graph(with_bytes_in(load_graph(graph), job.source.spec.preprocessing, form), copy)
    return copy


def _prove(job: BuildJob, engine: Path, events: Events) -> _Proof:
    """Finds out what of an engine executes in INT8, and checks that it computes its graph."""
    assert job.calibration is not None
    options = OpenOptions(precision=job.target.opened_in, threads=job.target.threads)
    facts = job.folder.facts(QDQ_ONNX, QdqFacts)
    wanted = wanted_layers(facts, load_graph(job.folder.verified(QDQ_ONNX)))
    with job.runtime.open(engine, options) as session:
        executed = executed_in_int8(job.runtime, session.executed_precisions(), wanted)
    if job.target.require_int8:
        require_int8(executed, wanted)
    events.progress("engines", 0.6)
    total = len(job.calibration)
    chosen = np.linspace(0, total - 1, min(FIDELITY_IMAGES, total)).astype(int).tolist()
    images = load(job.calibration, job.source.spec, chosen)
    form, taken = job.folder.manifest.input, None
    if form.is_bytes:
        taken = load(job.calibration, engine_spec(job.source.spec, form), chosen)
    fidelity = check_fidelity(
        job.runtime,
        engine,
        float_model=job.folder.verified(FLOAT_ONNX),
        qdq_model=job.folder.verified(QDQ_ONNX),
        images=RealImages(prepared=images, taken=taken),
        options=options,
    )
    front = check_front(job.runtime, job.target, job.folder.path, images, options)
    return _Proof(wanted=wanted, executed=executed, fidelity=fidelity, front=front)
