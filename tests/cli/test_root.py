"""The commands as a user meets them: help, usage errors, completion, and what they import."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from edge_scnet import __version__
from tests.helpers.tool import MODEL, Outcome, Run

COMMANDS = (
    "init",
    "build",
    "show",
    "data",
    "package",
    "export",
    "calibrate",
    "quantize",
    "compile",
    "report",
    "predict",
    "profile",
    "compare",
    "inspect",
    "sensitivity",
    "check",
    "baseline",
    "verify",
    "doctor",
    "jobs",
    "targets",
    "schema",
)
HEAVY = (
    "numpy",
    "PIL",
    "torch",
    "onnx",
    "onnxruntime",
    "openvino",
    "onnx_ir",
    "onnxscript",
    "tensorrt",
    "safetensors",
    "matplotlib",
    "jinja2",
)
_LIST_MODULES = """
import atexit, sys
atexit.register(lambda: print("modules:", *sys.modules, file=sys.stderr))
from edge_scnet.cli import main
main()
"""


def imported(outcome: Outcome) -> set[str]:
    return {name.partition(".")[0] for name in outcome.stderr.rpartition("modules:")[2].split()}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("build", "--help")])
def test_help_and_version_import_nothing_heavy(
    cli_process: Run, arguments: tuple[str, ...]
) -> None:
    outcome = cli_process(*arguments, code=_LIST_MODULES)
    assert outcome.code == 0 and "typer" in imported(outcome)
    assert not imported(outcome) & {*HEAVY, "rich"}


@pytest.mark.slow
def test_targets_and_doctor_need_neither_torch_nor_a_runtime(cli_process: Run) -> None:
    for command in ("targets", "doctor"):
        outcome = cli_process(command, code=_LIST_MODULES)
        assert "typer" in imported(outcome)
        assert not imported(outcome) & (set(HEAVY) - {"numpy"})


def test_version(invoke: Run) -> None:
    assert invoke("--version") == Outcome(0, f"edge-scnet {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(invoke: Run, command: str) -> None:
    outcome = invoke(command, "-h")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith(f"Usage: edge-scnet {command} ")


def test_the_list_of_commands_is_complete(invoke: Run) -> None:
    listed = invoke("--help").stdout.partition("Build:\n")[2].partition("Options:\n")[0]
    assert tuple(re.findall(r"^  (\w+) ", listed, re.MULTILINE)) == COMMANDS
    assert re.findall(r"^(\w.*):$", listed, re.MULTILINE)[0] == "Single stages of a build"
    assert "..." not in listed
    assert max(map(len, listed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build", "--seconds", "soon"), "'--seconds'"),
        (("build", "--seconds", "0"), "'--seconds'"),
        (("build", "--seconds", "nan"), "'--seconds'"),
        (("build", "--batch", "0"), "'dynamic'"),
        (("build", "--mean", "a,b"), "0.485"),
        (("build", "--max-drop", "-1"), "'--max-drop'"),
        (("build", "--max-drop", "nan"), "'--max-drop'"),
        (("build", "--fast"), "--fast"),
        # the likeliest option alone, and not the three nearest by the alphabet
        (("build", "--serach", "30"), "No such option: --serach; did you mean --search?"),
        (("bild",), "Did you mean 'build'?"),
        (("ship",), "ship"),
        (("profile",), "PATH"),
        (("predict", "model.xml"), "IMAGE"),
    ],
)
def test_usage_errors_exit_with_2(invoke: Run, arguments: tuple[str, ...], words: str) -> None:
    outcome = invoke(*arguments)
    assert outcome.code == 2 and outcome.stdout == ""
    assert words in outcome.stderr and "Traceback" not in outcome.stderr


def test_no_arguments_at_all_show_where_to_begin(invoke: Run) -> None:
    outcome = invoke()
    assert (outcome.code, outcome.stdout) == (2, "")
    lines = outcome.stderr.splitlines()
    first = [line.split()[0] for line in lines if re.match(r"  \w", line)]
    assert first == ["build", "init", "predict", "check", "doctor"]
    # each with an example of its own
    assert [line.split()[2] for line in lines if "$ edge-scnet" in line] == first
    assert "edge-scnet --help" in lines[-2] and max(map(len, lines)) <= 80


@pytest.mark.slow
def test_completion_of_targets_models_and_commands() -> None:
    tool = Path(sysconfig.get_path("scripts"), "edge-scnet")

    def complete(line: str) -> list[str]:
        env = {
            **os.environ,
            "_EDGE_SCNET_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
        }
        return subprocess.run(
            [tool], env=env, capture_output=True, text=True, check=True
        ).stdout.split()

    assert complete("edge-scnet build --target c") == ["cpu", "cpu-avx2"]
    assert complete("edge-scnet build --target jetson-orin-n") == [
        "jetson-orin-nano",
        "jetson-orin-nx",
    ]
    assert complete("edge-scnet build scnet20-f") == [MODEL]
    assert complete("edge-scnet pr") == ["predict", "profile"]
