"""A bundle's reference outputs against plans, by a session of the test's: no GPU is needed."""

from __future__ import annotations

import io
import random
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.compile import fidelity, quality, reference
from edge_scnet.compile.reference import Reference
from edge_scnet.core.facts import Fidelity
from edge_scnet.core.feeds import batch_of_arrays
from edge_scnet.errors import ArtifactError, ParityError
from edge_scnet.runtimes import in_memory
from edge_scnet.stats.accuracy import sqnr_db
from tests.end_to_end.fuzz_changes import changed_bytes

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((64, 1, 4, 4)).astype(np.float32)
LOGITS = RANDOM.standard_normal((64, 10)).astype(np.float32)
NOISE = RANDOM.standard_normal((64, 10)).astype(np.float32)


def noisy(decibels: float) -> np.ndarray:
    """The logits with so much noise."""
    gain = np.sqrt(np.vdot(LOGITS, LOGITS) / np.vdot(NOISE, NOISE)) * 10 ** (-decibels / 20)
    return LOGITS + np.float32(gain) * NOISE


def known_of(output: np.ndarray, simulated: np.ndarray) -> Reference:
    qualities = quality.qualities_of([output.reshape(-1)], [simulated.reshape(-1)])
    return Reference(images=IMAGES, outputs=(output,), simulation=qualities)


KNOWN = known_of(LOGITS, noisy(30))


def check(
    outputs: np.ndarray,
    precision: Any = "int8",
    known: Reference = KNOWN,
    batch: int = 2,
    half: np.ndarray | None = None,
) -> Fidelity:
    """Checks a plan that gives these outputs, by the images' place in the reference.

    Args:
        half: what its FP16 twin gives.
    """

    def compute(images: np.ndarray) -> list[np.ndarray]:
        first = next((i for i in range(64) if (IMAGES[i] == images[0]).all()), 0)
        return [outputs[first : first + len(images)]]

    engine = in_memory.Engine(compute=compute, input_shape=(batch, 1, 4, 4))
    with in_memory.registered({"engine.plan": engine}) as runtime:
        twin = (
            quality.qualities_of([known.outputs[0].reshape(-1)], [half.reshape(-1)])
            if half is not None
            else ()
        )
        proof = fidelity.check_plan(
            runtime, Path("engine.plan"), known, precision=precision, half=twin
        )
        assert proof.fidelity is not None and len(proof.qualities) == 1
        return proof.fidelity


def test_the_noise_of_fp16_counts_with_the_simulations() -> None:
    """A good simulation, and a plan that has the twin's noise besides and no other."""
    known = known_of(LOGITS, noisy(34))
    # both noises together: -10 lg(10^-3.4 + 10^-3.3) = 30.46 dB
    found = check(noisy(30.46), known=known, half=noisy(33))
    assert found.simulation_db == pytest.approx(34, abs=0.01), "the simulation's own is recorded"
    with pytest.raises(ParityError, match=r"30\.5 dB on 64 images"):
        check(noisy(30.46), known=known)
    with pytest.raises(ParityError, match=r"with the FP16 plan's noise: 30\.5; 2 less"):
        check(noisy(28.4), known=known, half=noisy(33))


def test_the_fidelity_of_a_right_plan_is_recorded() -> None:
    int8, fp16 = check(noisy(28.5)), check(noisy(40), "fp16")
    assert int8.engine_db == pytest.approx(28.5, abs=0.01)
    assert (int8.simulation_db, int8.images) == (pytest.approx(30, abs=0.01), 64)
    assert fp16.engine_db == pytest.approx(40, abs=0.01)
    assert (fp16.simulation_db, fp16.images) == (None, 64)
    assert check(LOGITS).engine_db is None


@pytest.mark.parametrize(
    ("outputs", "precision", "words"),
    [
        (
            noisy(27.9),
            "int8",
            r"engine\.plan does not compute .*27\.9 dB on 64 images \(simulated: 30\.0; 2 less",
        ),
        (noisy(24.9), "fp16", r"24\.9 dB on 64 images \(25 are the least that FP16 leaves\)"),
        (np.full_like(LOGITS, np.nan), "fp16", "NaN or infinity"),
    ],
)
def test_a_plan_that_computes_something_else_is_refused(
    outputs: np.ndarray, precision: str, words: str
) -> None:
    with pytest.raises(ParityError, match=words) as caught:
        check(outputs, precision)
    assert caught.value.hint


def test_an_exact_simulation_asks_for_what_fp16_leaves() -> None:
    exact = known_of(LOGITS, LOGITS)
    assert check(LOGITS, known=exact) == Fidelity(engine_db=None, simulation_db=None, images=64)
    assert check(noisy(40), known=exact).engine_db == pytest.approx(40, abs=0.01)
    with pytest.raises(ParityError, match="simulated: identical"):
        check(noisy(34), known=exact)


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_whole_numbers_of_a_plan_may_differ_as_often_as_in_the_simulation(precision: Any) -> None:
    classes = np.arange(640).reshape(64, 10)
    simulated, plan, wrong = classes.copy(), classes.copy(), classes.copy()
    simulated[:2], plan[:4], wrong[:6] = 0, 0, 0
    known = known_of(classes, simulated)
    assert check(plan, precision, known=known).engine_db is None
    with pytest.raises(ParityError, match="59 of 640 values are others than in float"):
        check(wrong, precision, known=known)


