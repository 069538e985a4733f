"""The files that services read: workflows, issue forms, pre-commit, the citation, the image."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from edge_scnet.__about__ import __version__
from edge_scnet.config.schema import read_toml

yaml = pytest.importorskip("yaml", reason="needs PyYAML (extra detection)")
ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def loaded(path: str | Path) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def constraint(name: str) -> str:
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}=="):
            return line.partition("==")[2]
    raise AssertionError(f"constraints.txt does not pin {name}")


def check_pinned(text: str) -> None:
    """A tag can be moved: the commit is named, and the version beside it for people."""
    used = re.findall(r"uses: (.*)", text)
    assert used
    for line in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_the_action_s_own_steps_are_pinned() -> None:
    check_pinned((ROOT / "action.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_pinned_bounded_and_has_few_rights(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    check_pinned(text)
    workflow = loaded(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60 and job["runs-on"] == "ubuntu-24.04"
        for step in job["steps"]:
            # a value pasted into a script could end it
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_every_python_that_is_promised_is_tested() -> None:
    jobs = loaded(".github/workflows/tests.yml")["jobs"]
    tested = set(jobs["tests"]["strategy"]["matrix"]["python"])
    rows = jobs["wheel"]["strategy"]["matrix"]["include"]
    board = {row["extra"] for row in rows if row["python"] == "3.10"}
    assert board == {"", "jetson"}
    prefix = "Programming Language :: Python :: 3."
    project = read_toml(ROOT / "pyproject.toml")["project"]
    promised = {
        f"3.{name.removeprefix(prefix)}"
        for name in project["classifiers"]
        if name.startswith(prefix)
    }
    assert tested | {"3.10"} == promised


def test_a_release_is_one_version_and_needs_no_password() -> None:
    jobs = loaded(".github/workflows/release.yml")["jobs"]
    publish = jobs["publish"]
    assert publish["permissions"] == {"id-token": "write", "attestations": "write"}
    assert publish["needs"] == "build" and publish["environment"] == "pypi"
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert "secrets." not in text and "twine check --strict" in text
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_a_tag_of_another_version_is_refused() -> None:
    check = runpy.run_path(str(ROOT / ".ci" / "check_tag.py"))["main"]
    told = f"the tag is v0.0.7, edge_scnet/__about__.py says {__version__}: tag it v{__version__}"
    assert check("v0.0.7") == told
    # until CHANGELOG.md names the version and its day
    assert check(f"v{__version__}") in (
        None,
        f"CHANGELOG.md has no heading: ## [{__version__}] - YEAR-MONTH-DAY",
    )


def test_pre_commit_runs_the_versions_that_ci_runs() -> None:
    repos = loaded(".pre-commit-config.yaml")["repos"]
    (ruff,) = [repo for repo in repos if "ruff" in repo["repo"]]
    assert ruff["rev"] == f"v{constraint('ruff')}"
    (here,) = [repo for repo in repos if repo["repo"] == "local"]
    (own,) = [hook for hook in here["hooks"] if hook["id"] == "edge-scnet-verify"]
    (offered,) = loaded(".pre-commit-hooks.yaml")
    assert (own["entry"], own["files"]) == (offered["entry"], offered["files"])


@pytest.mark.parametrize("name", ["fault", "wish"])
def test_an_issue_form_asks_for_what_is_needed(name: str) -> None:
    form = loaded(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert {"name", "description", "body"} <= form.keys()
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids)
    for part in form["body"]:
        assert part["type"] == "textarea" and part["attributes"]["label"]


def test_lower_bounds_are_the_ones_that_were_tested() -> None:
    text = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8")
    lowest = dict(line.split("==") for line in text.splitlines() if "==" in line)
    extras = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    listed = read_toml(ROOT / "pyproject.toml")["project"]["dependencies"]
    for extra in ("quantize", "report", "cpu"):
        listed = [*listed, *extras[extra]]
    for requirement in map(Requirement, listed):
        if requirement.name == "edge-scnet" or requirement.marker is not None:
            continue
        (bound,) = requirement.specifier
        tested = Version(lowest[requirement.name])
        assert (bound.operator, Version(bound.version)) == (">=", tested), requirement


def test_the_image_runs_without_rights_and_takes_what_the_wheel_takes() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    (user,) = [line for line in lines if line.startswith("USER ")]
    last = max(n for n, line in enumerate(lines) if line.startswith("FROM "))
    assert user == "USER 1000" and lines.index(user) > last
    taken = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    build = read_toml(ROOT / "pyproject.toml")["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*build["packages"], *build["force-include"], "README.md", "LICENSE"} <= taken


@pytest.mark.slow
def test_the_image_builds(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("docker is not installed")
    asked = subprocess.run([docker, "info"], capture_output=True, text=True, check=False)
    if asked.returncode:
        words = asked.stderr.strip().splitlines() or ["no word why"]
        pytest.skip(f"docker cannot run here: {words[-1]}")
    identity = tmp_path / "image"
    build = [docker, "build", "-q", "--iidfile", str(identity), str(ROOT)]
    subprocess.run(build, check=True, timeout=1500)
    image = identity.read_text()
    command = [docker, "run", "--rm", image, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == f"edge-scnet {__version__}\n"
