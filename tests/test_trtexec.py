"""trtexec's words, and plans profiled through it. Texts are synthetic: written by hand after its
formats, numbers made up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.config.target import load_target
from edge_scnet.core import files
from edge_scnet.core import manifest as artifact
from edge_scnet.core.manifest import Artifact, Manifest
from edge_scnet.errors import BackendError
from edge_scnet.machine import environment
from edge_scnet.models.zoo import MODELS
from edge_scnet.pipeline import layers
from edge_scnet.profiler import trtexec as trtexec_profile
from edge_scnet.report import verdict
from edge_scnet.report import verdict as gate
from edge_scnet.report.store import load_report
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.base import ExecutedLayer
from edge_scnet.runtimes.tensorrt import backend as trt
from edge_scnet.runtimes.tensorrt import trtexec
from tests.helpers.tool import Built, Outcome
from tests.test_tensorrt import ORIN, fake_trtexec

LOG_8_5 = """&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # trtexec --loadEngine=engine.plan
[07/25/2026-09:08:28] [I] === Performance summary ===
[07/25/2026-09:08:28] [I] Throughput: 612.34 qps
[07/25/2026-09:08:28] [I] Latency: min = 1.61 ms, max = 2.44 ms, mean = 1.64 ms, median = 1.63 ms, percentile(99%) = 1.9 ms
[07/25/2026-09:08:28] [I] Enqueue Time: min = 0.01 ms, max = 0.09 ms, mean = 0 ms, median = 0 ms, percentile(99%) = 0 ms
[07/25/2026-09:08:28] [I] H2D Latency: min = 0 ms, max = 0 ms, mean = 0 ms, median = 0 ms, percentile(99%) = 0 ms
[07/25/2026-09:08:28] [I] GPU Compute Time: min = 1.6 ms, max = 2.4 ms, mean = 1.6 ms, median = 1.6 ms, percentile(99%) = 1.9 ms
[07/25/2026-09:08:28] [I] D2H Latency: min = 0 ms, max = 0 ms, mean = 0 ms, median = 0 ms, percentile(99%) = 0 ms
&&&& PASSED TensorRT.trtexec [TensorRT v8502] # trtexec --loadEngine=engine.plan
"""
LOG_10_3 = """&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # /usr/src/tensorrt/bin/trtexec --loadEngine=engine.plan
[07/25/2026-09:08:28] [W] * GPU compute time is unstable, with coefficient of variance = 1.2%.
[07/25/2026-09:08:28] [I] Throughput: 1012.5 qps
[07/25/2026-09:08:28] [I] GPU Compute Time: min = 0.9 ms, max = 1.4 ms, mean = 0.98 ms, median = 0.97 ms, percentile(90%) = 1 ms
&&&& PASSED TensorRT.trtexec [TensorRT v100300] # /usr/src/tensorrt/bin/trtexec --loadEngine=engine.plan
"""
LOG_11 = """&&&& RUNNING TensorRT.trtexec [TensorRT v110401] [b7] # trtexec --loadEngine=engine.plan
[07/25/2026-09:08:28] [I] Throughput: 2000 qps
[07/25/2026-09:08:28] [I] GPU Compute Time: min = 0.4 ms, max = 0.6 ms, mean = 0.5 ms, median = 0.5 ms, percentile(90%) = 0.5 ms
&&&& PASSED TensorRT.trtexec [TensorRT v110401] [b7] # trtexec --loadEngine=engine.plan
"""
LOG_FAILED = """&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec --loadEngine=engine.plan
[07/25/2026-09:08:28] [I] Engine loaded in 0.01 sec.
[07/25/2026-09:08:28] [E] Error[6]: The engine plan file is not compatible with this version of TensorRT
[07/25/2026-09:08:28] [E] Engine deserialization failed
&&&& FAILED TensorRT.trtexec [TensorRT v100300] # trtexec --loadEngine=engine.plan
"""


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
    monkeypatch.setenv("TRTEXEC", str(tmp_path / "missing"))
    assert trtexec.find_trtexec() is None


# What takes from INT8's speed.


def test_the_finding_on_speed_names_copies_and_float_convolutions() -> None:
    def layer(kind: str, precision: str, nodes: tuple[str, ...], name: str = "") -> ExecutedLayer:
        return ExecutedLayer(
            kind=kind, precision=precision, nodes=nodes, name=name, is_copy=kind == "Reformat"
        )

    executed = [
        layer("CaskConvolution", "int8", ("layer1.0.conv1",), "k1"),
        layer("CaskConvolution", "fp16", ("layer1.0.conv2", "relu"), "k2"),
        layer(
            "Reformat",
            "fp16",
            (),
            "Reformatting CopyNode for Input Tensor 0 to layer2.0.conv1 + layer2.0.relu",
        ),
        *(layer("Reformat", "int8", (f"m{i}",), f"r{i}") for i in range(3)),
    ]
    facts = layers.row_facts(
        executed, runtime_named("tensorrt"), int8=True, times_ms={"k1": 0.5, "unknown": 0.1}
    )
    assert facts["convolutions"] == {"int8": 1, "fp16": 1} and facts["float_convolutions"] == (
        "layer1.0.conv2",
    )
    assert facts["copies"] == ("layer2.0.conv1", "m0", "m1", "m2")
    assert [
        (t.name, t.kind, t.precision, t.modules, t.median_ms) for t in facts["layer_times"]
    ] == [
        ("k1", "CaskConvolution", "int8", ("layer1.0.conv1",), 0.5),
        ("unknown", "?", "?", (), 0.1),
    ]
    speed = gate.judge_speed(
        gate.Speed(name="int8", speedup=None, throughput_per_second=1),
        [],
        batch=1,
        reference="FP16",
    )
    told = verdict.explained(
        speed, copies=facts["copies"], float_convolutions=facts["float_convolutions"]
    )
    assert (
        told.message
        == f"{speed.message} What takes from it: 4 layers only copy data (layer2.0.conv1, m0, m1,"
        " ...); 1 convolution in float (layer1.0.conv2)."
    )
    assert verdict.explained(speed, copies=(), float_convolutions=()) == speed
    assert not layers.row_facts(executed, runtime_named("tensorrt"), int8=False)["copies"]


# Plans through it.


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A build folder with both plans on an Orin without TensorRT's Python package, and a trtexec of
    the test's.
    """
    facts = replace(environment.collect(), jetson_model=ORIN)
    monkeypatch.setattr(environment, "collect", lambda: facts)
    monkeypatch.setattr(
        trt.TensorRt, "unavailable", lambda self: "the package 'tensorrt' is not installed"
    )
    monkeypatch.setattr(trt.TensorRt, "versions", lambda self: {})
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))

    def make(number: str = "100300", fail: str = "", built: str = "10.3.0") -> Path:
        monkeypatch.setenv("TRTEXEC", str(fake_trtexec(tmp_path / "trtexec", number, fail)))
        folder = tmp_path / "built"
        folder.mkdir()
        spec = MODELS["scnet20-fashion-mnist"]
        manifest = Manifest(
            model=spec,
            target=asdict(load_target("jetson")),
            floor="none",
            precision_hint="f32",
            rebuild="edge-scnet build",
        )
        for stem, precision in (("engine-fp16", "fp16"), ("engine", "int8")):
            path = folder / f"{stem}.plan"
            path.write_bytes(b"plan")
            known = {"precision": precision, "tensorrt": built, "machine": {"jetson_model": ORIN}}
            manifest = manifest.with_artifact(
                Artifact(
                    file=path.name,
                    kind="tensorrt-plan",
                    stage="compile",
                    sha256=files.sha256_file(path),
                    size_bytes=4,
                    key="k",
                    facts=known,
                )
            )
        artifact.save_manifest(folder, manifest)
        return folder

    return make


