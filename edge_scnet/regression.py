"""A report against a baseline: findings, exact where facts can be compared exactly, paired where chance has a part. Pure.

Accuracy is compared on the same images, image by image, and has three verdicts as in `gate.py`. A fact (a scale, the codes of a
layer, how many convolutions execute in INT8) has no chance in it: kernels of another CPU may move a scale by a fraction of a
percent, a fault moves it by far more. Time is compared as the ratio to the reference timed in the same run, on one machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from edge_scnet.figures import Z_ONE_SIDED_95, paired_difference_interval, paired_difference_score
from edge_scnet.gate import (
    ACCURACY_EXIT_CODE,
    INCOMPARABLE_EXIT_CODE,
    INCONCLUSIVE_EXIT_CODE,
    SPEED_EXIT_CODE,
    Finding,
    Verdict,
    advice,
    judge_accuracy,
)
from edge_scnet.provenance import Provenance, Quantization
from edge_scnet.report import EngineReport, EvaluationSet, RunReport, unpack_classes
from edge_scnet.target import Gates

_FLOATS = frozenset({"f32", "f16", "bf16", "fp32", "fp16", "tf32"})
_PINNED_GOVERNORS = frozenset({"performance"})


def compare(report: RunReport, baseline: RunReport, limits: Gates) -> tuple[Finding, ...]:
    """All findings; those that nothing is comparable by stand alone.

    Raises:
        ValueError: packed classes that are damaged.
    """
    if stopping := tuple(_incomparable(report, baseline)):
        return stopping
    causes = changes(report, baseline)
    findings = [
        *_inputs(report, baseline),
        *_accuracy(report, baseline, limits),
        *_tensors(report, baseline, limits),
        *_executed(report, baseline),
        *_size(report, baseline, limits),
        *_performance(report, baseline, limits),
    ]
    cause = "; ".join(causes) or None
    return tuple(replace(f, cause=cause) if f.verdict in ("fail", "inconclusive") else f for f in findings)


def accuracy_row(report: RunReport) -> EngineReport | None:
    """The INT8 engine whose accuracy is known, executed or simulated."""
    return next((row for row in report.engines if row.name.startswith("int8") and row.accuracy is not None), None)


def timed_row(report: RunReport) -> EngineReport | None:
    """The INT8 engine that was executed and timed."""
    return next((row for row in report.engines if row.name.startswith("int8") and row.latency is not None), None)


def changes(report: RunReport, baseline: RunReport) -> list[str]:
    """What else is not as it was, in words: possible causes of a finding, none of them a fault by itself."""
    found = []
    new, old = report.provenance, baseline.provenance
    if new is not None and old is not None:
        found += [f"{words} changed" for words, one, other in _input_pairs(new, old) if one != other]
        if new.graph != old.graph and new.weights == old.weights:
            found.append("the exported graph changed (another exporter, or another network)")
    packages, known = report.environment.get("packages", {}), baseline.environment.get("packages", {})
    found += [
        f"{name} {known.get(name, 'not installed')} -> {packages.get(name, 'not installed')}"
        for name in sorted({*packages, *known})
        if packages.get(name) != known.get(name)
    ]
    if not same_machine(report, baseline):
        found.append("another machine")
    floats = [row.accuracy.reference_top1_percent for r in (baseline, report) if (row := accuracy_row(r)) and row.accuracy]
    if len(floats) == 2 and floats[0] != floats[1]:
        found.append(f"FP32's own top-1 {floats[0]:.2f} -> {floats[1]:.2f} %")
    return found


def same_machine(report: RunReport, baseline: RunReport) -> bool:
    """Whether times and memory can be compared: the fingerprint of `environment.Environment`, and a board's power mode."""
    mine: Any = report.environment.get("fingerprint")
    return mine is not None and mine == baseline.environment.get("fingerprint") and _mode(report) == _mode(baseline)


def _mode(report: RunReport) -> tuple[str | None, bool | None]:
    return (report.board.power_mode, report.board.clocks_pinned) if report.board else (None, None)


