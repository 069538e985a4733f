"""The recover stage: what it says, and a build with it, without it, and with it again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.manifest import QDQ_ONNX, load_manifest
from edge_scnet.core.provenance import Recovery
from edge_scnet.errors import ArtifactError, MissingRuntimeError, TargetError
from edge_scnet.pipeline import request as requests
from edge_scnet.pipeline.stages import recover
from edge_scnet.recovery import recover as learning
from edge_scnet.recovery.attributes import UnsupportedError
from edge_scnet.report.notes import recovery_words
from tests.helpers.tool import Built, Run


def made(ended: str = "finished", *, steps: int = 400, kept: bool = True) -> Any:
    distilled = SimpleNamespace(ended=ended, steps=steps, planned=400)
    model = object() if kept else None
    return SimpleNamespace(
        distilled=distilled, model=model, before_db=18.0, after_db=22.0 if kept else 18.0
    )


def recovery(of: Any) -> Recovery:
    samples: Any = SimpleNamespace(learned=range(90), held_out=range(30))
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


def test_values_that_are_not_finite_and_no_gain_are_warned_about() -> None:
    broken = made("not finite", steps=200, kept=False)
    found = recovery(broken)
    first, second = recover._warnings(broken, found)
    assert "ended at step 200" in first and "NaN or infinite" in first
    assert "gained nothing" in second and "stays as it was" in second
    assert "stays as it was" in recovery_words(found)


def wanted(**changes: Any) -> Any:
    return SimpleNamespace(**{"qdq": None, "given": None, "recover_minutes": 1.0, **changes})


def test_a_graph_that_is_judged_as_it_is_is_not_recovered() -> None:
    with pytest.raises(ArtifactError, match="--qdq is judged as it is") as caught:
        requests.check_recoverable(wanted(qdq="other.onnx"))
    assert caught.value.hint and "leave --recover out" in caught.value.hint
    with pytest.raises(ArtifactError, match="a quantized MODEL is judged as it is"):
        requests.check_recoverable(wanted(qdq="other.onnx", given=object()))


def test_torch_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "installed", lambda module: False)
    with pytest.raises(MissingRuntimeError, match="'torch' is not installed") as caught:
        requests.check_recoverable(wanted())
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
        requests._target(request)
    assert caught.value.hint and "--recover" in caught.value.hint


def facts(built: Built) -> QdqFacts:
    found = load_manifest(built.folder).artifacts[QDQ_ONNX].facts
    assert isinstance(found, QdqFacts)
    return found


def test_a_recovered_build_is_kept_and_reused(copied: Built, invoke: Run) -> None:
    """It needs no other engine, and is another build than the one without recovery."""
    out = copied.folder.parents[1]
    command = ("build", "--calib", copied.calib, "--eval", copied.evaluation, "--out", out)
    command += ("--seconds", "0.2", "--recover", "0.1")
    first = invoke(*command)
    assert first.code in (0, 10, 11, 13), first.stderr
    found = facts(copied).recovery
    assert found is not None and found.minutes == 0.1 and found.held_out == 30
    assert found.before_db is not None and found.samples == 90
    assert not (copied.folder / "recovery.pt").exists()
    assert "recover" in first.stderr and "held-out samples" in first.stderr
    assert "recovery: " in first.stdout + first.stderr
    again = invoke(*command)
    assert "recover" in again.stderr and again.stderr.count("unchanged, reused") == 4
    assert facts(copied).recovery == found


def test_a_graph_that_torch_cannot_run_is_built_as_quantized(
    copied: Built, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise UnsupportedError("nms", "NonMaxSuppression", "the operator is not known here")

    monkeypatch.setattr(learning, "recover", fails)
    before = (copied.folder / QDQ_ONNX).read_bytes()
    command = ("build", "--calib", copied.calib, "--eval", copied.evaluation)
    outcome = invoke(
        *command, "--out", copied.folder.parents[1], "--seconds", "0.2", "--recover", 1
    )
    assert outcome.code in (0, 10, 11, 13), outcome.stderr
    why = "PyTorch cannot run nms (NonMaxSuppression): the operator is not known here"
    assert f"no recovery: {why}" in outcome.stderr
    assert (copied.folder / QDQ_ONNX).read_bytes() == before
    found = facts(copied).recovery
    assert found is not None and not found.kept and found.outcome == why


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
