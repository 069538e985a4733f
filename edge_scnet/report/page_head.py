"""The head of the page: the verdict large, its three figures, and the sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_scnet.report.findings import Finding, Kind
from edge_scnet.report.run_report import (
    EngineReport,
    RunReport,
    accuracy_row,
    first_judged,
    first_of,
    judged_words,
    reference_row,
    timed_row,
)
from edge_scnet.report.speed import against
from edge_scnet.stats.figures import AccuracyStats, LabelledStats, Metric, RatioStats

NOTHING = "\N{EN DASH}"
_MINUS, _ARROW = "\N{MINUS SIGN}", "\N{RIGHTWARDS ARROW}"
# A verdict as a headline, by how it begins: its colour, and a sign for those who see no colour.
_TONES = {
    "ship": ("good", "\N{HEAVY CHECK MARK}"),
    "accurate": ("good", "\N{HEAVY CHECK MARK}"),
    "do not ship": ("bad", "\N{HEAVY BALLOT X}"),
    "not accurate": ("bad", "\N{HEAVY BALLOT X}"),
}
_OPEN = ("", "?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One of the figures that a verdict is made of."""

    value: str
    what: str
    # its interval, its limit
    notes: tuple[str, ...]
    css: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A verdict as it is shown."""

    headline: str
    sign: str
    css: str
    tiles: tuple[Tile, ...]
    sentence: str


def head_of(report: RunReport) -> Head:
    """Returns the head of a report's page."""
    begin, _, rest = report.verdict.partition(":")
    css, sign = next(
        (tone for words, tone in _TONES.items() if report.verdict.startswith(words)), _OPEN
    )
    headline = begin.strip() or "not judged"
    if headline == "do not ship":
        headline += f" {judged_words(report)}"
    if not report.complete and not headline.startswith("interrupted"):
        headline, css, sign = f"{headline} (of an interrupted run)", *_OPEN
    return Head(
        headline=headline[:1].upper() + headline[1:],
        sign=sign,
        css=css,
        tiles=tuple(_tiles(report)),
        sentence=_sentence(rest),
    )


def _sentence(rest: str) -> str:
    words = rest.strip()
    return words[:1].upper() + words[1:]


def _tiles(report: RunReport) -> Iterator[Tile]:
    if first_judged(report.engines) is None:
        return
    yield _accuracy_tile(report)
    yield _speed_tile(report)
    yield _size_tile(report)


def _first(report: RunReport, kind: Kind) -> Finding | None:
    return next((finding for finding in report.findings if finding.kind == kind), None)


def _css(finding: Finding | None) -> str:
    return "fail" if finding is not None and finding.verdict == "fail" else ""


def _accuracy_tile(report: RunReport) -> Tile:
    finding = _first(report, "accuracy")
    row = accuracy_row(report)
    if row is None or row.accuracy is None:
        return Tile(value=NOTHING, what="accuracy", notes=("not judged: no evaluation images",))
    name = _reference_name(report)
    where = ("simulated",) if row.simulated else ()
    tile = _figure_of_accuracy(row.accuracy, finding, name)
    limit = limit_words(finding)
    told = ", ".join((*(() if limit is None else (f"limit: {limit}",)), *where))
    notes = (*tile.notes, told) if told else tile.notes
    return Tile(value=tile.value, what=tile.what, notes=notes, css=_css(finding))


def limit_words(finding: Finding | None) -> str | None:
    """What a figure is held to; reports of earlier versions tell it without its direction."""
    if finding is None or finding.bound is not None or finding.limit is None:
        return None if finding is None else finding.bound
    return f"{finding.limit:g} {finding.unit}".rstrip()


def _figure_of_accuracy(stats: AccuracyStats, finding: Finding | None, reference: str) -> Tile:
    if stats.task is not None:
        metric = next(
            (m for m in stats.task.metrics if finding is not None and m.name == finding.metric),
            None,
        )
        if metric is None and finding is not None and finding.measured is not None:
            return Tile(
                value=f"{finding.measured:.4g}{finding.unit and ' ' + finding.unit}",
                what=finding.metric,
                notes=(),
            )
        return _metric_tile(metric or stats.task.metrics[0])
    if stats.labels is not None:
        return _drop_tile(stats.labels)
    if stats.agreement_percent is not None:
        return Tile(
            value=f"{stats.agreement_percent:.2f} %",
            what=f"same first class as {reference}",
            notes=(f"of {stats.images:,} images without labels",),
        )
    value = "exact" if stats.sqnr_db is None else f"{stats.sqnr_db:.1f} dB"
    return Tile(value=value, what=f"SQNR to {reference}", notes=(f"on {stats.images:,} samples",))