def _incomparable(report: RunReport, baseline: RunReport) -> Iterable[Finding]:
    pairs = (
        ("model", report.model, baseline.model),
        ("target", report.target, baseline.target),
        ("batch", report.batch, baseline.batch),
    )
    for what, found, expected in pairs:
        if found != expected:
            yield _fact(what, f"The report's {what}: {found}; the baseline's: {expected}. They cannot be compared.")
    if _content(report.evaluation) != _content(baseline.evaluation):
        words = _evaluated(report.evaluation), _evaluated(baseline.evaluation)
        message = f"The report's evaluation images: {words[0]}; the baseline's: {words[1]}. Accuracy cannot be compared."
        yield _fact("evaluation images", message)
    if not report.complete:
        yield _fact("report", "The report is of an interrupted run: its figures are of a part of it.")
    elif accuracy_row(report) is None and timed_row(report) is None:
        yield _fact("report", "The report holds no INT8 engine.")
    if report.quantization is None or report.provenance is None:
        yield _fact("report", "The report does not say what was quantized, or from what: it is of an older version.")


def _content(images: EvaluationSet | None) -> tuple[str | None, bool] | None:
    # where they lie and in which order is of no account
    return None if images is None else (images.images_sha256, images.truth is None)


def _evaluated(images: EvaluationSet | None) -> str:
    if images is None:
        return "none"
    labels = "labelled" if images.truth is not None else "without labels"
    return f"{images.images:,} of {images.name}, {labels} ({(images.images_sha256 or images.sha256)[:12]})"


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
            yield _fact(words.removeprefix("the "), f"{_upper(words)} changed: {_difference(found, expected)}.")
    if new.calibrated_onnx not in (None, new.float_onnx):
        yield _fact("statistics", "The calibration statistics are of another float graph than the one that was quantized.")


def _difference(found: object, expected: object) -> str:
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        keys = [key for key in {**expected, **found} if found.get(key) != expected.get(key)]
        return ", ".join(f"{key} {_short(found.get(key))}, was {_short(expected.get(key))}" for key in keys[:4])
    return f"{_short(found)}, was {_short(expected)}"


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return "{...}"
    if isinstance(value, tuple | list) and value and isinstance(value[0], str) and len(value[0]) == 64:
        return ", ".join(str(item)[:12] for item in value)
    text = str(value)
    return text[:12] if len(text) == 64 else text if len(text) <= 60 else f"{text[:57]}..."


# Accuracy.


def _accuracy(report: RunReport, baseline: RunReport, limits: Gates) -> Iterable[Finding]:
    new, old = accuracy_row(report), accuracy_row(baseline)
    if new is None or new.accuracy is None:
        if old is not None:
            yield _fact("accuracy", "The baseline knows the engine's accuracy, the report does not.")
        return
    yield judge_accuracy(
        new.accuracy, max_drop_pp=limits.max_drop_pp, min_agreement_percent=limits.min_agreement_percent,
        min_sqnr_db=limits.min_sqnr_db,
    )  # fmt: skip
    if old is None or old.accuracy is None:
        return
    count = new.accuracy.images
    truth = report.evaluation.truth if report.evaluation else None
    mine, its = _classes(new, count), _classes(old, count)
    if mine is not None and its is not None:
        if truth is not None:
            labels = unpack_classes(truth, count)
            yield _paired(
                "top-1 to baseline", "Top-1", _same(its, labels), _same(mine, labels), limits.max_drop_from_baseline_pp
            )
        floats = _classes(report.engines[0], count), _classes(baseline.engines[0], count)
        if floats[0] is not None and floats[1] is not None:
            agreed = _same(its, floats[1]), _same(mine, floats[0])
            yield _paired("agreement to baseline", "The agreement with FP32", *agreed, limits.max_agreement_fall_pp)
    yield _sqnr(new, old, limits.max_sqnr_fall_db)


