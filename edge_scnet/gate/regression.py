"""A report against a baseline: findings, exact where facts can be compared exactly, paired where
chance has a part.

Accuracy is compared on the same images, image by image, and has the three verdicts of
`report/paired.py`. A fact (a scale, the codes of a layer, how many convolutions execute in INT8)
has no chance in it: kernels of another CPU may move a scale by a fraction of a percent, a fault
moves it by far more. Time is compared as the ratio to the reference timed in the same run, on one
machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from edge_scnet.config.target import Gates
from edge_scnet.core.provenance import Provenance
from edge_scnet.gate import accuracy, cost, quantization
from edge_scnet.report.findings import Finding, Kind, incomparable, skipped
from edge_scnet.report.run_report import (
    EvaluationSet,
    RunReport,
    accuracy_row,
    board_mode,
    same_machine,
    timed_row,
)


def compare(report: RunReport, baseline: RunReport, *, limits: Gates) -> tuple[Finding, ...]:
    """Returns all findings; where nothing is comparable, only those that say why.

    What the baseline knows and the report does not is a finding: a check must not end because a
    figure is missing.

    Raises:
        ValueError: packed classes that are damaged.
    """
    if stopping := tuple(_incomparable(report, baseline)):
        return stopping
    same_inputs = not _made_from_others(report, baseline)
    findings = [
        *_inputs(report, baseline),
        *accuracy.compare(report, baseline, limits),
        *quantization.compare(report, baseline, limits, same_inputs=same_inputs),
        *cost.compare(report, baseline, limits),
    ]
    cause = "; ".join(changes(report, baseline)) or None
    return tuple(
        replace(f, cause=cause) if f.verdict in ("fail", "inconclusive") else f for f in findings
    )


def changes(report: RunReport, baseline: RunReport) -> list[str]:
    """Returns in words what else changed: possible causes of a finding, none of them a fault by
    itself.
    """
    words = []
    new, old = report.provenance, baseline.provenance
    if new is not None and old is not None:
        words += [f"{pair.name} changed" for pair in _input_pairs(new, old) if pair.differs]
        if new.graph != old.graph and new.weights == old.weights:
            words.append("the exported graph changed (another exporter, or another network)")
    packages = report.environment.get("packages") or {}
    old_packages = baseline.environment.get("packages") or {}
    words += [
        f"{name} {old_packages.get(name, 'not installed')} -> {packages.get(name, 'not installed')}"
        for name in sorted({*packages, *old_packages})
        if packages.get(name) != old_packages.get(name)
    ]
    if not same_machine(report, baseline):
        words.append("another machine")
    elif board_mode(report) != board_mode(baseline):
        words.append(f"the board's {board_mode(baseline)} -> {board_mode(report)}")
    before, now = _reference_top1(baseline), _reference_top1(report)
    if before is not None and now is not None and before != now:
        words.append(f"FP32's own top-1 {before:.2f} -> {now:.2f} %")
    return words


def _reference_top1(report: RunReport) -> float | None:
    row = accuracy_row(report)
    if row is None or row.accuracy is None or row.accuracy.labels is None:
        return None
    return row.accuracy.labels.reference_top1_percent


def _incomparable(report: RunReport, baseline: RunReport) -> Iterable[Finding]:
    pairs: tuple[tuple[Kind, str, object, object], ...] = (
        ("identity", "model", report.model, baseline.model),
        ("identity", "target", report.target, baseline.target),
        ("inputs", "batch", report.batch, baseline.batch),
    )
    for kind, what, value, expected in pairs:
        if value != expected:
            yield incomparable(
                kind,
                what,
                f"The report's {what}: {value}; the baseline's: {expected}. They cannot be"
                " compared.",
            )
    images, old_images = _content(report.evaluation), _content(baseline.evaluation)
    # images that nobody hashed may be any
    if images != old_images or (images is not None and images[0] is None):
        yield incomparable(
            "inputs",
            "evaluation images",
            f"The report's evaluation images: {_evaluated(report.evaluation)}; the baseline's:"
            f" {_evaluated(baseline.evaluation)}. Accuracy cannot be compared.",
        )
    if not report.complete:
        yield incomparable(
            "report",
            "report",
            "The report is of an interrupted run: its figures cover a part of it.",
        )
    elif accuracy_row(report) is None and timed_row(report) is None:
        yield incomparable("report", "report", "The report holds no INT8 engine.")
    if report.quantization is None or report.provenance is None:
        yield incomparable(
            "report",
            "report",
            "The report does not say what was quantized, or from what: it is of an older version.",
        )


def _content(images: EvaluationSet | None) -> tuple[str | None, bool] | None:
    """The hash of the images, and whether they have no labels; names and order do not matter."""
    return None if images is None else (images.images_sha256, images.truth is None)


def _evaluated(images: EvaluationSet | None) -> str:
    if images is None:
        return "none"
    labels = "labelled" if images.truth is not None else "without labels"
    return (
        f"{images.images:,} of {images.name}, {labels}"
        f" ({(images.images_sha256 or images.sha256)[:12]})"
    )


class _Input(NamedTuple):
    """One thing that an engine was made from, in a report and in its baseline."""

    name: str
    new: object
    old: object

    @property
    def differs(self) -> bool:
        return self.new != self.old


def _input_pairs(new: Provenance, old: Provenance) -> tuple[_Input, ...]:
    """All inputs; whose quantizer it was comes last."""
    return (
        _Input("the checkpoint", new.weights, old.weights),
        _Input("the preprocessing", new.preprocessing, old.preprocessing),
        _Input("the calibration images", new.calibration_images, old.calibration_images),
        _Input("the target's settings", _without_unset(new.settings), _without_unset(old.settings)),
        _Input("the bits of the weights", new.weight_bits, old.weight_bits),
        _Input("the quantizer (ours, or another's file)", new.made_elsewhere, old.made_elsewhere),
    )


def _without_unset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that are None: a key that is not set is as one that a version lacks.

    `board.dla_core` was such a key.
    """
    return {
        key: _without_unset(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if value is not None
    }


def _inputs(report: RunReport, baseline: RunReport) -> Iterable[Finding]:
    new, old = report.provenance, baseline.provenance
    assert new is not None and old is not None
    for pair in _input_pairs(new, old):
        if pair.differs:
            yield incomparable(
                "inputs",
                pair.name.removeprefix("the "),
                f"{_upper(pair.name)} changed: {_difference(pair.new, pair.old)}.",
            )
    if new.calibrated_onnx != new.float_onnx and (
        new.calibrated_onnx is not None or old.calibrated_onnx is not None
    ):
        yield incomparable(
            "inputs",
            "statistics",
            "The calibration statistics are of another float graph than the one that was"
            " quantized.",
        )
    if new.graph != old.graph and new.weights == old.weights:
        # no fault by itself: a newer exporter writes another graph of the same network; what it
        # does shows in the figures
        yield skipped(
            "inputs",
            "graph",
            "The exported graph is another one, of the same checkpoint: another exporter, or"
            " another network.",
        )


def _made_from_others(report: RunReport, baseline: RunReport) -> bool:
    """Whether the engine was made from something else, so that its scales cannot be the
    baseline's.
    """
    new, old = report.provenance, baseline.provenance
    assert new is not None and old is not None
    # a graph made elsewhere of the same inputs is still held to the scales
    return any(pair.differs for pair in _input_pairs(new, old)[:-1])


def _difference(value: object, expected: object) -> str:
    if isinstance(value, Mapping) and isinstance(expected, Mapping):
        keys = [key for key in {**expected, **value} if value.get(key) != expected.get(key)]
        return ", ".join(
            f"{key} {_short(value.get(key))}, was {_short(expected.get(key))}" for key in keys[:4]
        )
    return f"{_short(value)}, was {_short(expected)}"


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
