"""Every error has an exit code of its own and a hint."""

from __future__ import annotations

import pytest

from edge_scnet.errors import EdgeError, ExitCode, first_line, worst


def test_every_error_has_an_exit_code_of_its_own_and_a_hint():
    kinds = EdgeError.__subclasses__()
    codes = [kind.exit_code for kind in kinds]
    assert sorted(codes) == list(range(3, 10)) and all(isinstance(c, ExitCode) for c in codes)
    for kind in kinds:
        assert kind("what").hint == kind.default_hint != EdgeError.default_hint
        assert kind("what", hint="how").hint == "how" and str(kind("what")) == "what"
        assert kind.__doc__


def test_the_verdicts_of_a_gate_have_codes_behind_the_errors():
    assert [code for code in ExitCode if 10 <= code < 130] == [
        ExitCode.ACCURACY,
        ExitCode.SPEED,
        ExitCode.INCOMPARABLE,
        ExitCode.INCONCLUSIVE,
    ]
    assert f"{ExitCode.INTERRUPTED:d}" == "130"


@pytest.mark.parametrize(
    ("text", "line"), [("\none\ntwo", "one"), ("", "ValueError"), (" \n ", "ValueError")]
)
def test_the_first_line_of_an_exception(text: str, line: str):
    assert first_line(ValueError(text)) == line


@pytest.mark.parametrize(
    ("codes", "counts"),
    [
        ((), 0),
        ((0, 0), 0),
        ((13, 10, 0), 10),
        ((10, 8), 8),
        # a verdict of others must not hide that one was never judged
        ((13, 130), 130),
        ((130, 9), 9),
        ((1, 3), 1),
    ],
)
def test_the_worst_of_several_exit_codes(codes: tuple[int, ...], counts: int):
    assert worst(codes) == counts
