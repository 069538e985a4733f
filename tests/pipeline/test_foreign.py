"""Engines without a manifest: what they take, by their own word and by options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.events import Silent
from edge_scnet.core.files import sha256_file
from edge_scnet.core.spec import TensorSpec
from edge_scnet.errors import ArtifactError, DataError, TargetError
from edge_scnet.pipeline.foreign import ForeignEngine, is_foreign, open_foreign
from edge_scnet.pipeline.profile import profile
from edge_scnet.pipeline.profile_foreign import (
    ForeignRequest,
    check_same_inputs,
    names_of,
    open_for_engine,
    profile_engines,
    verdict_of,
)
from edge_scnet.runtimes import in_memory
from edge_scnet.runtimes.base import EngineInput
from edge_scnet.runtimes.shared import files_of
from tests.helpers.tool import Built

OPTIONS = ModelOptions()


def declared(*shape: int | None, name: str = "x", dtype: str = "float32") -> EngineInput:
    return EngineInput(name=name, shape=shape, dtype=dtype)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[in_memory.InMemory]:
    with in_memory.registered() as registered:
        yield registered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "some engine (2).mem"
    file.write_bytes(b"")
    return file


def opened(
    path: Path,
    inputs: tuple[EngineInput, ...],
    monkeypatch: pytest.MonkeyPatch,
    options: ModelOptions = OPTIONS,
    **settings: object,
) -> ForeignEngine:
    """An engine that declares such inputs."""
    monkeypatch.setattr(in_memory.InMemory, "inputs_of", lambda self, artifact: inputs)
    return open_foreign(path, options, name="engine", role="reference", **settings)


def test_what_an_engine_declares_is_what_it_is_fed_with(
    runtime: in_memory.InMemory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(path, (declared(4, 3, 32, 48),), monkeypatch)
    spec = engine.spec
    assert (engine.batch, spec.input_shape, spec.dtype) == (4, (3, 32, 48), "float32")
    assert (spec.preprocessing.mean, spec.preprocessing.std, spec.more_inputs) == (
        (0, 0, 0),
        (1, 1, 1),
        (),
    )
    # it becomes a name of files
    assert spec.name == "some-engine-2-"
    assert not engine.has_open_batch and engine.file.options.shapes == ()
    assert engine.file.options.precision == "default" and engine.file.sha256 == sha256_file(path)


def test_open_sizes_are_those_of_the_options(
    runtime: in_memory.InMemory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = (declared(None, 3, None, None),)
    with pytest.raises(ArtifactError, match=r"of x are open: \? x 3 x \? x \?") as caught:
        opened(path, inputs, monkeypatch)
    assert "--input-shape" in caught.value.hint
    options = replace(OPTIONS, input_shape=(3, 24, 40))
    engine = opened(path, inputs, monkeypatch, options)
    assert engine.has_open_batch and engine.file.options.shapes == (("x", (1, 3, 24, 40)),)
    engine = opened(path, inputs, monkeypatch, options, batch=8)
    assert engine.batch == 8 and engine.file.options.shapes == (("x", (8, 3, 24, 40)),)


@pytest.mark.parametrize("shape", [(1, 24, 40), (3, 24), (3, 24, 40, 1)])
def test_sizes_that_contradict_the_engine_are_refused(
    runtime: in_memory.InMemory,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
) -> None:
    options = replace(OPTIONS, input_shape=shape)
    with pytest.raises(ArtifactError, match=r"x is 1 x 3 x \? x \?, --input-shape says"):
        opened(path, (declared(1, 3, None, None),), monkeypatch, options)


@pytest.mark.parametrize("asked", [(24, 40, 3), (3, 24, 40)])
def test_channels_last_is_recognised(
    runtime: in_memory.InMemory,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[int, ...],
) -> None:
    options = replace(OPTIONS, input_shape=asked)
    inputs = (declared(None, None, None, 3, dtype="uint8"),)
    spec = opened(path, inputs, monkeypatch, options).spec
    assert spec.channels_last and spec.input_shape == (24, 40, 3)
    assert (spec.channels, spec.height, spec.width) == (3, 24, 40)
    # bytes are pixels as they are
    assert spec.preprocessing.std == (1 / 255,) * 3 and spec.preprocessing.mean == (0.0,) * 3


def test_several_inputs_and_states_without_a_batch_axis(
    runtime: in_memory.InMemory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = (
        declared(1, 64, name="frame"),
        declared(1, 5, name="mask", dtype="bool"),
        declared(2, 1, 8, name="state"),
        declared(name="rate", dtype="int64"),
    )
    spec = opened(path, inputs, monkeypatch).spec
    assert spec.input_name == "frame"
    assert spec.more_inputs == (
        TensorSpec(name="mask", shape=(5,), dtype="bool"),
        TensorSpec(name="state", shape=(2, 1, 8)),
        TensorSpec(name="rate", shape=(), dtype="int64"),
    )
    with pytest.raises(ArtifactError, match="'state' is 2 x 1 x 8, and the first one's batch is 4"):
        opened(path, (declared(4, 64), declared(2, 1, 8, name="state")), monkeypatch)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((), "has no input"),
        ((declared(),), "is a single number"),
        ((declared(1, 3, dtype="string"),), "is string"),
        ((declared(1, 3), declared(1, None, name="y")), "the sizes of y are open"),
    ],
)
def test_what_cannot_be_fed(
    runtime: in_memory.InMemory,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inputs: tuple[EngineInput, ...],
    words: str,
) -> None:
    # NumPy has a type for strings of ONNX Runtime's name too
    with pytest.raises(ArtifactError, match=words):
        opened(path, inputs, monkeypatch)


def test_means_are_by_channel(
    runtime: in_memory.InMemory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = (declared(1, 3, 8, 8),)
    options = replace(OPTIONS, mean=(0.5,), std=(0.1, 0.2, 0.3))
    spec = opened(path, inputs, monkeypatch, options).spec
    assert (spec.preprocessing.mean, spec.preprocessing.std) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    with pytest.raises(ArtifactError, match="the input has 3 channels, and --mean has 2 values"):
        opened(path, inputs, monkeypatch, replace(OPTIONS, mean=(0.5, 0.5)))


def test_an_engine_is_foreign_where_no_manifest_lists_it(built: Built, tmp_path: Path) -> None:
    for suffix, expected in ((".xml", True), (".engine", True), (".tflite", False)):
        (tmp_path / f"model{suffix}").write_bytes(b"")
        assert is_foreign(tmp_path / f"model{suffix}") is expected
    assert not is_foreign(tmp_path) and not is_foreign(tmp_path / "none.xml")
    assert not is_foreign(built.folder / "model.xml")


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"model\.tflite is no engine .* \.xml, \.onnx, \.plan"):
        profile(tmp_path / "model.tflite")


def test_pictures_are_not_fed_without_their_preprocessing(
    runtime: in_memory.InMemory, path: Path, monkeypatch: pytest.MonkeyPatch, built: Built
) -> None:
    grey = declared(1, 1, 28, 28)
    engine = opened(path, (grey,), monkeypatch)
    with pytest.raises(DataError, match="how pictures are preprocessed for it is unknown") as error:
        open_for_engine(built.calib, engine, OPTIONS, ignore_labels=True)
    assert "--mean" in error.value.hint
    said = replace(OPTIONS, mean=(0.0,), std=(1.0,))
    assert len(open_for_engine(built.calib, engine, said, ignore_labels=True)) > 0
    for word in ({"preprocess": "pixels"}, {"pixel_max": 255.0}):
        said = replace(OPTIONS, **word)
        assert len(open_for_engine(built.calib, engine, said, ignore_labels=True)) > 0
    # bytes need no word on it
    engine = opened(path, (replace(grey, dtype="uint8"),), monkeypatch)
    assert len(open_for_engine(built.calib, engine, OPTIONS, ignore_labels=True)) > 0
    # neither do arrays, which are fed as they are
    np.save(path.parent / "x.npy", np.zeros((2, 1, 28, 28), np.float32))
    samples = open_for_engine(path.parent / "x.npy", engine, OPTIONS)
    assert len(samples) == 2 and samples.arrays.dtype == np.uint8


def test_every_way_to_prepare_pictures_is_an_engines_too(
    runtime: in_memory.InMemory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels_last = declared(1, 48, 64, 3)
    options = replace(OPTIONS, preprocess="yolo", colour="BGR")
    spec = opened(path, (channels_last,), monkeypatch, options).spec
    rule = spec.preprocessing
    assert (rule.resize, rule.colour, rule.pad_value) == ("letterbox", "BGR", (114,))
    assert (spec.height, spec.width, rule.mean) == (48, 64, (0.0,) * 3)
    # bytes are codes, whatever the word for it
    raw = replace(channels_last, dtype="uint8")
    spec = opened(path, (raw,), monkeypatch, replace(OPTIONS, preprocess="pixels")).spec
    assert (spec.preprocessing.pixel_max, spec.preprocessing.std) == (255.0, (1.0,) * 3)


def test_the_headline_says_what_is_not_known(
    runtime: in_memory.InMemory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(path, (declared(None, 3, 8, 8),), monkeypatch)
    assert verdict_of([engine], None) == (
        "measured, not judged: no manifest; the preprocessing is unknown; random inputs; the batch"
        " is open, 1 is taken; the runtime's default precision is taken; no reference to compare"
        " with"
    )
    assert "no reference" not in verdict_of([engine, engine], None)
    listed = replace(engine, beside_manifest=True)
    assert "the manifest beside it does not list it" in verdict_of([listed], None)


def test_engines_that_take_different_inputs_are_not_measured_together(
    runtime: in_memory.InMemory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = opened(path, (declared(1, 3, 8, 8),), monkeypatch)
    check_same_inputs([one, opened(path, (declared(1, 3, 8, 8, name="other"),), monkeypatch)])
    for inputs in ((declared(1, 3, 9, 8),), (declared(1, 3, 8, 8, dtype="float16"),)):
        with pytest.raises(ArtifactError, match="cannot be fed with the same samples"):
            check_same_inputs([one, opened(path, inputs, monkeypatch)])


def test_rows_are_named_after_the_files() -> None:
    assert names_of([Path("/a/x.xml"), Path("/a/y.onnx")]) == ["x.xml", "y.onnx"]
    assert names_of([Path("/a/b/x.xml"), Path("/c/b/x.xml")]) == ["a/b/x.xml", "c/b/x.xml"]
    assert names_of([Path("/a/x.xml"), Path("/a/x.xml")]) == ["x.xml A", "x.xml B"]


def test_options_that_an_engine_cannot_take_are_refused(
    runtime: in_memory.InMemory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = (declared(None, 3, 8, 8),)
    monkeypatch.setattr(in_memory.InMemory, "inputs_of", lambda self, artifact: inputs)
    for request, words in (
        (ForeignRequest(paths=(path,), batches=(1, 2)), "its batch is open"),
        (ForeignRequest(paths=(path,), cuda_graph=True), "--cuda-graph is for TensorRT's plans"),
    ):
        with pytest.raises(TargetError, match=words):
            profile_engines(request, Silent())


def test_the_files_of_an_engine_are_counted(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_bytes(b"12345")
    (tmp_path / "m.bin").write_bytes(b"123")
    assert sum(file.stat().st_size for file in files_of(tmp_path / "m.xml")) == 8
