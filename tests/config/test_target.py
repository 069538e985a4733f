"""Bundled targets, and every way a target file can be wrong, with the message it gets."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from edge_scnet.config.target import (
    Gates,
    QuantScheme,
    TargetSpec,
    from_dict,
    list_targets,
    load_target,
)
from edge_scnet.core.resources import bundled
from edge_scnet.errors import TargetError
from edge_scnet.machine.isa import FLOORS, NO_FLOOR
from edge_scnet.pipeline.decide import check_int8

MINIMAL = """\
title = "a board"
why = "because"
runtime = "openvino"
device = "CPU"
precision = "int8"
isa = "native"
opset = 20
[quant]
placement = "openvino"
"""


def _write(tmp_path: Path, text: str, name: str = "mine.toml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def _message(name_or_path: str) -> str:
    with pytest.raises(TargetError) as caught:
        load_target(name_or_path)
    return str(caught.value)


def test_bundled_targets():
    targets = list_targets()
    assert [target.name for target in targets] == sorted(
        path.stem for path in bundled("targets").glob("*.toml")
    )
    assert {target.name: target.isa for target in targets}.items() >= {
        "cpu": "native",
        "cpu-avx2": "avx2",
        "onnxruntime": "native",
        "arm64": "asimd",
        "pi5": "asimddp",
    }.items()
    assert [load_target(target.name) for target in targets] == targets
    cpu = load_target("cpu")
    assert (cpu.runtime, cpu.quant.placement, cpu.quant.percentile, cpu.gates.max_drop_pp) == (
        "openvino",
        "openvino",
        99.999,
        0.5,
    )


def test_a_file_of_ones_own_takes_its_name_and_the_defaults(tmp_path: Path):
    target = load_target(_write(tmp_path, MINIMAL))
    assert (target.name, target.batch, target.threads) == ("mine", 1, 0)
    assert target.quant == QuantScheme(placement="openvino")
    assert target.gates == Gates()
    with pytest.raises(FrozenInstanceError):
        target.batch = 2


def test_every_value_is_read(tmp_path: Path):
    text = (
        MINIMAL.replace("opset = 20", "opset = 17\nbatch = 8\nthreads = 4")
        + 'variant = "accurate"\nthresholds = "minmax"\npercentile = 99\nsamples = 100\n'
        'keep_float = ["fc", "layer4.*"]\n[gates]\nmax_drop_pp = 1\nmin_agreement_percent = 98.5\n'
    )
    target = load_target(_write(tmp_path, text))
    assert (target.opset, target.batch, target.threads) == (17, 8, 4)
    assert target.quant == QuantScheme(
        placement="openvino",
        variant="accurate",
        thresholds="minmax",
        percentile=99.0,
        samples=100,
        keep_float=("fc", "layer4.*"),
    )
    assert target.gates == Gates(max_drop_pp=1.0, min_agreement_percent=98.5)
    assert isinstance(target.gates.max_drop_pp, float)  # 1 and 1.0 hash alike


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("opset = 20", "opset = 20\nbach = 2", "unknown key bach; did you mean batch?"),
        (
            "opset = 20",
            "opset = 20\nsamples = 200",
            "unknown key samples; did you mean quant.samples?",
        ),
        (
            "[quant]",
            "[quant]\nsampels = 200",
            "unknown key quant.sampels; did you mean quant.samples?",
        ),
        ("[quant]", "[quant]\nopset = 20", "unknown key quant.opset; did you mean opset?"),
        ("[quant]", "[gate]\n[quant]", "unknown key gate; did you mean gates?"),
        (
            "[quant]",
            "[quant]\nzzzz = 1",
            "unknown key quant.zzzz\nallowed: quant.placement, quant.variant",
        ),
        ("opset = 20", 'opset = 20\nname = "x"', "name: not a key"),
        ("opset = 20", "", "the key opset is missing"),
        ("[quant]\nplacement", "[gates]\n#", "the table [quant] is missing"),
        ('placement = "openvino"', "", "the key quant.placement is missing"),
        ('[quant]\nplacement = "openvino"', "quant = 3", "quant is 3; it must be a table: [quant]"),
        (
            'runtime = "openvino"',
            'runtime = "tflite"',
            'runtime is "tflite"; allowed: "openvino", "tensorrt", "tensorrt_rtx"',
        ),
        (
            'placement = "openvino"',
            'placement = "onnx"',
            'quant.placement is "onnx"; allowed: "openvino", "tensorrt"',
        ),
        ('isa = "native"', 'isa = "sse2"', 'isa is "sse2"; allowed: "native", "avx2"'),
        ('isa = "native"', "isa = []", "isa is []; allowed"),
        ("opset = 20", "opset = 20.0", "opset is 20.0; it must be a whole number"),
        ("opset = 20", "opset = true", "opset is true; it must be a whole number"),
        ("opset = 20", 'opset = "20"', 'opset is "20"; it must be a whole number'),
        ("opset = 20", "opset = 12", "opset is 12; allowed: 13 to 23"),
        ("opset = 20", "opset = 20\nbatch = 0", "batch is 0; allowed: 1 to 1024"),
        ("opset = 20", "opset = 20\nthreads = -1", "threads is -1; allowed: 0 to 1024"),
        ('"a board"', '" "', 'title is " "; it must not be empty'),
        ('"because"', "7", "why is 7; it must be a text in quotes"),
        ("[quant]", "[quant]\nsamples = 99", "quant.samples is 99; allowed: 100 to"),
        (
            "[quant]",
            "[quant]\npercentile = 0",
            "quant.percentile is 0; allowed: above 0, at most 100",
        ),
        ("[quant]", "[quant]\npercentile = 100.1", "quant.percentile is 100.1; allowed"),
        ("[quant]", "[quant]\npercentile = nan", "quant.percentile is nan; a number"),
        ("[quant]", "[quant]\npercentile = true", "quant.percentile is true; it must be a number"),
        ("[quant]", '[quant]\nkeep_float = "fc"', 'quant.keep_float is "fc"; it must be an array'),
        (
            "[quant]",
            '[quant]\nkeep_float = ["fc", 1]',
            'quant.keep_float is ["fc", 1]; an entry is wrong',
        ),
        ("[quant]", '[quant]\nkeep_float = [""]', "it must not be empty"),
        (
            "[quant]",
            "[gates]\nmax_drop_pp = -0.1\n[quant]",
            "gates.max_drop_pp is -0.1; allowed: 0 to 100",
        ),
        (
            "[quant]",
            "[gates]\nmin_agreement_percent = 101\n[quant]",
            "gates.min_agreement_percent is 101; allowed: 0 to 100",
        ),
        ("[quant]", '[gates]\nmin_agreement_percent = "99"\n[quant]', "it must be a number"),
        ("[quant]", "[quant", "not valid TOML"),
        ("opset = 20", "opset = 20\nopset = 21", "at line 8"),
    ],
)
def test_wrong_files(tmp_path: Path, old: str, new: str, expected: str):
    assert old in MINIMAL
    path = _write(tmp_path, MINIMAL.replace(old, new))
    message = _message(path)
    assert message.startswith(f"{path}: ")
    assert expected in message


def test_values_are_checked_without_a_file_too():
    with pytest.raises(TargetError, match="samples is 5"):
        QuantScheme(placement="openvino", samples=5)
    with pytest.raises(TargetError, match="max_drop_pp is nan"):
        Gates(max_drop_pp=float("nan"))
    assert Gates(min_agreement_percent=None).min_agreement_percent is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cpu-avx", 'unknown target "cpu-avx"; did you mean cpu-avx2?'),
        ("CPU", "did you mean cpu?"),
        ("", 'unknown target ""'),
        ("../targets/cpu", 'unknown target "../targets/cpu"'),
        ("targets/cpu", "unknown target"),
        ("..", "unknown target"),
        ("no/such/file.toml", "no target file at no/such/file.toml"),
        ("x" * 5000 + ".toml", "no target file"),
        ("a\0b", "unknown target"),
    ],
)
def test_unknown_targets(name: str, expected: str):
    with pytest.raises(TargetError) as caught:
        load_target(name)
    assert expected in str(caught.value)
    assert "targets: arm64, cpu, cpu-avx2" in str(caught.value)
    assert (caught.value.hint, caught.value.exit_code) == ("edge-scnet targets", 3)


def test_the_accelerator_is_no_choice_and_earlier_records_are_read(tmp_path: Path) -> None:
    text = (bundled("targets") / "jetson.toml").read_text()
    path = _write(tmp_path, text.replace("[quant]", "dla_core = 0\n\n[quant]"))
    with pytest.raises(TargetError, match=r"board\.dla_core: no key any more.*Q/DQ") as caught:
        load_target(path)
    assert "sed -i" in str(caught.value.hint)
    record = asdict(load_target("jetson"))
    assert from_dict({**record, "board": {**record["board"], "dla_core": None}}) == load_target(
        "jetson"
    )
    with pytest.raises(TargetError, match=r"unknown key board\.dla_core"):
        from_dict({**record, "board": {**record["board"], "dla_core": 0}})


def test_files_that_are_no_text_or_badly_named(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b'title = "\xff"')
    assert f"{path}: not UTF-8 text (byte 9)" in _message(str(path))
    assert "letters, digits" in _message(_write(tmp_path, MINIMAL, name="a b.toml"))
    (tmp_path / "folder.toml").mkdir()
    assert "no target file" in _message(str(tmp_path / "folder.toml"))


def test_the_floors_of_targets_are_those_of_the_machine():
    assert get_args(get_type_hints(TargetSpec)["isa"]) == ("native", *FLOORS, NO_FLOOR)


def test_importing_targets_loads_nothing_heavy():
    code = (
        "import sys, edge_scnet.config.target, edge_scnet.machine.environment; print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {
        "numpy",
        "rich",
        "PIL",
        "typer",
        "torch",
        "onnx",
        "openvino",
        "importlib.metadata",
    } & set(loaded)


def test_a_file_named_like_a_shipped_target_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "cpu.toml"
    mine.write_text((bundled("targets") / "cpu.toml").read_text())
    with pytest.raises(TargetError, match="a shipped target is called cpu") as caught:
        load_target(str(mine))
    assert "my-cpu.toml" in str(caught.value.hint)
    assert load_target(str(bundled("targets") / "cpu.toml")).name == "cpu"


def test_boards_without_int8_are_refused_by_name() -> None:
    for name in ("jetson-nano", "jetson-tx2"):
        with pytest.raises(TargetError, match="computes no INT8") as caught:
            load_target(name)
        assert "--target jetson-fp16" in str(caught.value.hint)


def test_fp16_alone_is_for_boards_without_int8(tmp_path: Path) -> None:
    target = load_target("jetson-fp16")
    assert target.board is not None and target.board.takes("8.2.1")
    assert (target.precision, target.opset, target.board.max_opset) == ("fp16", 13, 13)
    text = (bundled("targets") / "jetson.toml").read_text().replace('"int8"', '"fp16"', 1)
    with pytest.raises(TargetError, match="build an FP16 twin anyway"):
        load_target(_write(tmp_path, text))
    with pytest.raises(TargetError, match="nothing is quantized"):
        check_int8(target)
    check_int8(load_target("jetson"))


def test_float_layers_in_bf16_are_openvinos(tmp_path: Path) -> None:
    text = (bundled("targets") / "cpu.toml").read_text()
    plain = load_target("cpu")
    target = load_target(_write(tmp_path, 'rest = "bf16"\n' + text))
    assert (plain.opened_in, target.opened_in) == ("f32", "bf16")
    text = (bundled("targets") / "jetson.toml").read_text()
    with pytest.raises(TargetError, match='rest is "bf16", which is for runtime = "openvino"'):
        load_target(_write(tmp_path, text.replace('rest = "fp16"', 'rest = "bf16"')))


def test_compiled_blobs_are_openvinos(tmp_path: Path) -> None:
    text = (bundled("targets") / "cpu.toml").read_text()
    assert load_target(_write(tmp_path, "compiled_blob = true\n" + text)).compiled_blob
    text = (bundled("targets") / "jetson.toml").read_text()
    with pytest.raises(TargetError, match='compiled_blob is true, which is for runtime = "openv'):
        load_target(_write(tmp_path, "compiled_blob = true\n" + text))
