"""Every runtime that is installed here, and the tiny model as its engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from edge_scnet.config.target import load_target
from edge_scnet.runtimes import in_memory, runtime_named
from edge_scnet.runtimes.base import ExecutedLayer, Runtime
from tests.helpers.graphs import tiny_logits, tiny_onnx
from tests.helpers.runtimes import LIBRARIES, TARGETS


def tiny_engine(source: Path) -> in_memory.Engine:
    """The tiny model in memory."""
    shape = tuple(d.dim_value for d in onnx.load(source).graph.input[0].type.tensor_type.shape.dim)
    return in_memory.Engine(
        compute=lambda images: [tiny_logits(images), 2 * tiny_logits(images)],
        input_shape=shape,
        output_names=("logits", "twice"),
        layers=(ExecutedLayer(kind="Convolution", precision="f32", nodes=("conv",)),),
    )


@pytest.fixture(params=[*LIBRARIES, "in_memory"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    if request.param == "in_memory":
        with in_memory.registered(compiler=tiny_engine) as registered:
            yield registered
        return
    runtime = runtime_named(request.param)
    # one that builds plans need not be able to run them
    if reason := runtime.unavailable_to_run():
        pytest.skip(reason)
    yield runtime


@pytest.fixture
def engine(runtime: Runtime, tmp_path: Path) -> Callable[..., Path]:
    """What this runtime builds of the tiny model."""

    def make(**shape: int) -> Path:
        source = tiny_onnx(tmp_path / "tiny.onnx", **shape)
        target = load_target(TARGETS.get(runtime.name, "cpu"))
        return runtime.build(source, target, tmp_path / f"tiny{runtime.suffix}").engine

    return make
