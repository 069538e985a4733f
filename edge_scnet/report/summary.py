"""The table of engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_scnet.report.run_report import EngineReport, RunReport
from edge_scnet.stats.figures import RatioStats

if TYPE_CHECKING:
    from rich.table import Table

_TITLES = (
    "latency p50, ms",
    "p90, ms",
    "p99, ms",
    "speed",
    "  95 % interval",
    "throughput, images/s",
    "end to end, ms",
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


def _speed(ratio: RatioStats | None) -> str:
    return "-" if ratio is None else f"{ratio.ratio:.2f}x"


def table(report: RunReport) -> Table:
    """The summary: a column an engine, a row a figure, so that it fits a terminal of 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    summary = Table(box=SIMPLE_HEAD, pad_edge=False)
    head, rows = summary_rows(report)
    summary.add_column("")
    for name in head:
        summary.add_column(escape(name), justify="right", no_wrap=True)
    for title, cells in rows:
        summary.add_row(title, *map(escape, cells))
    return summary


def summary_rows(report: RunReport) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The summary as text: the engines' names, and by figure what each of them has."""
    columns = [_cells(engine, reference=index == 0) for index, engine in enumerate(report.engines)]
    # simulated rows have no times, a board's no accuracy
    titles = sorted({title for column in columns for title in column}, key=_TITLES.index)
    return [engine.name for engine in report.engines], [
        (title, [c.get(title, "-") for c in columns]) for title in titles
    ]


def _cells(engine: EngineReport, *, reference: bool) -> dict[str, str]:
    ratio, latency, stats = engine.speedup, engine.latency, engine.accuracy
    cells: dict[str, str] = {}
    if latency is not None:
        spread = (
            "" if ratio is None or ratio.low is None else f"{ratio.low:.2f} to {ratio.high:.2f}"
        )
        cells = {
            "latency p50, ms": f"{latency.p50_ms:.3f}",
            "p90, ms": f"{latency.p90_ms:.3f}",
            "p99, ms": f"{latency.p99_ms:.3f}",
            "speed": _speed(ratio),
            "  95 % interval": spread or "-",
        }
    if engine.throughput_per_second is not None:
        cells["throughput, images/s"] = f"{engine.throughput_per_second:,.0f}"
    if engine.end_to_end is not None:
        cells["end to end, ms"] = f"{engine.end_to_end.p50_ms:.3f}"
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
    cells["files, MB"] = f"{engine.size_bytes / 1e6:.2f}"
    cells["convolutions"] = (
        ", ".join(f"{count} {name}" for name, count in engine.convolutions.items()) or "not told"
    )
    if stats is None:
        return cells
    drop = stats.drop_pp is not None and not reference
    agreement, sqnr = stats.agreement_percent, stats.sqnr_db
    return cells | {
        "top-1, %": "-" if stats.top1_percent is None else f"{stats.top1_percent:.2f}",
        **({} if stats.top5_percent is None else {"top-5, %": f"{stats.top5_percent:.2f}"}),
        "lost, won": f"{stats.lost}, {stats.won} (p {stats.mcnemar_p:.2f})" if drop else "-",
        "drop, pp": f"{stats.drop_pp:+.2f}" if drop else "-",
        "  95 % interval, pp": (
            f"{stats.drop_low_pp:+.2f} to {stats.drop_high_pp:+.2f}" if drop else "-"
        ),
        "agreement, %": "-" if reference or agreement is None else f"{agreement:.2f}",
        "SQNR, dB": "-" if reference else "exact" if sqnr is None else f"{sqnr:.1f}",
        "calibration error, pp": "-" if stats.ece_percent is None else f"{stats.ece_percent:.2f}",
    }