def test_plans_are_timed_in_turn_through_trtexec(
    board: Callable[..., Path], invoke: Callable[..., Outcome], tmp_path: Path
) -> None:
    folder = board()
    shown = invoke("profile", folder, "--seconds", "12")
    assert shown.code == 0, shown.stderr
    assert (
        "2.00x" in shown.stdout
        and "FP16's speed" in shown.stdout
        and "1 layer only copies data" in shown.stdout
    )
    report = load_report(folder / "report.json")
    assert [row.name for row in report.engines] == ["fp16", "int8"]
    int8 = report.engines[1]
    assert (
        int8.speedup is not None
        and int8.speedup.rounds == 6
        and int8.sha256 == files.sha256_bytes(b"plan")
    )
    assert [(t.name, t.precision, t.modules, t.median_ms) for t in int8.layer_times] == [
        ("conv1 + relu", "int8", ("conv1", "relu"), 0.09)
    ]
    assert report.environment["tensorrt"] == "10.3.0" and report.environment["jetson_model"] == ORIN
    calls = [
        line for line in (tmp_path / "calls").read_text().splitlines() if "--exportTimes" in line
    ]
    order = ["fp16" if "engine-fp16.plan" in line else "int8" for line in calls]
    assert order == ["fp16", "int8", "int8", "fp16"] * 3
    timing = (
        "--useCudaGraph --useSpinWait --noDataTransfers --warmUp=500 --duration=2 --iterations=100"
        " --avgRuns=1"
    )
    assert all(timing in line for line in calls) and timing in report.environment["timing"]


