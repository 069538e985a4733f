"""The files that services read: the GitHub action's own shell, and which files the pre-commit hook
takes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check_step() -> str:
    """The script of the action's last step."""
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    return textwrap.dedent(text.rpartition("      run: |\n")[2])


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("bash") is None, reason="bash is not installed, and the action's step is for it"
)
@pytest.mark.parametrize("isa", ["AVX2", ""])
def test_the_actions_step_checks_and_hands_the_exit_code_on(tmp_path: Path, isa: str) -> None:
    tool = tmp_path / "edge-scnet" / "bin" / "edge-scnet"
    tool.parent.mkdir(parents=True)
    # the real tool, and what it was called with
    tool.write_text(
        f'#!/bin/sh\necho "$@ $ONEDNN_MAX_CPU_ISA" >"{tmp_path}/called"\nexec "{sys.executable}" -m'
        ' edge_scnet "$@"\n'
    )
    tool.chmod(0o755)
    output = tmp_path / "output"
    environment = {
        **os.environ,
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(output),
        "PROJECT": str(tmp_path / "none.toml"),
        "ARGUMENTS": "--explain --markdown m.md",
        "MAX_CPU_ISA": isa,
    }
    environment.pop("ONEDNN_MAX_CPU_ISA", None)
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", check_step()],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3 and "no project file" in done.stderr
    assert output.read_text() == "exit-code=3\n"
    called = (tmp_path / "called").read_text().split()
    assert called[:2] == ["check", "--build"] and "--explain" in called
    assert (called[-1] == "AVX2") == bool(isa)


def test_every_input_of_the_action_is_used() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    declared = re.findall(
        r"^  ([\w-]+):$", text.partition("inputs:\n")[2].partition("outputs:\n")[0], re.MULTILINE
    )
    assert declared and all(f"${{{{ inputs.{name} }}}}" in text for name in declared)
    # a value pasted into a script could end it: inputs reach scripts through the environment only
    scripts = re.findall(r"      run: \|\n((?:        .*\n)+)", text)
    assert scripts and not any("${{" in script for script in scripts)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("edge-scnet.toml", True),
        ("ci/edge-scnet.toml", True),
        ("targets/cpu.toml", True),
        ("tests/baselines/net-cpu.json", True),
        ("pyproject.toml", False),
        ("tests/goldens.json", False),
        ("baselines/old/net.json", False),
    ],
)
def test_the_hook_takes_baselines_targets_and_project_files(name: str, taken: bool) -> None:
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    pattern = re.search(r"^  files: (.*)$", text, re.MULTILINE)
    assert pattern is not None and bool(re.search(pattern[1], name)) == taken


def test_committed_baselines_are_sealed_and_of_the_project(invoke) -> None:
    files = sorted((ROOT / "tests" / "baselines").iterdir())
    outcome = invoke("verify", *files)
    assert outcome.code == 0, outcome.stderr
    assert len(files) == 4
