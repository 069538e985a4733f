"""A report held to its baseline: limits, and a second measurement of what looks slow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.gate import baseline, check
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import load_report, save_report
from edge_scnet.stats.figures import RatioStats
from tests.helpers.reports import report
from tests.helpers.tool import BUILD_CODE, MODEL, Built, Run


def test_limits_that_the_baseline_itself_breaks_contradict_it(
    reported: Callable[..., tuple[Path, Path]],
) -> None:
    old = report(labelled=False, noise=1.5)
    path, known = reported(old)
    baseline.save(baseline.of_report(old, replace(Gates(), min_agreement_percent=90)), known)
    with pytest.raises(ArtifactError, match="contradict"):
        check.check([path], against=known, limits={"min_agreement_percent": 100.0})
    with pytest.raises(ArtifactError, match="contradict"):
        baseline.of_report(old, replace(Gates(), min_agreement_percent=100))


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        ({"size_bytes": 1_040_000}, "size, MB"),
        ({"speedup": RatioStats(ratio=1.40, low=1.38, high=1.42, rounds=12)}, "speed, x"),
    ],
)
def test_limits_are_not_spent_anew_with_every_update(
    reported: Callable[..., tuple[Path, Path]], worse: dict, words: str
) -> None:
    """Within the limits of check, and yet a lower bar."""
    path, known = reported(report(int8=worse))
    assert check.check([path], against=known)[0].exit_code == 0
    with pytest.raises(ArtifactError, match="would be lowered") as caught:
        baseline.update(known, report(int8=worse), Gates(), accept=None)
    assert words in caught.value.message


def steady(made: RunReport) -> RunReport:
    """The report with a speed that no noise of this machine is in."""
    even = RatioStats(ratio=1.0, low=0.99, high=1.01, rounds=12)
    return replace(
        made,
        engines=tuple(replace(r, speedup=even) if r.name == "int8" else r for r in made.engines),
    )


def test_what_looks_slow_is_measured_again(built: Built, copied: Built, tmp_path: Path) -> None:
    """The report says half the speed; the engines beside it do not."""
    made = load_report(copied.folder / "report.json")
    rows = [
        (
            replace(row, speedup=RatioStats(ratio=0.5, low=0.49, high=0.51, rounds=12))
            if row.name == "int8"
            else row
        )
        for row in made.engines
    ]
    save_report(replace(made, engines=tuple(rows)), copied.folder / "report.json")
    known = tmp_path / "b.json"
    limits = replace(made.gates or Gates(), max_drop_pp=5, max_slowdown_percent=40)
    baseline.save(baseline.of_report(steady(made), limits), known)
    checked = check.check([copied.folder], against=known)[0]
    speed = next(finding for finding in checked.findings if finding.metric == "speed")
    assert speed.verdict == "pass" and "measured again; at first 0.5 x" in speed.message
    once = check.check([copied.folder], against=known, again=False)[0]
    assert once.exit_code == 11


def test_engines_that_are_others_by_now_are_not_measured_for_it(
    copied: Built, tmp_path: Path
) -> None:
    made = load_report(copied.folder / "report.json")
    rows = [
        (
            replace(
                row, sha256="0" * 64, speedup=RatioStats(ratio=0.5, low=0.49, high=0.51, rounds=12)
            )
            if row.name == "int8"
            else row
        )
        for row in made.engines
    ]
    save_report(replace(made, engines=tuple(rows)), copied.folder / "report.json")
    known = tmp_path / "b.json"
    baseline.save(
        baseline.of_report(steady(made), replace(made.gates or Gates(), max_drop_pp=5)), known
    )
    assert check.check([copied.folder], against=known)[0].exit_code == 11


def test_an_unknown_limit_of_the_api(reported: Callable[..., tuple[Path, Path]]) -> None:
    path, known = reported(report())
    with pytest.raises(TargetError, match="max_drop_pp is -1"):
        check.check([path], against=known, limits={"max_drop_pp": -1})


def test_check_build_builds_and_checks(cli_process: Run, built: Built, tmp_path: Path) -> None:
    """The stages take over the files of the shared build: another target takes seconds."""
    file = tmp_path / "edge-scnet.toml"
    file.write_text(
        f'model = "{MODEL}"\ntargets = ["cpu"]\nbaselines = "b"\nout = "out"\nseconds = 0.2\ncalib'
        f' = "{built.calib}"\neval = "{built.evaluation}"\n[limits]\nmax_drop_pp ='
        " 5\nmax_drop_from_baseline_pp = 5\nmax_agreement_fall_pp = 5\nmax_slowdown_percent ="
        " 80\nmax_memory_growth_percent = 100\n"
    )
    first = cli_process("baseline", "update", "--build", "--project", file, code=BUILD_CODE)
    assert first.code == 0 and f"{MODEL}-cpu.json: written" in first.stdout, first.stderr
    second = cli_process("check", "--build", "--project", file, "--json", code=BUILD_CODE)
    assert second.code == 0, second.stderr
    assert second.stderr.count("unchanged, reused") == 4
    assert json.loads(second.stdout)[0]["headline"] == "no regression"