def test_one_plan_is_timed_beside_its_twin_and_nothing_is_saved(
    board: Callable[..., Path], invoke: Callable[..., Outcome]
) -> None:
    folder = board()
    shown = invoke("profile", folder / "engine.plan")
    assert shown.code == 0 and "2.00x" in shown.stdout
    assert not (folder / "report.json").exists()


def test_trtexecs_first_error_is_shown_and_its_log_second(
    board: Callable[..., Path], invoke: Callable[..., Outcome]
) -> None:
    fail = (
        "case $* in *engine.plan*.3.times*) echo '[E] Error[1]: first'; echo '[E] second'; exit 1"
        " ;; esac"
    )
    folder = board(fail=fail)
    shown = invoke("profile", folder)
    assert shown.code == 8 and "Error[1]: first" in shown.stderr and "second" not in shown.stderr
    log = Path(shown.hint.removeprefix("the whole log: "))
    assert log.name == "engine.3.log" and "second" in log.read_text()
    assert not (folder / "report.json").exists()


@pytest.mark.parametrize(
    ("number", "built", "words"),
    [
        ("100300", "10.7.0", "built with TensorRT 10.7.0, 10.3.0 is installed"),
        ("8602", "10.3.0", "8.6.2 is installed here"),
    ],
)
def test_a_plan_of_another_version_is_refused_before_it_is_loaded(
    number: str,
    built: str,
    words: str,
    board: Callable[..., Path],
    invoke: Callable[..., Outcome],
    tmp_path: Path,
) -> None:
    shown = invoke("profile", board(number=number, built=built))
    assert shown.code == 3 and words in shown.stderr and "edge-scnet build" in shown.hint
    assert "--loadEngine" not in (tmp_path / "calls").read_text()


