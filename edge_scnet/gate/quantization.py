"""What was quantized, held to a baseline fact by fact. Pure; a part of `regression.py`."""

from __future__ import annotations

from collections.abc import Iterable

from edge_scnet.config.target import Gates
from edge_scnet.core.packing import unpack_scales
from edge_scnet.core.provenance import Quantization, WeightCodes
from edge_scnet.report.findings import (
    ACCURACY_EXIT_CODE,
    Finding,
    Verdict,
    found,
    incomparable,
    skipped,
)
from edge_scnet.report.run_report import RunReport, timed_row

# What the runtimes call the codes they compute convolutions in.
_INT8 = frozenset({"u8", "i8", "int8", "uint8"})
# Kernels of another CPU move a range by a hair, and a zero point by a code where that lies on an
# edge.
_ZERO_POINT_CODES = 1.0


def compare(
    report: RunReport, baseline: RunReport, limits: Gates, *, judged: bool
) -> Iterable[Finding]:
    """Quantized tensors, scales, zero points, codes, and the convolutions that execute in INT8.

    Args:
        judged: False where the engine was made from something else: its scales are others by right.

    Raises:
        ValueError: packed scales that are damaged.
    """
    new, old = report.quantization, baseline.quantization
    assert new is not None and old is not None
    yield _placement(new, old)
    if judged:
        yield _worst(
            "scales", _moved(new, old), limits.max_scale_change_percent, "scale", "moved by"
        )
        yield _worst(
            "zero points",
            _shifted(new, old),
            _ZERO_POINT_CODES,
            "zero point",
            "moved by",
            unit="codes",
        )
    else:
        yield skipped(
            "scales",
            "Scales and zero points are not compared: the engine was made from something else.",
        )
    fewer = {
        name: 100 * (1 - codes.distinct / old.weights[name].distinct)
        for name, codes in new.weights.items()
        if name in old.weights and old.weights[name].distinct
    }
    yield _worst(
        "weight codes",
        fewer,
        limits.max_codes_fall_percent,
        "layer",
        "uses fewer distinct codes by",
    )
    yield from _executed(report, baseline)


def _placement(new: Quantization, old: Quantization) -> Finding:
    present = {*new.activations, *(f"weights of {name}" for name in new.weights)}
    expected = {*old.activations, *(f"weights of {name}" for name in old.weights)}
    both = [name for name in new.activations if name in old.activations]
    types = [name for name in both if new.activations[name].codes != old.activations[name].codes]
    layers = [name for name in new.weights if name in old.weights]
    channels = [name for name in layers if new.weights[name].channels != old.weights[name].channels]
    missing, added = sorted(expected - present), sorted(present - expected)
    parts = [f"{len(missing)} are in float now: {_names(missing)}"] if missing else []
    parts += [f"{len(types)} have codes of another type: {_names(types)}"] if types else []
    parts += (
        [f"{len(channels)} have another number of scales: {_names(channels)}"] if channels else []
    )
    parts += [f"{len(added)} are new: {_names(added)}"] if added else []
    verdict: Verdict = "fail" if missing or types or channels else "pass"
    message = (
        f"Of {len(expected)} quantized tensors {'; '.join(parts)}."
        if parts
        else f"All {len(present)} as in the baseline."
    )
    return found(
        "quantized tensors",
        len(present),
        len(expected),
        None,
        "",
        verdict,
        message,
        code=ACCURACY_EXIT_CODE,
    )


def _moved(new: Quantization, old: Quantization) -> dict[str, float]:
    """By how many percent each scale is another, of weights the worst channel's."""
    moved = {
        name: 100 * abs(scale.scale / old.activations[name].scale - 1)
        for name, scale in new.activations.items()
        if name in old.activations and old.activations[name].scale > 0
    }
    for name, codes in new.weights.items():
        known = old.weights.get(name)
        if known is not None and known.channels == codes.channels:
            moved[f"{name} (weights)"] = _worst_channel(codes, known)
    return moved


def _worst_channel(codes: WeightCodes, known: WeightCodes) -> float:
    if codes.scales == known.scales:
        return 0.0
    pairs = zip(
        unpack_scales(codes.scales, codes.channels),
        unpack_scales(known.scales, known.channels),
        strict=True,
    )
    return max(100 * abs(mine / its - 1) for mine, its in pairs)


def _shifted(new: Quantization, old: Quantization) -> dict[str, float]:
    return {
        name: float(abs(scale.zero_point - old.activations[name].zero_point))
        for name, scale in new.activations.items()
        if name in old.activations
    }


def _worst(
    metric: str, by_name: dict[str, float], limit: float, noun: str, verb: str, *, unit: str = "%"
) -> Finding:
    beyond = sorted(
        (name for name, value in by_name.items() if value > limit), key=lambda name: -by_name[name]
    )
    worst = max(by_name.values(), default=0.0)
    if not beyond:
        message = (
            f"No {noun} of {len(by_name)} {verb} more than {limit:g} {unit} (most: {worst:.2g})."
        )
        return found(metric, worst, 0.0, limit, unit, "pass", message)
    shown = ", ".join(f"{name} {by_name[name]:.3g} {unit}" for name in beyond[:3])
    more = f" and {len(beyond) - 3} more" if len(beyond) > 3 else ""
    message = (
        f"{len(beyond)} of {len(by_name)}: the {noun} {verb} more than {limit:g} {unit}:"
        f" {shown}{more}."
    )
    return found(metric, worst, 0.0, limit, unit, "fail", message, code=ACCURACY_EXIT_CODE)


def _executed(report: RunReport, baseline: RunReport) -> Iterable[Finding]:
    new, old = timed_row(report), timed_row(baseline)
    if new is None or old is None or not old.convolutions:
        return  # simulated: nothing was executed
    if not new.convolutions:
        yield incomparable(
            "INT8 convolutions",
            "The report does not tell what executes in INT8, the baseline does.",
        )
        return
    count, expected = (
        sum(n for p, n in row.convolutions.items() if p in _INT8) for row in (new, old)
    )
    told = ", ".join(f"{number} {name}" for name, number in new.convolutions.items())
    message = f"{count} convolutions execute in INT8 ({told}), {expected} in the baseline."
    verdict: Verdict = "pass" if count >= expected else "fail"
    yield found(
        "INT8 convolutions", count, expected, None, "", verdict, message, code=ACCURACY_EXIT_CODE
    )


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
