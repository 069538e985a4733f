"""The sample sets of a build: where they are, and that none was calibrated with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.config.target import load_target
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Silent
from edge_scnet.core.manifest import MANIFEST
from edge_scnet.core.spec import FLOATS
from edge_scnet.data.images import normalise
from edge_scnet.data.samples import bundled_sets
from edge_scnet.errors import DataError
from edge_scnet.pipeline.samples import (
    SampleRequest,
    evaluation_folder,
    open_evaluation_set,
    open_sample_sets,
)
from tests.helpers.images import RGB, idx_files, picture

REQUEST = SampleRequest(
    calib=None,
    evaluation=None,
    calibrates=True,
    evaluates=True,
    skip_bad=False,
    ignore_labels=False,
    command="edge-scnet build net.onnx",
)


class Warned(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def warn(self, message: str) -> None:
        self.messages.append(message)


@pytest.fixture
def build(tmp_path: Path) -> BuildFolder:
    """A build of the bundled model, without its files."""
    manifest = Path(__file__).parents[1] / "data" / "manifests" / "cpu.json"
    shutil.copy(manifest, tmp_path / MANIFEST)
    return BuildFolder.open(tmp_path)


def test_a_model_without_bundled_images_needs_some() -> None:
    own = replace(RGB, dataset=None)
    with pytest.raises(
        DataError, match=r"rgb has no bundled images: --calib and --eval needed"
    ) as e:
        open_sample_sets(REQUEST, own, load_target("cpu"), Warned())
    assert e.value.hint == "edge-scnet build net.onnx --calib DIR --eval DIR"
    nothing = replace(REQUEST, calibrates=False, evaluates=False)
    assert open_sample_sets(nothing, own, load_target("cpu"), Warned()) == (None, None)


def test_the_evaluation_images_are_the_builds_own_else_the_bundled_ones(
    build: BuildFolder,
) -> None:
    manifest = build.manifest
    assert evaluation_folder(manifest) == bundled_sets("fashion-mnist")[1]
    assert evaluation_folder(replace(manifest, evaluation="/there")) == "/there"
    assert evaluation_folder(replace(manifest, model=replace(RGB, dataset=None))) is None


def test_an_evaluation_set_is_opened_and_warned_about(build: BuildFolder, tmp_path: Path) -> None:
    # what it was calibrated with is not known: there is nothing to hold the images to
    artifacts = {name: a for name, a in build.manifest.artifacts.items() if name != "ranges.npz"}
    bare = replace(build, manifest=replace(build.manifest, artifacts=artifacts))
    events = Warned()
    samples = open_evaluation_set(
        bare,
        idx_files(tmp_path / "eval", 3),
        skip_bad=False,
        ignore_labels=False,
        events=events,
    )
    assert samples is not None and len(samples) == 3
    assert any("classes have no evaluation image" in message for message in events.messages)
    without = replace(bare, manifest=replace(bare.manifest, model=replace(RGB, dataset=None)))
    assert (
        open_evaluation_set(without, None, skip_bad=False, ignore_labels=False, events=Warned())
        is None
    )


def test_images_that_cannot_fill_the_input_are_refused_by_name(tmp_path: Path) -> None:
    for number, side in enumerate((8, 7, 6)):
        (tmp_path / "eval").mkdir(exist_ok=True)
        picture(number, side, 9).save(tmp_path / "eval" / f"{number}.png")
    rule = replace(RGB.preprocessing, resize="none")
    spec = replace(RGB, dataset=None, input_shape=(3, 8, 8), preprocessing=rule)
    request = replace(REQUEST, calibrates=False, evaluation=str(tmp_path / "eval"))
    with pytest.raises(DataError, match=r"2 of 3 evaluation images .*1\.png is 7 x 9") as caught:
        open_sample_sets(request, spec, load_target("cpu"), Warned())
    assert "--resize-mode crop" in (caught.value.hint or "")


def test_codes_are_no_evaluation_samples_of_engines_of_prepared_pictures(
    build: BuildFolder, tmp_path: Path
) -> None:
    bare = replace(build.manifest, artifacts={}, fed_with="pictures", input=FLOATS)
    spec = bare.model
    codes = np.random.default_rng(0).integers(0, 256, (3, *spec.input_shape), np.uint8)
    np.savez(tmp_path / "x.npz", input=codes, labels=np.arange(3))
    folder = replace(build, manifest=bare)

    def opened(path: Path) -> object:
        return open_evaluation_set(
            folder, str(path), skip_bad=False, ignore_labels=False, events=Warned()
        )

    with pytest.raises(DataError, match="holds whole numbers from 0 to 255, as pixels are"):
        opened(tmp_path / "x.npz")
    prepared = normalise(codes.transpose(0, 2, 3, 1), spec)
    np.savez(tmp_path / "y.npz", input=prepared, labels=np.arange(3))
    assert opened(tmp_path / "y.npz") is not None


@pytest.mark.parametrize("of_codes", ["calib", "eval"])
def test_one_set_of_codes_and_one_of_prepared_pixels_make_no_build(
    tmp_path: Path, of_codes: str
) -> None:
    """INT8's thresholds would be of other numbers than those that it is judged on."""
    spec = replace(RGB, dataset=None, num_classes=None)
    rng = np.random.default_rng(0)
    for name in ("calib", "eval"):
        (tmp_path / name).mkdir()
        codes = rng.integers(0, 256, (100, *spec.input_shape), np.uint8)
        prepared = normalise(codes.transpose(0, 2, 3, 1), spec)
        np.save(tmp_path / name / "x.npy", codes if name == of_codes else prepared)
    request = replace(REQUEST, calib=str(tmp_path / "calib"), evaluation=str(tmp_path / "eval"))
    with pytest.raises(DataError, match=rf"{of_codes} holds whole numbers from 0 to 255") as caught:
        open_sample_sets(request, spec, load_target("cpu"), Warned())
    assert caught.value.hint == "prepare both sets in the same way"
    other = {"calib": "eval", "eval": "calib"}[of_codes]
    np.save(tmp_path / other / "x.npy", rng.integers(0, 256, (100, *spec.input_shape), np.uint8))
    assert None not in open_sample_sets(request, spec, load_target("cpu"), Warned())
