"""The way to a board and back.

A build is simulated and packed, compiled there, and its results become a report.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.compile import bundle, reference
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import PlanFacts, QdqFacts
from edge_scnet.core.manifest import FP16_PLAN, INT8_PLAN, QDQ_ONNX
from edge_scnet.pipeline import build
from edge_scnet.report.store import load_report
from edge_scnet.runtimes import RUNTIMES, in_memory
from edge_scnet.runtimes.base import ExecutedLayer
from edge_scnet.runtimes.tensorrt import backend
from tests.helpers.tensorrt import ORIN, Silence, needs_rtx, on_board
from tests.helpers.tool import Built, Outcome


def test_a_pc_with_tensorrt_makes_a_bundle_and_no_plan(
    copied: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # its packages are not really there: building a plan would fail
    on_board(monkeypatch, None, "10.3.0")
    text = Path("targets/jetson.toml").read_text().replace("opset = 19", "opset = 20")
    (tmp_path / "board.toml").write_text(text)
    copied.folder.rename(copied.folder.with_name("board"))  # the same export and statistics
    out = copied.folder.parents[1]
    result = build.build(
        target=str(tmp_path / "board.toml"),
        calib=copied.calib,
        out=out,
        until="compile",
        events=Silence(),
    )
    assert bundle.BUNDLE in result.manifest.artifacts and INT8_PLAN not in result.manifest.artifacts


@needs_rtx
def test_compiling_a_bundle_gives_plans_and_their_manifest(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Outcome]
) -> None:
    # TensorRT-RTX's builder stands in for the board's; all before and after it is what runs there
    on_board(monkeypatch, ORIN, "10.3.0.30")
    stand_in = replace(backend.TENSORRT, modules=backend.RTX.modules)
    monkeypatch.setitem(RUNTIMES, "tensorrt", stand_in)
    outcome = invoke("compile", packed, "--out", tmp_path)
    assert outcome.code == 0, outcome.stderr
    folder = tmp_path / "scnet20-fashion-mnist" / "jetson"
    assert f"next: edge-scnet profile {folder / 'engine.plan'}" in outcome.stdout
    for name in (INT8_PLAN, FP16_PLAN):
        BuildFolder.open(folder).verified(name)
    # elsewhere it is refused before it is loaded
    monkeypatch.undo()
    refused = invoke("profile", folder / "engine.plan")
    assert (
        refused.code == 3
        and "was built on NVIDIA Jetson Orin Nano" in refused.stderr
        and "edge-scnet build" in refused.hint
    )


@pytest.mark.parametrize("wrong", ["engine.plan", "engine-fp16.plan", None])
def test_plans_are_compared_with_the_reference_where_a_gpu_can_run_them(
    wrong: str | None,
    packed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    invoke: Callable[..., Outcome],
) -> None:
    on_board(monkeypatch, ORIN, "10.3.0.30")
    (tmp_path / "b").mkdir()
    unpacked = bundle.unpack(packed, tmp_path / "b")
    known = reference.load(unpacked / "reference.npz")
    convolutions = BuildFolder.open(unpacked).facts(QDQ_ONNX, QdqFacts).int8_convolutions
    layers = tuple(
        ExecutedLayer(kind="conv", precision="int8", nodes=(name,)) for name in convolutions
    )

    def plan_of(form: Path) -> in_memory.Engine:
        """A plan that computes the reference's own outputs, or half of them."""
        gain = np.float32(0.5 if wrong == form.with_suffix(".plan").name else 0.99)

        def compute(batch: np.ndarray) -> list[np.ndarray]:
            at = next(i for i in range(len(known.images)) if (known.images[i] == batch[0]).all())
            return [known.outputs[0][at : at + 1] * gain]

        return in_memory.Engine(compute=compute, input_shape=(1, 1, 28, 28), layers=layers)

    with in_memory.registered(
        in_place_of="tensorrt", compiler=plan_of, packages={"TensorRT": "10.3.0.30"}
    ):
        outcome = invoke("compile", packed, "--out", tmp_path)
    folder = tmp_path / "scnet20-fashion-mnist" / "jetson"
    if wrong is None:
        assert outcome.code == 0 and "fidelity 40.0 dB (simulated" in outcome.stderr
        fidelity = BuildFolder.open(folder).facts(INT8_PLAN, PlanFacts).fidelity
        assert fidelity.engine_db == pytest.approx(40)
        assert fidelity.simulation_db == known.simulation[0].db
    else:
        assert (
            outcome.code == 7
            and f"{wrong} does not compute what the float graph does: 6.0 dB" in outcome.stderr
        )
        assert not (folder / wrong).exists()


