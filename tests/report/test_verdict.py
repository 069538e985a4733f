"""Three verdicts, their exit codes, and the number of images that would decide."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_scnet.config.target import Gates, load_target
from edge_scnet.report.findings import Finding, exit_code
from edge_scnet.report.run_report import EngineReport
from edge_scnet.report.verdict import judge, judge_accuracy, reference_doubts, verdict
from edge_scnet.stats.accuracy import accuracy_stats, output_stats
from edge_scnet.stats.figures import AccuracyStats
from edge_scnet.stats.timing import latency_stats
from tests.helpers.reports import report


def _stats(images: int, *, lost: int = 0, won: int = 0) -> AccuracyStats:
    """An engine and a reference with exactly these discordant images, out of two classes."""
    labels = np.arange(images) % 2  # of one class alone they would prove nothing
    mine, reference = np.eye(2)[labels], np.eye(2)[labels]
    mine[:lost] = 1.0 - mine[:lost]
    reference[lost : lost + won] = 1.0 - reference[lost : lost + won]
    return accuracy_stats(mine, reference, labels)


def _unlabelled(images: int, *, differing: int) -> AccuracyStats:
    reference = np.eye(2)[np.arange(images) % 2]
    mine = reference.copy()
    mine[:differing] = 1.0 - mine[:differing]
    return accuracy_stats(mine, reference)


def _judge(stats: AccuracyStats, *, drop: float = 0.5, agreement: float | None = 99.0) -> Finding:
    return judge_accuracy(stats, Gates(max_drop_pp=drop, min_agreement_percent=agreement))


def _advised(finding: Finding) -> int:
    match = re.search(r"use about ([\d,]+)", finding.message)
    assert match, finding.message
    return int(match[1].replace(",", ""))


@pytest.mark.parametrize(
    ("images", "lost", "won", "verdict", "code"),
    [
        (10_000, 0, 0, "pass", 0),
        (10_000, 25, 20, "pass", 0),
        (10_000, 5, 60, "pass", 0),  # better than the reference
        (10_000, 120, 20, "fail", 10),
        (500, 40, 0, "fail", 10),
        (500, 0, 0, "inconclusive", 13),  # up to 0.54 pp could be lost
        (500, 4, 0, "inconclusive", 13),  # 0.8 pp, but noise explains it
        (10_000, 60, 25, "inconclusive", 13),
    ],
)
def test_labelled_verdicts(images: int, lost: int, won: int, verdict: str, code: int):
    finding = _judge(_stats(images, lost=lost, won=won))
    assert (finding.verdict, finding.exit_code) == (verdict, code)
    assert (finding.metric, finding.measured, finding.limit, finding.unit) == (
        "top-1 drop",
        pytest.approx(100 * (lost - won) / images),
        0.5,
        "pp",
    )


def test_verdicts_follow_the_bounds_exactly():
    stats = _stats(2000, lost=12, won=5)
    assert stats.labels is not None
    upper, lower = stats.labels.drop_upper95_pp, stats.labels.drop_lower95_pp
    assert _judge(stats, drop=upper).verdict == "pass"
    assert _judge(stats, drop=upper - 1e-9).verdict == "inconclusive"
    assert _judge(stats, drop=lower).verdict == "inconclusive"
    assert _judge(stats, drop=lower - 1e-9).verdict == "fail"


def test_the_advised_number_of_images_is_by_hand_when_nothing_differs():
    # The upper bound z² / (n + z²) is 0.5 % at n = 2.70554 * 199 = 538.4; two digits, upwards.
    finding = _judge(_stats(500))
    assert "these 500 images cannot exclude a loss of 0.5 pp" in finding.message
    assert _advised(finding) == 540
    assert _judge(_stats(538)).verdict == "inconclusive"
    assert _judge(_stats(539)).verdict == "pass"


@pytest.mark.parametrize(("lost", "won"), [(2, 0), (3, 1), (9, 8), (5, 1), (8, 1)])
def test_the_advised_number_decides_when_the_shares_stay(lost: int, won: int):
    finding = _judge(_stats(1000, lost=lost, won=won))
    assert finding.verdict == "inconclusive"
    times = -(-_advised(finding) // 1000)
    decided = _judge(_stats(1000 * times, lost=lost * times, won=won * times)).verdict
    assert decided == ("pass" if lost - won < 5 else "fail")
    assert ("exclude" if lost - won < 5 else "prove") in finding.message


def test_an_estimate_at_the_limit_gets_no_number():
    assert "some thousands" in _judge(_stats(1000, lost=5)).message
    assert "some thousands" in _judge(_stats(1000), drop=0.0).message


def test_messages_say_which_way_and_how_sure():
    assert (
        "fell by 1.00 pp on 10,000 images (120 lost, 20 won)"
        in _judge(_stats(10_000, lost=120, won=20)).message
    )
    assert "rose by 0.55 pp" in _judge(_stats(10_000, lost=5, won=60)).message
    assert (
        _judge(_stats(10_000)).message
        == "Top-1 is equal on 10,000 images (0 lost, 0 won); the drop is at most 0.03 pp with 95 %"
        " confidence, within the limit of 0.5 pp."
    )


@pytest.mark.parametrize(
    ("images", "differing", "verdict", "code"),
    [
        (10_000, 40, "pass", 0),
        (10_000, 140, "fail", 10),
        (10_000, 105, "inconclusive", 13),
        (200, 0, "inconclusive", 13),  # Wilson: up to 1.3 % may differ
        (300, 0, "pass", 0),
        (200, 3, "inconclusive", 13),
        (200, 12, "fail", 10),
    ],
)
def test_unlabelled_verdicts(images: int, differing: int, verdict: str, code: int):
    finding = _judge(_unlabelled(images, differing=differing))
    assert (finding.metric, finding.verdict, finding.exit_code, finding.limit) == (
        "agreement",
        verdict,
        code,
        99.0,
    )
    assert finding.measured == pytest.approx(100 - 100 * differing / images)


def test_unlabelled_advice_is_by_hand():
    # Nothing differs: z² / (n + z²) is 1 % at n = 2.70554 * 99 = 267.8.
    assert _advised(_judge(_unlabelled(200, differing=0))) == 270
    assert _judge(_unlabelled(267, differing=0)).verdict == "inconclusive"
    assert _judge(_unlabelled(268, differing=0)).verdict == "pass"


def test_unlabelled_extreme_limits():
    assert _judge(_unlabelled(50, differing=50), agreement=0.0).verdict == "pass"
    assert _judge(_unlabelled(50, differing=0), agreement=100.0).verdict == "inconclusive"
    assert _judge(_unlabelled(50, differing=1), agreement=100.0).verdict == "fail"
    nothing_to_judge = _judge(_unlabelled(50, differing=0), agreement=None)
    assert (nothing_to_judge.verdict, nothing_to_judge.exit_code) == ("inconclusive", 13)


def test_the_disagreement_bounds_the_drop():
    generator = np.random.default_rng(3)
    for _ in range(50):
        mine, reference = generator.normal(size=(2, 40, 3))
        stats = accuracy_stats(mine, reference, generator.integers(0, 3, 40))
        assert stats.labels is not None
        assert stats.labels.drop_pp <= 100 - stats.agreement_percent + 1e-9


def test_exit_codes_accuracy_first_inconclusive_last():
    passed, failed = _judge(_stats(10_000)), _judge(_stats(500, lost=40))
    unsure = _judge(_stats(500))
    latency = replace(passed, metric="latency", verdict="fail", exit_code=11)
    assert exit_code([]) == exit_code([passed, passed]) == 0
    assert exit_code([passed, unsure]) == 13
    assert exit_code([unsure, failed, passed]) == exit_code([latency, failed]) == 10
    assert exit_code([unsure, latency]) == 11


def test_accuracy_goes_before_speed_and_speed_before_doubt() -> None:
    slow = replace(_judge(_stats(10_000)), kind="speed", verdict="fail", exit_code=11)
    assert exit_code([finding_of("fail", 10), slow]) == 10
    assert exit_code([finding_of("inconclusive", 13), slow]) == 11


def finding_of(verdict: str, code: int) -> Finding:
    return Finding(
        kind="accuracy",
        metric="top-1 drop",
        measured=1,
        limit=0,
        unit="pp",
        verdict=verdict,
        message="",
        exit_code=code,
    )


def test_feature_maps_are_judged_by_sqnr_where_a_limit_is_set() -> None:
    stats = output_stats(10, signal_power=[1000.0, 1.0], noise_power=[1.0, 0.1])
    assert (
        stats.sqnr_db == pytest.approx(10.0) and stats.agreement_percent is None
    )  # the worst output's
    limits = {None: ("inconclusive", 13), 9.0: ("pass", 0), 11.0: ("fail", 10)}
    for limit, expected in limits.items():
        found = judge_accuracy(stats, Gates(min_sqnr_db=limit))
        assert (found.verdict, found.exit_code) == expected
    assert output_stats(1, signal_power=[1.0], noise_power=[0.0]).sqnr_db is None


def timed(row: EngineReport, ms: float, rate: float, **changes: Any) -> EngineReport:
    """A row of twelve rounds without noise."""
    latency = latency_stats([[round(1e6 * ms)] * 9] * 12)
    return replace(row, latency=latency, throughput_windows=(rate,) * 12, **changes)


@pytest.mark.parametrize(
    ("int8", "default", "code", "headline"),
    [
        ((0.5, 200), (1.0, 100), 0, "ship INT8: 2.00x (2.00 to 2.00) FP32's speed at batch 1"),
        ((0.5, 200), (0.4, 250), 11, "do not ship: "),
        # the runtime's own choice counts: in BF16 it is as fast
        ((0.5, 200), (0.5, 200), 13, "not proven to be faster: 2.00x"),
        ((1.1, 200), (1.0, 100), 13, "not proven to be faster: 0.91x"),
        ((0.5, 90), (1.0, 100), 13, "not proven to be faster: 2.00x"),
    ],
)
def test_ship_takes_a_proof_of_speed(
    int8: tuple[float, float], default: tuple[float, float], code: int, headline: str
) -> None:
    reference, engine = report().engines
    rows = [
        timed(reference, 1.0, 100),
        timed(reference, *default, name="default", role="default"),
        timed(engine, *int8),
    ]
    findings = judge(rows, load_target("cpu"))
    assert [finding.kind for finding in findings] == ["accuracy", "speed"]
    assert findings[0].verdict == "pass" and exit_code(findings) == code
    assert verdict(findings).startswith(headline)


@pytest.mark.parametrize("requires", [True, False])
def test_an_engine_of_which_int8_is_required_and_not_proven_is_not_shipped(requires: bool) -> None:
    reference, engine = report().engines
    rows = [timed(reference, 1.0, 100), timed(engine, 0.5, 200, not_int8=("fc", "conv9"))]
    findings = judge(rows, replace(load_target("cpu"), require_int8=requires))
    assert exit_code(findings) == (13 if requires else 0)
    if requires:
        assert verdict(findings).startswith(
            "not proven: The target requires INT8, and of 2 layers it is not proven (fc, conv9)"
        )


def test_what_is_proven_neither_accurate_nor_faster_says_both() -> None:
    reference, engine = report().engines
    rows = [timed(reference, 1.0, 100), timed(engine, 1.0, 100)]
    target = load_target("cpu")
    target = replace(target, gates=replace(target.gates, max_drop_pp=0.0))
    words = verdict(judge(rows, target))
    assert words.startswith("not proven: Top-1 ") and "no difference worth the name" in words


def test_accuracy_that_was_only_simulated_ships_no_plan() -> None:
    rows = report().engines
    simulated = [replace(row, latency=None) for row in rows]
    timed = [replace(row, accuracy=None) for row in rows]
    target = load_target("jetson")
    (alone,) = judge(simulated, target)
    assert alone.verdict == "pass" and verdict([alone]).startswith("accurate in simulation")
    findings = judge([*simulated, *timed], target)
    assert findings[0].verdict == "inconclusive" and exit_code(findings) == 13
    assert verdict(findings).startswith("not proven: The accuracy was simulated, not measured on")


def test_what_fp32_says_of_itself_is_of_all_engines() -> None:
    rows = report().engines
    assert reference_doubts(rows) == reference_doubts(()) == ()
    assert rows[0].accuracy is not None and rows[1].accuracy is not None
    doubted = replace(rows[0], accuracy=replace(rows[0].accuracy, doubts=("at chance",)))
    assert reference_doubts((doubted, rows[1])) == ("at chance",)
    # one of the INT8 engine alone, which other engines need not have
    doubted = replace(rows[1], accuracy=replace(rows[1].accuracy, doubts=("one class",)))
    assert reference_doubts((rows[0], doubted)) == ()


def test_engines_that_nothing_judged_are_not_proven() -> None:
    rows = [replace(row, accuracy=None) for row in report().engines]
    accuracy, speed = judge(rows, load_target("cpu"))
    assert (accuracy.kind, accuracy.verdict, speed.kind) == ("accuracy", "inconclusive", "speed")
    assert exit_code([accuracy, replace(speed, verdict="pass", exit_code=0)]) == 13
    assert verdict([accuracy, speed]).startswith("not judged: no evaluation images. INT8 has")
