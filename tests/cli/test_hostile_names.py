"""Names of files, folders, classes, nodes and modules that a terminal or a CI would obey.

Every command that shows one shows it with escapes, on stdout, on stderr and past both.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from edge_scnet.config.project import load
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.foreign import control_character
from edge_scnet.sensitivity.noise import ModuleNoise, Sensitivities
from edge_scnet.sensitivity.result import Candidate, SearchResult
from tests.helpers.folders import constant, float_build
from tests.helpers.graphs import tiny_onnx
from tests.helpers.hostile import ALL, NAMES, check_fit
from tests.helpers.lint_faults import good
from tests.helpers.tool import Run

# as files may be called: without a slash, and one that is no UTF-8
FILES = (*(name.replace("/", "|") for name in NAMES), os.fsdecode(b"not utf-8 \xe9\xff"))
PREPARED = ("--mean", "0", "--std", "1", "--name", "mine")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Files of all kinds, called by all names and holding them."""
    root = tmp_path_factory.mktemp("hostile") / FILES[0].strip()
    root.mkdir()
    build = float_build(
        root / "build", constant({"logits": np.arange(len(FILES), dtype=np.float32)[None]})
    )
    folder = BuildFolder.open(build)
    named = replace(folder.manifest.model, classes=(*NAMES, "a"), num_classes=len(FILES))
    BuildFolder(path=build, manifest=replace(folder.manifest, model=named)).save()
    pictures = []
    for number, name in enumerate(FILES):
        path = root / "classes" / name / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((6, 6), 9 * number, np.uint8)).save(path)
        pictures.append(path)
        clean = root / "clean" / name / f"{name}.png"
        clean.parent.mkdir(parents=True)
        clean.write_bytes(path.read_bytes())
        other = root / "others" / name / f"{name}.png"
        other.parent.mkdir(parents=True)
        Image.fromarray(np.full((6, 6), 200 + number, np.uint8)).save(other)
        for i in range(4):
            grey = np.full((6, 6), 9 * number + i, np.uint8)
            Image.fromarray(grey).save(clean.with_name(f"{name} {i}.png"))
        path.with_name(f"{name} cut.png").write_bytes(path.read_bytes()[:40])
        path.with_name(f"{name} copy.png").write_bytes(path.read_bytes())
    rows = [{"path": f"clean/{name}/{name}.png", "label": name} for name in FILES[:-1]]
    rows.append({**rows[0], "label": "another"})
    return {
        "root": root,
        "build": build,
        "pictures": pictures,
        "classes": root / "classes",
        "clean": root / "clean",
        "others": root / "others",
        "list": _written(root / "list.jsonl", "\n".join(map(json.dumps, rows))),
        "net": tiny_onnx(root / f"{FILES[0]}.onnx", classes=len(FILES)),
        "graph": _graph(root / "graph.onnx", "Relu"),
        "odd": _graph(root / "odd.onnx", NAMES[3], NAMES[1]),
        "quantized": _quantized(root / "quantized.onnx"),
        "names": _written(root / "names.txt", "\n".join(_named()) + "\n"),
    }


def _named() -> list[str]:
    """Names that a list of class names may hold: without control characters."""
    fit = [
        name for name in NAMES if control_character(name) is None and len(name.splitlines()) == 1
    ]
    return [*fit, *map(str, range(len(FILES) - len(fit)))]


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _graph(path: Path, kind: str, domain: str = "") -> Path:
    """A network whose nodes, tensors and outputs have such names."""
    nodes = [
        helper.make_node("Relu", ["x"], [NAMES[0]], name=ALL),
        helper.make_node(kind, [NAMES[0]], [ALL], name=NAMES[0], domain=domain),
    ]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 6, 6])
        for name in ("x", ALL)
    ]
    graph = helper.make_graph(nodes, ALL, ends[:1], ends[1:])
    domains = [helper.make_opsetid("", 17), helper.make_opsetid(NAMES[1], 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), path)
    return path


def _quantized(path: Path) -> Path:
    """A Q/DQ file with a finding for each layer, whose nodes and tensors have such names."""
    model = good("openvino")
    renamed: dict[str, str] = {}

    def new(name: str) -> str:
        own = f"{name} {NAMES[len(renamed) % len(NAMES)]} {ALL}"
        return renamed.setdefault(name, own) if name else name

    for constant_of in model.graph.initializer:
        array = numpy_helper.to_array(constant_of)
        if array.dtype == np.float32 and array.ndim < 2:
            constant_of.CopyFrom(numpy_helper.from_array(array * np.float32(1e-30)))
    for tensor in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        tensor.name = new(tensor.name)
    for node in model.graph.node:
        node.name = new(node.name)
        node.input[:] = map(new, node.input)
        node.output[:] = map(new, node.output)
    del model.graph.value_info[:]
    onnx.save(model, path)
    return path