def _same(one: Sequence[int], other: Sequence[int]) -> list[bool]:
    return [a == b for a, b in zip(one, other, strict=True)]


def _classes(row: EngineReport, count: int) -> tuple[int, ...] | None:
    return None if row.first_classes is None else unpack_classes(row.first_classes, count)


def _paired(metric: str, what: str, before: Sequence[bool], now: Sequence[bool], limit: float) -> Finding:
    """The same three verdicts as for the drop against FP32, the baseline's engine in FP32's place."""
    images = len(before)
    lost = sum(was and not held for was, held in zip(before, now, strict=True))
    won = sum(held and not was for was, held in zip(before, now, strict=True))
    lower, upper = (100 * bound for bound in paired_difference_interval(lost, won, images, z=Z_ONE_SIDED_95))
    fall = 100.0 * (lost - won) / images
    moved = f"fell by {fall:.2f} pp" if fall > 0 else f"rose by {-fall:.2f} pp" if fall < 0 else "is equal"
    seen = f"{what} {moved} against the baseline on the same {images:,} images ({lost:,} lost, {won:,} won)"
    if upper <= limit:
        better = lower < 0 and upper < 0
        return _found(metric, fall, 0.0, limit, "pp", "pass", f"{seen}, within the limit of {limit:g} pp.", improved=better)
    if lower > limit:
        message = f"{seen}; at least {lower:.2f} pp with 95 % confidence, beyond the limit of {limit:g} pp."
        return _found(metric, fall, 0.0, limit, "pp", "fail", message, code=ACCURACY_EXIT_CODE)
    needed = advice(images, paired_difference_score(lost, won, images, limit / 100.0))
    question = f"exclude a loss of {limit:g} pp" if fall < limit else f"prove a loss of more than {limit:g} pp"
    message = f"{seen}; these images cannot {question} (it may be {lower:.2f} to {upper:.2f} pp): {needed}."
    return _found(metric, fall, 0.0, limit, "pp", "inconclusive", message, code=INCONCLUSIVE_EXIT_CODE)


def _sqnr(new: EngineReport, old: EngineReport, limit: float) -> Finding:
    assert new.accuracy is not None and old.accuracy is not None
    found, expected = new.accuracy.sqnr_db, old.accuracy.sqnr_db
    if found is None or expected is None:  # None: the outputs are FP32's own
        worse = found is not None
        words = "The outputs were exact and are no more" if worse else "The outputs are exact"
        return _found("SQNR", found, expected, limit, "dB", "fail" if worse else "pass", f"{words}.", code=ACCURACY_EXIT_CODE)
    fall = expected - found
    message = f"The SQNR of the outputs is {found:.1f} dB, was {expected:.1f}; it may fall by {limit:g}."
    verdict: Verdict = "fail" if fall > limit else "pass"
    return _found("SQNR", found, expected, limit, "dB", verdict, message, code=ACCURACY_EXIT_CODE, improved=fall < -limit)


# Facts.


def _tensors(report: RunReport, baseline: RunReport, limits: Gates) -> Iterable[Finding]:
    new, old = report.quantization, baseline.quantization
    assert new is not None and old is not None
    yield _placement(new, old)
    moved = {
        name: 100 * abs(scale.scale / old.activations[name].scale - 1)
        for name, scale in new.activations.items()
        if name in old.activations and old.activations[name].scale > 0
    }
    moved |= {
        f"{name} (weights)": 100 * abs(codes.largest_scale / old.weights[name].largest_scale - 1)
        for name, codes in new.weights.items()
        if name in old.weights and old.weights[name].largest_scale > 0
    }
    yield _worst("scales", moved, limits.max_scale_change_percent, "scale", "moved by")
    shifted = {
        name: float(abs(scale.zero_point - old.activations[name].zero_point))
        for name, scale in new.activations.items()
        if name in old.activations
    }
    yield _worst("zero points", shifted, 1.0, "zero point", "moved by", unit="codes")
    fewer = {
        name: 100 * (1 - codes.distinct / old.weights[name].distinct)
        for name, codes in new.weights.items()
        if name in old.weights and old.weights[name].distinct
    }
    yield _worst("weight codes", fewer, limits.max_codes_fall_percent, "layer", "uses fewer distinct codes by")