def _drop_tile(labels: LabelledStats) -> Tile:
    return Tile(
        value=f"{signed(-labels.drop_pp, '.2f')} pp",
        what=f"top-1: {labels.reference_top1_percent:.2f} {_ARROW} {labels.top1_percent:.2f} %",
        notes=(
            f"95 % interval {signed(-labels.drop_high_pp, '.2f')} to"
            f" {signed(-labels.drop_low_pp, '.2f')}",
        ),
    )


def _metric_tile(metric: Metric) -> Tile:
    digits = ".2f" if metric.unit == "%" else ".4g"
    unit = metric.unit and f" {metric.unit}"
    # of a figure that is better when lower a loss is a rise
    sign = -1.0 if metric.higher_is_better else 1.0
    ends: tuple[float, ...] = ()
    if metric.loss_low is not None and metric.loss_high is not None:
        ends = tuple(sorted((sign * metric.loss_low, sign * metric.loss_high)))
    if metric.reference is None:
        # a comparison with FP32 itself: where it is perfect nothing is lost
        perfect = metric.value - sign * metric.loss
        spread = " to ".join(f"{perfect + end:{digits}}" for end in ends)
        value, what = f"{metric.value:{digits}}{unit}", metric.name
    else:
        points = " pp" if metric.unit == "%" else unit
        spread = " to ".join(signed(end, digits) for end in ends)
        value = f"{signed(sign * metric.loss, digits)}{points}"
        what = f"{metric.name}: {metric.reference:{digits}} {_ARROW} {metric.value:{digits}}{unit}"
    notes = (f"95 % interval {spread}",) if spread else ()
    return Tile(value=value, what=what, notes=notes)


def _speed_tile(report: RunReport) -> Tile:
    row, finding = timed_row(report), _first(report, "speed")
    reference = first_of(report.engines, "reference", timed=True)
    if row is None or row.latency is None:
        return Tile(value=NOTHING, what="speed", notes=("not measured on this machine",))
    own = f"{row.latency.p50_ms:.3f}"
    if reference is None or reference.latency is None:
        return Tile(
            value=f"{own} ms", what=f"latency at batch {report.batch}", notes=(), css=_css(finding)
        )
    return Tile(
        value=_times(ratio := against(row, reference).latency),
        what=f"{_reference_name(report)}'s speed at batch {report.batch}",
        notes=(_interval(ratio), f"{reference.latency.p50_ms:.3f} {_ARROW} {own} ms"),
        css=_css(finding),
    )


def _times(ratio: RatioStats | None) -> str:
    return NOTHING if ratio is None else f"{ratio.ratio:.2f}x"


def _interval(ratio: RatioStats | None) -> str:
    if ratio is None or ratio.low is None:
        return "too few rounds for an interval"
    return f"95 % interval {ratio.low:.2f} to {ratio.high:.2f}"


def _size_tile(report: RunReport) -> Tile:
    row = timed_row(report) or first_judged(report.engines)
    assert row is not None
    reference = _like(report, row)
    notes = []
    if reference is not None and reference.size_bytes:
        gain = round(100 * (1 - row.size_bytes / reference.size_bytes))
        direction = "smaller" if gain > 0 else "larger"
        change = f"{abs(gain)} % {direction} than" if gain else "as large as"
        notes.append(f"{change} {reference.name.upper()}'s {megabytes(reference.size_bytes)}")
        if row.memory is not None and reference.memory is not None:
            own, other = row.memory.steady_bytes, reference.memory.steady_bytes
            notes.append(f"memory {other / 2**20:,.0f} {_ARROW} {own / 2**20:,.0f} MB")
    return Tile(value=megabytes(row.size_bytes), what="size of its files", notes=tuple(notes))


def _like(report: RunReport, row: EngineReport) -> EngineReport | None:
    """The reference that was executed where the engine was, else simulated as it was."""
    return first_of(report.engines, "reference", timed=not row.simulated) or reference_row(report)


def megabytes(count: int) -> str:
    """A size in MB with three digits; of less than 10 kB in kB."""
    if count < 10_000:
        return f"{count / 1e3:.3g} kB"
    return f"{count / 1e6:.2f} MB" if count < 100e6 else f"{count / 1e6:,.0f} MB"


def signed(value: float, digits: str) -> str:
    """A change with its sign; nothing changed has none."""
    text = f"{value + 0.0:+{digits}}"
    if not any(digit in text for digit in "123456789"):
        return text[1:]
    return text.replace("-", _MINUS)


def _reference_name(report: RunReport) -> str:
    reference = reference_row(report)
    return "FP32" if reference is None else reference.name.upper()
