"""The figures of benchmarks/zoo.py, which are the judge of changes to the quantizer."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FILE = Path(__file__).parent / "benchmarks" / "zoo_figures.py"


@pytest.fixture(scope="module")
def figures() -> Any:
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # its dataclasses look their module up
    sys.modules[FILE.stem] = module
    spec.loader.exec_module(module)
    return module


def test_quality_of_two_outputs(figures: Any) -> None:
    reference = [np.full((4, 5), 10.0), np.full((8, 3), 1.0)]
    outputs = [np.full((4, 5), 11.0), np.full((8, 3), 0.9)]
    quality = figures.quality_of(figures.powers_of(reference, outputs, images=4))
    assert quality["outputs_db"] == pytest.approx([20.0, 20.0])
    assert quality["sqnr_db"] == pytest.approx(20.0)
    assert quality["mean_db"] == pytest.approx(20.0)


def test_the_worst_output_decides_the_sqnr_of_all(figures: Any) -> None:
    reference = [np.ones((4, 5)), np.ones((4, 5)), np.ones((4, 5))]
    outputs = [np.ones((4, 5)), np.full((4, 5), 1.001), np.full((4, 5), 1.1)]
    quality = figures.quality_of(figures.powers_of(reference, outputs, images=4))
    assert quality["worst_db"] == pytest.approx(20.0)
    # a third of the noise over signal of the worst
    assert quality["sqnr_db"] == pytest.approx(20.0 + 10 * np.log10(3), abs=1e-3)
    assert quality["mean_db"] is None  # one has no noise
    assert quality["outputs_db"][0] is None


def test_an_output_of_zeros_counts_as_without_noise(figures: Any) -> None:
    powers = figures.powers_of([np.zeros((4, 5))], [np.ones((4, 5))], images=4)
    assert figures.quality_of(powers)["sqnr_db"] is None


def test_gain_is_of_the_same_images(figures: Any) -> None:
    rng = np.random.default_rng(0)
    reference = rng.standard_normal((60, 8)) * rng.uniform(0.1, 10, (60, 1))
    noise = rng.standard_normal((60, 8)) * rng.uniform(0.1, 10, (60, 1))
    own, other = (
        figures.powers_of([reference], [reference + share * noise], images=60)
        for share in (0.01, 0.02)
    )
    gain, low, high = figures.gain_db(own, other)
    # however the noise differs from image to image, the ratio is the same on all
    assert gain == pytest.approx(20 * np.log10(2))
    assert low == pytest.approx(gain) and high == pytest.approx(gain)
    assert figures.gain_db(own, own) == [0.0, 0.0, 0.0]


def test_gain_of_what_has_no_noise(figures: Any) -> None:
    reference = np.ones((60, 2))
    exact = figures.powers_of([reference], [reference], images=60)
    noisy = figures.powers_of([reference], [reference * 1.1], images=60)
    assert figures.gain_db(exact, noisy) is None


def test_agreement_counts_images_whose_first_class_is_the_same(figures: Any) -> None:
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    moved = scores.copy()
    moved[0] = [0.6, 0.4]
    assert figures.agreement_percent(scores, moved) == 75.0
    assert figures.agreement_percent(scores, scores[:, None, :]) == 100.0
