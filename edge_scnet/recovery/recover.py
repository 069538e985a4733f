"""A Q/DQ graph in, one with less noise out, or none: checked, learned, judged in ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.model import batch_of, load
from edge_scnet.graph.run import joined, run_onnx
from edge_scnet.recovery.checkpoint import Checkpoint
from edge_scnet.recovery.distill import Distiller
from edge_scnet.recovery.executor import TorchGraph
from edge_scnet.recovery.learnable import LearnableGraph
from edge_scnet.recovery.parity import check_parity
from edge_scnet.recovery.samples import RecoverySamples
from edge_scnet.recovery.train import Budget, Distilled, distill
from edge_scnet.stats.accuracy import relative_noise

if TYPE_CHECKING:
    import onnx_ir as ir

# A gain of 1 dB. The best of twenty looks at a few dozen samples is better by chance alone: PFLD's
# was by 0.6 dB, and worse by 0.4 dB on other samples.
_WORTH_KEEPING = 10**-0.1
# Stands for no noise at all, as between equal outputs.
_LEAST_NOISE = 1e-20


@dataclass(frozen=True, slots=True, kw_only=True)
class Graphs:
    """The files of a quantized network."""

    # by this project's own quantizer
    qdq: Path
    # that it was made of
    float_onnx: Path
    # of the Q/DQ graph's codes
    weight_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a recovery gives."""

    # None: nothing that was learned is better
    model: ir.Model | None
    distilled: Distilled
    # of the held-out samples, in dB, of the files as ONNX Runtime simulates them
    before_db: float
    after_db: float


def recover(
    graphs: Graphs,
    samples: RecoverySamples,
    budget: Budget,
    checkpoint: Checkpoint,
    *,
    progress: Callable[[float, int], None] = lambda share, steps: None,
) -> Recovered:
    """Learns what a Q/DQ graph has lost against its float graph.

    Args:
        graphs: what is recovered.
        samples: of the calibration set; no other ones are looked at.
        budget: of time.
        checkpoint: of this recovery.
        progress: called with the share of the plan that is done, and the steps.

    Raises:
        UnsupportedError: names the node that PyTorch cannot run, or computes otherwise.
        StorageError: the checkpoint cannot be written.
    """
    model, float_model = load(graphs.qdq), load(graphs.float_onnx)
    group = batch_of(float_model)
    student = LearnableGraph(model, weight_bits=graphs.weight_bits)
    teacher = TorchGraph(float_model)
    first = {n: v.numpy() for n, v in samples.take(samples.learned[:group]).items()}
    check_parity(teacher, float_model, first)
    check_parity(student, model, first)
    distiller = Distiller(student, teacher, samples, group=group)
    distilled = distill(distiller, budget, checkpoint, progress=progress)
    before = _noise(graphs.qdq, graphs.float_onnx, samples, group)
    if distilled.state is None:
        return _nothing(distilled, before)
    student.restore(distilled.state)
    written = student.written()
    after = _noise(written, graphs.float_onnx, samples, group)
    if not after < _WORTH_KEEPING * before:
        return _nothing(distilled, before)
    return Recovered(
        model=written, distilled=distilled, before_db=_decibels(before), after_db=_decibels(after)
    )


def _nothing(distilled: Distilled, noise: float) -> Recovered:
    sqnr_db = _decibels(noise)
    return Recovered(model=None, distilled=distilled, before_db=sqnr_db, after_db=sqnr_db)


def _decibels(noise: float) -> float:
    return round(-10.0 * math.log10(max(noise, _LEAST_NOISE)), 3)


def _noise(model: ir.Model | Path, float_onnx: Path, samples: RecoverySamples, group: int) -> float:
    """The noise over signal of the held-out samples, averaged over the outputs of real numbers."""
    ends = range(group, len(samples.held_out) + 1, group)
    feeds = [
        {n: v.numpy() for n, v in samples.take(samples.held_out[end - group : end]).items()}
        for end in ends
    ]
    wanted, found = (joined(run_onnx(graph, feeds)) for graph in (float_onnx, model))
    real = _real(wanted)
    return relative_noise([wanted[i] for i in real], [found[i] for i in real])


def _real(outputs: Sequence[np.ndarray]) -> list[int]:
    return [i for i, output in enumerate(outputs) if output.dtype.kind == "f"]
