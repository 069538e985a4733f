"""The options of a model: made from its record, the same for every command that takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.cli import root
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.pipeline import build, sensitivity
from tests.helpers.tool import Run, command_of

COMMANDS = ("build", "export", "calibrate", "quantize", "compile", "sensitivity")


class _Called(Exception):
    """Ends a command where its work would begin."""


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """What a command hands to the function that does its work."""
    seen = SimpleNamespace()

    def work(model: str, **settings: Any) -> None:
        vars(seen).update(model=model, **settings)
        raise _Called

    monkeypatch.setattr(build, "build", work)
    monkeypatch.setattr(sensitivity, "sensitivity", work)
    return seen


@pytest.mark.parametrize("command", COMMANDS)
def test_every_field_of_the_record_is_an_option(command: str) -> None:
    parameters = {parameter.name for parameter in command_of(root.app).commands[command].params}
    assert {item.name for item in fields(ModelOptions)} <= parameters
    assert "model_options" not in parameters


@pytest.mark.parametrize("command", COMMANDS)
def test_a_model_is_described_by_one_record(
    called: SimpleNamespace, invoke: Run, tmp_path: Path, command: str
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("T-shirt\n\n  Ankle boot \n", encoding="utf-8")
    options = "--arch scnet50 --num-classes 2 --channels 1 --input-size 96 --resize 100 --name mine"
    outcome = invoke(
        command,
        "net.pth",
        *options.split(),
        *("--mean", "0.5,0.25,1", "--std", "0.1", "--class-names", names),
    )
    assert "this is a bug: _Called" in outcome.stderr
    assert called.model == "net.pth"
    assert called.model_options == ModelOptions(
        arch="scnet50",
        num_classes=2,
        channels=1,
        input_size=96,
        resize=100,
        mean=(0.5, 0.25, 1.0),
        std=(0.1,),
        class_names=("T-shirt", "Ankle boot"),
        name="mine",
    )


def test_how_pictures_are_prepared(called: SimpleNamespace, invoke: Run) -> None:
    options = (
        "--preprocess yolo --colour bgr --pixel-max 255 --resize-mode letterbox --resample opencv"
        " --interpolation area --no-antialias --pad-value 1,2,3 --pad-anchor top-left"
        " --crop-fraction 0.875 --no-exif"
    )
    invoke("build", "net.onnx", *options.split())
    assert called.model_options == ModelOptions(
        preprocess="yolo",
        colour="BGR",
        pixel_max=255.0,
        resize_mode="letterbox",
        resample="opencv",
        interpolation="area",
        antialias=False,
        pad_value=(1, 2, 3),
        pad_anchor="top-left",
        crop_fraction=0.875,
        exif=False,
    )
    invoke("build", "net.onnx", "--color", "RGB", "--antialias", "--exif")
    assert called.model_options == ModelOptions(colour="RGB", antialias=True, exif=True)


def test_what_is_not_said_is_none(called: SimpleNamespace, invoke: Run) -> None:
    invoke("build")
    assert (called.model, called.target) == ("scnet20-fashion-mnist", "cpu")
    assert called.model_options == ModelOptions()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--num-classes", "0"),
        ("--num-classes", "1000001"),
        ("--channels", "5"),
        ("--input-size", "7"),
        ("--resize", "8193"),
        ("--mean", "0.5;0.5"),
        ("--colour", "GBR"),
        ("--pixel-max", "0"),
        ("--pad-value", "256"),
        ("--pad-value", "1,-2"),
        ("--crop-fraction", "1.1"),
        ("--resize-mode", "squash"),
        ("--factory-args", "{width: 1}"),
        ("--factory-args", "[1]"),
    ],
)
def test_values_that_no_model_has_are_usage_errors(invoke: Run, option: str, value: str) -> None:
    outcome = invoke("export", option, value)
    assert outcome.code == 2 and outcome.stdout == ""
    assert f"Invalid value for '{option}'" in outcome.stderr


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_class_names_that_cannot_be_read(
    invoke: Run, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "names.txt"
    if content is not None:
        path.write_bytes(content)
    outcome = invoke("build", "--class-names", path)
    assert outcome.code == 4
    assert outcome.stderr.startswith(f"error: --class-names {path} cannot be read: ")
    assert outcome.hint == "a text file, one name per line, or a data.yaml with names"


def test_class_names_of_a_data_yaml(called: SimpleNamespace, invoke: Run, tmp_path: Path) -> None:
    pytest.importorskip("yaml", reason="PyYAML is in the extra detection")
    (tmp_path / "data.yaml").write_text("val: images\nnames: {0: cat, 1: no}\n")
    invoke("build", "--class-names", tmp_path / "data.yaml")
    assert called.model_options.class_names == ("cat", "no")


@pytest.mark.parametrize("program", ["/usr/bin/edge-scnet", "/lib/edge_scnet/__main__.py"])
def test_a_report_names_the_command_line(
    called: SimpleNamespace, invoke: Run, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr("sys.argv", [program, "build", "--calib", "my photos"])
    invoke("build", "--seconds", "1")
    assert called.command == "edge-scnet build --calib 'my photos'"


def test_what_a_factory_and_its_module_are_given(called: SimpleNamespace, invoke: Run) -> None:
    given = ("--input", "state=16", "--input", "mask=8:int64", "--weights", "w.pth")
    invoke("build", "pkg.models:net?width=2", *given, "--factory-args", '{"depth": [1, 2]}')
    assert called.model == "pkg.models:net?width=2"
    assert called.model_options == ModelOptions(
        input=("state=16", "mask=8:int64"), weights="w.pth", factory_args={"depth": [1, 2]}
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no names"),
        (b"\n \n", "holds no names"),
        (b"a\nb\x00", "control character U+00"),
    ],
)
def test_class_names_that_are_none(
    called: SimpleNamespace, invoke: Run, tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "names.txt").write_bytes(content)
    outcome = invoke("export", "net.onnx", "--class-names", tmp_path / "names.txt")
    assert outcome.code == 4 and words in outcome.stderr and outcome.hint


def test_a_byte_order_mark_is_no_part_of_a_name(
    called: SimpleNamespace, invoke: Run, tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_bytes("\ufeffcat\r\ndog".encode())
    invoke("export", "net.onnx", "--class-names", tmp_path / "names.txt")
    assert called.model_options.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--batch", "１"),
        ("--input-shape", "3x２x4"),
        ("--pad-value", "１"),
        ("--batch", "9" * 5000),
    ],
)
def test_whole_numbers_have_ascii_digits(
    called: SimpleNamespace, invoke: Run, option: str, text: str
) -> None:
    outcome = invoke("export", "net.onnx", option, text)
    assert outcome.code == 2 and option in outcome.stderr
