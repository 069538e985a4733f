"""`compare`: a difference, none, or that nobody can tell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.gate import regression
from edge_scnet.report import comparison
from edge_scnet.report.metric_comparison import Comparison
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import save_report
from edge_scnet.stats.figures import AccuracyStats, Metric, RatioStats, TaskStats
from edge_scnet.stats.timing import paired_ratio
from tests.helpers.reports import engine, logits, report
from tests.helpers.tool import Run


def ratio(value: float, low: float | None, high: float | None) -> RatioStats:
    return RatioStats(ratio=value, low=low, high=high, rounds=20, low99=low, high99=high)


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (1.02, 1.06, "B"),
        (0.94, 0.98, "A"),
        (0.99, 1.01, "same"),
        (0.985, 1.02, "same"),
        (1.005, 1.02, "same"),  # a difference, but of no account
        (0.95, 1.05, "unknown"),
        (1.005, 1.08, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_which_is_faster(low: float | None, high: float | None, answer: str) -> None:
    assert comparison.faster(ratio(1.0, low, high)) == answer


def test_the_sentence_gives_speed_and_interval_the_same_way_round() -> None:
    assert (
        comparison.ratio_words(ratio(1.25, 1.2, 1.3), "A", "B")
        == "B is faster: 1.250x A's speed (99 %: 1.200 to 1.300, 20 rounds)"
    )
    assert (
        comparison.ratio_words(ratio(0.8, 0.75, 0.85), "A", "B")
        == "A is faster: 1.250x B's speed (99 %: 1.176 to 1.333, 20 rounds)"
    )
    assert comparison.ratio_words(ratio(1.0, 0.995, 1.005), "A", "B").startswith(
        "no difference above 3 %"
    )
    assert "measure longer" in comparison.ratio_words(ratio(1.0, 0.9, 1.1), "A", "B")


def test_a_test_of_noise_alone_finds_nothing_in_it() -> None:
    """200 comparisons of noise with itself: at 1 % and a least difference of 1 %, next to none may
    be called one.
    """
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(200):
        drift = np.repeat(rng.uniform(0.8, 1.2, 20), 10).reshape(
            20, 10
        )  # of the machine, common to a round
        blocks = [
            (1e6 * drift * rng.lognormal(0, 0.05, (20, 10))).astype(int).tolist() for _ in range(2)
        ]
        alarms += comparison.faster(paired_ratio(*blocks)) in ("A", "B")
    assert alarms <= 1


def figures(a: RunReport, b: RunReport, **options: Any) -> dict[str, Comparison]:
    return {row.figure: row for row in comparison.compare(a, b, **options)}


def test_a_report_and_itself() -> None:
    found = figures(report(), report())
    assert set(found) == {
        "top-1",
        "agreement with FP32",
        "SQNR",
        "latency p50",
        "size",
        "memory steady",
    }
    answers = {figure: row.better for figure, row in found.items()}
    assert answers.pop("latency p50") == "unknown"  # two runs: their intervals overlap
    assert set(answers.values()) == {"same"}


def test_accuracy_is_paired() -> None:
    reference, labels = logits()
    scores = reference.copy()
    scores[300:340, :] = np.roll(scores[300:340], 1, axis=1)
    made = report()
    worse = replace(made, engines=(made.engines[0], engine("int8", scores, reference, labels)))
    found = figures(made, worse)["top-1"]
    assert found.better == "A" and "40 lost, 0 won of 2,000" in found.message
    assert figures(worse, made)["top-1"].better == "B"
    other = replace(made, evaluation=replace(made.evaluation, images_sha256="z" * 64))
    assert figures(made, other)["top-1"].better == "skipped"


def test_a_labelled_and_an_unlabelled_report_are_compared_as_far_as_it_goes() -> None:
    assert regression.changes(report(), report(labelled=False)) == []
    assert "SQNR" in figures(report(), report(labelled=False))


def of_task(f1: float, *, task: str = "multilabel") -> RunReport:
    """INT8 keeps mAP, and has another F1."""
    figures = {"unit": "%", "reference": 90.0, "higher_is_better": True}
    metrics = tuple(
        Metric(
            name=name,
            value=value,
            loss=90.0 - value,
            loss_low=89.8 - value,
            loss_high=90.2 - value,
            **figures,
        )
        for name, value in (("mAP", 89.9), ("F1", f1))
    )
    stats = TaskStats(task=task, samples=2000, truth="a table", metrics=metrics)
    accuracy = AccuracyStats(
        images=2000, agreement_percent=None, agreeing=None, sqnr_db=30.0, labels=None, task=stats
    )
    return report(int8={"accuracy": accuracy, "first_classes": None})


def test_each_figure_of_a_task_is_compared() -> None:
    found = figures(of_task(89.5), of_task(80.0))
    assert found["mAP"].better == "same" and found["F1"].better == "A"
    assert "-9.5 pp (-9.78 to -9.22 pp" in found["F1"].message


def test_engines_judged_by_different_tasks_are_not_compared() -> None:
    found = figures(of_task(89.5), of_task(89.5, task="detection"))
    assert "mAP" not in found and found["task"].better == "skipped"
    assert "A is judged as multilabel, B as detection" in found["task"].message
    assert "B as classification" in figures(of_task(89.5), report())["task"].message


def speed(value: float, *, spread: float = 0.01, **changes: Any) -> RunReport:
    stats = RatioStats(ratio=value, low=value * (1 - spread), high=value * (1 + spread), rounds=12)
    return report(int8={"speedup": stats}, **changes)


def test_separate_runs_are_compared_through_their_common_reference() -> None:
    assert figures(speed(1.5), speed(1.7))["latency p50"].better == "B"
    # beyond their own intervals, and within what other processes of the same engines would have
    # given
    assert (
        figures(speed(1.5, spread=0.002), speed(1.55, spread=0.002))["latency p50"].better
        == "unknown"
    )
    assert figures(speed(1.7), speed(1.5))["latency p50"].better == "A"
    unclear = figures(speed(1.5), speed(1.52))["latency p50"]
    assert unclear.better == "unknown" and "--interleave" in unclear.message
    made = speed(1.6)
    other = replace(made, engines=(replace(made.engines[0], sha256="b" * 64), made.engines[1]))
    assert (
        figures(speed(1.5), other)["latency p50"].better == "unknown"
    )  # against another FP32 engine


def test_throughputs_of_separate_runs_are_compared_the_same_way() -> None:
    def with_rate(ratio: float) -> RunReport:
        stats = RatioStats(ratio=ratio, low=ratio - 0.01, high=ratio + 0.01, rounds=12)
        return speed_report(throughput_ratio=stats)

    def speed_report(**int8: Any) -> RunReport:
        return report(int8={"speedup": speed(1.5).engines[1].speedup, **int8})

    assert figures(with_rate(1.5), with_rate(1.8))["throughput"].better == "B"
    assert figures(with_rate(1.5), with_rate(1.52))["throughput"].better == "unknown"
    assert "throughput" not in figures(with_rate(1.5), speed_report())


def test_other_machines_are_refused_or_marked() -> None:
    elsewhere = speed(3.0, environment={**report().environment, "fingerprint": "z" * 64})
    found = figures(report(), elsewhere)
    assert found["latency p50"].better == "skipped" and "memory steady" not in found
    assert (
        "Different machines!"
        in figures(report(), elsewhere, across_machines=True)["latency p50"].message
    )


def test_the_command(invoke: Run, tmp_path: Path) -> None:
    for name, made in (("a", report()), ("b", report(noise=0.2)), ("c", report())):
        (tmp_path / name).mkdir()
        save_report(made, tmp_path / name / "report.json")
    outcome = invoke("compare", *(tmp_path / name for name in "abc"))
    assert outcome.code == 0 and outcome.stdout.count("no difference") > 4
    rows = json.loads(invoke("compare", *(tmp_path / name for name in "ab"), "--json").stdout)[
        "comparisons"
    ]
    assert {f["figure"]: f["better"] for f in rows[0]["figures"]}["SQNR"] == "A"
    assert invoke("compare", tmp_path / "a").code == 2
    assert invoke("compare", tmp_path / "a", tmp_path / "none").code == 6


def test_a_report_of_an_interrupted_run_is_not_compared(invoke: Run, tmp_path: Path) -> None:
    save_report(report(), tmp_path / "whole.json")
    save_report(report(complete=False), tmp_path / "report.partial.json")
    outcome = invoke("compare", tmp_path / "whole.json", tmp_path / "report.partial.json")
    assert outcome.code == 6 and "report.partial.json is of an interrupted run" in outcome.stderr