def _placement(new: Quantization, old: Quantization) -> Finding:
    found = {*new.activations, *(f"weights of {name}" for name in new.weights)}
    expected = {*old.activations, *(f"weights of {name}" for name in old.weights)}
    types = [
        name
        for name in new.activations
        if name in old.activations and new.activations[name].codes != old.activations[name].codes
    ]
    missing, added = sorted(expected - found), sorted(found - expected)
    parts = [f"{len(missing)} are in float now: {_names(missing)}"] if missing else []
    parts += [f"{len(types)} have codes of another type: {_names(types)}"] if types else []
    parts += [f"{len(added)} are new: {_names(added)}"] if added else []
    if not parts:
        return _found("quantized tensors", len(found), len(expected), None, "", "pass", f"All {len(found)} as in the baseline.")
    verdict: Verdict = "fail" if missing or types else "pass"
    message = f"Of {len(expected)} quantized tensors {'; '.join(parts)}."
    return _found("quantized tensors", len(found), len(expected), None, "", verdict, message, code=ACCURACY_EXIT_CODE)


def _worst(metric: str, by_name: dict[str, float], limit: float, noun: str, verb: str, *, unit: str = "%") -> Finding:
    beyond = sorted((name for name, value in by_name.items() if value > limit), key=lambda name: -by_name[name])
    worst = max(by_name.values(), default=0.0)
    if not beyond:
        message = f"No {noun} of {len(by_name)} {verb} more than {limit:g} {unit} (most: {worst:.2g})."
        return _found(metric, worst, 0.0, limit, unit, "pass", message)
    shown = ", ".join(f"{name} {by_name[name]:.3g} {unit}" for name in beyond[:3])
    more = f" and {len(beyond) - 3} more" if len(beyond) > 3 else ""
    message = f"{len(beyond)} of {len(by_name)}: the {noun} {verb} more than {limit:g} {unit}: {shown}{more}."
    return _found(metric, worst, 0.0, limit, unit, "fail", message, code=ACCURACY_EXIT_CODE)


def _executed(report: RunReport, baseline: RunReport) -> Iterable[Finding]:
    new, old = timed_row(report), timed_row(baseline)
    if new is None or old is None or not old.convolutions:
        return  # simulated: nothing was executed
    found, expected = (sum(n for p, n in row.convolutions.items() if p not in _FLOATS) for row in (new, old))
    told = ", ".join(f"{count} {name}" for name, count in new.convolutions.items()) or "none told"
    good = found >= expected
    message = f"{found} convolutions execute in INT8 ({told}), {expected} in the baseline."
    yield _found("INT8 convolutions", found, expected, None, "", "pass" if good else "fail", message, code=ACCURACY_EXIT_CODE)


# Size, time, memory.


def _size(report: RunReport, baseline: RunReport, limits: Gates) -> Iterable[Finding]:
    new, old = _sized(report), _sized(baseline)
    if new is None or old is None or not old.size_bytes:
        return
    growth = 100 * (new.size_bytes / old.size_bytes - 1)
    message = f"The engine has {new.size_bytes / 1e6:.2f} MB, {growth:+.1f} % to the baseline's {old.size_bytes / 1e6:.2f}."
    verdict: Verdict = "fail" if growth > limits.max_size_growth_percent else "pass"
    yield _found(
        "size", new.size_bytes, old.size_bytes, limits.max_size_growth_percent, "bytes", verdict, message, code=SPEED_EXIT_CODE
    )


def _sized(report: RunReport) -> EngineReport | None:
    return timed_row(report) or accuracy_row(report)


