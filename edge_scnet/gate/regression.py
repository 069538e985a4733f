"""A report against a baseline: findings, exact where facts can be compared exactly, paired where
chance has a part.

Accuracy is compared on the same images, image by image, and has the three verdicts of
`report/paired.py`. A fact (a scale, the codes of a layer, how many convolutions execute in INT8)
has no chance in it: kernels of another CPU may move a scale by a fraction of a percent, a fault
moves it by far more. Time is compared as the ratio to the reference timed in the same run, on one
machine. What may differ where somebody allows it is in `inputs.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edge_scnet.config.project import AllowedKind
from edge_scnet.config.target import Gates
from edge_scnet.gate import accuracy, cost, quantization
from edge_scnet.gate.inputs import (
    IMAGES,
    Difference,
    differences,
    finding_of,
    input_pairs,
    scope_of,
)
from edge_scnet.report.findings import Finding, Kind, incomparable, skipped
from edge_scnet.report.run_report import (
    RunReport,
    accuracy_row,
    board_mode,
    judged_words,
    same_machine,
    timed_row,
)


def compare(
    report: RunReport,
    baseline: RunReport,
    *,
    limits: Gates,
    allowed: Mapping[AllowedKind, str] | None = None,
) -> tuple[Finding, ...]:
    """Returns all findings; where nothing is comparable, only those that say why.

    What the baseline knows and the report does not is a finding: a check must not end because a
    figure is missing.

    Args:
        allowed: what may differ, and who says so.

    Raises:
        ValueError: packed classes that are damaged.
    """
    found = differences(report, baseline, allowed or {})
    if stopping := tuple(_incomparable(report, baseline, found)):
        return stopping
    scope = scope_of(found)
    same_inputs = not _made_from_others(report, baseline)
    findings = [
        *(finding_of(difference, scope) for difference in found),
        *_graphs(report, baseline, found),
        *accuracy.compare(report, baseline, limits, scope),
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
        words += [f"{pair.name} changed" for pair in input_pairs(new, old) if pair.differs]
        hashes = [r.evaluation and r.evaluation.images_sha256 for r in (report, baseline)]
        words += ["the evaluation images changed"] if hashes[0] != hashes[1] else []
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


def _incomparable(
    report: RunReport, baseline: RunReport, found: tuple[Difference, ...]
) -> Iterable[Finding]:
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
    yield from (finding_of(d, scope_of(found)) for d in found if d.metric == IMAGES and not d.by)
    if not report.complete:
        yield incomparable(
            "report",
            "report",
            "The report is of an interrupted run: its figures cover a part of it.",
        )
    elif accuracy_row(report) is None and timed_row(report) is None:
        yield incomparable("report", "report", "The report holds no INT8 engine.")
    if judged_words(report) == "FP16":
        yield incomparable(
            "report",
            "report",
            "The report is of an FP16 build, in which nothing is quantized: baselines are of INT8.",
        )
    elif report.quantization is None or report.provenance is None:
        yield incomparable(
            "report",
            "report",
            "The report does not say what was quantized, or from what: it is of an older version.",
        )


def _graphs(
    report: RunReport, baseline: RunReport, found: tuple[Difference, ...]
) -> Iterable[Finding]:
    """Judges what the statistics are of, and says that the exported graph is another one."""
    new, old = report.provenance, baseline.provenance
    assert new is not None and old is not None
    if new.calibrated_onnx != new.float_onnx and (
        new.calibrated_onnx is not None or old.calibrated_onnx is not None
    ):
        yield incomparable(
            "inputs",
            "statistics",
            "The calibration statistics are of another float graph than the one that was"
            " quantized.",
        )
    other_weights = [difference for difference in found if difference.kind == "checkpoint"]
    if new.graph != old.graph and all(difference.by for difference in other_weights):
        # no fault by itself: a newer exporter writes another graph of the same network; what it
        # does shows in the figures
        same = "" if other_weights else ", of the same checkpoint"
        yield skipped(
            "inputs",
            "graph",
            f"The exported graph is another one{same}: another exporter, or another network.",
        )


def _made_from_others(report: RunReport, baseline: RunReport) -> bool:
    """Whether the engine was made from something else, so that its scales cannot be the
    baseline's.
    """
    new, old = report.provenance, baseline.provenance
    assert new is not None and old is not None
    # a graph made elsewhere of the same inputs is still held to the scales
    return any(pair.differs for pair in input_pairs(new, old)[:-1])
