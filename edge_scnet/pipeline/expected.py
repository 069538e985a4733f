"""FP32's own figures held to what their owner measured: `--expect top1=94.9`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edge_scnet.config.expectation import Expectation, expectations, key_of
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import FLOAT_ONNX
from edge_scnet.core.preprocessing import BY_DEFAULT
from edge_scnet.core.preprocessing_units import unit_doubt
from edge_scnet.core.preprocessing_words import input_words
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.labels import SORTED_RULE
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError
from edge_scnet.pipeline.judging import judging_of
from edge_scnet.pipeline.rows import check_finite, stats_of
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.profiler.simulated import evaluate_graphs
from edge_scnet.report.run_report import EngineReport, first_of
from edge_scnet.stats.figures import AccuracyStats
from edge_scnet.stats.intervals import Z_TWO_SIDED_95, wilson_bounds
from edge_scnet.tasks.registry import TASKS, figures_of

# A figure as people write it: 94.9 stands for 94.85 to 94.95.
_ROUNDING = 0.05
# Of figures without an interval.
_NEAR = 0.02
# What a float may be off where it stands for a decimal fraction.
_TINY = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFigure:
    """A figure of FP32, and the range that other samples of the kind may put it in."""

    name: str
    unit: str
    value: float
    low: float
    high: float
    higher_is_better: bool = True

    def spelt(self, value: float) -> str:
        """A value of this figure with its unit."""
        return f"{value:.4g}{self.unit and ' ' + self.unit}"


def read_expected(
    given: float | str | Iterable[float | str] | None,
) -> tuple[Expectation, ...]:
    """What a caller expects of FP32.

    Raises:
        DataError: it is no figure.
    """
    try:
        return expectations(given)
    except ValueError as error:
        raise DataError(f"--expect: {error}", hint="--expect top1=94.1") from None


def check_truth(expected: Sequence[Expectation], job: BuildJob) -> None:
    """Refuses an expectation that there is nothing to hold to, before the first stage.

    Raises:
        DataError: the evaluation samples have no ground truth, or the task that was said has no
            such figure.
    """
    if not expected:
        return
    samples, task = job.evaluation, job.source.spec.task
    if samples is None:
        raise _no_truth(expected[0])
    knows_itself = task is not None and task.kind not in TASKS
    if samples.labels is None and samples.targets is None and not knows_itself:
        raise _no_truth(expected[0])
    if task is not None:
        _check_known(expected, task.kind)


def check_float(expected: Sequence[Expectation], job: BuildJob, events: Events) -> None:
    """Runs the exported float graph on the evaluation set, and holds its figures to the expected.

    It costs one pass over the samples, and saves calibration, engines and their timing where the
    network does not do what its owner measured.

    Raises:
        DataError: a figure is another, or the task has none of that name.
    """
    judging = judging_of(job.folder, job.evaluation) if expected else None
    if judging is None:
        return
    samples, spec = judging.samples, job.source.spec
    _check_known(expected, judging.told.task.kind)
    events.stage("expect", f"FP32 on {len(samples):,} samples, before engines are made")
    entry = job.folder.entry(FLOAT_ONNX)
    (outputs,) = evaluate_graphs(
        [job.folder.verified_entry(entry)], samples, spec, events.progress, judging.evaluator
    )
    check_finite("FP32", entry.file, outputs)
    stats = stats_of(outputs, outputs, samples, judging.evaluator)
    events.done(_check(stats, expected, spec, samples), reused=False)


def check_rows(
    rows: Sequence[EngineReport],
    expected: Sequence[Expectation],
    spec: ModelSpec,
    samples: SampleSet | None,
) -> None:
    """Holds the figures of the measured FP32 engine to the expected.

    Raises:
        DataError: as `check_float`, or there is no ground truth.
    """
    if not expected:
        return
    row = first_of(rows, "reference", judged=True)
    if row is None or row.accuracy is None or samples is None:
        raise _no_truth(expected[0])
    _check(row.accuracy, expected, spec, samples)


def _check(
    stats: AccuracyStats, expected: Sequence[Expectation], spec: ModelSpec, samples: SampleSet
) -> str:
    """Holds FP32's figures to the expected; returns what they are in words."""
    figures = own_figures(stats)
    if not figures:
        raise _no_truth(expected[0])
    named = [(_figure_of(item, figures), item) for item in expected]
    for figure, item in named:
        if not _is_met(figure, item):
            raise _unmet(figure, item, stats, spec, samples)
    words = [f"{figure.name} {figure.spelt(figure.value)}" for figure, _ in named]
    return f"{', '.join(words)}, as expected"


def own_figures(stats: AccuracyStats) -> tuple[OwnFigure, ...]:
    """FP32's own figures with ground truth, from its comparison with itself."""
    if stats.labels is not None:
        shares = {"top-1": stats.labels.reference_top1_percent, "top-5": stats.labels.top5_percent}
        return tuple(
            _share(name, value, stats.images) for name, value in shares.items() if value is not None
        )
    if stats.task is None or stats.task.truth is None:
        return ()
    figures = []
    for metric in stats.task.metrics:
        if metric.reference is None:
            continue  # a comparison with itself
        near = _NEAR * abs(metric.value)
        figures.append(
            OwnFigure(
                name=metric.name,
                unit=metric.unit,
                value=metric.value,
                low=metric.value - near if metric.value_low is None else metric.value_low,
                high=metric.value + near if metric.value_high is None else metric.value_high,
                higher_is_better=metric.higher_is_better,
            )
        )
    return tuple(figures)


def _share(name: str, percent: float, samples: int) -> OwnFigure:
    low, high = wilson_bounds(percent / 100.0 * samples, samples, z=Z_TWO_SIDED_95)
    return OwnFigure(name=name, unit="%", value=percent, low=100.0 * low, high=100.0 * high)