def _performance(report: RunReport, baseline: RunReport, limits: Gates) -> Iterable[Finding]:
    new, old = timed_row(report), timed_row(baseline)
    if old is None:
        return
    if new is None:
        yield _fact("speed", "The baseline's engine was timed, the report's was not.")
        return
    if not same_machine(report, baseline):
        message = "Times and memory are not compared: the baseline is of another machine."
        yield _found("speed", None, None, None, "", "skipped", message)
        return
    if new.speedup is not None and old.speedup is not None:
        reference = next(row.name for row in report.engines if row.latency is not None)
        yield _ratio(new, old, limits.max_slowdown_percent, reference.upper())
    if _pinned(report) and _pinned(baseline) and new.latency is not None and old.latency is not None:
        yield _growth(
            "latency", new.latency.p50_ms, old.latency.p50_ms, limits.max_slowdown_percent, "ms",
            "The median latency on this pinned device",
        )  # fmt: skip
    if new.memory is not None and old.memory is not None:
        for metric, one, other in (
            ("memory at load", new.memory.load_peak_bytes, old.memory.load_peak_bytes),
            ("memory steady", new.memory.steady_bytes, old.memory.steady_bytes),
        ):
            yield _growth(metric, one / 2**20, other / 2**20, limits.max_memory_growth_percent, "MiB", f"The {metric}")


def _ratio(new: EngineReport, old: EngineReport, limit: float, reference: str) -> Finding:
    """Slower is what the whole interval says; an estimate beyond the limit alone asks for another measurement."""
    assert new.speedup is not None and old.speedup is not None
    found, expected = new.speedup.ratio, old.speedup.ratio
    least = expected * (1 - limit / 100)
    spread = "" if new.speedup.low is None else f" ({new.speedup.low:.2f} to {new.speedup.high:.2f})"
    message = f"{found:.2f}x{spread} {reference}'s speed in the same run, was {expected:.2f}x; it may fall by {limit:g} %."
    if found >= least:
        better = new.speedup.low is not None and new.speedup.low > expected * (1 + limit / 100)
        return _found("speed", found, expected, limit, "x", "pass", message, improved=better)
    if new.speedup.high is not None and new.speedup.high < least:
        return _found("speed", found, expected, limit, "x", "fail", message, code=SPEED_EXIT_CODE)
    message += " The interval does not exclude that: measure longer (--seconds)."
    return _found("speed", found, expected, limit, "x", "inconclusive", message, code=INCONCLUSIVE_EXIT_CODE)


def _growth(metric: str, found: float, expected: float, limit: float, unit: str, what: str) -> Finding:
    growth = 100 * (found / expected - 1) if expected else 0.0
    message = f"{what} is {found:.4g} {unit}, {growth:+.1f} % to the baseline's {expected:.4g}; it may grow by {limit:g} %."
    verdict: Verdict = "fail" if growth > limit else "pass"
    return _found(metric, found, expected, limit, unit, verdict, message, code=SPEED_EXIT_CODE)


def _pinned(report: RunReport) -> bool:
    """Whether absolute times mean something: clocks fixed, nobody else on the processor."""
    if report.board is not None:
        return bool(report.board.clocks_pinned) and not report.board.throttled
    return report.environment.get("governor") in _PINNED_GOVERNORS and not report.environment.get("virtual")


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _upper(words: str) -> str:
    return words[0].upper() + words[1:]


def _fact(metric: str, message: str) -> Finding:
    """The two are not of the same thing."""
    return _found(metric, None, None, None, "", "fail", message, code=INCOMPARABLE_EXIT_CODE)


def _found(
    metric: str, measured: float | None, expected: float | None, limit: float | None, unit: str, verdict: Verdict, message: str,
    *, code: int = 0, improved: bool = False,
) -> Finding:  # fmt: skip
    return Finding(
        metric=metric, measured=measured, expected=expected, limit=limit, unit=unit, verdict=verdict, message=message,
        exit_code=code if verdict in ("fail", "inconclusive") else 0, improved=improved,
    )  # fmt: skip
