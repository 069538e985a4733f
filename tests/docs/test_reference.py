"""The generated reference: every command, option, key and exit code is in it, as they are now."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.main import get_command

from edge_scnet.cli.root import app
from edge_scnet.config.gates import Gates
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.project import Project
from edge_scnet.config.target import Board, InputSettings, QuantScheme, TargetSpec

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """docs/scripts/reference.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("reference", DOCS / "scripts" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def commands(generator: ModuleType) -> str:
    """The command line's part."""
    return "\n".join(generator.commands())


def leaves(group: Any, front: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, command in group.commands.items():
        inner = leaves(command, f"{name} ") if hasattr(command, "commands") else None
        found += inner if inner is not None else [(front + name, command)]
    return found


def test_every_command_and_option_has_its_place(commands: str) -> None:
    places = set(re.findall(r'id="([^"]+)"|\{ #(\S+) \}', commands))
    anchors = {first or second for first, second in places}
    for name, command in leaves(get_command(app)):
        at = name.replace(" ", "-")
        assert at in anchors
        for parameter in command.params:
            spelled = next((word for word in parameter.opts if word.startswith("--")), None)
            if spelled not in (None, "--help") and not parameter.hidden:
                assert f"{at}{spelled}" in anchors or f"model{spelled}" in anchors, spelled


def test_defaults_and_bounds_are_told_in_words(commands: str) -> None:
    assert "Default: `cpu`." in commands and "0.1 to 3,600." in commands
    assert "<=x<=" not in commands and "[default" not in commands


def test_every_command_has_an_example(commands: str) -> None:
    sections = re.split(r"^### ", commands, flags=re.MULTILINE)[1:]
    without = [section.split()[0] for section in sections if "```sh\nedge-scnet" not in section]
    assert without == []


def test_every_key_of_a_file_has_its_place(generator: ModuleType) -> None:
    targets, project = "\n".join(generator.target_keys()), "\n".join(generator.project_keys())
    tables = {"quant": QuantScheme, "input": InputSettings, "board": Board, "gates": Gates}
    for table, record in tables.items():
        for key in record.__dataclass_fields__:
            assert f'<span id="{table}-{key}"></span>' in targets
    for key in set(TargetSpec.__dataclass_fields__) - {"name", *tables}:
        assert f'<span id="{key}"></span>' in targets
    for key in set(Project.__dataclass_fields__) - {"options", "check"}:
        assert f'<span id="{key}"></span>' in project
    for key in ModelOptions.__dataclass_fields__:
        assert f'<span id="options-{key}"></span>' in project


def test_a_key_without_a_description_is_refused(generator: ModuleType) -> None:
    @dataclass(frozen=True)
    class Bare:
        key: int

    with pytest.raises(ValueError, match=r"Bare\.key has no description"):
        list(generator._keys(Bare, ""))


def test_exit_codes_have_a_meaning_each(generator: ModuleType) -> None:
    rows = list(generator.exit_codes())[1:]
    assert len(rows) == 15 and all(len(row.split(" | ")[1]) > 10 for row in rows)


def test_a_mark_that_nothing_fills_is_refused(generator: ModuleType) -> None:
    with pytest.raises(ValueError, match="nothing generates keys"):
        generator.on_page_markdown("# A\n\n<!-- generated: keys -->\n")


def test_all_that_is_generated_stands_on_a_page(generator: ModuleType) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    assert set(re.findall(r"<!-- generated: ([\w-]+) -->", pages)) == set(generator.PARTS)
