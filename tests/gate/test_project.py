"""A project's targets built and checked."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.errors import BackendError
from edge_scnet.gate import baseline, project
from edge_scnet.report.store import save_report
from tests.helpers.reports import provenance, report
from tests.helpers.tool import MODEL, Built, Run


def test_an_interrupted_build_ends_the_check_as_an_interrupt(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edge-scnet.toml"
    file.write_text(f'model = "{MODEL}"\ntargets = ["cpu", "jetson"]\nbaselines = "b"\n')
    for name in ("cpu", "jetson"):
        known = tmp_path / "b" / f"{MODEL}-{name}.json"
        baseline.save(baseline.of_report(report(), Gates()), known)
    built = []

    def build(model: str, **options: object) -> SimpleNamespace:
        built.append(options["target"])
        return SimpleNamespace(report=report(complete=False), folder=tmp_path)

    monkeypatch.setattr(project, "build", build)
    for command in (("check",), ("baseline", "update")):
        outcome = invoke(*command, "--build", "--project", file)
        assert (outcome.code, outcome.stdout) == (130, "")
        assert outcome.stderr.endswith(
            "\ninterrupted: finished stages are kept, the next run goes on from there\n"
        )
    assert built == ["cpu", "cpu"], "what follows is not built"


def test_a_baseline_that_is_missing_or_damaged_is_seen_before_the_build(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edge-scnet.toml"
    file.write_text(f'model = "{MODEL}"\ntargets = ["cpu", "jetson"]\nbaselines = "b"\n')
    known = tmp_path / "b" / f"{MODEL}-cpu.json"
    monkeypatch.setattr(project, "build", None)  # it would be a bug to call it
    outcome = invoke("check", "--build", "--project", file)
    assert outcome.code == 6 and f"no baseline at {known}" in outcome.stderr
    assert f"no baseline at {tmp_path}/b/{MODEL}-jetson.json" in outcome.stderr
    assert outcome.hint.startswith(f"edge-scnet baseline update --build --project {file}")
    baseline.save(baseline.of_report(report(), Gates()), known)
    assert (
        f"no baseline at {tmp_path}/b/{MODEL}-jetson.json"
        in invoke("check", "--build", "--project", file).stderr
    )
    known.write_text("{}")
    junit = tmp_path / "j.xml"
    outcome = invoke("check", "--build", "--project", file, "--junit", junit)
    assert outcome.code == 6 and str(known) in outcome.stderr
    assert junit.read_text().count('errors="1"') == 2


def test_a_target_that_cannot_be_built_does_not_hide_the_others(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edge-scnet.toml"
    file.write_text(
        f'model = "{MODEL}"\ntargets = ["cpu", "jetson"]\nbaselines = "b"\n[check]\nallow ='
        ' ["checkpoint"]\n'
    )
    for name in ("cpu", "jetson"):
        known = tmp_path / "b" / f"{MODEL}-{name}.json"
        baseline.save(baseline.of_report(report(model=MODEL, target=name), Gates()), known)

    def build(model: str, **options: object) -> SimpleNamespace:
        if options["target"] == "cpu":
            raise BackendError("the compiler crashed")
        made = report(
            model=MODEL, target="jetson", provenance=provenance(weights=("x" * 64,), weight_bits=8)
        )
        save_report(made, tmp_path / "report.json")
        return SimpleNamespace(report=made, folder=tmp_path)

    monkeypatch.setattr(project, "build", build)
    junit = tmp_path / "j.xml"
    outcome = invoke("check", "--build", "--project", file, "--json", "--junit", junit)
    assert outcome.code == 8 and "error: the compiler crashed" in outcome.stderr
    failed, checked = json.loads(outcome.stdout)["reports"]
    assert (failed["exit_code"], failed["error"]) == (8, "the compiler crashed")
    assert failed["hint"] and failed["findings"] == [] and failed["report"] is None
    assert checked["exit_code"] == 12
    assert [(d["kind"], d["by"]) for d in checked["allowed"]] == [
        ("checkpoint", f"[check] allow of {file}")
    ]
    assert 'errors="1"' in junit.read_text()
    outcome = invoke("check", "--build", "--project", file)
    assert f"{MODEL} for cpu: not checked (exit code 8)\nthe compiler crashed\n" in outcome.stdout
    assert f"{MODEL} for jetson" in outcome.stdout and "bits of the weights" in outcome.stdout


def test_a_limit_or_a_kind_that_there_is_not_is_seen_before_the_build(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edge-scnet.toml"
    file.write_text(f'model = "{MODEL}"\ntargets = ["cpu"]\nbaselines = "b"\n')
    monkeypatch.setattr(project, "build", None)
    outcome = invoke("check", "--build", "--project", file, "--limit", "max_drop=1")
    assert outcome.code == 3 and "did you mean max_drop_pp?" in outcome.stderr
    outcome = invoke("check", "--build", "--project", file, "--allow", "checkpoints")
    assert outcome.code == 3 and "--allow checkpoints: " in outcome.stderr
    assert "did you mean checkpoint?" in outcome.stderr
    assert "allowed: checkpoint, images, calibration, preprocessing, settings" in outcome.stderr


@pytest.mark.usefixtures("not_measured")
def test_check_build_builds_and_checks(invoke: Run, copied: Built, tmp_path: Path) -> None:
    """In the folder of the shared build, whose stages are up to date. The project's own gate, in
    `.ci/run`, measures.
    """
    file = tmp_path / "edge-scnet.toml"
    file.write_text(
        f'model = "{MODEL}"\ntargets = ["cpu"]\nbaselines = "b"\nout = "out"\nseconds = 0.2\ncalib'
        f' = "{copied.calib}"\neval = "{copied.evaluation}"\n[limits]\nmax_drop_pp ='
        " 5\nmax_drop_from_baseline_pp = 5\nmax_agreement_fall_pp = 5\nmax_slowdown_percent ="
        " 80\nmax_memory_growth_percent = 100\n"
    )
    first = invoke("baseline", "update", "--build", "--project", file)
    assert first.code == 0 and f"{MODEL}-cpu.json: written" in first.stdout, first.stderr
    second = invoke("check", "--build", "--project", file, "--json")
    assert second.code == 0, second.stderr
    # of the stages all four; where the few images prove no limit, the noise of the modules too
    is_searched = "the noise of each module" in second.stderr
    assert second.stderr.count("unchanged, reused") == 4 + is_searched
    assert json.loads(second.stdout)["reports"][0]["headline"] == "no regression"
