"""The recover stage: model.qdq.onnx, learned for some minutes from the float graph."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.feeds import feed_of
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX
from edge_scnet.core.optional import require
from edge_scnet.core.provenance import Recovery
from edge_scnet.data.batches import load as load_samples
from edge_scnet.graph.inventory import quantization_of
from edge_scnet.graph.model import batch_of, load, save
from edge_scnet.pipeline.stages.cache_key import Origin, origin_of
from edge_scnet.pipeline.stages.job import BuildJob, record

if TYPE_CHECKING:
    from edge_scnet.recovery.recover import Recovered
    from edge_scnet.recovery.samples import RecoverySamples

# What the samples of a recovery may take; of more, those with the lowest hashes.
_MOST_BYTES = 1 << 29
_WAITING = "OMP_WAIT_POLICY"
# Fewer steps have hardly moved anything.
_FEW_STEPS = 50


def load_torch() -> None:
    """Imports PyTorch, so that its threads sleep while they wait for each other.

    They spin otherwise, as libgomp reads once, when it is loaded: where other processes want the
    cores too, a step on two of them then takes ten times as long (measured: 6 to 12 s, and 0.7 s).

    Raises:
        MissingRuntimeError: it is not installed.
    """
    if "torch" in sys.modules:
        return
    given = os.environ.get(_WAITING)
    os.environ.setdefault(_WAITING, "PASSIVE")
    try:
        require("torch", extra="export")
    finally:
        if given is None:
            del os.environ[_WAITING]


def recovered_origin(job: BuildJob, quantized: Origin) -> Origin:
    """The origin of a recovered Q/DQ graph.

    Args:
        quantized: of the graph that is recovered.
    """
    assert job.recover_minutes is not None and job.calibration is not None
    return origin_of(
        "recover",
        {**quantized.parents, "samples": job.calibration.hash},
        quantized=quantized.key,
        minutes=job.recover_minutes,
    )


def recover(job: BuildJob, origin: Origin, events: Events) -> BuildFolder:
    """Learns the scales, codes and biases of the folder's Q/DQ graph.

    Args:
        origin: as `recovered_origin` has it.

    Raises:
        DataError: too few calibration samples.
        MissingRuntimeError: PyTorch is not installed.
        StorageError: the folder cannot be written.
    """
    load_torch()
    from edge_scnet.recovery.attributes import UnsupportedError
    from edge_scnet.recovery.checkpoint import FILE, Checkpoint
    from edge_scnet.recovery.recover import Graphs
    from edge_scnet.recovery.recover import recover as learn
    from edge_scnet.recovery.train import Budget

    started, folder = time.monotonic(), job.folder
    assert job.recover_minutes is not None
    events.stage("recover", _stage_words(job.recover_minutes))
    facts = folder.facts(QDQ_ONNX, QdqFacts)
    checkpoint = Checkpoint(folder.path / FILE, origin.key)
    samples = _samples(job)
    made = None
    try:
        made = learn(
            Graphs(
                qdq=folder.verified(QDQ_ONNX),
                float_onnx=folder.verified(FLOAT_ONNX),
                weight_bits=facts.weight_bits,
            ),
            samples,
            Budget(started=started, seconds=60.0 * job.recover_minutes),
            checkpoint,
            progress=lambda share, steps: events.progress("steps", share, steps, "steps"),
        )
    except UnsupportedError as error:
        recovery = Recovery(
            minutes=job.recover_minutes, kept=False, outcome=f"PyTorch cannot run {error}"
        )
        events.warn(f"no recovery: {recovery.outcome}; it goes on with the graph as quantized")
    else:
        recovery = _recovery(job.recover_minutes, made, samples)
        for warning in _warnings(made, recovery):
            events.warn(warning)
    folder = _recorded(folder, made, facts, recovery, origin)
    checkpoint.remove()
    events.done(_summary(recovery), reused=False)
    return folder


def reused(folder: BuildFolder, events: Events) -> BuildFolder:
    """Tells of a recovered graph that is current."""
    recovery = folder.facts(QDQ_ONNX, QdqFacts).recovery
    assert recovery is not None
    events.stage("recover", _stage_words(recovery.minutes))
    events.done(_summary(recovery), reused=True)
    return folder


def _stage_words(minutes: float) -> str:
    return f"from FP32 on calibration samples, {minutes:g} minute{'' if minutes == 1 else 's'}"


def _samples(job: BuildJob) -> RecoverySamples:
    from edge_scnet.recovery.samples import divide, samples_of

    assert job.calibration is not None
    hashes = job.calibration.content_hashes
    model = load(job.folder.verified(FLOAT_ONNX))
    group = batch_of(model)
    divide(hashes, group)  # too few are refused before they are read
    order = sorted(range(len(hashes)), key=lambda i: hashes[i])
    one = load_samples(job.calibration, job.source.spec, order[:1])
    chosen = order[: max(_MOST_BYTES // one.nbytes, 1)]
    batch = load_samples(job.calibration, job.source.spec, chosen)
    feeds = feed_of(batch, str(model.graph.inputs[0].name))
    return samples_of(
        {name: np.ascontiguousarray(values) for name, values in feeds.items()},
        [hashes[i] for i in chosen],
        are_pictures=_are_pictures(job, feeds),
        group=group,
    )


def _are_pictures(job: BuildJob, feeds: Mapping[str, np.ndarray]) -> bool:
    """Whether mirrored samples are such samples too.

    Arrays of one channel may be anything, as a spectrogram; of three they are pictures.
    """
    assert job.calibration is not None
    values = next(iter(feeds.values()))
    if len(feeds) > 1 or values.ndim != 4 or not job.source.spec.takes_pictures:
        return False
    return job.calibration.arrays is None or values.shape[1] == 3


def _recorded(
    folder: BuildFolder,
    made: Recovered | None,
    facts: QdqFacts,
    recovery: Recovery,
    origin: Origin,
) -> BuildFolder:
    """The folder with the recovered graph, or with the same one under the recovery's key."""
    provenance = facts.provenance
    if made is not None and made.model is not None:
        save(made.model, folder.path / QDQ_ONNX)
        settings = {**provenance.settings, "recover_minutes": recovery.minutes}
        facts = replace(
            facts,
            quantization=quantization_of(made.model),
            provenance=replace(provenance, settings=settings),
        )
    facts = replace(facts, recovery=recovery)
    return folder.with_artifact(record(folder.path, QDQ_ONNX, origin, kind="onnx", facts=facts))


