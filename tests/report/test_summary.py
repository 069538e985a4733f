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


def test_each_figure_of_a_task_has_a_row_for_its_interval() -> None:
    """F1 decides beside mAP: how sure it is stands below it, as below mAP."""
    from edge_scnet.report.summary import summary_rows
    from edge_scnet.stats.figures import AccuracyStats, Metric, TaskStats
    from tests.helpers.reports import report

    figures = {"unit": "%", "reference": 80.0, "higher_is_better": True}
    # the loss of an engine that is equal, by a figure that is better when it is lower
    zero = {"loss": -0.0, "loss_low": -0.0, "loss_high": -0.0}
    error = Metric(
        name="error",
        unit="px",
        value=2.0,
        reference=2.0,
        higher_is_better=False,
        **zero,
    )
    mean_ap = Metric(name="mAP", value=79.9, loss=0.1, loss_low=-0.2, loss_high=0.4, **figures)
    f1 = Metric(name="F1", value=78.0, loss=2.0, loss_low=1.25, loss_high=2.75, **figures)
    stats = TaskStats(task="multilabel", samples=500, truth="a table", metrics=(mean_ap, f1, error))
    accuracy = AccuracyStats(
        images=500, agreement_percent=None, agreeing=None, sqnr_db=30.0, labels=None, task=stats
    )
    made = report()
    rows = dict(
        summary_rows(
            replace(made, engines=tuple(replace(e, accuracy=accuracy) for e in made.engines))
        )[1]
    )
    assert rows["  95 % interval of the loss"] == ["-", "-0.20 to +0.40"]
    assert rows["  loss of F1, 95 %"] == ["-", "+1.25 to +2.75"]
    assert rows["  loss of error, 95 %"] == ["-", "+0 to +0"]
    titles = list(rows)
    assert titles.index("  loss of F1, 95 %") == titles.index("  loss of F1, pp") + 1


def test_many_engines_are_in_tables_below_each_other() -> None:
    from rich.console import Console
    from rich.table import Table

    from edge_scnet.report.summary import tables_in
    from tests.helpers.reports import report

    made = report()
    many = replace(made, engines=tuple(replace(e, name="e" * 18) for e in made.engines * 2))

    def widest(table: Table) -> int:
        return Console(width=1000).measure(table).maximum

    parts = tables_in(many, width=80, widest_of=widest)
    assert sum(len(part.columns) - 1 for part in parts) == len(many.engines) > len(parts) > 1
    assert max(map(widest, parts)) <= 80
    assert len(tables_in(made, width=80, widest_of=widest)) == 1
