"""What a report's figures are worth, in words.

It tells of a machine that was not quiet, of times in heaps, of memory that grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge_scnet.core.provenance import Recovery
from edge_scnet.machine.load import MachineLoad
from edge_scnet.report.costs import advice_lines
from edge_scnet.report.mixed import mixed_words
from edge_scnet.report.run_report import EngineReport, RunReport
from edge_scnet.stats.figures import EndToEnd, GraphTimes, Steadiness, SweepRow

# From these values on a figure is told. A quiet machine stays below: p90/p50 is 1.05 to 1.2 there,
# a drift some percent.
_NOISY = 1.3
_HEAPS_APART = 1.2
_DRIFT_PERCENT = 5.0
_SIGNIFICANT = 0.01
_BUSY_SHARE = 0.1
_STOLEN_PERCENT = 2.0
_LEAK_BYTES = 1 << 20
# OpenVINO's properties as Python spells them.
_SWITCHES = {"True": "on", "False": "off"}


def doubts(report: RunReport) -> tuple[str, ...]:
    """Returns what disturbed the measurement, a sentence each."""
    return tuple(_doubts(report))


def _doubts(report: RunReport) -> Iterator[str]:
    yield from _of_quota(report)
    yield from _of_load(report.load, "while engines were timed")
    for row in report.engines:
        yield from _of_engine(row, report.seconds)
    yield from _of_load(report.sweep_load, "during the sweep")
    restless = [cell for cell in report.sweep if any(_of_steadiness("", cell.steadiness))]
    if restless:
        first = ", ".join(_cell_name(cell) for cell in restless[:3]) + (
            ", ..." if len(restless) > 3 else ""
        )
        yield (
            f"in {len(restless)} of {len(report.sweep)} rows of the sweep times form heaps or"
            f" drift: {first}"
        )


def brief(report: RunReport) -> str | None:
    """Returns in one line what `doubts` tells in several; None where nothing disturbed."""
    sentences = doubts(report)
    if len(sentences) <= 1:
        return sentences[0] if sentences else None
    parts = tuple(_brief_parts(report))
    if not parts:
        return "; ".join(sentences)
    # what the machine grants is no noise: it decides the threads
    return "; ".join([*_of_quota(report), f"timings are noisy: {', '.join(parts)}"])


def _brief_parts(report: RunReport) -> Iterator[str]:
    timed = [row for row in report.engines if row.latency is not None]
    loads = [load for load in (report.load, report.sweep_load) if load is not None]
    busy = max((load for load in loads if _is_busy(load)), key=_others, default=None)
    if busy is not None:
        yield f"{busy.others_cores:.1f} of {busy.cores} cores busy with other work"
    stolen = max((load.stolen_percent for load in loads), default=0.0)
    if stolen >= _STOLEN_PERCENT:
        yield f"{stolen:.0f} % of the cores' time given to other machines"
    spreads = [row.latency.p90_ms / row.latency.p50_ms for row in timed if row.latency is not None]
    if any(spread >= _NOISY for spread in spreads):
        low, high = f"{min(spreads):.1f}", f"{max(spreads):.1f}"
        yield f"p90/p50 {high if low == high else f'{low} to {high}'}"
    states = [row.latency.steadiness for row in timed if row.latency is not None]
    told = [state for state in states if state is not None]
    heaps = [state for state in told if state.modes_ms[-1] >= _HEAPS_APART * state.modes_ms[0]]
    if heaps:
        yield f"times in {max(len(state.modes_ms) for state in heaps)} states"
    drifts = [
        drift
        for state in told
        if (drift := abs(state.drift_percent or 0.0)) >= _DRIFT_PERCENT
        and _significant(state.drift_p)
    ]
    if drifts:
        yield f"drift of {max(drifts):.0f} %"
    growing = [row.name for row in timed if _grows(row)]
    if growing:
        yield f"memory that grows ({', '.join(growing)})"


def _grows(row: EngineReport) -> bool:
    memory = row.memory
    return (
        memory is not None
        and (memory.growth_bytes or 0) >= _LEAK_BYTES
        and _significant(memory.growth_p)
    )


def _of_quota(report: RunReport) -> Iterator[str]:
    quota, cores = (report.environment.get(name) for name in ("cpu_quota_cores", "cores"))
    if isinstance(quota, int | float) and isinstance(cores, int) and quota < cores:
        threads = max(1, int(quota))
        number = f"{threads} thread{'s' * (threads > 1)}"
        yield (
            f"the control group grants the time of {quota:g} of {cores} cores: engines run with"
            f" {number}, unless the target says another number; beyond it they are throttled"
        )


def _cell_name(cell: SweepRow) -> str:
    threads = f", {cell.threads} thread{'s' * (cell.threads > 1)}" if cell.threads else ""
    return f"{cell.engine} at batch {cell.batch}{threads}"


def _others(load: MachineLoad) -> float:
    return load.others_cores


def _is_busy(load: MachineLoad) -> bool:
    return load.others_cores >= _BUSY_SHARE * load.cores


def _of_load(load: MachineLoad | None, when: str) -> Iterator[str]:
    if load is not None and _is_busy(load):
        yield f"other processes kept {load.others_cores:.1f} of {load.cores} cores busy {when}"
    if load is not None and load.stolen_percent >= _STOLEN_PERCENT:
        yield (
            f"a hypervisor gave {load.stolen_percent:.0f} % of the cores' time to other machines"
            f" {when}"
        )


def _of_steadiness(name: str, steady: Steadiness | None) -> Iterator[str]:
    if steady is None:
        return
    if steady.modes_ms[-1] >= _HEAPS_APART * steady.modes_ms[0]:
        parts = zip(steady.modes_ms, steady.mode_percents, strict=True)
        heaps = " and ".join(f"{ms:.3f} ms ({share:.0f} %)" for ms, share in parts)
        yield (
            f"{name}: its times form {len(steady.modes_ms)} heaps, {heaps}: the machine switches"
            " between states"
        )
    drift = steady.drift_percent or 0.0
    if abs(drift) >= _DRIFT_PERCENT and _significant(steady.drift_p):
        yield f"{name}: its time drifted by {drift:+.0f} % from the first block to the last"


def _of_engine(row: EngineReport, seconds: float | None) -> Iterator[str]:
    latency, memory = row.latency, row.memory
    if latency is None:
        return
    if seconds is not None and latency.p50_ms > 1e3 * seconds:
        yield (
            f"{row.name}: one inference takes longer than the {seconds:g} s asked for;"
            f" {latency.count} were timed all the same"
        )
    if row.warm_up_stable is False:
        yield (
            f"{row.name}: its time still changed after {row.warm_up_seconds:.1f} s of warm-up"
            f" ({row.warm_up_runs} runs)"
        )
    if latency.p90_ms >= _NOISY * latency.p50_ms:
        yield f"{row.name}: the machine was noisy: p90/p50 = {latency.p90_ms / latency.p50_ms:.1f}"
    yield from _of_steadiness(row.name, latency.steadiness)
    if memory is not None and _grows(row):
        yield (
            f"{row.name}: its memory grew by {(memory.growth_bytes or 0) / 2**20:.1f} MiB over"
            f" {latency.count} runs ({memory.growth_bytes_per_run:,.0f} bytes a run): a leak?"
        )


def _significant(p: float | None) -> bool:
    return p is not None and p < _SIGNIFICANT


def facts(report: RunReport) -> tuple[str, ...]:
    """Returns how the engines ran, and where their time goes: to the classes, and in a plan.

    Engines with the same settings share a line.
    """
    engines: dict[str, list[str]] = {}
    for row in report.engines:
        if row.settings:
            settings = ", ".join(
                f"{name} {_SWITCHES.get(value, value)}" for name, value in row.settings.items()
            )
            engines.setdefault(settings, []).append(row.name)
    lines = [f"{', '.join(names)}: {settings}" for settings, names in engines.items()]
    if report.task is not None:
        lines.insert(0, f"judged by: {report.task}")
    if report.recovery is not None:
        lines.append(recovery_words(report.recovery))
    for row in report.engines:
        if row.end_to_end is not None and row.role == "int8":
            fed = "; it takes bytes" if row.input is not None and row.input.is_bytes else ""
            lines.append(f"{row.name} end to end: {end_to_end_words(row.end_to_end)}{fed}")
    for row in report.engines:
        if row.cuda_graph is not None:
            lines.append(f"{row.name}: {graph_words(row.cuda_graph)}")
        lines.extend(advice_lines(row))
    lines += [
        f"{row.name}: what is not INT8 computes in BF16"
        for row in report.engines
        if row.precision_hint == "bf16"
    ]
    lines += [warm_words(row) for row in report.engines if row.warm_start is not None]
    if report.mixed is not None:
        lines.extend(mixed_words(report.mixed))
    return tuple(lines)


def warm_words(row: EngineReport) -> str:
    """Returns what an engine is loaded from, how long that takes, and how long without it."""
    warm = row.warm_start
    assert warm is not None and row.load_seconds is not None
    return (
        f"{row.name}: loaded from {warm.file} ({warm.size_bytes / 1e6:.1f} MB more) in"
        f" {1e3 * row.load_seconds:.0f} ms, {1e3 * warm.compiled_seconds:.0f} ms where"
        f" {row.file} is compiled"
    )


def recovery_words(recovery: Recovery) -> str:
    """Returns what --recover came to."""
    if recovery.before_db is None or recovery.after_db is None:
        return f"recovery: {recovery.outcome}; the quantized graph stays as it was"
    gain = f"{recovery.before_db:.1f} -> {recovery.after_db:.1f} dB"
    end = "" if recovery.kept else "; no gain: the quantized graph stays as it was"
    return (
        f"recovery: {gain} on {recovery.held_out} held-out calibration samples, {recovery.steps:,}"
        f" steps on {recovery.samples} others, {recovery.outcome}{end}"
    )


def graph_words(times: GraphTimes) -> str:
    """Returns which way of a plan was faster, with a CUDA graph or without, and by how much."""
    if times.with_p50_ms is None or times.speedup is None:
        return (
            f"timed without a CUDA graph ({times.without_p50_ms:.3f} ms), which cannot be recorded:"
            f" {times.fault or 'the cause is not told'}"
        )
    ratio = times.speedup
    spread = "" if ratio.low is None else f", {ratio.low:.2f} to {ratio.high:.2f}"
    known = ratio.low is not None and ratio.high is not None and not ratio.low <= 1 <= ratio.high
    return (
        f"with a CUDA graph {times.with_p50_ms:.3f} ms, without {times.without_p50_ms:.3f} ms"
        f" ({ratio.ratio:.2f}x{spread}): {'with' if times.used else 'without'} it is"
        f" {'faster' if known else 'not proven faster'}, and is what the figures are of"
    )


def machine_words(report: RunReport) -> str:
    """Returns the board or processor that a report is of, and its cores."""
    return environment_words(report.environment)


def environment_words(environment: Mapping[str, Any]) -> str:
    """Returns the board or processor of an environment as reports have it, and its cores."""
    name = (
        environment.get("jetson_model")
        or environment.get("board")
        or environment.get("cpu_model")
        or "machine not told"
    )
    cores = environment.get("cores")
    return f"{name}, {cores} core{'s' * (cores != 1)}" if cores else str(name)


def end_to_end_words(times: EndToEnd) -> str:
    """Returns the shares of the stages in a batch's time from the file to its classes."""
    total = sum(times.stages_ms.values())
    shares = (f"{stage} {100 * ms / total:.0f} %" for stage, ms in times.stages_ms.items())
    return ", ".join(shares) + _ahead_words(times)


def _ahead_words(times: EndToEnd) -> str:
    """What the loop takes whose next batch is prepared on another core."""
    if times.no_ahead is not None:
        return f"; prepared ahead: not timed, {times.no_ahead}"
    if (ahead := times.ahead) is None:
        return ""
    threads = f" on {ahead.threads} thread{'s' * (ahead.threads != 1)}" * (ahead.threads > 0)
    return (
        f"; prepared ahead on another core: {ahead.batch_ms:.3f} ms,"
        f" {ahead.overhead_percent:+.0f} % over the engine alone{threads}"
    )
