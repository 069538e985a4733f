"""Reports of boards without INT8: held to their own limits, for there is no baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.errors import ArtifactError
from edge_scnet.gate import baseline, check, project
from edge_scnet.gate import half as half_gate
from edge_scnet.report.findings import exit_code
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import save_report
from tests.helpers.reports import report
from tests.helpers.tool import Run


def half(wrong: int | None = None, **changes: Any) -> RunReport:
    """Of an FP16 build: its engine loses nothing, or has so many images wrong that FP32 has right.

    Nothing in it was quantized, so that there are neither scales nor what they were made from.
    """
    made = report(target="jetson-fp16")
    reference, engine = made.engines
    assert engine.accuracy is not None and engine.accuracy.labels is not None
    accuracy = engine.accuracy
    if wrong is not None:
        labels = replace(
            engine.accuracy.labels,
            lost=wrong,
            drop_lower95_pp=wrong / 25,
            drop_upper95_pp=wrong / 15,
        )
        accuracy = replace(accuracy, labels=labels)
    engine = replace(engine, name="fp16 simulated", role="fp16", accuracy=accuracy, latency=None)
    return replace(
        made,
        engines=(reference, replace(engine, speedup=None)),
        findings=(),
        quantization=None,
        provenance=None,
        **changes,
    )


def test_a_report_without_a_baseline_is_held_to_its_own_limits(tmp_path: Path, invoke: Run) -> None:
    file = tmp_path / "report.json"
    command = ["check", file, "--baseline", tmp_path / "baselines"]
    save_report(half(), file)
    fine = invoke(*command)
    assert fine.code == 0, fine.stderr
    assert "FP16 alone, nothing to hold to a baseline" in fine.stdout
    assert "nothing is quantized, and there is no baseline" in fine.stdout
    # a loss that is proven fails, as anywhere
    save_report(half(wrong=100), file)
    worse = invoke(*command)
    assert worse.code == 10 and "beyond the limit" in worse.stdout
    assert invoke(*command, "--limit", "max_drop_pp=9").code == 0
    # what the images cannot tell is told
    save_report(half(wrong=10), file)
    unknown = invoke(*command)
    assert unknown.code == 0 and "Told, not judged." in unknown.stdout
    save_report(half(complete=False), file)
    assert invoke(*command).code == 12


def test_a_report_of_which_no_accuracy_is_known_does_not_pass() -> None:
    made = half()
    for engines in ((), tuple(replace(row, accuracy=None) for row in made.engines)):
        found = half_gate.findings_of(replace(made, engines=engines), {})
        assert exit_code(found) == 12
        assert any("no accuracy" in finding.message for finding in found)


def test_accuracy_that_was_simulated_proves_nothing_of_a_plan_that_was_timed() -> None:
    made = half()
    reference, simulated = made.engines
    timed = replace(simulated, name="fp16", accuracy=None, latency=reference.latency)
    for engines, verdict in (
        (made.engines, "pass"),
        ((reference, timed, simulated), "skipped"),
    ):
        found = half_gate.findings_of(replace(made, engines=engines), {})
        (accuracy,) = (finding for finding in found if finding.kind == "accuracy")
        assert accuracy.verdict == verdict and "Simulated: " in accuracy.message
    assert "not measured on the board" in accuracy.message


def test_a_baseline_of_the_same_name_is_not_passed_over(tmp_path: Path) -> None:
    """A target that was INT8 and is FP16 alone by now has lost what the baseline knows."""
    known = tmp_path / "b.json"
    baseline.save(baseline.of_report(report(target="jetson-fp16"), Gates()), known)
    save_report(half(), tmp_path / "report.json")
    (checked,) = check.check([tmp_path / "report.json"], against=known)
    assert checked.exit_code == 12 and checked.has_baseline
    assert any("baselines are of INT8" in finding.message for finding in checked.findings)


def test_no_baseline_is_written_of_it() -> None:
    with pytest.raises(ArtifactError, match="is FP16 alone: nothing is quantized") as caught:
        baseline.of_report(half(), Gates())
    assert "edge-scnet check" in (caught.value.hint or "")


def test_a_project_s_target_of_fp16_alone_needs_no_baseline(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edge-scnet.toml"
    file.write_text('model = "scnet20-fashion-mnist"\ntargets = ["jetson-fp16"]\nbaselines = "b"\n')

    def build(model: str, **options: object) -> SimpleNamespace:
        save_report(half(), tmp_path / "report.json")
        return SimpleNamespace(report=half(), folder=tmp_path)

    monkeypatch.setattr(project, "build", build)
    junit = tmp_path / "j.xml"
    outcome = invoke("check", "--build", "--project", file, "--junit", junit)
    assert outcome.code == 0, outcome.stderr
    assert "jetson-fp16" in outcome.stdout and 'errors="0"' in junit.read_text()
    none = invoke("baseline", "update", "--build", "--project", file)
    assert none.code == 6 and "targets of FP16 alone" in none.stderr
    assert f"edge-scnet check --build --project {file}" in none.hint
