"""Whether pictures are resized where nobody said so, and the line that says it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.events import Silent
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet, in_memory
from edge_scnet.errors import MissingRuntimeError
from edge_scnet.models.defaults import pictures_of
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.pipeline.input_line import fed_with, say_input, settled
from tests.helpers.images import RGB, calibration, idx_files


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.warnings: list[str] = []

    def stage(self, name: str, detail: str) -> None:
        self.lines.append((name, detail))

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def spec_of(**options: object) -> ModelSpec:
    rule = pictures_of(ModelOptions(**options), (3, 96, 96))
    return replace(RGB, input_shape=(3, 96, 96), classes=(), preprocessing=rule)


def pictures(root: Path, *sizes: tuple[int, int]) -> SampleSet:
    root.mkdir()
    for number, size in enumerate(sizes):
        Image.new("RGB", size, (number, 0, 0)).save(root / f"{number}.png")
    return calibration(root)


def test_pictures_of_the_inputs_size_are_not_enlarged_and_cropped(tmp_path: Path) -> None:
    spec = spec_of()
    assert spec.preprocessing.short_side == 110
    same = pictures(tmp_path / "same", (96, 96), (96, 96))
    found = settled(spec, same, None)
    assert found.preprocessing.short_side is None
    heard = Heard()
    say_input(found, heard, same, None)
    assert heard.lines == [
        (
            "input",
            "RGB, 96 x 96 as the pictures are, 0 to 1, mean 0.485 0.456 0.406"
            " (ImageNet's, by default), std 0.229 0.224 0.225",
        )
    ]


@pytest.mark.parametrize(
    ("options", "other"),
    [
        # one picture of another size, in either set; what the user says; another way to resize
        ({}, (96, 97)),
        ({"resize": 110}, (96, 96)),
        ({"crop_fraction": 0.9}, (96, 96)),
        ({"resize_mode": "letterbox"}, (96, 96)),
    ],
)
def test_otherwise_nothing_changes(
    tmp_path: Path, options: dict[str, object], other: tuple[int, int]
) -> None:
    same, mixed = (
        pictures(tmp_path / "same", (96, 96)),
        pictures(tmp_path / "other", (96, 96), other),
    )
    spec = spec_of(**options)
    for sets in ((same, mixed), (mixed, same), (mixed, None)):
        assert settled(spec, *sets) is spec
    assert settled(spec, None, None) is spec


def test_of_a_bundled_model_only_the_words_change(tmp_path: Path) -> None:
    spec = replace(FASHION_MNIST, input_shape=(1, 4, 4))
    found = settled(spec, calibration(idx_files(tmp_path / "idx"), spec))
    assert found.preprocessing == spec.preprocessing
    heard = Heard()
    say_input(found, heard)
    assert heard.lines[0][1].startswith("grey, 4 x 4 as the pictures are")


def test_that_transparency_shows_white_is_said(tmp_path: Path) -> None:
    (tmp_path / "calib").mkdir()
    for number, mode in enumerate(("RGB", "RGBA", "LA", "P")):
        Image.new(mode, (96, 96), number).save(tmp_path / "calib" / f"{number}.png")
    heard = Heard()
    say_input(spec_of(), heard, calibration(tmp_path / "calib"))
    assert heard.lines[0][1].endswith("; 2 have transparency, which shows white")


def test_a_library_that_is_missing_is_said_before_the_first_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingRuntimeError, match="'cv2' is not installed"):
        say_input(spec_of(preprocess="yolo"), Heard(), pictures(tmp_path / "a", (96, 96)))


def test_arrays_are_fed_as_they_are() -> None:
    heard = Heard()
    spec = replace(RGB, input_shape=(2, 16))
    say_input(spec, heard, in_memory(np.zeros((3, 2, 16), np.float32), "samples"), None)
    say_input(spec, heard)
    assert heard.lines == [("input", "2 x 16, arrays as they are")]


def test_values_of_another_range_are_a_warning() -> None:
    heard = Heard()
    say_input(replace(RGB, preprocessing=Preprocessing(mean=(123.0,) * 3, std=(58.0,) * 3)), heard)
    assert heard.lines[0][1].startswith("RGB")
    assert len(heard.warnings) == 1 and "--pixel-max 255" in heard.warnings[0]


def test_arrays_in_one_set_and_pictures_in_the_other_are_both_said(tmp_path: Path) -> None:
    held = in_memory(np.zeros((3, 3, 96, 96), np.float32), "samples")
    pictured = pictures(tmp_path / "a", (96, 96))
    for sets, role in (((held, pictured), "calibration"), ((pictured, held), "evaluation")):
        heard = Heard()
        say_input(spec_of(), heard, *sets)
        assert heard.lines[0][1].endswith(f"; {role} arrays as they are")
        assert len(heard.warnings) == 1
        assert f"{role} samples are arrays, fed as they are" in heard.warnings[0]
        assert fed_with(*sets) == "pictures"
    assert fed_with(held, None) == "arrays"
    assert fed_with(None, None) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resize": 110}, "a short side of 110 (--resize), and 14 pixels are cut off; --resize 96"),
        ({"crop_fraction": 0.875}, "a short side of 109 (--crop-fraction)"),
        ({"resize_mode": "stretch", "resize": 110}, "a short side of 110 (--resize)"),
        ({"resize": 96}, ""),
        ({"resize_mode": "letterbox"}, ""),
        ({"resize_mode": "none"}, ""),
        ({}, ""),
    ],
)
def test_pictures_of_the_inputs_size_are_resized_as_said_and_that_is_told(
    tmp_path: Path, options: dict[str, object], words: str
) -> None:
    same = pictures(tmp_path / "same", (96, 96), (96, 96))
    heard = Heard()
    say_input(settled(spec_of(**options), same), heard, same)
    assert [bool(words)] == [bool(heard.warnings)] and words in "".join(heard.warnings)
    # beside one of another size it is the rule of all
    heard = Heard()
    say_input(spec_of(**options), heard, pictures(tmp_path / "mixed", (96, 96), (99, 120)))
    assert not heard.warnings
