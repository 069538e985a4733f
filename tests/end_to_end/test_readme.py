"""What the README says is true: its tables of targets, commands and packages, its Python."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from edge_scnet.cli import root
from edge_scnet.config.target import list_targets
from edge_scnet.machine import isa
from tests.helpers.tool import command_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_quick_start_has_two_commands_of_one_line_each() -> None:
    blocks = re.findall(r"^```\n(.*?)^```$", section("Quick start"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2 and all(block.count("\n") == 1 for block in blocks)
    assert "edge-scnet build --target cpu" in blocks[0] and ".venv/bin/pytest" in blocks[1]


def test_targets_table_lists_the_shipped_targets() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", section("Targets"), re.MULTILINE))
    targets = {target.name: target for target in list_targets()}
    assert rows.keys() == targets.keys()
    for name, cells in rows.items():
        assert cells.split(" | ")[:2] == [targets[name].runtime, targets[name].isa]


def test_weight_bits_of_the_targets_table_are_the_code_s() -> None:
    assert isa.weight_bits("avx2") == 7 and isa.weight_bits("avx512_vnni") == 8


def test_every_command_is_in_the_table_and_the_other_way_round() -> None:
    mentioned = set(
        re.findall(
            r"`(?:edge-scnet )?(\w+)[^`]*`",
            "\n".join(re.findall(r"^\| (.*?) \|", section("Commands"), re.MULTILINE)),
        )
    )
    assert set(command_of(root.app).commands) == mentioned


def packages() -> set[str]:
    return {path.parent.name for path in (ROOT / "edge_scnet").glob("*/__init__.py")}


def top_modules() -> set[str]:
    names = {path.stem for path in (ROOT / "edge_scnet").glob("*.py")}
    return {name for name in names if not name.startswith("__")}


def test_the_architecture_table_lists_the_packages() -> None:
    text = section("How it is built")
    assert set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) == packages()
    top = text.partition("\nModules at the top ")[2].partition("\n")[0]
    assert set(re.findall(r"`(\w+)\.py`", top)) == top_modules()


def test_the_picture_of_the_layers_is_the_import_contract() -> None:
    """A line of the README is a layer of pyproject.toml, __main__ and its like aside."""
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        contract
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    held = [re.findall(r"\b(?!__)\w+", layer) for layer in contract["layers"]]
    picture = re.search(
        r"^```text\n(.*?)^```$", section("How it is built"), re.MULTILINE | re.DOTALL
    )
    assert picture is not None
    shown = [line.split(", ") for line in picture[1].splitlines()]
    assert shown == [layer for layer in held if layer]
    assert {name for layer in shown for name in layer} == packages() | top_modules()


def test_paths_of_how_it_is_built_exist() -> None:
    text = section("How it is built")
    named = set(re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?)`", text))
    assert named
    for path in named:
        assert (ROOT / path).exists() or (ROOT / "edge_scnet" / path).exists(), path


@pytest.mark.parametrize(
    "name",
    ["LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "constraints.txt", "calib_data/README.md"],
)
def test_files_it_speaks_of_exist(name: str) -> None:
    assert (ROOT / name).is_file()


def test_python_example_runs(
    built, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The README's Python, with the session's build in place of a second one."""
    import edge_scnet
    from edge_scnet.core.manifest import load_manifest
    from edge_scnet.pipeline import build
    from edge_scnet.pipeline.result import BuildResult
    from edge_scnet.report.store import load_report

    result = BuildResult(
        folder=built.folder,
        manifest=load_manifest(built.folder),
        report=load_report(built.folder / "report.json"),
        exit_code=0,
    )
    monkeypatch.setattr(build, "build", lambda model, target: result)
    monkeypatch.chdir(ROOT)
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    exec(code[1], {"edge_scnet": edge_scnet})
    assert "Ankle boot" in capsys.readouterr().out


@pytest.mark.slow
def test_python_example_of_a_network_of_one_s_own_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    import edge_scnet

    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert code.count("\n") == 5
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3), torch.nn.Flatten()
    )
    exec(code, {"edge_scnet": edge_scnet, "torch": torch, "model": model})
    assert str(Path("build", "Sequential", "cpu", "model.xml")) in capsys.readouterr().out


def test_no_placeholder_is_left() -> None:
    assert "@@" not in README
