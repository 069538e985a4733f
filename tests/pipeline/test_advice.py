"""What a build that misses its limit says of the modules that cost it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.config.target import Gates, load_target
from edge_scnet.core.events import Silent
from edge_scnet.errors import BackendError
from edge_scnet.pipeline import advice, measuring, search
from edge_scnet.report.verdict import judge
from edge_scnet.sensitivity.noise import ModuleNoise, Sensitivities
from edge_scnet.sensitivity.result import Candidate, Limit, SearchResult
from edge_scnet.stats.figures import AccuracyStats, Metric, TaskStats
from tests.helpers.reports import report
from tests.helpers.tool import Built, Outcome

MODULES = tuple(
    ModuleNoise(node=name, share=share, multiply_adds=10)
    for name, share in (("a", 0.9), ("b", 0.5), ("c", 0.1))
)


def candidate(*names: str, db: float, ratio: float | None = 1.0) -> Candidate:
    return Candidate(
        keep_float=names,
        sqnr_db=db,
        drop_upper95_pp=None,
        time_ratio=ratio,
        time_low=None if ratio is None else ratio - 0.01,
        time_high=None if ratio is None else ratio + 0.01,
        float_work=len(names) / 3,
        images=100,
    )


def result(*candidates: Candidate, chosen: Candidate | None) -> SearchResult:
    return SearchResult(
        sensitivities=Sensitivities(noise=0.1, modules=MODULES, images=12),
        candidates=candidates,
        chosen=chosen,
        seconds=5.0,
        finished=True,
    )


def labelled(**figures: Any) -> AccuracyStats:
    stats = report().engines[-1].accuracy
    assert stats is not None and stats.labels is not None
    return replace(stats, images=10_000, labels=replace(stats.labels, **figures))


def test_the_noise_that_must_go_follows_from_the_drop() -> None:
    gates = Gates(max_drop_pp=0.5)
    # twice the limit: half the amplitude
    assert advice.limit_of(gates, labelled(drop_upper95_pp=1.0)) == Limit(min_gain_db=6.0)
    assert advice.limit_of(gates, labelled(drop_upper95_pp=50.0)) == Limit(min_gain_db=12.0)
    assert advice.limit_of(gates, labelled(drop_upper95_pp=0.51)) == Limit(min_gain_db=3.0)
    # so few images show it of no engine
    few = replace(labelled(drop_upper95_pp=5.0), images=100)
    assert advice.limit_of(gates, few) is None
    unlabelled = replace(labelled(), labels=None, agreement_percent=96.0)
    assert advice.limit_of(Gates(min_agreement_percent=99.0), unlabelled) == Limit(min_gain_db=12.0)
    assert advice.limit_of(Gates(min_agreement_percent=None), unlabelled) is None


def test_without_a_limit_in_the_target_no_mix_is_looked_for() -> None:
    """Outputs that are judged by their SQNR have none by default."""
    metric = Metric(
        name="SQNR", unit="dB", value=12.0, reference=None, higher_is_better=True, loss=-12.0
    )
    task = TaskStats(task="features", samples=80, truth=None, metrics=(metric,))
    stats = replace(labelled(), labels=None, agreement_percent=None, task=task)
    assert advice.limit_of(Gates(min_sqnr_db=None), stats) is None
    assert advice.limit_of(Gates(min_sqnr_db=20.0), stats) == Limit(max_drop_pp=0.5)
    known = replace(stats, task=replace(task, truth="masks"))
    assert advice.limit_of(Gates(min_sqnr_db=None), known) == Limit(max_drop_pp=0.5)


def test_the_mix_that_was_chosen_is_told_or_the_closest() -> None:
    base, near, far = candidate(db=12.0), candidate("a", db=20.0, ratio=1.02), candidate("c", db=13)
    kept, limit = result(base, far, near, chosen=near), Limit(min_gain_db=6.0)
    told = advice.mixed_of(kept, limit, "edge-scnet build n.onnx", 9.96)
    assert told is not None and [module.name for module in told.modules] == ["a"]
    assert told.modules[0].noise_percent == pytest.approx(60.0)
    assert (told.keeps_limit, told.time_ratio, told.time_low, told.seconds) == (
        True,
        1.02,
        1.01,
        10,
    )
    assert told.command == "edge-scnet build n.onnx --search 120"
    missed = advice.mixed_of(
        result(base, far, near, chosen=None), Limit(max_drop_pp=0.5), "edge_scnet.build(...)", 1.0
    )
    assert missed is not None and not missed.keeps_limit and missed.modules == told.modules
    assert missed.command == "edge_scnet.build(..., search_seconds=120)"
    # nothing but all INT8 was measured, or it keeps the limit on these images
    for chosen in (None, base):
        assert advice.mixed_of(result(base, chosen=chosen), Limit(), "edge-scnet", 1.0) is None


@pytest.mark.parametrize("minutes", [None, 5.0])
def test_the_mix_of_a_recovered_build_is_told_to_be_of_the_graph_before_it(
    minutes: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = candidate("a", db=20.0)
    found = result(candidate(db=12.0), chosen, chosen=chosen)
    monkeypatch.setattr(search, "check_measurable", lambda *_: None)
    monkeypatch.setattr(search, "search_job", lambda *_, **__: found)
    monkeypatch.setattr(advice, "limit_of", lambda *_: Limit(min_gain_db=6.0))
    monkeypatch.setattr(advice, "_with", lambda job, report, mixed: mixed)
    job: Any = SimpleNamespace(
        target=load_target("cpu"), runtime=None, calibration=range(320), recover_minutes=minutes
    )
    request: Any = SimpleNamespace(max_drop_pp=None, command="edge-scnet build n.onnx")
    built: Any = SimpleNamespace(report=report())
    mixed: Any = advice.advised(job, request, built, Silent())
    assert mixed.limit.endswith(", both before --recover") is (minutes is not None)


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_a_build_that_misses_its_limit_says_what_float_would_cost(
    copied: Built,
    eval_20: Path,
    invoke: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    fails: bool,
) -> None:
    chosen = candidate("a", db=20.0, ratio=1.02)

    def found(*_: object, **options: Any) -> SearchResult:
        assert options["budget_s"] is None and options["limit"] == Limit(min_gain_db=6.0)
        if fails:
            raise BackendError("the runtime refuses a mix")
        return result(candidate(db=12.0), chosen, chosen=chosen)

    monkeypatch.setattr(search, "search_job", found)
    # twenty images show no drop: as if there were more
    monkeypatch.setattr(advice, "limit_of", lambda *_: Limit(min_gain_db=6.0))
    monkeypatch.setattr(
        measuring,
        "judge",
        lambda rows, target: [f for f in judge(rows, target) if f.metric != "speed"],
    )
    outcome = invoke(
        *("build", "--calib", copied.calib, "--eval", eval_20, "--seconds", "0.1"),
        *("--out", copied.folder.parents[1], "--max-drop", "0.01"),
    )
    assert outcome.code in (10, 13), outcome.stderr
    page = (copied.folder / "report.html").read_text()
    if fails:
        assert "not known: the runtime refuses a mix" in outcome.stderr
        assert "mixed precision" not in outcome.stdout + page
        return
    told = " ".join(outcome.stdout.split())
    pattern = r"to build and judge it, with [\d,]+ or more calibration images, .*: edge-scnet "
    assert re.search(pattern, told)
    assert " --search 120" in outcome.stdout
    for text in (outcome.stdout, page):
        assert "mixed precision: 1 of 3 modules causes 60 % of INT8" in text
        assert "measured time: 1.02x" in " ".join(text.split())
    assert '"of_modules": 3' in (copied.folder / "report.json").read_text()
