"""The contract that every runtime meets; a new one is picked up from the dict."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_scnet.config.target import load_target
from edge_scnet.core.optional import install_hint
from edge_scnet.errors import (
    ArtifactError,
    BackendError,
    MissingRuntimeError,
    StorageError,
    TargetError,
)
from edge_scnet.runtimes import RUNTIMES, runtime_named, runtime_of_kind, usable_runtime
from edge_scnet.runtimes.base import ExecutedLayer, OpenOptions, Runtime
from tests.helpers.graphs import tiny_logits, tiny_onnx
from tests.helpers.runtimes import TARGETS, of_libraries

PACKAGES = {
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "tensorrt_rtx_bindings",
}


def images(count: int, *, size: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 1, size, size)).astype(np.float32)


def test_every_runtime_is_found_by_its_name_and_by_the_kind_of_its_files() -> None:
    for name, runtime in RUNTIMES.items():
        assert runtime.name == name and runtime.title
        for text in (runtime.artifact_kind, runtime.suffix, runtime.extra):
            assert isinstance(text, str) and text
        for names in (runtime.convolutions, runtime.int8_precisions):
            assert isinstance(names, frozenset) and names
        assert runtime_named(name) is runtime_of_kind(runtime.artifact_kind) is runtime
    with pytest.raises(KeyError):
        runtime_named("tflite")


def test_an_artifact_that_no_runtime_opens() -> None:
    with pytest.raises(ArtifactError) as caught:
        runtime_of_kind("tflite-flatbuffer")
    known = "openvino-ir, onnx, tensorrt-plan, tensorrt-rtx-plan"
    assert (
        caught.value.message
        == f"no runtime opens artifacts of kind 'tflite-flatbuffer'; known are {known}"
    )
    assert caught.value.hint is not None


# the runtime's library, and where it is a library of its own, the device's
PRELOADED = {
    "openvino": "libopenvino_intel_cpu_plugin",
    "onnxruntime": "onnxruntime_pybind11_state",
    "tensorrt": "libnvinfer",
    "tensorrt_rtx": "libtensorrt_rtx",
}


@of_libraries
def test_preload_leaves_the_runtime_loaded(runtime: Runtime) -> None:
    loaded = f"print({PRELOADED[runtime.name]!r} in open('/proc/self/maps').read())"
    code = (
        "from edge_scnet.runtimes import runtime_named\nb ="
        f" runtime_named({runtime.name!r})\n{loaded}\nb.preload()\n{loaded}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True"], done.stderr


@of_libraries
@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_a_closed_session_holds_nothing_of_the_runtime(
    runtime: Runtime, engine: Callable[..., Path], mode: str
) -> None:
    """A second session is opened after the first: two compiled engines would share caches, threads
    and memory.
    """
    with runtime.open(engine(), OpenOptions(mode=mode)) as session:
        session.infer(images(1))
        session.infer_many([images(1)] * 3, lambda i, outputs: None)
        values = [
            v
            for value in vars(session).values()
            for v in (value if isinstance(value, list) else [value])
        ]
        held = [
            weakref.ref(v)
            for v in values
            if type(v).__module__.partition(".")[0] == PACKAGES[runtime.name]
        ]
        del values
    assert held and all(reference() is None for reference in held)


@of_libraries
def test_infer_many_keeps_its_requests_but_not_what_it_was_given(
    runtime: Runtime, engine: Callable[..., Path]
) -> None:
    class Kept:
        def __call__(self, i: int, outputs: list[np.ndarray]) -> None:
            seen.append(i)

    seen: list[int] = []
    with runtime.open(engine(), OpenOptions(mode="throughput")) as session:
        session.infer_many([images(1)] * 2, lambda i, outputs: None)
        values = [id(value) for value in vars(session).values()]
        keep = Kept()
        gone = weakref.ref(keep)
        session.infer_many([images(1)] * 9, keep)
        assert [id(value) for value in vars(session).values()] == values
        del keep
        assert sorted(seen) == list(range(9)) and gone() is None


def test_batches_that_fail_do_not_spoil_the_next_call(
    runtime: Runtime, engine: Callable[..., Path]
) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield from [images(1)] * 5
        raise OSError("no more")

    first: list[int] = []
    with runtime.open(engine(), OpenOptions(mode="throughput")) as session:
        with pytest.raises(OSError, match="no more"):
            session.infer_many(failing(), lambda i, outputs: first.append(i))
        assert sorted(first) == list(range(len(first))), "no index twice"
        kept = len(first)
        second: list[int] = []
        session.infer_many([images(1)] * 5, lambda i, outputs: second.append(i))
        assert sorted(second) == list(range(5)) and len(first) == kept


@of_libraries
def test_a_missing_package_is_a_reason_and_an_install_command(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == PACKAGES[runtime.name] else find(name, *rest),
    )
    reason = runtime.unavailable()
    assert reason == f"the package {PACKAGES[runtime.name]!r} is not installed"
    with pytest.raises(MissingRuntimeError) as caught:
        usable_runtime(runtime.name)
    assert (caught.value.message, caught.value.hint) == (
        reason,
        install_hint(runtime.extra),
    )


@of_libraries
def test_versions(runtime: Runtime) -> None:
    assert PACKAGES[runtime.name] in runtime.versions()
    assert all(version[0].isdigit() for version in runtime.versions().values())


@of_libraries
def test_check_target(runtime: Runtime) -> None:
    runtime.check_target(load_target(TARGETS.get(runtime.name, "cpu")))
    other = "jetson" if runtime.name in ("openvino", "onnxruntime") else "cpu"
    with pytest.raises(TargetError, match=f"{other}: device"):
        runtime.check_target(load_target(other))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        OpenOptions(),
        OpenOptions(precision="default"),
        OpenOptions(mode="throughput"),
        OpenOptions(threads=1),
    ],
    ids=["plain", "default", "throughput", "threads"],
)
def test_infer(
    runtime: Runtime, engine: Callable[..., Path], options: OpenOptions, batch: int
) -> None:
    first, second = images(batch), images(batch, seed=1)
    # the runtime's default may be BF16
    tolerance = 1e-5 if options.precision == "f32" else 2e-2
    with runtime.open(engine(batch=batch), options) as session:
        assert session.input_shape == (batch, 1, 6, 6)
        for data in (first, second):
            logits, twice = session.infer(data)
            assert logits.shape == twice.shape == (batch, 4) and logits.dtype == np.float32
            np.testing.assert_allclose(logits, tiny_logits(data), atol=tolerance)
            np.testing.assert_allclose(twice, 2 * tiny_logits(data), atol=2 * tolerance)


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_infer_many_gives_every_batch_its_own_index(
    runtime: Runtime, engine: Callable[..., Path], mode: str
) -> None:
    data = images(2 * 40)
    got: dict[int, list[np.ndarray]] = {}
    with runtime.open(engine(batch=2), OpenOptions(mode=mode)) as session:
        session.infer_many(
            (data[i : i + 2] for i in range(0, 80, 2)), lambda i, outputs: got.update({i: outputs})
        )
        session.infer_many(iter(()), lambda i, outputs: pytest.fail("nothing went in"))
        session.infer(images(2, seed=9))  # what was handed out is not overwritten by later calls
    assert sorted(got) == list(range(40))
    found = [np.concatenate([got[i][k] for i in range(40)]) for k in (0, 1)]
    np.testing.assert_allclose(found[0], tiny_logits(data), atol=1e-5)
    np.testing.assert_allclose(found[1], 2 * tiny_logits(data), atol=1e-5)


@of_libraries
def test_infer_named_takes_any_number_of_inputs(runtime: Runtime, tmp_path: Path) -> None:
    def info(name: str) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3])

    nodes = [
        helper.make_node("Sub", ["a", "b"], ["difference"]),
        helper.make_node("Add", ["b", "a"], ["sum"]),
    ]
    graph = helper.make_graph(
        nodes, "two", [info("a"), info("b")], [info("sum"), info("difference")]
    )
    path = tmp_path / "two.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path
    )
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.full((2, 3), 10, np.float32)
    # every runtime opens ONNX files here: the fidelity check feeds it blocks of a graph
    with runtime.open(path, OpenOptions()) as session:
        total, difference = session.infer_named({"b": b, "a": a})
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(difference, a - b)


def test_executed_precisions(runtime: Runtime, engine: Callable[..., Path]) -> None:
    with runtime.open(engine(), OpenOptions()) as session:
        layers = session.executed_precisions()
        assert isinstance(layers, tuple) and all(
            isinstance(layer, ExecutedLayer) for layer in layers
        )
    # pinned FP32, and named after the graph's node: the proof of INT8 and the reports stand on both
    found = [
        (layer.precision, "conv" in layer.nodes)
        for layer in layers
        if layer.kind in runtime.convolutions
    ]
    assert found == [("f32", True)]


def test_the_inputs_of_an_engine_are_told(runtime: Runtime, engine: Callable[..., Path]) -> None:
    (declared,) = runtime.inputs_of(engine(batch=2))
    assert (declared.shape, declared.dtype) == ((2, 1, 6, 6), "float32")
    assert declared.name == ("input" if runtime.name == "in_memory" else "x")


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"], indirect=True)
def test_open_sizes_are_given_as_it_is_opened(runtime: Runtime, tmp_path: Path) -> None:
    """Both runtimes open ONNX files as they are."""
    path = tmp_path / "open.onnx"
    model = onnx.load(tiny_onnx(path))
    for value, names in ((model.graph.input[0], "n_hw"), (model.graph.output[0], "n_")):
        for name, size in zip(names, value.type.tensor_type.shape.dim, strict=True):
            if name != "_":
                size.dim_param = name
    onnx.save(model, path)
    (declared,) = runtime.inputs_of(path)
    assert declared.shape == (None, 1, None, None)
    with runtime.open(path, OpenOptions(shapes=(("x", (2, 1, 5, 7)),))) as session:
        assert session.input_shape == (2, 1, 5, 7)
        batch = np.random.default_rng(0).standard_normal((2, 1, 5, 7)).astype(np.float32)
        logits = session.infer(batch)[0]
        np.testing.assert_allclose(logits, tiny_logits(batch), rtol=1e-5, atol=1e-6)
    if runtime.name == "openvino":  # the other has the batch that its shapes say
        options = OpenOptions(shapes=(("x", (2, 1, 5, 7)),), batch=3)
        with runtime.open(path, options) as session:
            assert session.input_shape == (3, 1, 5, 7)


@of_libraries
def test_the_inputs_of_what_is_no_engine(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / f"noise{runtime.suffix}"
    path.write_bytes(b"\x00\x01 no engine")
    with pytest.raises(BackendError, match=r"cannot (load|read) .*noise\."):
        runtime.inputs_of(path)


@of_libraries
def test_a_file_that_is_no_engine_is_refused_by_name(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / f"noise{runtime.suffix}"
    for content in (None, b"", b"\x00\x01 no engine"):
        if content is not None:
            path.write_bytes(content)
        with (
            pytest.raises(BackendError, match=r"cannot (load|compile) noise\.") as caught,
            runtime.open(path, OpenOptions()),
        ):
            pass
        assert len(caught.value.message) < 600 and "\n" not in caught.value.message
        assert caught.value.hint is not None and "edge-scnet build" in caught.value.hint


@of_libraries
def test_build_leaves_both_files_or_none(runtime: Runtime, tmp_path: Path) -> None:
    source, out = tiny_onnx(tmp_path / "tiny.onnx"), tmp_path / f"engine{runtime.suffix}"
    target = load_target(TARGETS.get(runtime.name, "cpu"))
    written = runtime.build(source, target, out).files
    assert written[0] == out and {path.name for path in tmp_path.iterdir()} == {
        source.name,
        *(path.name for path in written),
    }
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(source.read_bytes()[:100])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BackendError, match=r"cut\.onnx") as caught:
        runtime.build(cut, target, tmp_path / f"other{runtime.suffix}")
    assert caught.value.hint is not None and "edge-scnet export" in caught.value.hint
    with pytest.raises(StorageError, match="cannot write"):
        runtime.build(source, target, cut / out.name)  # below a file
    assert sorted(tmp_path.iterdir()) == before