def test_infinities_of_the_float_graph_are_none_of_the_plans() -> None:
    masked, simulated = LOGITS.copy(), noisy(30)
    masked[:, 0] = simulated[:, 0] = -np.inf
    known, plan = known_of(masked, simulated), noisy(29)
    with pytest.raises(ParityError, match="64 of 640 values"):
        check(plan, known=known)
    plan[:, 0] = -np.inf
    assert check(plan, known=known).engine_db == pytest.approx(29, abs=0.5)


def test_a_reference_of_another_batch_is_refused() -> None:
    with pytest.raises(ArtifactError, match="takes 3 images at once, the reference has 64"):
        check(LOGITS, batch=3)


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    path.write_bytes(reference.to_npz(KNOWN))
    found = reference.load(path)
    np.testing.assert_array_equal(found.images, IMAGES)
    np.testing.assert_array_equal(found.outputs[0], LOGITS)
    assert found.simulation == KNOWN.simulation
    with np.load(path) as arrays:
        earlier = {k: v for k, v in arrays.items() if not k.startswith("simulation_") or "db" in k}
    np.savez(path, **earlier)
    assert reference.load(path).simulation[0].db == pytest.approx(30, abs=0.01)
    for content in (b"", b"no zip", b"PK\x03\x04cut"):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="holds no reference outputs"):
            reference.load(path)


def test_samples_of_several_inputs_travel_and_are_fed_by_name(tmp_path: Path) -> None:
    kinds = np.arange(64)
    samples = batch_of_arrays({"input": IMAGES, "kind": kinds})
    path = tmp_path / "reference.npz"
    path.write_bytes(reference.to_npz(replace(KNOWN, images=samples)))
    known = reference.load(path)
    seen: list[int] = []

    def compute(images: np.ndarray, kind: np.ndarray) -> list[np.ndarray]:
        seen.extend(kind.tolist())
        np.testing.assert_array_equal(images, IMAGES[kind])
        return [noisy(29)[kind]]

    engine = in_memory.Engine(compute=compute, input_shape=(2, 1, 4, 4))
    with in_memory.registered({"engine.plan": engine}) as runtime:
        proof = fidelity.check_plan(runtime, Path("engine.plan"), known, precision="int8")
    found = proof.fidelity
    assert seen == kinds.tolist() and found is not None
    assert found.engine_db == pytest.approx(29, abs=0.01)


def test_the_noise_of_these_tests_is_what_it_says() -> None:
    assert sqnr_db(LOGITS, noisy(30)) == pytest.approx(30, abs=0.01)


def test_arrays_that_claim_more_than_the_file_has_take_no_memory(tmp_path: Path) -> None:
    header = io.BytesIO()
    form = {"descr": "<f4", "fortran_order": False, "shape": (10**11,)}
    np.lib.format.write_array_header_1_0(header, form)
    with zipfile.ZipFile(tmp_path / "reference.npz", "w") as archive:
        archive.writestr("input.npy", header.getvalue())
    with pytest.raises(ArtifactError, match="claims 100000000000 of float32"):
        reference.load(tmp_path / "reference.npz")


def test_pickled_objects_are_refused_without_advice_to_load_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "reference.npz", input=np.array([{}], object))
    with pytest.raises(ArtifactError, match="it holds Python objects") as caught:
        reference.load(tmp_path / "reference.npz")
    assert "allow_pickle" not in caught.value.message


_ODD_ARRAYS: tuple[Any, ...] = (
    np.zeros(0, np.float32),
    np.float32(1),
    np.zeros((2, 3), np.complex64),
    np.full((64, 10), np.nan, np.float32),
    np.array(["a", "b"]),
    np.array([b"x"]),
    np.zeros(3, "datetime64[s]"),
    np.zeros(2, [("x", np.float32, (1, 4, 4))]),
    np.array([-1, 1 << 62], np.int64),
    np.zeros((1,) * 20, np.float16),
)


@pytest.mark.parametrize(
    "cases", [range(40), pytest.param(range(40, 1000), marks=pytest.mark.slow)]
)
def test_damaged_references_are_read_or_refused(tmp_path: Path, cases: range) -> None:
    good, path = reference.to_npz(KNOWN), tmp_path / "reference.npz"
    with np.load(io.BytesIO(good)) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    refused = 0
    for number in cases:
        rng = random.Random(number)
        data = changed_bytes(good, rng)
        if number % 3:
            changed = dict(content)
            name = rng.choice([*changed, "sized", "output_1", "output_-1", "another"])
            changed[name] = rng.choice(_ODD_ARRAYS)
            if number % 3 == 2:
                changed.pop(rng.choice(list(content)), None)
            buffer = io.BytesIO()
            np.savez(buffer, **changed)
            data = buffer.getvalue()
        path.write_bytes(data)
        try:
            check(noisy(28.5), known=reference.load(path))
        except (ArtifactError, ParityError) as error:
            assert error.hint
            assert str(path) in error.message or "engine.plan" in error.message
            refused += 1
    assert len(cases) / 2 < refused < len(cases)
