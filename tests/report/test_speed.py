"""The verdict on speed: what is proven faster, what is beaten, and what lies between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.report.findings import Finding
from edge_scnet.report.run_report import EngineReport
from edge_scnet.report.speed import PROCESSES_APART, Against, against, judge_speed
from edge_scnet.stats.figures import MemoryStats, RatioStats
from edge_scnet.stats.timing import latency_stats
from tests.helpers.reports import report

RATIOS = {"faster": (1.2, 1.1, 1.3), "slower": (0.8, 0.7, 0.9), "undecided": (1.0, 0.8, 1.2)}
# by the answers in latency and throughput against the one other row
WANTED = {
    ("faster", "faster"): "pass",
    ("faster", "undecided"): "pass",
    ("undecided", "faster"): "pass",
    ("faster", "slower"): "inconclusive",
    ("slower", "faster"): "inconclusive",
    ("undecided", "undecided"): "inconclusive",
    ("undecided", "slower"): "inconclusive",
    ("slower", "undecided"): "inconclusive",
    ("slower", "slower"): "fail",
}
CODES = {"pass": 0, "fail": 11, "inconclusive": 13}


def ratio(value: float, low: float | None = None, high: float | None = None) -> RatioStats:
    return RatioStats(ratio=value, low=low, high=high, rounds=12 if low else 1)


def row(alone: str, many: str, name: str = "fp32", **changes: Any) -> Against:
    """What one other row is worth: the answers in latency and in throughput."""
    made = Against(name=name, latency=ratio(*RATIOS[alone]), throughput=ratio(*RATIOS[many]))
    return replace(made, **changes)


def judge(*rows: Against, **gates: float) -> Finding:
    return judge_speed(rows, gates=Gates(**gates), batch=1)


@pytest.mark.parametrize(("answers", "verdict"), WANTED.items())
def test_against_one_other(answers: tuple[str, str], verdict: str) -> None:
    finding = judge(row(*answers))
    assert (finding.verdict, finding.exit_code) == (verdict, CODES[verdict])
    assert finding.measured == RATIOS[answers[0]][0]
    assert "FP32's speed at batch 1" in finding.message and "throughput" in finding.message


@pytest.mark.parametrize("first", WANTED)
@pytest.mark.parametrize("second", WANTED)
def test_against_two_others(first: tuple[str, str], second: tuple[str, str]) -> None:
    """All 81: shipped is what one figure proves against both, the other not proven slower."""
    proven = any(
        {first[i], second[i]} == {"faster"} and "slower" not in (first[1 - i], second[1 - i])
        for i in (0, 1)
    )
    beaten = ("slower", "slower") in (first, second)
    wanted = "fail" if beaten else "pass" if proven else "inconclusive"
    assert judge(row(*first), row(*second, name="default")).verdict == wanted


def test_the_verdict_that_was_printed_once_is_impossible() -> None:
    """Seen: "ship INT8: 0.92x (0.66 to 1.18) FP32's speed, 0.31x the best other's throughput"."""
    for throughput in (ratio(0.31), ratio(0.31, 0.2, 0.4), ratio(0.31, 0.2, 1.2)):
        found = judge(Against(name="fp32", latency=ratio(0.92, 0.66, 1.18), throughput=throughput))
        assert (found.verdict, found.exit_code) == ("inconclusive", 13)


@pytest.mark.parametrize(
    ("latency", "throughput", "verdict"),
    [
        # one figure of throughput, of a board's or an older report: latency alone may prove it
        (ratio(1.2, 1.1, 1.3), ratio(1.0), "pass"),
        (ratio(1.2, 1.1, 1.3), ratio(0.99), "inconclusive"),
        (ratio(1.0, 0.9, 1.1), ratio(3.0), "inconclusive"),
        (ratio(0.8, 0.7, 0.9), ratio(0.1), "inconclusive"),  # beaten by one figure: not proven
        (ratio(1.2, 1.1, 1.3), None, "inconclusive"),  # throughput was not measured
        # too few rounds
        (ratio(1.5), ratio(1.2, 1.1, 1.3), "pass"),
        (ratio(0.9), ratio(1.2, 1.1, 1.3), "inconclusive"),
        (ratio(1.5), ratio(1.5), "inconclusive"),
        (None, None, "inconclusive"),
    ],
)
def test_without_an_interval_little_is_proven(
    latency: RatioStats | None, throughput: RatioStats | None, verdict: str
) -> None:
    found = judge(Against(name="fp16", latency=latency, throughput=throughput))
    assert (found.verdict, found.exit_code) == (verdict, CODES[verdict])


def test_within_the_spread_of_processes_nothing_is_proven() -> None:
    edge = 1 + PROCESSES_APART
    near = ratio(edge, edge - 0.005, edge + 0.005)
    assert judge(row("undecided", "undecided", latency=near)).verdict == "inconclusive"
    beyond = ratio(edge + 0.01, edge + 0.001, edge + 0.02)
    assert judge(row("undecided", "undecided", latency=beyond)).verdict == "pass"
    same = row("undecided", "undecided", latency=ratio(1, 0.99, 1.01), throughput=ratio(1, 1, 1.01))
    words = judge(same).message
    assert "no difference worth the name" in words and "--seconds" not in words


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [row("undecided", "undecided")],
            "it is not proven faster than fp32 in latency (1.00x (0.80 to 1.20)) and not proven"
            " faster than fp32 in throughput (1.00x (0.80 to 1.20)); the measurement is too noisy"
            " to tell: measure longer (--seconds 10 or more), with nothing else running on the"
            " machine and its clocks pinned",
        ),
        (
            [row("faster", "slower")],
            "it is faster in latency but slower than fp32 in throughput (0.80x (0.70 to 0.90)):"
            " which of them counts is not for this verdict to say",
        ),
        (
            [row("faster", "faster"), row("faster", "slower", "default")],
            "slower than default in throughput",
        ),
        (
            [row("slower", "undecided")],
            "it is slower than fp32 in latency (0.80x (0.70 to 0.90)) and not proven faster",
        ),
        ([row("faster", "undecided", throughput=ratio(0.9))], "one figure without an interval"),
        ([row("undecided", "undecided", latency=ratio(1.4))], "too few rounds for an interval"),
        ([row("slower", "slower")], "fp32 is faster in latency and throughput (0.80x"),
    ],
)
def test_the_message_names_the_cause(rows: list[Against], words: str) -> None:
    assert words in judge(*rows).message


def test_a_smaller_engine_ships_where_the_target_asks_for_that() -> None:
    small = row("undecided", "undecided", size_gain_percent=70.0, memory_gain_percent=10.0)
    assert judge(small).verdict == "inconclusive"
    found = judge(small, min_size_gain_percent=50.0)
    assert found.verdict == "pass"
    assert "its files are 70 % smaller than any other's" in found.message
    assert judge(small, min_size_gain_percent=75.0).verdict == "inconclusive"
    assert judge(small, min_memory_gain_percent=10.0).verdict == "pass"
    # every other row counts, and one whose memory nobody measured proves nothing
    same_size = row("undecided", "undecided", "default", size_gain_percent=0.0)
    assert judge(small, same_size, min_size_gain_percent=50.0).verdict == "inconclusive"
    assert judge(small, same_size, min_memory_gain_percent=10.0).verdict == "inconclusive"
    # what another beats in everything else does not ship for its size
    beaten = row("slower", "slower", size_gain_percent=70.0)
    assert judge(beaten, min_size_gain_percent=50.0).verdict == "fail"


def test_nothing_to_compare_with_proves_nothing() -> None:
    assert judge().verdict == "inconclusive"


def rows_of(times: list[float], rates: list[float]) -> list[EngineReport]:
    """Two rows of 12 rounds; the second takes `times` ms where the first takes 1, at `rates`."""
    first, second = report().engines
    drift = [1.0, 1.4, 0.9] * 4
    made = []
    for row_of, in_ms, of_rate in ((first, [1.0] * 12, [1.0] * 12), (second, times, rates)):
        blocks = [[round(1e6 * ms * k)] * 3 for ms, k in zip(in_ms, drift, strict=True)]
        windows = tuple(rate / k for rate, k in zip(of_rate, drift, strict=True))
        latency = latency_stats(blocks)
        made.append(replace(row_of, latency=latency, throughput_windows=windows))
    return made


def test_rows_are_compared_block_by_block_and_window_by_window() -> None:
    first, second = rows_of([0.5] * 12, [3.0] * 12)
    found = against(second, first)
    assert found.latency is not None and found.throughput is not None
    # the machine's drift, 40 %, is in none of them
    assert found.latency.ratio == pytest.approx(2) and found.latency.low == pytest.approx(2)
    assert (found.throughput.low, found.throughput.high) == pytest.approx((3, 3))
    assert found.size_gain_percent == pytest.approx(
        100 * (1 - second.size_bytes / first.size_bytes)
    )
    back = against(first, second)
    assert back.latency is not None and back.latency.ratio == pytest.approx(0.5)


def test_reports_without_blocks_are_compared_through_the_first_row() -> None:
    first, second = rows_of([0.5] * 12, [3.0] * 12)
    third = replace(second, name="default", speedup=ratio(1.6, 1.5, 1.7), throughput_windows=())
    assert second.latency is not None and third.latency is not None
    bare = replace(second.latency, samples_ns=(1,), blocks=())
    old = replace(second, latency=bare, speedup=ratio(2.0, 1.9, 2.1), throughput_ratio=None)
    found = against(old, third)
    assert found.latency is not None and found.latency.ratio == pytest.approx(2.0 / 1.6)
    assert found.latency.low == pytest.approx(1.9 / 1.7)
    assert found.latency.high == pytest.approx(2.1 / 1.5)
    assert found.throughput is not None and found.throughput.low is None
    to_first = against(old, first).latency
    assert to_first is not None and to_first.low == 1.9


def test_memory_counts_beyond_what_it_varies_by() -> None:
    first, second = report().engines

    def with_memory(made: EngineReport, mib: int, **changes: int) -> EngineReport:
        memory = MemoryStats(before_load_bytes=0, load_peak_bytes=0, steady_bytes=mib << 20)
        return replace(made, memory=replace(memory, **changes))

    found = against(with_memory(second, 77), with_memory(first, 100))
    assert found.memory_gain_percent == pytest.approx(20.0)
    # a plan's memory is the driver's: the machine's use is what counts
    plans = [
        with_memory(made, 100, device_activation_bytes=1, ram_delta_bytes=mib << 20)
        for made, mib in ((second, 47), (first, 100))
    ]
    assert against(*plans).memory_gain_percent == pytest.approx(50.0)
    assert against(plans[0], with_memory(first, 100)).memory_gain_percent is None
