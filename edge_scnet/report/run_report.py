"""`RunReport`: everything one run measured, to and from JSON, and as a table. Reads and renders; measures nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.config.target import Gates
from edge_scnet.core.manifest import record_from_json, write_text
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.graph.inventory import Provenance, Quantization
from edge_scnet.machine.board import BoardState
from edge_scnet.pipeline.flips import Flips
from edge_scnet.pipeline.layers import LayerTime
from edge_scnet.report.validate import check_values, read_json
from edge_scnet.report.verdict import Finding
from edge_scnet.stats.figures import (
    AccuracyStats,
    EndToEnd,
    LatencyStats,
    MachineLoad,
    MemoryStats,
    OutputStats,
    RatioStats,
    SweepRow,
)

if TYPE_CHECKING:
    from rich.table import Table

    from edge_scnet.sensitivity.search import SearchResult

SCHEMA = 2
# What a schema adds has defaults, so that older files are read. 2: steadiness, intervals of p90 and p99, blocks, settings,
# end to end, growth of memory, calibration error, outputs, the machine's load, sweep, flipped images, class names.
_READS = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """One engine's row."""

    name: str  # "fp32", "default", "int8"
    runtime: str
    file: str
    sha256: str
    size_bytes: int
    precision_hint: str
    convolutions: dict[str, int]  # how many convolutions execute in which precision
    other_layers: dict[str, int]
    load_seconds: float | None  # this and the times and memory below: None where it was simulated
    warm_up_seconds: float | None
    latency: LatencyStats | None
    speedup: RatioStats | None  # time of the first row over this row's, in the same alternated blocks
    throughput_per_second: float | None
    memory: MemoryStats | None
    accuracy: AccuracyStats | None
    first_classes: str | None = None  # `pack_classes` of the images in canonical order: two engines are paired by it
    copies: tuple[str, ...] = ()  # of an INT8 plan: modules before which data is only converted
    float_convolutions: tuple[str, ...] = ()  # of an INT8 engine: modules that are not
    layer_times: tuple[LayerTime, ...] = ()
    warm_up_runs: int | None = None
    warm_up_stable: bool | None = None  # False: its time still changed when the limit of warming up was reached
    settings: dict[str, str] = field(default_factory=dict)  # how the runtime ran it: threads, streams, hints
    end_to_end: EndToEnd | None = None
    outputs: tuple[OutputStats, ...] = ()  # against the reference's


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """The images that accuracy was measured on."""

    name: str
    sha256: str
    images: int
    skipped: int
    labels: str | None  # how labels were found; None: unlabelled
    images_sha256: str | None = None  # of the images' contents and labels in canonical order: sorted by content
    truth: str | None = None  # `pack_classes` of the labels, in that order


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run: which engines of which model for which target, on which images, by which machine and command."""

    schema: int
    created_utc: str
    command: str
    model: str
    target: str
    batch: int  # images per inference: what a latency is the time of
    engines: tuple[EngineReport, ...]
    evaluation: EvaluationSet | None
    findings: tuple[Finding, ...]
    verdict: str
    stage_seconds: dict[str, float]
    environment: dict[str, Any]
    gates: Gates | None = None  # the target's, as the findings were judged by
    quantization: Quantization | None = None
    provenance: Provenance | None = None
    complete: bool = True  # False: interrupted, some figures are of a part of the run
    board: BoardState | None = None  # of a Jetson, while its engines were timed
    seconds: float | None = None  # timed seconds that were asked for, of each engine
    load: MachineLoad | None = None  # what else the machine did then
    sweep: tuple[SweepRow, ...] = ()  # other batches and numbers of threads
    sweep_load: MachineLoad | None = None  # what else the machine did then
    flips: Flips | None = None  # images whose first class is another than FP32's
    classes: tuple[str, ...] = ()  # the model's, where they have names


def reference_row(report: RunReport) -> EngineReport | None:
    """What INT8 is held against: FP32, or where there is none (trtexec on a board) FP16. By its name, not by its place."""
    for name in ("fp32", "fp16"):
        for row in report.engines:
            if row.name == name:
                return row
    return None


def accuracy_row(report: RunReport) -> EngineReport | None:
    """The INT8 engine whose accuracy is known, executed or simulated."""
    return next((row for row in report.engines if row.name.startswith("int8") and row.accuracy is not None), None)


def timed_row(report: RunReport) -> EngineReport | None:
    """The INT8 engine that was executed and timed."""
    return next((row for row in report.engines if row.name.startswith("int8") and row.latency is not None), None)


def same_machine(report: RunReport, other: RunReport) -> bool:
    """Whether both are of one kind of machine, by the fingerprint of `environment.Environment`."""
    mine: Any = report.environment.get("fingerprint")
    return mine is not None and mine == other.environment.get("fingerprint")


def board_mode(report: RunReport) -> str | None:
    """A board's power mode and clocks, which make it another machine; None elsewhere."""
    if report.board is None:
        return None
    clocks = {True: "pinned", False: "not pinned", None: "not told"}[report.board.clocks_pinned]
    return f"power mode {report.board.power_mode or 'not told'}, clocks {clocks}"


def save_report(report: RunReport, path: Path) -> None:
    """Writes the report as JSON.

    Raises:
        StorageError: the folder cannot be written.
    """
    write_text(path, to_json(report) + "\n")


def to_json(report: RunReport) -> str:
    return json.dumps(asdict(report), indent=1, allow_nan=False)


