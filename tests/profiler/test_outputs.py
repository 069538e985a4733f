"""Outputs added up over chunks of images."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.ragged import ragged
from edge_scnet.core.spec import InputForm
from edge_scnet.data.batches import batches, load
from edge_scnet.data.samples import SampleSet
from edge_scnet.profiler.outputs import OutputsSum, evaluate
from tests.helpers.engines import SPEC, quiet


def test_powers_are_by_output_and_over_all_chunks(
    samples: SampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small output that is wrong does not hide behind a large one that is right."""
    monkeypatch.setattr("edge_scnet.profiler.outputs._CHUNK_BYTES", 5 * 6 * 6 * 4)

    class Fake:
        engine = SimpleNamespace(input=InputForm(), path=Path("engine.mem"))
        count = 4

        def __init__(self, small: float) -> None:
            self.small = small

        def call(self, method: str) -> Any:
            if method == "first_outputs":
                return self.result()
            assert method in ("output_names", "open_evaluation")
            return ("large", "small")

        def start(self, method: str, images: np.ndarray) -> None:
            assert method == "evaluate"
            self.count = len(images)

        def result(self) -> list[np.ndarray]:
            return [
                np.full((self.count, 2), 1000, np.float32),
                np.full((self.count, 1), self.small, np.float32),
            ]

    fakes: Any = [Fake(1), Fake(-1)]
    right, wrong = evaluate(fakes, samples, SPEC, quiet)
    assert right is not None and wrong is not None
    assert right.signal_power == wrong.signal_power == (13 * 2e6, 13)
    assert wrong.own_power == right.own_power == (13 * 2e6, 13) and wrong.names == (
        "large",
        "small",
    )
    assert right.noise_power == (0, 0) and wrong.noise_power == (0, 13 * 4)


def test_infinities_of_the_reference_are_no_noise_where_they_are_the_engines_too() -> None:
    masked = np.array([[[1.0, -np.inf, 2.0]]], np.float32)
    near = np.array([[[1.5, -np.inf, 2.0]]], np.float32)
    for array, finite, noise in (
        (near, True, 0.25),
        (np.nan_to_num(near, neginf=-3.0), True, 9.25),
        (np.array([[[np.inf, -np.inf, 2.0]]], np.float32), False, np.inf),
    ):
        sums = OutputsSum([["a", "n"]] * 2)
        sums.add(0, [masked, np.array([3])])
        sums.add(1, [array, np.array([3])])
        reference, engine = sums.outputs()
        assert reference.finite and reference.signal_power == (5.0, 9.0)
        assert engine.finite is finite and engine.noise_power == (noise, 0.0)
        assert engine.whole == (False, True)


def test_infinite_logits_are_not_finite() -> None:
    sums = OutputsSum([["logits"]])
    sums.add(0, [np.array([[1.0, -np.inf]], np.float32)])
    assert not sums.outputs()[0].finite


