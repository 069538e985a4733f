"""`--project`: one way for all commands to take from a project file what is not said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.cli import project_option, root
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError, DataError
from edge_scnet.pipeline import build, inspect, predict, profile, sensitivity
from tests.helpers.onnx_files import user_model, written
from tests.helpers.tool import Run, command_of

COMMANDS = (
    "build",
    "export",
    "calibrate",
    "quantize",
    "compile",
    "sensitivity",
    "profile",
    "inspect",
    "predict",
    "show",
    "check",
)
TEXT = """
model = "net.onnx"
targets = ["cpu"]
baselines = "baselines"
calib = "data/calib"
eval = "data/eval"
out = "made"
seconds = 0.5
[options]
mean = [0.5, 0.5, 0.5]
name = "mine"
"""


class _Called(Exception):
    """Ends a command where its work would begin."""


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """What commands hand to the functions that do their work: `all` calls, the last by name."""
    seen = SimpleNamespace(all=[], error=_Called())

    def work(*given: Any, **settings: Any) -> None:
        seen.all.append((given, settings))
        vars(seen).update(given=given, **settings)
        raise seen.error

    seen.work = work
    for module, name in (
        (build, "build"),
        (sensitivity, "sensitivity"),
        (profile, "profile"),
        (inspect, "inspect"),
        (predict, "predict_all"),
    ):
        monkeypatch.setattr(module, name, work)
    return seen


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project file in a folder beside the one that commands are called in."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "edge-scnet.toml").write_text(TEXT)
    written(folder, user_model())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder / "edge-scnet.toml"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_it(command: str) -> None:
    (option,) = [p for p in command_of(root.app).commands[command].params if p.name == "project"]
    assert option.opts == ["--project"] and "[FILE]" in str(option.metavar)


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ([], []),
        (["--project"], ["--project=edge-scnet.toml"]),
        (["--project", "--json"], ["--project=edge-scnet.toml", "--json"]),
        (["--project", "a.toml", "x"], ["--project", "a.toml", "x"]),
        (["--project=odd", "x"], ["--project=odd", "x"]),
        # MODEL, PATH or an image
        (["--project", "net.onnx"], ["--project=edge-scnet.toml", "net.onnx"]),
        (["build/x", "--project"], ["build/x", "--project=edge-scnet.toml"]),
        (["--", "--project"], ["--", "--project"]),
        (["--project", "--", "a.toml"], ["--project=edge-scnet.toml", "--", "a.toml"]),
    ],
)
def test_it_may_stand_without_a_file(args: list[str], wanted: list[str]) -> None:
    assert project_option._with_file(args) == wanted


@pytest.mark.parametrize("command", ["build", "export", "calibrate", "quantize", "compile"])
def test_a_build_takes_what_is_not_said(
    called: SimpleNamespace, invoke: Run, project: Path, command: str
) -> None:
    outcome = invoke(command, "--project", project, "--std", "1,1,1", "--calib", "own")
    assert "_Called" in outcome.stderr, outcome.stderr
    folder = project.parent
    assert called.given == (str(folder / "net.onnx"),)
    assert (called.target, called.calib, called.out) == ("cpu", "own", folder / "made")
    assert called.model_options == ModelOptions(
        mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0), name="mine"
    )
    if command == "build":
        assert called.evaluation == str(folder / "data/eval") and called.seconds == 0.5


def test_what_is_said_wins(called: SimpleNamespace, invoke: Run, project: Path) -> None:
    said = ["--target", "cpu-avx2", "--seconds", "3", "--out", "o", "--mean", "0", "--name", "n"]
    invoke("build", "other.onnx", "--project", project, *said)
    assert called.given == ("other.onnx",) and called.target == "cpu-avx2"
    # 3 s are the default too: said is said
    assert called.seconds == 3.0 and called.out == Path("o")
    assert called.model_options == ModelOptions(mean=(0.0,), name="n")


def test_without_it_no_file_is_read(called: SimpleNamespace, invoke: Run, project: Path) -> None:
    invoke("build", "net.onnx")
    assert called.model_options == ModelOptions() and called.calib is None


def test_several_targets_are_built_one_after_the_other(
    called: SimpleNamespace, invoke: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write_text(TEXT.replace('["cpu"]', '["cpu", "own.toml", "jetson"]'))
    codes = iter((13, 0, 11))
    targets = []

    def shown(result: Any, **settings: Any) -> None:
        import typer

        if code := next(codes):
            raise typer.Exit(code)

    monkeypatch.setattr(build, "build", lambda model, *, target, **_: targets.append(target))
    monkeypatch.setattr("edge_scnet.cli.build.show_result", shown)
    outcome = invoke("build", "--project", project)
    assert targets == ["cpu", str(project.parent / "own.toml"), "jetson"]
    assert outcome.code == 11 and "cpu:\n" in outcome.stdout and "\njetson:\n" in outcome.stdout
    refused = invoke("build", "--project", project, "--json")
    assert refused.code == 2 and "names 3 targets" in refused.stderr
    # an error ends it
    called.error = ArtifactError("no")
    monkeypatch.setattr(build, "build", called.work)
    assert invoke("build", "--project", project).code == 6 and len(called.all) == 1


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (
            lambda root: DataError(f"no images in the calibration folder {root / 'data/calib'}"),
            "calib",
        ),
        (lambda root: ArtifactError("--mean has 3 values", hint="pass --mean"), "options.mean"),
        (lambda root: ArtifactError(f"no such file: {root / 'net.onnx'}", hint="ls ."), "model"),
        (
            lambda root: ArtifactError("something else", hint="do it"),
            "model, targets, calib, eval, out, seconds, ...",
        ),
    ],
)
def test_a_failure_says_which_values_are_of_the_file(
    called: SimpleNamespace, invoke: Run, project: Path, error: Any, hint: str
) -> None:
    called.error = error(project.parent)
    outcome = invoke("build", "--project", project)
    assert outcome.code == called.error.exit_code
    assert outcome.hint.endswith(f"\n  ({hint}: from {project})")


def test_the_commands_on_a_build_find_it(
    called: SimpleNamespace, invoke: Run, project: Path
) -> None:
    built = project.parent / "made" / "mine" / "cpu"
    missing = invoke("profile", "--project", project)
    assert missing.code == 6 and f"{built} does not exist" in missing.stderr
    assert f"edge-scnet build --project {project} --target cpu" in missing.hint
    built.mkdir(parents=True)
    invoke("profile", "--project", project, "--max-drop", "1")
    assert called.given == (built,) and called.evaluation == str(project.parent / "data/eval")
    # what was built knows how it is fed
    assert called.seconds == 0.5 and called.model_options == ModelOptions()
    invoke("inspect", "--project", project)
    assert called.given == (built, None)
    for images in (["a.png"], ["a.png", "b.png"], [built, "a.png"]):
        invoke("predict", "--project", project, *images)
        wanted = tuple(Path(image) for image in images if image is not built)
        path, asked = called.given
        assert (path, asked.paths) == (built, wanted)
    outcome = invoke("predict", "--project", project)
    assert outcome.code == 2 and "IMAGE is missing" in outcome.stderr
    for command in ("profile", "inspect", "predict"):
        outcome = invoke(command)
        assert outcome.code == 2 and "PATH is missing" in outcome.stderr


def test_an_engine_without_a_manifest_is_fed_as_the_project_says(
    called: SimpleNamespace, invoke: Run, project: Path
) -> None:
    other = project.parent / "net.onnx"
    invoke("profile", other, "--project", project)
    # an engine has no name to be given
    assert called.given == (other,) and called.model_options == ModelOptions(mean=(0.5, 0.5, 0.5))
    invoke("inspect", other, "--project", project)
    assert called.given == (other, "cpu")


def test_a_folder_with_a_project_file_names_it(
    called: SimpleNamespace, invoke: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("export", "--project", project.parent)
    assert called.given == (str(project.parent / "net.onnx"),)
    monkeypatch.chdir(project.parent)
    invoke("export", "--project")
    assert called.given == ("net.onnx",)
    missing = invoke("export", "--project", "nowhere.toml")
    assert missing.code == 3 and "no project file at nowhere.toml" in missing.stderr
    assert "edge-scnet init" in missing.hint


def test_what_a_file_leaves_out_can_be_put_back(
    called: SimpleNamespace, invoke: Run, project: Path
) -> None:
    file = project if project.suffix == ".toml" else project / "edge-scnet.toml"
    file.write_text(TEXT.replace("[options]", "skip_bad = true\nignore_labels = true\n[options]"))
    invoke("build", "--project", file)
    assert (called.skip_bad, called.ignore_labels) == (True, True)
    invoke("build", "--project", file, "--no-skip-bad", "--no-ignore-labels")
    assert (called.skip_bad, called.ignore_labels) == (False, False)