def load_report(path: Path) -> RunReport:
    """Reads what `save_report` wrote.

    Raises:
        ArtifactError: not such a file, of another schema, or with values that cannot be.
    """
    try:
        content = read_json(path)
        schema = content["schema"]
        if schema not in _READS:
            newer = isinstance(schema, int) and schema > SCHEMA
            raise ArtifactError(
                f"{path} has schema {schema}, this version reads {_READS[0]} to {SCHEMA}",
                hint="pip install --upgrade edge-scnet" if newer else "edge-scnet profile BUILD_FOLDER",
            )
        report: RunReport = replace(record_from_json(RunReport, content), schema=SCHEMA)
        check_values(report)
    except FileNotFoundError as error:
        raise ArtifactError(f"no report at {path}", hint="make one: edge-scnet profile BUILD_FOLDER") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TargetError) as error:
        raise ArtifactError(f"{path} is not a report: {error}", hint="make one: edge-scnet profile BUILD_FOLDER") from error
    return report


def verdict(findings: Sequence[Finding]) -> str:
    """One line: ship or not, and why. Accuracy decides first; an engine that gains nothing is not worth shipping either."""
    if not findings:
        return "no INT8 engine was measured"
    by_metric = {finding.metric: finding for finding in findings}
    speed = by_metric.pop("speed", None)
    accuracy = next(iter(by_metric.values()), None)
    if speed is None:
        assert accuracy is not None
        words = {"pass": "accurate", "fail": "not accurate", "inconclusive": "not proven"}[accuracy.verdict]
        return f"{words} in simulation, speed not measured: {accuracy.message}"
    if accuracy is None:
        return f"not judged: no evaluation images. INT8 has {speed.message}"
    if accuracy.verdict == "fail":
        return f"do not ship: {accuracy.message}"
    if speed.verdict == "fail":
        return f"do not ship: {speed.message} {accuracy.message}"
    if accuracy.verdict == "inconclusive":
        return f"not proven: {accuracy.message}"
    return f"ship INT8: {speed.message} {accuracy.message}"


_TITLES = (
    "latency p50, ms", "p90, ms", "p99, ms", "speed", "  95 % interval", "throughput, images/s", "end to end, ms",
    "memory at load, MB", "memory steady, MB", "activations on the GPU, MB", "RAM of the machine, MB", "files, MB",
    "convolutions", "top-1, %", "top-5, %", "drop, pp", "  95 % interval, pp", "lost, won", "agreement, %", "SQNR, dB",
    "calibration error, pp",
)  # fmt: skip


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
    return [engine.name for engine in report.engines], [(title, [c.get(title, "-") for c in columns]) for title in titles]


def _cells(engine: EngineReport, *, reference: bool) -> dict[str, str]:
    ratio, latency, stats = engine.speedup, engine.latency, engine.accuracy
    cells: dict[str, str] = {}
    if latency is not None:
        spread = "" if ratio is None or ratio.low is None else f"{ratio.low:.2f} to {ratio.high:.2f}"
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
    cells["convolutions"] = ", ".join(f"{count} {name}" for name, count in engine.convolutions.items()) or "not told"
    if stats is None:
        return cells
    drop = stats.drop_pp is not None and not reference
    agreement, sqnr = stats.agreement_percent, stats.sqnr_db
    return cells | {
        "top-1, %": "-" if stats.top1_percent is None else f"{stats.top1_percent:.2f}",
        **({} if stats.top5_percent is None else {"top-5, %": f"{stats.top5_percent:.2f}"}),
        "lost, won": f"{stats.lost}, {stats.won} (p {stats.mcnemar_p:.2f})" if drop else "-",
        "drop, pp": f"{stats.drop_pp:+.2f}" if drop else "-",
        "  95 % interval, pp": f"{stats.drop_low_pp:+.2f} to {stats.drop_high_pp:+.2f}" if drop else "-",
        "agreement, %": "-" if reference or agreement is None else f"{agreement:.2f}",
        "SQNR, dB": "-" if reference else "exact" if sqnr is None else f"{sqnr:.1f}",
        "calibration error, pp": "-" if stats.ece_percent is None else f"{stats.ece_percent:.2f}",
    }


def search_table(result: SearchResult, *, modules: int = 20) -> str:
    """The modules that cost most, the engines that none beats, and the lines of a target file for the chosen one."""
    found = result.sensitivities
    total = sum(module.multiply_adds for module in found.modules)
    lines = [f"{'module':<32} {'of the noise':>12} {'of the work':>12}"]
    lines += [
        f"{module.node:<32} {100 * module.share:>10.1f} % {100 * module.multiply_adds / total:>10.1f} %"
        for module in found.modules[:modules]
    ]
    if len(found.modules) > modules:
        lines.append(f"and {len(found.modules) - modules} more: --json")
    if not result.candidates:
        return "\n".join(lines)
    lines += ["", f"{'time of all INT8':>16} {'SQNR, dB':>9} {'drop at most, pp':>17}  in float"]
    for candidate in result.pareto:
        mark = "*" if candidate == result.chosen else " "
        drop = "-" if candidate.drop_upper95_pp is None else f"{candidate.drop_upper95_pp:.2f}"
        quality = "exact" if candidate.sqnr_db is None else f"{candidate.sqnr_db:.1f}"
        names = ", ".join(candidate.keep_float[:4]) + (", ..." if len(candidate.keep_float) > 4 else "")
        lines.append(f"{mark} {candidate.time_ratio:>13.3f}x {quality:>9} {drop:>17}  {names or 'nothing'}")
    if result.chosen is not None and result.chosen.keep_float:
        lines += ["", "for the target file:", "[quant]", f"keep_float = {json.dumps(list(result.chosen.keep_float))}"]
    return "\n".join(lines)
