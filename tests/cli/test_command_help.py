"""Help: groups, defaults, bounds in words, and examples that can be typed."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from edge_scnet.cli import command_help
from edge_scnet.cli.root import app
from tests.cli.test_root import COMMANDS
from tests.helpers.tool import Run

GROUPS = ("baseline", "data")


def test_options_are_in_groups_with_their_defaults(invoke: Run) -> None:
    shown = invoke("build", "--help").stdout
    headings = re.findall(r"^(\w.*):$", shown, re.MULTILINE)
    assert headings == ["Examples", "Arguments", *command_help._OPTION_GROUPS]
    words = " ".join(shown.split())
    assert "Default: the target's, 0.5 where it says nothing else. [0 to 100]" in words
    assert "--mean M,M,M" in words and "Default: ImageNet's, 0.485,0.456,0.406." in words
    assert "[default: 3.0; 0.1 to 3,600]" in words
    for raw in ("<=x", "x>=", "<str>", "range>", "list[", "default: no-"):
        assert raw not in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_help_takes_the_width_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    root = typer.main.get_command(app)
    context = root.make_context("edge-scnet", ["build"])
    build = root.get_command(context, "build")
    shown = build.get_help(build.make_context("build", [], parent=context))
    assert columns - 20 < max(map(len, shown.splitlines())) <= columns


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in GROUPS])
def test_every_command_has_an_example(invoke: Run, command: str) -> None:
    shown = invoke(command, "--help").stdout
    assert re.search(rf"^Examples?:\n  edge-scnet {command}", shown, re.MULTILINE)
    for raw in ("<=x", "x>=", "<str>", "range>", "list[", "default: no-"):
        assert raw not in shown


def test_examples_are_command_lines_that_parse() -> None:
    root = typer.main.get_command(app)
    for name, entry in command_help._ENTRIES.items():
        for example in entry.examples:
            _, *words = shlex.split(example)
            command, context = root, typer.Context(root)
            for part in name.split():
                assert words.pop(0) == part
                command = command.get_command(context, part)
                context = typer.Context(command, parent=context, info_name=part)
            command.parse_args(context, words)
