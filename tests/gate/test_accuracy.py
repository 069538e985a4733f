"""Accuracy against the baseline, image by image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_scnet.core.packing import pack_classes
from edge_scnet.gate.accuracy import _are_old_features
from edge_scnet.report.findings import exit_code
from edge_scnet.report.run_report import RunReport, accuracy_row
from edge_scnet.stats.figures import Metric, TaskStats
from tests.helpers.reports import IMAGES, engine, failed, findings, logits, report


def with_lost(count: int, *, won: int = 0) -> RunReport:
    """The INT8 engine gets `count` right images wrong, and `won` wrong ones right."""
    reference, labels = logits()
    scores = reference.copy()
    right = np.flatnonzero(reference.argmax(axis=1) == labels)[:count]
    scores[right, labels[right]] -= 100
    wrong = np.flatnonzero(reference.argmax(axis=1) != labels)[:won]
    scores[wrong, labels[wrong]] += 100
    made = report()
    return replace(made, engines=(made.engines[0], engine("int8", scores, reference, labels)))


def test_accuracy_lost_against_the_baseline_is_paired_image_by_image():
    found = findings(with_lost(40), max_drop_pp=100, max_sqnr_fall_db=200)
    assert failed(found) == ["top-1 to baseline", "agreement to baseline"]
    assert found["top-1 to baseline"].measured == pytest.approx(2.0)
    assert found["top-1 to baseline"].exit_code == 10
    assert "40 lost, 0 won" in found["top-1 to baseline"].message
    # as many lost as won: no drop, but the agreement has fallen by both
    even = findings(with_lost(40, won=40), max_drop_pp=100, max_sqnr_fall_db=200)
    assert even["top-1 to baseline"].measured == 0
    assert failed(even) == ["agreement to baseline"]


def test_too_few_images_to_tell_is_neither_pass_nor_fail():
    found = findings(with_lost(8), max_drop_pp=100, max_sqnr_fall_db=200)["top-1 to baseline"]
    assert (found.verdict, found.exit_code) == ("inconclusive", 13)
    assert "use about" in found.message


def test_what_got_better_passes_and_says_so():
    worse, better = with_lost(40), report()
    found = findings(better, worse)
    assert not failed(found)
    assert found["top-1 to baseline"].improved and found["SQNR"].improved


def test_noise_alone_is_seen_by_the_sqnr():
    found = findings(report(noise=0.08))
    assert failed(found) == ["SQNR"]
    assert not failed(findings(report(noise=0.055)))


def test_accuracy_that_is_no_more_measured():
    found = findings(report(int8={"accuracy": None, "first_classes": None}))
    assert failed(found) == ["accuracy"]


def test_without_labels_the_agreement_is_judged():
    old = report(labelled=False)
    assert not failed(findings(report(labelled=False), old))
    scores, _ = logits()
    scores[:40] = np.roll(scores[:40], 1, axis=1)
    changed = replace(old, engines=(old.engines[0], engine("int8", scores, logits()[0], None)))
    found = findings(changed, old, min_agreement_percent=0, max_sqnr_fall_db=200)
    assert failed(found) == ["agreement to baseline"]


def test_a_report_of_a_quantized_file_alone_passes_for_no_accuracy():
    """Its reference is its own graph without rounding, and no float model."""
    passing = findings(report())
    assert passing["top-1 drop"].verdict == "pass"
    alone = findings(replace(report(), dequantized=True))
    assert (alone["top-1 drop"].verdict, alone["top-1 drop"].exit_code) == ("inconclusive", 13)
    assert alone["top-1 drop"].message.startswith("The model was given quantized")


def test_damaged_classes_are_an_error_and_no_verdict():
    with pytest.raises(ValueError, match="packed values are damaged"):
        findings(report(int8={"first_classes": "<u1:????"}))
    with pytest.raises(ValueError, match=f"not of {IMAGES} bytes"):
        findings(report(int8={"first_classes": pack_classes([1, 2, 3])}))


def test_an_older_report_of_outputs_without_a_meaning_is_held_to_its_sqnr() -> None:
    unclassed = replace(
        accuracy_row(report()).accuracy, agreement_percent=None, agreeing=None, labels=None
    )
    metric = Metric(
        name="SQNR", unit="dB", value=30.0, reference=None, higher_is_better=True, loss=-30.0
    )
    task = TaskStats(task="features", samples=2000, truth=None, metrics=(metric,))
    assert _are_old_features(replace(unclassed, task=task), unclassed)
    assert not _are_old_features(
        replace(unclassed, task=replace(task, task="regression")), unclassed
    )
    assert not _are_old_features(replace(unclassed, task=task), accuracy_row(report()).accuracy)


def simulated(made: RunReport) -> RunReport:
    """The report of a workstation, on which the plan cannot be executed."""
    nothing = {"latency": None, "speedup": None, "memory": None, "throughput_per_second": None}
    return replace(made, engines=tuple(replace(row, **nothing) for row in made.engines))


def timed_on_the_board(made: RunReport) -> RunReport:
    """A simulated report with the plan's times through trtexec, which sees no outputs."""
    plan = replace(made.engines[1], name="int8 plan", accuracy=None, first_classes=None)
    return replace(made, engines=(*simulated(made).engines, plan))


def test_simulated_accuracy_is_held_to_a_simulated_baseline_and_said_to_be() -> None:
    known = simulated(report())
    found = findings(known, known)
    assert exit_code(tuple(found.values())) == 0
    assert found["top-1 drop"].message.startswith("Simulated: ")
    assert found["top-1 to baseline"].message.startswith("Simulated: ")
    told = found["accuracy on the board"]
    assert told.verdict == "skipped" and "edge-scnet compile bundle.tar.gz" in told.message
    worse = findings(simulated(with_lost(40)), known, max_drop_pp=100)
    assert "top-1 to baseline" in failed(worse)
    assert "accuracy on the board" not in findings(report())


@pytest.mark.parametrize("how", ["timed plan", "measured baseline"])
def test_simulated_accuracy_does_not_pass_for_what_was_or_could_be_measured(how: str) -> None:
    """Of a plan that was timed nobody saw the outputs; or the baseline's were measured."""
    known = timed_on_the_board(report()) if how == "timed plan" else report()
    new = known if how == "timed plan" else simulated(known)
    found = findings(new, known)
    first = found["top-1 drop"]
    assert (first.verdict, first.exit_code) == ("inconclusive", 13)
    assert "simulated, not measured on the board: edge-scnet profile" in first.message
    assert exit_code(tuple(found.values())) == 13
