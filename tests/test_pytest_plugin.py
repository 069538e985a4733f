"""The plugin in a project of its own, run by pytester."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.gate import baseline
from edge_scnet.report.store import save_report
from tests.helpers.reports import provenance, report

pytest_plugins = ["pytester"]
PROJECT = """
def test_int8(edge_scnet):
    edge_scnet.assert_no_regression("net/report.json", baseline="baselines")

def test_other():
    pass
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(PROJECT)
    pytester.makeini("[pytest]\naddopts = --strict-markers\n")
    (pytester.path / "net").mkdir()
    save_report(report(), pytester.path / "net" / "report.json")
    baseline.save(
        baseline.of_report(report(), Gates()), pytester.path / "baselines" / "net-cpu.json"
    )
    return pytester


def test_an_unchanged_report_passes_and_the_marker_selects(project: pytest.Pytester) -> None:
    project.runpytest_inprocess().assert_outcomes(passed=2)
    project.runpytest_inprocess("-m", "edge_scnet").assert_outcomes(passed=1, deselected=1)


def test_a_regression_fails_with_its_findings_and_no_traceback(project: pytest.Pytester) -> None:
    save_report(report(noise=0.07), project.path / "net" / "report.json")
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*net for cpu: accuracy (1 of 13 findings)*", "*SQNR (fail): *", "*--update-baselines*"]
    )
    result.stdout.no_fnmatch_line("*checking.py*")


def test_update_baselines_writes_and_asks_for_a_reason(project: pytest.Pytester) -> None:
    known: Path = project.path / "baselines" / "net-cpu.json"
    before = known.read_text()
    save_report(replace(report(noise=0.07), target="gpu"), project.path / "net" / "report.json")
    project.runpytest_inprocess("--update-baselines").assert_outcomes(passed=2)
    assert (known.parent / "net-gpu.json").is_file()  # by target
    save_report(report(noise=0.07), project.path / "net" / "report.json")
    result = project.runpytest_inprocess("--update-baselines")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*would be lowered:*", "*hint: *--accept*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*ArtifactError*")
    result.stdout.no_fnmatch_line("*During handling*")
    assert known.read_text() == before
    result = project.runpytest_inprocess("--update-baselines", "--accept-regression", "why not")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*baselines written*", "*net-cpu.json", "  SQNR*"])
    assert baseline.load(known).accepted[0].reason == "why not"
    project.runpytest_inprocess().assert_outcomes(passed=2)


def test_limits_and_findings_by_hand(project: pytest.Pytester) -> None:
    save_report(report(noise=0.07), project.path / "net" / "report.json")
    project.makepyfile("""
        def test_int8(edge_scnet):
            edge_scnet.assert_no_regression(
                "net/report.json", baseline="baselines", max_sqnr_fall_db=20
            )

        def test_findings(edge_scnet):
            checked = edge_scnet.check("net", baseline="baselines/net-cpu.json")
            assert checked.exit_code == 10 and len(checked.findings) == 13
        """)
    project.runpytest_inprocess().assert_outcomes(passed=2)


def test_a_model_that_was_trained_anew(project: pytest.Pytester) -> None:
    made = report(provenance=provenance(weights=("x" * 64,)))
    save_report(made, project.path / "net" / "report.json")
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(['*trained anew*: allow=[[]"checkpoint"[]]'])
    for allow, outcome in (("checkpoint", {"passed": 1}), ("weights", {"failed": 1})):
        project.makepyfile(f"""
            def test_int8(edge_scnet):
                edge_scnet.assert_no_regression(
                    "net/report.json", baseline="baselines", allow=["{allow}"]
                )
            """)
        result = project.runpytest_inprocess()
        result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines(["allow of the test weights: *", "*allowed: checkpoint, images,*"])
