"""What was quantized, held to a baseline fact by fact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_scnet.config.target import Gates
from edge_scnet.core.packing import unpack_scales
from edge_scnet.core.provenance import Quantization, WeightCodes
from edge_scnet.report.findings import Figure, Finding, at_most, incomparable, judged, skipped
from edge_scnet.report.run_report import RunReport, timed_row

# What the runtimes call the codes they compute convolutions in.
_INT8 = frozenset({"u8", "i8", "int8", "uint8"})
# Kernels of another CPU move a range by a hair, and a zero point by a code where that lies on an
# edge.
_ZERO_POINT_CODES = 1.0
_NAMED = 3


def compare(
    report: RunReport, baseline: RunReport, limits: Gates, *, same_inputs: bool
) -> Iterable[Finding]:
    """Judges quantized tensors, scales, zero points, codes, and what executes in INT8.

    Args:
        same_inputs: False where the engine was made from something else: its scales are expected to
            differ.

    Raises:
        ValueError: packed scales that are damaged.
    """
    new, old = report.quantization, baseline.quantization
    assert new is not None and old is not None
    yield _placement(new, old)
    if same_inputs:
        scales = _Change(
            metric="scales",
            noun="scale",
            verb="moved by",
            limit=limits.max_scale_change_percent,
            unit="%",
        )
        zero_points = _Change(
            metric="zero points",
            noun="zero point",
            verb="moved by",
            limit=_ZERO_POINT_CODES,
            unit="codes" if _ZERO_POINT_CODES != 1 else "code",
        )
        yield _worst(scales, _scale_changes(new, old))
        yield _worst(zero_points, _zero_point_changes(new, old))
    else:
        yield skipped(
            "quantization",
            "scales",
            "Scales and zero points are not compared: the engine was made from something else.",
        )
    codes = _Change(
        metric="weight codes",
        noun="layer",
        verb="uses fewer distinct codes by",
        limit=limits.max_codes_fall_percent,
        unit="%",
    )
    yield _worst(codes, _fewer_codes(new, old))
    yield from _executed(report, baseline)


def _placement(new: Quantization, old: Quantization) -> Finding:
    present = {*new.activations, *(f"weights of {name}" for name in new.weights)}
    expected = {*old.activations, *(f"weights of {name}" for name in old.weights)}
    both = [name for name in new.activations if name in old.activations]
    types = [name for name in both if new.activations[name].codes != old.activations[name].codes]
    layers = [name for name in new.weights if name in old.weights]
    channels = [name for name in layers if new.weights[name].channels != old.weights[name].channels]
    missing, added = sorted(expected - present), sorted(present - expected)
    differences = (
        (missing, "are in float now"),
        (types, "have codes of another type"),
        (channels, "have another number of scales"),
        (added, "are new"),
    )
    parts = [f"{len(names)} {words}: {_names(names)}" for names, words in differences if names]
    return judged(
        "quantization",
        "quantized tensors",
        Figure(measured=len(present), expected=len(expected), unit=""),
        "fail" if missing or types or channels else "pass",
        (
            f"Of {len(expected)} quantized tensors {'; '.join(parts)}."
            if parts
            else f"All {len(present)} as in the baseline."
        ),
    )


def _scale_changes(new: Quantization, old: Quantization) -> dict[str, float]:
    """Returns by how many percent each scale differs, of weights the worst channel's."""
    changes = {
        name: 100 * abs(scale.scale / old.activations[name].scale - 1)
        for name, scale in new.activations.items()
        if name in old.activations and old.activations[name].scale > 0
    }
    for name, codes in new.weights.items():
        before = old.weights.get(name)
        if before is not None and before.channels == codes.channels:
            changes[f"{name} (weights)"] = _worst_channel(codes, before)
    return changes


def _worst_channel(codes: WeightCodes, before: WeightCodes) -> float:
    if codes.scales == before.scales:
        return 0.0
    pairs = zip(
        unpack_scales(codes.scales, codes.channels),
        unpack_scales(before.scales, before.channels),
        strict=True,
    )
    return max(100 * abs(scale / old_scale - 1) for scale, old_scale in pairs)


def _zero_point_changes(new: Quantization, old: Quantization) -> dict[str, float]:
    return {
        name: float(abs(scale.zero_point - old.activations[name].zero_point))
        for name, scale in new.activations.items()
        if name in old.activations
    }


def _fewer_codes(new: Quantization, old: Quantization) -> dict[str, float]:
    """Returns by how many percent each layer uses fewer distinct codes."""
    return {
        name: 100 * (1 - codes.distinct / old.weights[name].distinct)
        for name, codes in new.weights.items()
        if name in old.weights and old.weights[name].distinct
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What of many tensors or layers may change, and by how much."""

    metric: str
    noun: str
    verb: str
    limit: float
    unit: str


def _worst(change: _Change, by_name: dict[str, float]) -> Finding:
    worst = max(by_name.values(), default=0.0)
    beyond = sorted(
        (name for name, value in by_name.items() if value > change.limit),
        key=lambda name: -by_name[name],
    )
    bound = f"{change.verb} more than {change.limit:g} {change.unit}"
    if beyond:
        shown = ", ".join(f"{name} {by_name[name]:.3g} {change.unit}" for name in beyond[:_NAMED])
        message = (
            f"{len(beyond)} of {len(by_name)}: the {change.noun} {bound}: {shown}{_more(beyond)}."
        )
    else:
        message = f"No {change.noun} of {len(by_name)} {bound} (most: {worst:.2g} {change.unit})."
    return judged(
        "quantization",
        change.metric,
        Figure(
            measured=worst,
            expected=0.0,
            limit=change.limit,
            unit=change.unit,
            bound=at_most(change.limit, change.unit),
        ),
        "fail" if beyond else "pass",
        message,
    )


def _executed(report: RunReport, baseline: RunReport) -> Iterable[Finding]:
    new, old = timed_row(report), timed_row(baseline)
    if new is None or old is None:
        return
    if new.not_int8 or old.not_int8:
        yield _fallen_back(new.not_int8, old.not_int8)
    if not old.convolutions:
        return  # simulated, where nothing was executed, or a network without convolutions
    if not new.convolutions:
        yield incomparable(
            "quantization",
            "INT8 convolutions",
            "The report does not tell what executes in INT8, the baseline does.",
        )
        return
    count, expected = (
        sum(number for precision, number in row.convolutions.items() if precision in _INT8)
        for row in (new, old)
    )
    by_precision = ", ".join(f"{number} {name}" for name, number in new.convolutions.items())
    in_float = [name for name in new.float_convolutions if name not in old.float_convolutions]
    names = f" In float now: {_names(in_float)}." if in_float and count < expected else ""
    yield judged(
        "quantization",
        "INT8 convolutions",
        Figure(measured=count, expected=expected, unit=""),
        "pass" if count >= expected else "fail",
        f"{count} convolutions execute in INT8 ({by_precision}), {expected} in the baseline."
        + names,
    )


def _fallen_back(new: Sequence[str], old: Sequence[str]) -> Finding:
    """Judges the layers that should execute in INT8 and do not."""
    added = [name for name in new if name not in old]
    return judged(
        "quantization",
        "layers not in INT8",
        Figure(measured=len(new), expected=len(old), unit=""),
        "fail" if added else "pass",
        (
            f"{len(added)} that should execute in INT8 do no longer: {_names(added)}."
            if added
            else f"{len(new)} that should execute in INT8 do not, {len(old)} in the baseline."
        ),
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + _more(names)


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
