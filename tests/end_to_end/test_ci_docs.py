"""docs/how-to/ci.md: its workflows, project file and commands are read and run as they stand."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import yaml

from edge_scnet.cli.root import app
from edge_scnet.config import project as projects
from edge_scnet.core.provenance import Provenance
from edge_scnet.gate import project as gate_project
from edge_scnet.report.store import save_report
from tests.helpers.reports import provenance, report
from tests.helpers.tool import MODEL, Run, command_of

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "ci.md").read_text(encoding="utf-8")
REASON = 'a "quoted" reason; $(touch x) `y`'


def blocks(kind: str) -> list[str]:
    """The fenced blocks of a language; "": of none."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [text for language, text in fenced if language == kind]


def workflow(name: str) -> dict[Any, Any]:
    return next(made for made in map(yaml.safe_load, blocks("yaml")) if made.get("name") == name)


def gitlab() -> dict[str, Any]:
    return next(made for made in map(yaml.safe_load, blocks("yaml")) if "int8" in made)


def scripts() -> list[str]:
    """All that a shell runs: of GitHub's steps, of GitLab's jobs, and what users type."""
    update = workflow("INT8 baseline")["jobs"]["update"]["steps"]
    jobs = gitlab().values()
    return [
        *(step["run"] for step in update if "run" in step),
        *(line for job in jobs for key in ("before_script", "script") for line in job.get(key, ())),
        *blocks(""),
    ]


def commands() -> list[list[str]]:
    """Every command line of edge-scnet, without what a shell makes of the rest of the line."""
    lines = [line.strip() for script in scripts() for line in script.splitlines()]
    lines += re.findall(r"`(edge-scnet [^`]*--[^`]*)`", PAGE)
    named = [line.partition(" >")[0] for line in lines if line.startswith("edge-scnet ")]
    return [shlex.split(line)[1:] for line in named]


def test_every_command_line_is_one_of_the_tool() -> None:
    found = commands()
    assert len(found) >= 8
    for arguments in found:
        command: Any = command_of(app)
        rest = list(arguments)
        while hasattr(command, "commands"):
            command = command.commands[rest.pop(0)]
        command.make_context("edge-scnet", rest)


def test_the_project_file_is_one(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    file = tmp_path / "edge-scnet.toml"
    file.write_text(text)
    located = projects.load(file)
    assert located.project.check.allow == ("checkpoint",)
    assert located.limits == {"max_drop_pp": 0.3}


def test_the_kinds_that_can_be_allowed_are_those_of_the_table() -> None:
    kinds = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(kinds) == sorted(get_args(projects.AllowedKind))


def test_what_is_kept_between_runs_and_uploaded_is_what_is_written() -> None:
    located = projects.Project(model="m", targets=("cpu",), baselines="b")
    steps = workflow("INT8")["jobs"]["check"]["steps"]
    used = {step["uses"].partition("@")[0]: step.get("with", {}) for step in steps}
    kept, saved = used["actions/cache/restore"], used["actions/cache/save"]
    assert kept["path"] == saved["path"] == located.out == "build"
    assert kept["key"] == saved["key"]
    (text,) = blocks("toml")
    assert "'edge-scnet.toml'" in kept["key"]
    for folder in ("models", "data"):
        assert f"'{folder}/**'" in kept["key"] and f'"{folder}/' in text
    action = (Path(__file__).parents[2] / "action.yml").read_text(encoding="utf-8")
    inputs = yaml.safe_load(action)["inputs"]
    assert used["OWNER/edge-scnet"].keys() <= inputs.keys()
    uploaded = used["actions/upload-artifact"]["path"].split()
    written = f"{action} {used['OWNER/edge-scnet']['arguments']}"
    assert all(name in written for name in uploaded if not name.startswith("build/"))
    job = gitlab()["int8"]
    script = " ".join(job["script"])
    assert all(name in script for name in job["artifacts"]["reports"].values())
    assert gitlab()[".edge-scnet"]["cache"][1]["paths"] == ["build/"]
    assert workflow("INT8")["permissions"] == {"contents": "read"}


def test_an_input_reaches_scripts_through_the_environment_only() -> None:
    steps = workflow("INT8 baseline")["jobs"]["update"]["steps"]
    assert not any("${{" in step.get("run", "") for step in steps)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Provenance], None]:
    """A project in the working directory, whose builds are of what the function is told."""
    (tmp_path / "edge-scnet.toml").write_text(
        f'model = "{MODEL}"\ntargets = ["cpu", "cpu-avx2"]\nbaselines = "baselines"\n'
    )
    monkeypatch.chdir(tmp_path)
    made = {"of": provenance()}

    def build(model: str, **options: Any) -> SimpleNamespace:
        target = str(options["target"])
        folder = tmp_path / "build" / "net" / target
        folder.mkdir(parents=True, exist_ok=True)
        built = report(model=MODEL, target=target, provenance=made["of"])
        save_report(built, folder / "report.json")
        return SimpleNamespace(report=built, folder=folder)

    monkeypatch.setattr(gate_project, "build", build)
    return lambda of: made.update(of=of)


def test_a_year_of_a_project_by_the_pages_own_lines(
    invoke: Run, project: Callable[[Provenance], None]
) -> None:
    lines = commands()

    def line(*words: str) -> list[str]:
        return next(found for found in lines if all(word in found for word in words))

    first = next(found for found in lines if found == ["baseline", "update", "--build"])
    check, allowing = line("check", "--junit"), line("check", "--build", "--allow")
    outcome = invoke(*check)
    assert outcome.code == 6
    assert outcome.hint.startswith("edge-scnet baseline update --build --project edge-scnet.toml")
    assert invoke(*first).code == 0
    assert invoke(*check).code == 0
    assert Path("junit.xml").is_file() and json.loads(Path("quality.json").read_text()) == []
    project(provenance(weights=("x" * 64,)))
    outcome = invoke(*check)
    assert outcome.code == 12 and "edge-scnet check --build --project" in outcome.stdout
    assert "--allow checkpoint" in outcome.stdout
    assert invoke(*allowing).code == 0
    assert invoke(*first).code == 6, "a reason is asked for"
    update = line("baseline", "update", "--accept")
    assert invoke(*update).code == 0
    assert invoke(*check).code == 0
    for several in (found for found in lines if "build/net/cpu" in " ".join(found)):
        arguments = [word.replace("net-", f"{MODEL}-") for word in several]
        assert invoke(*arguments).code == 0, several


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize("code", [0, 6])
def test_the_update_workflow_hands_a_reason_on_and_ends_where_it_is_refused(
    tmp_path: Path, code: int
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("edge-scnet", "git", "gh", "pip"):
        tool = tools / name
        tool.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$(basename "$0")" "$@" >>"{tmp_path}/called"\n'
            f'[ "$(basename "$0")" != edge-scnet ] || exit {code}\n'
        )
        tool.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "REASON": REASON,
        "GITHUB_RUN_ID": "7",
    }
    steps = workflow("INT8 baseline")["jobs"]["update"]["steps"]
    # as GitHub runs a step that names no shell
    runs = [
        subprocess.run(["bash", "-e", "-c", step["run"]], env=environment, cwd=tmp_path).returncode
        for step in steps
        if step.get("name") in ("Update", "Propose")
    ]
    called = (tmp_path / "called").read_text().splitlines()
    assert called[:6] == ["edge-scnet", "baseline", "update", "--build", "--accept", REASON]
    assert runs[0] == code and runs[1] == 0
    assert f"INT8 baselines: {REASON}" in called and not (tmp_path / "x").exists()
