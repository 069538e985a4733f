"""Figures to expect, as people write them."""

from __future__ import annotations

import pytest

from edge_scnet.config.expectation import Expectation, expectation, expectations


@pytest.mark.parametrize(
    ("given", "metric", "value", "tolerance"),
    [
        (94.1, None, 94.1, None),
        ("94.1", None, 94.1, None),
        ("top1=94.1", "top1", 94.1, None),
        ("top1 = 94.1 %", "top1", 94.1, None),
        ("ap50=61.2±0.3", "ap50", 61.2, 0.3),
        ("ap50=61.2+-0.3", "ap50", 61.2, 0.3),
        ("mean error=0.05 +/- .01", "mean error", 0.05, 0.01),
        ("F1 of a=b=7e1±0", "F1 of a=b", 70.0, 0.0),
        ("sqnr=-3", "sqnr", -3.0, None),
    ],
)
def test_the_forms(given: str | float, metric: str, value: float, tolerance: float) -> None:
    assert expectation(given) == Expectation(metric=metric, value=value, tolerance=tolerance)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "top1",
        "top1=",
        "=94",
        "top1=abc",
        "top1=nan",
        "1e999",
        "94±",
        "94±-1",
        "--=1",
        "9" * 300,
    ],
)
def test_what_is_none_is_refused_with_the_forms(given: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: top1=94\.1"):
        expectation(given)


def test_several_are_read_and_none_twice() -> None:
    assert [item.value for item in expectations(["top1=90", "top5=99"])] == [90.0, 99.0]
    assert expectations(None) == expectations(()) == ()
    with pytest.raises(ValueError, match="top1 is expected twice"):
        expectations(["top1=90", "Top-1=91"])
