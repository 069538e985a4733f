"""Engines at other batches and numbers of threads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.errors import ParityError, TargetError
from edge_scnet.machine.linux import usable_cores
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.pipeline.build_folder import engine_files, open_build
from edge_scnet.profiler import sweep
from edge_scnet.profiler.process import Child, EngineFile
from edge_scnet.report.store import load_report
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.stats.figures import SweepRow
from tests.helpers.graphs import tiny_onnx
from tests.helpers.tool import Built, Run


def engines_of(folder: Path) -> list[EngineFile]:
    return engine_files(open_build(folder)[0])


@pytest.mark.usefixtures("not_measured")
def test_a_sweep_is_in_the_report_and_shown(copied: Built, invoke: Run) -> None:
    outcome = invoke(
        "profile",
        copied.folder,
        "--seconds",
        "0.1",
        "--batch",
        "4",
        "--threads",
        "1",
        "--max-drop",
        "5",
    )
    assert outcome.code in (0, 11, 13), outcome.stderr
    made = load_report(copied.folder / "report.json")
    rows = made.sweep
    assert [(row.engine, row.batch, row.threads) for row in rows] == [
        (engine, 4, 1) for engine in ("fp32", "default", "int8")
    ]
    assert all((row.speedup is None) == (row.engine == "fp32") for row in rows)
    assert all(0 < row.p50_ms <= row.p90_ms <= row.p99_ms and row.steady_bytes > 0 for row in rows)
    assert "ms an image" in outcome.stdout and "sweep" in outcome.stderr
    page = (copied.folder / "report.html").read_text()
    assert "Other batches and threads" in page and "Throughput by batch" in page
    shown = invoke("report", copied.folder, "--markdown", copied.folder / "r.md")
    assert shown.code == 0 and "| 4 | 1 | int8 |" in (copied.folder / "r.md").read_text()


def test_a_reshaped_engine_computes_the_same_in_the_same_precision(built: Built) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), np.uint8)
    backend = runtime_named("openvino")
    for engine in (engines_of(built.folder)[0], engines_of(built.folder)[2]):
        with backend.open(engine.path, engine.options) as one:
            expected = np.concatenate([np.array(one.infer(images[i : i + 1])[0]) for i in range(8)])
            kinds = sorted(
                (layer.kind, layer.precision)
                for layer in one.executed_precisions()
                if layer.kind == "Convolution"
            )
        with backend.open(engine.path, replace(engine.options, batch=8)) as eight:
            assert eight.input_shape == (8, 28, 28, 1)
            np.testing.assert_allclose(np.array(eight.infer(images)[0]), expected, atol=1e-5)
            assert kinds == sorted(
                (layer.kind, layer.precision)
                for layer in eight.executed_precisions()
                if layer.kind == "Convolution"
            )


def test_threads_and_batches_reach_the_runtime(built: Built) -> None:
    engine = engines_of(built.folder)[0]
    with runtime_named("openvino").open(engine.path, replace(engine.options, threads=1)) as session:
        assert session.settings()["threads"] == "1" and session.settings()["hint"] == "LATENCY"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--batch", "1,x"), 2, "no list of whole numbers"),
        (("--batch", "0"), 2, "no list of whole numbers"),
        (("--threads", "4096"), 3, "4096 threads are asked for"),
        (("--batch", "1,2,3,4,5,6,7,8,9,10,11"), 3, "33 engines would be alive at once"),
        (("--batch", "2", "--interleave"), 2, "leave --interleave out"),
        (("--batch", "100000"), 3, "a batch of 100000 is asked for; at most 1024"),
    ],
)
def test_sweeps_that_are_refused_before_anything_is_timed(
    built: Built, invoke: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    outcome = invoke("profile", built.folder, *arguments)
    assert outcome.code == code and "profile  " not in outcome.stderr
    assert words in " ".join(outcome.stderr.replace("│", " ").split())


def test_a_runtime_with_a_fixed_batch_says_so(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "one.onnx")
    engine = EngineFile(
        name="onnx",
        role="reference",
        runtime="onnxruntime",
        path=path,
        options=OpenOptions(threads=1),
        size_bytes=1,
        sha256="a" * 64,
    )
    spec = replace(FASHION_MNIST, input_shape=(1, 6, 6))
    with pytest.raises(
        TargetError, match=r"one\.onnx was built for batch 1 and cannot run batch 4"
    ) as caught:
        sweep.plan([engine], batches=(1, 4), threads=(), built=1, spec=spec)
    assert caught.value.hint == "edge-scnet build --batch 4"
    assert (
        len(
            sweep.plan(
                [engine], batches=(), threads=range(1, usable_cores() + 1), built=1, spec=spec
            )
        )
        == usable_cores()
    )


def test_more_threads_than_the_control_group_grants_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep, "usable_cores", lambda: 4)
    monkeypatch.setattr(sweep, "quota_threads", lambda cores: 2)
    monkeypatch.setattr(sweep, "cpu_quota_cores", lambda: 2.5)
    with pytest.raises(TargetError, match=r"grants the time of 2\.5 of 4 cores") as caught:
        sweep.plan([], batches=(), threads=(1, 3), built=1, spec=FASHION_MNIST)
    assert caught.value.hint.startswith("--threads 2;")
    assert sweep.plan([], batches=(), threads=(1, 2), built=1, spec=FASHION_MNIST) == ()


@pytest.mark.parametrize(
    "number", [0, 2]
)  # FP32 and INT8: one is held to the value, the other to what is left of it
def test_an_engine_that_computes_something_else_at_another_batch_is_refused(
    built: Built, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    engine = engines_of(built.folder)[number]
    assert len(sweep.plan([engine], batches=(1, 2), threads=(), built=1, spec=FASHION_MNIST)) == 2
    call = Child.call

    def wrong(self: Any, method: str, *args: Any) -> Any:
        found = call(self, method, *args)
        if method == "evaluate" and self.engine.options.batch == 4:
            found[0][:] = found[0][[3, 0, 1, 2]]  # every image has its neighbour's place
        return found

    monkeypatch.setattr(Child, "call", wrong)
    with pytest.raises(ParityError, match=r"at batch 4 differs from itself at batch 1") as caught:
        sweep.plan([engine], batches=(1, 4), threads=(), built=1, spec=FASHION_MNIST)
    assert caught.value.hint == "edge-scnet build --batch 4"


def test_an_engine_that_falls_back_to_float_at_another_batch_is_refused(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Child.call

    def wrong(self: Any, method: str, *args: Any) -> Any:
        found = call(self, method, *args)
        return (
            [replace(layer, precision="f32") for layer in found]
            if method == "layers" and self.engine.options.batch
            else found
        )

    monkeypatch.setattr(Child, "call", wrong)
    with pytest.raises(
        ParityError, match=r"it executes \{'f32': \d+\} operations, built \{'u8': 46"
    ):
        sweep.plan(
            [engines_of(built.folder)[2]], batches=(1, 2), threads=(), built=1, spec=FASHION_MNIST
        )


def test_a_runtime_that_takes_no_threads_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_onnx(tmp_path / "one.onnx")
    engine = EngineFile(
        name="onnx",
        role="reference",
        runtime="onnxruntime",
        path=path,
        options=OpenOptions(),
        size_bytes=1,
        sha256="a" * 64,
    )
    call = Child.call
    monkeypatch.setattr(
        Child,
        "call",
        lambda self, method, *args: {} if method == "settings" else call(self, method, *args),
    )
    with pytest.raises(TargetError, match="takes no number of threads"):
        sweep.plan(
            [engine],
            batches=(),
            threads=(1,),
            built=1,
            spec=replace(FASHION_MNIST, input_shape=(1, 6, 6)),
        )


@pytest.mark.usefixtures("not_measured")
def test_what_was_timed_before_ctrl_c_is_kept_marked_partial(
    copied: Built, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(cells: Sequence[sweep.Cell], *_: object, **__: object) -> sweep.Sweep:
        """What a sweep gives that is interrupted after each cell was timed."""
        rows = tuple(
            SweepRow(
                engine=cell.engine.name,
                batch=1,
                threads=1,
                p50_ms=1.0,
                p90_ms=1.1,
                p99_ms=1.2,
                p50_low_ms=None,
                p50_high_ms=None,
                steadiness=None,
                speedup=None,
                throughput_per_second=None,
                steady_bytes=1,
            )
            for cell in cells
        )
        return sweep.Sweep(rows=rows, load=None, complete=False)

    monkeypatch.setattr(sweep, "run", interrupted)
    before = json.loads((copied.folder / "report.json").read_text())["created_utc"]
    outcome = invoke("profile", copied.folder, "--seconds", "0.1", "--threads", "1")
    assert outcome.code == 130 and str(copied.folder / "report.partial.json") in outcome.stdout
    partial = load_report(copied.folder / "report.partial.json")
    assert not partial.complete and len(partial.sweep) == 3
    whole = load_report(copied.folder / "report.json")
    assert whole.complete and not whole.sweep and whole.created_utc >= before, (
        "the engines' own measurement was whole"
    )


@pytest.mark.usefixtures("not_measured")
def test_json_has_the_sweep_for_a_single_file_too(built: Built, invoke: Run) -> None:
    outcome = invoke(
        "profile",
        built.folder / "model.xml",
        "--seconds",
        "0.1",
        "--batch",
        "2",
        "--json",
        "--max-drop",
        "5",
    )
    assert outcome.code in (0, 11, 13), outcome.stderr
    assert [row["batch"] for row in json.loads(outcome.stdout)["sweep"]] == [2, 2]
