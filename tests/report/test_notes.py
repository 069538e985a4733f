"""What disturbed a measurement, in words."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import pytest

from edge_scnet.machine.load import MachineLoad
from edge_scnet.report import notes
from edge_scnet.report.store import load_report
from edge_scnet.stats.figures import MemoryStats, Steadiness, WarmStart
from edge_scnet.stats.timing import graph_times, latency_stats
from tests.helpers.reports import OLD, full_report, report


def test_a_quiet_machine_leaves_nothing_to_say() -> None:
    assert notes.doubts(full_report()) == ()
    assert notes.doubts(load_report(OLD)) == ()
    assert notes.facts(full_report()) == (
        "fp32, int8: threads 2, hint LATENCY",
        "int8 end to end: decode 25 %, preprocess 25 %, infer 45 %, top-k 5 %; prepared ahead on"
        " another core: 1.050 ms, +5 % over the engine alone on 1 thread",
    )


def test_why_nothing_was_prepared_ahead_is_said_and_older_reports_say_nothing() -> None:
    times = full_report().engines[1].end_to_end
    assert times is not None
    shares = "decode 25 %, preprocess 25 %, infer 45 %, top-k 5 %"
    bare = replace(times, ahead=None)
    assert notes.end_to_end_words(bare) == shares
    alone = notes.end_to_end_words(replace(bare, no_ahead="there is one core"))
    assert alone == f"{shares}; prepared ahead: not timed, there is one core"


def test_an_engine_whose_float_layers_are_bf16_says_so() -> None:
    lines = notes.facts(report(int8={"precision_hint": "bf16"}))
    assert lines[-1] == "int8: what is not INT8 computes in BF16"


# the quantiles of a lognormal: wide, and one heap
WIDE = [int(1e6 * math.exp(0.5 * NormalDist().inv_cdf((k + 0.5) / 500))) for k in range(500)]


def steadiness(**changes: Any) -> dict[str, Any]:
    steady = Steadiness(drift_percent=0.0, drift_p=1.0, modes_ms=(1.0,), mode_percents=(100.0,))
    latency = replace(latency_stats([[1_000_000] * 100]), steadiness=replace(steady, **changes))
    return {"latency": latency}


def memory(growth: int, p: float) -> dict[str, Any]:
    stats = MemoryStats(
        before_load_bytes=1, load_peak_bytes=2, steady_bytes=3, growth_bytes=growth, growth_p=p
    )
    return {"memory": replace(stats, growth_bytes_per_run=growth / 100)}


@pytest.mark.parametrize(
    ("int8", "words"),
    [
        ({"latency": latency_stats([WIDE])}, "int8: the machine was noisy: p90/p50 = 1.9"),
        (
            steadiness(modes_ms=(0.5, 1.2), mode_percents=(44.0, 56.0)),
            (
                "int8: its times form 2 heaps, 0.500 ms (44 %) and 1.200 ms (56 %): the machine"
                " switches between states"
            ),
        ),
        (
            steadiness(drift_percent=12.0, drift_p=0.001),
            "int8: its time drifted by +12 % from the first block to the last",
        ),
        (steadiness(drift_percent=12.0, drift_p=0.2), None),
        (steadiness(drift_percent=2.0, drift_p=0.001), None),
        (
            {"warm_up_stable": False, "warm_up_seconds": 3.04, "warm_up_runs": 70},
            "int8: its time still changed after 3.0 s of warm-up (70 runs)",
        ),
        (
            memory(3 << 20, 0.001),
            "int8: its memory grew by 3.0 MiB over 100 runs (31,457 bytes a run): a leak?",
        ),
        (memory(3 << 20, 0.3), None),
        (memory(1000, 0.001), None),
        (
            {"latency": latency_stats([[4_000_000_000] * 100])},
            "int8: one inference takes longer than the 3 s asked for; 100 were timed all the same",
        ),
    ],
)
def test_what_disturbed_a_measurement_is_said(int8: dict[str, Any], words: str | None) -> None:
    assert notes.doubts(report(int8=int8, seconds=3.0)) == (() if words is None else (words,))


def test_a_busy_machine_is_said() -> None:
    load = MachineLoad(
        seconds=9.0, cores=2, others_cores=0.81, stolen_percent=4.4, mhz_low=None, mhz_high=None
    )
    assert notes.doubts(report(load=load)) == (
        "other processes kept 0.8 of 2 cores busy while engines were timed",
        "a hypervisor gave 4 % of the cores' time to other machines while engines were timed",
    )
    assert notes.doubts(report(load=replace(load, others_cores=0.1, stolen_percent=1.0))) == ()
    whole = full_report()
    switching = Steadiness(
        drift_percent=None, drift_p=None, modes_ms=(1.0, 2.0), mode_percents=(50.0, 50.0)
    )
    assert notes.doubts(
        replace(whole, sweep_load=load, sweep=(replace(whole.sweep[0], steadiness=switching),))
    ) == (
        "other processes kept 0.8 of 2 cores busy during the sweep",
        "a hypervisor gave 4 % of the cores' time to other machines during the sweep",
        "in 1 of 1 rows of the sweep times form heaps or drift: int8 at batch 8, 2 threads",
    )


def test_a_quota_below_the_cores_is_said() -> None:
    made = report()
    for quota, cores, threads in ((1.5, 4, 1), (0.5, 1, 1), (3, 4, 3)):
        facts = {**made.environment, "cpu_quota_cores": quota, "cores": cores}
        (doubt,) = notes.doubts(replace(made, environment=facts))
        assert (
            f"{quota:g} of {cores} cores: engines run with {threads} thread{'s' * (threads > 1)},"
            in doubt
        )
    for quota in (None, 4.0):
        facts = {**made.environment, "cpu_quota_cores": quota, "cores": 4}
        assert notes.doubts(replace(made, environment=facts)) == ()


@pytest.mark.parametrize(
    ("plain", "graph", "words"),
    [
        (
            [[1_000_000]] * 12,
            [[800_000]] * 12,
            "int8: with a CUDA graph 0.800 ms, without 1.000 ms (1.25x, 1.25 to 1.25): with it is"
            " faster, and is what the figures are of",
        ),
        (
            [[1_000_000], [900_000]] * 6,
            [[950_000], [1_020_000]] * 6,
            ": without it is not proven faster, and is what the figures are of",
        ),
        ([[1_000_000]] * 2, [[800_000]] * 2, "(1.25x): with it is not proven faster"),
    ],
)
def test_which_way_of_a_plan_was_faster_is_said(
    plain: list[list[int]], graph: list[list[int]], words: str
) -> None:
    lines = notes.facts(report(int8={"cuda_graph": graph_times(plain, graph)}))
    assert any(words in line for line in lines), lines


def test_a_graph_that_cannot_be_recorded_is_said() -> None:
    told = graph_times([[1_000_000]], (), "pycuda records no CUDA graphs")
    (line,) = [line for line in notes.facts(report(int8={"cuda_graph": told})) if "graph" in line]
    assert line == (
        "int8: timed without a CUDA graph (1.000 ms), which cannot be recorded: pycuda records no"
        " CUDA graphs"
    )


def test_many_doubts_fit_one_line() -> None:
    noisy = latency_stats([[1_000_000] * 30 + [2_000_000] * 30] * 10)
    load = MachineLoad(
        seconds=9.0, cores=2, others_cores=1.7, stolen_percent=0.0, mhz_low=None, mhz_high=None
    )
    made = report(int8={"latency": noisy}, load=load)
    line = notes.brief(made)
    assert len(notes.doubts(made)) > 2 and line is not None
    assert line.startswith("timings are noisy: 1.7 of 2 cores busy with other work, p90/p50 ")
    assert "times in 2 states" in line and len(line) < 100
    assert notes.brief(full_report()) is None
    one = report(load=load)
    assert (notes.brief(one),) == notes.doubts(one)
    stolen = replace(load, others_cores=0.0, stolen_percent=7.0)
    told = notes.brief(report(int8={"latency": noisy}, load=stolen))
    assert told is not None and "busy" not in told
    assert told.startswith("timings are noisy: 7 % of the cores' time given to other machines, ")
    throttled = replace(made, environment={**made.environment, "cores": 2, "cpu_quota_cores": 1.5})
    told = notes.brief(throttled)
    assert told is not None
    assert "grants the time of 1.5 of 2 cores: engines run with 1 thread" in told.split("; ")[0]
    assert "timings are noisy: 1.7 of 2 cores" in told


def test_switches_of_a_runtime_are_not_spelt_as_python_does() -> None:
    (line,) = [
        line
        for line in notes.facts(report(int8={"settings": {"pinning": "True", "hyper": "False"}}))
        if "pinning" in line
    ]
    assert line == "int8: pinning on, hyper off"


def test_one_core_is_no_cores() -> None:
    made = report()
    one = replace(made, environment={**made.environment, "cpu_model": "x", "cores": 1})
    assert notes.machine_words(one) == "x, 1 core"


def test_a_warm_start_is_told_with_what_it_saves() -> None:
    warm = WarmStart(file="model.blob", size_bytes=820_000, compiled_seconds=0.25)
    whole = report(int8={"warm_start": warm, "load_seconds": 0.06})
    assert notes.facts(whole) == (
        "int8: loaded from model.blob (0.8 MB more) in 60 ms, 250 ms where model.xml is compiled",
    )
