"""Options of the command line win over those of a project file that exclude them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_scnet.config import project
from edge_scnet.config.model_options import ModelOptions

FILE = 'model = "net.onnx"\ntargets = ["cpu"]\nbaselines = "b"\n[options]\n'


def kept(folder: Path, file: str, said: dict[str, Any]) -> dict[str, Any]:
    """What is taken of a file's options beside those of the command line, by name."""
    path = folder / "edge-scnet.toml"
    path.write_text(FILE + file)
    values = {"model_options": ModelOptions(**said)}
    made = project.merged(project.load(path), values, given=(), target=None)
    found = {
        key.removeprefix("options."): value
        for key, value in made.taken.items()
        if key.startswith("options.")
    }
    assert made.values["model_options"] == ModelOptions(**said, **found)
    return found


@pytest.mark.parametrize(
    ("file", "said", "expected"),
    [
        # sizes: what the command line does not say of a shape stays
        ("input_shape = [1, 28, 28]", {"input_size": 64}, {"input_shape": (1, 64, 64)}),
        ("input_shape = [3, 48, 64]", {"channels": 1}, {"input_shape": (1, 48, 64)}),
        ("input_shape = [3, 9, 9]", {"channels": 1, "input_size": 8}, {"input_shape": (1, 8, 8)}),
        ("input_shape = [16000]", {"input_size": 64}, {}),
        ("input_shape = [3, 9, 9]\ninput_size = 9", {"channels": 1}, {"input_shape": (1, 9, 9)}),
        ("input_size = 64\nchannels = 1", {"input_shape": (3, 9, 9)}, {}),
        ("input_size = 64\nchannels = 1", {"channels": 3}, {"input_size": 64}),
        # pictures
        (
            'resize_mode = "letterbox"\npad_value = [9]\nexif = false',
            {"resize": 99},
            {"exif": False},
        ),
        ('resize_mode = "stretch"', {"crop_fraction": 0.9}, {"resize_mode": "stretch"}),
        ('resize_mode = "none"', {"resize_mode": "crop", "resize": 99}, {}),
        ('colour = "BGR"\nexif = true', {"channels": 1}, {"exif": True}),
        ('colour = "BGR"', {"input_shape": (1, 9, 9)}, {}),
        ('colour = "grey"', {"channels": 1}, {"colour": "grey"}),
        ("antialias = true", {"resample": "opencv"}, {}),
        ("antialias = false", {"resample": "opencv"}, {"antialias": False}),
        ("antialias = true", {"interpolation": "nearest"}, {}),
        ("antialias = true", {"interpolation": "bicubic"}, {"antialias": True}),
        # classes
        ('class_names = ["a", "b"]', {"num_classes": 3}, {}),
        ('class_names = ["a", "b"]', {"num_classes": 2}, {"class_names": ("a", "b")}),
        ("num_classes = 3", {"class_names": ("a", "b")}, {}),
        ("num_classes = 2", {"class_names": ("a", "b")}, {"num_classes": 2}),
        (
            "factory_args = { num_classes = 3, width = 2 }",
            {"num_classes": 4},
            {"factory_args": {"width": 2}},
        ),
        ("num_classes = 3", {"factory_args": {"num_classes": 4}}, {}),
        # the task, its arguments and its decoder
        (
            'task = "detection"\ntask_args = { threshold = 0.4 }\ndecode = "yolox"\nname = "n"',
            {"task": "features"},
            {"name": "n"},
        ),
        (
            'task = "binary"\ntask_args = { threshold = 0.4 }',
            {"task": "binary"},
            {"task_args": {"threshold": 0.4}},
        ),
        ('decode = "yolox"', {"task": "features"}, {}),
        ('decode = "yolox"', {"task": "detection"}, {"decode": "yolox"}),
        ('task = "binary"\ntask_args = { threshold = 0.4 }', {"decode": "yolox"}, {}),
        (
            'task = "detection"\ntask_args = { threshold = 0.4, decode = "yolox" }',
            {"decode": "ssd"},
            {"task": "detection", "task_args": {"threshold": 0.4}},
        ),
        (
            'task = "detection"\ndecode = "yolox"',
            {"task_args": {"decode": "ssd"}},
            {"task": "detection"},
        ),
        ('decode = "yolox"', {"task_args": {"threshold": 0.4}}, {"decode": "yolox"}),
    ],
)
def test_what_is_kept_of_the_file(
    tmp_path: Path, file: str, said: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert kept(tmp_path, file, said) == expected