def _figure_of(item: Expectation, figures: Sequence[OwnFigure]) -> OwnFigure:
    """The figure that is meant: by its name, or the beginning of one; without a name the first.

    Raises:
        DataError: the task has no such figure, or several begin so.
    """
    if item.metric is None:
        return figures[0]
    key = key_of(item.metric)
    same = [figure for figure in figures if key_of(figure.name) == key]
    found = same or [figure for figure in figures if key_of(figure.name).startswith(key)]
    if len(found) == 1:
        return found[0]
    problem = "may be any of" if found else "is no figure of this task, whose figures are"
    raise _no_figure(item, [figure.name for figure in found or figures], problem)


def _check_known(expected: Sequence[Expectation], kind: str) -> None:
    """Refuses a figure that no network of a task has, before FP32 runs.

    Raises:
        DataError: names those that there are.
    """
    names = figures_of(kind)
    for item in expected:
        key = key_of(item.metric or "")
        if names and not any(_may_be(key, name) for name in names):
            raise _no_figure(item, names, "is no figure of this task, whose figures are")


def _may_be(key: str, name: str) -> bool:
    """Whether what a user wrote means a figure, or the beginning of its name."""
    known = key_of(name)
    return known.startswith(key) or (name.endswith("...") and key.startswith(known))


def _no_figure(item: Expectation, names: Sequence[str], problem: str) -> DataError:
    return DataError(
        f"--expect {item.metric}={item.words}: {item.metric} {problem}: {', '.join(names)}",
        hint=f"--expect '{names[0]}={item.words.replace(' ', '')}'",
    )


def _is_met(figure: OwnFigure, item: Expectation) -> bool:
    if item.tolerance is not None:
        return abs(figure.value - item.value) <= item.tolerance + _TINY * abs(item.value)
    slack = _ROUNDING if figure.unit == "%" else 0.0
    return figure.low - slack <= item.value <= figure.high + slack


def _unmet(
    figure: OwnFigure,
    item: Expectation,
    stats: AccuracyStats,
    spec: ModelSpec,
    samples: SampleSet,
) -> DataError:
    """The error of a figure that is another than the expected one."""
    allowed = (
        f"held to the 95 % interval of these samples, {figure.low:.4g} to {figure.high:.4g}"
        if item.tolerance is None
        else f"{abs(figure.value - item.value):.4g} apart; the interval of these samples is"
        f" {figure.low:.4g} to {figure.high:.4g}"
    )
    causes = "; ".join(f"({i}) {cause}" for i, cause in enumerate(_causes(spec, samples), start=1))
    return DataError(
        f"FP32's own {figure.name} is {figure.spelt(figure.value)} on {stats.images:,} samples;"
        f" --expect says {item.words}{figure.unit and ' ' + figure.unit} ({allowed}). Likely"
        f" causes in order: {causes}",
        hint=_hint(figure, item, stats, spec, samples),
    )


def _causes(spec: ModelSpec, samples: SampleSet) -> Iterator[str]:
    """What makes a network another than its owner measured, the likeliest first."""
    if samples.arrays is None and spec.takes_pictures:
        yield f"other preprocessing than in training; here it is: {input_words(spec)}"
    else:
        yield "other arrays than in training: they are fed as they are"
    if samples.labels is not None:
        yield f"another order of the classes; here it is by {samples.label_rule}"
    else:
        yield "another order, or other units, of the ground truth"
    yield f"another checkpoint, or other samples, than it was measured with ({spec.name})"


def _hint(
    figure: OwnFigure,
    item: Expectation,
    stats: AccuracyStats,
    spec: ModelSpec,
    samples: SampleSet,
) -> str:
    """What helps in this case."""
    name = f"{item.metric}=" if item.metric else ""
    if figure.unit == "%" and 0 < item.value <= 1 < figure.value:
        return f"shares are in percent: --expect {name}{100 * item.value:g}"
    if item.tolerance is not None and figure.low <= item.value <= figure.high:
        return (
            f"{stats.images:,} samples do not tell the two apart: --expect {name}{item.value:g}"
            " holds it to their interval"
        )
    doubts = [*stats.doubts, *(stats.task.doubts if stats.task else ())]
    is_shifted = next((doubt for doubt in doubts if "classes count from" in doubt), None)
    if is_shifted:
        return is_shifted
    if (units := unit_doubt(spec.preprocessing)) is not None and spec.takes_pictures:
        return units
    if (figure.value > item.value) == figure.higher_is_better:
        return (
            "it is better than expected: is it a later checkpoint, or were these samples trained"
            " on? Else expect what it is: --expect " + f"{name}{figure.value:.4g}"
        )
    rule = spec.preprocessing
    by_default = BY_DEFAULT in (rule.origin("mean"), rule.origin("std"))
    if samples.arrays is None and spec.takes_pictures and by_default:
        return (
            "nobody said mean and std: --preprocess torchvision, timm:NAME, ... or --mean and --std"
            " as in training"
        )
    if samples.label_rule == SORTED_RULE and not spec.classes:
        return "say the order of training: --class-names FILE, one name per line"
    what = (
        "say what of the input differs from training: --mean, --std, --resize, ..."
        if samples.arrays is None and spec.takes_pictures
        else "feed the arrays that training fed, and the ground truth in their order"
    )
    return f"{what}; or leave --expect out to build all the same"


def _no_truth(item: Expectation) -> DataError:
    return DataError(
        f"--expect {item.words} cannot be held to anything: the evaluation samples have no ground"
        " truth",
        hint="give labelled samples with --eval, or leave --expect out",
    )
