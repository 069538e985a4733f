"""`profile --workers`: the accuracy of compiled engines by workers, as a user sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.graphs import tiny_onnx
from tests.helpers.tool import Built, Outcome

Run = Callable[..., Outcome]

# What is measured anew by every run, and what says when and how it was asked for.
OF_A_RUN = {
    "board",
    "command",
    "created_utc",
    "load",
    "stage_seconds",
}
TIMES = {
    "compiled_seconds",
    "costly",
    "end_to_end",
    "latency",
    "layer_times",
    "load_seconds",
    "memory",
    "speedup",
    "throughput_per_second",
    "throughput_ratio",
    "throughput_windows",
    "warm_up_runs",
    "warm_up_seconds",
    "warm_start",
}


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    """A report without its times, and what is concluded of them."""
    kept = {name: value for name, value in report.items() if name not in OF_A_RUN}
    kept["engines"] = [
        {name: value for name, value in row.items() if name not in TIMES}
        for row in report["engines"]
    ]
    kept["findings"] = [f for f in report["findings"] if f["kind"] == "accuracy"]
    kept.pop("verdict")
    return kept


@pytest.mark.slow
def test_a_report_by_workers_is_that_of_this_machine_but_for_its_times(
    invoke: Run, copied: Built
) -> None:
    reports = {}
    for name, given in {"here": [], "two": ["--workers", 2]}.items():
        outcome = invoke("profile", copied.folder, "--seconds", 0.1, *given)
        assert outcome.code in (0, 11, 13), outcome.stderr
        assert ("images/s" in outcome.stderr) == bool(given)
        assert not (copied.folder / ".tasks").exists()
        reports[name] = without_times(json.loads((copied.folder / "report.json").read_text()))
    assert reports["two"] == reports["here"]
    assert reports["here"]["engines"][2]["accuracy"]["images"] == 600


@pytest.mark.slow
def test_one_engine_and_one_without_a_manifest_are_evaluated_by_workers(
    invoke: Run, built: Built, tmp_path: Path
) -> None:
    rows = {}
    for name, given in {"here": [], "two": ["--workers", 2, "--store", tmp_path / "store"]}.items():
        outcome = invoke("profile", built.folder / "model.xml", "--seconds", 0.1, "--json", *given)
        assert outcome.code in (0, 11, 13), outcome.stderr
        rows[name] = without_times(json.loads(outcome.stdout))["engines"]
    assert rows["here"] == rows["two"] and not (built.folder / ".tasks").exists()
    nets = [tiny_onnx(tmp_path / f"{name}.onnx") for name in "ab"]
    samples = tmp_path / "samples"
    samples.mkdir()
    np.save(samples / "x.npy", np.ones((7, 1, 6, 6), np.float32))
    outcome = invoke(
        "profile", *nets, "--eval", samples, "--seconds", 0.1, "--workers", 1, "--json"
    )
    assert outcome.code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["engines"][1]["accuracy"]["images"] == 7
    assert "tasks by 1 worker;" in outcome.stderr


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (["--workers", 2, "--scheduler", "tcp://a:1"], 3, "one of --workers and --scheduler"),
        (["--store", "there"], 3, "one of --workers and --scheduler"),
        (["--workers", 0], 2, "the least is 1"),
        (["--workers", 2, "--interleave"], 2, "leave --workers, --scheduler and --store out"),
        (["--workers", 2], 4, "there are no evaluation samples"),
    ],
)
def test_workers_that_cannot_be_meant_are_refused(
    invoke: Run, tmp_path: Path, given: list[object], code: int, words: str
) -> None:
    outcome = invoke("profile", tiny_onnx(tmp_path / "a.onnx"), *given)
    said = " ".join(outcome.stderr.replace("│", " ").split())
    assert outcome.code == code and words in said, outcome.stderr
    if code == 3:
        assert outcome.hint == "edge-scnet profile PATH --workers 2"


def test_a_plan_is_refused_before_it_is_opened(invoke: Run, tmp_path: Path) -> None:
    plan = tmp_path / "engine.plan"
    plan.write_bytes(b"no plan")
    outcome = invoke("profile", plan, "--eval", tmp_path, "--workers", 2)
    assert outcome.code == 3 and "is a plan of TensorRT" in outcome.stderr
    assert outcome.hint.endswith(f"edge-scnet profile {plan}")
