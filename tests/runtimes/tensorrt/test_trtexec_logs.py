"""Logs of trtexec in the shapes that its versions were seen to write, and what they tell.

All texts are synthetic: written by hand after the program's formats, numbers made up.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge_scnet.runtimes.tensorrt import trtexec

_AT = "[11/02/2026-10:11:12]"
_FAILED_TO_PARSE = (
    f"{_AT} [E] Failed to parse onnx file\n{_AT} [E] Parsing model failed\n"
    f"{_AT} [E] Engine set up failed\n"
)


def _run(version: str, body: str, outcome: str = "PASSED", options: str = "--onnx=a.onnx") -> str:
    """A log: the banner, what a run prints, the outcome.

    Args:
        version: what stands in the brackets of the banner, and behind them; empty: no brackets.
    """
    tag = f" [TensorRT {version}" if version else ""
    return (
        f"&&&& RUNNING TensorRT.trtexec{tag} # /usr/src/tensorrt/bin/trtexec {options}\n{body}"
        + (f"&&&& {outcome} TensorRT.trtexec{tag} # trtexec {options}\n" if outcome else "")
    )


def _summary(qps: str, ms: str, percentiles: str = "90 95 99") -> str:
    """The performance summary."""
    shown = "".join(f", percentile({p}%) = 9.5 ms" for p in percentiles.split())
    rows = "".join(
        f"{_AT} [I] {name}: min = {low} ms, max = 9.9 ms, mean = {low} ms, median = {low}"
        f" ms{shown}\n"
        for name, low in (
            ("Latency", "3.5"),
            ("Enqueue Time", "0.25"),
            ("H2D Latency", "0.05"),
            ("GPU Compute Time", ms),
            ("D2H Latency", "0.01"),
        )
    )
    return (
        f"{_AT} [I] === Performance summary ===\n{_AT} [I] Throughput: {qps} qps\n{rows}"
        f"{_AT} [I] Total Host Walltime: 3.01 s\n{_AT} [I] \n"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A log and what it tells; `error` is what the first error must hold."""

    text: str
    version: str | None
    passed: bool
    rate: float | None = None
    median: float | None = None
    error: tuple[str, ...] = ()


_NOTES = (
    f"{_AT} [W] * GPU compute time is unstable, with coefficient of variance = 3.1%.\n"
    f"{_AT} [W]   If not already in use, locking GPU clock frequency may improve the stability.\n"
)
_OTHER_VERSION = (
    f"{_AT} [E] Error[1]: [stdArchiveReader.cpp::StdArchiveReader::32] Error Code 1: Serialization"
    " (Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed.)\n"
    f"{_AT} [E] Engine deserialization failed\n"
)
_PARSER = (
    f'{_AT} [E] [TRT] ModelImporter.cpp:949: While parsing node number 7 [Tile -> "/Tile_out"]:\n'
    f"{_AT} [E] [TRT] ModelImporter.cpp:952: --- Begin node ---\n"
    'input: "/Unsqueeze_out"\noutput: "/Tile_out"\nname: "/Tile"\nop_type: "Tile"\n\n'
    f"{_AT} [E] [TRT] ModelImporter.cpp:953: --- End node ---\n"
    f"{_AT} [E] [TRT] ModelImporter.cpp:955: ERROR: ModelImporter.cpp:180 In function parseNode:\n"
    "[6] Invalid Node - /Tile\nrepeats must be known when the engine is built\n"
    f"{_FAILED_TO_PARSE}"
)

