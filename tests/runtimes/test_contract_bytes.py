"""The contract of engines that take bytes, which every runtime meets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.config.target import load_target
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import InputForm, ModelSpec
from edge_scnet.data.images import normalise
from edge_scnet.errors import DataError
from edge_scnet.graph.bytes_in import with_bytes_in
from edge_scnet.graph.model import load, save
from edge_scnet.runtimes.base import OpenOptions, Runtime
from tests.helpers.graphs import tiny_logits, tiny_onnx
from tests.helpers.runtimes import TARGETS, of_libraries

GREY = Preprocessing(colour="grey", mean=(0.3,), std=(0.25,))


@of_libraries
def test_an_engine_of_bytes_computes_what_one_of_floats_does(
    runtime: Runtime, tmp_path: Path
) -> None:
    spec = ModelSpec(name="tiny", arch="tiny", input_shape=(1, 6, 6), preprocessing=GREY)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 1), np.uint8)
    with runtime.open(of_bytes(runtime, tmp_path), OpenOptions()) as session:
        assert session.input_shape == (1, 6, 6, 1)
        logits = session.infer(pixels)[0].copy()
    np.testing.assert_allclose(logits, tiny_logits(normalise(pixels, spec)), atol=1e-4)


@of_libraries
def test_floats_for_an_engine_of_bytes_are_refused_and_so_is_the_reverse(
    runtime: Runtime, engine: Callable[..., Path], tmp_path: Path
) -> None:
    """Copied into its input they would be cut to whole numbers, and nobody would know."""
    with runtime.open(of_bytes(runtime, tmp_path), OpenOptions()) as session:
        with pytest.raises(DataError) as caught:
            session.infer(np.zeros((1, 6, 6, 1), np.float32))
        for words in ("uint8 1 x 6 x 6 x 1", "N x H x W x C", "0 to 255", "got float32"):
            assert words in caught.value.message
        assert caught.value.hint and "--input float" in caught.value.hint
        with pytest.raises(DataError, match="got int64 1 x 6 x 6 x 1"):  # 300 would become 44
            session.infer(np.full((1, 6, 6, 1), 300))
        with pytest.raises(DataError, match="uint8 1 x 6 x 6 x 1"):  # of any shape
            session.infer_many([np.zeros((1, 1, 6, 6), np.float32)], lambda i, outputs: None)
    with runtime.open(engine(), OpenOptions()) as session:
        with pytest.raises(DataError) as caught:
            session.infer(np.zeros((1, 1, 6, 6), np.uint8))
        for words in ("float32 1 x 1 x 6 x 6", "N x C x H x W", "got uint8"):
            assert words in caught.value.message
        assert caught.value.hint and "--input uint8" in caught.value.hint
        with pytest.raises(DataError, match="got int64"):  # pixels are often read as those
            session.infer(np.full((1, 1, 6, 6), 200))


def of_bytes(runtime: Runtime, folder: Path) -> Path:
    """What the runtime opens, made of the tiny model with its preprocessing inside."""
    form = InputForm(dtype="uint8", layout="NHWC", colour="grey")
    source = folder / "tiny-source.onnx"
    save(with_bytes_in(load(tiny_onnx(folder / "tiny-plain.onnx")), GREY, form), source)
    target = load_target(TARGETS.get(runtime.name, "cpu"))
    return runtime.build(source, target, folder / f"tiny-bytes{runtime.suffix}").engine