def test_compile_keeps_the_fastest_of_several_builds_that_compute_the_reference(
    packed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    invoke: Callable[..., Outcome],
) -> None:
    on_board(monkeypatch, ORIN, "10.3.0.30")
    monkeypatch.setattr("edge_scnet.runtimes.in_turn._BLOCK_S", 0.0)
    monkeypatch.setattr("edge_scnet.runtimes.in_turn._ROUNDS", 6)
    (tmp_path / "b").mkdir()
    unpacked = bundle.unpack(packed, tmp_path / "b")
    known = reference.load(unpacked / "reference.npz")
    convolutions = BuildFolder.open(unpacked).facts(QDQ_ONNX, QdqFacts).int8_convolutions
    layers = tuple(
        ExecutedLayer(kind="conv", precision="int8", nodes=(name,)) for name in convolutions
    )
    # by build of both plans: what it makes of the outputs, and its time
    made = iter([(0.99, 0.0), (0.99, 0.001), (0.5, 0.0), (0.99, 0.001)])

    def plan_of(form: Path) -> in_memory.Engine:
        gain, seconds = next(made)

        def compute(batch: np.ndarray) -> list[np.ndarray]:
            found = [i for i in range(len(known.images)) if (known.images[i] == batch[0]).all()]
            at = found[0] if found else 0
            return [known.outputs[0][at : at + 1] * np.float32(gain)]

        return in_memory.Engine(
            compute=compute, input_shape=(1, 1, 28, 28), layers=layers, graph_seconds=seconds
        )

    with in_memory.registered(
        in_place_of="tensorrt", compiler=plan_of, packages={"TensorRT": "10.3.0.30"}
    ):
        outcome = invoke("compile", packed, "--out", tmp_path, "--builds", "2")
    assert outcome.code == 0, outcome.stderr
    assert "build 1 of 2 of engine.plan is not kept: " in outcome.stderr
    assert "build 2 of 2 is kept, 1 of them right" in outcome.stderr
    folder = BuildFolder.open(tmp_path / "scnet20-fashion-mnist" / "jetson")
    int8, fp16 = (folder.facts(name, PlanFacts).builds for name in (INT8_PLAN, FP16_PLAN))
    assert int8.kept == 2 and int8.time_ratios == (None, 1.0)
    assert fp16.kept == 1 and fp16.count == 2
    for name in (INT8_PLAN, FP16_PLAN):
        folder.verified(name)