def _recovery(minutes: float, made: Recovered, samples: RecoverySamples) -> Recovery:
    distilled = made.distilled
    outcome = {
        "finished": "all that were planned",
        "time": f"of {distilled.planned:,} planned: the time was up",
        "not finite": "then the error was NaN or infinite: the best so far",
    }[distilled.ended]
    if not distilled.steps and distilled.ended == "time":
        outcome = "the time was up before the first one"
    return Recovery(
        minutes=minutes,
        kept=made.model is not None,
        outcome=outcome,
        steps=distilled.steps,
        planned_steps=distilled.planned,
        samples=len(samples.learned),
        held_out=len(samples.judged),
        before_db=made.before_db,
        after_db=made.after_db,
    )


def _warnings(made: Recovered, recovery: Recovery) -> list[str]:
    said = []
    if made.distilled.ended == "not finite":
        said.append(f"the recovery ended at step {recovery.steps:,}: {recovery.outcome}")
    if recovery.steps < _FEW_STEPS and made.distilled.ended != "not finite":
        needed = recovery.minutes * _FEW_STEPS / max(recovery.steps, 1)
        said.append(
            f"--recover {recovery.minutes:g} was enough for {recovery.steps} steps; fewer than"
            f" {_FEW_STEPS} hardly change a network: --recover {max(math.ceil(needed), 1)} or more"
        )
    if not recovery.kept:
        said.append(
            "the recovery gained less than 1 dB on calibration samples that it had not seen, or on"
            " a few of them alone, which may be chance: the quantized graph stays as it was"
        )
    return said


def _summary(recovery: Recovery) -> str:
    """What a recovery came to, in one line."""
    if recovery.before_db is None or recovery.after_db is None:
        return f"nothing learned: {recovery.outcome}"
    gain = f"{recovery.before_db:.1f} -> {recovery.after_db:.1f} dB" if recovery.kept else "no gain"
    return (
        f"{gain} on {recovery.held_out} held-out samples; {recovery.steps:,} steps on"
        f" {recovery.samples} samples, {recovery.outcome}"
    )
