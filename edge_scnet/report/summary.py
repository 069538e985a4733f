"""The tables of a report: the engines, with a row for a figure, and the sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edge_scnet.report.run_report import EngineReport, RunReport, reference_row
from edge_scnet.stats.decibels import comparable
from edge_scnet.stats.figures import AccuracyStats, RatioStats, SliceStats, SweepRow, TaskStats

if TYPE_CHECKING:
    from rich.table import Table

_TITLES = (
    "latency p50, ms",
    "p90, ms",
    "p99, ms",
    "speed",
    "  95 % interval",
    "throughput, images/s",
    "throughput, x",
    "  95 % interval, x",
    "end to end, ms",
    "  prepared ahead, ms",
    "memory at load, MB",
    "memory steady, MB",
    "activations on the GPU, MB",
    "RAM of the machine, MB",
    "files, MB",
    "convolutions",
    "top-1, %",
    "top-5, %",
    "drop, pp",
    "  95 % interval, pp",
    "lost, won",
    "agreement, %",
    "SQNR, dB",
    "calibration error, pp",
)

SWEEP_HEAD = (
    "batch",
    "threads",
    "engine",
    "p50, ms",
    "ms an image",
    "speed",
    "images/s",
    "memory, MB",
)


def _speed(ratio: RatioStats | None) -> str:
    return "-" if ratio is None else f"{ratio.ratio:.2f}x"


def _spread(ratio: RatioStats | None) -> str:
    return "-" if ratio is None or ratio.low is None else f"{ratio.low:.2f} to {ratio.high:.2f}"


def table(report: RunReport, engines: Sequence[int] | None = None) -> Table:
    """Returns the summary, which fits a terminal of 80 columns; its strings are no markup.

    Args:
        engines: the columns; None: all.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    summary = Table(box=SIMPLE_HEAD, pad_edge=False)
    head, rows = summary_rows(report)
    shown = range(len(head)) if engines is None else engines
    summary.add_column("", no_wrap=True)
    for index in shown:
        summary.add_column(head[index], justify="right", no_wrap=True)
    for title, cells in rows:
        if any(cells[index] != "-" for index in shown):
            summary.add_row(title, *(cells[index] for index in shown))
    return summary


def tables_in(report: RunReport, *, width: int, widest_of: Callable[[Table], int]) -> list[Table]:
    """Returns the summary as one table, or as several below each other where it is wider.

    Args:
        width: columns of the terminal.
        widest_of: the columns that a table takes.
    """
    parts: list[list[int]] = [[]]
    for index in range(len(report.engines)):
        if parts[-1] and widest_of(table(report, [*parts[-1], index])) > width:
            parts.append([])
        parts[-1].append(index)
    return [table(report, part) for part in parts]


def summary_rows(report: RunReport) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Returns the summary as text: the engines' names, and by figure what each of them has."""
    reference = reference_row(report)
    columns = [_cells(engine, reference=engine is reference) for engine in report.engines]
    # simulated rows have no times, a board's no accuracy; a task's figures stand before the SQNR
    titles = list(dict.fromkeys(title for column in columns for title in column))
    before = _TITLES.index("agreement, %") - 0.5
    places = {title: i for i, title in enumerate(_TITLES)}
    titles.sort(key=lambda title: places.get(title, before))
    rows = [(title, [c.get(title, "-") for c in columns]) for title in titles]
    return [engine.name for engine in report.engines], [
        (title, cells) for title, cells in rows if any(cell != "-" for cell in cells)
    ]


def _cells(engine: EngineReport, *, reference: bool) -> dict[str, str]:
    cells = _times(engine)
    if engine.memory is not None:
        cells |= {
            "memory at load, MB": f"{engine.memory.load_peak_bytes / 2**20:,.0f}",
            "memory steady, MB": f"{engine.memory.steady_bytes / 2**20:,.0f}",
        }
        device, ram = engine.memory.device_activation_bytes, engine.memory.ram_delta_bytes
        if device is not None:
            cells["activations on the GPU, MB"] = f"{device / 2**20:,.1f}"
        if ram is not None:
            cells["RAM of the machine, MB"] = f"{ram / 2**20:+,.0f}"
    megabytes = engine.size_bytes / 1e6
    cells["files, MB"] = f"{megabytes:.2f}" if megabytes >= 0.1 else f"{megabytes:.2g}"
    cells["convolutions"] = (
        ", ".join(f"{count} {name}" for name, count in engine.convolutions.items()) or "-"
    )
    if engine.accuracy is not None:
        cells |= _accuracy(engine.accuracy, reference=reference)
    return cells


