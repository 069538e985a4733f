"""A bundle on a board that has edge-scnet: compiled there, then measured there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.cli.device_asked import Asked, is_said
from edge_scnet.cli.device_files import Files, build_folder, environment_of, images_of_build
from edge_scnet.cli.device_page import page_here
from edge_scnet.core.manifest import BUNDLE, REPORT
from edge_scnet.devices.inputs import Job, rooted
from edge_scnet.errors import DeviceError, ExitCode

if TYPE_CHECKING:
    from edge_scnet.devices.device import Device
    from edge_scnet.devices.job import Done
    from edge_scnet.pipeline.result import BuildResult

# Options of build that are profile's too.
_SHARED = ("seconds", "max_drop")
_VERDICTS = (ExitCode.OK, *range(ExitCode.ACCURACY, ExitCode.INCONCLUSIVE + 1))


def built_there(device: Device, folder: Path, asked: Asked) -> BuildResult:
    """Has a board's edge-scnet build the plans of a bundle, and measure them with their accuracy.

    Raises:
        DeviceError: one of both failed, with its exit code.
    """
    from edge_scnet.core.build_folder import BuildFolder
    from edge_scnet.pipeline.result import result_of
    from edge_scnet.report.store import load_report

    _run(device, _compile(folder, asked), asked, "compile")
    _run(device, _profile(folder, asked), asked, "profile")
    return result_of(BuildFolder.open(folder), load_report(folder / REPORT))


def _compile(folder: Path, asked: Asked) -> Job:
    found = Files(command="compile", drawn=page_here())
    found.read(folder / BUNDLE)
    found.write(folder)
    words = [rooted(folder / BUNDLE), "--out", rooted(folder.parents[1])]
    return _job("compile", words, found, asked)


def _profile(folder: Path, asked: Asked) -> Job:
    found = Files(command="profile", drawn=page_here())
    words = [build_folder(str(folder), found), *images_of_build({"paths": [folder]}, found)]
    for name in _SHARED:
        if is_said(asked, name):
            words.append(f"--{name.replace('_', '-')}={asked.values[name]}")
    return _job("profile", words, found, asked)


def _job(command: str, words: list[str], found: Files, asked: Asked) -> Job:
    return Job(
        argv=(command, *words),
        words=f"edge-scnet {command}",
        cwd=Path.cwd(),
        inputs=tuple(dict.fromkeys(found.inputs)),
        outputs=tuple(dict.fromkeys(found.outputs)),
        environment=environment_of(asked, found.drawn),
        wheel=asked.wheel,
        times=True,
        drawn=found.drawn,
    )


def _run(device: Device, job: Job, asked: Asked, command: str) -> Done:
    from edge_scnet.cli.device_shown import run_shown

    # what it prints is no result of build's
    done = run_shown(
        device, job, replace(asked, values={**asked.values, "as_json": False}, quiet=True)
    )
    if done.exit_code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if done.exit_code not in (_VERDICTS if command == "profile" else (ExitCode.OK,)):
        raise failed(device, f"edge-scnet {command}", done.exit_code)
    return done


def failed(device: Device, what: str, code: int) -> DeviceError:
    """The error of a command that failed on a board, with its exit code."""
    error = DeviceError(
        f"{device.address}: {what} ended with exit code {code}; its error is above",
        hint="what a board needs: docs/how-to/jetson.md",
    )
    error.exit_code = ExitCode(code) if code in list(ExitCode) else ExitCode.BACKEND
    return error
