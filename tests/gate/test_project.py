"""A project's targets built and checked."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.gate import baseline, project
from tests.helpers.reports import report
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
    assert outcome.hint.startswith(f"edge-scnet baseline update --build --project {file}")
    baseline.save(baseline.of_report(report(), Gates()), known)
    assert (
        f"no baseline at {tmp_path}/b/{MODEL}-jetson.json"
        in invoke("check", "--build", "--project", file).stderr
    )
    known.write_text("{}")
    outcome = invoke("check", "--build", "--project", file)
    assert outcome.code == 6 and str(known) in outcome.stderr


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
    assert second.stderr.count("unchanged, reused") == 4
    assert json.loads(second.stdout)[0]["headline"] == "no regression"