COMMANDS: dict[str, tuple[Any, ...]] = {
    "predict": ("predict", "build", "pictures", "--top", 3),
    "predict, JSON": ("predict", "build", "pictures", "--json"),
    "data check": ("data", "check", "net", *PREPARED, "--eval", "classes"),
    "data check, JSON": ("data", "check", "net", *PREPARED, "--calib", "classes", "--json"),
    "data check of a list": ("data", "check", "net", *PREPARED, "--eval", "list"),
    "show": ("show", "net", *PREPARED, "--calib", "classes", "--class-names", "names"),
    "inspect": ("inspect", "quantized"),
    "inspect, JSON": ("inspect", "quantized", "--json"),
    "inspect of a graph": ("inspect", "graph"),
    "show of a graph": ("show", "graph", *PREPARED),
    "show of an operator": ("show", "odd", *PREPARED),
    "export of a graph": ("export", "graph", *PREPARED, "--out", "out"),
    "init": ("init", "net", *PREPARED, "--calib", "clean", "--eval", "others", "--out", "new.toml"),
    "doctor": ("doctor",),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_names_are_shown_with_escapes(
    world: dict[str, Any],
    invoke: Run,
    command: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(world["root"])
    words = [world.get(word, word) for word in COMMANDS[command]]
    arguments = [item for word in words for item in (word if isinstance(word, list) else [word])]
    outcome = invoke(*arguments)
    past = capfd.readouterr()
    assert outcome.code in (0, 3, 4, 6, 13), outcome.stderr
    assert "this is a bug" not in outcome.stderr
    for text in (outcome.stdout, outcome.stderr, past.out, past.err):
        check_fit(text)


def test_a_project_file_holds_names_with_escapes_or_is_not_written(
    world: dict[str, Any], invoke: Run, tmp_path: Path
) -> None:
    root = tmp_path / "of \u202egpj.\u202c \U000e0041::x\n::y ##[z]"
    for number, name in enumerate(("calib", "eval")):
        (root / name).mkdir(parents=True)
        for i in range(100):
            grey = np.full((6, 6), 100 * number + i, np.uint8)
            Image.fromarray(grey).save(root / name / f"{i}.png")
    net, file = root / "net.onnx", tmp_path / "new.toml"
    shutil.copy(world["net"], net)
    sets = ("--calib", root / "calib", "--eval", root / "eval")
    outcome = invoke("init", net, *PREPARED, *sets, "--out", file)
    assert outcome.code == 0, outcome.stderr
    check_fit(file.read_text(encoding="utf-8").replace("##", "# "))
    assert load(file).model == str(net)
    for name in ("esc\x1b[31m", os.fsdecode(b"\xe9")):
        shutil.copy(net, odd := tmp_path / f"{name}.onnx")
        outcome = invoke("init", odd, *PREPARED, *sets, "--out", file, "--force")
        assert outcome.code == 3 and "which no project file may hold" in outcome.stderr
        assert load(file).model == str(net)


@pytest.mark.parametrize("name", FILES)
def test_names_that_are_not_found_are_shown_with_escapes(
    world: dict[str, Any], invoke: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world["root"])
    build, net = world["build"], world["net"]
    for arguments in (
        ("report", name),
        ("compare", name, name),
        ("check", name, "--baseline", name),
        ("baseline", "update", name, "--baseline", name),
        ("verify", f"{name}.toml", f"{name}.json", name),
        ("profile", name),
        ("predict", name, name),
        ("predict", build, f"{name} none"),
        ("predict", build, build / "manifest.json", "--task", name),
        ("inspect", name),
        ("show", name),
        ("show", net, "--mean", "0", "--name", name),
        ("show", net, *PREPARED, "--target", name, "--task", name),
        ("show", net, *PREPARED, "--class-names", name),
        ("show", f"--project={name}"),
        ("data", "check", net, *PREPARED, "--eval", name),
        ("build", net, "--batch", name),
        ("build", net, f"--{name}", name),
        (name, name),
        ("init", name),
    ):
        outcome = invoke(*arguments)
        assert outcome.code in (2, 3, 4, 6), (arguments, outcome)
        check_fit(outcome.stdout)
        check_fit(outcome.stderr)


def test_modules_of_a_network_are_shown_with_escapes(
    invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tuple(ModuleNoise(node=name, share=0.05, multiply_adds=1) for name in NAMES)
    mix = Candidate(
        keep_float=NAMES,
        sqnr_db=40.0,
        drop_upper95_pp=None,
        time_ratio=1.0,
        time_low=None,
        time_high=None,
    )
    result = SearchResult(
        sensitivities=Sensitivities(noise=1.0, modules=modules, images=1),
        candidates=(mix,),
        chosen=mix,
        seconds=1.0,
        finished=True,
    )
    monkeypatch.setattr("edge_scnet.pipeline.sensitivity.sensitivity", lambda *_, **__: result)
    for more in ((), ("--json",)):
        outcome = invoke("sensitivity", "net.onnx", "--gain", "1", *more)
        assert outcome.code == 0, outcome.stderr
        check_fit(outcome.stdout)
        assert "bold" in outcome.stdout
