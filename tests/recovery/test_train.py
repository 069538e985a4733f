"""Recoveries of a small network: what they gain, how they end, and that they are the same twice."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

from edge_scnet.recovery import recover as recovery
from edge_scnet.recovery import train
from edge_scnet.recovery.checkpoint import Checkpoint
from edge_scnet.recovery.distill import Distiller
from edge_scnet.recovery.samples import samples_of
from edge_scnet.recovery.train import Budget, Distilled, distill
from tests.recovery.conftest import Small


def run(
    small: Small, path: Path, *, steps: int | None = 40, seconds: float = 60.0, key: str = "key"
) -> Distilled:
    budget = Budget(started=time.monotonic(), seconds=seconds, steps=steps)
    return distill(small.distiller(), budget, Checkpoint(path, key))


def same(first: Distilled, second: Distilled) -> bool:
    assert first.state is not None and second.state is not None
    return all(value.equal(second.state[name]) for name, value in first.state.items())


@pytest.fixture(scope="package")
def whole(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Distilled:
    return run(small, tmp_path_factory.mktemp("whole") / "recovery.pt")


def test_cut_ranges_are_learned(whole: Distilled) -> None:
    assert (whole.steps, whole.planned, whole.ended) == (40, 40, "finished")
    assert whole.noise_after < 0.85 * whole.noise_before


def test_the_same_plan_gives_the_same(small: Small, whole: Distilled, tmp_path: Path) -> None:
    again = run(small, tmp_path / "recovery.pt")
    assert same(whole, again) and again.noise_after == whole.noise_after


def test_an_interrupted_recovery_goes_on(
    small: Small, whole: Distilled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Distiller.learn

    def interrupted(self: Distiller, step: int) -> float:
        if step == 25:
            raise KeyboardInterrupt
        return learn(self, step)

    monkeypatch.setattr(Distiller, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(small, tmp_path / "recovery.pt")
    seen: list[int] = []
    monkeypatch.setattr(
        Distiller, "learn", lambda self, step: seen.append(step) or learn(self, step)
    )
    resumed = run(small, tmp_path / "recovery.pt")
    assert seen == list(range(24, 40)) and same(whole, resumed)
    assert resumed.noise_before == whole.noise_before


@pytest.mark.parametrize("damage", ["another key", "cut", "no file of ours"])
def test_a_checkpoint_that_is_not_this_recovery_s_is_not_used(
    small: Small, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "recovery.pt"
    run(small, path, steps=2, key="another" if damage == "another key" else "key")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "no file of ours":
        path.write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR.")
    assert run(small, path, steps=3).steps == 3


def test_what_is_not_finite_ends_it_and_the_best_stays(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Distiller.learn
    monkeypatch.setattr(
        Distiller, "learn", lambda self, step: math.nan if step == 30 else learn(self, step)
    )
    found = run(small, tmp_path / "recovery.pt")
    assert (found.steps, found.ended) == (30, "not finite")
    assert found.state is not None and found.noise_after < found.noise_before
    assert all(torch.isfinite(value).all() for value in found.state.values())


def test_a_time_that_is_up_at_once_leaves_everything(small: Small, tmp_path: Path) -> None:
    found = run(small, tmp_path / "recovery.pt", steps=None, seconds=0.0)
    assert (found.steps, found.ended, found.state) == (0, "time", None)


def test_a_budget_of_time_is_planned_in_steps(small: Small, tmp_path: Path) -> None:
    found = run(small, tmp_path / "recovery.pt", steps=None, seconds=4.0)
    # neither nothing nor what 60 s would be; how many steps a second holds is the machine's matter
    assert found.steps >= 1 and found.seconds < 20.0


def test_the_file_is_judged_in_onnx_runtime(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so that forty steps are enough
    monkeypatch.setattr(train, "RATES", {kind: 12.0 * rate for kind, rate in train.RATES.items()})
    graphs = recovery.Graphs(qdq=small.qdq, float_onnx=small.float_onnx, weight_bits=8)
    budget = Budget(started=time.monotonic(), seconds=60.0, steps=40)
    arrays = np.random.default_rng(6).standard_normal((512, 4, 8, 8)).astype(np.float32)
    samples = samples_of({"input": arrays}, [f"{i:064x}" for i in range(512)], are_pictures=False)
    made = recovery.recover(graphs, samples, budget, Checkpoint(tmp_path / "r.pt", "key"))
    assert made.model is not None and made.after_db > made.before_db
    before = [v.name for v in ir.load(small.qdq).graph.initializers.values()]
    assert [v.name for v in made.model.graph.initializers.values()] == before


def test_a_file_that_is_not_better_is_not_taken(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_parts", lambda *_: [[(0.01, 1.0)]] * 8)
    graphs = recovery.Graphs(qdq=small.qdq, float_onnx=small.float_onnx, weight_bits=8)
    budget = Budget(started=time.monotonic(), seconds=60.0, steps=2)
    made = recovery.recover(graphs, small.samples, budget, Checkpoint(tmp_path / "r.pt", "key"))
    assert made.model is None and made.after_db == made.before_db == pytest.approx(20.0)


def test_nothing_but_the_calibration_samples_is_fed(small: Small) -> None:
    distiller = small.distiller()
    drawn = [i for step in range(6) for group in distiller._drawn(step) for i in group]
    assert sorted(drawn) == sorted(small.samples.learned)
    assert not set(drawn) & {*small.samples.watched, *small.samples.judged}
    assert np.isfinite(distiller.noise())
