"""What a mix of INT8 and float would bring, in words."""

from __future__ import annotations

from dataclasses import replace

from edge_scnet.report import notes
from edge_scnet.report.mixed import FloatModule, MixedPrecision, mixed_words
from tests.helpers.reports import report

MIXED = MixedPrecision(
    modules=tuple(FloatModule(name=name, noise_percent=20.0) for name in ("stem", "head")),
    of_modules=54,
    keeps_limit=True,
    limit="6 dB more than all INT8",
    int8_sqnr_db=14.3,
    sqnr_db=21.0,
    time_ratio=1.02,
    time_low=1.01,
    time_high=1.03,
    float_work_percent=7.0,
    images=100,
    seconds=20.0,
    command="edge-scnet build net.onnx --search 120",
)


def test_the_modules_their_measured_price_and_the_command_are_told() -> None:
    told = mixed_words(MIXED)
    assert told == (
        "mixed precision: 2 of 54 modules cause 40 % of INT8's noise: stem, head",
        "  with them in float, measured on 100 calibration images: 14.3 dB becomes 21.0 dB, which"
        " keeps 6 dB more than all INT8; measured time: 1.02x all INT8's (1.01 to 1.03)",
        "  to build and judge it: edge-scnet build net.onnx --search 120",
    )
    few = mixed_words(replace(MIXED, needs_images=537))[-1]
    assert few == (
        "  to build and judge it, with 537 or more calibration images, for fewer cannot prove that"
        " the drop is within its limit: edge-scnet build net.onnx --search 120"
    )
    assert "--max-drop above 0" in mixed_words(replace(MIXED, needs_images=0))[-1]
    # the terminal and the page show the facts of a report
    assert notes.facts(replace(report(), mixed=MIXED))[-3:] == told


def test_what_was_not_timed_or_keeps_no_limit_is_said_to() -> None:
    many = tuple(FloatModule(name=f"m{i}", noise_percent=5.0) for i in range(8))
    mixed = replace(
        MIXED, modules=many, keeps_limit=False, time_ratio=None, time_low=None, time_high=None
    )
    first, second, _, board = mixed_words(mixed)
    assert "--search-on-board" in board and "compile bundle.tar.gz --search" in board
    assert first.endswith("m0, m1, m2, m3, m4, m5 and 2 more")
    assert "which still misses 6 dB more than all INT8 (the closest that was simulated);" in second
    assert second.endswith(
        "7.0 % of the multiply-adds are in float then; times are not measured here"
    )
