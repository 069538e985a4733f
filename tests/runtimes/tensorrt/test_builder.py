"""What the builder refuses, through TensorRT-RTX, and a builder that crashes."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.config.target import load_target
from edge_scnet.errors import BackendError
from edge_scnet.runtimes.tensorrt import backend, builder
from edge_scnet.runtimes.tensorrt.job import PlanJob
from tests.helpers.tensorrt import ON_X86_LINUX, needs_rtx, one_convolution, with_tensorrt


@pytest.mark.skipif(not ON_X86_LINUX, reason="TensorRT-RTX is for x86-64 Linux and Windows")
def test_the_builder_is_there_in_ci() -> None:
    if not os.environ.get("CI"):
        pytest.skip("outside CI it is an extra")
    assert backend.RTX.unavailable() is None, (
        "the dev extra brings TensorRT-RTX: without it the gate below would sleep"
    )


@needs_rtx
def test_what_the_parser_refuses_is_named(tmp_path: Path) -> None:
    model = one_convolution(np.array([0.01, 0.02], np.float32), np.ones((2, 3, 1, 1), np.int8))
    next(node for node in model.graph if node.op_type == "Conv").op_type = "Convoluted"
    ir.save(model, tmp_path / "m.onnx")
    with pytest.raises(BackendError, match=r"refuses m\.onnx:\n.*conv \(Convoluted\)") as caught:
        backend.RTX.build(tmp_path / "m.onnx", load_target("rtx"), tmp_path / "m.plan")
    assert caught.value.hint and list(tmp_path.iterdir()) == [tmp_path / "m.onnx"]


@needs_rtx
def test_a_dynamic_input_without_a_profile_is_refused(tmp_path: Path) -> None:
    model = one_convolution(np.array([0.01, 0.02], np.float32), np.ones((2, 3, 1, 1), np.int8))
    proto = ir.serde.serialize_model(model)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n"
    del proto.graph.value_info[:]
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(
        BackendError, match=r"input 'x' has the dynamic shape .* no optimization profile"
    ):
        backend.RTX.build(tmp_path / "m.onnx", load_target("rtx"), tmp_path / "m.plan")


def test_a_crash_of_the_builder_is_an_error_not_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(backend, "_BUILDER", "tests.helpers.processes:crash")
    with_tensorrt(monkeypatch, "10.3.0")
    with pytest.raises(BackendError, match=r"TensorRT-RTX crashed on m\.onnx \(signal SIGSEGV\)"):
        backend.RTX.build(tmp_path / "m.onnx", load_target("rtx"), tmp_path / "m.plan")
    assert not list(tmp_path.iterdir())


def test_a_tensorrt_that_cannot_start_is_no_fault_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(backend, "_BUILDER", "tests.helpers.processes:not_started")
    with_tensorrt(monkeypatch, "10.3.0")
    with pytest.raises(BackendError, match=r"cannot start here:\n  CUDA .* error: 35") as caught:
        backend.RTX.build(tmp_path / "m.onnx", load_target("rtx"), tmp_path / "m.plan")
    assert "free -h" in caught.value.hint and "inspect" not in caught.value.hint


def _job(folder: Path, **changes: Any) -> PlanJob:
    job = PlanJob(
        modules=("trt_of_tests",),
        source=str(folder / "m.onnx"),
        out=str(folder / "m.plan"),
        answer=str(folder / "answer.json"),
        workspace_bytes=1 << 20,
        strongly_typed=True,
        precisions=(),
        timing_cache=str(folder / "timing.cache"),
    )
    return replace(job, **changes)


class _Base:
    def __init__(self) -> None: ...


class _Cache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes:
        return b"new"


class _Config:
    """A builder configuration that takes the caches `good` and empty."""

    def __init__(self) -> None:
        self.cache: _Cache | None = None
        self.flags: list[str] = []

    def set_memory_pool_limit(self, pool: Any, size: int) -> None: ...

    def set_flag(self, flag: str) -> None:
        self.flags.append(flag)

    def create_timing_cache(self, data: bytes) -> _Cache | None:
        return _Cache(data) if data in (b"", b"good", b"other GPU") else None

    def set_timing_cache(self, cache: _Cache | None, ignore_mismatch: bool) -> bool:
        if cache is None:
            raise TypeError("incompatible function arguments")
        if cache.data == b"other GPU":
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> _Cache | None:
        return self.cache


class _Package(ModuleType):
    """A TensorRT that builds what it is asked for, and talks as the real one does."""

    __version__ = "10.3.0"
    ILogger, MemoryPoolType = _Base, SimpleNamespace(WORKSPACE=0)
    ProfilingVerbosity = SimpleNamespace(DETAILED=2)
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    LayerInformationFormat = SimpleNamespace(JSON=1)
    BuilderFlag = SimpleNamespace(INT8="INT8", FP16="FP16")
    LayerType = SimpleNamespace(CONVOLUTION=0, DEQUANTIZE=1)
    config = _Config()
    # of the network
    layers: tuple[int, ...] = ()

    def Builder(self, logger: Any) -> Any:
        def build(network: Any, config: Any) -> bytes:
            for number in range(1000):
                logger.log("Severity.VERBOSE", f"Tactic {number} takes {number} ms")
            logger.log("Severity.VERBOSE", "Name: conv1, LayerType: CaskConvolution, Inputs: []")
            return b"plan"

        return SimpleNamespace(
            create_network=lambda flags: SimpleNamespace(
                num_inputs=0,
                get_input=None,
                num_layers=len(self.layers),
                get_layer=lambda i: SimpleNamespace(type=self.layers[i]),
            ),
            create_builder_config=lambda: self.config,
            build_serialized_network=build,
        )

    def OnnxParser(self, network: Any, logger: Any) -> Any:
        return SimpleNamespace(parse_from_file=lambda source: True)

    def Runtime(self, logger: Any) -> Any:
        raise TypeError("pybind11::init(): factory function returned nullptr")


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> _Package:
    made = _Package("trt_of_tests")
    made.config = _Config()
    monkeypatch.setitem(sys.modules, "trt_of_tests", made)
    return made


@pytest.mark.parametrize(
    ("earlier", "used", "words"),
    [
        (None, b"", None),
        (b"good", b"good", None),
        (b"rubbish", b"", "timing.cache is damaged"),
        (b"other GPU", b"", "timing.cache is damaged or another GPU's"),
    ],
)
def test_a_damaged_timing_cache_is_made_anew(
    package: _Package, tmp_path: Path, earlier: bytes | None, used: bytes, words: str | None
) -> None:
    if earlier is not None:
        (tmp_path / "timing.cache").write_bytes(earlier)
    made = builder.build(_job(tmp_path))
    assert package.config.cache is not None and package.config.cache.data == used
    assert (tmp_path / "timing.cache").read_bytes() == b"new"
    assert (tmp_path / "m.plan").read_bytes() == b"plan"
    assert [text for text in made.warnings if words and words in text] == list(made.warnings)
    assert bool(made.warnings) is (words is not None)
    # no runtime: the log's layers do
    assert made.inspector is None and len(made.layers) == 1


@pytest.mark.parametrize(
    ("quantized", "flags"), [(True, ["INT8", "FP16"]), (False, ["FP16"])], ids=["int8", "twin"]
)
def test_int8_is_asked_for_where_the_graph_is_quantized(
    package: _Package, tmp_path: Path, quantized: bool, flags: list[str]
) -> None:
    """TensorRT 8 wants a calibrator for the FP16 twin otherwise, and builds nothing."""
    kinds = package.LayerType
    package.layers = (kinds.CONVOLUTION, *([kinds.DEQUANTIZE] if quantized else []))
    builder.build(_job(tmp_path, strongly_typed=False, precisions=("int8", "fp16")))
    assert package.config.flags == flags


def test_of_verbose_messages_only_those_that_name_layers_are_kept() -> None:
    messages: list[tuple[str, str]] = []
    logger = builder._logger(SimpleNamespace(ILogger=_Base), messages)
    for text in ("Tactic 1 takes 2 ms", "Name: conv1, LayerType: CaskConvolution, Inputs: []"):
        logger.log("Severity.VERBOSE", text)
    logger.log("Severity.WARNING", "slow")
    assert [kind for kind, _ in messages] == ["VERBOSE", "WARNING"]


@pytest.mark.parametrize("what", ["Builder", "OnnxParser"])
def test_a_constructor_that_gives_nothing_is_told_in_the_loggers_words(
    package: _Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def fail(*args: Any) -> Any:
        args[-1].log("Severity.ERROR", "CUDA initialization failure with error: 2")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(package, what, fail)
    with pytest.raises(builder._NotStarted, match="CUDA initialization failure with error: 2"):
        builder.build(_job(tmp_path))
    monkeypatch.setattr(package, what, lambda *args: None)
    with pytest.raises(builder._NotStarted, match=r"no builder|no parser"):
        builder.build(_job(tmp_path))


@pytest.mark.parametrize("words", ["raise ImportError(x)", "import ctypes; ctypes.CDLL(x)"])
def test_a_package_without_its_library_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """As in a container that was started without NVIDIA's runtime."""
    (tmp_path / "trt_without_library.py").write_text(f"x = 'libnvinfer.so.none'\n{words}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(builder._NotStarted, match=r"trt_without_library .*libnvinfer\.so\.none"):
        builder.build(_job(tmp_path, modules=("trt_without_library",)))
