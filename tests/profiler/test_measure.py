"""Engines measured in turn: their order, their windows, and what an interrupt leaves of them."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.spec import InputForm
from edge_scnet.data.batches import load
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import BackendError
from edge_scnet.graph import model as graphs
from edge_scnet.graph.bytes_in import with_bytes_in
from edge_scnet.machine.linux import granted_cores
from edge_scnet.profiler import turns
from edge_scnet.profiler.child import Server
from edge_scnet.profiler.measure import MeasureSettings, measure
from edge_scnet.profiler.process import Child
from edge_scnet.runtimes.base import OpenOptions
from tests.helpers.engines import SPEC, engine_file
from tests.helpers.graphs import tiny_logits, tiny_onnx


@pytest.mark.slow
def test_measure_two_engines(
    tmp_path: Path, samples: SampleSet, children: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # three chunks of 5, 5 and 3 images: none a multiple of the second engine's batch
    monkeypatch.setattr("edge_scnet.profiler.outputs._CHUNK_BYTES", 5 * 6 * 6 * 4)
    engines = [
        engine_file(tiny_onnx(tmp_path / "one.onnx"), "one"),
        engine_file(tiny_onnx(tmp_path / "eight.onnx", batch=8), "eight"),
    ]
    shares: dict[str, list[float]] = {}
    measured_together = measure(
        engines,
        samples,
        SPEC,
        MeasureSettings(seconds=0.1),
        progress=lambda what, share, *counted: shares.setdefault(what, []).append(share),
    )
    assert measured_together.complete
    one, eight = measured_together.engines
    assert one.throughput_ratio is None and eight.throughput_ratio is not None
    assert len(one.windows) == len(eight.windows) == eight.throughput_ratio.rounds == 6
    assert eight.throughput_ratio.low is not None
    assert len(children) == 2
    assert one.ratio is None and eight.ratio is not None and eight.ratio.ratio > 0
    expected = tiny_logits(load(samples, SPEC))
    for measured in (one, eight):
        outputs = measured.outputs
        assert outputs is not None and outputs.logits is not None and outputs.finite
        np.testing.assert_allclose(outputs.logits, expected, atol=1e-5)
        # each output by itself: the logits and twice the logits
        power = float((expected**2).sum())
        assert outputs.signal_power == pytest.approx((power, 4 * power), rel=1e-5)
        assert len(outputs.noise_power) == 2 and max(outputs.noise_power) < 1e-9 * power
        assert outputs.own_power == pytest.approx(outputs.signal_power) and outputs.names == (
            "logits",
            "twice",
        )
        assert measured.latency.count == len(measured.latency.samples_ns) >= turns.MIN_RUNS
        assert sum(measured.latency.samples_ns) <= 1e9 * 10
        assert (
            measured.throughput_per_second is not None
            and measured.throughput_per_second > 0
            and measured.load_seconds > 0
        )
        assert (
            measured.warm_up.seconds > 0
            and measured.warm_up.runs > 10
            and measured.settings["threads"] == "1"
        )
        assert [len(block) for block in measured.blocks] == list(measured.latency.blocks)
        memory = measured.memory
        assert 0 < memory.before_load_bytes <= memory.load_peak_bytes and memory.steady_bytes > 0
        assert memory.growth_bytes is not None and memory.growth_bytes < 32 << 20
        whole = measured.end_to_end
        assert whole is not None and list(whole.stages_ms) == [
            "decode",
            "preprocess",
            "infer",
            "top-k",
        ]
        assert min(whole.stages_ms.values()) > 0 and 0 < whole.p50_ms <= whole.p90_ms
        assert whole.images_per_second == pytest.approx(
            1e3 * (8 if measured is eight else 1) / sum(whole.stages_ms.values())
        )
        if granted_cores() > 1:
            ahead = whole.ahead
            assert ahead is not None and whole.no_ahead is None and ahead.threads == 1
            assert ahead.batch_ms > 0 and ahead.infer_ms > 0
            assert ahead.images_per_second == pytest.approx(
                1e3 * (8 if measured is eight else 1) / ahead.batch_ms
            )
        else:
            assert whole.ahead is None and whole.no_ahead is not None
    assert list(shares) == [
        "load",
        "warm-up",
        "latency",
        "end to end",
        "layers",
        *(["prepared ahead"] if granted_cores() > 1 else []),
        "throughput",
        "accuracy",
    ]
    assert all(values == sorted(values) and values[-1] == 1 for values in shares.values())


def test_on_the_cpu_all_is_in_the_processs_own_memory(tmp_path: Path) -> None:
    server = Server()
    images = np.zeros((1, 1, 6, 6), np.float32)
    loaded = server.load("onnxruntime", tiny_onnx(tmp_path / "one.onnx"), OpenOptions(), images)
    assert (loaded.device_activation_bytes, loaded.ram_delta_bytes) == (None, None)
    assert all(ms >= 0 for ms in server.layer_times().values())
    assert 0 < loaded.before_load_bytes <= loaded.load_peak_bytes
    server.close()


def test_without_images_there_are_no_outputs(tmp_path: Path, children: list[Any]) -> None:
    (measured,) = measure(
        [engine_file(tiny_onnx(tmp_path / "one.onnx"))], None, SPEC, MeasureSettings(seconds=0.1)
    ).engines
    assert (
        measured.outputs is None
        and measured.end_to_end is None
        and measured.latency.count >= turns.MIN_RUNS
        and measured.ratio is None
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "stage"), [("timed_block", "latency"), ("evaluate", "accuracy"), ("load", "load")]
)
def test_a_killed_child_is_named_and_the_others_end(
    tmp_path: Path,
    samples: SampleSet,
    children: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    stage: str,
) -> None:
    start = Child.start

    def kill_first(self: Any, called: str, *args: Any) -> None:
        if called == method and self.engine.name == "victim":
            os.kill(self.process_id, signal.SIGKILL)
        start(self, called, *args)

    monkeypatch.setattr(Child, "start", kill_first)
    path = tiny_onnx(tmp_path / "one.onnx")
    with pytest.raises(BackendError) as caught:
        measure(
            [engine_file(path, "other"), engine_file(path, "victim")],
            samples,
            SPEC,
            MeasureSettings(seconds=0.1),
        )
    assert caught.value.exit_code == 8
    assert (
        caught.value.message
        == f"victim: the process measuring one.onnx ended with signal SIGKILL in stage '{stage}'"
    )
    assert caught.value.hint is not None and "free -h" in caught.value.hint
    assert [process.returncode for process in children] == [0, -signal.SIGKILL]


class Interrupting:
    """Progress that is interrupted, as Ctrl-C would, at a stage's share."""

    def __init__(self, stage: str, share: float) -> None:
        self.stage, self.share = stage, share

    def __call__(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        if what == self.stage and share >= self.share:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "share"), [("latency", 0.5), ("throughput", 0.3), ("accuracy", 0.3)]
)
def test_what_was_measured_before_an_interrupt_is_kept(
    tmp_path: Path,
    samples: SampleSet,
    children: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    share: float,
) -> None:
    monkeypatch.setattr("edge_scnet.profiler.outputs._CHUNK_BYTES", 5 * 6 * 6 * 4)
    engines = [engine_file(tiny_onnx(tmp_path / "one.onnx"), name) for name in ("a", "b")]
    found = measure(
        engines,
        samples,
        SPEC,
        MeasureSettings(seconds=0.2, keep_partial=True),
        progress=Interrupting(stage, share),
    )
    assert not found.complete
    for m in found.engines:
        assert len(m.blocks) == (6 if stage == "latency" else 12) and m.latency.count == sum(
            map(len, m.blocks)
        )
        assert (m.throughput_per_second is None) == (stage != "accuracy") and m.outputs is None
        assert (m.end_to_end is None) == (stage == "latency") and m.memory.steady_bytes > 0
    assert found.engines[1].ratio is not None and found.engines[1].ratio.rounds == len(
        found.engines[0].blocks
    )