@pytest.mark.skipif(backend.RTX.unavailable() is not None, reason="TensorRT-RTX is not installed")
@pytest.mark.skipif(backend.RTX.unavailable_to_run() is None, reason="a GPU can time the builds")
def test_several_builds_are_refused_before_anything_is_done_where_nothing_times_them(
    invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    for target, words in (
        ("rtx", "nothing here can time the plans"),
        ("jetson", "built on their board"),
        ("cpu", "is for TensorRT's plans"),
    ):
        outcome = invoke("build", "--target", target, "--builds", "3", "--out", tmp_path / "out")
        assert outcome.code == 3 and words in outcome.stderr and not (tmp_path / "out").exists()


# The results.


def test_a_boards_results_become_a_report_and_a_verdict(
    script: Callable[..., tuple[Outcome, Path]],
    packed: Path,
    tmp_path_factory: pytest.TempPathFactory,
    invoke: Callable[..., Outcome],
) -> None:
    outcome, board = script("100300")
    assert outcome.code == 0, outcome.stderr
    folder = tmp_path_factory.mktemp("workstation")
    for name in ("manifest.json", "results.tar.gz"):
        (folder / name).write_bytes((board / name).read_bytes())
    shown = invoke("profile", folder / "results.tar.gz")
    assert shown.code == 13, shown.stderr  # nobody judged its accuracy
    # half the time in each of six rounds
    assert (
        "2.00x" in shown.stdout
        and "FP16's speed" in shown.stdout
        and "not judged: no evaluation images" in shown.stdout
    )
    report = load_report(folder / "report.json")
    assert [row.name for row in report.engines] == ["fp16", "int8"]
    assert (
        report.engines[1].convolutions == {"int8": 1}
        and report.engines[1].throughput_per_second == 987.5
    )
    assert report.engines[1].speedup is not None and report.engines[1].speedup.rounds == 6
    assert report.environment["tensorrt"] == "10.3.0"
    # the plan is proven faster, and its throughput slower than none: 13 would say it is not
    accuracy, speed = report.findings
    assert accuracy.verdict == "inconclusive"
    assert speed.verdict == "pass" and report.engines[1].throughput_ratio is not None
    assert report.engines[1].throughput_ratio.low == 1.0
    # those of another build are refused
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["artifacts"]["engine.onnx"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    other = invoke("profile", folder / "results.tar.gz")
    assert other.code == 6 and "is not of the engine.onnx" in other.stderr
    (folder / "results.tar.gz").write_bytes((board / "results.tar.gz").read_bytes()[:200])
    cut = invoke("profile", folder / "results.tar.gz")
    assert cut.code == 6 and "is damaged" in cut.stderr


@pytest.mark.parametrize(
    ("ms", "qps", "code", "words"),
    [
        ("1.0", "987.5", 13, "no difference worth the name"),
        ("2.0", "2000", 13, "it is faster in latency but slower than fp16 in throughput"),
        ("0.9", "2000", 11, "fp16 is faster in latency and throughput"),
        ("2.0", "500", 13, "2.00x (2.00 to 2.00) FP16's speed at batch 1, 1.98x (1.98 to 1.98)"),
    ],
)
def test_a_plan_that_is_not_proven_faster_does_not_ship(
    ms: str,
    qps: str,
    code: int,
    words: str,
    script: Callable[..., tuple[Outcome, Path]],
    monkeypatch: pytest.MonkeyPatch,
    invoke: Callable[..., Outcome],
) -> None:
    monkeypatch.setenv("FP16_MS", ms)
    monkeypatch.setenv("FP16_QPS", qps)
    outcome, board = script("100300")
    assert outcome.code == 0, outcome.stderr
    shown = invoke("profile", board / "results.tar.gz")
    assert shown.code == code and words in shown.stdout, shown.stdout + shown.stderr
    assert "ship INT8" not in shown.stdout  # nobody measured its accuracy


def test_plans_that_the_script_made_can_be_profiled_where_they_lie(
    script: Callable[..., tuple[Outcome, Path]],
    monkeypatch: pytest.MonkeyPatch,
    invoke: Callable[..., Outcome],
) -> None:
    outcome, folder = script("100300")
    assert outcome.code == 0, outcome.stderr
    monkeypatch.setenv("TRTEXEC", str(folder / "trtexec"))
    monkeypatch.setenv("CALLS", str(folder / "calls"))
    shown = invoke("profile", folder)
    assert shown.code == 13, shown.stderr
    assert (
        "2.00x" in shown.stdout
        and load_report(folder / "report.json").environment["tensorrt"] == "10.3.0"
    )
    (folder / "engine.plan").write_text("another")
    changed = invoke("profile", folder)
    assert changed.code == 6 and "engine.plan is not the file that was built" in changed.stderr
    board = json.loads((folder / "board.json").read_text())
    for content, words in (
        (json.dumps({**board, "engine_sha256": "0" * 64}), "another engine.onnx"),
        ("{", "cannot be read"),
    ):
        (folder / "board.json").write_text(content)
        refused = invoke("profile", folder / "engine.plan")
        assert refused.code == 6 and words in refused.stderr and "build.sh" in refused.hint


# The whole way.


def test_a_build_for_a_board_is_simulated_judged_and_packed(
    copied: Built, invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    target = tmp_path / "board.toml"
    target.write_text(
        (Path("targets/jetson.toml"))
        .read_text()
        .replace("opset = 19", "opset = 20")
        .replace("max_drop_pp = 0.5", "max_drop_pp = 5")
    )
    copied.folder.rename(copied.folder.with_name("board"))  # the same export and statistics
    outcome = invoke(
        "build",
        "--target",
        target,
        "--calib",
        copied.calib,
        "--eval",
        copied.evaluation,
        "--out",
        copied.folder.parents[1],
    )
    assert outcome.code == 0, outcome.stderr
    assert "accurate in simulation, speed not measured" in outcome.stdout
    assert "compiled: no" in outcome.stdout and "edge-scnet compile bundle.tar.gz" in outcome.stdout
    folder = copied.folder.with_name("board")
    report = json.loads((folder / "report.json").read_text())
    assert [row["name"] for row in report["engines"]] == ["fp32", "int8 simulated"]
    assert (
        report["engines"][1]["latency"] is None
        and report["engines"][1]["accuracy"]["agreement_percent"] > 98
    )
    (tmp_path / "into").mkdir()
    bundle.unpack(folder / "bundle.tar.gz", tmp_path / "into")
    again = invoke("profile", folder)
    assert (
        again.code == 6 and "holds no plans" in again.stderr and "edge-scnet compile" in again.hint
    )