def test_the_next_images_are_decoded_while_the_children_work(
    samples: SampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child answers only when the following chunk is there: it would wait for ever if that came
    after its answer.
    """
    monkeypatch.setattr("edge_scnet.profiler.outputs._CHUNK_BYTES", 5 * 6 * 6 * 4)
    decoded = [threading.Event() for _ in range(4)]

    def counted(*args: Any, **kwargs: Any) -> Iterator[np.ndarray]:
        for event, images in zip(decoded, batches(*args, **kwargs), strict=False):
            event.set()
            yield images

    class Fake:
        engine = SimpleNamespace(input=InputForm(), path=Path("engine.mem"))
        given = 0

        def call(self, method: str) -> tuple[Any, ...]:
            return (np.zeros((0, 1)),) if method == "first_outputs" else ("out",)

        def start(self, method: str, images: np.ndarray) -> None:
            self.given, self.images = self.given + 1, images

        def result(self) -> list[np.ndarray]:
            assert self.given == 3 or decoded[self.given].wait(5), "nothing was decoded ahead"
            return [self.images.reshape(len(self.images), -1)]

    monkeypatch.setattr("edge_scnet.profiler.outputs.batches", counted)
    fakes: Any = [Fake()]
    (outputs,) = evaluate(fakes, samples, SPEC, quiet)
    assert outputs is not None and outputs.logits is not None
    np.testing.assert_array_equal(outputs.logits, load(samples, SPEC).reshape(13, -1))


@pytest.mark.parametrize(
    ("output", "classes"),
    [
        (np.zeros((3, 2), np.float32), True),
        (np.zeros((3, 1), np.float32), False),
        (np.zeros((3, 2), np.int64), False),
        (np.zeros((3, 2, 2), np.float32), False),
    ],
)
def test_one_column_and_whole_numbers_are_no_scores_of_classes(
    output: np.ndarray, classes: bool
) -> None:
    """The largest of one column is always the same: an agreement of 100 % says nothing."""
    sums = OutputsSum([("y",), ("y",)])
    sums.add(0, [output])
    sums.add(1, [output])
    assert [found.logits is not None for found in sums.outputs()] == [classes] * 2


def test_outputs_of_other_shapes_are_not_stretched_to_the_references() -> None:
    sums = OutputsSum([("y",), ("y",)])
    sums.add(0, [np.ones((2, 3, 4), np.float32)])
    with pytest.raises(ValueError, match=r"\(2, 1, 4\).* the reference's are .*\(2, 3, 4\)"):
        sums.add(1, [np.ones((2, 1, 4), np.float32)])


def test_a_tasks_evaluator_is_fed_chunk_by_chunk_with_the_references_chunk() -> None:
    """It sees what engines give as they give it, whole numbers too, and the samples' indices."""
    seen: list[tuple[list[int], str, bool]] = []

    class Keeper:
        task = "kept"

        def reduce(self, outputs: Any, reference: Any, indices: Any) -> list[Any]:
            same = all((own == other).all() for own, other in zip(outputs, reference, strict=True))
            seen.append((list(indices), outputs[1].dtype.kind, same))
            return [float(row[0]) for row in outputs[0]]

        def compare(self, own: Any, reference: Any) -> Any:
            raise NotImplementedError

    sums = OutputsSum([("a", "b")] * 2, evaluator=Keeper())
    for start in (0, 3):
        logits = np.arange(start, start + 3, dtype=np.float32)[:, None] * np.ones(4, np.float32)
        classes = np.arange(3, dtype=np.int64)
        sums.add(0, [logits, classes])
        sums.add(1, [logits + 1, classes])
    reference, own = sums.outputs()
    assert reference.kept == (0, 1, 2, 3, 4, 5) and own.kept == (1, 2, 3, 4, 5, 6)
    assert seen == [
        ([0, 1, 2], "i", True),
        ([0, 1, 2], "i", False),
        ([3, 4, 5], "i", True),
        ([3, 4, 5], "i", False),
    ]
    assert reference.logits is None  # a task is not judged by the largest column
    assert reference.varies


def test_a_reference_that_gives_the_same_for_all_images_is_noticed() -> None:
    for array, varies in ((np.ones((4, 3), np.float32), False), (np.eye(4, 3), True)):
        sums = OutputsSum([("a",)])
        sums.add(0, [array.astype(np.float32)])
        assert sums.outputs()[0].varies is varies
    alone = OutputsSum([("a",)])
    alone.add(0, [np.ones((1, 3), np.float32)])
    assert alone.outputs()[0].varies


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_evaluator_gets_no_numbers_that_are_none(wrong: float) -> None:
    class Strict:
        task = "t"

        def reduce(self, outputs: Any, reference: Any, indices: Any) -> list[Any]:
            assert np.isfinite(outputs[0]).all()
            return list(indices)

        def compare(self, own: Any, reference: Any) -> Any:
            raise AssertionError

    sums = OutputsSum([("out",), ("out",)], evaluator=Strict())
    good = np.ones((2, 3), np.float32)
    for own in (good, good * wrong, good):
        sums.add(0, [good])
        sums.add(1, [own])
    right, engine = sums.outputs()
    assert right.kept == (0, 1, 2, 3, 4, 5) and right.finite
    assert engine.kept is None and not engine.finite


def test_of_an_output_whose_size_depends_on_the_data_nothing_is_summed() -> None:
    """The evaluator gets the images' arrays; a chunk in which all have one size is no other."""
    seen: list[Any] = []

    class Evaluator:
        task = "own"

        def reduce(self, outputs: Any, reference: Any, indices: Any) -> list[Any]:
            seen.append([part.shape for part in outputs[1]])
            return list(indices)

        def compare(self, own: Any, reference: Any) -> Any: ...

    sums = OutputsSum([["a", "kept"]] * 2, evaluator=Evaluator())
    first = np.ones((2, 3), np.float32)
    for sizes in ((1, 1), (0, 4)):
        for index, shift in ((0, 0), (1, 1)):
            kept = ragged([np.ones((n + shift, 4), np.float32) for n in sizes])
            sums.add(index, [first * (1 + index), kept])
    reference, other = sums.outputs()
    assert other.counted == (False, True) and other.sized == [0]
    assert other.noise_power == (12, 0) and other.signal_power == (12, 0)
    assert reference.finite and other.finite and reference.varies
    assert seen[1] == [(2, 4), (2, 4)] and seen[2] == [(0, 4), (4, 4)]


@pytest.mark.parametrize(("value", "finite"), [(np.nan, False), (np.inf, False), (1.0, True)])
def test_an_engine_with_nan_in_such_an_output_is_refused(value: float, finite: bool) -> None:
    sums = OutputsSum([["kept"]] * 2)
    for index, given in ((0, 1.0), (1, value)):
        sums.add(index, [ragged([np.full((n, 2), given, np.float32) for n in (0, 2)])])
    assert [each.finite for each in sums.outputs()] == [True, finite]


def test_sizes_that_differ_from_a_later_chunk_on_count_from_the_start() -> None:
    """Where an engine's inputs are open nothing tells before."""
    sums = OutputsSum([["kept"]] * 2)
    for index in range(2):
        sums.add(index, [np.full((2, 3), 1.0 + index, np.float32)])
    for index in range(2):
        sums.add(index, [ragged([np.ones((n, 3), np.float32) for n in (1, 2)])])
    assert sums.outputs()[1].noise_power == (0,) and sums.outputs()[1].counted == (True,)
