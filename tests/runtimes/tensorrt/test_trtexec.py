"""trtexec's words. Texts are synthetic: written by hand after its formats, numbers made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.runtimes.tensorrt import trtexec
from tests.helpers.data import DATA
from tests.helpers.tensorrt import fake_trtexec


@pytest.mark.parametrize("text", ["{}", "[]", "[1]", "[{}]", "no"])
def test_times_that_tell_nothing_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"computeMs|no queries|Expecting|times is"):
        trtexec.parse_times(text)


def test_times_of_the_warm_up_which_old_versions_export_are_left_out() -> None:
    exported = [(3.0, 9.0), (499.0, 8.0), (500.0, 2.0), (503.0, 4.0)]
    queries = [{"startComputeMs": start, "computeMs": ms} for start, ms in exported]
    assert trtexec.parse_times(json.dumps(queries)) == (2_000_000, 4_000_000)
    with pytest.raises(ValueError, match="no queries"):
        trtexec.parse_times(json.dumps(queries[:2]))


LOG_8_5 = (DATA / "trtexec-8.5.log").read_text()
LOG_10_3 = (DATA / "trtexec-10.3.log").read_text()
LOG_11 = (DATA / "trtexec-11.log").read_text()
LOG_FAILED = (DATA / "trtexec-failed.log").read_text()


@pytest.mark.parametrize(
    ("text", "version", "rate", "median"),
    [
        (LOG_8_5, "8.5.2", 612.34, 1.6),
        (LOG_10_3, "10.3.0", 1012.5, 0.97),
        (LOG_11, "11.4.1", 2000.0, 0.5),
    ],
)
def test_a_log_of_every_version_is_read(
    text: str, version: str, rate: float, median: float
) -> None:
    log = trtexec.parse_log(text)
    assert log == trtexec.Log(
        version=version,
        passed=True,
        first_error=None,
        queries_per_second=rate,
        gpu_median_ms=median,
    )
    assert trtexec.check_round(log, (round(median * 1e6),) * 3) == rate


def test_a_failed_run_says_its_own_first_error() -> None:
    log = trtexec.parse_log(LOG_FAILED)
    assert (
        not log.passed
        and log.first_error is not None
        and "The engine plan file is not compatible" in log.first_error
    )
    with pytest.raises(ValueError, match=r"did not pass: .*Error\[6\]"):
        trtexec.check_round(log, (1,))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LOG_10_3.replace("PASSED", "RUNNING"), "its log ends early"),
        (LOG_10_3.replace("Throughput", "Through"), r"no line 'Throughput"),
        (LOG_10_3.replace("GPU Compute Time", "GPU Time"), r"no line 'GPU Compute Time"),
        (
            LOG_10_3.replace("median = 0.97", "median = 1.97"),
            "a median of 0.97 ms, the log says 1.97 ms",
        ),
        ("", "its log ends early"),
    ],
)
def test_a_round_without_figures_or_with_anothers_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        trtexec.check_round(trtexec.parse_log(text), (970_000,) * 5)


def test_a_profile_is_read_past_its_count() -> None:
    rows: list[dict[str, Any]] = [
        {"count": 50},
        {
            "name": "conv1 + relu",
            "timeMs": 5.0,
            "averageMs": 0.1,
            "medianMs": 0.09,
            "percentage": 80.0,
        },
        {"name": "fc", "timeMs": 1.0, "averageMs": 0.02, "percentage": 20.0},
    ]
    found = trtexec.parse_profile(json.dumps(rows))
    assert [(layer.name, layer.median_ms) for layer in found] == [
        ("conv1 + relu", 0.09),
        ("fc", 0.02),
    ]
    for text in ("{", "[1]", '[{"name": "a"}]'):
        with pytest.raises(ValueError, match=r"profile|Expecting"):
            trtexec.parse_profile(text)


def test_every_timing_option_is_given_and_those_of_11_are_its_defaults() -> None:
    older, newer = (trtexec.timing_options(version, seconds=2) for version in ("10.3.0", "11.4.1"))
    assert older == ["--useCudaGraph", "--useSpinWait", "--noDataTransfers", *newer]
    plain_older, plain_newer = (
        trtexec.timing_options(version, seconds=2, graph=False) for version in ("8.5.2", "11.4.1")
    )
    assert plain_older == older[1:] and plain_newer == ["--noCudaGraph", *newer]


def test_it_is_found_by_name_then_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRTEXEC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(trtexec, "_JETPACK", tmp_path / "none")
    assert trtexec.find_trtexec() is None
    here = fake_trtexec(tmp_path / "trtexec", "100300")
    assert trtexec.find_trtexec() == here
    other = fake_trtexec(tmp_path / "other", "100300")
    monkeypatch.setenv("TRTEXEC", str(other))
    assert trtexec.find_trtexec() == other
    monkeypatch.setenv("TRTEXEC", "other")
    assert trtexec.find_trtexec() == other
    monkeypatch.setenv("TRTEXEC", str(tmp_path / "missing"))
    assert trtexec.find_trtexec() is None