def _times(engine: EngineReport) -> dict[str, str]:
    cells: dict[str, str] = {}
    ratio, latency = engine.speedup, engine.latency
    if latency is not None:
        cells = {
            "latency p50, ms": f"{latency.p50_ms:.3f}",
            "p90, ms": f"{latency.p90_ms:.3f}",
            "p99, ms": f"{latency.p99_ms:.3f}",
            "speed": _speed(ratio),
            "  95 % interval": _spread(ratio),
        }
    if engine.throughput_per_second is not None:
        cells["throughput, images/s"] = f"{engine.throughput_per_second:,.0f}"
    if engine.throughput_ratio is not None:
        cells["throughput, x"] = _speed(engine.throughput_ratio)
        cells["  95 % interval, x"] = _spread(engine.throughput_ratio)
    if engine.end_to_end is not None:
        cells["end to end, ms"] = f"{engine.end_to_end.p50_ms:.3f}"
        if engine.end_to_end.ahead is not None:
            cells["  prepared ahead, ms"] = f"{engine.end_to_end.ahead.batch_ms:.3f}"
    return cells


def _accuracy(stats: AccuracyStats, *, reference: bool) -> dict[str, str]:
    if stats.task is not None:
        return _task(stats, stats.task, reference=reference)
    labels, agreement = stats.labels, stats.agreement_percent
    cells = {
        "top-1, %": "-",
        "lost, won": "-",
        "drop, pp": "-",
        "  95 % interval, pp": "-",
        "agreement, %": "-" if reference or agreement is None else f"{agreement:.2f}",
        "SQNR, dB": "-" if reference else _sqnr(stats),
        "calibration error, pp": "-",
    }
    if labels is None:
        return cells
    cells["top-1, %"] = f"{labels.top1_percent:.2f}"
    if labels.top5_percent is not None:
        cells["top-5, %"] = f"{labels.top5_percent:.2f}"
    if labels.ece_percent is not None:
        cells["calibration error, pp"] = f"{labels.ece_percent:.2f}"
    if not reference:
        cells |= {
            "lost, won": f"{labels.lost}, {labels.won} (p {labels.mcnemar_p:.2f})",
            "drop, pp": f"{labels.drop_pp:+.2f}",
            "  95 % interval, pp": f"{labels.drop_low_pp:+.2f} to {labels.drop_high_pp:+.2f}",
        }
    return cells


def _task(stats: AccuracyStats, task: TaskStats, *, reference: bool) -> dict[str, str]:
    """The figures of a task: each metric, with its loss and the interval where FP32 has it too."""
    cells: dict[str, str] = {}
    for metric in task.metrics:
        if metric.unit == "dB" and metric.name == "SQNR":
            continue  # the row below has it
        title = f"{metric.name}{metric.unit and ', ' + metric.unit}"
        digits = ".2f" if metric.unit == "%" else ".4g"
        if metric.reference is not None:
            cells[title] = f"{metric.value:{digits}}"
            # spaces keep the rows of several metrics apart
            unit = "pp" if metric.unit == "%" else metric.unit
            loss = f"  loss of {metric.name}{unit and ', ' + unit}"
            cells[loss] = "-" if reference else _signed(metric.loss, digits)
        else:
            cells[title] = "-" if reference else f"{metric.value:{digits}}"
        interval = "-"
        if not (reference or metric.loss_low is None or metric.loss_high is None):
            ends = (_signed(end, digits) for end in (metric.loss_low, metric.loss_high))
            interval = " to ".join(ends)
        # rows are told apart by their titles
        is_first = metric is task.metrics[0]
        row = "  95 % interval of the loss" if is_first else f"  loss of {metric.name}, 95 %"
        cells[row] = interval
    lowest = min((s for s in task.slices if s.sqnr_db is not None), key=_sqnr_of, default=None)
    if lowest is not None and not reference:
        cells["SQNR of the worst part, dB"] = f"{lowest.sqnr_db:.1f}"
    return {**cells, "SQNR, dB": "-" if reference else _sqnr(stats)}


def _sqnr(stats: AccuracyStats) -> str:
    """The SQNR of the worst output; a dash where none can be compared."""
    if not stats.has_sqnr:
        return "-"
    return "exact" if stats.sqnr_db is None else f"{stats.sqnr_db:.1f}"


def _signed(loss: float, digits: str) -> str:
    # -0.0, the loss of an equal engine, becomes 0
    return f"{loss + 0.0:+{digits}}"


def _sqnr_of(part: SliceStats) -> float:
    return comparable(part.sqnr_db)


def sweep_cells(row: SweepRow) -> tuple[str, ...]:
    """Returns a row of the sweep's table, under `SWEEP_HEAD`."""
    return (
        str(row.batch),
        str(row.threads or "default"),
        row.engine,
        f"{row.p50_ms:.3f}",
        f"{row.p50_ms / row.batch:.3f}",
        "-" if row.speedup is None else f"{row.speedup.ratio:.2f}x",
        "-" if row.throughput_per_second is None else f"{row.throughput_per_second:,.0f}",
        f"{row.steady_bytes / 2**20:,.0f}",
    )
