"""A report held to its baseline: limits, and a second measurement of what looks slow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.gate import baseline, check
from edge_scnet.gate.update import update
from edge_scnet.machine import environment
from edge_scnet.pipeline.profile import time_again
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import load_report, save_report
from edge_scnet.stats.figures import RatioStats
from tests.helpers.reports import report
from tests.helpers.tool import Built


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
        update(known, report(int8=worse), Gates(), accept=None)
    assert words in caught.value.message


def test_the_headline_says_what_was_simulated(
    reported: Callable[..., tuple[Path, Path]],
) -> None:
    made = report()
    nothing = {"latency": None, "speedup": None, "memory": None}
    new = replace(made, engines=tuple(replace(row, **nothing) for row in made.engines))
    path, known = reported(new)
    baseline.save(baseline.of_report(new, Gates()), known)
    (checked,) = check.check([path], against=known)
    assert checked.exit_code == 0
    assert checked.headline == "no regression in simulation, accuracy not measured"


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
    checked = check.check([copied.folder], against=known, time_again=time_again)[0]
    speed = next(finding for finding in checked.findings if finding.metric == "speed")
    assert speed.verdict == "pass" and "measured again; at first 0.5 x" in speed.message
    once = check.check([copied.folder], against=known)[0]
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
    checked = check.check([copied.folder], against=known, time_again=time_again)[0]
    assert checked.exit_code == 11
    assert not any("measured again" in finding.message for finding in checked.findings)


def test_an_unknown_limit_of_the_api(reported: Callable[..., tuple[Path, Path]]) -> None:
    path, known = reported(report())
    with pytest.raises(TargetError, match="max_drop_pp is -1"):
        check.check([path], against=known, limits={"max_drop_pp": -1})


def test_what_lies_about_the_limit_is_timed_once_more_and_nothing_else(
    reported: Callable[..., tuple[Path, Path]],
) -> None:
    """Memory grew and the speed is not there: the memory alone may be noise."""
    made = report()
    here = {**made.environment, "fingerprint": environment.collect().fingerprint}
    made = replace(made, environment=here)
    row = made.engines[1]
    assert row.memory is not None
    bigger = replace(row.memory, steady_bytes=2 * row.memory.steady_bytes)
    slow = replace(made, engines=(made.engines[0], replace(row, memory=bigger, speedup=None)))
    path, known = reported(slow)
    baseline.save(baseline.of_report(made, Gates()), known)
    (path.parent / "manifest.json").write_text("{}")
    factors = []

    def once_more(path: Path, report: RunReport, *, factor: float, events: object) -> RunReport:
        factors.append(factor)
        return replace(slow, engines=(made.engines[0], replace(row, speedup=None)))

    (checked,) = check.check([path], against=known, time_again=once_more)
    messages = {finding.metric: finding.message for finding in checked.findings}
    assert factors == [2.0]
    assert messages["memory steady"].endswith("(measured again; at first 220 MiB)")
    assert checked.exit_code == 12 and "measured again" not in messages["speed"]
    (path.parent / "manifest.json").unlink()
    (checked,) = check.check([path], against=known, time_again=once_more)
    messages = {finding.metric: finding.message for finding in checked.findings}
    assert factors == [2.0] and "not measured again" in messages["memory steady"]
    assert "measured again" not in messages["speed"]
