"""A report against a baseline: findings, exact where facts can be compared exactly, paired where
chance has a part. Pure.

Accuracy is compared on the same images, image by image, and has three verdicts as in `gate.py`. A
fact (a scale, the codes of a layer, how many convolutions execute in INT8) has no chance in it:
kernels of another CPU may move a scale by a fraction of a percent, a fault moves it by far more.
Time is compared as the ratio to the reference timed in the same run, on one machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edge_scnet.config.target import Gates
from edge_scnet.core.provenance import Provenance
from edge_scnet.gate import accuracy as regression_accuracy
from edge_scnet.gate import cost as regression_speed
from edge_scnet.gate import quantization as regression_facts
from edge_scnet.report.findings import Finding, incomparable, skipped
from edge_scnet.report.run_report import (
    EvaluationSet,
    RunReport,
    accuracy_row,
    board_mode,
    same_machine,
    timed_row,
)


def compare(report: RunReport, baseline: RunReport, *, limits: Gates) -> tuple[Finding, ...]:
    """All findings; those that nothing is comparable by stand alone.

    What the baseline knows and the report does not is a finding: a check must not end because a
    figure is missing.

    Raises:
        ValueError: packed classes that are damaged.
    """
    if stopping := tuple(_incomparable(report, baseline)):
        return stopping
    causes = changes(report, baseline)
    findings = [
        *_inputs(report, baseline),
        *regression_accuracy.compare(report, baseline, limits),
        *regression_facts.compare(
            report, baseline, limits, judged=not _other_inputs(report, baseline)
        ),
        *regression_speed.compare(report, baseline, limits),
    ]
    cause = "; ".join(causes) or None
    return tuple(
        replace(f, cause=cause) if f.verdict in ("fail", "inconclusive") else f for f in findings
    )


def changes(report: RunReport, baseline: RunReport) -> list[str]:
    """What else is not as it was, in words: possible causes of a finding, none of them a fault by
    itself.
    """
    found = []
    new, old = report.provenance, baseline.provenance
    if new is not None and old is not None:
        found += [
            f"{words} changed" for words, one, other in _input_pairs(new, old) if one != other
        ]
        if new.graph != old.graph and new.weights == old.weights:
            found.append("the exported graph changed (another exporter, or another network)")
    packages, known = (
        report.environment.get("packages") or {},
        baseline.environment.get("packages") or {},
    )
    found += [
        f"{name} {known.get(name, 'not installed')} -> {packages.get(name, 'not installed')}"
        for name in sorted({*packages, *known})
        if packages.get(name) != known.get(name)
    ]
    if not same_machine(report, baseline):
        found.append("another machine")
    elif board_mode(report) != board_mode(baseline):
        found.append(f"the board's {board_mode(baseline)} -> {board_mode(report)}")
    before, now = _reference_top1(baseline), _reference_top1(report)
    if before is not None and now is not None and before != now:
        found.append(f"FP32's own top-1 {before:.2f} -> {now:.2f} %")
    return found


def _reference_top1(report: RunReport) -> float | None:
    row = accuracy_row(report)
    return (
        row.accuracy.reference_top1_percent
        if row is not None and row.accuracy is not None
        else None
    )


def _incomparable(report: RunReport, baseline: RunReport) -> Iterable[Finding]:
    pairs = (
        ("model", report.model, baseline.model),
        ("target", report.target, baseline.target),
        ("batch", report.batch, baseline.batch),
    )
    for what, found, expected in pairs:
        if found != expected:
            yield incomparable(
                what,
                f"The report's {what}: {found}; the baseline's: {expected}. They cannot be"
                " compared.",
            )
    mine, its = _content(report.evaluation), _content(baseline.evaluation)
    if mine != its or (
        mine is not None and mine[0] is None
    ):  # images that nobody hashed may be any
        words = _evaluated(report.evaluation), _evaluated(baseline.evaluation)
        message = (
            f"The report's evaluation images: {words[0]}; the baseline's: {words[1]}. Accuracy"
            " cannot be compared."
        )
        yield incomparable("evaluation images", message)
    if not report.complete:
        yield incomparable(
            "report", "The report is of an interrupted run: its figures are of a part of it."
        )
    elif accuracy_row(report) is None and timed_row(report) is None:
        yield incomparable("report", "The report holds no INT8 engine.")
    if report.quantization is None or report.provenance is None:
        yield incomparable(
            "report",
            "The report does not say what was quantized, or from what: it is of an older version.",
        )


def _content(images: EvaluationSet | None) -> tuple[str | None, bool] | None:
    # where they lie and in which order is of no account
    return None if images is None else (images.images_sha256, images.truth is None)


def _evaluated(images: EvaluationSet | None) -> str:
    if images is None:
        return "none"
    labels = "labelled" if images.truth is not None else "without labels"
    return (
        f"{images.images:,} of {images.name}, {labels}"
        f" ({(images.images_sha256 or images.sha256)[:12]})"
    )


def _input_pairs(new: Provenance, old: Provenance) -> tuple[tuple[str, object, object], ...]:
    return (
        ("the checkpoint", new.weights, old.weights),
        ("the preprocessing", new.preprocessing, old.preprocessing),
        ("the calibration images", new.calibration_images, old.calibration_images),
        ("the target's settings", new.settings, old.settings),
        ("the bits of the weights", new.weight_bits, old.weight_bits),
        ("the quantizer (ours, or another's file)", new.made_elsewhere, old.made_elsewhere),
    )


def _inputs(report: RunReport, baseline: RunReport) -> Iterable[Finding]:
    new, old = report.provenance, baseline.provenance
    assert new is not None and old is not None
    for words, found, expected in _input_pairs(new, old):
        if found != expected:
            yield incomparable(
                words.removeprefix("the "),
                f"{_upper(words)} changed: {_difference(found, expected)}.",
            )
    if new.calibrated_onnx != new.float_onnx and (
        new.calibrated_onnx is not None or old.calibrated_onnx is not None
    ):
        yield incomparable(
            "statistics",
            "The calibration statistics are of another float graph than the one that was"
            " quantized.",
        )
    if new.graph != old.graph and new.weights == old.weights:
        # no fault by itself: a newer exporter writes another graph of the same network; what it
        # does shows in the figures
        message = (
            "The exported graph is another one, of the same checkpoint: another exporter, or"
            " another network."
        )
        yield skipped("graph", message)


def _other_inputs(report: RunReport, baseline: RunReport) -> bool:
    """Whether the engine was made from something else, so that its scales cannot be the baseline's."""
    new, old = report.provenance, baseline.provenance
    assert new is not None and old is not None
    pairs = _input_pairs(new, old)[
        :-1
    ]  # a graph made elsewhere of the same inputs is still held to the scales
    return any(found != expected for _, found, expected in pairs)


def _difference(found: object, expected: object) -> str:
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        keys = [key for key in {**expected, **found} if found.get(key) != expected.get(key)]
        return ", ".join(
            f"{key} {_short(found.get(key))}, was {_short(expected.get(key))}" for key in keys[:4]
        )
    return f"{_short(found)}, was {_short(expected)}"


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return "{...}"
    if (
        isinstance(value, tuple | list)
        and value
        and isinstance(value[0], str)
        and len(value[0]) == 64
    ):
        return ", ".join(str(item)[:12] for item in value)
    text = str(value)
    return text[:12] if len(text) == 64 else text if len(text) <= 60 else f"{text[:57]}..."


def _upper(words: str) -> str:
    return words[0].upper() + words[1:]
