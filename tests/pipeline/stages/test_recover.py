"""The recover stage: what it says, and a build with it, without it, and with it again."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edge_scnet
from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.manifest import QDQ_ONNX
from edge_scnet.core.provenance import Recovery
from edge_scnet.errors import ArtifactError, MissingRuntimeError, TargetError
from edge_scnet.graph.model import save
from edge_scnet.pipeline import decide
from edge_scnet.pipeline.stages import recover
from edge_scnet.recovery import operators
from edge_scnet.recovery import recover as learning
from edge_scnet.recovery.distill import Distiller
from edge_scnet.report.notes import recovery_words
from tests.helpers.float_graphs import RELU, biased_conv, ir_graph, random_weights
from tests.helpers.tool import Run


def made(ended: str = "finished", *, steps: int = 400, kept: bool = True) -> Any:
    distilled = SimpleNamespace(ended=ended, steps=steps, planned=400)
    model = object() if kept else None
    return SimpleNamespace(
        distilled=distilled, model=model, before_db=18.0, after_db=22.0 if kept else 18.0
    )


def recovery(of: Any) -> Recovery:
    samples: Any = SimpleNamespace(learned=range(90), judged=range(30))
    return recover._recovery(10.0, of, samples)


def test_a_gain_is_told_with_its_samples_and_steps() -> None:
    found = recovery(made())
    assert recover._warnings(made(), found) == []
    assert recover._summary(found) == (
        "18.0 -> 22.0 dB on 30 held-out samples; 400 steps on 90 samples, all that were planned"
    )
    assert recovery_words(found) == (
        "recovery: 18.0 -> 22.0 dB on 30 held-out calibration samples, 400 steps on 90 others, all"
        " that were planned"
    )


def test_a_budget_that_is_too_small_says_what_is_left_undone() -> None:
    short = made("time", steps=5)
    found = recovery(short)
    (warning,) = recover._warnings(short, found)
    assert "--recover 10 was enough for 5 steps" in warning and "--recover 100" in warning
    assert "5 steps on 90 samples, of 400 planned: the time was up" in recover._summary(found)


def test_the_budget_that_is_advised_is_enough_for_the_steps() -> None:
    short = made("time", steps=21)
    (warning,) = recover._warnings(short, recovery(short))
    assert "fewer than 50 " in warning and "--recover 24 or more" in warning  # 23.8 minutes
    assert recover._stage_words(1.0).endswith("samples, 1 minute")
    assert recover._stage_words(0.5).endswith("samples, 0.5 minutes")


def test_values_that_are_not_finite_and_no_gain_are_warned_about() -> None:
    broken = made("not finite", steps=200, kept=False)
    found = recovery(broken)
    first, second = recover._warnings(broken, found)
    assert "ended at step 200" in first and "NaN or infinite" in first
    assert "gained less than 1 dB" in second and "stays as it was" in second
    assert "stays as it was" in recovery_words(found)


def wanted(**changes: Any) -> Any:
    return SimpleNamespace(**{"qdq": None, "given": None, "recover_minutes": 1.0, **changes})


def test_a_graph_that_is_judged_as_it_is_is_not_recovered() -> None:
    with pytest.raises(ArtifactError, match="--qdq is judged as it is") as caught:
        decide.check_recoverable(wanted(qdq="other.onnx"))
    assert caught.value.hint and "leave --recover out" in caught.value.hint
    with pytest.raises(ArtifactError, match="a quantized MODEL is judged as it is"):
        decide.check_recoverable(wanted(qdq="other.onnx", given=object()))


def test_torch_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "installed", lambda module: False)
    with pytest.raises(MissingRuntimeError, match="'torch' is not installed") as caught:
        decide.check_recoverable(wanted())
    assert caught.value.hint and "[export]" in caught.value.hint


def test_boards_without_int8_have_nothing_to_recover() -> None:
    request = wanted(
        target="jetson-fp16",
        search_seconds=None,
        search_on_board=False,
        until="compile",
        batch=None,
    )
    with pytest.raises(TargetError, match="FP16 alone") as caught:
        decide._target(request)
    assert caught.value.hint and "--recover" in caught.value.hint
    assert "--search-on-board" in caught.value.hint


SAMPLES = np.random.default_rng(0).standard_normal((104, 4, 8, 8)).astype(np.float32)


class Build:
    """A small network, quantized and recovered again and again in the same folder."""

    def __init__(self, folder: Path) -> None:
        self.out, self.model = folder / "out", folder / "net.onnx"
        layers = [biased_conv("input", "w1", "a"), RELU, biased_conv("r", "w2", "y")]
        save(ir_graph(layers, random_weights("w1", "w2")), self.model)

    def run(self, minutes: float | None = 0.01, calib: np.ndarray = SAMPLES) -> Recovery | None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = edge_scnet.build(
                self.model, calib=calib, out=self.out, until="quantize", recover_minutes=minutes
            )
        self.warnings = [str(warning.message) for warning in caught]
        self.entry = result.manifest.artifacts[QDQ_ONNX]
        self.content = (result.folder / QDQ_ONNX).read_bytes()
        assert not (result.folder / "recovery.pt").exists()
        assert isinstance(self.entry.facts, QdqFacts)
        return self.entry.facts.recovery


@pytest.fixture
def small_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.setattr("edge_scnet.recovery.train.usable_cores", lambda: 1)
    return Build(tmp_path)


@pytest.mark.slow
def test_a_recovered_graph_is_kept_and_reused(small_build: Build) -> None:
    assert small_build.run(None) is None
    plain, quantized = small_build.content, small_build.entry
    found = small_build.run()
    assert found is not None and (found.samples, found.held_out) == (78, 13)
    assert found.kept == (small_build.content != plain)
    assert small_build.entry.key != quantized.key
    facts = small_build.entry.facts
    assert isinstance(facts, QdqFacts)
    assert ("recover_minutes" in facts.provenance.settings) == found.kept
    content = small_build.content
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "recover", None)  # it is not called
        assert small_build.run() == found and small_build.content == content
        assert small_build.run(None) is None and small_build.content == plain


@pytest.mark.slow
def test_a_graph_that_torch_cannot_run_stays_as_quantized(
    small_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(operators.OPERATORS, "Relu")
    found = small_build.run()
    why = "PyTorch cannot run r (Relu): the operator is not known here"
    assert found is not None and not found.kept and found.outcome == why
    said = f"no recovery: {why}; it goes on with the graph as quantized"
    assert said in small_build.warnings
    recovered = small_build.content
    assert small_build.run(None) is None and small_build.content == recovered


@pytest.mark.slow
def test_an_interrupted_recovery_goes_on(
    small_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, steps = Distiller.learn, list[int]()

    def interrupted(self: Distiller, step: int) -> float:
        if list(small_build.out.rglob("recovery.pt")):
            raise KeyboardInterrupt
        return learn(self, step)

    monkeypatch.setattr(Distiller, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small_build.run(1.0)
    monkeypatch.setattr(
        Distiller,
        "learn",
        # it ends there, as if its error were not finite
        lambda self, step: steps.append(step) or learn(self, step) if len(steps) < 3 else math.nan,
    )
    found = small_build.run(1.0)
    assert found is not None and steps == [steps[0] + i for i in range(3)] and steps[0] > 0
    assert found.steps == steps[0] + 3 and "NaN or infinite" in found.outcome


def test_threads_of_torch_sleep_while_they_wait(cli_process: Run) -> None:
    code = (
        "import os; from edge_scnet.pipeline.stages import recover\n"
        "seen = []; recover.require = lambda *a, **k: seen.append(os.environ['OMP_WAIT_POLICY'])\n"
        "os.environ.pop('OMP_WAIT_POLICY', None); recover.load_torch()\n"
        "os.environ['OMP_WAIT_POLICY'] = 'ACTIVE'; recover.load_torch()\n"
        "assert seen == ['PASSIVE', 'ACTIVE'] and os.environ['OMP_WAIT_POLICY'] == 'ACTIVE'"
    )
    outcome = cli_process(code=code)
    assert outcome.code == 0, outcome.stderr
