"""Outputs over the evaluation set: logits and power."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from edge_scnet.core.events import Progress
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.batches import batches
from edge_scnet.data.samples import SampleSet
from edge_scnet.profiler.process import Child

_CHUNK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What an engine gave for the evaluation set. Feature maps are too large to keep: of them the
    power is.
    """

    logits: np.ndarray | None  # [images, classes] where the first output is such, else None
    signal_power: tuple[float, ...]  # by output: sum of squares of the first engine's
    noise_power: tuple[float, ...]  # by output: sum of squares of the difference from it
    finite: bool
    own_power: tuple[float, ...] = ()  # by output: sum of squares of this engine's
    names: tuple[str, ...] = ()  # of the outputs


def evaluate(
    children: Sequence[Child], samples: SampleSet, spec: ModelSpec, progress: Progress
) -> list[Outputs | None]:
    """The outputs of every engine for every image: decoded once here, in chunks, and given to all
    children.

    The next chunk is decoded and preprocessed while the children work on this one, so that they do
    not wait for it.
    """
    image_bytes = spec.channels * spec.input_size**2 * 4
    chunk = max(1, min(1000, _CHUNK_BYTES // image_bytes))
    logits: list[list[np.ndarray]] = [[] for _ in children]
    # by chunk and output
    signal: list[list[float]] = []
    own: list[list[list[float]]] = [[] for _ in children]
    noise: list[list[list[float]]] = [[] for _ in children]
    finite = [True] * len(children)
    done = 0
    names = [child.call("output_names") for child in children]
    with ThreadPoolExecutor(1) as ahead:
        prepared = batches(samples, spec, batch=chunk)
        images = next(prepared, None)
        _start_all(children, images)
        while images is not None:
            count, following = len(images), ahead.submit(next, prepared, None)
            results: list[list[np.ndarray]] = [child.result() for child in children]
            images = following.result()
            _start_all(children, images)  # what follows is done while they work
            signal.append(_powers(results[0]))
            for i, arrays in enumerate(results):
                finite[i] &= all(bool(np.isfinite(array).all()) for array in arrays)
                own[i].append(_powers(arrays) if i else signal[-1])
                noise[i].append(
                    _powers([a - b for a, b in zip(arrays, results[0], strict=True)])
                    if i
                    else [0.0] * len(arrays)
                )
                if arrays[0].ndim == 2:
                    logits[i].append(arrays[0])
            done += count
            progress("accuracy", done / len(samples), done, "images")
    return [
        Outputs(
            logits=np.concatenate(logits[i]) if logits[i] else None,
            signal_power=_sums(signal),
            own_power=_sums(own[i]),
            noise_power=_sums(noise[i]),
            finite=finite[i],
            names=names[i],
        )
        for i in range(len(children))
    ]


def _start_all(children: Sequence[Child], images: np.ndarray | None) -> None:
    if images is not None:
        for child in children:
            child.start("evaluate", images)


def _powers(arrays: Sequence[np.ndarray]) -> list[float]:
    return [
        float(np.vdot(flat, flat))
        for flat in (array.astype(np.float64).ravel() for array in arrays)
    ]


def _sums(chunks: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """By output, over the chunks."""
    return tuple(sum(powers) for powers in zip(*chunks, strict=True))