def test_an_interrupt_before_anything_was_timed_or_that_nobody_wants_to_keep_is_one(
    tmp_path: Path, children: list[Any]
) -> None:
    engine = engine_file(tiny_onnx(tmp_path / "one.onnx"))
    with pytest.raises(KeyboardInterrupt):
        measure(
            [engine],
            None,
            SPEC,
            MeasureSettings(seconds=0.2, keep_partial=True),
            progress=Interrupting("load", 1),
        )
    with pytest.raises(KeyboardInterrupt):
        measure(
            [engine],
            None,
            SPEC,
            MeasureSettings(seconds=0.2),
            progress=Interrupting("latency", 0.5),
        )


def test_a_damaged_engine_fails_with_the_runtimes_words(
    tmp_path: Path, children: list[Any]
) -> None:
    good, bad = tiny_onnx(tmp_path / "good.onnx"), tmp_path / "bad.onnx"
    bad.write_bytes(good.read_bytes()[:50])
    with pytest.raises(BackendError, match=r"^second: ONNX Runtime cannot load bad\.onnx: "):
        measure(
            [engine_file(good, "first"), engine_file(bad, "second")],
            None,
            SPEC,
            MeasureSettings(seconds=0.1),
        )


@pytest.mark.slow
def test_an_engine_of_bytes_is_measured_beside_one_of_floats(
    tmp_path: Path, samples: SampleSet, children: list[Any]
) -> None:
    """Each is fed with what it takes, and they compute the same."""
    form = InputForm(dtype="uint8", layout="NHWC", colour="grey")
    floats = engine_file(tiny_onnx(tmp_path / "floats.onnx"), "floats")
    model = with_bytes_in(graphs.load(floats.path), SPEC.preprocessing, form)
    graphs.save(model, tmp_path / "bytes.onnx")
    of_bytes = replace(engine_file(tmp_path / "bytes.onnx", "bytes"), input=form)
    measured = measure([floats, of_bytes], samples, SPEC, MeasureSettings(seconds=0.1))
    first, second = measured.engines
    assert len(children) == 2 and first.outputs is not None and second.outputs is not None
    assert first.outputs.logits is not None and second.outputs.logits is not None
    np.testing.assert_allclose(second.outputs.logits, first.outputs.logits, atol=1e-6)
    assert second.end_to_end is not None and second.end_to_end.stages_ms["preprocess"] > 0