CASES = {
    "1: 8.5.2, Orin Nano": _Case(
        text=_run("v8502]", _summary("97.51", "10.25")),
        version="8.5.2",
        passed=True,
        rate=97.51,
        median=10.25,
    ),
    "2: 8.5.0": _Case(
        text=_run("v8500]", _summary("136.2", "7.3125")),
        version="8.5.0",
        passed=True,
        rate=136.2,
        median=7.3125,
    ),
    "3: 8.5.3, notes": _Case(
        text=_run("v8503]", _summary("612.1", "1.625") + _NOTES),
        version="8.5.3",
        passed=True,
        rate=612.1,
        median=1.625,
    ),
    "4: 8.5.2, Xavier, a profile without a summary": _Case(
        text=_run(
            "v8502]", f"{_AT} [I] === Profile (50 iterations ) ===\n", options="--dumpProfile"
        ),
        version="8.5.2",
        passed=True,
    ),
    "5: 8.5.2, a failed run and a second one": _Case(
        text=_run("v8502]", f"{_AT} [E] Unknown option: --useCudagraph\n", "FAILED")
        + _run("v8502]", _summary("88.25", "11.5")),
        version="8.5.2",
        passed=True,
        rate=88.25,
        median=11.5,
        error=("Unknown option",),
    ),
    "6: 8.6.1, a loaded plan": _Case(
        text=_run("v8601]", _summary("214.5", "4.625"), options="--loadEngine=a.plan"),
        version="8.6.1",
        passed=True,
        rate=214.5,
        median=4.625,
    ),
    "7: 8.6.1, a static dimension": _Case(
        text=_run(
            "v8601]",
            f"{_AT} [E] Error[3]: [profile.cpp::setDimensions::118] Error Code 3: API Usage Error"
            " (static dimension mismatch)\n",
            "FAILED",
        ),
        version="8.6.1",
        passed=False,
        error=("Error[3]", "static dimension mismatch"),
    ),
    "8: 8.6.0, no implementation": _Case(
        text=_run(
            "v8600]",
            f"{_AT} [E] Error[10]: Could not find any implementation for node conv1 + relu.\n"
            f"{_AT} [E] Error[10]: [optimizer.cpp::computeCosts::3869] Error Code 10\n",
            "FAILED",
        ),
        version="8.6.0",
        passed=False,
        error=("Could not find any implementation for node conv1",),
    ),
    "9: 8.6.11 of DriveOS, built only": _Case(
        text=_run(
            "v8611]",
            f"{_AT} [I] Skipped inference phase since --skipInference is added.\n",
            options="--skipInference",
        ),
        version="8.6.11",
        passed=True,
    ),
    "10: 10.0.1, a plan of another version": _Case(
        text=_run("v100001]", _OTHER_VERSION, "FAILED", "--loadEngine=a.plan"),
        version="10.0.1",
        passed=False,
        error=("Error[1]", "kSERIALIZATION_VERSION"),
    ),
    "11: 10.3.0 on a Jetson": _Case(
        text=_run("v100300]", _summary("321.25", "3.125")),
        version="10.3.0",
        passed=True,
        rate=321.25,
        median=3.125,
    ),
    "12: 10.3.0, a slow network": _Case(
        text=_run("v100300]", _summary("3.875", "258.5")),
        version="10.3.0",
        passed=True,
        rate=3.875,
        median=258.5,
    ),
    "13: 10.3.0, the parser names the node first and the cause below": _Case(
        text=_run("v100300]", _PARSER, "FAILED"),
        version="10.3.0",
        passed=False,
        error=("While parsing node number 7", "Invalid Node - /Tile repeats must be known"),
    ),
    "14: 10.16.0, --version": _Case(
        text=_run("v101600] [b72]", "", "", "--version"), version="10.16.0", passed=False
    ),
    "15: 10.16.1, failed": _Case(
        text=_run(
            "v101601] [b11]", f"{_AT} [E] Model missing or format not recognized\n", "FAILED"
        ),
        version="10.16.1",
        passed=False,
        error=("Model missing",),
    ),
    "16: 10.16.2 on JetPack 7.2.1, --help": _Case(
        text=_run(
            "v101602] [b10]", "=== Model Options ===\n  --onnx=<file>   ONNX model\n", "", "--help"
        ),
        version="10.16.2",
        passed=False,
    ),
    "17: 11.0.0": _Case(
        text=_run("v110000] [b114]", _summary("2011.5", "0.4875")),
        version="11.0.0",
        passed=True,
        rate=2011.5,
        median=0.4875,
    ),
    "18: 11.1.0": _Case(
        text=_run("v110100] [b106]", _summary("1.2e+03", "0.8125")),
        version="11.1.0",
        passed=True,
        rate=1200.0,
        median=0.8125,
    ),
    "19: 11.2.1, mixed types": _Case(
        text=_run(
            "v110201] [b3]",
            f"{_AT} [E] Error[4]: ITensor::getDimensions: Error Code 4: API Usage Error (input has"
            " type Half but must have type Float)\n",
            "FAILED",
        ),
        version="11.2.1",
        passed=False,
        error=("Error[4]", "must have type Float"),
    ),
    "20: 8.4.1; and 8.2, without percentiles of 90 and 95": _Case(
        text=_run("v8401]", _summary("502.5", "1.9375", "99")),
        version="8.4.1",
        passed=True,
        rate=502.5,
        median=1.9375,
    ),
    "21: 7.x, no version in the banner": _Case(
        text=_run("", f"{_AT} [I] mean: 4.5 ms\n"), version=None, passed=True
    ),
    "22: a banner with dots": _Case(
        text=_run("v11.1.0.106] [b48]", _summary("1811.5", "0.5625")),
        version="11.1.0",
        passed=True,
        rate=1811.5,
        median=0.5625,
    ),
    "22: a banner with dots and no build": _Case(
        text=_run("v10.8.0]", _summary("1811.5", "0.5625")),
        version="10.8.0",
        passed=True,
        rate=1811.5,
        median=0.5625,
    ),
    "23: 10.13.3, passed after errors": _Case(
        text=_run(
            "v101303] [b9]",
            f"{_AT} [E] Error[9]: Skipping tactic 0x0\n{_summary('1995.5', '0.5')}",
        ),
        version="10.13.3",
        passed=True,
        rate=1995.5,
        median=0.5,
        error=("Skipping tactic",),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_log(case: _Case) -> None:
    log = trtexec.parse_log(case.text)
    assert (log.version, log.passed) == (case.version, case.passed)
    assert (log.queries_per_second, log.gpu_median_ms) == (case.rate, case.median)
    if not case.error:
        assert log.first_error is None
    for words in case.error:
        assert words in (log.first_error or "")


def test_the_cause_of_a_parsers_error_ends_at_the_next_line_with_a_tag() -> None:
    log = trtexec.parse_log(
        CASES["13: 10.3.0, the parser names the node first and the cause below"].text
    )
    assert log.first_error is not None and "Failed to parse" not in log.first_error
    assert "op_type" not in log.first_error
    # where the log ends before the cause, what follows the first line is shown
    early = _run("v100300]", f'{_AT} [E] While parsing node number 1 [Pad -> "p"]:\n[8] no pads\n')
    assert (trtexec.parse_log(early).first_error or "").endswith('[Pad -> "p"]: [8] no pads')
    one_line = _PARSER.replace("parseNode:\n[6]", "parseNode: [6]")
    assert "Invalid Node - /Tile" in (trtexec.parse_log(one_line).first_error or "")


def test_a_summary_that_is_missing_is_named() -> None:
    log = trtexec.parse_log(CASES["4: 8.5.2, Xavier, a profile without a summary"].text)
    with pytest.raises(ValueError, match="no line 'Throughput"):
        trtexec.check_round(log, (1,))
