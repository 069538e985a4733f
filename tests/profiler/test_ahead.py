"""The loop that prepares the next batch while the engine has this one."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from edge_scnet.data.samples import SampleSet
from edge_scnet.profiler import ahead
from tests.helpers.engines import SPEC


class Engine:
    """A session that keeps what it is fed, and whether anything was being prepared then."""

    def __init__(self, batch: int) -> None:
        self.input_shape = (batch, *SPEC.input_shape)
        self.fed: list[np.ndarray] = []

    def infer(self, images: np.ndarray) -> list[np.ndarray]:
        self.fed.append(images)
        return [np.zeros((len(images), 4), np.float32)]


def test_every_batch_of_the_loop_is_prepared_on_another_thread_and_in_order(
    samples: SampleSet, monkeypatch: Any
) -> None:
    by: list[str] = []
    real = ahead.inputs_of

    def watched(*args: Any) -> np.ndarray:
        by.append(threading.current_thread().name)
        return real(*args)

    monkeypatch.setattr(ahead, "inputs_of", watched)
    engine: Any = Engine(2)
    alone, loop = ahead.time_window(engine, samples, SPEC, 0.0)
    assert alone > 0 and loop > 0
    main = threading.current_thread().name
    # two batches for the engine alone, then those of the loop and one that is not asked for
    assert by[:2] == [main] * 2 and main not in by[2:] and len(by) == 2 + 4 + 1
    expected = [real([samples_pixels(samples, k) for k in pair], SPEC) for pair in _pairs(samples)]
    assert len(engine.fed) == 4 + 4
    for fed, batch in zip(engine.fed[4:], expected, strict=True):
        np.testing.assert_array_equal(fed, batch)


def samples_pixels(samples: SampleSet, i: int) -> np.ndarray:
    return ahead.load_pixels(samples, i, SPEC)


def _pairs(samples: SampleSet) -> list[tuple[int, int]]:
    count = len(samples)
    return [((2 * k) % count, (2 * k + 1) % count) for k in range(4)]
