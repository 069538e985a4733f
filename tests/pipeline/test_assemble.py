"""What was measured becomes a report, whole and in one step."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from edge_scnet.config.target import load_target
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import Manifest
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.pipeline.assemble import MeasuredRun, conclude
from edge_scnet.pipeline.result import result_of, save_run
from edge_scnet.profiler.sweep import Sweep
from edge_scnet.report.verdict import judge, verdict
from tests.helpers.reports import report

TARGET = load_target("cpu")
ROWS = report().engines
MANIFEST = Manifest(
    model=FASHION_MNIST, target=asdict(TARGET), floor="avx2", precision_hint="f32", rebuild="again"
)
MEASURED = MeasuredRun(
    rows=ROWS,
    findings=tuple(judge(ROWS, TARGET)),
    environment={"fingerprint": "f"},
    spent={"profile": 2.0},
    seconds=3.0,
)


def test_a_report_is_built_whole_of_what_was_measured() -> None:
    made = conclude(MEASURED, MANIFEST, TARGET, command="c", stage_seconds={"export": 1.0})
    assert (made.model, made.target, made.command) == (FASHION_MNIST.name, "cpu", "c")
    assert made.engines == ROWS and made.gates == TARGET.gates
    assert made.stage_seconds == {"export": 1.0, "profile": 2.0} and made.seconds == 3.0
    assert made.complete and made.verdict == verdict(MEASURED.findings)


def test_an_interrupted_run_has_no_verdict_and_leaves_the_whole_report_as_it_is(
    tmp_path: Path,
) -> None:
    measured = replace(MEASURED, findings=(), complete=False)
    made = conclude(measured, MANIFEST, TARGET, command="")
    assert not made.complete and made.verdict.startswith("interrupted")
    folder = BuildFolder(path=tmp_path, manifest=MANIFEST)
    assert result_of(folder, made).exit_code == 130
    save_run(made, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.partial.json"]


def test_an_interrupted_sweep_leaves_the_verdict_on_the_engines() -> None:
    measured = replace(MEASURED, sweep=Sweep(rows=(), load=None, complete=False))
    made = conclude(measured, MANIFEST, TARGET, command="")
    assert not made.complete and made.verdict == verdict(MEASURED.findings)
