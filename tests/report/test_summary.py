"""The table on the terminal."""

from __future__ import annotations

from dataclasses import replace


def test_the_table_shows_a_plans_memory_where_it_is_known() -> None:
    from rich.console import Console

    from edge_scnet.report.run_report import EngineReport, RunReport
    from edge_scnet.report.summary import table
    from edge_scnet.stats.figures import MemoryStats
    from edge_scnet.stats.timing import latency_stats

    memory = MemoryStats(
        before_load_bytes=1 << 20, load_peak_bytes=200 << 20, steady_bytes=150 << 20
    )
    plain = EngineReport(
        name="fp16",
        role="reference",
        runtime="tensorrt",
        file="engine-fp16.plan",
        sha256="",
        size_bytes=1,
        precision_hint="f32",
        convolutions={},
        other_layers={},
        load_seconds=1.0,
        warm_up_seconds=1.0,
        latency=latency_stats([[1_000_000] * 6]),
        speedup=None,
        throughput_per_second=1.0,
        memory=memory,
        accuracy=None,
    )
    told = replace(
        plain, memory=replace(memory, device_activation_bytes=3 << 19, ram_delta_bytes=70 << 20)
    )
    report = RunReport(
        schema=1,
        created_utc="",
        command="",
        model="m",
        target="t",
        batch=1,
        engines=(plain, told),
        evaluation=None,
        findings=(),
        verdict="",
        stage_seconds={},
        environment={},
    )
    console = Console(width=80)
    with console.capture() as shown:
        console.print(table(report))
    rows = [line.split() for line in shown.get().splitlines()]
    assert ["activations", "on", "the", "GPU,", "MB", "-", "1.5"] in rows
    assert ["RAM", "of", "the", "machine,", "MB", "-", "+70"] in rows
