"""A Q/DQ graph in, one with less noise out, or none: checked, learned, judged in ONNX Runtime."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.model import batch_of, load
from edge_scnet.graph.run import run_onnx
from edge_scnet.recovery.checkpoint import Checkpoint
from edge_scnet.recovery.distill import Distiller
from edge_scnet.recovery.executor import TorchGraph
from edge_scnet.recovery.learnable import LearnableGraph
from edge_scnet.recovery.parity import check_parity
from edge_scnet.recovery.samples import RecoverySamples
from edge_scnet.recovery.train import Budget, Distilled, distill
from edge_scnet.stats.accuracy import noise_and_power, noise_over_power
from edge_scnet.stats.intervals import t_quantile

if TYPE_CHECKING:
    import onnx_ir as ir

# In dB. The best of twenty looks at a few dozen samples is better by chance alone: MiniFASNetV2's
# was by 1.3 dB on the samples that it was chosen by, and worse by 0.1 dB on 200 others. So a gain
# counts on samples that nothing was chosen by, and where it is no matter of a few of them.
_LEAST_GAIN_DB = 1.0
# Of a one-sided interval, 97.5 %.
_Z = 1.96
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
    # of the judged samples, in dB, of the files as ONNX Runtime simulates them
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
    before = _parts(graphs.qdq, graphs.float_onnx, samples, group)
    before_db = _decibels(noise_over_power(before))
    if distilled.state is None:
        return _nothing(distilled, before_db)
    student.restore(distilled.state)
    written = student.written()
    after = _parts(written, graphs.float_onnx, samples, group)
    after_db = _decibels(noise_over_power(after))
    if after_db - before_db < _LEAST_GAIN_DB or not _is_sure(before, after):
        return _nothing(distilled, before_db)
    return Recovered(model=written, distilled=distilled, before_db=before_db, after_db=after_db)


def _nothing(distilled: Distilled, sqnr_db: float) -> Recovered:
    return Recovered(model=None, distilled=distilled, before_db=sqnr_db, after_db=sqnr_db)


def _decibels(noise: float) -> float:
    return round(-10.0 * math.log10(max(noise, _LEAST_NOISE)), 3)


# Noise and power of every output, of each run through the graph.
_Parts = list[list[tuple[float, float]]]


def _is_sure(before: _Parts, after: _Parts) -> bool:
    """Whether the gain, run by run in dB, is above 0 by Student's t: each run counts the same.

    The noise of all samples together may be that of a few.
    """
    gains = [
        _decibels(noise_over_power([new])) - _decibels(noise_over_power([old]))
        for old, new in zip(before, after, strict=True)
    ]
    mean, spread = statistics.fmean(gains), statistics.stdev(gains)
    return mean > t_quantile(_Z, len(gains) - 1) * spread / math.sqrt(len(gains))


def _parts(
    model: ir.Model | Path, float_onnx: Path, samples: RecoverySamples, group: int
) -> _Parts:
    """The noise and the power of the judged samples, of the outputs of real numbers."""
    ends = range(group, len(samples.judged) + 1, group)
    feeds = [
        {n: v.numpy() for n, v in samples.take(samples.judged[end - group : end]).items()}
        for end in ends
    ]
    runs = zip(run_onnx(float_onnx, feeds), run_onnx(model, feeds), strict=True)
    return [_noise_of(wanted, found) for wanted, found in runs]


def _noise_of(
    wanted: Sequence[np.ndarray], found: Sequence[np.ndarray]
) -> list[tuple[float, float]]:
    real = [i for i, output in enumerate(wanted) if output.dtype.kind == "f"]
    return noise_and_power([wanted[i] for i in real], [found[i] for i in real])