def test_a_plan_of_another_board_is_refused_before_it_is_loaded(
    board: Callable[..., Path],
    invoke: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = board()
    facts = replace(environment.collect(), jetson_model="NVIDIA Jetson AGX Orin")
    monkeypatch.setattr(environment, "collect", lambda: facts)
    shown = invoke("profile", folder)
    assert shown.code == 3 and f"was built on {ORIN}" in shown.stderr
    assert "--loadEngine" not in (tmp_path / "calls").read_text()


def test_a_trtexec_that_tells_no_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    with pytest.raises(BackendError, match="does not tell its version"):
        trtexec_profile._version(fake_trtexec(tmp_path / "trtexec", ""))
    with pytest.raises(BackendError, match="cannot be run"):
        trtexec_profile._version(tmp_path / "none")


def test_with_the_python_package_there_trtexec_is_not_used(
    board: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = artifact.load_manifest(board())
    assert trtexec_profile.program_for(manifest) == Path(os.environ["TRTEXEC"])
    monkeypatch.setattr(trt.TensorRt, "unavailable", lambda self: None)
    assert trtexec_profile.program_for(manifest) is None


def test_the_table_shows_a_plans_memory_where_it_is_known() -> None:
    from rich.console import Console

    from edge_scnet.report.run_report import EngineReport, RunReport
    from edge_scnet.report.summary import table
    from edge_scnet.stats.figures import MemoryStats
    from edge_scnet.stats.timing import latency_stats

    memory = MemoryStats(
        before_load_bytes=1 << 20, load_peak_bytes=200 << 20, steady_bytes=150 << 20
    )
    plain = EngineReport(
        name="fp16",
        runtime="tensorrt",
        file="engine-fp16.plan",
        sha256="",
        size_bytes=1,
        precision_hint="f32",
        convolutions={},
        other_layers={},
        load_seconds=1.0,
        warm_up_seconds=1.0,
        latency=latency_stats([[1_000_000] * 6]),
        speedup=None,
        throughput_per_second=1.0,
        memory=memory,
        accuracy=None,
    )
    told = replace(
        plain, memory=replace(memory, device_activation_bytes=3 << 19, ram_delta_bytes=70 << 20)
    )
    report = RunReport(
        schema=1,
        created_utc="",
        command="",
        model="m",
        target="t",
        batch=1,
        engines=(plain, told),
        evaluation=None,
        findings=(),
        verdict="",
        stage_seconds={},
        environment={},
    )
    console = Console(width=80)
    with console.capture() as shown:
        console.print(table(report))
    rows = [line.split() for line in shown.get().splitlines()]
    assert ["activations", "on", "the", "GPU,", "MB", "-", "1.5"] in rows
    assert ["RAM", "of", "the", "machine,", "MB", "-", "+70"] in rows


def test_layer_times_of_a_session_are_medians_by_layer() -> None:
    """Without TensorRT: a context that reports as IProfiler's caller does, one call a layer and
    run.
    """
    from types import SimpleNamespace

    import numpy as np

    from edge_scnet.runtimes.tensorrt.session import PlanSession

    class IProfiler:
        def __init__(self) -> None: ...

    session = object.__new__(PlanSession)
    session._trt, session._context = SimpleNamespace(IProfiler=IProfiler), SimpleNamespace()
    runs = iter(range(1000))

    def infer(batch: np.ndarray) -> list[np.ndarray]:
        number = next(runs)
        session._context.profiler.report_layer_time(
            "conv1", 9.0 if number == 0 else 0.5
        )  # the first run is slow
        session._context.profiler.report_layer_time("fc", 0.25)
        return []

    session.infer = infer
    assert session.layer_times([np.zeros(1), np.zeros(1)]) == {"conv1": 0.5, "fc": 0.25}


def test_a_cuda_graph_is_recorded_after_one_plain_inference_and_replayed() -> None:
    """Without a GPU: a stream that keeps what is enqueued, and a graph that is the list of it."""
    from types import SimpleNamespace

    import numpy as np

    from edge_scnet.runtimes.tensorrt.session import PlanSession

    log: list[str] = []

    class Stream:
        handle = 1

        def upload(self, address: int, array: np.ndarray) -> None:
            log.append(f"upload {address}")

        def download(self, array: np.ndarray, address: int) -> None:
            log.append(f"download {address}")

        def wait(self) -> None:
            log.append("wait")

        def record(self, work: Any) -> Any:
            log.append("begin")
            work()
            log.append("end")
            return lambda: log.append("launch")

    session: Any = object.__new__(PlanSession)
    session._stream, session._replay = Stream(), None
    session._inputs, session._outputs, session._address = ["x"], ["y"], {"x": 10, "y": 20}
    session._host = {"x": np.zeros(2, np.float32), "y": np.ones(3, np.float32)}
    session._context = SimpleNamespace(
        execute_async_v3=lambda handle: log.append("execute") or True
    )
    run = ["upload 10", "execute", "download 20"]
    session.infer(np.ones(2, np.float32))
    assert log == [*run, "wait"]
    log.clear()
    session.use_graph()
    assert log == [*run, "wait", "begin", *run, "end"]
    log.clear()
    outputs = session.infer(np.full(2, 3.0, np.float32))
    assert log == ["launch", "wait"] and session._host["x"].tolist() == [3.0, 3.0]
    assert outputs[0] is session._host["y"]


def test_bindings_record_a_graph_in_the_order_that_cuda_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from types import SimpleNamespace

    from edge_scnet.runtimes.tensorrt import cuda

    calls: list[tuple[Any, ...]] = []

    def returning(name: str, *values: Any) -> Any:
        return lambda *args: calls.append((name, *args)) or (0, *values)

    runtime = SimpleNamespace(
        cudaStreamCaptureMode=SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread"),
        cudaStreamCreate=returning("create", 7),
        cudaStreamBeginCapture=returning("begin"),
        cudaStreamEndCapture=returning("end", "graph"),
        cudaGraphInstantiate=returning("instantiate", "executable"),
        cudaGraphDestroy=returning("destroy"),
        cudaGraphLaunch=returning("launch"),
        cudaGraphExecDestroy=returning("exec destroy"),
        cudaStreamDestroy=returning("stream destroy"),
    )
    monkeypatch.setattr(cuda.importlib, "import_module", lambda name: runtime)
    stream = cuda._Bindings()
    launch = stream.record(lambda: calls.append(("work",)))
    launch()
    stream.close()
    assert calls == [
        ("create",),
        ("begin", 7, "thread"),
        ("work",),
        ("end", 7),
        ("instantiate", "graph", 0),
        ("destroy", "graph"),
        ("launch", "executable", 7),
        ("exec destroy", "executable"),
        ("stream destroy", 7),
    ]


def test_a_cuda_graph_of_a_cpu_engine_is_refused(
    invoke: Callable[..., Outcome], built: Built
) -> None:
    outcome = invoke("profile", built.folder, "--cuda-graph")
    assert outcome.code == 3 and "TensorRT's plans" in outcome.stderr
