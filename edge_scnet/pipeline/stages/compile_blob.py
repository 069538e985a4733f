"""The compiled blob beside an INT8 engine: made where the target asks for it, and proven equal."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import BLOB_KIND, EngineFacts
from edge_scnet.core.files import remove_files, replace_file, scratch_folder
from edge_scnet.core.manifest import BLOB
from edge_scnet.core.spec import engine_spec
from edge_scnet.data.batches import load
from edge_scnet.errors import StorageError
from edge_scnet.pipeline.stages.cache_key import origin_of
from edge_scnet.pipeline.stages.job import BuildJob, record
from edge_scnet.runtimes.base import OpenOptions, Session

_IMAGES = 8


def with_blob(job: BuildJob, folder: BuildFolder, engine: str, events: Events) -> BuildFolder:
    """The folder with the compiled blob that the target asks for, or without one.

    Args:
        folder: with the engine in its manifest.
        engine: its file.

    Raises:
        BackendError: the engine cannot be written as compiled.
        StorageError: the folder cannot be written.
    """
    options = OpenOptions(precision=job.target.opened_in, threads=job.target.threads)
    facts = job.runtime.blob_facts(engine, options) if job.target.compiled_blob else None
    if facts is None:
        return _without(folder)
    files = (engine, *folder.facts(engine, EngineFacts).companions)
    origin = origin_of("compile", folder.hashes(files), blob=asdict(facts))
    if folder.is_current(BLOB, origin.key):
        return folder
    with scratch_folder(folder.path, "trial") as trial:
        made = trial / BLOB
        job.runtime.save_blob(folder.path / engine, options, made)
        fault = _fault(job, folder.path / engine, options, made)
        if fault is not None:
            events.warn(f"{BLOB} is not kept: loaded from it, {engine} {fault}")
            return _without(folder)
        try:
            replace_file(made, folder.path / BLOB)
        except OSError as error:
            raise StorageError(
                f"cannot write {folder.path / BLOB}: {error.strerror or error}",
                hint=f"df -h {folder.path}",
            ) from error
    entry = record(folder.path, BLOB, origin, kind=BLOB_KIND, facts=facts)
    return folder.with_artifact(replace(entry, versions=job.runtime.versions()))


def _without(folder: BuildFolder) -> BuildFolder:
    """The folder without a blob of an earlier build, of which nothing would know any more."""
    if BLOB not in folder.manifest.artifacts:
        return folder
    remove_files([folder.path / BLOB])
    return folder.without_artifact(BLOB)


def _fault(job: BuildJob, engine: Path, options: OpenOptions, blob: Path) -> str | None:
    """What an engine loaded from its blob does otherwise, in words; None: nothing."""
    assert job.calibration is not None
    spec = engine_spec(job.source.spec, job.folder.manifest.input)
    images = load(job.calibration, spec, range(min(_IMAGES, len(job.calibration))))
    with job.runtime.open(engine, options) as session:
        layers, outputs = _layers(session), _outputs(session, images)
    with job.runtime.open(engine, replace(options, blob=blob)) as session:
        if _layers(session) != layers:
            return "executes other layers"
        own = _outputs(session, images)
    same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(outputs, own, strict=True))
    return None if same else "gives other outputs"


def _layers(session: Session) -> Counter[tuple[str, str]]:
    return Counter((layer.kind, layer.precision) for layer in session.executed_precisions())


def _outputs(session: Session, images: np.ndarray) -> list[np.ndarray]:
    """All outputs for the images, in batches as the engine takes them."""
    batch = session.input_shape[0]
    return [
        output.copy()
        for start in range(0, len(images), batch)
        for output in session.infer(images[np.arange(start, start + batch) % len(images)])
    ]
