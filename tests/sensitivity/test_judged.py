"""What outputs are worth on the images of a search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_scnet.sensitivity.judged import SearchImages, SearchTask, judged


class Counted:
    """An evaluator that knows no figure of its own."""

    def reduce(self, own: Any, reference: Any, indices: Any) -> list[int]:
        return list(indices)

    def compare(self, own: Any, reference: Any) -> None:
        assert own == reference == [0, 1]


def test_the_noise_of_a_task_is_of_all_images_together() -> None:
    # the noise of one image alone is 0 dB, of the other 40 dB: together they have that of the sum
    signal = np.float32([[1.0], [100.0]])
    given = iter([[np.float32([[2.0]])], [np.float32([[99.0]])]])
    task = SearchTask(evaluator=Counted(), keeps=lambda stats: True)
    data = SearchImages(
        images=np.zeros((2, 1, 1, 1), np.float32), labels=None, reference=[signal], task=task
    )
    found = judged(lambda batch: next(given), data, 1, (False,))
    assert found.sqnr_db == pytest.approx(10 * np.log10(10001 / 2)) and found.within is True


def test_labels_that_are_no_classes_of_the_network_are_left_out() -> None:
    # ten folders of calibration images, and a network of three classes: FP32's classes stand in
    reference = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    images = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)

    def drop(labels: list[int] | None) -> float | None:
        data = SearchImages(
            images=images,
            labels=None if labels is None else np.array(labels),
            reference=[reference],
        )
        swapped = reference[:, [1, 0, 2]]
        return judged(
            lambda batch: [swapped[int(batch[0, 0, 0, 0])][None]], data, 1, (False,)
        ).drop_upper95_pp

    none = drop(None)
    assert none is not None and none > 90  # all four change class
    assert drop([0, 1, 9, 3]) == drop([0, 1, -1, 2]) == none
