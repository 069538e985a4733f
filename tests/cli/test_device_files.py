"""What a command line names of files that go to a device, and where its devices are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from edge_scnet.cli.device_asked import Asked
from edge_scnet.cli.device_files import job_of
from edge_scnet.cli.root import app
from edge_scnet.devices.device import Device
from edge_scnet.devices.inputs import Job
from edge_scnet.devices.job import Settings
from tests.helpers.graphs import tiny_onnx
from tests.helpers.tool import Run


def job(command: str, *words: str) -> Job:
    """The job that a command line is."""
    root = typer.main.get_command(app)
    context = root.make_context("edge-scnet", [command])
    found = root.get_command(context, command)
    context = found.make_context(command, list(words), parent=context)
    asked = Asked(
        context=context, values=context.params, wheel=None, settings=Settings(), own_words=words
    )
    return job_of(Device(name="orin", host="orin"), asked, times=True)


def test_a_linked_list_goes_over_with_the_folder_that_it_is_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its paths are taken from where the link lies, not from where it leads."""
    monkeypatch.chdir(tmp_path)
    for folder in ("lists", "samples"):
        (tmp_path / folder).mkdir()
    (tmp_path / "lists" / "calib.csv").write_text("path\na.png\n")
    (tmp_path / "samples" / "calib.csv").symlink_to(tmp_path / "lists" / "calib.csv")
    tiny_onnx(tmp_path / "net.onnx")
    made = job("build", "net.onnx", "--calib", "samples/calib.csv")
    assert [item.path for item in made.inputs] == [Path("net.onnx"), Path("samples")]


def test_devices_of_a_project_are_those_of_its_folder(invoke: Run, tmp_path: Path) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir()
    (folder / "devices.toml").write_text('[mine]\nhost = "no host"\n')
    (folder / "edge-scnet.toml").touch()
    for project in (folder, folder / "edge-scnet.toml"):
        outcome = invoke("build", "--project", project, "--device", "mine")
        assert outcome.code == 3 and f"{folder / 'devices.toml'}: mine.host" in outcome.stderr
